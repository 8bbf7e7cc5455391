"""Whether a cost agrees with new runs at draws of the posteriors that it has not seen."""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float, Int

from ..costs.cost import Cost
from ..costs.failing_runs import labels
from ..learning.shared_noise import grouped
from ..sampling.posterior import GibbsPosterior
from ..simulations.rows import Simulations

# An error of the log density over a posterior by half a unit: what tells two samples apart in 60 % of cases at most.
_RESOLVED = 0.5


@dataclass(frozen=True)
class Agreement:
    """Predicted against re-simulated distance at draws of one posterior, for runs that the cost has not seen.

    Attributes:
        round: number of the round whose runs these are, from 1; the cost is that of the round before.
        observation: its number, in the order in which the posteriors came.
        beta: its inverse temperature.
        predicted: mean cost of the draws, by the network.
        simulated: mean distance of one run at each.
        error: standard error of `simulated` less `predicted`.
        slope: beta times the change of their difference over one posterior standard deviation, root mean square of the
            noise-free part: the error of the log density, up to a constant, that a line sees.
        resolution: what noise alone would make of `slope`; an error below it cannot be seen in these runs. Infinite
            where they are too few for a line: fewer than three for each of its coefficients.
        p_value: of no difference at all, neither a shift nor a slope.
    """

    round: int
    observation: int
    beta: float
    predicted: float
    simulated: float
    error: float
    slope: float
    resolution: float
    p_value: float

    @property
    def agrees(self) -> bool:
        """Whether the runs show no error of the cost that matters: one shift of all draws cancels in a posterior."""
        near = abs(self.predicted - self.simulated) < 0.1 * abs(self.simulated)
        return self.p_value > 0.05 or (near and self.slope < _RESOLVED)

    @property
    def suffices(self) -> bool:
        """Whether the runs agree with the cost, and would have shown an error that matters."""
        return self.agrees and self.resolution < _RESOLVED


def measured_agreement(
    posterior: GibbsPosterior, cost: Cost, runs: Simulations, *, number: int, observation: int
) -> Agreement:
    """Compare a cost with runs at draws of one posterior at its beta, which were drawn by that cost.

    Args:
        posterior: gives the observation, its conditions and beta.
        cost: has not seen the runs.
        runs: one at each draw, of which those that failed count as the cost's penalty; without one there are none.
        number: number of the round, from 1.
        observation: number of the observation.
    """
    theta = runs.theta.astype(np.float64)
    x_o = posterior.x_o
    simulated = labels(cost.distance, runs.x, runs.ok, x_o, cost.penalty)
    predicted = np.asarray(cost(theta, x_o, posterior.conditions or None), np.float64)
    slope, resolution, p_value = trend(theta, simulated - predicted, runs.noise_block)
    return Agreement(
        round=number,
        observation=observation,
        beta=posterior.beta,
        predicted=float(predicted.mean()),
        simulated=float(simulated.mean()),
        error=standard_error(simulated - predicted, runs.noise_id),
        slope=posterior.beta * slope,
        resolution=posterior.beta * resolution,
        p_value=p_value,
    )


def standard_error(error: Float[np.ndarray, " m"], noise_id: Int[np.ndarray, " m"]) -> float:
    """Standard error of a mean of which rows with equal random numbers count as one (Liang and Zeger 1986)."""
    numbers = np.unique(noise_id, return_inverse=True)[1]
    totals = np.bincount(numbers, error - error.mean())
    return float(np.sqrt(np.sum(totals**2) * len(totals) / max(len(totals) - 1, 1)) / len(error))


def trend(
    theta: Float[np.ndarray, "m dim"], error: Float[np.ndarray, " m"], noise_block: Int[np.ndarray, " m"]
) -> tuple[float, float, float]:
    """Root mean square of a line's change through errors, that of noise, and the p-value of no line at all.

    F-test of a linear regression against zero. Noise alone gives the fitted change a mean square of its own, which is
    taken off (dim s^2 / m where rows are independent). Rows of one positive `noise_block` share their random numbers.
    """
    order, noise = grouped(np.zeros(len(noise_block), np.int32), noise_block)
    theta, error = theta[order], error[order, None]
    m, dim = theta.shape
    std = theta.std(axis=0)
    z = (theta - theta.mean(axis=0)) / np.where(std > 0, std, 1.0)
    # Too few runs for a line show a shift only, and resolve no error of a log density, which a shift is none of.
    few = m < 3 * (dim + 1)
    if few:
        z = z[:, :0]
    lines = np.concatenate([np.ones((m, 1)), z], axis=1)
    # How much rows share is what a line leaves of them.
    first = np.linalg.lstsq(lines, error, rcond=1e-8)[0]
    units = np.arange(len(noise.shared))
    noise = noise.estimated(error - lines @ first, units)
    equal, labels = noise.whitened(lines, units), noise.whitened(error, units)
    coefficients, _, rank, _ = np.linalg.lstsq(equal, labels, rcond=1e-8)
    fitted, change = equal @ coefficients, z @ coefficients[1:]
    variance = float(np.sum((labels - fitted) ** 2) / (m - rank))
    if variance == 0:
        return float(np.std(change)), 0.0, float(np.allclose(fitted, 0))
    p_value = scipy.stats.f.sf(np.sum(fitted**2) / rank / variance, rank, m - rank)
    uncertain = variance * np.linalg.pinv(equal.T @ equal, rcond=1e-8)[1:, 1:]
    from_noise = float(np.sum(uncertain * (z.T @ z)) / m)
    slope = float(np.sqrt(max(np.var(change) - from_noise, 0.0)))
    return slope, np.inf if few else float(np.sqrt(from_noise)), float(p_value)
