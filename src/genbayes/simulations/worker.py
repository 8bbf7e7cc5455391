"""What runs in a worker: a function over rows, and the way in which it gets there without its module.

Everything that is sent from here is pickled by value, because importing this package would load JAX in every worker.
"""

import functools
import mmap
import os
import pickle
import queue
import signal
import sys
import threading
import time
import types
from collections.abc import Callable
from typing import IO, Any

import cloudpickle
import numpy as np

from ..runtime.named_values import fields_of, structured, without_mask

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
        array = np.asarray(without_mask(output))
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


def run_rows(
    function: Callable, seed: int, tasks: list[Task], note: Callable[[int], None] | None = None
) -> tuple[list[float], list[Result], bool]:
    """Run rows; returns the seconds that each took, their results, and whether an interrupt cut them short.

    Args:
        function: `function(inputs, rng, row)`.
        seed: of the job.
        tasks: the rows.
        note: is told the place of every row before it begins.
    """
    seconds: list[float] = []
    results: list[Result] = []
    for index, task in enumerate(tasks):
        if note is not None:
            note(index)
        started = time.perf_counter()
        try:
            results.append(run_row(function, seed, task))
        except KeyboardInterrupt:
            return seconds, results, True
        seconds.append(time.perf_counter() - started)
    return seconds, results, False


def serve(receive: Callable[[], bytes], writing: IO[bytes], start: dict[str, Any]) -> None:
    """What a process of the library's own pool does from its start to its end.

    Args:
        receive: waits for the next message, and ends the process where there is no parent any more.
        writing: where answers go.
        start: the pickled function of the job as `payload`, its `seed`, and the path or file of the memory `note`.
    """
    # Ctrl-C reaches every process of a terminal; the parent alone decides what becomes of the work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    messages: queue.SimpleQueue = queue.SimpleQueue()

    def read() -> None:
        # In a thread of its own, so that the end of the parent is heard of in the middle of a row.
        while True:
            messages.put(receive())

    threading.Thread(target=read, daemon=True).start()
    with open(start["note"], "r+b") as file:
        # Aligned numbers of eight bytes, each of which is written in one step.
        noted = memoryview(mmap.mmap(file.fileno(), 0)).cast("d")
    function, number = None, 0

    def note(index: int) -> None:
        # No row until all is written: who reads in between is not misled.
        noted[1] = -1
        noted[2] = time.monotonic()
        noted[0] = number
        noted[1] = index

    while (tasks := pickle.loads(messages.get())) is not None:
        answer: dict[str, Any] = {"problem": None}
        try:
            function = cloudpickle.loads(start["payload"]) if function is None else function
        except Exception as error:
            answer["problem"] = f"{type(error).__name__}: {error}"
        else:
            answer["rows"] = run_rows(function, start["seed"], tasks, note)
            answer["memory"] = memory_in_use()
        note(-1)
        number += 1
        content = pickle.dumps(answer)
        writing.write(len(content).to_bytes(8, "little") + content)
        writing.flush()


def memory_in_use() -> int:
    """Bytes of this process in memory; 0 where the platform does not say it."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0


def run_elsewhere(path: list[str], function: bytes, tasks: list[Task]) -> tuple[list[float], list[Result], bool]:
    """Run rows on another machine, or in another folder, where the function's module is to be found as it was here.

    Args:
        path: where the sender's modules are looked for, of a file system that both see.
        function: pickled, of the rows.
        tasks: the rows.
    """
    sys.path.extend(entry for entry in path if entry not in sys.path)
    return cloudpickle.loads(function)(tasks)


class SharedTask:
    """`run_rows`, or what does the same, for an executor that may keep it in this process or send it to another one.

    Attributes:
        unsendable: why the function could not be pickled; None as long as that was not tried or has succeeded.
    """

    # No `__dict__`: who wraps this (Parsl, by `functools.wraps`) would copy it, and pickle what is in it by reference,
    # for which every worker would have to import this package.
    __slots__ = ("_payload", "_run", "unsendable")

    def __init__(self, function: Callable, seed: int, run: Callable = run_rows):
        self._run = functools.partial(run, function, seed)
        self._payload: bytes | None = None
        self.unsendable: Exception | None = None

    def __call__(self, tasks: list[Task]) -> tuple[list[float], list[Result], bool]:
        """Run rows in this process, see `run_rows`."""
        return self._run(tasks)

    def __reduce__(self) -> tuple:
        if self._payload is None:
            try:
                self._payload = pickled(functools.partial(run_elsewhere, list(sys.path), pickled(self._run)))
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


def pickled(function: Callable) -> bytes:
    """A function with whatever it needs of this package."""
    # A module may have been registered by several that need it.
    modules = list(dict.fromkeys([sys.modules[__name__], *_by_value]))
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(function)
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


sent_by_value("genbayes.runtime.named_values")
