"""Rows in blocks: what is computed of each is let go of before the next, where all together would fill the memory."""

import numpy as np
from jaxtyping import Int

# Features take a kilobyte a row, and copies of all of them several. Fewer rows are one block.
BLOCK = 32_768


def blocks(
    n: int, rows: Int[np.ndarray, " m"] | None = None, *, at_most: int | None = None
) -> list[slice | Int[np.ndarray, " block"]]:
    """Indices of at most `BLOCK` (and `at_most`) rows each, of all `n` or of those given, in their order."""
    size = BLOCK if at_most is None else min(BLOCK, at_most)
    if rows is None:
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]
    return [rows[start : start + size] for start in range(0, len(rows), size)]
