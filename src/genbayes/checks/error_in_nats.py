"""The error of a log posterior density by new runs at the draws, in nats: beta times the error of the cost.

A run's distance less the predicted cost at its draw is the cost's error plus noise of mean 0. Of this error

* the mean over the draws cancels between draws, but not against places where there are none, and not in the evidence;
* what varies over the draws moves the posterior. Two witnesses see it. A line through the errors: in whitened
  parameters the squares of its slopes add up to the variance of what is linear in the error, and noise has its part in
  them, which is taken off. And, where every draw was run twice, the covariance of the two runs' errors, which share
  the error and no noise: its variance, whatever its form.

An error that varies with a standard deviation of 0.5 sqrt(dim) nats shifts each mean by half a posterior standard
deviation, typically (`sampling.log_density_error`): that is the limit. An error of s nats draws particles to where it
is in their favour: an error e that is normal over the true posterior has the mean -s^2 over the draws, whose density is
exp(-e) times as large, so that their cost comes out too low by s^2. So the offset tells as well: beyond the limit's
square.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..runtime.formatting import number
from ..sampling.log_density_error import SURE, line_shift, whitened

# Posterior standard deviations by which an error may move each mean.
_MOST_MOVED = 0.5


@dataclass(frozen=True)
class ErrorInNats:
    """Beta times the error of the cost over the draws.

    Attributes:
        offset: mean of beta (predicted - re-simulated) over the draws.
        offset_error: its standard error.
        slope: standard deviation over the draws of the part that a line sees; NaN where there were too few runs.
        slope_error: standard deviation that noise alone gives it.
        slope_sure: whether it is no coincidence.
        varies: standard deviation over the draws of the whole error, by two runs at each; NaN where there was one.
        varies_error: the standard deviation that noise alone would give it, as an upper limit of what may be unseen.
        varies_sure: whether it is no coincidence.
        dim: number of parameters.
    """

    offset: float
    offset_error: float
    slope: float
    slope_error: float
    slope_sure: bool
    varies: float
    varies_error: float
    varies_sure: bool
    dim: int

    @property
    def limit(self) -> float:
        """Nats beyond which an error matters."""
        return _MOST_MOVED * float(np.sqrt(self.dim))

    @property
    def offset_limit(self) -> float:
        """Nats of the offset that an error at the limit would bring with it; not less than the limit itself."""
        return max(self.limit, self.limit**2)

    @property
    def moves(self) -> float:
        """Nats by which the error surely varies over the draws, if more than the limit; else 0."""
        slope = self.slope if self.slope_sure and self.slope > self.limit else 0.0
        varies = self.varies if self.varies_sure and self.varies > self.limit else 0.0
        return max(slope, varies)

    @property
    def off(self) -> bool:
        """Whether the mean is surely off by more than its limit."""
        return abs(self.offset) > max(self.offset_limit, SURE * self.offset_error)

    @property
    def resolved(self) -> bool:
        """Whether the runs would show an error that matters."""
        return self.offset_error <= self.limit and self.slope_error <= self.limit

    @property
    def right(self) -> bool:
        """Whether the runs show no error that matters."""
        return not self.off and not self.moves

    @property
    def needed(self) -> float:
        """Factor by which there have to be more runs for these to be resolved."""
        if not np.isfinite(self.slope_error):
            return np.nan
        return (max(self.offset_error, self.slope_error) / self.limit) ** 2

    @property
    def constant(self) -> str:
        """What is known of how the error varies over the draws, as a clause."""
        if self.moves:
            return f"it varies over the draws by {number(self.moves, 2)} nats, which moves the posterior"
        if not self.slope_error <= self.limit:
            return "whether it is the same at all draws, and so cancels, these runs cannot tell"
        seen = "by a line" if not self.varies_error <= self.limit else "from place to place"
        return (
            f"it is alike at all draws, as far as seen {seen}: that cancels between them, but not against places "
            "without draws, nor in the evidence"
        )

    @property
    def text(self) -> str:
        """The offset with its standard error."""
        sign = "+" if self.offset > 0 else ""
        return f"{sign}{number(self.offset, 2)} nats (standard error {number(self.offset_error, 2)})"


def error_in_nats(
    theta: Float[np.ndarray, "m dim"],
    distances: Float[np.ndarray, "runs m"],
    predicted: Float[np.ndarray, " m"],
    beta: float,
) -> ErrorInNats:
    """Compares predicted costs with the distances of new runs.

    Args:
        theta: the draws.
        distances: of one or two runs at each to the observation.
        predicted: cost of each.
        beta: inverse temperature.
    """
    theta, predicted = np.asarray(theta, np.float64), np.asarray(predicted, np.float64)
    ok = np.isfinite(distances).all(axis=0) & np.isfinite(predicted)
    theta, each = theta[ok], beta * (np.asarray(distances, np.float64)[:, ok] - predicted[ok])
    m, dim = theta.shape
    error = each.mean(axis=0)
    offset_error = float(np.std(error, ddof=1) / np.sqrt(m)) if m > 1 else np.inf
    slope, slope_error, slope_sure = _slope(theta, error)
    varies, varies_error, varies_sure = _varies(each)
    offset = -float(error.mean()) if m else np.nan
    return ErrorInNats(offset, offset_error, slope, slope_error, slope_sure, varies, varies_error, varies_sure, dim)


def _slope(theta: Float[np.ndarray, "m dim"], error: Float[np.ndarray, " m"]) -> tuple[float, float, bool]:
    """Size of a line's change over the draws, what noise alone would make of it, and whether it is more than that."""
    m, dim = theta.shape
    # A parameter that does not vary has no slope.
    theta = theta[:, theta.std(axis=0) > 0] if m else theta
    if m < max(3 * (dim + 1), 10) or not theta.shape[1]:
        return np.nan, np.inf, False
    weights = np.full(m, 1 / m)
    size, each, sure = line_shift(whitened(theta, weights), error, weights, 1.0)
    return size, each * float(np.sqrt(theta.shape[1])), sure


def _varies(each: Float[np.ndarray, "runs m"]) -> tuple[float, float, bool]:
    """Standard deviation of what two runs at a draw have in common, what noise would make of it, and whether it is."""
    runs, m = each.shape
    if runs < 2 or m < 10:
        return np.nan, np.inf, False
    away = each - each.mean(axis=1, keepdims=True)
    # Single runs far out would rule all products.
    most = 4 * np.maximum(np.sqrt(np.mean(away**2, axis=1, keepdims=True)), 1e-300)
    away = np.clip(away, -most, most)
    products = away[0] * away[1]
    mean, error = float(products.mean()), float(products.std(ddof=1) / np.sqrt(m))
    return float(np.sqrt(max(mean, 0.0))), float(np.sqrt(2 * error)), bool(mean > SURE * error)
