"""Fits the distribution of every output coordinate given the parameters, by maximum likelihood."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..distances import AdditiveDistance
from ..learning.distributions import Bend, LogisticMixture
from ..learning.folds import Folds
from ..learning.layers import ResidualMLP, Standardiser, stack
from ..learning.means import best_degrees, polynomial_ensemble
from ..learning.shared_noise import Noise
from ..learning.training import FitConfig, FitRecord, train
from .forms import MarginalForm

_COMPONENTS = 4
# Of a coordinate's standard deviation: what no component is narrower than. Whole numbers and repeated values would
# otherwise draw the likelihood to infinity.
_FLOOR = 0.01
# A wider network than for means: distributions change abruptly where a neuron begins to fire.
MARGINAL_CONFIG = FitConfig(members=2, width=128, depth=3, max_epochs=150, patience=20)


def fit_marginal(
    theta: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n *x_shape"],
    distance: AdditiveDistance,
    folds: Folds,
    config: FitConfig,
    *,
    rng: np.random.Generator,
    progress: bool,
    spread: Float[np.ndarray, "*x_shape"],
    start: MarginalForm | None = None,
) -> tuple[MarginalForm, tuple[FitRecord, ...]]:
    """Fits a mixture of logistic distributions to every coordinate, from a polynomial ridge fit of its mean.

    Args:
        theta: parameters, (n, dim).
        x: outputs, (n, *x_shape).
        distance: an additive distance, fitted.
        folds: rows of each member.
        config: see `FitConfig`.
        rng: source of the networks' first weights and of batches.
        progress: show a progress bar.
        spread: standard deviation of every coordinate over draws of the prior.
        start: whose networks are trained on, with their bends and polynomials.
    """
    values = x.reshape(len(x), -1)
    if start is None:
        mixtures = _first(theta, values, folds, config, rng)
    else:
        mixtures = replace(start.distribution, bend=start.distribution.bend.widened(values))
    bend = jax.tree.map(lambda leaf: leaf[0], mixtures.bend)
    bent = jax.vmap(bend)(jnp.asarray(values))
    mixtures, record = train(
        mixtures,
        _negative_log_likelihood,
        (jnp.asarray(theta), bent),
        folds.train,
        folds.validation,
        config,
        rng=rng,
        name="marginal distributions",
        loss_name="negative log-likelihood of a coordinate, mean over coordinates",
        progress=progress,
    )
    return MarginalForm.of(mixtures, jnp.asarray(spread), distance), (record,)


def _first(
    theta: Float[np.ndarray, "n dim"],
    values: Float[np.ndarray, "n coordinates"],
    folds: Folds,
    config: FitConfig,
    rng: np.random.Generator,
) -> LogisticMixture:
    """The members before any training: ridge fits of the means, with what they leave over as the spread."""
    bend = Bend.fit(values)
    bent = np.asarray(jax.vmap(bend)(jnp.asarray(values)), np.float64)
    standardise = Standardiser.fit(theta[np.unique(folds.train)])
    z = np.asarray(jax.vmap(standardise)(jnp.asarray(theta)), np.float64)
    noise = Noise.independent(len(z))
    degree_of_each, features = best_degrees(z, bent, noise)
    location, errors = polynomial_ensemble(standardise, z, features, degree_of_each, bent, folds, noise)
    std = bent.std(axis=0)
    # A constant coordinate has neither spread nor error.
    floor = np.where(std > 0, _FLOOR * std, _FLOOR)
    residual = np.maximum(errors.std(axis=0), floor)
    members = config.members
    size = values.shape[1] * 3 * _COMPONENTS
    return LogisticMixture(
        bend=stack([bend] * members),
        location=location,
        residual=jnp.tile(jnp.asarray(residual, jnp.float32), (members, 1)),
        floor=jnp.tile(jnp.asarray(floor, jnp.float32), (members, 1)),
        network=stack([ResidualMLP(z.shape[1], size, config.width, config.depth, rng=rng) for _ in range(members)]),
    )


def _negative_log_likelihood(
    module: LogisticMixture, rows: Int[Array, " rows"], data: Any, key: PRNGKeyArray
) -> Float[Array, ""]:
    del key
    theta, bent = data
    return -jnp.mean(jax.vmap(module.log_density)(theta[rows], bent[rows]))
