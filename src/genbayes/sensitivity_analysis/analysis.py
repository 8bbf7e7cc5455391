"""How the posterior of one observation hangs on the distance, its scale and its weights.

All from the marginal distributions of a cost that was fitted once: no variant is simulated or fitted. Every one is
sampled, so the answer is not a linearisation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..costs.cost import Cost
from ..costs.forms import MarginalForm
from ..distances import AdditiveDistance, MeanAbsoluteError
from ..distances.gaps import has_gaps
from ..runtime.compiling import compiled
from ..runtime.outcome import Outcome
from ..runtime.progress import progress_bar
from ..sampling.draws import Draws
from ..sampling.joint import remedy_for_joint
from ..sampling.new_runs import runs_at
from ..sampling.posterior import GibbsPosterior
from ..sampling.sampler import Sampler
from ..sampling.smc import SMC
from ..sampling.weights import some_draws
from ..simulations.executors import Workers
from ..simulations.run_limits import bounded
from ..simulations.simulators import AnySimulator
from .distances import (
    MOST_SINGLE,
    Group,
    ReplicateOutputs,
    given_groups,
    groups_by_name,
    marginal_form,
    output_groups,
    output_spread,
    standard_distances,
    without,
)
from .result import Sensitivity, Variant

# E|x - x'| of two normal numbers is 2 / sqrt(pi) of their standard deviation.
_TO_STD = np.sqrt(np.pi) / 2


def sensitivity(
    posterior: GibbsPosterior,
    distances: Mapping[str, Any] | None = None,
    *,
    n: int = 1000,
    seed: int,
    labels: Sequence[str] | None = None,
    groups: Mapping[str, Any] | None = None,
    simulator: AnySimulator | None = None,
    resimulate: int = 100,
    workers: Workers = 1,
    timeout: int | float | None = None,
    memory: int | str | None = None,
    sampler: Sampler | None = None,
    progress: bool = True,
) -> Sensitivity:
    """Samples the posterior of the same observation under other distances, and without parts of the output.

    A variant's beta is such that it tells draws of the given posterior apart as well as the given distance at its
    beta does, for outputs of the simulator itself (see the text of `sensitivity_analysis.distances`); leaving a part
    out keeps beta.

    Args:
        posterior: of a cost fitted with method="marginal".
        distances: name -> additive distance, or (distance, beta); if not given: absolute, squared, Huber and capped
            errors with the scale and weights at hand, and the prior-predictive and replicate-noise scales.
        n: number of draws a variant.
        seed: of all samplers, and of the new runs.
        labels: of the coordinates; of an output with more than a dozen, its channels.
        groups: name -> mask or indices of the output; if not given, every coordinate, or of a long output its channels
            and six stretches of the first axis.
        simulator: if given, predictions are new runs at draws of every variant, not those of the networks.
        resimulate: number of such draws of each variant.
        workers: see `simulate`.
        timeout: of one run, in seconds; see `simulate`.
        memory: of one run; see `simulate`.
        sampler: see `GibbsPosterior.sample`; if not given, SMC with populations of half the usual size.
        progress: show a progress bar.

    Raises:
        TypeError: posterior is none, or distances are no mapping.
        ValueError: the cost is not marginal; a distance or group does not fit the output.

    Example:
        >>> cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(scale), method="marginal")
        >>> found = gb.sensitivity(gb.GibbsPosterior(prior, cost, x_o, beta=50.0), seed=0)
        >>> print(found.summary())
    """
    if not isinstance(posterior, GibbsPosterior):
        got = type(posterior).__name__
        raise TypeError(f"sensitivity takes a GibbsPosterior, got {got}.{remedy_for_joint(posterior)}")
    if distances is not None and not isinstance(distances, Mapping):
        raise TypeError(
            "distances must be a mapping from name to distance, such as {'absolute': MeanAbsoluteError()}, got "
            f"{type(distances).__name__}."
        )
    given = _given_distance(posterior.cost)
    # Half the usual population is enough: a dozen posteriors are compared, and nobody asks for their tails.
    sampler = SMC(min_particles=250) if sampler is None else sampler
    cost = posterior.cost
    if groups is None and labels is None and cost.outputs is not None:
        few = cost.outputs.size <= MOST_SINGLE
        labels, groups = (cost.output_names, None) if few else (None, groups_by_name(cost.outputs))
    parts = output_groups(cost.x_shape, labels) if groups is None else given_groups(groups, cost.x_shape)
    # What was not observed is no part of the cost.
    seen = ~np.isnan(posterior.x_o)
    parts = [replace(part, members=part.members & seen) for part in parts if np.any(part.members & seen)]
    reference = posterior.sample(n, seed=seed, sampler=sampler)
    conditions = cost.check_conditions(posterior.conditions or None)
    outputs = ReplicateOutputs(cost, some_draws(reference, 64), conditions, seed)
    replicate, between = _replicate_distances(outputs, cost)
    noise = (_TO_STD * replicate).reshape(cost.x_shape)
    others, outcome = _other_distances(posterior, distances, outputs, noise)
    others += _parts_left_out(posterior, parts)
    made = [Sampled("as given", "given", given, posterior.beta, reference)]
    made += _sampled(posterior, others, n, seed, sampler, progress)
    if simulator is None:
        predictions = _predictions(posterior, made, replicate, between, conditions)
    else:
        draws = [one.draws for one in made]
        predictions = _resimulated(
            simulator, posterior, draws, resimulate, seed, bounded(workers, timeout, memory), progress
        )
    return Sensitivity(
        names=posterior.prior.names,
        groups=tuple(parts),
        variants=tuple(
            Variant(*one, distance_to_observation=distance)
            for one, distance in zip(made, predictions.to_observation, strict=True)
        ),
        share=_shares(cost, reference, posterior.x_o, conditions, parts),
        replicate=predictions.replicate,
        distance_between_draws=predictions.between_draws,
        resimulated=simulator is not None,
        n_failed=predictions.n_failed,
        own_outcome=outcome,
    )


class Wanted(NamedTuple):
    """A variant to sample; see `Variant`."""

    name: str
    kind: str
    distance: AdditiveDistance
    beta: float


class Sampled(NamedTuple):
    """A variant that was sampled; see `Variant`."""

    name: str
    kind: str
    distance: AdditiveDistance
    beta: float
    draws: Draws


class Predictions(NamedTuple):
    """How far predictions lie from the observation and from one another.

    Attributes:
        to_observation: of every variant (coordinates,), mean |x - x_o| in replicate distances.
        replicate: (coordinates,), mean |x - x'| of two runs at one draw, in data units (after the transform, if any).
        between_draws: (coordinates,), the same of runs at two draws of the given posterior.
        n_failed: runs that failed.
    """

    to_observation: list[np.ndarray]
    replicate: Float[np.ndarray, " coordinates"]
    between_draws: Float[np.ndarray, " coordinates"]
    n_failed: int = 0


def _given_distance(cost: Cost) -> AdditiveDistance:
    """The distance of a marginal cost, or ValueError."""
    marginal_form(cost)
    assert isinstance(cost.distance, AdditiveDistance)  # as that of every marginal cost
    return cost.distance


def _by(cost: Cost, distance: Any, factor: float = 1.0) -> Cost:
    """The cost by another distance, with `factor` times its penalty where a failing run counts as a distance."""
    return cost.with_distance(distance, failures=None if cost.penalty is None else factor * cost.penalty)


def _replicate_distances(
    outputs: ReplicateOutputs, cost: Cost
) -> tuple[Float[np.ndarray, " coordinates"], Float[np.ndarray, " coordinates"]]:
    """Mean |x - x'| of two outputs of one draw, and of two draws, from the networks."""
    pairs = outputs.compare(_by(cost, MeanAbsoluteError(transform=cost.frame.transform.name)))
    replicate = np.maximum(pairs.same, 1e-300)
    return replicate, np.maximum(pairs.same + pairs.excess, replicate)


