"""Seconds of a stage, with the time that JAX spends on tracing and compiling told apart."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax

_COMPILE_EVENTS = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)
_open_watches: list[list[tuple[float, float]]] = []


def _listen(event: str, duration_secs: float, **_: object) -> None:
    if event in _COMPILE_EVENTS:
        now = time.perf_counter()
        for intervals in _open_watches:
            intervals.append((now - duration_secs, now))


jax.monitoring.register_event_duration_secs_listener(_listen)


@contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """Times its block; on leaving, the dictionary holds the seconds of "compile" and of "run" (all the rest).

    Compilation counts as the union of the intervals that JAX reports: traces of nested functions lie inside one
    another and a sum would count them twice.
    """
    seconds: dict[str, float] = {}
    intervals: list[tuple[float, float]] = []
    _open_watches.append(intervals)
    started = time.perf_counter()
    try:
        yield seconds
    finally:
        total = time.perf_counter() - started
        # By identity: two watches may hold equal lists.
        _open_watches[:] = [other for other in _open_watches if other is not intervals]
        compiling, reached = 0.0, started
        for low, high in sorted(intervals):
            compiling += max(0.0, high - max(low, reached))
            reached = max(reached, high)
        seconds.update(compile=compiling, run=max(0.0, total - compiling))
