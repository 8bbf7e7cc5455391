"""How many rows there are, what became of them, and which of them are at hand."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from .failure_kinds import kinds_of_failures
from .status import INITIAL_REASONS

_OK, _PENDING = INITIAL_REASONS


@dataclass(frozen=True, eq=False)
class RowCounts:
    """All rows of a set of simulations, of which some may be in memory alone.

    Attributes:
        of_prior: number of draws of the prior, whatever became of them.
        by_reason: number of rows by what became of them: "ok", "pending", or why they failed.
        prior_numbers: for every row in memory (n,), how many draws of the prior there are up to it, itself included.
    """

    of_prior: int
    by_reason: Mapping[str, int]
    prior_numbers: Int[np.ndarray, " n"]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.by_reason.values())

    @property
    def succeeded(self) -> int:
        """Number of rows with an output."""
        return self.by_reason.get(_OK, 0)

    @property
    def pending(self) -> int:
        """Number of rows that have not been run."""
        return self.by_reason.get(_PENDING, 0)

    @property
    def failed(self) -> int:
        """Number of rows that were run and have no output."""
        return self.rows - self.succeeded - self.pending

    def failures(self) -> list[tuple[int, str]]:
        """How many runs failed, and of what; see `kinds_of_failures`."""
        return kinds_of_failures({why: n for why, n in self.by_reason.items() if why not in INITIAL_REASONS})

    def selected(self, rows: np.ndarray | slice) -> "RowCounts":
        """The same rows, of which fewer are in memory: by mask, number or slice."""
        return replace(self, prior_numbers=self.prior_numbers[rows])

    def joined(self, other: "RowCounts") -> "RowCounts":
        """These rows, then others."""
        reasons = {**self.by_reason, **other.by_reason}
        both = {why: self.by_reason.get(why, 0) + other.by_reason.get(why, 0) for why in reasons}
        numbers = np.concatenate([self.prior_numbers, self.of_prior + other.prior_numbers])
        return RowCounts(self.of_prior + other.of_prior, both, numbers)
