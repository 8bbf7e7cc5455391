"""Damaged files of every kind that genbayes reads: is each refused with its path, or read as it was?

Every input is a whole file (or folder) with bytes flipped, removed, put in, moved, or cut off. Of the formats with
checksums (costs, draws, simulations, archives of numpy) none may be read with other numbers than were written; no
format may end in another error than one with the path, nor run code. Prints, and writes to --out, one line a format.

    python benchmarks/fuzz.py --inputs 1000000 --out benchmarks/fuzz.md
"""

import argparse
import pickle
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import genbayes as gb
from genbayes.command_line.problem import read_problem

PROBLEM = """
simulator = "growth:simulate"
[prior]
rate = { distribution = "Uniform", low = 0.0, high = 1.0 }
[distance]
name = "MeanSquaredError"
[observation]
values = [1.0, 2.0]
"""
REFUSED = (ValueError, TypeError, FileNotFoundError, ImportError)


@dataclass
class Format:
    """One kind of file.

    Attributes:
        name: of the file or folder.
        write: writes a whole one at a path.
        read: returns arrays and texts to be compared.
        checked: whether a checksum covers all that `read` returns.
        weight: share of the inputs, by how fast one is read.
        parts: glob pattern of the files of a folder that are damaged.
    """

    name: str
    write: Callable[[Path], Any]
    read: Callable[[Path], Any]
    checked: bool
    weight: float
    parts: str = ""


@dataclass
class Found:
    """What became of the inputs of one format; `wrong` holds examples of what may not be."""

    counts: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


