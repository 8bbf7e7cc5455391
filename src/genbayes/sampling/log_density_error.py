"""How wrong a log posterior density is where the posterior lies, in nats, by simulations that the cost has not seen.

What matters is beta times the error of the cost, and only how the error varies over the posterior: a constant cancels.
Two witnesses are asked; neither needs a new run.

*Held-out rows* near the posterior, weighted by exp(-b cost). A residual is a run's distance less the cost that a member
predicted without having seen the run; given the parameters its mean is the cost's error. A line through the residuals
shows by how much the posterior mean is shifted; and residuals of neighbouring rows share the error and no noise, so
that the mean of their products is the error's variance.

*The members* of an ensemble disagree by what their training rows leave open. They share most of their rows: the error
of the whole is larger than their spread by what the delete-d jackknife says (Shao and Wu 1989).
"""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from ..runtime.outcome import Outcome

# Effective number of rows that are wanted; beta is lowered until there are as many, down to beta / FARTHEST.
WANTED_ROWS = 100.0
FARTHEST = 16.0
# With fewer rows than this a line through residuals says nothing.
LEAST_ROWS = 20.0
# Rows among which neighbours are looked for, those of the greatest weight.
_MOST_NEIGHBOURS = 1000
# Posterior standard deviations by which a mean may be shifted, and nats by which the density may vary.
MOST_SHIFT = 0.3
MOST_NATS = 0.5
# Posterior standard deviations, of each parameter on average, that the members may leave open.
MOST_UNCERTAIN = 0.35
# How the message of it begins.
UNCERTAIN = "The log density is uncertain"
REMEDY = "Add simulations where the posterior is (refine), simulate more, or lower beta."
# Standard errors beyond which an error is no coincidence, and the probability of a coincidence beyond them.
SURE = 3.5
# Share of the weight that one value of an integer may have before the others' rows are too few to lay a line.
_SETTLED = 0.95
_CHANCE = 5e-4


@dataclass(frozen=True)
class LogDensityError:
    """Error of a log posterior density over its posterior.

    Attributes:
        shift: of the posterior mean in posterior standard deviations, in the direction in which it is largest; NaN
            where there were too few rows.
        shift_error: standard error of a shift in one direction.
        shift_sure: whether the shift is no coincidence.
        nats: standard deviation of the error of the log density that neighbouring rows show.
        nats_sure: whether that is no coincidence.
        rows: effective number of rows within reach.
        reach: share of beta by which these rows were weighted; 1 where there were enough.
        left_open: standard deviation of the log density's error by what the simulations leave open: by the members'
            disagreement and, where few rows were within reach, by what all members miss.
        dim: number of parameters.
    """

    shift: float
    shift_error: float
    shift_sure: bool
    nats: float
    nats_sure: bool
    rows: float
    reach: float
    left_open: float
    dim: int

    @property
    def outcome(self) -> Outcome:
        """What is wrong, with its remedy."""
        return Outcome.joined([self.contradictions, uncertainty(self.left_open, self.dim)])

    @property
    def contradictions(self) -> Outcome:
        """What held-out rows alone find wrong."""
        messages = []
        contradicted = "Simulations that the cost has not seen contradict it where the posterior is: "
        if self.shift > MOST_SHIFT and self.shift_sure:
            messages.append(
                f"{contradicted}it shifts the posterior by about {self.shift:.2g} of its standard deviations (standard "
                f"error {self.shift_error:.2g}). {REMEDY}"
            )
        elif self.nats > MOST_NATS and self.nats_sure:
            messages.append(
                f"{contradicted}the log density is off by about {self.nats:.2g} from place to place, as by a step or a "
                f"fold that the regression does not follow. {REMEDY}"
            )
        return Outcome(tuple(messages))


def uncertainty(nats: float, dim: int) -> Outcome:
    """What is wrong where the members leave the log density of `dim` parameters open by a standard deviation of `nats`.

    An error that is linear in whitened parameters shifts their means by numbers whose squares add up to its variance.
    """
    if not nats > MOST_UNCERTAIN * np.sqrt(dim):
        return Outcome()
    return Outcome(
        (
            f"{UNCERTAIN} by about {nats:.2g} from place to place, or {nats / np.sqrt(dim):.2g} standard deviations of "
            f"a parameter: the simulations say no more at this beta, so that the posterior may be shifted or too "
            f"narrow. {REMEDY}",
        )
    )


def log_density_error(
    z: Float[np.ndarray, "m d"],
    cost: Float[np.ndarray, " m"],
    residual: Float[np.ndarray, " m"],
    members: Float[np.ndarray, "m members"],
    beta: float,
    *,
    jackknife: float,
    integers: Bool[np.ndarray, " d"] | None = None,
) -> LogDensityError:
    """Judges a cost by rows that were held out.

    Args:
        z: unconstrained parameters of the rows.
        cost: predicted at each row for the observation, by the ensemble.
        residual: the row's own distance to the observation less the cost by a member that did not see the row.
        members: the cost by every member.
        beta: inverse temperature.
        jackknife: factor from the members' variance to the error's.
        integers: which of the parameters are integers.
    """
    usable = np.isfinite(cost) & np.isfinite(residual) & np.isfinite(z).all(axis=1)
    z, cost, residual, members = z[usable], cost[usable], residual[usable], members[usable]
    if len(z) < LEAST_ROWS:
        return LogDensityError(np.nan, np.nan, False, np.nan, False, float(len(z)), 0.0, np.nan, z.shape[1])
    weights, rows, reach = weights_within_reach(cost, beta)
    # Over the wider region of a smaller beta a linear error is larger by the ratio of the widths.
    uncertain = float(np.sqrt(reach)) * members_error(members, weights, beta, jackknife)
    d = z.shape[1]
    if integers is not None and integers.any():
        z = z[:, ~(integers & _settled(z, weights))]
        if not z.shape[1]:
            return LogDensityError(0.0, 0.0, False, 0.0, False, rows, reach, uncertain, d)
    if rows < max(LEAST_ROWS, 3.0 * (d + 1)):
        return LogDensityError(np.nan, np.nan, False, np.nan, False, rows, reach, uncertain, d)
    u = whitened(z, weights)
    shift = line_shift(u, residual, weights, beta * np.sqrt(reach))
    nats, sure = _roughness(u, residual, weights, beta)
    return LogDensityError(*shift, nats, sure, rows, reach, uncertain, d)