def _weights(cost: Cost, x_o: np.ndarray) -> Float[np.ndarray, " coordinates"]:
    """The weight of every coordinate in the given distance; 0 of one that was not observed."""
    return np.where(np.isnan(x_o), 0.0, np.asarray(_given_distance(cost).weights)).reshape(-1)


def _parts_left_out(posterior: GibbsPosterior, parts: Sequence[Group]) -> list[Wanted]:
    """The given distance without each part, where something is left out and something is left."""
    cost, given = posterior.cost, _given_distance(posterior.cost)
    weights = _weights(cost, posterior.x_o).reshape(cost.x_shape)
    return [
        Wanted(f"without {part.name}", "left out", without(given, part), posterior.beta)
        for part in parts
        if np.any(weights[~part.members] > 0) and np.any(weights[part.members] > 0)
    ]


def _sampled(
    posterior: GibbsPosterior, wanted: Sequence[Wanted], n: int, seed: int, sampler: Sampler, progress: bool
) -> list[Sampled]:
    """The posterior of every variant."""
    made = []
    with progress_bar("sampling variants", len(wanted), progress) as advance:
        for variant in wanted:
            cost = _by(posterior.cost, variant.distance, posterior.beta / variant.beta)
            conditions = posterior.conditions or None
            other = GibbsPosterior(posterior.prior, cost, posterior.x_o, variant.beta, conditions=conditions)
            made.append(Sampled(*variant, draws=other.sample(n, seed=seed, sampler=sampler)))
            advance(note=variant.name)
    return made


def _other_distances(
    posterior: GibbsPosterior,
    distances: Mapping[str, Any] | None,
    outputs: ReplicateOutputs,
    noise: Float[np.ndarray, "*x_shape"],
) -> tuple[list[Wanted], Outcome]:
    """Name, kind, distance and beta of every other distance."""
    cost = posterior.cost
    distances = standard_distances(cost, noise) if distances is None else distances
    evidence = _evidence(outputs, cost, posterior.x_o)
    chosen, messages = [], []
    for name, item in distances.items():
        distance, beta = item if isinstance(item, tuple) else (item, None)
        other = _by(cost, distance)
        if beta is None:
            wanted = _evidence(outputs, other, posterior.x_o)
            if not (evidence > 0 and wanted > 0):
                messages.append(
                    f"{name}: no beta can be found that makes it comparable, for the distance does not tell draws of "
                    "the posterior apart; it is left out. Give one: distances={name: (distance, beta)}."
                )
                continue
            beta = posterior.beta * evidence / wanted
        chosen.append(Wanted(name, "distance", _given_distance(other), float(beta)))
    return chosen, Outcome(tuple(messages))


