"""Fits the distribution of every output coordinate given the parameters, by maximum likelihood."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..distances import AdditiveDistance
from ..learning.coordinates import best_coordinates
from ..learning.distributions import LogisticMixture, TailTransform
from ..learning.folds import Folds
from ..learning.layers import ResidualMLP, first_of, stack
from ..learning.mixture_start import mixture_starts, transformed_rows
from ..learning.streamed_rows import StreamedRows, training_data
from ..learning.training import FitConfig, FitRecord, train
from ..runtime.compiling import on_device
from .error_of_values import ErrorOfValues
from .forms import MarginalForm

_COMPONENTS = 4
# Share of a coordinate's standard deviation that no component is narrower than. Whole numbers and repeated values would
# otherwise draw the likelihood to infinity; where hardly a value comes twice, simulators may be far more precise.
_FLOOR, _FINE_FLOOR = 0.01, 1e-4
# Share of distinct values beyond which a coordinate is continuous.
_DISTINCT = 0.98
# A wider network than for means: distributions change abruptly where a neuron begins to fire.
# Of 300 runs of a neuron an epoch would have four steps of 64, and training would end long before it is done.
MARGINAL_CONFIG = FitConfig(members=2, width=128, depth=3, batch_size=64, least_steps=30, max_epochs=60, patience=20)


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
    levels: Mapping[int, Sequence[int]] | None = None,
    stream: StreamedRows | None = None,
    error: ErrorOfValues | None = None,
) -> tuple[MarginalForm, tuple[FitRecord, ...]]:
    """Fits a mixture of logistic distributions to every coordinate, from a fit of its mean and its spread.

    Args:
        theta: parameters, (n, dim).
        x: outputs, (n, *x_shape).
        distance: an additive distance, fitted.
        folds: rows of each member.
        config: see `FitConfig`.
        rng: source of the networks' first weights and of batches.
        progress: show a progress bar.
        spread: standard deviation of every coordinate over draws of the prior.
        start: whose networks are trained on, with their transforms and polynomials.
        levels: values of the parameters that are integers, by their numbers.
        stream: all rows of a store and their outputs, where those given are a part of them.
        error: of a measurement, which outputs do not have.
    """
    values = x.reshape(len(x), -1)
    if start is None:
        untrained = _untrained(theta, values, folds, config, rng, levels, stream)
    else:
        untrained = [replace(start.distribution, transform=start.distribution.transform.widened(values))]
    transform = first_of(untrained[0].transform)

    def of_rows(theta: np.ndarray, x: np.ndarray) -> tuple[Array, Array]:
        return on_device(theta), jax.vmap(transform)(on_device(x.reshape(len(x), -1)))

    rows = training_data(of_rows, theta, x, folds, stream)
    trained = [
        train(
            mixtures,
            _negative_log_likelihood,
            rows.data,
            rows.train,
            rows.validation,
            config,
            rng=rng,
            name="marginal distributions",
            loss_name="negative log-likelihood of a coordinate, mean over coordinates",
            progress=progress,
            renewed=rows.renewed,
        )
        for mixtures in untrained
    ]
    mixtures, record = min(trained, key=lambda one: float(np.mean(one[1].best_loss)))
    seconds = {part: sum(one.seconds.get(part, 0.0) for _, one in trained) for part in record.seconds}
    return MarginalForm.of(mixtures, on_device(spread), distance, error), (replace(record, seconds=seconds),)


def _untrained(
    theta: Float[np.ndarray, "n dim"],
    values: Float[np.ndarray, "n coordinates"],
    folds: Folds,
    config: FitConfig,
    rng: np.random.Generator,
    levels: Mapping[int, Sequence[int]] | None,
    stream: StreamedRows | None,
) -> list[LogisticMixture]:
    """Members before any training, of which the best are to be chosen: around fits of the means and of the spread."""
    transform = TailTransform.fit(values)
    transformed = transformed_rows(transform, values)
    train_rows = np.unique(folds.train)
    standardise = best_coordinates(theta[train_rows], transformed[train_rows], levels).standardise
    std = transformed.std(axis=0)
    # A constant coordinate has neither spread nor error.
    floor = np.where(std > 0, np.where(_is_continuous(values), _FINE_FLOOR, _FLOOR) * std, _FLOOR)
    members, width = config.members, standardise.of_rows(theta[:1]).shape[1]
    size = values.shape[1] * 3 * _COMPONENTS
    network = stack([ResidualMLP(width, size, config.width, config.depth, rng=rng) for _ in range(members)])
    return [
        LogisticMixture(
            transform=stack([transform] * members),
            location=start.location,
            residual=on_device(np.tile(start.residual, (members, 1)), np.float32),
            floor=on_device(np.tile(floor, (members, 1)), np.float32),
            network=network,
            relative_spread=start.relative_spread,
        )
        for start in mixture_starts(theta, values, transformed, transform, standardise, folds, floor, stream)
    ]


def _is_continuous(values: Float[np.ndarray, "n coordinates"]) -> Bool[np.ndarray, " coordinates"]:
    """Whether hardly a value of a coordinate is simulated twice."""
    return np.array([len(np.unique(column)) > _DISTINCT * len(column) for column in values.T])


def _negative_log_likelihood(
    module: LogisticMixture, rows: Int[Array, " rows"], data: Any, key: PRNGKeyArray
) -> Float[Array, ""]:
    del key
    theta, transformed = data
    return -jnp.mean(jax.vmap(module.log_density)(theta[rows], transformed[rows]))