def weights_within_reach(cost: Float[np.ndarray, " m"], beta: float) -> tuple[Float[np.ndarray, " m"], float, float]:
    """Weights exp(-b cost) of rows, their effective number, and b / beta, the largest share that leaves enough rows."""
    for reach in np.geomspace(1.0, 1 / FARTHEST, 9):
        weights = np.exp(-reach * beta * (cost - cost.min()))
        weights /= weights.sum()
        effective = float(1 / np.sum(weights**2))
        if effective >= WANTED_ROWS:
            break
    return weights, effective, float(reach)


def _settled(z: Float[np.ndarray, "m d"], weights: Float[np.ndarray, " m"]) -> Bool[np.ndarray, " d"]:
    """Coordinates that have one value in all but a few hundredths of the weight: no line can be laid through them."""
    return np.array([max(weights[column == value].sum() for value in np.unique(column)) > _SETTLED for column in z.T])


def whitened(z: Float[np.ndarray, "m d"], weights: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m d"]:
    """Coordinates in which the weighted rows have mean 0 and covariance 1."""
    centred = z - weights @ z
    covariance = (centred * weights[:, None]).T @ centred
    covariance += np.diag(1e-9 * np.diag(covariance) + 1e-30)
    return np.linalg.solve(np.linalg.cholesky(covariance), centred.T).T


def line_shift(
    u: Float[np.ndarray, "m d"], residual: Float[np.ndarray, " m"], weights: Float[np.ndarray, " m"], beta: float
) -> tuple[float, float, bool]:
    """Weighted least squares of residuals on whitened parameters: a slope of the log density moves the mean by as much.

    The slope's square has the noise's variance on top of its own, which is taken off; errors are those of White (1980).
    """
    lines = np.concatenate([np.ones((len(u), 1)), u], axis=1)
    inverse = np.linalg.inv((lines * weights[:, None]).T @ lines)
    slopes = inverse @ (lines * weights[:, None]).T @ residual
    left = weights * (residual - lines @ slopes)
    covariance = inverse @ (lines * left[:, None]).T @ (lines * left[:, None]) @ inverse
    slope, noise = beta * slopes[1:], beta**2 * covariance[1:, 1:]
    size = np.sqrt(max(slope @ slope - np.trace(noise), 0.0))
    chance = scipy.stats.chi2.sf(slope @ np.linalg.pinv(noise) @ slope, len(slope))
    return float(size), float(np.sqrt(np.trace(noise) / len(slope))), bool(chance < _CHANCE)


def _roughness(
    u: Float[np.ndarray, "m d"], residual: Float[np.ndarray, " m"], weights: Float[np.ndarray, " m"], beta: float
) -> tuple[float, bool]:
    """Standard deviation of the error, by the products of residuals of nearest neighbours, each pair once."""
    near = np.flatnonzero(weights > 0.02 * weights.max())
    # Neighbours of thousands in many dimensions take longer to find than a posterior to sample.
    near = near[np.argsort(-weights[near], kind="stable")[:_MOST_NEIGHBOURS]]
    if len(near) < LEAST_ROWS:
        return 0.0, False
    left = residual - weights @ residual
    # Single runs far out would rule all products.
    most = 4 * np.sqrt(max(float(weights @ left**2), 1e-300))
    left = np.clip(left, -most, most)
    neighbour = near[np.asarray(KDTree(u[near]).query(u[near], k=2)[1])[:, 1]]
    first, second = np.minimum(near, neighbour), np.maximum(near, neighbour)
    _, unique = np.unique(first * len(u) + second, return_index=True)
    first, second = first[unique], second[unique]
    share = np.sqrt(weights[first] * weights[second])
    share /= share.sum()
    products = beta**2 * left[first] * left[second]
    mean = float(share @ products)
    error = float(np.sqrt(np.sum(share**2 * (products - mean) ** 2)))
    return float(np.sqrt(max(mean, 0.0))), bool(mean > SURE * error)


def members_error(
    members: Float[np.ndarray, "m members"], weights: Float[np.ndarray, " m"], beta: float, jackknife: float
) -> float:
    """Standard deviation over the posterior of what the members leave open; what all rows share cancels."""
    k = members.shape[1]
    if k < 2:
        return 0.0
    away = members - members.mean(axis=1, keepdims=True)
    away = away - weights @ away
    return float(beta * np.sqrt(jackknife * np.sum(weights[:, None] * away**2) / (k - 1)))
