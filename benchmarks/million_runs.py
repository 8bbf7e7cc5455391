"""A million runs of small JAX simulators into a store, against one bare vmapped call of the same runs.

Both are compiled before, and the bare call's outputs are copied to numpy. Beside them stands the floor: the bare call,
drawing the parameters, and the same arrays written by numpy.save with a checksum and an fsync each, without chunks or
anything that could be resumed. And what the store's time is made of: drawing the parameters alone, and the same call
without a store. Wall and processor seconds, with their ratios; peak memory of the process, which also
holds the result. Prints, and writes to --out, a table.

    python benchmarks/million_runs.py --out benchmarks/million_runs.md
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

RUNS = """
import json, os, resource, sys, tempfile, time, zlib
from pathlib import Path
import jax, jax.numpy as jnp
import numpy as np
import genbayes as gb
from genbayes.runtime.seeds import SIMULATOR_STREAM, row_key

kind, n = sys.argv[1], int(sys.argv[2])


def normal(key, theta):
    return theta[0] + theta[1] * jax.random.normal(key, (4,))


def growth(key, theta, steps):
    def step(size, noise):
        size = size + 0.1 * theta[0] * size * (1 - size) + 0.02 * theta[1] * noise
        return size, size

    return jax.lax.scan(step, 0.1, jax.random.normal(key, (steps,)))[1][:: steps // 10]


def growth_of_20(key, theta):
    return growth(key, theta, 20)


def growth_of_100(key, theta):
    return growth(key, theta, 100)


simulator = {"4 normal numbers": normal, "growth, 20 steps": growth_of_20, "growth, 100 steps": growth_of_100}[kind]
prior = gb.Prior.uniform([0, 0.1], [1, 1], names=["a", "b"])
theta = np.asarray(prior.sample(n, seed=0))
numbers = np.arange(n)
bare = jax.jit(jax.vmap(lambda number, one: simulator(row_key(jax.random.key(0), number, SIMULATOR_STREAM), one)))
np.asarray(bare(numbers, theta))
gb.simulate(simulator, prior, 2000, seed=0, progress=False)


def seconds(function):
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - processor


def written_plainly(folder, outputs):
    arrays = {"theta": np.asarray(prior.sample(n, seed=0)), "x": outputs, "status": np.zeros(n, np.int32)}
    for name, values in arrays.items():
        with open(Path(folder) / f"{name}.npy", "wb") as file:
            np.save(file, values)
            file.write(zlib.crc32(values).to_bytes(4, "little"))
            file.flush()
            os.fsync(file.fileno())


with tempfile.TemporaryDirectory() as folder:
    found = {
        "floor": min(seconds(lambda: written_plainly(folder, np.asarray(bare(numbers, theta)))) for _ in range(3)),
        "bare": min(seconds(lambda: np.asarray(bare(numbers, theta))) for _ in range(3)),
        "parameters": min(seconds(lambda: np.asarray(prior.sample(n, seed=0))) for _ in range(3)),
        "in_memory": min(seconds(lambda: gb.simulate(simulator, prior, n, seed=0, progress=False)) for _ in range(3)),
        "stored": min(
            seconds(lambda: gb.simulate(simulator, prior, n, seed=0, store=Path(folder) / str(i), progress=False))
            for i in range(3)
        ),
    }
print(json.dumps({**found, "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = [
        "| simulator | bare, s (processor) | floor | parameters | without a store | stored | stored / bare "
        "| stored / floor | peak, GiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in ("4 normal numbers", "growth, 20 steps", "growth, 100 steps"):
        command = [sys.executable, "-c", RUNS, kind, str(options.runs)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        (wall, processor), (stored, of_stored), (least, of_least) = found["bare"], found["stored"], found["floor"]
        cells = [
            kind,
            f"{wall:.2f} ({processor:.2f})",
            f"{least:.2f} ({of_least:.2f})",
            *(f"{found[part][0]:.2f} ({found[part][1]:.2f})" for part in ("parameters", "in_memory")),
            f"{stored:.2f} ({of_stored:.2f})",
            f"{stored / wall:.1f} ({of_stored / processor:.1f})",
            f"{stored / least:.1f} ({of_stored / of_least:.1f})",
            f"{found['peak'] / 2**30:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    if options.out is not None:
        head = (
            f"# A million small runs\n\n`python benchmarks/million_runs.py`: {options.runs:,} runs, least of three; "
            "seconds and in brackets processor seconds.\nThe floor: the bare call, drawing the parameters, and the "
            "same arrays by numpy.save with checksum and fsync.\nBetween parameters and runs without a store lies "
            "tracing the simulator. The rest is chunks,\neach compressed and written whole, with a checksum, so that a "
            "run can be resumed at any.\n"
        )
        options.out.write_text("\n".join([head, *lines]) + "\n", "utf-8")


if __name__ == "__main__":
    main()
