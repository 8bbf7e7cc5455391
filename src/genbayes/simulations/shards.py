"""Shares of one set of simulations, as the jobs of an array run them: which rows are whose, and where they are kept."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Shard(NamedTuple):
    """One of several shares of the rows, each kept in a store of its own.

    Its rows lie between those of the others, so that every share covers the prior, and a row stays with its share when
    there are more rows later.

    Attributes:
        number: of the share, from 1.
        of: number of shares.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"share {self.number} of {self.of}"

    def owns(self, rows: np.ndarray) -> np.ndarray:
        """Which of these rows, given by their numbers (m,), are of this share, (m,) bool."""
        return rows % self.of == self.number - 1

    def path(self, store: str | Path) -> Path:
        """Where the share of the simulations of a store is kept: beside that store."""
        store = Path(store)
        return store.with_name(f"{store.stem}-shard-{self.number}-of-{self.of}{store.suffix}")


def checked_shard(value: Any) -> Shard:
    """A share from a pair of numbers, such as (3, 8).

    Raises:
        ValueError: no pair of whole numbers, or a share that there is not.
    """
    pair = tuple(value) if isinstance(value, tuple | list) else ()
    whole = all(isinstance(item, int | np.integer) and not isinstance(item, bool) for item in pair)
    if len(pair) != 2 or not whole or not 1 <= pair[0] <= pair[1]:
        raise ValueError(
            f"`shard` must be two whole numbers (i, N) with 1 <= i <= N, such as (3, 8) for the third of eight shares, "
            f"got {value!r}."
        )
    return Shard(int(pair[0]), int(pair[1]))


def shard_paths(store: str | Path) -> list[Path]:
    """The stores of shares that lie beside a store, there or not, in the order of their numbers."""
    store = Path(store)
    name = re.compile(rf"{re.escape(store.stem)}-shard-(\d+)-of-(\d+){re.escape(store.suffix)}")
    beside = store.parent.iterdir() if store.parent.is_dir() else ()
    found = [(match, path) for path in beside if (match := name.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda one: (int(one[0][2]), int(one[0][1])))]
