"""`noise_floor`: the smallest beta at which runs are as near to the observation as to one another."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import logsumexp

from ..distances import Distance
from ..runtime.compiling import compiled
from ..runtime.outcome import Outcome
from ..sampling.held_out import held_out_rows
from ..simulations.executors import Workers
from ..simulations.rows import Simulations
from ..simulations.running import simulate_at
from ..simulations.simulators import AnySimulator
from .choice import Choice, checked_grid
from .ladders import Ladder

ASSUMES = (
    "Assumes that an observation can at best be as near to runs of the simulator as these are to one another, and that "
    "nearer than that is noise."
)
# Rows that the weighted mean of a replicate distance is worth at least; fewer are one lucky row.
_LEAST_ROWS = 30


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


def noise_floor(
    ladder: Ladder,
    *,
    simulator: AnySimulator | None = None,
    pairs: tuple[Any, Any, Any] | None = None,
    simulations: Simulations | None = None,
    n: int = 200,
    seed: int,
    distance: Distance | None = None,
    workers: Workers = 1,
    progress: bool = True,
) -> Choice:
    """Chooses the smallest beta whose expected cost reaches the replicate distance of its own posterior.

    The replicate distance, of two runs at one parameter, is measured at some draws of the whole ladder and averaged for
    each beta with the weight that its posterior gives them. One of three sources:

    Args:
        ladder: of the observation.
        simulator: as given to `simulate`; it is run twice at `n` draws.
        pairs: parameters (m, dim) near the posterior and two outputs at each, (m, *x_shape) and (m, *x_shape), that
            exist already; all count alike.
        simulations: stored runs at draws of the prior; none are added. Row i is taken as the observation:
            cost(theta_i, x_i) is, on average over x_i, the distance of two runs at theta_i. Rows that the cost is known
            to have been fitted on are left out where 30 others are there. At large beta few rows lie near the
            posterior; the mean is then taken over the nearest ones that are worth 30.
        n: number of draws to run at, spread over the ladder.
        seed: of the new runs; another one than that of the training simulations.
        distance: needed only for `Cost.exact`, with a simulator or pairs.
        workers: see `simulate`.
        progress: show a progress bar.

    Returns:
        The choice. Where the floor is not reached, beta is the one beyond which the expected cost falls by less than 5
        % of the least cost, and `outcome` says whether that means a wrong simulator: it does where fewer than 5 % of
        simulated outputs would themselves cost as much as the observation.

    Raises:
        ValueError: none or several sources, sources of wrong shapes or with NaN, too few runs that succeed, or a
            ladder of one beta.

    Example:
        >>> choice = gb.temperature.noise_floor(ladder, simulator=simulator, seed=1)
        >>> choice.beta, choice.finding
    """
    if sum(source is not None for source in (simulator, pairs, simulations)) != 1:
        raise ValueError("give one source of replicate distances: simulator, pairs or simulations.")
    checked_grid(ladder.betas)
    if simulations is not None:
        found = _of_rows(ladder, simulations)
    else:
        distance = ladder.cost.distance if distance is None else distance.fitted(ladder.x_o[None])
        if simulator is not None:
            pairs = _simulated(ladder, simulator, n, seed=seed, workers=workers, progress=progress)
        theta, x, again = _checked_pairs(ladder, pairs)
        found = _of_pairs(ladder, distance, theta, x, again, at_draws=simulator is not None)
    if len(found.distance) < _LEAST_ROWS:
        raise ValueError(
            f"{len(found.distance)} replicate distances are too few to average; give {_LEAST_ROWS} or more: a larger n."
        )
    return _judge(ladder, found)


def _simulated(ladder: Ladder, simulator: AnySimulator, n: int, **options: Any) -> tuple[Any, Any, Any]:
    """Two runs at draws taken evenly from all betas."""
    theta = ladder.draws.theta[0].reshape(-1, ladder.prior.dim)
    theta = theta[np.unique(np.linspace(0, len(theta) - 1, n).round().astype(int))]
    conditions = list(ladder.conditions.values()) if ladder.conditions else None
    twice = np.concatenate([theta, theta])
    runs = simulate_at(simulator, twice, names=ladder.prior.names, conditions=conditions, **options)
    kept = runs.ok[: len(theta)] & runs.ok[len(theta) :]
    return theta[kept], runs.x[: len(theta)][kept], runs.x[len(theta) :][kept]


def _checked_pairs(ladder: Ladder, pairs: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not isinstance(pairs, tuple) or len(pairs) != 3:
        raise ValueError("pairs must be a tuple (theta, x, again): parameters, and two outputs at each.")
    with np.errstate(over="ignore"):
        theta, x, again = (np.asarray(part, np.float32) for part in pairs)
    expected = ladder.cost.x_shape
    if theta.ndim != 2 or theta.shape[1] != ladder.prior.dim or x.shape != again.shape or len(x) != len(theta):
        raise ValueError(
            f"pairs must have the shapes (m, {ladder.prior.dim}), (m, *{expected}) and (m, *{expected}), got "
            f"{theta.shape}, {x.shape}, {again.shape}."
        )
    if x.shape[1:] != expected:
        raise ValueError(f"the outputs of pairs have shape {x.shape[1:]}, but the cost is for outputs of {expected}.")
    finite = np.all([np.isfinite(part).reshape(len(theta), -1).all(axis=1) for part in (theta, x, again)], axis=0)
    if not finite.all():
        raise ValueError(
            f"pairs have NaN or infinite values (in float32) in {np.sum(~finite)} of {len(theta)} rows, the first is "
            f"number {np.argmin(finite)}: leave these rows out of all three arrays (failed runs have no distance)."
        )
    return theta, x, again


def _of_pairs(
    ladder: Ladder, distance: Distance, theta: np.ndarray, x: np.ndarray, again: np.ndarray, *, at_draws: bool
) -> Replicates:
    """Of pairs at draws of the ladder, or of given ones, which count alike.

    A draw of the whole ladder has the density prior(theta) mean_k exp(-beta_k cost) / Z_k, so that its weight as a draw
    of one beta needs its cost alone.
    """
    cost = np.asarray(ladder.cost(theta, ladder.x_o, ladder.conditions or None), np.float64)
    own = np.asarray(ladder.cost(theta, x, ladder.conditions or None), np.float64)
    weights = np.zeros((len(ladder), len(theta)))
    if at_draws:
        weights = -ladder.betas[:, None] * cost[None] - ladder.log_evidence[:, None]
        weights = weights - np.logaddexp.reduce(weights, axis=0)[None]
    return Replicates(
        np.asarray(_pairwise(distance, jnp.asarray(x), jnp.asarray(again)), np.float64), cost, own, weights
    )


@compiled
def _pairwise(distance: Distance, x: Float[Array, "m ..."], again: Float[Array, "m ..."]) -> Float[Array, " m"]:
    return jax.vmap(distance)(x, again)


def _of_rows(ladder: Ladder, simulations: Simulations) -> Replicates:
    """Of simulated rows, each taken as an observation."""
    rows, fitted = held_out_rows(ladder.cost, simulations, _LEAST_ROWS)
    theta, conditions = simulations.theta[rows], simulations.conditions[rows]
    known = conditions if simulations.condition_names else None
    own = np.asarray(ladder.cost(theta, simulations.x[rows], known), np.float64)
    cost = np.asarray(ladder.cost(theta, ladder.x_o, ladder.conditions or None), np.float64)
    return Replicates(own, cost, own, -ladder.betas[:, None] * cost[None], sparse=True, fitted=fitted)


def _judge(ladder: Ladder, found: Replicates) -> Choice:
    """Where the curve of the expected cost meets that of the replicate distance."""
    weights = np.stack([_spread_out(row) for row in found.log_weights])
    floor = weights @ found.distance
    error = np.sqrt(np.sum(weights**2 * (found.distance[None] - floor[:, None]) ** 2, axis=1))
    as_far = np.sum(weights * (found.own >= found.cost)[None], axis=1)
    logs = np.linspace(np.log(ladder.betas[0]), np.log(ladder.betas[-1]), 50 * len(ladder))
    fine = np.exp(logs)
    gap = ladder.curve(logs) - np.interp(logs, np.log(ladder.betas), floor)
    noise = np.interp(logs, np.log(ladder.betas), np.hypot(error, ladder.cost_error))
    beta, messages = _first(fine, gap), list(ladder.outcome.messages)
    soonest, latest = _first(fine, gap - 2 * noise), _first(fine, gap + 2 * noise)
    if beta is None and soonest is not None:
        beta = soonest
        messages.append(
            f"The expected cost comes within two standard errors of the replicate distance at beta {beta:.4g}, but "
            "does not go below it: more runs (n) or draws would tell."
        )
    if beta is None:
        beta, place = _knee(ladder, float(floor[-1])), len(ladder) - 1
        messages += _judge_miss(ladder, float(as_far[-1]), float(floor[-1]))
        finding = (
            f"The floor is never reached: the expected cost tends to {ladder.least_cost:.4g}, and the replicate "
            f"distance is {floor[-1]:.4g} (+- {error[-1]:.2g}). Beta {beta:.4g} is where the expected cost comes "
            "within 5 % of the least, so that a larger one hardly improves the fit."
        )
    else:
        place = int(np.argmin(np.abs(np.log(ladder.betas / beta))))
        finding = (
            f"From beta {beta:.4g} on, runs at draws are as near to the observation as to one another: the replicate "
            f"distance there is {floor[place]:.4g} (+- {error[place]:.2g})."
        )
        if beta <= ladder.betas[0]:
            messages.append(
                "The floor is reached at the smallest beta of the ladder already: the simulator's noise is as large as "
                "anything that its parameters do to this distance, or the ladder starts too high."
            )
    if found.fitted:
        messages.append(
            "The stored runs are those that the cost was fitted on, so that the replicate distance may come out "
            "somewhat too small, and beta too large: runs at draws would measure it (simulator=...)."
        )
    rows = 1 / np.sum(weights**2, axis=1)
    if found.sparse and rows[place] < 1.05 * _LEAST_ROWS:
        messages.append(
            f"At beta {ladder.betas[place]:.4g} the posterior is narrower than the spacing of the simulations, and the "
            f"replicate distance is that of the {_LEAST_ROWS} nearest of them: runs at draws would measure it "
            "(simulator=...)."
        )
    return Choice(
        rule="noise_floor",
        beta=beta,
        interval=(beta if soonest is None else min(soonest, beta), np.inf if latest is None else latest),
        finding=finding,
        assumes=ASSUMES,
        units=ladder.cost.distance.units,
        names=ladder.prior.names,
        evidence={
            "betas": ladder.betas,
            "mean_cost": ladder.mean_cost,
            "cost_error": ladder.cost_error,
            "least_cost": np.asarray(ladder.least_cost),
            "replicate": floor,
            "replicate_error": error,
            "replicate_rows": rows,
            "as_far": as_far,
        },
        outcome=Outcome(tuple(messages)),
    )


def _judge_miss(ladder: Ladder, as_far: float, floor: float) -> list[str]:
    """What it means that the floor is never reached."""
    messages = []
    if ladder.mean_cost[-1] - ladder.least_cost > 0.05 * max(ladder.least_cost, floor):
        messages.append(
            f"The expected cost still falls at the top of the ladder, beta {ladder.betas[-1]:.4g}: make one with a "
            "larger top before reading anything into the floor."
        )
    if as_far < 0.05:
        messages.append(
            f"The simulator looks misspecified: {as_far:.1%} of its own outputs at these parameters would cost as much "
            "as the observation. The posterior is that of the best compromise, and no beta makes it fit: look at the "
            "predictive check, and at what the simulator lacks."
        )
    else:
        messages.append(
            f"The floor is not reached, but {as_far:.0%} of the simulator's own outputs at these parameters would cost "
            "as much as the observation: no sign of a wrong simulator, only of one noisy observation. Prefer the rule "
            "calibrated."
        )
    return messages


def _spread_out(log_weights: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Weights of sum 1, raised to the largest power up to 1 that leaves them worth `_LEAST_ROWS` rows or more."""

    def weights(power: float) -> np.ndarray:
        raised = power * (log_weights - log_weights.max())
        return np.exp(raised - logsumexp(raised))

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = high if low == 0 and 1 / np.sum(weights(high) ** 2) >= _LEAST_ROWS else (low + high) / 2
        if 1 / np.sum(weights(middle) ** 2) >= _LEAST_ROWS:
            low = middle
        else:
            high = middle
    return weights(low)


def _first(betas: Float[np.ndarray, " k"], gap: Float[np.ndarray, " k"]) -> float | None:
    """The smallest of many betas at which the gap is closed."""
    closed = gap <= 0
    return float(betas[np.argmax(closed)]) if np.any(closed) else None


def _knee(ladder: Ladder, floor: float) -> float:
    """Where the expected cost comes within 5 % of the least; the top of the ladder if nowhere."""
    logs = np.linspace(np.log(ladder.betas[0]), np.log(ladder.betas[-1]), 50 * len(ladder))
    near = _first(np.exp(logs), ladder.curve(logs) - ladder.least_cost - 0.05 * max(ladder.least_cost, floor))
    return float(ladder.betas[-1]) if near is None else near
