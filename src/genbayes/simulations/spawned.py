"""The library's own pool: processes that may hang, leak, or die in the middle of a row."""

import os
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import cloudpickle

from .local_worker import GRACE_SECONDS, LocalWorker
from .overdue import Overdue
from .program_processes import Processes
from .thread_limits import limits_of_threads
from .worker import Result, Task, not_sendable

WORKER_DIED = "worker process died"
_TASK_SECONDS = 0.5
# How often somebody looks for rows that take too long.
_LOOK_SECONDS = 0.2
# Share of the machine's memory that all workers together may have before they are renewed.
_MEMORY_SHARE = 0.8
# Rows that failed again in a fresh process, one after the other, after which none is tried twice any more.
_MOST_USELESS = 5
# Workers that end before they have run anything, one after the other.
_MOST_STILLBORN = 3


def run_in_workers(
    function: Callable,
    seed: int,
    tasks: list[Task],
    batch: int,
    workers: int,
    server: bytes,
    timeout: float | None = None,
    overdue: Overdue | None = None,
    memory: int | None = None,
) -> Iterator[list[Result]]:
    """Yield the results of rows as worker processes finish them.

    A row that kills its worker, runs out of memory or takes more than the limit is tried once more in a fresh one, and
    has then failed; so has one that takes longer than the time limit, whose worker is killed. On KeyboardInterrupt the
    finished rows are yielded before it is raised again.

    Args:
        function: `function(inputs, rng, row)`.
        seed: seed of the job.
        tasks: the rows.
        batch: most rows that a worker is given at a time.
        workers: number of processes.
        server: `serve`, as `pickled` gives it: what a worker does.
        timeout: seconds that a row may take.
        overdue: tells of rows that take very long.
        memory: bytes that a worker may take; above it another one takes its place.

    Raises:
        RuntimeError: workers cannot start, or cannot load the simulator.
        TypeError: the simulator cannot be pickled.
    """
    pool = _Pool(function, seed, server, timeout, overdue or Overdue(()), memory)
    pool.todo = tasks[::-1]
    try:
        pool.start(min(workers, max(1, len(tasks))))
        while pool.busy:
            pool.hand_out(batch)
            yield pool.collect()
            if pool.interrupted:
                raise KeyboardInterrupt
        pool.leave()
    except KeyboardInterrupt:
        yield pool.collect(wait=False)
        raise
    finally:
        pool.stop()


def rows_per_task(seconds_per_row: float | None) -> int:
    """How many rows make a task of half a second; one as long as the time of a row is not known."""
    if seconds_per_row is None:
        return 1
    return max(1, int(_TASK_SECONDS / max(seconds_per_row, 1e-6)))


