"""What runs in a worker: a function over rows, and the way in which it gets there without its module.

Everything that is sent from here is pickled by value, because importing this package would load JAX in every worker.
"""

import functools
import signal
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np

from ..runtime.named_values import fields_of, structured

# What became of one row: its output, structured where its values have names, or the reason why there is none.
Result = tuple[int, np.ndarray | str]
# A row to be run: where its result belongs, the number of its random numbers, its inputs.
Task = tuple[int, int, np.ndarray]
# Modules whose functions are sent whole, beside this one: `sent_by_value`.
_by_value: list[types.ModuleType] = []


class RunFailed(Exception):
    """Raised in a run, with the reason of its failure in words of its own."""


def sent_by_value(*names: str) -> None:
    """Register imported modules, by name, for what an executor sends to other processes.

    Whatever they import of this package has to be registered too.
    """
    _by_value.extend(sys.modules[name] for name in names)


def run_row(function: Callable, seed: int, task: Task) -> Result:
    """Run a row and return its output as float64, named values as a structured array, or the reason of its failure.

    Args:
        function: `function(inputs, rng, row)`.
        seed: seed of the job; with the number of the row's random numbers it alone decides them.
        task: the row; its inputs (dim + c,) are handed over in float64.
    """
    row, number, inputs = task
    # Three words, the last one not zero: numpy's SeedSequence does not tell trailing zeros from none.
    rng = np.random.default_rng(np.random.SeedSequence([seed, number, 1]))
    try:
        output = function(np.array(inputs, np.float64), rng, row)
    except (Exception, SystemExit) as error:
        return row, reason_of(error)
    try:
        if (fields := fields_of(output)) is not None:
            return row, structured(fields)
    except (TypeError, ValueError) as error:
        return row, f"the output cannot be read: {error}"
    try:
        array = np.asarray(output)
        if array.dtype.kind not in "biuf":
            return row, f"the output is not numeric: {type(output).__name__} of dtype {array.dtype}"
        # Not yet rounded: the recorder sees what single precision would lose.
        return row, np.array(array, np.float64)
    except (TypeError, ValueError):
        return row, f"the output is not an array: {type(output).__name__}"


def reason_of(error: BaseException) -> str:
    """An exception as the reason of a failed row: its type and the first line of its message; RunFailed's as it is."""
    message = str(error).strip().split("\n")[0]
    if isinstance(error, RunFailed):
        return message
    return f"{type(error).__name__}: {message}"[:200].removesuffix(": ")


def run_rows(function: Callable, seed: int, tasks: list[Task]) -> tuple[float, list[Result], bool]:
    """Run rows; returns the seconds that they took, their results, and whether an interrupt cut them short."""
    started = time.perf_counter()
    results: list[Result] = []
    for task in tasks:
        try:
            results.append(run_row(function, seed, task))
        except KeyboardInterrupt:
            return time.perf_counter() - started, results, True
    return time.perf_counter() - started, results, False


def install(payload: bytes, seed: int) -> None:
    """Keep the pickled function of a job in a process of the library's own pool, before its first task."""
    # Ctrl-C reaches every process of a terminal; the parent alone decides what becomes of the work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    state = types.ModuleType("_genbayes_worker")
    state.__dict__.update(payload=payload, seed=seed, function=None)
    sys.modules[state.__name__] = state


def run_installed(tasks: list[Task]) -> tuple[float, list[Result], bool]:
    """`run_rows` with the function that `install` has kept."""
    state = sys.modules["_genbayes_worker"].__dict__
    if tasks and state["function"] is None:
        state["function"] = cloudpickle.loads(state["payload"])
    return run_rows(state["function"], state["seed"], tasks)


class ByValue:
    """A function of this module that another process receives whole."""

    def __init__(self, function: Callable):
        self._payload = _pickled(function)

    def __reduce__(self) -> tuple:
        return cloudpickle.loads, (self._payload,)

    def __call__(self, *args: Any) -> Any:
        """Executors hand over what can be called; only the function that arrives is."""
        raise RuntimeError("This stands for a function in a worker process; it is not called here.")


class SharedTask:
    """`run_rows` for an executor that may keep it in this process or send it to another one.

    Attributes:
        unsendable: why the function could not be pickled; None as long as that was not tried or has succeeded.
    """

    def __init__(self, function: Callable, seed: int):
        self._run = functools.partial(run_rows, function, seed)
        self._payload: bytes | None = None
        self.unsendable: Exception | None = None

    def __call__(self, tasks: list[Task]) -> tuple[float, list[Result], bool]:
        """Run rows in this process, see `run_rows`."""
        return self._run(tasks)

    def __reduce__(self) -> tuple:
        if self._payload is None:
            try:
                self._payload = _pickled(self._run)
            except Exception as error:
                self.unsendable = error
                raise
        return cloudpickle.loads, (self._payload,)


def not_sendable(error: Exception, remedy: str) -> TypeError:
    """The error of a simulator that cannot be pickled."""
    return TypeError(
        f"`simulator` cannot be sent to worker processes ({type(error).__name__}: {error}). Do not let it hold "
        f"open files, locks or processes; open them inside the function, or use {remedy}."
    )


def _pickled(function: Callable) -> bytes:
    modules = [sys.modules[__name__], *_by_value]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(function)
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


sent_by_value("genbayes.runtime.named_values")
