"""Whether a simulator draws its random numbers from what it is given: one row is run again, twice.

With the same random numbers the output has to be the same; else rows cannot be run again, and workers that share a seed
give duplicates. With other random numbers it has to differ, unless the simulator is deterministic or seeds itself.
"""

import types
import warnings
from dataclasses import replace

import numpy as np

from .executors import Job
from .named_outputs import NamedOutputs
from .simulators import Simulator
from .worker import Result

# Jobs of fewer rows are not worth two runs more.
LEAST_ROWS = 200


class Repeats:
    """Two further runs of the first row of a job, kept apart from its results.

    Attributes:
        job: with them behind its first row.
    """

    def __init__(self, job: Job):
        self._first = int(job.rows[0])
        # Rows of these numbers are nobody's.
        self._same, self._other = (int(job.rows.max()) + i for i in (1, 2))
        self._seen: dict[int, np.ndarray | str] = {}
        self._named = NamedOutputs()
        others = np.delete(np.arange(len(job)), 0)
        order = np.concatenate([[0, 0, 0], others])
        rows, numbers = job.rows[order], job.numbers[order]
        rows[1:3] = self._same, self._other
        numbers[2] = numbers.max() + 1
        self.job = replace(job, rows=rows, numbers=numbers, inputs=job.inputs[order])

    def without(self, results: list[Result]) -> list[Result]:
        """The results of rows that were asked for."""
        kept = []
        for row, output in results:
            if row in (self._first, self._same, self._other):
                [(_, self._seen[row])] = self._named.vectors([(row, output)])
            if row not in (self._same, self._other):
                kept.append((row, output))
        return kept

    def is_deterministic(self, function: object) -> bool:
        """Whether other random numbers gave the same output, of a function that names no source of them."""
        first, other = (self._seen.get(row) for row in (self._first, self._other))
        if not isinstance(first, np.ndarray) or not isinstance(other, np.ndarray):
            return False
        return _equal(first, other) and not _names_random(function)

    def warn(self, simulator: Simulator, function: object) -> None:
        """A UserWarning where random numbers come from elsewhere; asked at the end."""
        first, same, other = (self._seen.get(row) for row in (self._first, self._same, self._other))
        if first is None or same is None or other is None:
            return
        if not _equal(first, same):
            warnings.warn(
                "one row, run twice with the same parameters and random numbers, gave two outputs: the simulator draws "
                f"random numbers from elsewhere than {simulator.noise_source}. Its runs cannot be repeated, and "
                f"workers may give duplicates of one another. {simulator.noise_remedy}",
                stacklevel=4,
            )
        elif _equal(first, other) and isinstance(first, np.ndarray) and _names_random(function):
            warnings.warn(
                "one row, run with other random numbers, gave the same output, although the simulator names a source "
                "of random numbers: it seems to seed that itself, so that every run has the same noise, and the answer "
                f"is that of a simulator without any. {simulator.noise_remedy}",
                stacklevel=4,
            )


def _equal(first: np.ndarray | str, second: np.ndarray | str) -> bool:
    if isinstance(first, str) or isinstance(second, str):
        return isinstance(first, str) and isinstance(second, str)
    if first.shape != second.shape:
        return False
    # Threads of linear algebra add up in any order.
    size = np.max(np.abs(first), initial=0.0, where=np.isfinite(first))
    return bool(np.allclose(first, second, rtol=1e-6, atol=1e-9 * size, equal_nan=True))


def _names_random(function: object) -> bool:
    """Whether a function of Python, or one inside it, names a source of random numbers or a seed."""
    codes = [getattr(function, "__code__", None)]
    for code in codes:
        if isinstance(code, types.CodeType):
            if {"random", "seed", "default_rng", "RandomState"} & set(code.co_names):
                return True
            codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return False
