"""Means as networks around straight lines, for outputs that no polynomial follows."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..runtime.compiling import on_device
from .last_layer import last_layers_solved
from .layers import ResidualMLP, stack
from .lines import Lines
from .polynomial import Polynomial
from .polynomial_means import Polynomials, RegressionData
from .ridge import RidgeResidual
from .shared_noise import SharedNoise
from .streamed_rows import StreamedRows, TrainingData, training_data
from .training import FitConfig, FitRecord, is_behind, known_rows, train


@dataclass(frozen=True, eq=False)
class Networks:
    """Members with networks around a line, the record of their training, and their errors on held-out rows."""

    ensemble: RidgeResidual
    record: FitRecord
    errors: Float[np.ndarray, "held_out k"]


def networks_fitted(
    data: RegressionData,
    polynomials: Polynomials,
    lines: Lines,
    noise: SharedNoise,
    config: FitConfig,
    *,
    cornered: float,
    rng: np.random.Generator,
    name: str,
    progress: bool,
    rival: FitRecord | None = None,
) -> tuple[Networks, SharedNoise]:
    """Trains networks around linear fits, solves their last layers, and re-estimates the shared noise.

    With the record of a rival the training ends where it falls behind, see `train`.
    """
    labels, stream = data.labels, data.centred_stream
    if lines.log_link is not None:
        # What a log link predicts is not centred.
        added = lines.log_link[0] * data.centre
        labels = labels + added
        stream = None if stream is None else stream.mapped(lambda _, values: values + added)
    rows = _rows(data, labels, stream, polynomials, noise)
    trained, record = train(
        _linear_with_networks(data, lines, config, cornered=cornered, rng=rng),
        _squared_loss,
        rows.data,
        rows.train,
        rows.validation,
        replace(config, batch_size=max(1, config.batch_of(data.folds.train.shape[1] * noise.size) // noise.size)),
        rng=rng,
        name=name,
        loss_name="squared error, in units of the ridge fit's residual variance",
        progress=progress,
        rival=rival,
        renewed=rows.renewed,
    )
    if rival is not None and _has_lost(record, rival):
        # Its last layers are not worth their time, and it counts as no better than the polynomials.
        return Networks(trained, record, polynomials.errors), noise
    weighted = np.isin(np.arange(labels.shape[1]), list(polynomials.weighted.fits))
    ensemble, errors = last_layers_solved(
        trained, data.theta, labels, data.folds, noise, left_alone=weighted, stream=stream
    )
    return Networks(ensemble, record, errors), noise.estimated(errors, data.held_out)


def _linear_with_networks(
    data: RegressionData,
    lines: Lines,
    config: FitConfig,
    *,
    cornered: float,
    rng: np.random.Generator,
) -> RidgeResidual:
    """Members that start as the given linear fits, stacked along a leading axis."""
    intercept, slopes, scale = (on_device(part, np.float32) for part in lines[:3])
    log_link = None if lines.log_link is None else on_device(lines.log_link, np.float32)
    members, outputs = intercept.shape
    sizes = (data.z.shape[1], outputs, config.width, config.depth)
    networks = stack([ResidualMLP(*sizes, cornered=cornered, rng=rng) for _ in range(members)])
    standardise, basis = stack([data.standardise] * members), stack([Polynomial.fit(data.z, 1)] * members)
    most = None if log_link is None else on_device(np.tile(data.log_most, (members, 1)), np.float32)
    return RidgeResidual(standardise, basis, intercept, slopes, scale, networks, log_link, most)


def _has_lost(record: FitRecord, rival: FitRecord) -> bool:
    """Whether training ended behind a rival's, and its best weights are no better than the rival's either."""
    behind = is_behind(record.validation_loss, rival.validation_loss)
    return behind and bool(record.best_loss.mean() > rival.best_loss.mean())


class _Rows(NamedTuple):
    """Rows by unit, with what makes their noise equal; the mean of its squares is `weight`.

    `precision` makes the noise of weighted outputs equal over the parameters; None where there are none.
    """

    z: Float[Array, "units size width"]
    labels: Float[Array, "units size k"]
    within: Float[Array, " units"]
    of_mean: Float[Array, " units"]
    weight: Float[Array, ""]
    precision: Float[Array, "units size k"] | None


def _rows(
    data: RegressionData,
    labels: Float[np.ndarray, "n k"],
    stream: StreamedRows | None,
    polynomials: Polynomials,
    noise: SharedNoise,
) -> TrainingData:
    """What the networks are trained on."""

    def of_rows(theta: np.ndarray, labels: np.ndarray) -> _Rows:
        z = data.standardise.of_rows(theta)
        if stream is None:
            return _by_unit(z, labels, polynomials.precision, noise)
        weighted = polynomials.weighted
        precision = weighted.precision(data.features(theta), labels.shape[1]) if weighted else None
        return _by_unit(z, labels, precision, SharedNoise.independent(len(theta)))

    return training_data(of_rows, data.theta, labels, data.folds, stream)


def _by_unit(
    z: Float[np.ndarray, "n width"],
    labels: Float[np.ndarray, "n k"],
    precision: Float[np.ndarray, "n k"] | None,
    noise: SharedNoise,
) -> _Rows:
    within, of_mean = noise.factors(np.arange(len(noise.shared)))
    weight = np.mean((noise.size - 1) * within**2 + of_mean**2) / noise.size
    by_unit = (part.reshape(-1, noise.size, part.shape[1]) for part in (z, labels))
    parts = [on_device(part, np.float32) for part in (*by_unit, within, of_mean, weight)]
    even = None if precision is None else precision.reshape(-1, noise.size, precision.shape[1])
    return _Rows(*parts, precision=None if even is None else on_device(even, np.float32))


def _squared_loss(
    module: RidgeResidual, units: Int[Array, " units"], data: _Rows, key: PRNGKeyArray
) -> Float[Array, ""]:
    del key
    z, labels = known_rows(data.z, units), known_rows(data.labels, units)
    errors = jax.vmap(jax.vmap(module.of_standardised))(z) - labels
    scale = jax.lax.stop_gradient(module.scale)[None, None]
    if data.precision is None:
        errors = errors / scale
    else:
        precision = known_rows(data.precision, units)
        # 1 marks an output of plain least squares, whose unit is its own scale.
        errors = errors * jnp.where(precision == 1.0, 1 / scale, precision)
    # A row by itself shares no noise, and its factor is 1.
    if labels.shape[1] > 1:
        within, of_mean = (known_rows(part, units)[:, None, None] for part in (data.within, data.of_mean))
        mean = jnp.mean(errors, axis=1, keepdims=True)
        errors = within * (errors - mean) + of_mean * mean
    return jnp.mean(errors**2) / data.weight
