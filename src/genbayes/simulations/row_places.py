"""Where rows are in an array: a slice where they follow one another, which is read and written without a look-up."""

import numpy as np


def place_of(rows: np.ndarray) -> slice | np.ndarray:
    """Ascending rows (m,) as a slice where they follow one another, as they are otherwise."""
    follow = len(rows) and rows[-1] - rows[0] == len(rows) - 1
    return slice(int(rows[0]), int(rows[-1]) + 1) if follow else rows
