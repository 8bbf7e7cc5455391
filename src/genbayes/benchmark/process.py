"""Fit and sampling of one (task, method, seed) in a process of its own.

So peak memory and compilation are that method's alone, and whatever kills the process ends that group only. After each
posterior the process waits for the parent's word: what the parent computes meanwhile does not disturb its times.
"""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import cloudpickle
import numpy as np

from ..runtime.processes import ignore_interrupt, plain_main
from ..runtime.timing import stopwatch
from ..simulations.rows import Simulations
from ..simulations.running import simulate
from ..tasks import Task
from .methods.method import Fitted, Method


@dataclass(frozen=True)
class Target:
    """One observation and the inverse temperatures to sample at: (kind, index) name it."""

    kind: str
    index: int
    x_o: np.ndarray
    betas: tuple[float, ...]


@dataclass(frozen=True)
class Group:
    """What one process does.

    Attributes:
        task: makes the task.
        method: that is fitted and sampled; None: only simulate.
        store: path of the simulations.
        simulations: number of them.
        seed: of simulations, fit and draws.
        draws: number per posterior.
        targets: what to sample.
        grid: parameters (m, dim) at which the predicted cost is asked for.
        log: file that takes what the method prints.
    """

    task: Callable[[], Task]
    method: Method | None
    store: Path
    simulations: int
    seed: int
    draws: int
    targets: tuple[Target, ...]
    grid: np.ndarray
    log: Path


@dataclass(frozen=True)
class Fit:
    """What is known once the group's fit is done: seconds of "compile" and "run", and what the method said."""

    seconds: dict[str, float]
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """Draws of one posterior; `betas` are all those they stand for, `predicted` the cost at the grid, if any."""

    target: Target
    betas: tuple[float, ...]
    theta: np.ndarray
    beta_used: float | None
    seconds: dict[str, float]
    messages: tuple[str, ...]
    predicted: np.ndarray | None
    peak_memory_mib: float


@dataclass(frozen=True)
class Failure:
    """What went wrong; without a target the whole rest of the group failed."""

    message: str
    target: Target | None = None
    betas: tuple[float, ...] = ()


@dataclass(frozen=True)
class Done:
    """The group has ended as it should; seconds of simulation, where it simulated."""

    seconds: dict[str, float]


Event = Fit | Drawn | Failure | Done


def run_group(group: Group) -> Generator[Event, None, None]:
    """Runs a group in a new process and yields what happens there; it goes on when the next event is asked for.

    The last event is `Done`, or a `Failure` without a target. Leaving the iteration early ends the process.
    """
    group.log.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    try:
        payload = cloudpickle.dumps(group)
    except Exception as error:
        yield Failure(f"it cannot be sent to a process of its own: {_words(error)}")
        return
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(theirs, payload, str(group.log)))
    with plain_main():
        process.start()
    theirs.close()
    ended = False
    try:
        while not ended:
            try:
                event = ours.recv()
            except (EOFError, ConnectionResetError):
                process.join()
                event = Failure(_death(process.exitcode, group.log))
            ended = isinstance(event, Done) or (isinstance(event, Failure) and event.target is None)
            yield event
            if not ended:
                ours.send("go on")
    finally:
        ours.close()
        process.join(timeout=10 if ended else 0)
        if process.is_alive():
            process.kill()
            process.join()


def _death(code: int | None, log: Path) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        text = f"its process was killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    else:
        text = f"its process ended with exit code {code}"
    lines = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
    return text + (f": {lines[-1][:200]}" if lines else "")


def _main(connection: Connection, payload: bytes, log: str) -> None:
    """The process: sends events, and waits for a word after each."""
    ignore_interrupt()
    with open(log, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        for event in _work(cloudpickle.loads(payload)):
            connection.send(event)
            if not isinstance(event, Done):
                connection.recv()
    except EOFError:
        pass  # the parent is gone
    except BaseException as error:
        traceback.print_exc()
        connection.send(Failure(_words(error)))


def _work(group: Group) -> Iterator[Event]:
    task = group.task()
    if group.method is None:
        # An interrupted call simulated some of the rows before: its seconds count as well.
        earlier = Simulations.open(group.store).seconds if group.store.exists() else 0.0
        with stopwatch() as seconds:
            simulate(task.simulator, task.prior, group.simulations, seed=group.seed, store=group.store, progress=False)
        yield Done({"compile": seconds["compile"], "run": seconds["run"] + earlier})
        return
    fitted = group.method.fit(task, Simulations.open(group.store), seed=group.seed, progress=False)
    yield Fit(dict(fitted.seconds), tuple(fitted.messages))
    for target in group.targets:
        predicted = None
        ladders = [(beta,) for beta in target.betas] if fitted.tempered else [target.betas]
        for betas in ladders:
            try:
                drawn = fitted.sample(target.x_o, betas[-1], group.draws, seed=group.seed)
                memory = _peak_memory_mib()
                if predicted is None:
                    predicted = _predicted(fitted, group.grid, target.x_o)
            except Exception as error:
                traceback.print_exc()
                yield Failure(_words(error), target, betas)
                continue
            theta = np.asarray(drawn.theta, np.float32)
            seconds, messages = dict(drawn.seconds), tuple(drawn.messages)
            yield Drawn(target, betas, theta, drawn.beta, seconds, messages, predicted, memory)
    yield Done({})


def _predicted(fitted: Fitted, grid: np.ndarray, x_o: np.ndarray) -> np.ndarray | None:
    values = fitted.predicted_cost(grid, x_o)
    return None if values is None else np.asarray(values, np.float64)


def _peak_memory_mib() -> float:
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}".removesuffix(": ")
