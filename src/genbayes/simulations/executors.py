"""Running a Python simulator over rows, in this process or in spawned workers that may die."""

import multiprocessing
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cloudpickle
import numpy as np

from ..runtime.processes import end_now

# What became of one row: its output, or the reason why there is none.
Result = tuple[int, np.ndarray | str]
WORKER_DIED = "worker process died"
_TASK_SECONDS = 0.5


def run_row(simulator: Callable, seed: int, number: int, theta: np.ndarray) -> np.ndarray | str:
    """Run the simulator once and return its output as float32, or the reason of its failure.

    Args:
        simulator: `simulator(theta, rng)`.
        seed: seed of the job.
        number: of the simulation's random numbers; with the seed it alone decides them.
        theta: parameters (dim,), handed over in float64.
    """
    # Three words, the last one not zero: numpy's SeedSequence does not tell trailing zeros from none.
    rng = np.random.default_rng(np.random.SeedSequence([seed, number, 1]))
    try:
        output = simulator(np.array(theta, np.float64), rng)
    except (Exception, SystemExit) as error:
        message = str(error).strip().split("\n")[0]
        return f"{type(error).__name__}: {message}"[:200].removesuffix(": ")
    try:
        array = np.asarray(output)
        if array.dtype.kind not in "biuf":
            return f"the output is not numeric: {type(output).__name__} of dtype {array.dtype}"
        with np.errstate(over="ignore"):
            return np.array(array, np.float32)
    except (TypeError, ValueError):
        return f"the output is not an array: {type(output).__name__}"


def run_serially(
    simulator: Callable, seed: int, rows: np.ndarray, numbers: np.ndarray, theta: np.ndarray, batch: int
) -> Iterator[list[Result]]:
    """Yield the results of `rows` (m,) with parameters theta (m, dim) in lists of at most `batch`.

    `numbers` (m,) are those of their random numbers.

    On KeyboardInterrupt the finished rows are yielded before it is raised again.
    """
    done: list[Result] = []
    last_yield = time.monotonic()
    try:
        for row, number, parameters in zip(rows.tolist(), numbers.tolist(), theta, strict=True):
            done.append((row, run_row(simulator, seed, number, parameters)))
            if len(done) >= batch or time.monotonic() - last_yield > 2.0:
                batch_done, done = done, []
                yield batch_done
                last_yield = time.monotonic()
    except KeyboardInterrupt:
        yield done
        raise
    if done:
        yield done


def run_in_workers(
    simulator: Callable,
    seed: int,
    rows: np.ndarray,
    numbers: np.ndarray,
    theta: np.ndarray,
    batch: int,
    workers: int,
) -> Iterator[list[Result]]:
    """Yield the results of `rows` as spawned workers finish them; a row that kills its worker is a failed row.

    On KeyboardInterrupt the finished rows are yielded before it is raised again.

    Raises:
        RuntimeError: workers cannot start, or cannot load the simulator.
        TypeError: the simulator cannot be pickled.
    """
    pool = _Pool(simulator, seed)
    queue = list(zip(rows.tolist(), numbers.tolist(), theta, strict=True))[::-1]
    try:
        pool.start(workers)
        while queue or pool.running:
            # Two tasks per worker keep all busy, and bound what must be repeated if one of them dies.
            while queue and len(pool.running) < 2 * workers and not pool.broken:
                size = min(batch, pool.rows_per_task(), len(queue))
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


class _Pool:
    """Spawned processes (never forked: JAX runs threads) and the tasks in flight."""

    def __init__(self, simulator: Callable, seed: int):
        try:
            payload = cloudpickle.dumps(simulator)
        except Exception as error:
            raise TypeError(
                f"`simulator` cannot be sent to worker processes ({type(error).__name__}: {error}). Do not let it hold "
                f"open files, locks or processes; open them inside the function, or use workers=1."
            ) from error
        self._install = _ByValue(_install)
        self._task = _ByValue(_run_task)
        self._arguments = (payload, seed)
        self._executor: ProcessPoolExecutor | None = None
        self._width = 0
        self._seconds_per_row: float | None = None
        self.running: dict[Future, list] = {}
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

    def submit(self, tasks: list) -> None:
        try:
            future = self._submit(tasks)
        except BrokenProcessPool as error:
            self.broken = True
            future = Future()
            future.set_exception(error)
        self.running[future] = tasks

    def rows_per_task(self) -> int:
        if self._seconds_per_row is None:
            return 1
        return max(1, int(_TASK_SECONDS / max(self._seconds_per_row, 1e-6)))

    def collect(self, wait_for_one: bool = True) -> tuple[list[Result], list]:
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
        lost = []
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
                self._seconds_per_row = seconds / len(tasks)
                finished.extend(results)
        return finished, lost

    def run_alone(self, task: tuple[int, int, np.ndarray]) -> Result:
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

    def _submit(self, tasks: list) -> Future:
        if self._executor is None:
            raise RuntimeError("The pool of workers has not been started.")
        return self._executor.submit(self._task, tasks)


class _ByValue:
    """A function of this module that the worker receives whole: importing it would load JAX in every worker."""

    def __init__(self, function: Callable):
        module = sys.modules[__name__]
        cloudpickle.register_pickle_by_value(module)
        try:
            self._payload = cloudpickle.dumps(function)
        finally:
            cloudpickle.unregister_pickle_by_value(module)

    def __reduce__(self) -> tuple:
        return cloudpickle.loads, (self._payload,)

    def __call__(self, *args: Any) -> Any:
        raise RuntimeError("This stands for a function in a worker process; it is not called here.")


def _install(payload: bytes, seed: int) -> None:
    # Ctrl-C reaches every process of a terminal; the parent alone decides what becomes of the work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    state = types.ModuleType("_genbayes_worker")
    state.__dict__.update(payload=payload, seed=seed, simulator=None)
    sys.modules[state.__name__] = state


def _run_task(tasks: list) -> tuple[float, list, bool]:
    started = time.perf_counter()
    state = sys.modules["_genbayes_worker"].__dict__
    if tasks and state["simulator"] is None:
        state["simulator"] = cloudpickle.loads(state["payload"])
    results: list = []
    for row, number, parameters in tasks:
        try:
            results.append((row, run_row(state["simulator"], state["seed"], number, parameters)))
        except KeyboardInterrupt:
            return time.perf_counter() - started, results, True
    return time.perf_counter() - started, results, False