class _Pool:
    """Worker processes, and what has become of the rows that they were given.

    Attributes:
        todo: rows that nobody has been given, the next one last.
        seconds_per_row: of the last task that came back, None before.
        interrupted: whether a row has raised KeyboardInterrupt.
    """

    def __init__(
        self, function: Callable, seed: int, server: bytes, timeout: float | None, overdue: Overdue, most: int | None
    ):
        try:
            payload = cloudpickle.dumps(function)
        except Exception as error:
            raise not_sendable(error, "workers=1") from error
        self._start = {"payload": payload, "seed": seed, "serve": server}
        self._timeout, self._overdue, self._most_memory = timeout, overdue, most
        self._processes, self._answers = Processes(), SimpleQueue()
        self._workers: list[LocalWorker] = []
        self.todo: list[Task] = []
        # Rows that are tried once more, and those that were.
        self._alone: list[Task] = []
        self._tried: set[int] = set()
        self._useless = self._stillborn = 0
        self.seconds_per_row: float | None = None
        self.interrupted = False

    @property
    def _look_seconds(self) -> float:
        """How long to wait before somebody looks after the workers; memory is taken fast."""
        return _LOOK_SECONDS if self._most_memory is None else _LOOK_SECONDS / 4

    @property
    def busy(self) -> bool:
        """Whether there are rows that have not come back."""
        return bool(self.todo or self._alone) or any(worker.tasks for worker in self._workers)

    def start(self, workers: int) -> None:
        """Start so many processes."""
        self._environment = limits_of_threads(workers)
        self._memory = int(_MEMORY_SHARE * _memory_of_machine() / workers)
        for _ in range(workers):
            self._workers.append(self._new())

    def hand_out(self, batch: int) -> None:
        """Give every worker two tasks: it is never idle, and little is to be repeated if it dies."""
        for worker in list(self._workers):
            if self._alone and not worker.tasks:
                if not worker.fresh:
                    worker = self._renew(worker)
                worker.give([self._alone.pop()])
                continue
            while self.todo and worker.has_room:
                size = min(batch, rows_per_task(self.seconds_per_row), len(self.todo))
                given = [self.todo.pop() for _ in range(size)]
                if not worker.give(given):
                    self.todo += given[::-1]
                    break

    def collect(self, wait: bool = True) -> list[Result]:
        """Return finished results, after waiting for something to happen, or for a while.

        Raises:
            RuntimeError: a worker could not load the simulator, or none starts.
        """
        finished: list[Result] = []
        while True:
            try:
                worker, answer = self._answers.get(timeout=self._look_seconds) if wait else self._answers.get_nowait()
            except queue.Empty:
                if wait:
                    finished += [one for dead in list(self._workers) if dead.is_gone() for one in self._lost(dead)]
                break
            wait = False
            if worker not in self._workers:
                continue
            finished += self._lost(worker) if answer is None else self._taken(worker, answer)
        return finished + self._too_much()

    def leave(self) -> None:
        """Let the workers end by themselves, once all is done."""
        for worker in self._workers:
            worker.ask_to_leave()
        end = time.monotonic() + GRACE_SECONDS
        for worker in self._workers:
            worker.wait(end - time.monotonic())

    def stop(self) -> None:
        """End what is still there; rows that are being run stay pending."""
        for worker in self._workers:
            worker.end(grace=0.0 if worker.leaving else 0.2)
        self._workers = []
        self._processes.stop()

    def _new(self) -> LocalWorker:
        try:
            return LocalWorker(self._start, self._processes, self._answers, self._environment)
        except OSError as error:
            raise RuntimeError(f"A worker process could not start ({error}). Use fewer `workers`.") from error

    def _renew(self, worker: LocalWorker, grace: float = GRACE_SECONDS) -> LocalWorker:
        """A fresh process in the place of another one."""
        worker.end(grace=grace)
        place = self._workers.index(worker)
        self._workers[place] = self._new()
        return self._workers[place]

    def _taken(self, worker: LocalWorker, answer: Any) -> list[Result]:
        """The results of an answer; rows that ran out of memory are tried once more."""
        if (problem := answer["problem"]) is not None:
            raise RuntimeError(
                f"A worker process could not load `simulator` ({problem}). Import what it needs inside the function, "
                "or use workers=1."
            )
        tasks = worker.answered()
        seconds, results, interrupted = answer["rows"]
        memory = answer["memory"]
        self.interrupted = self.interrupted or interrupted
        self.seconds_per_row = sum(seconds) / len(tasks)
        for (row, _), of_row in zip(results, seconds, strict=True):
            self._overdue.note(row, of_row)
        self._stillborn = 0
        finished = []
        for task, (row, outcome) in zip(tasks, results, strict=False):
            no_memory = isinstance(outcome, str) and outcome.startswith("MemoryError")
            if no_memory and self._once_more(task):
                worker.leaving = True
                continue
            if row in self._tried and not isinstance(outcome, str):
                self._useless = 0
            finished.append((row, outcome))
        worker.base_memory = worker.base_memory or memory
        leaks = memory > max(self._memory, 2 * worker.base_memory)
        if leaks or (self._most_memory is not None and memory > self._most_memory):
            worker.leaving = True
        if worker.leaving and not worker.tasks:
            self._renew(worker)
        return finished

    def _once_more(self, task: Task) -> bool:
        """Whether a row is worth a second try; it is put aside for it."""
        if task[0] in self._tried:
            self._useless += 1
            return False
        if self._useless >= _MOST_USELESS:
            return False
        self._tried.add(task[0])
        self._alone.append(task)
        return True

    def _lost(self, worker: LocalWorker, reason: str | None = None, *, again: bool = False) -> list[Result]:
        """What becomes of the rows of a worker that has died, or (with a reason) has to; the one may be tried again."""
        running = worker.running()
        culprit = None if running is None else running[0]
        unfinished = [task for tasks in worker.tasks for task in tasks]
        worker.tasks = []
        self._renew(worker, GRACE_SECONDS if reason is not None else 0.0)
        if culprit is None and reason is None:
            self._stillborn += 1
            if self._stillborn >= _MOST_STILLBORN:
                raise RuntimeError(
                    f"The worker processes could not start: {_MOST_STILLBORN} of them ended before they had run "
                    f"anything (exit code {worker.exit_code}). Their standard error may say why; or use workers=1."
                )
        # The others are nobody's fault, and are run again.
        self.todo += [task for task in unfinished if culprit is None or task[0] != culprit[0]][::-1]
        if culprit is None:
            return []
        if reason is not None and not again:
            return [(culprit[0], reason)]
        return [] if self._once_more(culprit) else [(culprit[0], reason or WORKER_DIED)]

    def _too_much(self) -> list[Result]:
        """Kills the workers whose row is over a limit; tells of those that are long overdue."""
        finished: list[Result] = []
        for worker in list(self._workers):
            running = worker.running()
            if running is None:
                continue
            task, seconds = running
            if self._timeout is not None and seconds > self._timeout:
                self._overdue.note(task[0], seconds)
                finished += self._lost(worker, f"no answer within {self._timeout:g} s")
            elif self._most_memory is not None and worker.memory() > self._most_memory:
                reason = f"took more than {self._most_memory / 1e9:.3g} GB of memory"
                finished += self._lost(worker, reason, again=True)
            else:
                self._overdue.look(task, seconds)
        return finished


def _memory_of_machine() -> int:
    """Bytes that this machine, or the container that this process is in, may use."""
    limits = []
    with suppress(ValueError, OSError, AttributeError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError), open(path) as file:
            limits.append(int(file.read()))
    return min(limits, default=2**63)
