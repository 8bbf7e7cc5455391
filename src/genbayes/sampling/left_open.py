"""How far the simulations leave an answer open: the mean of any function of the draws, by the members of an ensemble.

The members learned from different parts of the simulations. A posterior by one of them has another log density, and the
mean of a function f moves, to first order, by the covariance over the draws of f and that difference. With the factor
from the members' variance to that of their mean, the squares of these shifts add up to the variance of the answer.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import lazy_loader
import numpy as np
from jaxtyping import Float, Int

from ..runtime.outcome import Outcome
from .log_density_error import uncertainty

if TYPE_CHECKING:
    import xarray as xr
else:
    # Its import, with pandas, takes half a second.
    xr = lazy_loader.load("xarray")


class LeftOpen(NamedTuple):
    """What the members of a cost say of draws of its posterior.

    Attributes:
        draws: numbers, over all chains, of the draws at which the members were asked.
        log_density: by each member less that by all, in nats; scaled, so that the squares of what the members change
            add up to the variance of what the simulations leave open.
        missed: standard deviation over the draws of what all members miss alike, in nats.
        dim: number of parameters.
    """

    draws: Int[np.ndarray, " m"]
    log_density: Float[np.ndarray, "m members"]
    missed: float
    dim: int

    @property
    def nats(self) -> float:
        """Standard deviation over the draws of the log density's error."""
        away = self.log_density - self.log_density.mean(axis=0)
        return float(np.sqrt(np.mean(np.sum(away**2, axis=1)) + self.missed**2))

    @property
    def outcome(self) -> Outcome:
        """What is wrong where that is much."""
        return uncertainty(self.nats, self.dim)

    def error_of_means(self, values: Float[np.ndarray, "draws k"]) -> Float[np.ndarray, " k"]:
        """Standard errors of the means of functions of all draws.

        What all members miss has no direction: it is taken to shift each of the `dim` parameters alike.

        Args:
            values: of the functions, of every draw.
        """
        chosen = np.asarray(values, np.float64)[self.draws]
        away = chosen - chosen.mean(axis=0)
        shifts = self.log_density.T @ away / len(away)
        missed = self.missed**2 * np.mean(away**2, axis=0) / self.dim
        return np.sqrt(np.sum(shifts**2, axis=0) + missed)

    @property
    def error_of_log_evidence(self) -> float:
        """Standard error of the logarithm of the mean of exp(-beta cost) over the prior, in nats, to first order."""
        return float(np.sqrt(np.sum(np.mean(self.log_density, axis=0) ** 2) + self.missed**2))

    def to_dataset(self) -> "xr.Dataset":
        """As a group of the tree that `Draws.to_datatree` makes."""
        return xr.Dataset(
            {
                "draws": ("judged_draw", self.draws),
                "log_density": (("judged_draw", "member"), self.log_density),
                "missed": ((), self.missed),
                "dim": ((), self.dim),
            }
        )

    @classmethod
    def from_dataset(cls, found: "xr.Dataset") -> "LeftOpen":
        """What `to_dataset` made."""
        draws, log_density = np.asarray(found["draws"]), np.asarray(found["log_density"])
        return cls(draws, log_density, float(found["missed"]), int(found["dim"]))

    @staticmethod
    def joined(parts: "Sequence[LeftOpen | None]", dim: int) -> "LeftOpen | None":
        """Of a log density of `dim` parameters that is a sum; the parts were learned from different runs."""
        known = [part for part in parts if part is not None]
        if not known:
            return None
        log_density = np.concatenate([part.log_density for part in known], axis=1)
        return LeftOpen(known[0].draws, log_density, float(np.linalg.norm([part.missed for part in known])), dim)
