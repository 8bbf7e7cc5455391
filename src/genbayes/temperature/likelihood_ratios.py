"""The beta at which cost differences are logarithms of likelihood ratios, where the error of the data is known.

Let Delta be the cost of another parameter less that of the true one, for an output of the true one. Where
exp(-beta cost) is the likelihood, -beta Delta is the logarithm of a likelihood ratio, and E[exp(-beta Delta)] = 1 over
the errors. For a small or a normal Delta that says beta = 2 E[Delta] / Var[Delta]: for squared errors with normal
errors of standard deviation sd every pair of parameters gives D / (2 sd^2), whatever the simulator.
(E[exp(-beta Delta)] <= 1 is the central condition of van Erven, Grunwald, Mehta, Reid and Williamson 2015, section 3,
which bounds beta in general.)

It is also where the expected cost meets the replicate distance, on average over data sets: with curvature H of the
cost and covariance J of its gradient over the errors, draws cost p / (2 beta) more than the least, and true parameters
tr(H^-1 J) / 2; both say J = H / beta. One data set alone leaves the meeting open by a factor, because the least cost of
D numbers scatters by sqrt(2 (D - p)) / p of it.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from ..costs.known_parameters import rows_as_known
from ..distances.gaps import with_gaps
from ..sampling.held_out import held_out_rows
from ..sampling.new_runs import runs_at
from ..simulations.executors import Workers
from ..simulations.rows import Simulations
from ..simulations.simulators import AnySimulator
from .ladders import Ladder
from .replicates import LEAST_ROWS, spread_out

# Pairs of parameters at each beta, and errors with their opposites for each of them.
_PAIRS, _ERRORS = 400, 4


@dataclass(frozen=True)
class Ratios:
    """Cost differences of pairs of draws, on outputs of one of them.

    Attributes:
        mean: E[Delta] at each beta of a ladder, (b,).
        variance: Var[Delta] over the errors, (b,).
        error: relative Monte Carlo standard error of their quotient, (b,).
        as_far: share of measured outputs that would cost as much as the observation, (b,).
        sparse: the parameters are draws of the prior, of which few are near the posterior.
    """

    mean: Float[np.ndarray, " b"]
    variance: Float[np.ndarray, " b"]
    error: Float[np.ndarray, " b"]
    as_far: Float[np.ndarray, " b"]
    sparse: bool

    @property
    def beta(self) -> Float[np.ndarray, " b"]:
        """What the pairs of each beta's posterior give."""
        return 2 * self.mean / self.variance


def exact_runs(
    ladder: Ladder, simulator: AnySimulator, theta: np.ndarray, *, seed: int, workers: Workers, progress: bool
) -> Simulations:
    """Runs at draws without the error of the measurement."""
    bare, known = replace(ladder.cost, measurement_error=None), ladder.conditions
    return runs_at(simulator, theta, seed=seed, cost=bare, conditions=known, workers=workers, progress=progress)


def stored_runs(ladder: Ladder, simulations: Simulations) -> Simulations:
    """The draws of the prior among stored runs, without the error."""
    simulations = rows_as_known(replace(ladder.cost, measurement_error=None), simulations)
    rows, _ = held_out_rows(ladder.cost, simulations, LEAST_ROWS)
    return simulations.selected(rows)


def ratios(ladder: Ladder, runs: Simulations, *, of_prior: bool, seed: int) -> Ratios | None:
    """Cost differences of pairs of parameters that have been run.

    Args:
        ladder: of the observation, of a cost that knows the error of the measurement.
        runs: without the error, at draws of the ladder or of the prior.
        of_prior: whether they are at draws of the prior.
        seed: of pairs and errors.

    Returns:
        None where the runs have noise of their own, which one run at a parameter does not tell.
    """
    error = ladder.cost.measurement_error
    if error is None or not runs.deterministic:
        return None
    runs = runs.selected(runs.ok)
    theta, known = runs.theta, ladder.conditions or None
    rng = np.random.default_rng(seed)
    cost = np.asarray(ladder.cost(theta, ladder.x_o, known), np.float64)
    log_weights = -ladder.betas[:, None] * cost[None]
    if not of_prior:
        # A draw of the whole ladder has a density that is a mean over its betas.
        log_weights = log_weights - ladder.log_evidence[:, None]
        log_weights = log_weights - np.logaddexp.reduce(log_weights, axis=0)[None]
    found = [_of_level(ladder, runs, spread_out(row), cost, rng) for row in log_weights]
    return Ratios(*(np.array(part) for part in zip(*found, strict=True)), of_prior)


def _of_level(ladder: Ladder, runs: Simulations, weights: np.ndarray, cost: np.ndarray, rng: Any) -> tuple:
    """Mean and variance of cost differences among parameters with these weights, and what else `Ratios` holds."""
    true, other = (rng.choice(len(weights), _PAIRS, p=weights) for _ in range(2))
    true, other = true[true != other], other[true != other]
    error, known = ladder.cost.measurement_error, ladder.conditions or None
    assert error is not None  # as `ratios` has seen to
    x = runs.x[true]
    sd = error.deviations(x)
    differences, as_far = [], 0.0
    for _ in range(_ERRORS):
        errors = sd * rng.standard_normal(x.shape)
        for signed in (errors, -errors):
            measured = with_gaps(x + signed, ladder.x_o)
            own = np.asarray(ladder.cost(runs.theta[true], measured, known), np.float64)
            away = np.asarray(ladder.cost(runs.theta[other], measured, known), np.float64)
            differences.append(away - own)
            as_far += np.mean(own >= cost[true]) / (2 * _ERRORS)
    delta = np.stack(differences)
    # Errors come with their opposites, whose linear part has the mean 0: no degree of freedom is lost.
    mean, variance = delta.mean(axis=0), delta.var(axis=0)
    quotient = mean.sum() / variance.sum()
    relative = np.sqrt(np.sum((mean - quotient * variance) ** 2)) / np.abs(mean.sum())
    return mean.mean(), variance.mean(), relative, as_far
