"""Running a Python function over rows: in this process, in spawned workers, or in an executor of the user's."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..runtime.counts import checked_count
from .overdue import Overdue, Watched
from .run_limits import Bounded, run_rows_bounded
from .spawned import rows_per_task, run_in_workers
from .worker import Result, SharedTask, Task, not_sendable, pickled, reason_of, run_row, run_rows, sent_by_value, serve

sent_by_value(*(f"{__package__}.{name}" for name in ("local_worker", "overdue", "program_processes", "spawned")))
sent_by_value(f"{__package__}.run_limits", f"{__package__}.thread_limits", "genbayes.runtime.processes")

# Who runs the rows of a Python simulator. A number is that of processes on this machine, which the library spawns and
# ends; 1 runs in this process. An executor of the interface of `concurrent.futures` (threads, loky, Dask's
# `client.get_executor()`, `mpi4py.futures`, Parsl) belongs to the caller: it is used, and never shut down.
Workers = int | Executor | Bounded
_BATCH = 32
# Tasks in flight in an executor that does not say how many workers it has.
_MOST_TASKS = 1024
_SECONDS_BETWEEN_YIELDS = 2.0
_LOOK_SECONDS = 0.5


def checked_workers(workers: Any) -> Workers:
    """Return `workers` after checking it.

    Raises:
        ValueError: neither an executor nor a whole number of at least 1.
    """
    if isinstance(workers, Bounded):
        checked_workers(workers.workers)
        return workers
    if isinstance(workers, Executor):
        return workers
    return checked_count("`workers`", workers, remedy="; or give a concurrent.futures.Executor")


@dataclass(frozen=True)
class Job:
    """Rows that are to be run, and how.

    Attributes:
        seed: seed of the job; with the number of a row's random numbers it alone decides them.
        rows: (m,) int, where the results belong.
        numbers: (m,) int, one for the random numbers of each row: rows of one number share them.
        inputs: parameters and, after them, known conditions (m, dim + c), float32.
        dim: number of parameters.
        batch_size: most runs at a time, None where the kind of simulator chooses.
        workers: who runs the rows, where the kind of simulator leaves that to the caller.
        timeout: seconds that a run may take, None without a limit.
        memory: bytes that the process of a run may take, None without a limit.
        names: of the columns of `inputs`; `theta_0`, ..., then `condition_0`, ..., if not given.
        run_seconds: gets the seconds that every run took, by the number of its row, before its result comes back;
            stays empty where rows do not run one by one.
    """

    seed: int
    rows: np.ndarray
    numbers: np.ndarray
    inputs: np.ndarray
    dim: int
    batch_size: int | None = None
    workers: int | Executor = 1
    timeout: float | None = None
    memory: int | None = None
    names: tuple[str, ...] = ()
    run_seconds: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.names:
            conditions = [f"condition_{i}" for i in range(self.inputs.shape[1] - self.dim)]
            object.__setattr__(self, "names", (*(f"theta_{i}" for i in range(self.dim)), *conditions))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def conditional(self) -> bool:
        """Whether there are known conditions."""
        return self.inputs.shape[1] > self.dim


def run_each(function: Callable[[np.ndarray, np.random.Generator, int], Any], job: Job) -> Iterator[list[Result]]:
    """Yield the results of a job whose rows are run one by one, by whomever `job.workers` names.

    On KeyboardInterrupt the finished rows are yielded before it is raised again.

    Args:
        function: `function(inputs, rng, row)`: inputs (dim + c,) in float64, the row's own generator of random
            numbers, its number. An exception is a failed row.
        job: the rows.

    Raises:
        RuntimeError: workers cannot start, cannot load the function, or have been shut down.
        TypeError: the function cannot be pickled.
    """
    tasks = list(zip(job.rows.tolist(), job.numbers.tolist(), job.inputs, strict=True))
    batch = job.batch_size or _BATCH
    overdue = Overdue(job.names, run_seconds=job.run_seconds)
    limited = job.timeout is not None or job.memory is not None
    if isinstance(job.workers, Executor):
        run = run_rows_bounded(job.timeout, job.memory) if limited else run_rows
        return run_in_executor(function, job.seed, tasks, batch, job.workers, run, overdue)
    if job.workers == 1 and not limited:
        return run_serially(function, job.seed, tasks, batch, overdue)
    # Nobody can end a function in this process: with a limit it runs in another one.
    server = pickled(serve)
    return run_in_workers(function, job.seed, tasks, batch, job.workers, server, job.timeout, overdue, job.memory)


def run_serially(
    function: Callable, seed: int, tasks: list[Task], batch: int, overdue: Overdue
) -> Iterator[list[Result]]:
    """Yield the results of rows in lists of at most `batch`, see `run_each`."""
    with overdue.watched() as watched:
        yield from _one_by_one(function, seed, tasks, batch, overdue, watched)


def _one_by_one(
    function: Callable, seed: int, tasks: list[Task], batch: int, overdue: Overdue, watched: Watched
) -> Iterator[list[Result]]:
    done: list[Result] = []
    last_yield = time.monotonic()
    try:
        for task in tasks:
            began = time.monotonic()
            watched.current = (task, began)
            done.append(run_row(function, seed, task))
            watched.current = None
            overdue.note(task[0], time.monotonic() - began)
            if len(done) >= batch or time.monotonic() - last_yield > _SECONDS_BETWEEN_YIELDS:
                batch_done, done = done, []
                yield batch_done
                last_yield = time.monotonic()
    except KeyboardInterrupt:
        yield done
        raise
    if done:
        yield done


def run_in_executor(
    function: Callable,
    seed: int,
    tasks: list[Task],
    batch: int,
    executor: Executor,
    run: Callable = run_rows,
    overdue: Overdue | None = None,
) -> Iterator[list[Result]]:
    """Yield the results of rows as an executor finishes them, see `run_each`; the executor stays open.

    A task that ends in an exception is repeated row by row; a row that does so alone has failed, with that reason.

    Raises:
        RuntimeError: the executor takes no more tasks, or has cancelled some; their rows stay pending.
        TypeError: the function cannot be pickled, and the executor would send it to another process; or the executor
            returns no futures, or futures of something else.
    """
    submitted = _Submitted(executor, SharedTask(function, seed, run), overdue or Overdue(()))
    queue, alone = tasks[::-1], []
    try:
        while submitted.running or ((queue or alone) and submitted.stopped is None):
            while (queue or alone) and submitted.has_room:
                size = min(batch, rows_per_task(submitted.seconds_per_row), len(queue))
                submitted.submit([alone.pop()] if alone else [queue.pop() for _ in range(size)])
            finished, unfinished = submitted.collect()
            alone += unfinished
            yield finished
            if submitted.interrupted:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        yield submitted.collect(wait_for_one=False)[0]
        raise
    finally:
        submitted.cancel()
    if submitted.stopped is not None:
        raise RuntimeError(
            f"The executor given as `workers` has stopped ({reason_of(submitted.stopped)}). What it finished is kept; "
            f"call again with a new executor, with the same `store` to go on from there. If a run kills its process, "
            f"a number of workers finds out which one."
        ) from submitted.stopped


class _Submitted:
    """The tasks that are in flight in a user's executor.

    Attributes:
        running: the rows of every future.
        seconds_per_row: of the last task that came back, None before.
        interrupted: whether a task was cut short by an interrupt.
        stopped: why the executor takes no more tasks, None while it does.
    """

    def __init__(self, executor: Executor, task: SharedTask, overdue: Overdue):
        self._executor, self._task, self._overdue = executor, task, overdue
        self._since: dict[Future, float] = {}
        width = getattr(executor, "_max_workers", None)
        self._most = 2 * width if isinstance(width, int) else _MOST_TASKS
        self._one_is_done = False
        self.running: dict[Future, list[Task]] = {}
        self.seconds_per_row: float | None = None
        self.interrupted = False
        self.stopped: BaseException | None = None

    @property
    def has_room(self) -> bool:
        """Whether to hand over another task before collecting: not if one came back at once, run in this process."""
        return len(self.running) < self._most and not self._one_is_done and self.stopped is None

    def submit(self, tasks: list[Task]) -> None:
        try:
            future = self._executor.submit(self._task, tasks)
        except RuntimeError as error:
            # Broken or shut down. The rows stay pending.
            self.stopped = error
            return
        if not isinstance(future, Future):
            raise TypeError(
                f"`submit` of the executor given as `workers` must return a concurrent.futures.Future, got "
                f"{type(future).__name__}: let {type(self._executor).__name__}.submit make a Future() and set its "
                "result."
            )
        self.running[future] = tasks
        self._one_is_done = future.done()

    def collect(self, wait_for_one: bool = True) -> tuple[list[Result], list[Task]]:
        """Return the finished results, and the rows that have to be run alone to find out which one fails.

        Raises:
            TypeError: the function could not be pickled.
        """
        if wait_for_one and self.running:
            # In pieces, in which somebody looks after what runs.
            while not wait(self.running, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED).done:
                self._look()
        self._one_is_done = False
        finished: list[Result] = []
        unfinished: list[Task] = []
        for future in [future for future in self.running if future.done()]:
            tasks = self.running.pop(future)
            self._since.pop(future, None)
            error = CancelledError("a task was cancelled") if future.cancelled() else future.exception()
            if self._task.unsendable is not None:
                raise not_sendable(self._task.unsendable, "threads or workers=1") from self._task.unsendable
            if isinstance(error, BrokenExecutor | CancelledError):
                self.stopped = error
            elif isinstance(error, KeyboardInterrupt):
                self.interrupted = True
            elif error is None:
                seconds, results, cut_short = self._returned(future, len(tasks))
                self.interrupted = self.interrupted or cut_short
                # Of a run whose process has died nobody knows them.
                known = {row: of_row for (row, _), of_row in zip(results, seconds, strict=True) if of_row == of_row}
                self.seconds_per_row = sum(known.values()) / len(tasks)
                for row, of_row in known.items():
                    self._overdue.note(row, of_row)
                finished += results
            elif len(tasks) == 1:
                finished.append((tasks[0][0], reason_of(error)))
            else:
                unfinished += tasks
        return finished, unfinished

    def _look(self) -> None:
        """Tell of single rows that have been running for very long; which row of several it is in, nobody knows."""
        now = time.monotonic()
        for future, tasks in self.running.items():
            if future.running() and len(tasks) == 1:
                self._overdue.look(tasks[0], now - self._since.setdefault(future, now))

    def _returned(self, future: Future, rows: int) -> tuple[list[float], list[Result], bool]:
        """What the submitted function has returned for so many rows.

        Raises:
            TypeError: the executor has put something else into the future.
        """
        returned = future.result()
        whole = isinstance(returned, tuple | list) and len(returned) == 3 and isinstance(returned[1], list)
        if whole and (len(returned[1]) == rows or returned[2]):
            return tuple(returned)
        raise TypeError(
            f"a future of the executor given as `workers` must hold what the submitted function returned, got "
            f"{type(returned).__name__}: let {type(self._executor).__name__}.submit set the result of fn(*args, "
            "**kwargs), unchanged."
        )

    def cancel(self) -> None:
        """Take back what has not begun; the executor itself is the caller's."""
        for future in self.running:
            future.cancel()
