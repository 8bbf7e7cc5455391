"""What the network's errors do to the posterior: an error bar on the posterior means."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float

from ..runtime.counts import evenly_spaced
from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from .predictive import PredictiveCheck

MOST_DRAWS = 2000
# Probability that any mean is called moved where the network is right.
FALSE_ALARM = 0.01


@dataclass(frozen=True)
class MeanErrors:
    """How far the network's error moves the posterior means, to first order: d mean = -beta Cov(theta, cost error).

    All arrays (dim,), in the parameters' units.

    Attributes:
        names: of the parameters.
        mean: of the draws.
        std: of the draws.
        member_error: standard error that the disagreement of the ensemble gives to the means; 0 with one member. It
            does not see what all members have in common.
        shift: true mean minus mean of the draws, estimated from new runs at the draws; it sees all errors. NaN without.
        shift_error: its standard error.
    """

    names: tuple[str, ...]
    mean: Float[np.ndarray, " dim"]
    std: Float[np.ndarray, " dim"]
    member_error: Float[np.ndarray, " dim"]
    shift: Float[np.ndarray, " dim"]
    shift_error: Float[np.ndarray, " dim"]

    @property
    def error(self) -> Float[np.ndarray, " dim"]:
        """The error bar: what the members say, or what the shift is beyond its own noise, whichever is larger."""
        seen = np.sqrt(np.maximum(np.nan_to_num(self.shift) ** 2 - np.nan_to_num(self.shift_error) ** 2, 0.0))
        return np.maximum(self.member_error, seen)

    @property
    def significant(self) -> np.ndarray:
        """Which means are moved for certain, at a false-alarm rate of 1 % for all together, (dim,) bool."""
        limit = scipy.stats.norm.isf(FALSE_ALARM / 2 / len(self.names))
        known = np.isfinite(self.shift) & (self.shift_error > 0)
        return known & (np.abs(np.nan_to_num(self.shift)) > limit * np.nan_to_num(self.shift_error, nan=np.inf))

    @property
    def corrected(self) -> Float[np.ndarray, " dim"]:
        """Mean plus shift: better than the mean where the shift is significant."""
        return self.mean + self.shift

    def summary(self) -> str:
        """A plain table: mean, standard deviation and the errors of each mean."""
        width = max(len("parameter"), *(len(name) for name in self.names))
        lines = [f"{'parameter':<{width}} {'mean':>10} {'std':>9} {'members':>9} {'shift':>10} {'+-':>9}"]
        rows = zip(self.names, self.mean, self.std, self.member_error, self.shift, self.shift_error, strict=True)
        for name, *values in rows:
            mean, std, member, shift, error = values
            lines.append(f"{name:<{width}} {mean:>10.4g} {std:>9.3g} {member:>9.2g} {shift:>+10.2g} {error:>9.2g}")
        return "\n".join(lines)


def mean_errors(posterior: GibbsPosterior, draws: Draws, check: PredictiveCheck | None = None) -> MeanErrors:
    """Error bars on the posterior means.

    With the cost c + e in the place of c, the mean of theta changes by -beta Cov(theta, e) to first order in e (the
    covariance over the posterior; exact where the posterior is normal and e linear). e is each member's departure from
    the ensemble's mean, whose error is theirs over the root of their number; and, with new runs, the distance of a run
    minus the predicted cost at its parameter, whose expectation is the network's whole error.

    Args:
        posterior: whose draws they are.
        draws: at least ten.
        check: of these draws; without it only the members speak.

    Example:
        >>> check = gb.check_predictive(simulator, posterior, draws, 2000, seed=3)
        >>> print(mean_errors(posterior, draws, check).summary())
    """
    flat = np.asarray(draws.flat, np.float64)
    rows = evenly_spaced(len(flat), MOST_DRAWS)
    members = posterior.cost.members(draws.flat[rows], posterior.x_o, posterior.conditions)
    costs = np.asarray(members, np.float64)
    k = costs.shape[1]
    member_error = np.zeros(flat.shape[1])
    if k > 1 and len(rows) > 1:
        moved = np.stack([_moved(flat[rows], costs[:, j] - costs.mean(axis=1), posterior.beta) for j in range(k)])
        member_error = moved.std(axis=0, ddof=1) / np.sqrt(k)
    shift, shift_error = np.full((2, flat.shape[1]), np.nan)
    if check is not None and len(check.theta) > 10 + flat.shape[1]:
        residual = check.distances.mean(axis=0) - check.predicted
        shift, shift_error = _shift(np.asarray(check.theta, np.float64), residual, posterior.beta)
    return MeanErrors(draws.names, flat.mean(axis=0), flat.std(axis=0), member_error, shift, shift_error)


def _moved(theta: Float[np.ndarray, "n dim"], error: Float[np.ndarray, " n"], beta: float) -> Any:
    """First-order change of the mean of theta, (dim,), for an error of the cost (n,)."""
    return -beta * np.mean((theta - theta.mean(axis=0)) * (error - error.mean())[:, None], axis=0)


def _shift(
    theta: Float[np.ndarray, "n dim"], residual: Float[np.ndarray, " n"], beta: float
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, " dim"]]:
    """The change that noisy labels of the error speak for, and its standard error.

    The standard error is that of what a linear fit leaves of the residuals (White 1980): the fit itself is the signal.
    """
    n, dim = theta.shape
    away = theta - theta.mean(axis=0)
    error = residual - residual.mean()
    slope = np.linalg.lstsq(away, error, rcond=None)[0]
    left = (error - away @ slope) * np.sqrt(n / max(n - dim - 1, 1))
    return _moved(theta, residual, beta), beta * np.sqrt(np.mean((away * left[:, None]) ** 2, axis=0) / n)
