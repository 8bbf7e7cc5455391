"""A store that is read a block of rows at a time, for what does not need all of them in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from ..runtime.damaged_files import damage_told
from ..runtime.object_storage import fetched
from .damage import warn_of
from .rows import Simulations, from_record
from .store import SimulationStore

# Numbers of outputs in a block at most: 128 MB in single precision.
_MOST_NUMBERS = 2**25


class StoredBlocks:
    """The rows of a store in blocks, each as `Simulations`; damage is told once.

    Args:
        store: open for reading, of all rounds.
        path: by which messages call it.
        rows: of a block, fewer where outputs are large.
    """

    def __init__(self, store: SimulationStore, path: str | Path, rows: int):
        self._store, self.path = store, path
        numbers = int(np.prod(store.x_shape or (1,)))
        self.rows_of_block = max(1, min(rows, _MOST_NUMBERS // numbers))
        self._told: set[int] = set()

    def __len__(self) -> int:
        return -(-self.rows // self.rows_of_block)

    @cached_property
    def rows(self) -> int:
        """Number of rows of the store."""
        return len(self._store)

    def read(self, *numbers: int) -> Simulations:
        """The rows of blocks in ascending order; those of a damaged chunk are pending, and a warning names it."""
        size = self.rows_of_block
        chosen = np.concatenate([np.arange(size * number, min(size * (number + 1), self.rows)) for number in numbers])
        with damage_told(self.path, "a store of simulations", "Bring it back from a copy, or simulate anew."):
            record = self._store.read(chosen=chosen)
        if not self._told.issuperset(numbers):
            self._told.update(numbers)
            warn_of(record["damage"], str(self.path), "run simulate(..., store=...) as before, which runs them again.")
        return from_record(record)


@contextmanager
def stored_blocks(path: str | Path, rows: int) -> Iterator[StoredBlocks]:
    """Opens a store, of which one at an address is copied to this machine and the copy removed at the end.

    Args:
        path: of a store, or its address.
        rows: of a block.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: no store of simulations.
    """
    with fetched(path) as local:
        with damage_told(path, "a store of simulations", "Bring it back from a copy, or simulate anew."):
            store = SimulationStore.open(local)
        yield StoredBlocks(store, path, rows)