def _evidence(outputs: ReplicateOutputs, cost: Cost, x_o: np.ndarray) -> float:
    """How much a cost of the coordinates that were observed tells draws apart: R of the text of `distances`."""
    return outputs.compare(cost).evidence(_weights(cost, x_o))


def _shares(
    cost: Cost, draws: Draws, x_o: np.ndarray, conditions: Float[Array, " c"], groups: Sequence[Group]
) -> Float[np.ndarray, " groups"]:
    """The share of every group in the expected cost."""
    parts = _weights(cost, x_o) * _predicted(cost, draws, x_o, conditions)
    return np.array([parts[group.members.reshape(-1)].sum() for group in groups]) / max(parts.sum(), 1e-300)


def _predicted(
    cost: Cost, draws: Draws, x_o: np.ndarray, conditions: Float[Array, " c"]
) -> Float[np.ndarray, " coordinates"]:
    """Expected discrepancy of every coordinate, mean over at most 500 draws."""
    form, rows = marginal_form(cost), some_draws(draws, 500)
    given = [jnp.asarray(rows, jnp.float32), jnp.broadcast_to(conditions, (len(rows), len(conditions)))]
    inputs = cost.in_order(jnp.concatenate(given, axis=1))
    return np.asarray(_mean_values(form, inputs, jnp.asarray(cost.frame(x_o)), has_gaps(x_o)), np.float64)


@compiled
def _mean_values(
    form: MarginalForm, inputs: Float[Array, "m d"], x_o: Array, gaps: bool
) -> Float[Array, " coordinates"]:
    embedded = form.embed(x_o, gaps=gaps)
    return jnp.mean(jax.vmap(lambda one: jnp.mean(form.coordinate_values(one, embedded), axis=0))(inputs), axis=0)


def _predictions(
    posterior: GibbsPosterior,
    made: Sequence[Sampled],
    replicate: Float[np.ndarray, " coordinates"],
    between: Float[np.ndarray, " coordinates"],
    conditions: Float[Array, " c"],
) -> Predictions:
    """By the networks."""
    absolute = _by(posterior.cost, MeanAbsoluteError(transform=posterior.cost.frame.transform.name))
    away = [_predicted(absolute, one.draws, posterior.x_o, conditions) / replicate for one in made]
    return Predictions(away, replicate, between)


def _resimulated(
    simulator: AnySimulator,
    posterior: GibbsPosterior,
    draws: Sequence[Draws],
    m: int,
    seed: int,
    workers: Workers,
    progress: bool,
) -> Predictions:
    """By `m` new runs at draws of every variant."""
    if m < 2:
        raise ValueError(f"resimulate must be at least 2, got {m!r}.")
    chosen = [some_draws(one, m) for one in draws]
    # The given posterior is run twice, because two runs alike differ by the replicate distance.
    theta = [chosen[0], *chosen]
    runs = runs_at(
        simulator,
        np.concatenate(theta),
        seed=seed,
        cost=posterior.cost,
        conditions=posterior.conditions,
        workers=workers,
        progress=progress,
    )
    ends = np.cumsum([len(rows) for rows in theta])[:-1]
    # Misfits are of what the distance sees, by new runs as by the networks.
    transform, ok = posterior.cost.frame.transform, np.split(runs.ok, ends)
    transform.check(runs.x, "outputs of new runs")
    x = [transform(part).reshape(len(part), -1) for part in np.split(runs.x, ends)]
    both = ok[0] & ok[1]
    if not both.any() or not all(rows.any() for rows in ok):
        raise ValueError(f"all new runs at the draws of one variant failed: {runs.summary()}")
    # A coordinate without noise has no replicate distance: a thousandth of its prior-predictive spread stands for it.
    least = np.maximum(1e-3 * output_spread(posterior.cost).reshape(-1), 1e-300)
    replicate = np.maximum(np.abs(x[0][both] - x[1][both]).mean(axis=0), least)
    x_o = transform(posterior.x_o).reshape(-1)
    away = [np.abs(part[rows] - x_o).mean(axis=0) / replicate for part, rows in zip(x[1:], ok[1:], strict=True)]
    between = np.maximum(_mean_between(x[1][ok[1]]), replicate)
    return Predictions(away, replicate, between, int(np.sum(~runs.ok)))


def _mean_between(x: Float[np.ndarray, "n coordinates"]) -> Float[np.ndarray, " coordinates"]:
    """Mean |x - x'| of two rows far from each other in the list, for neighbours may be copies of one particle."""
    lags = {max(1, len(x) * part // 8) for part in range(1, 8)}
    return np.mean([np.abs(x - np.roll(x, lag, axis=0)).mean(axis=0) for lag in lags], axis=0)
