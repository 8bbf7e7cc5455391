"""A part of a store that is larger than the memory, for what judges a cost and needs no more."""

from dataclasses import replace
from pathlib import Path

from ..learning.row_blocks import BLOCK
from ..runtime.counts import checked_count, evenly_spaced
from .rows import Simulations
from .stored_blocks import stored_blocks

# Rows of a sample where nothing is said: no check looks at more than some ten thousand of them.
ROWS_OF_SAMPLE = 8 * BLOCK
# Numbers of its outputs at most: a gigabyte in single precision.
_MOST_NUMBERS = 2**28
# Parts of a store that are looked at, so that the sample is of all of it.
_LEAST_BLOCKS = 8


def sample_simulations(path: str | Path, n: int = ROWS_OF_SAMPLE, *, up_to_round: int | None = None) -> Simulations:
    """Read a part of a store that may be larger than the memory; all of it where it has no more than `n` rows.

    `check`, `report`, `check_stack`, `explore` and the rules for beta look at some thousands of rows, and take such a
    sample for the simulations that a cost was fitted on. `Simulations.sampled_from` says how many rows the store has
    and what became of them. To fit all rows of the store, give its path to `fit_cost` or `refine`.

    Args:
        path: of the store, or its address.
        n: rows to read, fewer where outputs are large; whole blocks, evenly spaced over the store.
        up_to_round: leave out rows of later rounds of refinement; none if not given.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: no store of simulations.

    Example:
        >>> verdict = gb.check(posterior, draws, simulator, gb.sample_simulations("runs.zarr"), seed=1)
    """
    n = checked_count("n", n)
    with stored_blocks(path, max(1, min(BLOCK, n // _LEAST_BLOCKS)), up_to_round) as blocks:
        n = min(n, max(1, _MOST_NUMBERS // blocks.numbers_of_row))
        if blocks.rows <= n:
            return blocks.read(*range(len(blocks)))
        numbers = evenly_spaced(len(blocks), max(1, n // blocks.rows_of_block)).tolist()
        sample = blocks.read(*numbers)
        return replace(sample, sampled_from=blocks.counts(*numbers))
