"""Whole numbers: those that a caller gives (of draws, of runs, of workers), and rows that stand for many."""

from typing import Any

import numpy as np
from jaxtyping import Int


def checked_count(name: str, value: Any, *, least: int = 1, remedy: str = "") -> int:
    """Return a number of things as an int after checking it.

    Args:
        name: what the error calls it, such as "n" or "FitConfig: members".
        value: what the caller gave; numpy's whole numbers count, True and 3.0 do not.
        least: the least number that makes sense.
        remedy: what the error adds at its end, such as "; write int(n)".

    Raises:
        ValueError: no whole number, or one below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}{remedy}.")
    return int(value)


def evenly_spaced(total: int, most: int) -> Int[np.ndarray, " rows"]:
    """Numbers of at most `most` of `total` rows, from the first to the last, as far apart as whole numbers can be."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int))
