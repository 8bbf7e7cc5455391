"""Whole numbers that a caller gives: of draws, of runs, of workers."""

from typing import Any

import numpy as np


def checked_count(name: str, value: Any) -> int:
    """A number of things, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
    return int(value)
