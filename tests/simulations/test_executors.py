"""Rows of a Python simulator in anybody's executor: the same numbers, and nothing lost."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genbayes.priors.prior import Prior
from genbayes.simulations.rows import Simulations
from genbayes.simulations.running import simulate

PRIOR = Prior.uniform([0, -1], [1, 1], names=["rate", "delay"])


class Synchronous(Executor):
    """The least that an executor can be: it runs what it is given at once."""

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class LosesARow(Synchronous):
    """An executor that fails, not its simulator, whenever a task holds one row."""

    def __init__(self, lost: int):
        self.lost = lost

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        def failing(tasks: list) -> Any:
            if any(row == self.lost for row, *_ in tasks):
                raise OSError("node lost\nwith details")
            return fn(tasks)

        return super().submit(failing, *args, **kwargs)


class Stops(Synchronous):
    """An executor that is shut down after some tasks."""

    def __init__(self, after: int):
        self.left = after

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        if not self.left:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.left -= 1
        return super().submit(fn, *args, **kwargs)


def make_simulator() -> Callable:
    # A closure, so that processes receive it whole instead of importing this file.
    def simulator(theta: np.ndarray, rng: np.random.Generator) -> list:
        import sys

        if theta[0] < 0.2:
            raise ValueError("rate too low")
        return [theta[0], theta[1], rng.normal(), float("jax" in sys.modules)]

    return simulator


def run(simulator: Callable, n: int = 40, **options: Any) -> Simulations:
    return simulate(simulator, PRIOR, n, seed=1, progress=False, **options)


# An executor of one's own gets a line here.
EXECUTORS: dict[str, Callable[[], Executor]] = {
    "threads": lambda: ThreadPoolExecutor(3),
    "processes": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
    "synchronous": Synchronous,
}


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with EXECUTORS[request.param]() as made:
        yield made


def test_any_executor_gives_the_rows_of_one_process_and_stays_open(executor: Executor, tmp_path: Path) -> None:
    whole = run(make_simulator())
    made = run(make_simulator(), workers=executor, store=tmp_path / "a")
    for name in ("theta", "status"):
        np.testing.assert_array_equal(getattr(made, name), getattr(whole, name))
    np.testing.assert_array_equal(made.x[:, :3], whole.x[:, :3])
    assert made.reasons == whole.reasons == ("ok", "pending", "ValueError: rate too low")
    # Only a process of its own shows it: the function arrives by value, and nothing imports JAX there.
    assert set(made.x[made.ok, 3]) == {0.0 if isinstance(executor, ProcessPoolExecutor) else 1.0}
    np.testing.assert_array_equal(Simulations.open(tmp_path / "a").x, made.x)
    assert executor.submit(int, "3").result() == 3


def test_threads_may_hold_what_cannot_be_pickled() -> None:
    lock, calls = threading.Lock(), []

    def simulator(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        with lock:
            calls.append(theta)
        return theta

    with ThreadPoolExecutor(2) as threads:
        assert run(simulator, 10, workers=threads).ok.all()
    assert len(calls) == 10
    told = pytest.raises(TypeError, match="cannot be sent to worker processes .* or use threads or workers=1")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes, told:
        run(simulator, 10, workers=processes)


def test_the_failure_of_a_task_costs_the_row_that_caused_it() -> None:
    whole = run(make_simulator())
    lost = int(np.flatnonzero(whole.ok)[9])
    made = run(make_simulator(), workers=LosesARow(lost))
    others = np.arange(40) != lost
    assert made.reasons[made.status[lost]] == "OSError: node lost"
    np.testing.assert_array_equal(made.x[others], whole.x[others])
    np.testing.assert_array_equal(made.ok[others], whole.ok[others])


class Bare(Executor):
    """Returns what the task returns, and no future of it."""

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)


class Changes(Synchronous):
    """Makes something else of what a task returns."""

    def __init__(self, change: Callable[[Any], Any]):
        self.change = change

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        return super().submit(lambda: self.change(fn(*args, **kwargs)))


def test_an_executor_that_returns_something_else_is_told() -> None:
    with pytest.raises(TypeError, match=r"must return a concurrent.futures.Future, got tuple: let Bare.submit make"):
        run(make_simulator(), workers=Bare())
    for change in (lambda returned: None, lambda returned: returned[1], lambda returned: (returned[0], [], False)):
        with pytest.raises(TypeError, match="must hold what the submitted function returned, got .* Changes.submit"):
            run(make_simulator(), workers=Changes(change))


def test_an_executor_that_stops_loses_nothing_that_was_done(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="given as `workers` has stopped .*after shutdown.*with the same `store`"):
        run(make_simulator(), workers=Stops(3), store=tmp_path / "a", batch_size=2)
    status = Simulations.open(tmp_path / "a").status
    # The first task is one row, whose time sets the size of the others: at most two.
    assert (status[:5] != 1).all()
    assert (status[5:] == 1).all()
    np.testing.assert_array_equal(run(make_simulator(), store=tmp_path / "a").x, run(make_simulator()).x)


def test_an_interrupt_keeps_what_was_done(tmp_path: Path) -> None:
    whole = run(make_simulator())
    stop_at, inner = float(whole.theta[17, 0]), make_simulator()

    def simulator(theta: np.ndarray, rng: np.random.Generator) -> list:
        if theta[0] == stop_at:
            raise KeyboardInterrupt
        return inner(theta, rng)

    with pytest.raises(KeyboardInterrupt):
        run(simulator, workers=Synchronous(), store=tmp_path / "a")
    status = Simulations.open(tmp_path / "a").status
    assert (status[:17] != 1).all()
    assert (status[17:] == 1).all()


def test_a_vectorised_simulator_needs_no_executor() -> None:
    with pytest.raises(ValueError, match="`workers` must be 1 for a JAX simulator, got Synchronous: its runs"):
        run(lambda key, theta: theta, workers=Synchronous())
