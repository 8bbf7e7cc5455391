"""The library's own pool: spawned processes that may die in the middle of a row."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import cloudpickle

from ..runtime.processes import end_now
from .worker import ByValue, Result, Task, install, not_sendable, run_installed

WORKER_DIED = "worker process died"
_TASK_SECONDS = 0.5


def run_in_workers(
    function: Callable, seed: int, tasks: list[Task], batch: int, workers: int
) -> Iterator[list[Result]]:
    """Yield the results of rows as spawned workers finish them; a row that kills its worker is a failed row.

    On KeyboardInterrupt the finished rows are yielded before it is raised again.

    Args:
        function: `function(inputs, rng, row)`.
        seed: seed of the job.
        tasks: the rows.
        batch: most rows that a worker is given at a time.
        workers: number of processes.

    Raises:
        RuntimeError: workers cannot start, or cannot load the simulator.
        TypeError: the simulator cannot be pickled.
    """
    pool = _Pool(function, seed)
    queue = tasks[::-1]
    try:
        pool.start(workers)
        while queue or pool.running:
            # Two tasks per worker keep all busy, and bound what must be repeated if one of them dies.
            while queue and len(pool.running) < 2 * workers and not pool.broken:
                size = min(batch, rows_per_task(pool.seconds_per_row), len(queue))
                pool.submit([queue.pop() for _ in range(size)])
            finished, lost = pool.collect()
            yield finished
            if pool.interrupted:
                raise KeyboardInterrupt
            for task in lost:
                yield [pool.run_alone(task)]
            if lost:
                pool.start(workers)
    except KeyboardInterrupt:
        yield pool.collect(wait_for_one=False)[0]
        raise
    finally:
        pool.stop()


def rows_per_task(seconds_per_row: float | None) -> int:
    """How many rows make a task of half a second; one as long as the time of a row is not known."""
    if seconds_per_row is None:
        return 1
    return max(1, int(_TASK_SECONDS / max(seconds_per_row, 1e-6)))


class _Pool:
    """Spawned processes (never forked: JAX runs threads) and the tasks in flight."""

    def __init__(self, function: Callable, seed: int):
        try:
            payload = cloudpickle.dumps(function)
        except Exception as error:
            raise not_sendable(error, "workers=1") from error
        self._install = ByValue(install)
        self._task = ByValue(run_installed)
        self._arguments = (payload, seed)
        self._executor: ProcessPoolExecutor | None = None
        self._width = 0
        self.seconds_per_row: float | None = None
        self.running: dict[Future, list[Task]] = {}
        self.broken = False
        self.interrupted = False

    def start(self, workers: int) -> None:
        self.stop()
        self._executor = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), self._install, self._arguments
        )
        self._width, self.broken = workers, False
        try:
            # An empty task, so that a pool that cannot start at all is told apart from a simulator that kills it.
            self._executor.submit(self._task, []).result()
        except BrokenProcessPool:
            raise RuntimeError(
                "The worker processes could not start. In a script, put the code that runs under "
                "`if __name__ == '__main__':`, because workers import the script; or use workers=1."
            ) from None

    def submit(self, tasks: list[Task]) -> None:
        try:
            future = self._submit(tasks)
        except BrokenProcessPool as error:
            self.broken = True
            future = Future()
            future.set_exception(error)
        self.running[future] = tasks

    def collect(self, wait_for_one: bool = True) -> tuple[list[Result], list[Task]]:
        """Return the finished results, and the tasks whose process died.

        Raises:
            RuntimeError: a worker could not load the simulator.
        """
        if wait_for_one:
            wait(self.running, return_when=FIRST_COMPLETED)
        if any(isinstance(future.exception(), BrokenProcessPool) for future in self.running if future.done()):
            # All the others fail at once too; none may be left behind in a broken pool.
            self.broken = True
            wait(self.running)
        finished: list[Result] = []
        lost: list[Task] = []
        for future in [future for future in self.running if future.done()]:
            tasks = self.running.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                lost.extend(tasks)
            elif isinstance(error, KeyboardInterrupt):
                self.interrupted = True
            elif error is not None:
                raise RuntimeError(
                    f"A worker process could not load `simulator` ({type(error).__name__}: {error}). Import what it "
                    f"needs inside the function, or use workers=1."
                ) from error
            else:
                seconds, results, stopped = future.result()
                self.interrupted = self.interrupted or stopped
                self.seconds_per_row = seconds / len(tasks)
                finished.extend(results)
        return finished, lost

    def run_alone(self, task: Task) -> Result:
        """Run one row in a pool of one worker, to find out whether it is the one that kills."""
        if self.broken or self._width != 1:
            self.start(1)
        try:
            return self._submit([task]).result()[1][0]
        except BrokenProcessPool:
            self.broken = True
            return task[0], WORKER_DIED

    def stop(self) -> None:
        if self._executor is None:
            return
        # The rows of its workers stay pending.
        end_now(self._executor)
        self._executor = None

    def _submit(self, tasks: list[Task]) -> Future:
        if self._executor is None:
            raise RuntimeError("The pool of workers has not been started.")
        return self._executor.submit(self._task, tasks)
