"""A store that is read a block of rows at a time, for what does not need all of them in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from ..runtime.damaged_files import damage_told
from ..runtime.object_storage import fetched
from .damage import warn_of
from .row_counts import RowCounts
from .rows import Simulations, from_record
from .store import SimulationStore

# Numbers of outputs in a block at most: 128 MB in single precision.
_MOST_NUMBERS = 2**25
_REMEDY = "Bring it back from a copy, or simulate anew."


class StoredBlocks:
    """The rows of a store in blocks, each as `Simulations`; damage is told once.

    Args:
        store: open for reading, of all rounds.
        path: by which messages call it.
        rows: of a block, fewer where outputs are large.
        up_to_round: rows of later rounds of refinement are left out; None for none.
    """

    def __init__(self, store: SimulationStore, path: str | Path, rows: int, up_to_round: int | None = None):
        self._store, self.path = store, path
        later = up_to_round is not None and bool(np.any(store.round > up_to_round))
        self._numbers = np.flatnonzero(store.round <= up_to_round) if later else None
        self.numbers_of_row = int(np.prod(store.x_shape or (1,)))
        self.rows_of_block = max(1, min(rows, _MOST_NUMBERS // self.numbers_of_row))
        self._told: set[int] = set()

    def __len__(self) -> int:
        return -(-self.rows // self.rows_of_block)

    @cached_property
    def rows(self) -> int:
        """Number of rows of all blocks."""
        return len(self._store) if self._numbers is None else len(self._numbers)

    def read(self, *numbers: int) -> Simulations:
        """The rows of blocks in ascending order; those of a damaged chunk are pending, and a warning names it."""
        with damage_told(self.path, "a store of simulations", _REMEDY):
            record = self._store.read(chosen=self._chosen(*numbers))
        if not self._told.issuperset(numbers):
            self._told.update(numbers)
            warn_of(record["damage"], str(self.path), "run simulate(..., store=...) as before, which runs them again.")
        return from_record(record)

    def counts(self, *numbers: int) -> RowCounts:
        """Counts of all rows, of which those of some blocks are in memory; no output is read for them."""
        reasons = self._store.attributes["reasons"]
        codes, of_prior, own = np.zeros(len(reasons), int), 0, {}
        for number in range(len(self)):
            rows = self._chosen(number)
            codes += np.bincount(self._store.status(rows), minlength=len(reasons))
            up_to = of_prior + np.cumsum(self._store.round[rows] == 0)
            of_prior = int(up_to[-1])
            if number in numbers:
                own[number] = up_to
        by_reason = dict(zip(reasons, codes.tolist(), strict=True))
        return RowCounts(of_prior, by_reason, np.concatenate([own[number] for number in numbers]))

    def _chosen(self, *numbers: int) -> np.ndarray:
        """The numbers of the rows of blocks in the store."""
        size = self.rows_of_block
        rows = [np.arange(size * number, min(size * (number + 1), self.rows)) for number in numbers]
        chosen = np.concatenate(rows)
        return chosen if self._numbers is None else self._numbers[chosen]


@contextmanager
def stored_blocks(path: str | Path, rows: int, up_to_round: int | None = None) -> Iterator[StoredBlocks]:
    """Opens a store, of which one at an address is copied to this machine and the copy removed at the end.

    Args:
        path: of a store, or its address.
        rows: of a block.
        up_to_round: see `StoredBlocks`.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: no store of simulations.
    """
    with fetched(path) as local:
        with damage_told(path, "a store of simulations", _REMEDY):
            store = SimulationStore.open(local)
        yield StoredBlocks(store, path, rows, up_to_round)
