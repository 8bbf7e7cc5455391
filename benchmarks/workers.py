"""How much of two workers a Python simulator of 20 ms has, and what it takes until workers run.

The simulator waits, so that a busy machine counts little, and returns how long it has: a wait of 20 ms is longer where
others want the processor. Share: half of what all runs took, of what is left of the job's time without that of a job of
two rows. Start: the processor time of a worker of that job, from its beginning to its
end, over that of a process that imports what the simulator's module does; and the time that passes, which on a busy
machine says little. Prints, and writes to --out, a table.

    python benchmarks/workers.py --out benchmarks/workers.md
"""

import argparse
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

import genbayes as gb

SECONDS = 0.02


def simulator(theta, rng):
    """A run of 20 ms; returns its seconds."""
    start = time.perf_counter()
    time.sleep(SECONDS)
    return np.array([time.perf_counter() - start])


def took(n: int, workers: int) -> tuple[float, float]:
    """Seconds of a job, and those of its runs."""
    prior = gb.Prior.uniform(0, 1, names=["a"])
    start = time.perf_counter()
    with warnings.catch_warnings():
        # Two runs of one row do not take the same time.
        warnings.simplefilter("ignore", UserWarning)
        simulations = gb.simulate(simulator, prior, n, seed=0, workers=workers, progress=False)
    return time.perf_counter() - start, float(simulations.x.sum())


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
    # The short job has a run in it.
    share = max(runs / 2 / (seconds - short + SECONDS) for seconds, runs in (took(options.rows, 2) for _ in range(3)))
    lines = [
        "| share of two workers | a worker, processor s | `import numpy`, processor s | ratio | two workers, s "
        "| import, s |",
        "|---|---|---|---|---|---|",
        f"| {np.minimum(share, 1):.1%} | {worker / 2:.3f} | {bare:.3f} | {worker / 2 / bare:.2f} "
        f"| {short - SECONDS:.2f} | {bare_passed:.2f} |",
    ]
    print("\n".join(lines))
    if options.out is not None:
        command = "`python benchmarks/workers.py`"
        head = f"# Workers\n\n{command}: {options.rows} runs of 20 ms on two workers, the best of three.\n"
        options.out.write_text("\n".join([head, *lines]) + "\n", "utf-8")


if __name__ == "__main__":
    main()
