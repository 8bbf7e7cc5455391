"""A fit of millions of rows from a store: seconds and memory of simulating, of fitting, and of the same in memory.

Simulates a small task in JAX into a store, with no more than a part in memory; fits its cost from the store; and fits
as many rows as fit in memory from memory. Each step runs in a process of its own, whose peak is read at its end.
Prints, and writes to --out, a table.

    python benchmarks/fit_from_store.py --rows 10000000 --out benchmarks/fit_from_store.md
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

COMMON = """
import json, resource, sys, time
import jax, jax.numpy as jnp
import numpy as np
import genbayes as gb

path, n, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
mixing = np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32)


def simulator(key, theta):
    mean = jnp.sin(theta @ mixing) if kind == "smooth" else jnp.abs(theta @ mixing)
    return mean + 0.1 * jax.random.normal(key, (10,))


prior = gb.Prior.uniform([-1, -1, -1], [1, 1, 1], names=["a", "b", "c"])
distance = gb.distances.MeanSquaredError()
start = time.perf_counter()
"""
STEPS = {
    "simulate": "gb.simulate(simulator, prior, n, seed=0, store=path, progress=False)",
    "fit": "cost = gb.fit_cost(path, distance, progress=False)",
    "fit in memory": "cost = gb.fit_cost(gb.Simulations.open(path, n=n), distance, progress=False)",
}
TOLD = """
seconds = time.perf_counter() - start
found = {"seconds": seconds, "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
"""
ERROR = """
theta = np.random.default_rng(1).uniform(-1, 1, (500, 3))
x_o = np.zeros(10)
mean = np.sin(theta @ mixing) if kind == "smooth" else np.abs(theta @ mixing)
exact = np.mean(mean**2, axis=1) + 0.01
found["error"] = float(np.sqrt(np.mean((np.asarray(cost(theta, x_o)) - exact) ** 2)))
"""


def ran(step: str, path: Path, n: int, kind: str) -> dict[str, float]:
    """Seconds, peak in bytes, and the error of the cost, of a process that takes one step."""
    code = COMMON + STEPS[step] + TOLD + (ERROR if step != "simulate" else "") + "print(json.dumps(found))"
    done = subprocess.run([sys.executable, "-c", code, str(path), str(n), kind], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def size_of(folder: Path) -> int:
    """Bytes of the files of a store."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--in-memory", type=int, default=262_144)
    parser.add_argument("--kind", nargs="+", default=["smooth", "folded"], choices=["smooth", "folded"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = [
        "| outputs | step | rows | s | µs a row | peak, GiB | error of the cost |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kind:
            path = Path(folder) / f"{kind}.zarr"
            for step, rows in (("simulate", options.rows), ("fit", options.rows), ("fit in memory", options.in_memory)):
                found = ran(step, path, rows, kind)
                seconds, peak, error = found["seconds"], found["peak"] / 2**30, found.get("error")
                told = "" if error is None else f"{error:.2g}"
                cells = [kind, step, f"{rows:,}", f"{seconds:.0f}", f"{1e6 * seconds / rows:.1f}", f"{peak:.2f}", told]
                lines.append(f"| {' | '.join(cells)} |")
                print(lines[-1], flush=True)
        size = size_of(path)
    if options.out is not None:
        command = f"python benchmarks/fit_from_store.py --rows {options.rows} --kind {' '.join(options.kind)}"
        head = (
            f"# A fit from a store\n\n`{command}`: 3 parameters and 10 "
            f"outputs, a store of {size / 2**20:.0f} MiB. The last column is the root mean squared error of the cost "
            "over the prior, at an observation in the middle of the outputs.\n"
        )
        options.out.write_text("\n".join([head, *lines]) + "\n", "utf-8")


if __name__ == "__main__":
    main()
