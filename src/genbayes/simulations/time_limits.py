"""A time limit for every run, and who keeps it where the runs are another's."""

import functools
import math
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple

from .spawned import run_in_workers
from .worker import Result, Task, pickled, serve


class Bounded(NamedTuple):
    """Who runs the rows, and how long one may take; what public functions make of `workers` and `timeout`.

    Attributes:
        workers: a number of processes, or an executor.
        timeout: seconds.
    """

    workers: int | Executor
    timeout: float


def bounded(workers: Any, timeout: Any) -> Any:
    """`workers` with a time limit for every run; as they are without one.

    Raises:
        ValueError: `timeout` is no positive number.
    """
    if timeout is None:
        return workers
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not number or not math.isfinite(timeout) or timeout <= 0:
        raise ValueError(
            f"`timeout` must be a number of seconds above 0, or None for no limit, got {timeout!r}: that of one run."
        )
    return Bounded(workers.workers if isinstance(workers, Bounded) else workers, float(timeout))


def unbounded(workers: Any) -> tuple[Any, float | None]:
    """The two parts of `bounded`."""
    return (workers.workers, workers.timeout) if isinstance(workers, Bounded) else (workers, None)


def run_rows_bounded(timeout: float) -> Callable[..., tuple[float, list[Result], bool]]:
    """`run_rows` for an executor of the user's: the rows run in a process of their own, which can be ended."""
    return functools.partial(_run_rows_bounded, timeout, pickled(serve))


def _run_rows_bounded(
    timeout: float, server: bytes, function: Callable, seed: int, tasks: list[Task]
) -> tuple[float, list[Result], bool]:
    clock = _Clock()
    results = [
        one
        for part in run_in_workers(function, seed, tasks, len(tasks), 1, server, timeout, clock)  # pyright: ignore
        for one in part
    ]
    order = {task[0]: i for i, task in enumerate(tasks)}
    return clock.seconds, sorted(results, key=lambda result: order[result[0]]), False


class _Clock:
    """In place of `Overdue`: adds up what rows take, without the start of their process."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def note(self, seconds: float, runs: int = 1) -> None:
        """Take the time of runs into account."""
        self.seconds += seconds

    def look(self, task: Task, seconds: float) -> None:
        """The one who has submitted the rows tells of them."""
