"""How much a traced function computes for one row, and so how many rows of it are run at once."""

import math
from collections.abc import Iterator
from typing import Any

# Rows that are run at once of a function of which nothing is known, and of one that is done in no time.
LEAST_AT_ONCE, _MOST_AT_ONCE = 1024, 8192
# Numbers that a small function reads and writes for one row, at most: 8192 rows of it take about a tenth of a second.
_SMALL_WORK = 20_000
# Bytes of the largest array of a batch that stay in a processor's own memory.
_MOST_BYTES = 2**21
# A job of very many rows has so many batches at least, since the last one is filled up.
_LEAST_BATCHES = 16


def rows_at_once(jaxpr: Any, n: int) -> int:
    """The size of the batches in which n rows of a function are run: a power of two.

    To hand over a batch takes as long as a thousand rows of a tiny function, so that those of it are larger. Batches of
    one that takes its time stay small: no more is lost when it is stopped, and less memory is taken.

    Args:
        jaxpr: of the function of one row.
        n: number of rows.
    """
    if n < _LEAST_BATCHES * LEAST_AT_ONCE:
        return min(LEAST_AT_ONCE, max(16, 1 << (n - 1).bit_length()))
    work, largest = _work(jaxpr)
    if work > _SMALL_WORK:
        return LEAST_AT_ONCE
    most = min(_MOST_AT_ONCE, n // _LEAST_BATCHES, _MOST_BYTES // max(largest, 1))
    return max(LEAST_AT_ONCE, 1 << max(0, most.bit_length() - 1))


def _work(jaxpr: Any) -> tuple[float, int]:
    """The numbers that are read and written for one row, infinity where that is not known, and the largest bytes."""
    work, largest = 0.0, 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("while", "pure_callback", "io_callback"):
            return math.inf, largest
        arrays = [one.aval for one in (*equation.invars, *equation.outvars) if hasattr(one.aval, "dtype")]
        largest = max([largest, *(one.size * one.dtype.itemsize for one in arrays)])
        inner = [_work(one) for one in _inner(equation)]
        # A scan with nothing inside reads and writes its arrays, like any other.
        own = sum(one.size for one in arrays)
        work += equation.params.get("length", 1) * sum(of_one for of_one, _ in inner) if inner else own
        largest = max([largest, *(bytes_of_one for _, bytes_of_one in inner)])
    return work, largest


def _inner(equation: Any) -> Iterator[Any]:
    """The programs inside an equation, such as the step of a scan, or the branches of a condition."""
    for given in equation.params.values():
        for one in given if isinstance(given, tuple | list) else (given,):
            program = getattr(one, "jaxpr", one)
            if hasattr(program, "eqns"):
                yield program
