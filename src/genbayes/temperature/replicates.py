"""Replicate distances, of two runs at one parameter, from three sources: the simulator, given pairs, stored runs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from ..costs.failing_runs import over_all_runs
from ..costs.known_parameters import rows_as_known
from ..distances import Distance
from ..distances.batched import paired_distances
from ..distances.gaps import with_gaps
from ..runtime.counts import evenly_spaced
from ..sampling.held_out import held_out_rows
from ..sampling.new_runs import run_pairs_at
from ..simulations.damage import not_finite
from ..simulations.executors import Workers
from ..simulations.rows import Simulations
from ..simulations.simulators import AnySimulator
from .ladders import Ladder

# Rows that the weighted mean of a replicate distance is worth at least; fewer are one lucky row.
LEAST_ROWS = 30
# What rules say that need the noise of a simulator which has none.
NO_NOISE = (
    "the simulator is deterministic, and this rule needs {needs}: without the measurement error of your data it would "
    "take the observation for exact, and choose a beta that is many times too large. Fit the cost again with it, "
    "fit_cost(..., measurement_error=sd) or [fit] measurement_error = sd in the problem file, or add it to the runs, "
    "genbayes.with_measurement_error(simulator, sd), and simulate and fit again; or give a beta of your own: for the "
    "mean squared error of D outputs with normal errors of standard deviation sd it is D / (2 sd^2)."
)


@dataclass(frozen=True)
class Replicates:
    """Distances of two runs at one parameter.

    Attributes:
        distance: of each pair, (m,).
        cost: at each parameter, of the observation, (m,).
        own: at each parameter, of an output simulated there, taken as if observed, (m,).
        log_weights: of each parameter as a draw of each beta's posterior, up to a constant, (b, m).
        sparse: the parameters are draws of the prior, so that few lie in a narrow posterior.
        fitted: the distances are the cost's own predictions where it was fitted.
    """

    distance: Float[np.ndarray, " m"]
    cost: Float[np.ndarray, " m"]
    own: Float[np.ndarray, " m"]
    log_weights: Float[np.ndarray, "b m"]
    sparse: bool = False
    fitted: bool = False


def some_draws(ladder: Ladder, n: int) -> Float[np.ndarray, "n dim"]:
    """Draws taken evenly from all betas."""
    theta = ladder.draws.theta[0].reshape(-1, ladder.prior.dim)
    return theta[evenly_spaced(len(theta), n)]


def simulated_pairs(
    ladder: Ladder, simulator: AnySimulator, n: int, *, seed: int, workers: Workers, progress: bool
) -> tuple[Any, Any, Any]:
    """Two runs at `n` draws taken evenly from all betas: parameters, runs, and other runs at them."""
    theta = some_draws(ladder, n)
    runs = run_pairs_at(
        simulator,
        theta,
        seed=seed,
        cost=ladder.cost,
        conditions=ladder.conditions,
        workers=workers,
        progress=progress,
    )
    return runs.theta, runs.x, runs.again


def checked_pairs(ladder: Ladder, pairs: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of runs that a caller gave, or ValueError: of wrong shapes, or not finite."""
    if not isinstance(pairs, tuple) or len(pairs) != 3:
        raise ValueError("pairs must be a tuple (theta, x, again): parameters, and two outputs at each.")
    with np.errstate(over="ignore"):
        theta, x, again = np.asarray(pairs[0], np.float32), *(np.asarray(part, np.float64) for part in pairs[1:])
    expected = ladder.cost.x_shape
    if theta.ndim != 2 or theta.shape[1] != ladder.prior.dim or x.shape != again.shape or len(x) != len(theta):
        raise ValueError(
            f"pairs must have the shapes (m, {ladder.prior.dim}), (m, *{expected}) and (m, *{expected}), got "
            f"{theta.shape}, {x.shape}, {again.shape}."
        )
    if x.shape[1:] != expected:
        raise ValueError(f"the outputs of pairs have shape {x.shape[1:]}, but the cost is for outputs of {expected}.")
    sets = ladder.cost.distance.reads_unequal_sets
    wrong = [not_finite(theta), not_finite(x, unequal_sets=sets), not_finite(again, unequal_sets=sets)]
    finite = ~np.any(wrong, axis=0)
    if not finite.all():
        raise ValueError(
            f"pairs have NaN or infinite values (in float32) in {np.sum(~finite)} of {len(theta)} rows, the first is "
            f"number {np.argmin(finite)}: leave these rows out of all three arrays (failed runs have no distance)."
        )
    return theta, x, again


def of_pairs(
    ladder: Ladder, distance: Distance, theta: np.ndarray, x: np.ndarray, again: np.ndarray, *, at_draws: bool
) -> Replicates:
    """Of pairs at draws of the ladder, or of given ones, which count alike.

    A draw of the whole ladder has the density prior(theta) mean_k exp(-beta_k cost) / Z_k, so that its weight as a draw
    of one beta needs its cost alone.
    """
    cost = np.asarray(ladder.cost(theta, ladder.x_o, ladder.conditions or None), np.float64)
    again = with_gaps(again, ladder.x_o)
    own = np.asarray(ladder.cost(theta, with_gaps(x, ladder.x_o), ladder.conditions or None), np.float64)
    weights = np.zeros((len(ladder), len(theta)))
    if at_draws:
        weights = -ladder.betas[:, None] * cost[None] - ladder.log_evidence[:, None]
        weights = weights - np.logaddexp.reduce(weights, axis=0)[None]
    between = paired_distances(distance, x, again).astype(np.float64)
    between = over_all_runs(ladder.cost, theta, between, ladder.conditions or None)
    return Replicates(between, cost, own, weights)


def of_rows(ladder: Ladder, simulations: Simulations) -> Replicates:
    """Of simulated rows, each taken as an observation."""
    simulations = rows_as_known(ladder.cost, simulations)
    rows, fitted = held_out_rows(ladder.cost, simulations, LEAST_ROWS)
    theta, conditions = simulations.theta[rows], simulations.conditions[rows]
    known = conditions if simulations.condition_names else None
    own = np.asarray(ladder.cost(theta, with_gaps(simulations.x[rows], ladder.x_o), known), np.float64)
    cost = np.asarray(ladder.cost(theta, ladder.x_o, ladder.conditions or None), np.float64)
    return Replicates(own, cost, own, -ladder.betas[:, None] * cost[None], sparse=True, fitted=fitted)


def spread_out(log_weights: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Weights of sum 1, raised to the largest power up to 1 that leaves them worth `LEAST_ROWS` rows or more."""

    def weights(power: float) -> np.ndarray:
        raised = power * (log_weights - log_weights.max())
        return np.exp(raised - logsumexp(raised))

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = high if low == 0 and 1 / np.sum(weights(high) ** 2) >= LEAST_ROWS else (low + high) / 2
        if 1 / np.sum(weights(middle) ** 2) >= LEAST_ROWS:
            low = middle
        else:
            high = middle
    return weights(low)
