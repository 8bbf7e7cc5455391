"""How much of two workers a Python simulator of 20 ms has, and what it takes until workers run.

The simulator waits, so that a busy machine does not count. Share: of the time that two workers need at least, what is
left after the time of a job of two rows. Start: the time of that job, less its runs, over that of a process that
imports what the simulator's module does. Prints, and writes to --out, a table.

    python benchmarks/workers.py --out benchmarks/workers.md
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import genbayes as gb

SECONDS = 0.02


def simulator(theta, rng):
    """A run of 20 ms."""
    time.sleep(SECONDS)
    return theta + rng.normal(size=1)


def took(n: int, workers: int) -> float:
    """Seconds of a job."""
    prior = gb.Prior.uniform(0, 1, names=["a"])
    start = time.perf_counter()
    gb.simulate(simulator, prior, n, seed=0, workers=workers, progress=False)
    return time.perf_counter() - start


def imported() -> float:
    """Seconds of a process that imports numpy alone, which is what this simulator needs."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import numpy"], check=True)
    return time.perf_counter() - start


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    took(4, 1)
    short = min(took(2, 2) for _ in range(5))
    bare = min(imported() for _ in range(5))
    ideal = options.rows * SECONDS / 2
    share = ideal / (took(options.rows, 2) - short)
    ratio = (short - SECONDS) / bare
    lines = [
        "| share of two workers | start of two workers, s | a process with `import numpy`, s | ratio |",
        "|---|---|---|---|",
        f"| {np.minimum(share, 1):.1%} | {short - SECONDS:.2f} | {bare:.2f} | {ratio:.2f} |",
    ]
    print("\n".join(lines))
    if options.out is not None:
        head = f"# Workers\n\n`python benchmarks/workers.py`: {options.rows} runs of 20 ms on two workers.\n"
        options.out.write_text("\n".join([head, *lines]) + "\n", "utf-8")


if __name__ == "__main__":
    main()
