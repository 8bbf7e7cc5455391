"""`fit_cost`: simulations + distance -> Cost."""

from dataclasses import asdict, replace
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..distances import AdditiveDistance, Distance, HilbertDistance
from ..distances.additive import spread_of
from ..distances.sets import KernelDistance
from ..learning.folds import Folds
from ..learning.means import RidgeResidual, fit_mean
from ..learning.shared_noise import Noise, grouped
from ..learning.training import FitConfig, FitRecord
from ..runtime.compiling import compiled
from ..runtime.outcome import Outcome
from ..runtime.seeds import check_seed
from ..simulations.rows import Simulations
from .cost import Cost
from .fit_general import GENERAL_CONFIG, EmbeddingName, embedding_class, fit_general
from .fit_marginal import MARGINAL_CONFIG, fit_marginal
from .forms import HilbertForm, MarginalForm, NetworkForm, mean_prediction

Method = Literal["auto", "marginal", "general"]


def fit_cost(
    simulations: Simulations,
    distance: Distance,
    *,
    seed: int = 0,
    config: FitConfig | None = None,
    method: Method = "auto",
    embedding: EmbeddingName = "auto",
    progress: bool = True,
    start: Cost | None = None,
) -> Cost:
    """Learns the expected distance to any observation from simulations alone (Gao, Deistler, Macke 2023).

    A distance with a feature map is learned by regressing the features (exact in the observation, however far it lies
    from the simulations); an additive one through the marginal distributions of the output's coordinates; any other by
    a network of parameter and observation.

    Args:
        simulations: at least a few hundred; failed rows are left out, so the cost is E[d | theta, success].
        distance: from `genbayes.distances`.
        seed: of folds, first weights and batches.
        config: see `FitConfig`; if not given, that of `default_config`.
        method: "auto", or "marginal": the distributions of the output's coordinates, for any additive distance, which
            `Cost.with_distance` then exchanges without a new fit; or "general": the general network even where the
            distance has a structure to use.
        embedding: how the general network reads an observation: as a "vector", as a "set" of trials
            (trials, trial_dim) or as a time "series" (time, channels); "auto" where the shape or the distance decides.
        progress: show progress bars.
        start: a cost of fewer simulations with the same configuration, whose networks the training goes on from
            (marginal and general costs; a feature cost is fitted anew, in seconds).

    Returns:
        The cost; `cost.outcome` says whether training went well.

    Raises:
        ValueError: too few simulations, or the distance does not fit their outputs or the method.

    Example:
        >>> cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(scale="prior_predictive"))
        >>> cost(theta, x_o)
    """
    if not isinstance(simulations, Simulations):
        raise TypeError(f"fit_cost takes (simulations, distance), got {type(simulations).__name__} as simulations.")
    if isinstance(distance, type):
        raise TypeError(f"distance is the class {distance.__name__}; make one of it: {distance.__name__}().")
    if not isinstance(distance, Distance):
        raise TypeError(
            f"distance must come from genbayes.distances, got {type(distance).__name__}; wrap a function as "
            "genbayes.distances.UserDistance(function, name=..., units=...)."
        )
    kind = _form(distance, method)
    config = default_config(distance, method) if config is None else config
    seed = check_seed(seed)
    rows = np.flatnonzero(simulations.ok)
    noise = Noise.independent(len(rows))
    if kind == "features":
        order, noise = grouped(simulations.origin[rows], simulations.block[rows])
        rows = rows[order]
    theta = np.asarray(simulations.inputs[rows], np.float32)
    x = np.asarray(simulations.x[rows], np.float32)
    distance.check_target(simulations.x_shape, simulations.x_shape)
    origin = simulations.origin[rows]
    folds = Folds.of_rounds(origin[:: noise.size], config, seed)
    # Of draws of the prior alone: refinement must not change what a unit of the distance, and so of beta, means.
    used = noise.rows(np.unique(folds.train))
    x_of_prior = x[used[origin[used] == origin.min()]]
    distance = distance.fitted(x_of_prior)
    rng = np.random.default_rng(seed)
    if kind == "features" and isinstance(distance, HilbertDistance):
        form, fit = _fit_hilbert(theta, x, distance, folds, config, noise=noise, rng=rng, progress=progress)
    elif kind == "marginal" and isinstance(distance, AdditiveDistance):
        before = start.form if start is not None and isinstance(start.form, MarginalForm) else None
        spread = spread_of(x_of_prior)
        form, fit = fit_marginal(
            theta, x, distance, folds, config, rng=rng, progress=progress, spread=spread, start=before
        )
    else:
        network = embedding_class(embedding, distance, simulations.x_shape)
        before = start.form if start is not None and isinstance(start.form, NetworkForm) else None
        form, fit = fit_general(
            theta,
            x,
            distance,
            network,
            folds,
            config,
            rng=rng,
            progress=progress,
            own_numbers=simulations.own_numbers[rows],
            start=before,
        )
    dim = len(simulations.names)
    ranges = [theta.min(axis=0).tolist(), theta.max(axis=0).tolist()]
    settings = {
        "seed": seed,
        "simulations": len(simulations),
        "simulations_prior": int(np.sum(simulations.origin == 0)),
        "simulations_failed": simulations.n_failed,
        "rounds": int(simulations.origin.max(initial=0)),
        "simulation_seed": simulations.seed,
        "simulator": simulations.simulator,
        "prior": simulations.prior,
        "theta_range": [limit[:dim] for limit in ranges],
        "conditions_range": [limit[dim:] for limit in ranges],
        "conditions_prior": simulations.conditions_prior,
        "config": asdict(config),
        "form": type(form).__name__,
    }
    return Cost(form, distance, simulations.names, simulations.x_shape, fit, settings, simulations.condition_names)


