"""Rows in blocks: what is computed of each is let go of before the next, where all together would fill the memory."""

import numpy as np
from jaxtyping import Int

# Features take a kilobyte a row, and copies of all of them several. Fewer rows are one block.
BLOCK = 32_768


def blocks(n: int, rows: Int[np.ndarray, " m"] | None = None) -> list[slice | Int[np.ndarray, " block"]]:
    """Indices of at most `BLOCK` rows each, of all `n` or of those that are given, in their order."""
    if rows is None:
        return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
