"""Fits the general cost: a network of the parameter and the embedded observation, for any distance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..distances import Distance
from ..distances.batched import distance_matrix
from ..distances.unequal_sets import all_trials, present, trials_present
from ..learning.embeddings import Embedding, PairNetwork, SetEmbedding, TimeSeriesEmbedding, VectorEmbedding
from ..learning.folds import Folds
from ..learning.layers import Standardiser, first_of, stack
from ..learning.steps import find_steps
from ..learning.streamed_rows import StreamedRows, training_data
from ..learning.training import FitConfig, FitRecord, train
from ..runtime.compiling import compiled, on_device
from .forms import NetworkForm

# Distance, in units of the mean distance, below which errors count as absolute and no longer as relative.
_FLOOR = 1e-3
# Many small steps: pairs of one step share their outputs' noise, so more of them in a step tell little more. With 16 to
# a parameter and a third of the steps the error at the largest beta of two moons was twice as large. All members train
# to the end: the last, smallest steps gain the most.
GENERAL_CONFIG = FitConfig(depth=3, max_epochs=100, patience=100, targets=2, noise_targets=2)

EmbeddingName = Literal["auto", "vector", "set", "series"]

_CLASSES: dict[str, type[Embedding]] = {
    "vector": VectorEmbedding,
    "set": SetEmbedding,
    "series": TimeSeriesEmbedding,
}


def embedding_class(name: EmbeddingName, distance: Distance, x_shape: tuple[int, ...]) -> type[Embedding]:
    """The embedding called by its name, or the one that the distance or the shape of outputs decides on."""
    if name != "auto":
        if name not in _CLASSES:
            raise ValueError(f"embedding must be 'auto', 'vector', 'set' or 'series', got {name!r}.")
        if name != "vector" and len(x_shape) != 2:
            raise ValueError(f"embedding={name!r} reads outputs of two axes, but they have shape {x_shape}.")
        return _CLASSES[name]
    if distance.reads_sets:
        return SetEmbedding
    if len(x_shape) == 1:
        return VectorEmbedding
    raise ValueError(
        f"outputs of shape {x_shape} may be a set of trials, a time series or a plain array: say which by "
        "embedding='set', 'series' or 'vector'."
    )


def fit_general(
    theta: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n *x_shape"],
    distance: Distance,
    embedding: type[Embedding],
    folds: Folds,
    config: FitConfig,
    *,
    rng: np.random.Generator,
    progress: bool,
    noise_id: Int[np.ndarray, " n"],
    start: NetworkForm | None = None,
    levels: Mapping[int, Sequence[int]] | None = None,
    stream: StreamedRows | None = None,
) -> tuple[NetworkForm, tuple[FitRecord, ...]]:
    """Regresses d(x_i, x_target_j) on (theta_i, x_target_j) over pairs of different rows of one side of the split.

    Args:
        theta: parameters, (n, dim).
        x: outputs, (n, *x_shape).
        distance: any distance, fitted.
        embedding: class of the network that reads the target.
        folds: rows of each member.
        config: see `FitConfig`.
        rng: source of the networks' first weights and of batches.
        progress: show a progress bar.
        noise_id: equal where rows share their random numbers: such rows are never paired.
        start: whose networks are trained on, with their standardisation and scale.
        levels: values of the parameters that are integers, by their numbers.
        stream: all rows of a store and their outputs, where those given are a part of them.
    """
    if config.batch_size == 1:
        raise ValueError(
            "FitConfig: batch_size must be at least 2 for the general cost: it pairs the rows of a batch, got 1."
        )
    train_x = x[np.unique(folds.train)]
    if start is None:
        train_theta = theta[np.unique(folds.train)]
        steps = find_steps(train_theta, _numbers(train_x), levels)
        standardise = Standardiser.fit(train_theta, levels=levels, steps=steps)
        scale = _mean_distance(distance, on_device(train_x[:512]))
        width = standardise.of_rows(theta[:1]).shape[1]
        members = stack(
            [
                PairNetwork(width, embedding(train_x, rng=rng), config.width, config.depth, rng=rng)
                for _ in range(config.members)
            ]
        )
    else:
        standardise, scale = first_of((start.standardise, start.scale))
        members = start.network
    noise_std = on_device(config.noise_scale * spread_of_outputs(train_x), np.float32)

    def of_rows(theta: np.ndarray, x: np.ndarray) -> tuple[Any, ...]:
        # Of so many rows as a store has hardly two that share their random numbers meet.
        own = noise_id if stream is None else np.arange(len(x))
        z = on_device(standardise.of_rows(theta), np.float32)
        return z, on_device(x), on_device(own), distance, noise_std, scale

    rows = training_data(of_rows, theta, x, folds, stream)
    trained, record = train(
        members,
        _PairLoss(config.targets, config.noise_targets),
        rows.data,
        rows.train,
        rows.validation,
        config,
        rng=rng,
        name="cost",
        loss_name="gamma deviance of single distances",
        progress=progress,
        renewed=rows.renewed,
    )
    k = config.members
    return NetworkForm(stack([standardise] * k), trained, stack([scale] * k)), (record,)


@dataclass(frozen=True)
class _PairLoss:
    """Mean gamma deviance over pairs of a row's parameter and other rows' outputs, some of these made unlike any row.

    Row i meets rows i + 1, i + 2, ... of the (shuffled) batch: every row serves as a target equally often and none
    meets itself, whose distance 0 is no draw of d, nor one that shares its random numbers, whose distance is too small.
    """

    targets: int
    noise_targets: int

    def __call__(
        self, module: PairNetwork, rows: Int[Array, " rows"], data: Any, key: PRNGKeyArray
    ) -> Float[Array, ""]:
        z, x, noise_id, distance, noise_std, scale = data
        x, z, noise_id, n = x[rows], z[rows], noise_id[rows], len(rows)
        total, pairs = jnp.zeros(()), jnp.zeros(())
        noisy = (contaminated if isinstance(module.embedding, SetEmbedding) else blurred)(x, noise_std, key)
        # A set half a batch on is contaminated by trials of the row itself.
        for targets, count in ((x, min(self.targets, n - 1)), (noisy, min(self.noise_targets, n // 2 - 1))):
            if count == 0:
                continue
            partners = (jnp.arange(n)[:, None] + 1 + jnp.arange(count)[None]) % n
            embedded = jax.vmap(module.embedding)(targets)

            def row_errors(one_z: Array, one_x: Array, others: Array, targets: Array, embedded: Array) -> Any:
                def error(other: Array) -> tuple[Array, Array]:
                    label = distance(one_x, targets[other]) / scale
                    # Of targets that were made unlike any output a distance may be undefined: the logarithm of a count.
                    known = jnp.isfinite(label)
                    return gamma_deviance(module(one_z, embedded[other]), jnp.where(known, label, 0.0)), known

                return jax.vmap(error)(others)

            errors, known = jax.vmap(row_errors, in_axes=(0, 0, 0, None, None))(z, x, partners, targets, embedded)
            counted = known & (noise_id[:, None] != noise_id[partners])
            total, pairs = total + jnp.sum(jnp.where(counted, errors, 0.0)), pairs + jnp.sum(counted)
        return total / jnp.maximum(pairs, 1.0)


def blurred(
    x: Float[Array, "n *x_shape"], noise_std: Float[Array, "*x_shape"], key: PRNGKeyArray
) -> Float[Array, "n *x_shape"]:
    """Outputs plus independent noise."""
    return x + noise_std[None] * jax.random.normal(key, x.shape)


def contaminated(
    x: Float[Array, "n trials trial_dim"], noise_std: Float[Array, "trials trial_dim"], key: PRNGKeyArray
) -> Float[Array, "n trials trial_dim"]:
    """Sets of which some trials belong to the set half a batch before, displaced together (gross errors: Huber 1964).

    The share of such trials is uniform, and so is the size of the displacement, up to 1.5 `noise_std`. A set is
    misspecified where its trials are not of one parameter. Independent noise only makes wide clouds of them: trained
    on those, the posterior of a set of two far clusters was told from the exact one in 88, not 72 of 100 cases.
    """
    n, trials, dim = x.shape
    share_key, which_key, size_key, direction_key = jax.random.split(key, 4)
    foreign = jax.random.uniform(which_key, (n, trials, 1)) < jax.random.uniform(share_key, (n, 1, 1))
    size = 1.5 * jax.random.uniform(size_key, (n, 1, 1)) * jnp.mean(noise_std, axis=0)[None, None]
    displaced = jnp.roll(x, n // 2, axis=0) + size * jax.random.normal(direction_key, (n, 1, dim))
    # A trial that the other set lacks displaces none, and a set gets none that it lacks: of each the number stays.
    there = jax.vmap(present)(displaced)[:, :, None] & jax.vmap(present)(x)[:, :, None]
    return jnp.where(foreign & there, displaced, x)


def spread_of_outputs(x: Float[np.ndarray, "n *x_shape"]) -> Float[np.ndarray, "*x_shape"]:
    """Standard deviation of every coordinate; of sets of unequal size that of all trials, for each of their places."""
    x = x.astype(np.float64)
    return np.broadcast_to(all_trials(x).std(axis=0), x.shape[1:]) if np.isnan(x).any() else x.std(axis=0)


def _numbers(x: Float[np.ndarray, "n *x_shape"]) -> Float[np.ndarray, "n k"]:
    """The numbers of every output; of sets of unequal size the means of their trials."""
    if not np.isnan(x).any():
        return x.reshape(len(x), -1)
    return np.nansum(x, axis=1) / trials_present(x).sum(axis=1, keepdims=True)


def gamma_deviance(predicted: Float[Array, ""], label: Float[Array, ""]) -> Float[Array, ""]:
    """A loss that is least, like the squared error, at the mean of the labels, but weighs errors relative to it.

    Distances spread as they grow. The squared error spends the network on the far pairs, where no posterior lies: at
    the largest beta of two moons the error of the log posterior was 0.93 with it, 0.31 with the loss half way in
    between, and is 0.24 with this one. Both arguments in units of the mean distance; below a thousandth of it errors
    count as absolute.
    """
    return jnp.log(predicted + _FLOOR) + (label + _FLOOR) / (predicted + _FLOOR)


@compiled
def _mean_distance(distance: Distance, x: Float[Array, "n *x_shape"]) -> Float[Array, ""]:
    half = x.shape[0] // 2
    return jnp.maximum(jnp.mean(distance_matrix(distance, x[:half], x[half:])), 1e-30)