def default_config(distance: Distance, method: Method = "auto") -> FitConfig:
    """What `fit_cost` takes where no configuration is given: for features, marginal distributions or the general cost.

    Start from it to change a single setting: `dataclasses.replace(default_config(distance), members=8)`.
    """
    return {"features": FitConfig(), "marginal": MARGINAL_CONFIG, "general": GENERAL_CONFIG}[_form(distance, method)]


def _form(distance: Distance, method: str) -> Literal["features", "marginal", "general"]:
    """What is learned of a distance."""
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(map(repr, get_args(Method)))}, got {method!r}.")
    additive = isinstance(distance, AdditiveDistance)
    if method == "marginal" and not additive:
        raise ValueError(
            f"method='marginal' takes an additive distance (MeanAbsoluteError, MeanSquaredError, HuberError, "
            f"CappedError), and {distance.name} is none: choose one of these, or method='auto'."
        )
    if method == "auto" and isinstance(distance, HilbertDistance):
        return "features"
    return "marginal" if additive and method != "general" else "general"


def _fit_hilbert(
    theta: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n *x_shape"],
    distance: HilbertDistance,
    folds: Folds,
    config: FitConfig,
    *,
    noise: Noise,
    rng: np.random.Generator,
    progress: bool,
) -> tuple[HilbertForm, tuple[FitRecord, ...]]:
    """Regresses the features, then the spread of outputs around them."""
    features, rests = (np.asarray(part, np.float64) for part in _features(distance, jnp.asarray(x)))
    mean, mean_record = fit_mean(
        theta,
        features.astype(np.float32),
        folds,
        config,
        noise=noise,
        rng=rng,
        name="mean features",
        progress=progress,
    )
    predicted = np.asarray(_predict(mean, jnp.asarray(theta)), np.float64)
    # s - 2 <g, features> + ||g||^2, without the cancellation of large squares where outputs lie far from zero.
    labels = rests + np.sum((predicted - features) ** 2, axis=1)
    # One smooth function of few parameters: a small network learns it, at a fraction of the cost of every draw.
    small = replace(config, width=max(8, config.width // 2), depth=1)
    spread, spread_record = fit_mean(
        theta,
        labels[:, None].astype(np.float32),
        folds,
        small,
        noise=noise,
        rng=rng,
        name="spread",
        progress=progress,
    )
    form = HilbertForm(distance, mean, spread, jnp.asarray(labels.min(), jnp.float32))
    outcome = Outcome.joined([mean_record.outcome, _judge_landmarks(distance)])
    return form, (replace(mean_record, outcome=outcome), spread_record)


def _judge_landmarks(distance: HilbertDistance) -> Outcome:
    """Single trials of many dimensions may lie far from any few landmarks; what is missed shrinks the learned cost."""
    if not isinstance(distance, KernelDistance) or distance.missed is None or distance.missed < 0.05:
        return Outcome()
    return Outcome(
        (
            f"The {distance.max_landmarks} landmarks of the distance {distance.name} miss {float(distance.missed):.0%} "
            "of the simulated trials' kernel: raise max_landmarks, use a wider kernel, or compare summaries of the "
            "trials.",
        )
    )


@compiled
def _features(distance: HilbertDistance, x: Float[Array, "n *x_shape"]) -> tuple[Array, Array]:
    """Features of each output, and the rest of its self term (as in `HilbertForm.embed`)."""

    # One after the other in blocks: the kernel matrices of all rows at once could fill the memory.
    def one(output: Float[Array, "*x_shape"]) -> tuple[Array, Array]:
        features = distance.features(output)
        return features, distance.self_term(output) - jnp.sum(features**2)

    return jax.lax.map(one, x, batch_size=256)


@compiled
def _predict(ensemble: RidgeResidual, theta: Float[Array, "n dim"]) -> Float[Array, "n k"]:
    return jax.vmap(lambda one: mean_prediction(ensemble, one))(theta)
