"""How the posterior of one observation hangs on the distance, its scale and its weights.

All from the marginal distributions of a cost that was fitted once: no variant is simulated or fitted. Every one is
sampled, so the answer is not a linearisation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..costs.cost import Cost
from ..costs.forms import MarginalForm
from ..distances import AdditiveDistance, MeanAbsoluteError
from ..runtime.compiling import compiled
from ..runtime.outcome import Outcome
from ..runtime.progress import progress_bar
from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from ..sampling.sampler import Sampler
from ..sampling.smc import SMC
from ..sampling.weights import moments, some_draws
from ..simulations.running import simulate_at
from .distances import Group, ReplicateOutputs, given_groups, marginal_form, output_groups, standard_distances, without
from .wording import guidance, table_text

# E|x - x'| of two normal numbers is 2 / sqrt(pi) of their standard deviation.
_TO_STD = np.sqrt(np.pi) / 2


@dataclass(frozen=True, eq=False, repr=False)
class Variant:
    """A posterior of the same observation by another distance.

    Attributes:
        name: of the variant.
        kind: "given", "distance" or "left out".
        distance: fitted.
        beta: inverse temperature, comparable to the given one; see `sensitivity_variants`.
        draws: of this posterior.
        off: (coordinates,), mean |x - x_o| of its predictions, in replicate distances: 1 is as near as two runs alike.
    """

    name: str
    kind: str
    distance: AdditiveDistance
    beta: float
    draws: Draws
    off: Float[np.ndarray, " coordinates"]

    def __repr__(self) -> str:
        return f"Variant({self.name!r}, beta {self.beta:.4g})"


@dataclass(frozen=True, eq=False, repr=False)
class Sensitivity:
    """What changes with the distance, and which parts of the output make the misfit.

    Attributes:
        names: of the parameters.
        groups: the parts of the output that are looked at, at most a dozen or so.
        variants: the given distance first, then others, then the given one with a part left out.
        share: (groups,), of the expected cost at the given posterior.
        replicate: (coordinates,), mean |x - x'| of two runs at one draw, in data units.
        apart: (coordinates,), the same of runs at two draws of the given posterior.
        resimulated: whether `off` and `replicate` come from new runs of the simulator, or from the networks.
        n_failed: of these runs.
        own_outcome: what went wrong besides sampling.
    """

    names: tuple[str, ...]
    groups: tuple[Group, ...]
    variants: tuple[Variant, ...]
    share: Float[np.ndarray, " groups"]
    replicate: Float[np.ndarray, " coordinates"]
    apart: Float[np.ndarray, " coordinates"]
    resimulated: bool = False
    n_failed: int = 0
    own_outcome: Outcome = Outcome()

    def __repr__(self) -> str:
        return f"Sensitivity({len(self.variants)} variants, {len(self.groups)} parts of the output)"

    @cached_property
    def mean(self) -> Float[np.ndarray, "variants dim"]:
        """Posterior means."""
        return np.stack([moments(variant.draws)[0] for variant in self.variants])

    @cached_property
    def std(self) -> Float[np.ndarray, "variants dim"]:
        """Posterior standard deviations."""
        return np.stack([np.maximum(moments(variant.draws)[1], 1e-30) for variant in self.variants])

    @cached_property
    def shift(self) -> Float[np.ndarray, "variants dim"]:
        """Posterior mean less that of the given distance, in standard deviations of the latter."""
        return (self.mean - self.mean[0]) / self.std[0]

    @cached_property
    def shift_error(self) -> Float[np.ndarray, "variants dim"]:
        """Monte Carlo standard error of `shift`, from the disagreement of the sampler's chains; 0 of the given one."""
        error = np.stack([moments(variant.draws)[2] for variant in self.variants]) / self.std[0]
        return np.sqrt(error[0] ** 2 + error**2) * (np.arange(len(error)) > 0)[:, None]

    @cached_property
    def width_ratio(self) -> Float[np.ndarray, "variants dim"]:
        """Posterior standard deviation over that of the given distance."""
        return self.std / self.std[0]

    @cached_property
    def off(self) -> Float[np.ndarray, "variants groups"]:
        """Distance |x - x_o| of the predictions in replicate distances |x - x'|, mean over each part of the output."""
        masks = [group.members.reshape(-1) for group in self.groups]
        return np.stack([[float(v.off[mask].mean()) for mask in masks] for v in self.variants])

    @cached_property
    def spread(self) -> Float[np.ndarray, " groups"]:
        """What two predictions of the given posterior are apart, in replicate distances: 1 where beta pins all down."""
        ratio = self.apart / self.replicate
        return np.array([float(ratio[group.members.reshape(-1)].mean()) for group in self.groups])

    @cached_property
    def misfit(self) -> Float[np.ndarray, "variants groups"]:
        """How far the observation lies from the predictions, over how far two of the given posterior's lie apart.

        Around 1 the observation is as one of the predictions; 1.8 where it is two standard deviations off their mean.
        """
        return self.off / self.spread

    @cached_property
    def guidance(self) -> tuple[str, ...]:
        """What to conclude, in sentences."""
        return guidance(self)

    @cached_property
    def outcome(self) -> Outcome:
        """What went wrong in sampling, by variant."""
        messages = [*self.own_outcome.messages]
        for variant in self.variants:
            messages += [f"{variant.name}: {text}" for text in variant.draws.outcome.messages]
        return Outcome(tuple(dict.fromkeys(messages)))

    def summary(self) -> str:
        """The tables and the guidance as plain text, 80 columns wide."""
        return table_text(self)

    def to_dict(self) -> dict[str, Any]:
        """All numbers as plain values, for a JSON file."""
        return {
            "parameters": list(self.names),
            "parts": [group.name for group in self.groups],
            "share_of_cost": self.share.tolist(),
            "predictions_apart_in_replicate_distances": self.spread.tolist(),
            "resimulated": self.resimulated,
            "runs_failed": self.n_failed,
            "variants": [
                {
                    "name": variant.name,
                    "kind": variant.kind,
                    "distance": variant.distance.name,
                    "units": variant.distance.units,
                    "beta": variant.beta,
                    "mean": self.mean[i].tolist(),
                    "standard_deviation": self.std[i].tolist(),
                    "shift": self.shift[i].tolist(),
                    "shift_error": self.shift_error[i].tolist(),
                    "width_ratio": self.width_ratio[i].tolist(),
                    "off_in_replicate_distances": self.off[i].tolist(),
                    "misfit": self.misfit[i].tolist(),
                }
                for i, variant in enumerate(self.variants)
            ],
            "guidance": list(self.guidance),
            "warnings": list(self.outcome.messages),
        }


