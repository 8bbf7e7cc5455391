"""What starting worker processes needs: how many, and what they must not run again."""

import os
import sys
import types
from collections.abc import Iterator
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
