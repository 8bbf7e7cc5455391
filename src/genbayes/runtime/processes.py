"""What starting worker processes needs: how many, and what they must not run again."""

import os
import signal
import sys
import types
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def plain_main() -> Iterator[None]:
    """Hides the script from processes that are spawned: they would run it, and load JAX with it, before they start."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def ignore_interrupt() -> None:
    """For a started process: Ctrl-C reaches all of a terminal, and the parent decides what becomes of the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_now(executor: ProcessPoolExecutor) -> None:
    """Ends a pool and its processes in the middle of their tasks, which may be hours from their end."""
    for process in list((getattr(executor, "_processes", None) or {}).values()):
        process.terminate()
    executor.shutdown(wait=True, cancel_futures=True)
