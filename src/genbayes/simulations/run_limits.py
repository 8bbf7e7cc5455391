"""Limits of time and memory for every run, and who keeps them where the runs are another's."""

import functools
import math
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple

from .program_arguments import checked_memory
from .spawned import run_in_workers
from .worker import Result, Task, pickled, serve


class Bounded(NamedTuple):
    """Who runs the rows, and what one may take; what public functions make of `workers`, `timeout` and `memory`.

    Attributes:
        workers: a number of processes, or an executor.
        timeout: seconds.
        memory: bytes.
    """

    workers: int | Executor
    timeout: float | None = None
    memory: int | None = None


def bounded(workers: Any, timeout: Any, memory: Any = None) -> Any:
    """`workers` with limits for every run, which come before those that they have; as they are without any.

    Raises:
        TypeError: `memory` is neither a number nor a text.
        ValueError: `timeout` is no positive number, `memory` is no size, or this platform cannot limit it.
    """
    if timeout is None and memory is None:
        return workers
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and (not number or not math.isfinite(timeout) or timeout <= 0):
        raise ValueError(
            f"`timeout` must be a number of seconds above 0, or None for no limit, got {timeout!r}: that of one run."
        )
    before = unbounded(workers)
    return Bounded(
        before.workers,
        before.timeout if timeout is None else float(timeout),
        before.memory if memory is None else checked_memory(memory, "memory"),
    )


def unbounded(workers: Any) -> Bounded:
    """The parts of `bounded`."""
    return workers if isinstance(workers, Bounded) else Bounded(workers)


def run_rows_bounded(
    timeout: float | None, memory: int | None
) -> Callable[..., tuple[list[float], list[Result], bool]]:
    """`run_rows` for an executor of the user's: the rows run in a process of their own, which can be ended."""
    return functools.partial(_run_rows_bounded, timeout, memory, pickled(serve))


def _run_rows_bounded(
    timeout: float | None, memory: int | None, server: bytes, function: Callable, seed: int, tasks: list[Task]
) -> tuple[list[float], list[Result], bool]:
    clock = _Clock()
    results = [
        one
        for part in run_in_workers(function, seed, tasks, len(tasks), 1, server, timeout, clock, memory)  # pyright: ignore
        for one in part
    ]
    order = {task[0]: i for i, task in enumerate(tasks)}
    results.sort(key=lambda result: order[result[0]])
    return [clock.seconds.get(row, math.nan) for row, _ in results], results, False


class _Clock:
    """In place of `Overdue`: remembers what every row takes, without the start of its process."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}

    def note(self, row: int, seconds: float) -> None:
        """Take the time of a run."""
        self.seconds[row] = seconds

    def look(self, task: Task, seconds: float) -> None:
        """The one who has submitted the rows tells of them."""
