"""Fits the emulator behind a cost of any distance, and tells whether it is better than the general network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..distances import Distance, MeanSquaredError
from ..learning.coordinates import best_coordinates
from ..learning.folds import Folds
from ..learning.shared_noise import SharedNoise
from ..learning.streamed_rows import StreamedRows
from ..learning.training import FitConfig, FitRecord
from ..runtime.compiling import compiled, on_device
from ..runtime.counts import evenly_spaced
from .emulated import EmulatedForm
from .fit_features import fit_features
from .fit_general import gamma_deviance, spread_of_outputs
from .forms import NetworkForm
from .spread_around_mean import spread_at

# Residuals, each of which is a distance at every step of a sampler; fewer of long outputs, down to the least.
_MOST_RESIDUALS, _LEAST_RESIDUALS, _MOST_NUMBERS = 64, 16, 16_384
# Variance in units of its mean below which the spread does not fall: its root has a slope there.
_LEAST_SHARE, _LEAST_VARIANCE = 1e-6, 1e-12
# Rows whose gradients of the distance are asked for, and the share of them in which it has one.
_ROWS_FOR_GRADIENT, _LEAST_WITH_GRADIENT = 64, 0.5
# Rows that neither the emulator nor the network has seen, those of them that are targets, and how many are compared of
# each of these.
_ROWS_TO_COMPARE, _TARGETS, _NEAREST = 400, 100, 10


class Emulator(NamedTuple):
    """A fitted emulator.

    Attributes:
        form: the cost by it.
        folds: rows of each member.
        rows: whose residuals it holds.
        records: of the regressions.
    """

    form: EmulatedForm
    folds: Folds
    rows: Int[np.ndarray, " m"]
    records: tuple[FitRecord, ...]


def can_be_emulated(distance: Distance, x: Float[np.ndarray, "n *x_shape"]) -> bool:
    """Whether outputs are few enough numbers, and the distance has a slope by which samplers can move.

    A distance that counts or ranks has none, nor has one that Python computes. The general network has one anyway.

    Args:
        distance: fitted.
        x: outputs.
    """
    if x[0].size * _LEAST_RESIDUALS > _MOST_NUMBERS:
        return False
    some = on_device(x[evenly_spaced(len(x), _ROWS_FOR_GRADIENT)])
    try:
        slopes = np.asarray(_gradients(distance, some))
    except (TypeError, ValueError, NotImplementedError):
        return False
    slopes = slopes.reshape(len(slopes), -1)
    return bool(np.all(np.isfinite(slopes)) and np.mean(np.any(slopes != 0, axis=1)) > _LEAST_WITH_GRADIENT)


@compiled
def _gradients(distance: Distance, x: Float[Array, "n *x_shape"]) -> Float[Array, "n *x_shape"]:
    return jax.vmap(jax.grad(lambda output, target: distance(output, target)))(x, jnp.roll(x, 1, axis=0))


def fit_emulator(
    theta: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n *x_shape"],
    distance: Distance,
    config: FitConfig,
    *,
    rng: np.random.Generator,
    progress: bool,
    levels: Mapping[int, Sequence[int]] | None = None,
    folds: Folds | None = None,
    stream: StreamedRows | None = None,
) -> Emulator:
    """Regresses the mean output and its variance, as of a squared error, and keeps residuals of held-out rows.

    Args:
        theta: parameters, (n, dim).
        x: outputs, (n, *x_shape).
        distance: any distance, fitted.
        config: of the general network; the regressions have that of features, with as many members.
        rng: source of the networks' first weights and of batches.
        progress: show progress bars.
        levels: values of the parameters that are integers, by their numbers.
        folds: rows of each member, where these are a part of a store.
        stream: all rows of that store and their outputs.
    """
    # Of a store only a part is known to be positive.
    positive = stream is None and bool(x.min() > 0)
    of_logarithms = positive and best_coordinates(theta, x.reshape(len(x), -1), levels).multiplicative
    x = np.log(x) if of_logarithms else x
    # Rounding gives a constant number a standard deviation, too.
    scale = np.where(x.max(axis=0) > x.min(axis=0), spread_of_outputs(x), 1.0)
    means = FitConfig(members=config.members, validation_fraction=config.validation_fraction)
    if folds is None:
        # Members of regressions do not train on samples of the rows, as those of networks do.
        folds = Folds.make(np.arange(len(theta)), means, int(rng.integers(2**31)))
    shared: dict[str, Any] = {"rng": rng, "progress": progress, "levels": levels, "stream": stream}
    noise = SharedNoise.independent(len(theta))
    fitted, records = fit_features(theta, x, MeanSquaredError(scale), folds, means, noise=noise, **shared)
    numbers, unit = x[0].size, scale * np.sqrt(x[0].size)
    form = EmulatedForm(
        distance,
        fitted.mean,
        fitted.spread,
        least=jnp.zeros(fitted.spread.outputs),
        directions=fitted.directions,
        unit=on_device(unit, np.float32),
        range=on_device(np.stack([x.min(axis=0), x.max(axis=0)]).reshape(2, -1) / unit.reshape(-1), np.float32),
        residuals=jnp.zeros((1, numbers)),
        of_logarithms=of_logarithms,
    )
    middle, spread = (np.asarray(part, np.float64) for part in _held_out(form, on_device(theta[folds.validation])))
    least = np.maximum(_LEAST_SHARE * spread.mean(axis=(0, 1)), _LEAST_VARIANCE)
    away = x[folds.validation].reshape(middle.shape) / unit.reshape(-1) - middle
    away = (away / np.sqrt(np.maximum(spread, least))).reshape(-1, numbers)
    kept = evenly_spaced(len(away), min(_MOST_RESIDUALS, _MOST_NUMBERS // numbers))
    residuals = _standardised(away[kept], together=len(least) == 1)
    form = replace(form, least=on_device(least, np.float32), residuals=on_device(residuals, np.float32))
    return Emulator(form, folds, folds.validation.reshape(-1)[kept], records)


def _standardised(away: Float[np.ndarray, "m k"], *, together: bool) -> Float[np.ndarray, "m k"]:
    """Of mean 0 and of variance 1: of each output, or of the sum of all."""
    away = away - away.mean(axis=0)
    squares = np.mean(away**2, axis=0)
    size = np.sqrt(squares.sum() if together else squares)
    return away / np.where(size > 0, size, 1.0)


@compiled
def _held_out(form: EmulatedForm, theta: Float[Array, "members n dim"]) -> tuple[Array, Array]:
    """Mean outputs in units of `unit`, and the spread around them, by the member that has not seen them."""

    def of_member(mean: Any, spread: Any, theta: Array) -> tuple[Array, Array]:
        def of_row(parameter: Array) -> tuple[Array, Array]:
            at = mean(parameter)
            return form.middle(at), spread_at(spread, parameter, at)

        return jax.vmap(of_row)(theta)

    return eqx.filter_vmap(of_member)(form.mean, form.spread, theta)


def is_emulator_better(
    emulator: Emulator,
    network: NetworkForm,
    theta: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n *x_shape"],
    folds: Folds,
    noise_id: Int[np.ndarray, " n"],
) -> bool:
    """Whether the emulator predicts distances to held-out outputs better than the network, by the network's loss.

    Of each output those rows count that are the nearest by what both predict, for there its posterior lies: most of all
    rows are far away. What the emulator holds of a row itself is left out.

    Args:
        emulator: of all rows.
        network: of all rows.
        theta: parameters, (n, dim).
        x: outputs, (n, *x_shape).
        folds: rows of each of the network's members.
        noise_id: equal where rows share their random numbers: such rows are not compared.
    """
    emulating, networking = (_member_of_row(part, len(theta)) for part in (emulator.folds, folds))
    rows = np.flatnonzero((emulating >= 0) & (networking >= 0))
    rows = rows[evenly_spaced(len(rows), _ROWS_TO_COMPARE)]
    if len(rows) <= _NEAREST:
        return False
    targets = rows[evenly_spaced(len(rows), _TARGETS)]
    others = emulator.rows[None] != rows[:, None]
    members = np.stack([emulating, networking], axis=1)[rows]
    by_row = (on_device(theta[rows]), on_device(x[rows]), on_device(others), on_device(members))
    sizes, gains = np.asarray(_compared(emulator.form, network, by_row, on_device(x[targets])), np.float64)
    apart = noise_id[rows][:, None] != noise_id[targets]
    nearest = np.argsort(np.where(apart, sizes, np.inf), axis=0)[:_NEAREST]
    return bool(np.mean(np.take_along_axis(gains, nearest, axis=0)) > 0)


def _member_of_row(folds: Folds, n: int) -> Int[np.ndarray, " n"]:
    """A member that has not seen the row; -1 where all have."""
    member = np.full(n, -1)
    for k, rows in enumerate(folds.unseen(n)):
        member[rows] = k
    return member


@compiled
def _compared(
    form: EmulatedForm, network: NetworkForm, by_row: tuple[Array, ...], targets: Float[Array, "t *x_shape"]
) -> Float[Array, "2 n t"]:
    """Of every row and target the product of both predictions, and by how much the emulator's loss is the smaller."""
    scale = network.scale[0]
    embedded = jax.vmap(network.embed)(targets)

    def of_row(row: tuple[Array, ...]) -> Array:
        theta, output, others, member = row
        weight = others / jnp.sum(others)

        def of_target(target: Array, embedded: Array) -> Array:
            label = form.distance(output, target) / scale
            emulated = jnp.sum(weight * form.member_distances(theta, target)[member[0]]) / scale
            by_network = network.member_values(theta, embedded)[member[1]] / scale
            gain = gamma_deviance(by_network, label) - gamma_deviance(emulated, label)
            return jnp.stack([emulated * by_network, gain])

        return jax.vmap(of_target)(targets, embedded)

    return jnp.moveaxis(jax.lax.map(of_row, by_row), 2, 0)
