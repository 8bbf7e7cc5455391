"""What single precision takes from outputs beside their spread, and so which precision they are kept in."""

import warnings
from typing import Any

import numpy as np

from ..distances.unequal_sets import with_first_trial

# Share of a coordinate's standard deviation that rounding may take.
_MOST_LOST = 0.01
# Rows that are watched for it: all of the first, then every so many; the choice does not depend on who is faster.
_ALL_WATCHED, _WATCHED_EVERY = 4096, 32


def is_watched(row: Any) -> Any:
    """Whether the output of this row, or of each of these, is one of those by which the precision is chosen."""
    return (row < _ALL_WATCHED) | (row % _WATCHED_EVERY == 0)


class Rounding:
    """Watches outputs come in, and says what single precision would lose of them.

    A signal of size 1 on top of 1e9 is lost: single precision has steps of 64 there. Outputs that come in double
    precision are then kept in it; of those that were computed in single precision it is too late.

    Attributes:
        count: of outputs that were looked at.
    """

    def __init__(self) -> None:
        self._first: np.ndarray | None = None
        self.count = 0
        self._lost = self._sum = self._squares = np.zeros(1)

    def add(self, output: object) -> None:
        """Takes an output in; a reason why a run failed, and what single precision cannot hold, is passed over."""
        if isinstance(output, np.ndarray):
            # What a set of trials is filled up with has no precision to keep.
            self.add_all((with_first_trial(output) if output.ndim == 2 else output)[None])

    def add_all(self, outputs: np.ndarray) -> None:
        """Takes outputs (n, ...) in; those that single precision cannot hold are passed over."""
        if outputs.dtype.kind != "f" or not outputs.size:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            single = outputs.astype(np.float32)
        finite = np.isfinite(single).reshape(len(single), -1).all(axis=1)
        outputs, single = outputs[finite], single[finite]
        if not len(outputs):
            return
        first = outputs[0].astype(np.float64) if self._first is None else self._first
        self._first = first
        if outputs.shape[1:] != first.shape:
            return
        # Numbers of single precision have been rounded already, by half a step at most.
        lost = np.abs(outputs - single) if outputs.dtype == np.float64 else 0.5 * np.spacing(np.abs(outputs))
        away = outputs.astype(np.float64) - first
        self.count += len(outputs)
        self._lost = np.maximum(self._lost, lost.max(axis=0))
        self._sum, self._squares = self._sum + away.sum(axis=0), self._squares + np.sum(away**2, axis=0)

    def worst(self) -> tuple[tuple[int, ...], float, float] | None:
        """The coordinate that loses most of its standard deviation, what it loses, and that; None if 1 % at most."""
        if self._first is None or self.count < 2:
            return None
        variance = self._squares / self.count - (self._sum / self.count) ** 2
        # A constant coordinate has a variance of the size of its own rounding.
        std = np.where(self._squares > 0, np.sqrt(np.maximum(variance, 0.0)), 0.0)
        index = np.unravel_index(np.argmax(np.where(std > 0, self._lost - _MOST_LOST * std, -1.0)), np.shape(std))
        if not self._lost[index] > _MOST_LOST * std[index] > 0:
            return None
        return tuple(int(i) for i in index), float(np.broadcast_to(self._lost, std.shape)[index]), float(std[index])

    def warn(self) -> None:
        """A UserWarning that single precision, in which outputs were computed, has lost what varies."""
        worst = self.worst()
        if worst is None or self._first is None:
            return
        index, lost, std = worst
        warnings.warn(
            f"the outputs were computed in single precision, which rounds coordinate {index} by up to {lost:.2g}, "
            f"while its standard deviation is {std:.2g} (its size: {abs(self._first[index]):.6g}). What varies is "
            "lost: subtract a constant of that size inside the simulator and from the observation, or compute in "
            "double precision.",
            stacklevel=3,
        )


def kept(x: np.ndarray, rounding: Rounding) -> np.ndarray:
    """Outputs (n, ...) in single precision, or in double where that is needed and they are in it.

    Warns where they were computed in single precision, and that was not enough.
    """
    if x.dtype != np.float64:
        rounding.warn()
        return np.asarray(x, np.float32)
    if rounding.worst() is not None:
        return x
    with np.errstate(over="ignore"):
        return x.astype(np.float32)
