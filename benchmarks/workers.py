"""How much of two workers a Python simulator of 20 ms has, and what it takes until workers run.

The simulator waits, so that a busy machine does not count. Share: of the time that two workers need at least, what is
left after the time of a job of two rows. Start: the processor time of a worker of that job, from its beginning to its
end, over that of a process that imports what the simulator's module does; and the time that passes, which on a busy
machine says little. Prints, and writes to --out, a table.

    python benchmarks/workers.py --out benchmarks/workers.md
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
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


def imported() -> None:
    """A process that imports numpy alone, which is what this simulator needs."""
    subprocess.run([sys.executable, "-c", "import numpy"], check=True)


def of_children(act: Callable[[], object]) -> tuple[float, float]:
    """Processor seconds of the processes that ended meanwhile, and the seconds that passed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    act()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - start


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    took(4, 1)
    jobs = [of_children(lambda: took(2, 2)) for _ in range(8)]
    imports = [of_children(imported) for _ in range(8)]
    (worker, short), (bare, bare_passed) = (np.min(several, axis=0) for several in (jobs, imports))
    ideal = options.rows * SECONDS / 2
    share = ideal / (min(took(options.rows, 2) for _ in range(3)) - short)
    lines = [
        "| share of two workers | a worker, processor s | `import numpy` | ratio | two workers, s | import, s |",
        "|---|---|---|---|---|---|",
        f"| {np.minimum(share, 1):.1%} | {worker / 2:.3f} | {bare:.3f} | {worker / 2 / bare:.2f} "
        f"| {short - SECONDS:.2f} | {bare_passed:.2f} |",
    ]
    print("\n".join(lines))
    if options.out is not None:
        head = f"# Workers\n\n`python benchmarks/workers.py`: {options.rows} runs of 20 ms, least of three.\n"
        options.out.write_text("\n".join([head, *lines]) + "\n", "utf-8")


if __name__ == "__main__":
    main()