def simulator(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if theta[0] < 0.1:
        raise ValueError("rate too low")
    return theta + rng.normal(size=2)


def formats() -> list[Format]:
    rng = np.random.default_rng(0)
    array = rng.normal(size=(6, 2))
    prior = gb.Prior.uniform([0, 0], [1, 1], names=["a", "b"])
    runs = gb.simulate(simulator, prior, 60, seed=0, progress=False)
    cost = gb.fit_cost(runs, gb.distances.MeanSquaredError(), seed=0, progress=False)
    draws = gb.Draws(
        theta=rng.normal(size=(2, 30, 2)).astype(np.float32),
        cost=rng.normal(size=(2, 30)).astype(np.float32),
        names=("a", "b"),
        beta=3.5,
        x_o=np.zeros(2, np.float32),
        sampler="SMC",
        seed=0,
        statistics={"acceptance": np.array([0.5, 0.6]), "stages": 3},
        seconds={"sampling": 1.0},
    )
    table = "a,b,x\n" + "".join(f"{a:.6g},{b:.6g},{a * b:.6g}\n" for a, b in array)
    return [
        Format("x.npy", lambda path: np.save(path, array), _observation, False, 30),
        Format("x.npz", lambda path: np.savez_compressed(path, x=array), _observation, True, 20),
        Format("x.csv", lambda path: path.write_text(table), _observation, False, 10),
        Format("runs.csv", lambda path: path.write_text(table), _runs, False, 10),
        Format("problem.toml", lambda path: path.write_text(PROBLEM), _problem, False, 8),
        Format("cost.safetensors", lambda path: gb.save(cost, path), _cost, True, 4),
        Format("runs.zarr", runs.save, _store, True, 2, "*/c/**/*"),
        Format("described.zarr", runs.save, _store, False, 1, "**/zarr.json"),
        Format("draws.zarr", draws.save, _draws, True, 0.4, "*/*/c/**/*"),
        Format("described-draws.zarr", draws.save, _draws, False, 0.2, "**/zarr.json"),
    ]


def _observation(path: Path) -> Any:
    return [np.asarray(gb.read_observation(path))]


def _runs(path: Path) -> Any:
    runs = gb.Simulations.from_csv(path, ["a", "b"])
    return [runs.theta, runs.x, runs.status]


def _problem(path: Path) -> Any:
    return [str(read_problem(path))]


def _cost(path: Path) -> Any:
    cost = gb.load(path)
    return [np.asarray(cost(np.full(2, 0.5), np.zeros(2)))]


def _store(path: Path) -> Any:
    """Rows of chunks that are told to be damaged are pending, and not compared."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        runs = gb.Simulations.open(path)
    if told:
        assert str(path) in str(told[0].message)
        raise ValueError(str(told[0].message))
    return [runs.theta, runs.x, runs.status]


def _draws(path: Path) -> Any:
    draws = gb.Draws.load(path)
    return [draws.theta, draws.cost, np.asarray(draws.x_o), np.float64(draws.beta)]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A few of the things that happen to files."""
    out = bytearray(content)
    for _ in range(int(rng.geometric(0.6))):
        place, size = int(rng.integers(len(out) + 1)), int(rng.geometric(0.2))
        kind = rng.integers(8)
        if kind < 2 and out:
            out[place % len(out)] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            del out[place:]
        elif kind == 3:
            out[place : place + size] = b""
        elif kind == 4:
            out[place:place] = rng.bytes(size)
        elif kind == 5 and out:
            out[place % len(out)] = 48 + int(rng.integers(10))
        elif kind == 6:
            out[place : place + size] = b"\0" * size
        else:
            out[place : place + size] = content[(other := int(rng.integers(len(content) + 1))) : other + size]
    return bytes(out)


class Bait:
    """What would leave a trace if a loader ran it."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self.trace,)


def baits(folder: Path) -> int:
    """How many files with code in them were run by the loaders of arrays and costs."""
    trace = folder / "code-was-run"
    np.save(folder / "bait.npy", np.array([Bait(trace)], object), allow_pickle=True)
    np.savez(folder / "bait.npz", x=np.array([Bait(trace)], object))
    (folder / "bait.safetensors").write_bytes(pickle.dumps(Bait(trace)))
    for name, read in (("bait.npy", _observation), ("bait.npz", _observation), ("bait.safetensors", _cost)):
        try:
            read(folder / name)
        except ValueError:
            continue
        return 1
    return int(trace.exists())


def same(one: Any, two: Any) -> bool:
    return all(
        a == b if isinstance(a, str) else np.array_equal(a, b, equal_nan=True) for a, b in zip(one, two, strict=True)
    )


def try_format(kind: Format, folder: Path, inputs: int, seed: int) -> Found:
    """Damages one kind of file so many times."""
    path, found, rng = folder / kind.name, Found(), np.random.default_rng([seed, len(kind.name)])
    kind.write(path)
    whole = kind.read(path)
    files = sorted(file for file in path.glob(kind.parts) if file.is_file()) if kind.parts else [path]
    contents = [file.read_bytes() for file in files]
    started = time.perf_counter()
    for _ in range(inputs):
        which = int(rng.integers(len(files)))
        broken = damaged(contents[which], rng)
        if broken == contents[which]:
            found.counts["unchanged"] += 1
            continue
        files[which].write_bytes(broken)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore" if kind.name not in ("runs.zarr", "described.zarr") else "default")
                read = kind.read(path)
        except REFUSED as error:
            named = path.name in str(error)
            found.counts["refused" if named else "no path"] += 1
            if not named:
                found.wrong.append(f"{kind.name}: no path: {type(error).__name__}: {error}"[:300])
        except Exception as error:
            found.counts["traceback"] += 1
            found.wrong.append(f"{kind.name}: {type(error).__name__}: {error}"[:300])
        else:
            if same(read, whole):
                found.counts["as written"] += 1
            else:
                found.counts["other numbers"] += 1
                if kind.checked:
                    found.wrong.append(f"{kind.name}: other numbers in silence: {broken[:200]!r}")
        files[which].write_bytes(contents[which])
    found.seconds = time.perf_counter() - started
    return found


def fuzz(inputs: int, seed: int) -> dict[str, Found]:
    """So many inputs in all."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="genbayes-fuzz-", dir=memory if memory.is_dir() else None))
    try:
        (folder / "growth.py").write_text("def simulate(theta, rng):\n    return theta + rng.normal(size=2)\n")
        kinds = formats()
        total = sum(kind.weight for kind in kinds)
        found = {
            kind.name: try_format(kind, folder, max(1, round(inputs * kind.weight / total)), seed) for kind in kinds
        }
        if baits(folder):
            found["code"] = Found(Counter({"code was run": 1}), ["a loader has run code of a file"])
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Prints the table; exit code 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="in all (default: 100000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file for the table")
    options = parser.parse_args()
    found = fuzz(options.inputs, options.seed)
    columns = ("refused", "as written", "other numbers", "unchanged", "no path", "traceback")
    lines = [f"| format | {' | '.join(columns)} | per second |", "|---" * (len(columns) + 2) + "|"]
    for name, one in found.items():
        rate = sum(one.counts.values()) / max(one.seconds, 1e-9)
        lines.append(f"| `{name}` | {' | '.join(str(one.counts[column]) for column in columns)} | {rate:.0f} |")
    wrong = [text for one in found.values() for text in one.wrong]
    text = f"{sum(sum(one.counts.values()) for one in found.values())} inputs, {len(wrong)} wrong."
    command = f"python benchmarks/fuzz.py --inputs {options.inputs} --seed {options.seed}"
    page = "\n".join(["# Damaged files", "", f"By `{command} --out benchmarks/fuzz.md`: {text}", "", *lines, ""])
    print(page)
    print("\n".join(wrong[:50]))
    if options.out is not None:
        options.out.write_text(page, "utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
