"""What a fit takes of a store that is larger than the memory: blocks in memory, a stream of all, and what is in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from ..learning.folds import Folds
from ..learning.row_blocks import BLOCK
from ..learning.streamed_rows import NO_FOLDS, Block, StreamedRows, folds_of_block, joined
from ..learning.training import FitConfig
from ..runtime.counts import evenly_spaced
from ..simulations.rows import Simulations
from ..simulations.store import PENDING
from ..simulations.stored_blocks import StoredBlocks, stored_blocks
from .frame import Frame
from .settings import rows_joined, rows_told

# Rows that are fitted in memory. A fit of a small task takes a gigabyte for them, and all its choices are made by then.
ROWS_IN_MEMORY = 8 * BLOCK


@dataclass(frozen=True)
class StorePart:
    """A store without the rows of later rounds of refinement, as a cost knew it that had not seen them.

    Attributes:
        path: of the store.
        up_to_round: the last round.
    """

    path: str | Path
    up_to_round: int | None = None


@dataclass(frozen=True, eq=False)
class StoreRows:
    """The store behind the simulations that are in memory.

    Attributes:
        blocks: of the store.
        of_sample: numbers of the blocks in memory.
    """

    blocks: StoredBlocks
    of_sample: tuple[int, ...]

    def stream(self, config: FitConfig, seed: int, frame: Frame) -> StreamedRows:
        """All rows that succeeded, block by block, with outputs in the frame of the fit."""

        def read(number: int) -> Block:
            block = self.blocks.read(number)
            rows = np.flatnonzero(block.ok)
            folds = folds_of_block(len(rows), config, seed, number)
            if folds is None:
                rows, folds = rows[:0], NO_FOLDS
            return Block(np.asarray(block.inputs[rows], np.float32), frame(block.x[rows]), folds)

        return StreamedRows(len(self.blocks), self.of_sample, read, seed)

    def told(self, *, with_failed: bool) -> dict[str, Any]:
        """What the settings of a cost say of rows: of all, and which of them were in memory.

        Args:
            with_failed: whether the parameters of runs that failed count as seen.
        """
        told = [self._told(number, with_failed) for number in range(len(self.blocks))]
        rows = len(self.of_sample) * self.blocks.rows_of_block
        return {**reduce(rows_joined, told), "rows_in_memory": min(rows, self.blocks.rows)}

    def _told(self, number: int, with_failed: bool) -> dict[str, Any]:
        block = self.blocks.read(number)
        return rows_told(block, block.inputs[block.status != PENDING if with_failed else block.ok])

    def folds(self, simulations: Simulations, config: FitConfig, seed: int) -> Folds:
        """What members hold out of the blocks in memory, of the rows there that succeeded.

        Args:
            simulations: of these blocks.
            config: see `FitConfig`.
            seed: of the fit.
        """
        size = self.blocks.rows_of_block
        counts = [int(simulations.ok[start : start + size].sum()) for start in range(0, len(simulations), size)]
        pairs = zip(self.of_sample, counts, strict=True)
        folds = [folds_of_block(count, config, seed, number) for number, count in pairs]
        if None in folds:
            raise ValueError(
                f"{self.blocks.path}: of some {size} rows only {min(counts)} succeeded, too few to hold some out. Fit "
                "the first rows in memory: fit_cost(Simulations.open(path, n=...), distance)."
            )
        return joined([one for one in folds if one is not None], counts)


@contextmanager
def rows_to_fit(
    simulations: Simulations | str | Path | StorePart, rows_in_memory: int
) -> Iterator[tuple[Simulations, StoreRows | None]]:
    """The rows that are fitted in memory, and the store behind them where there are more.

    Args:
        simulations: all in memory, or a store, by its path or in part.
        rows_in_memory: of a store with no more rows all are read, as `Simulations.open` does.
    """
    if isinstance(simulations, Simulations):
        yield simulations, None
        return
    part = simulations if isinstance(simulations, StorePart) else StorePart(simulations)
    with stored_blocks(part.path, min(BLOCK, rows_in_memory), part.up_to_round) as blocks:
        if blocks.rows <= rows_in_memory:
            yield Simulations.open(part.path) if part.up_to_round is None else blocks.read(*range(len(blocks))), None
            return
        size = blocks.rows_of_block
        # Whole blocks, evenly spaced: draws of the prior and rows of refinements are among them as in the store.
        numbers = evenly_spaced(blocks.rows // size, max(1, rows_in_memory // size)).tolist()
        yield blocks.read(*numbers), StoreRows(blocks, tuple(numbers))
