"""Whole numbers: those that a caller gives (of draws, of runs, of workers), and rows that stand for many."""

from typing import Any

import numpy as np
from jaxtyping import Int


def checked_count(name: str, value: Any, *, least: int = 1, remedy: str = "") -> int:
    """Return a number of things as an int after checking it.

    Args:
        name: what the error calls it, such as "n" or "FitConfig: members".
        value: what the caller gave; numpy's whole numbers count, and floats without a fraction such as 1e4; True does
            not.
        least: the least number that makes sense.
        remedy: what the error adds at its end, such as "; write int(n)".

    Raises:
        ValueError: no whole number, or one below `least`.
    """
    is_whole = isinstance(value, int | np.integer) or (isinstance(value, float | np.floating) and value.is_integer())
    if isinstance(value, bool) or not is_whole or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}{remedy}.")
    return int(value)


def set_counts(settings: Any, *names: str, least: int = 1) -> None:
    """Check fields of a frozen dataclass that are numbers of things, and make ints of them: for its __post_init__."""
    for name in names:
        number = checked_count(f"{type(settings).__name__}: {name}", getattr(settings, name), least=least)
        object.__setattr__(settings, name, number)


def evenly_spaced(total: int, most: int) -> Int[np.ndarray, " rows"]:
    """Numbers of at most `most` of `total` rows, from the first to the last, as far apart as whole numbers can be."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int))