def sensitivity(
    posterior: GibbsPosterior,
    distances: Mapping[str, Any] | None = None,
    *,
    n: int = 1000,
    seed: int,
    labels: Sequence[str] | None = None,
    groups: Mapping[str, Any] | None = None,
    simulator: Callable | None = None,
    resimulate: int = 100,
    workers: int = 1,
    sampler: Sampler | None = None,
    progress: bool = True,
) -> Sensitivity:
    """Samples the posterior of the same observation under other distances, and without parts of the output.

    A variant's beta is such that it tells draws of the given posterior apart as well as the given distance at its
    beta does, for outputs of the simulator itself (see `sensitivity_variants`); leaving a part out keeps beta.

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
        workers: processes for a Python simulator.
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
        raise TypeError(f"sensitivity takes a GibbsPosterior, got {type(posterior).__name__}.")
    if distances is not None and not isinstance(distances, Mapping):
        raise TypeError(
            "distances must be a mapping from name to distance, such as {'absolute': MeanAbsoluteError()}, got "
            f"{type(distances).__name__}."
        )
    cost, x_o = posterior.cost, posterior.x_o
    marginal_form(cost)
    given = cost.distance
    assert isinstance(given, AdditiveDistance)
    # A dozen posteriors whose differences are asked for, not their tails.
    sampler = SMC(min_particles=250) if sampler is None else sampler
    parts = output_groups(cost.x_shape, labels) if groups is None else given_groups(groups, cost.x_shape)
    reference = posterior.sample(n, seed=seed, sampler=sampler)
    conditions = cost.check_conditions(posterior.conditions or None)
    outputs = ReplicateOutputs(cost, some_draws(reference, 64), conditions, seed)
    absolute = cost.with_distance(MeanAbsoluteError())
    pairs = outputs.compare(absolute)
    replicate = np.maximum(pairs.same, 1e-30)
    apart = np.maximum(pairs.same + pairs.excess, replicate)
    noise = (_TO_STD * replicate).reshape(cost.x_shape)
    chosen, outcome = _chosen(posterior, distances, outputs, noise)
    weights = np.asarray(given.weights)
    for group in parts:
        # Where nothing would be left, or nothing is left out, there is no other posterior.
        if np.any(weights[~group.members] > 0) and np.any(weights[group.members] > 0):
            chosen.append((f"without {group.name}", "left out", without(given, group), posterior.beta))
    made = [("as given", "given", given, posterior.beta, reference)]
    with progress_bar("sampling variants", len(chosen), progress) as advance:
        for name, kind, distance, beta in chosen:
            other = GibbsPosterior(
                posterior.prior, cost.with_distance(distance), x_o, beta, conditions=posterior.conditions or None
            )
            made.append((name, kind, distance, beta, other.sample(n, seed=seed, sampler=sampler)))
            advance(note=name)
    off, n_failed = [], 0
    if simulator is None:
        for *_, draws in made:
            off.append(_predicted(absolute, draws, x_o, conditions) / replicate)
    else:
        off, replicate, apart, n_failed = _resimulated(
            simulator, posterior, [item[-1] for item in made], resimulate, seed, workers, progress
        )
    return Sensitivity(
        names=posterior.prior.names,
        groups=tuple(parts),
        variants=tuple(Variant(*item, off=one) for item, one in zip(made, off, strict=True)),
        share=_shares(cost, reference, x_o, conditions, parts),
        replicate=replicate,
        apart=apart,
        resimulated=simulator is not None,
        n_failed=n_failed,
        own_outcome=outcome,
    )


def _chosen(
    posterior: GibbsPosterior,
    distances: Mapping[str, Any] | None,
    outputs: ReplicateOutputs,
    noise: Float[np.ndarray, "*x_shape"],
) -> tuple[list[tuple[str, str, AdditiveDistance, float]], Outcome]:
    """Name, kind, distance and beta of every other distance."""
    cost = posterior.cost
    distances = standard_distances(cost, noise) if distances is None else distances
    evidence = _evidence(outputs, cost)
    chosen, messages = [], []
    for name, item in distances.items():
        distance, beta = item if isinstance(item, tuple) else (item, None)
        other = cost.with_distance(distance)
        if beta is None:
            wanted = _evidence(outputs, other)
            if not (evidence > 0 and wanted > 0):
                messages.append(
                    f"{name}: no beta can be found that makes it comparable, for the distance does not tell draws of "
                    "the posterior apart; it is left out. Give one: distances={name: (distance, beta)}."
                )
                continue
            beta = posterior.beta * evidence / wanted
        chosen.append((name, "distance", other.distance, float(beta)))
    return chosen, Outcome(tuple(messages))


def _evidence(outputs: ReplicateOutputs, cost: Cost) -> float:
    assert isinstance(cost.distance, AdditiveDistance)
    return outputs.compare(cost).evidence(np.asarray(cost.distance.weights).reshape(-1))


def _shares(
    cost: Cost, draws: Draws, x_o: np.ndarray, conditions: Float[Array, " c"], groups: Sequence[Group]
) -> Float[np.ndarray, " groups"]:
    """Of every group, in the expected cost."""
    assert isinstance(cost.distance, AdditiveDistance)
    parts = np.asarray(cost.distance.weights).reshape(-1) * _predicted(cost, draws, x_o, conditions)
    return np.array([parts[group.members.reshape(-1)].sum() for group in groups]) / max(parts.sum(), 1e-30)


def _predicted(
    cost: Cost, draws: Draws, x_o: np.ndarray, conditions: Float[Array, " c"]
) -> Float[np.ndarray, " coordinates"]:
    """Expected discrepancy of every coordinate, mean over at most 500 draws."""
    form, rows = marginal_form(cost), some_draws(draws, 500)
    inputs = jnp.concatenate(
        [jnp.asarray(rows, jnp.float32), jnp.broadcast_to(conditions, (len(rows), len(conditions)))], axis=1
    )
    return np.asarray(_mean_values(form, inputs, jnp.asarray(x_o)), np.float64)


@compiled
def _mean_values(form: MarginalForm, inputs: Float[Array, "m d"], x_o: Array) -> Float[Array, " coordinates"]:
    embedded = form.embed(x_o)
    return jnp.mean(jax.vmap(lambda one: jnp.mean(form.coordinate_values(one, embedded), axis=0))(inputs), axis=0)


def _resimulated(
    simulator: Callable,
    posterior: GibbsPosterior,
    draws: Sequence[Draws],
    m: int,
    seed: int,
    workers: int,
    progress: bool,
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, int]:
    """Mean |x - x_o| of new runs in replicate distances, these, distances of runs at two draws, and failed runs."""
    if m < 2:
        raise ValueError(f"resimulate must be at least 2, got {m!r}.")
    chosen = [some_draws(one, m) for one in draws]
    # The given posterior twice: what two runs alike differ by.
    theta = [chosen[0], *chosen]
    conditions = list(posterior.conditions.values()) if posterior.conditions else None
    runs = simulate_at(
        simulator,
        np.concatenate(theta),
        seed=seed,
        names=posterior.prior.names,
        conditions=conditions,
        workers=workers,
        progress=progress,
    )
    ends = np.cumsum([len(rows) for rows in theta])[:-1]
    x = [part.reshape(len(part), -1).astype(np.float64) for part in np.split(runs.x, ends)]
    ok = np.split(runs.ok, ends)
    empty = [i for i, rows in enumerate(ok) if not rows.any()]
    both = ok[0] & ok[1]
    if empty or not both.any():
        raise ValueError(f"all new runs at the draws of one variant failed: {runs.summary()}")
    replicate = np.abs(x[0][both] - x[1][both]).mean(axis=0)
    # A coordinate without noise has no replicate distance: a thousandth of its prior-predictive spread stands for it.
    spread = np.asarray(marginal_form(posterior.cost).spread, np.float64).reshape(-1)
    replicate = np.maximum(replicate, np.maximum(1e-3 * spread, 1e-30))
    x_o = posterior.x_o.reshape(-1).astype(np.float64)
    off = [np.abs(part[rows] - x_o).mean(axis=0) / replicate for part, rows in zip(x[1:], ok[1:], strict=True)]
    good = x[1][ok[1]]
    # Neighbours in the list may be copies of one particle.
    lags = {max(1, len(good) * part // 8) for part in range(1, 8)}
    apart = np.mean([np.abs(good - np.roll(good, lag, axis=0)).mean(axis=0) for lag in lags], axis=0)
    return off, replicate, np.maximum(apart, replicate), int(np.sum(~runs.ok))
