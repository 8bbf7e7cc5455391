"""What single precision, in which outputs are kept, takes from them beside their spread."""

import warnings
from typing import TypeVar

import numpy as np

T = TypeVar("T")

# Share of a coordinate's standard deviation that rounding may take.
_MOST_LOST = 0.01


class Rounding:
    """Outputs on their way to single precision, with an eye on what that loses.

    A signal of size 1 on top of 1e9 is lost: single precision has steps of 64 there.
    """

    def __init__(self) -> None:
        self._first: np.ndarray | None = None
        self._count = 0
        self._lost = self._sum = self._squares = np.zeros(1)

    def rounded(self, output: T) -> T | np.ndarray:
        """An output in single precision; the reason of a failed run is handed on."""
        if not isinstance(output, np.ndarray):
            return output
        with np.errstate(over="ignore"):
            single = output.astype(np.float32)
        if output.dtype == np.float64 and output.size and np.isfinite(single).all():
            self._first = output if self._first is None else self._first
            if output.shape == self._first.shape:
                away = output - self._first
                self._count += 1
                self._lost = np.maximum(self._lost, np.abs(output - single))
                self._sum, self._squares = self._sum + away, self._squares + away**2
        return single

    def warn(self) -> None:
        """A UserWarning where the rounding is more than a hundredth of a coordinate's standard deviation."""
        if self._first is None or self._count < 2:
            return
        variance = self._squares / self._count - (self._sum / self._count) ** 2
        std = np.sqrt(np.maximum(variance, 0.0))
        worst = np.unravel_index(np.argmax(self._lost - _MOST_LOST * std), np.shape(std))
        if not self._lost[worst] > _MOST_LOST * std[worst] > 0:
            return
        warnings.warn(
            f"outputs are kept in single precision, which rounds coordinate {tuple(int(i) for i in worst)} by up to "
            f"{self._lost[worst]:.2g}, while its standard deviation is {std[worst]:.2g} (its size: "
            f"{abs(self._first[worst]):.6g}). What varies is lost: subtract a constant of that size in the simulator "
            "and from the observation, or choose other units.",
            stacklevel=3,
        )
