"""Simulations that are killed at random times: is any row lost, doubled, or another one than without the kills?

A script simulates into a store with two workers, and is killed (SIGKILL) again and again: itself, its whole process
group, or one of its workers. Looked at after every kill: rows that were finished before are still there, with the same
numbers, and are not run again (but for the one that every call runs to see whether the simulator was edited); and
nothing of it is left running. At the end all rows are those of one run without kills. Prints, and writes to --out, one
line.

    python benchmarks/kills.py --kills 50 --out benchmarks/kills.md
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import genbayes as gb

SCRIPT = """
import os, sys, time
import numpy as np
import genbayes as gb

def simulator(theta, rng):
    # By both numbers: among 11,000 parameters in single precision some seven pairs are equal.
    row = np.array([theta[0], rng.normal()], np.float32)
    log = os.open(sys.argv[1] + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, b"%.9f %.9f\\n" % tuple(row))
    os.close(log)
    time.sleep(0.01)
    return row

gb.simulate(simulator, gb.Prior.uniform(0, 1), int(sys.argv[2]), seed=0, workers=2, progress=False,
            store=sys.argv[1] + "/runs.zarr")
"""
KINDS = ("parent", "group", "worker")


def start(folder: Path, n: int) -> subprocess.Popen:
    """The script, in a process group of its own."""
    command = [sys.executable, "-c", SCRIPT, str(folder), str(n)]
    environment = {**os.environ, "GENBAYES_KILLS": str(folder)}
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)


def left(folder: Path) -> list[int]:
    """The processes that have been started for a folder, however far down."""
    mark, found = f"GENBAYES_KILLS={folder}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def kill(process: subprocess.Popen, kind: str, folder: Path, rng: np.random.Generator) -> None:
    """SIGKILL to the script, to its group, or to one of its workers, after which it goes on."""
    if kind == "group":
        os.killpg(process.pid, signal.SIGKILL)
    elif kind == "parent":
        process.kill()
    else:
        workers = [pid for pid in left(folder) if pid != process.pid]
        if workers:
            try:
                os.kill(int(rng.choice(workers)), signal.SIGKILL)
            except ProcessLookupError:
                return
        time.sleep(float(rng.uniform(0, 0.5)))
        process.kill()
    process.wait()


def runs_of(folder: Path) -> Counter[str]:
    log = folder / "log"
    return Counter(log.read_text().split("\n")) if log.exists() else Counter()


def series(kills: int, seed: int) -> dict[str, int]:
    """So many kills, and what was found."""
    rng = np.random.default_rng(seed)
    found = Counter({"lost": 0, "doubled": 0, "orphans": 0, "rows": 0, "unfinished stores": 0})
    with tempfile.TemporaryDirectory(prefix="genbayes-kills-") as name:
        folder, n, done = Path(name), 2000, np.zeros(0, int)
        x = np.zeros((0, 2))
        for number in range(kills):
            before = runs_of(folder)
            process = start(folder, n)
            # From its first moments, in which it imports, to well into its runs.
            time.sleep(float(rng.uniform(0.5, 5.0)))
            kill(process, KINDS[number % 3], folder, rng)
            end = time.monotonic() + 10
            while left(folder) and time.monotonic() < end:
                time.sleep(0.05)
            found["orphans"] += len(left(folder))
            again = runs_of(folder) - before
            if not (folder / "runs.zarr").exists():
                found["unfinished stores"] += 1
                continue
            simulations = gb.Simulations.open(folder / "runs.zarr")
            found["lost"] += int((~simulations.ok[done]).sum()) + int((simulations.x[done] != x).any(axis=1).sum())
            repeated = sum(again["{:.9f} {:.9f}".format(*row)] for row in x.tolist())
            found["doubled"] += max(0, repeated - 1)
            done = np.flatnonzero(simulations.ok)
            x = simulations.x[done]
            n += 1000 * (len(done) > n - 500)
        start(folder, n).wait()
        simulations = gb.Simulations.open(folder / "runs.zarr")
        whole = gb.simulate(_quick, gb.Prior.uniform(0, 1), n, seed=0, progress=False)
        found["lost"] += int((simulations.x != whole.x).any(axis=1).sum())
        found["rows"] = len(simulations)
    return dict(found)


def _quick(theta: np.ndarray, rng: np.random.Generator) -> list[float]:
    return [theta[0], rng.normal()]


def main() -> int:
    """Prints what was found; exit code 1 where something was lost, doubled or left running."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file for the page")
    options = parser.parse_args()
    found = series(options.kills, options.seed)
    command = f"python benchmarks/kills.py --kills {options.kills} --seed {options.seed} --out benchmarks/kills.md"
    text = (
        f"{options.kills} kills of parent, group and workers, {found['rows']} rows: {found['lost']} lost, "
        f"{found['doubled']} doubled, {found['orphans']} processes left running; {found['unfinished stores']} kills "
        "came before there was a store."
    )
    page = f"# Kills\n\nBy `{command}`:\n\n{text}\n"
    print(page)
    if options.out is not None:
        options.out.write_text(page, "utf-8")
    return int(any(found[name] for name in ("lost", "doubled", "orphans")))


if __name__ == "__main__":
    raise SystemExit(main())
