"""Regression of labels on parameters: a polynomial ridge fit plus a network residual that starts at zero.

Where the truth is smooth, least squares has the smaller error and a network would only add noise; where it is not, the
network learns what a line leaves over. Held-out rows decide, for each output.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .folds import Folds
from .last_layer import last_layers_solved
from .layers import ResidualMLP, Standardiser, stack
from .polynomial import Polynomial, degrees
from .ridge import RidgeResidual, best_degrees, polynomial_ensemble, ridge
from .shared_noise import SharedNoise
from .training import FitConfig, FitRecord, train
from .weighted import WeightedFit, fit_weighted, refitted
from .weighted_outputs import WeightedOutputs, weighted_outputs

# Share of the units of the second of two networks that are ReLU, for simulators that fold: |theta_1 + theta_2|, a
# threshold, a rate that cannot be negative. An x_o out of reach may have its posterior in such a corner, narrower than
# SiLU can bend. On smooth simulators the error's variance would grow by two fifths.
_CORNERED = 0.5
# Most fits of polynomials where rows share random numbers, each knowing better than the one before how much they share.
_MOST_POLYNOMIALS = 4


def fit_mean(
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
    config: FitConfig,
    *,
    standardise: Standardiser,
    noise: SharedNoise,
    rng: np.random.Generator,
    name: str,
    progress: bool,
    weighted: bool = True,
) -> tuple[RidgeResidual, FitRecord]:
    """Regresses E[labels | theta] by squared loss, all outputs in the units of their own ridge residual.

    A polynomial is fitted to every output, then a network around a line. An output takes the network where held-out
    rows show that it is the better one; if any does, a second network with corners is tried in the first one's place.
    An output whose noise varies with the parameters is fitted with weights, and with a log link where that is better.

    Args:
        theta: parameters, (n, dim).
        labels: what to predict the mean of, (n, k).
        folds: units of rows of each member.
        config: see `FitConfig`.
        standardise: of parameters, see `best_coordinates`.
        noise: which rows share random numbers; a unit is a row where none do.
        rng: source of the networks' first weights and of batches.
        name: what is fitted, for messages.
        progress: show a progress bar.
        weighted: whether outputs may be fitted with weights; bounded ones, such as kernels, have nothing to gain.

    Returns:
        The members, stacked along the leading axis of every array, and the record of the fit.
    """
    data = _Data.of(theta, labels, folds, standardise)
    polynomials, noise = _polynomials_fitted(data, noise, weighted=weighted)
    shared = {"rng": rng, "name": name, "progress": progress}
    curved, noise = _network_fitted(data, polynomials, noise, config, cornered=0.0, **shared)
    worth = _worth_a_network(polynomials, curved, data, noise)
    if np.any(worth):
        other, noise = _network_fitted(data, polynomials, noise, config, cornered=_CORNERED, **shared)
        seconds = {part: curved.record.seconds.get(part, 0.0) + took for part, took in other.record.seconds.items()}
        if _is_better(other, curved, polynomials, worth, data, noise):
            curved, worth = other, _worth_a_network(polynomials, other, data, noise)
        curved = replace(curved, record=replace(curved.record, seconds=seconds))
    ensemble = polynomials.ensemble
    if np.any(worth):
        # The features that only the other outputs' polynomials use are paid for no longer.
        most = int(polynomials.degree_of_each[~worth].max(initial=1))
        basis = Polynomial.fit(data.z, most, standardise.groups)
        ensemble = _joined(ensemble, curved.ensemble, jnp.asarray(worth), stack([basis] * config.members))
    # What a log link predicts is not centred.
    linear = 1.0 if ensemble.log_link is None else 1.0 - ensemble.log_link
    intercept = ensemble.intercept + linear * jnp.asarray(data.centre, jnp.float32)[None]
    return eqx.tree_at(lambda module: module.intercept, ensemble, intercept), curved.record


@dataclass(frozen=True, eq=False)
class _Data:
    """What every regression of one call reads: parameters, as they are and standardised, and centred labels."""

    theta: Float[np.ndarray, "n dim"]
    z: Float[np.ndarray, "n width"]
    labels: Float[np.ndarray, "n k"]
    centre: Float[np.ndarray, " k"]
    standardise: Standardiser
    folds: Folds

    @classmethod
    def of(
        cls,
        theta: Float[np.ndarray, "n dim"],
        labels: Float[np.ndarray, "n k"],
        folds: Folds,
        standardise: Standardiser,
    ) -> "_Data":
        z = np.asarray(jax.vmap(standardise)(jnp.asarray(theta)), np.float64)
        centre = labels.mean(axis=0, dtype=np.float64)
        return cls(theta, z, labels - centre, centre, standardise, folds)

    @property
    def log_most(self) -> Float[np.ndarray, " k"]:
        """Logarithm of the largest label of each output."""
        return np.log(np.maximum((self.labels + self.centre).max(axis=0), 1e-30))

    @property
    def held_out(self) -> Int[np.ndarray, " units"]:
        """The held-out units of all members, one after the other."""
        return self.folds.validation.reshape(-1)


class _Polynomials(NamedTuple):
    """Members without networks, their errors on held-out rows, and the degree of every output."""

    ensemble: RidgeResidual
    errors: Float[np.ndarray, "held_out k"]
    degree_of_each: Int[np.ndarray, " k"]
    features: Float[np.ndarray, "n all"]
    weighted: WeightedOutputs

    @property
    def precision(self) -> Float[np.ndarray, "n k"] | None:
        """What errors of all rows are multiplied by before they are compared or squared; None where that is 1."""
        return self.weighted.precision(self.features, self.errors.shape[1])


@dataclass(frozen=True, eq=False)
class _Network:
    """Members with networks around a line, the record of their training, and their errors on held-out rows."""

    ensemble: RidgeResidual
    record: FitRecord
    errors: Float[np.ndarray, "held_out k"]


def _polynomials_fitted(data: _Data, noise: SharedNoise, *, weighted: bool) -> tuple[_Polynomials, SharedNoise]:
    """Alternates: refit, then re-estimate the shared noise, until the rows' own share changes by less than half."""
    for _ in range(_MOST_POLYNOMIALS):
        degree_of_each, features = best_degrees(data.z, data.labels, noise, data.standardise.groups)
        ensemble, errors = polynomial_ensemble(
            data.standardise, data.z, features, degree_of_each, data.labels, data.folds, noise
        )
        before, noise = noise, noise.estimated(errors, data.held_out)
        if noise.own > before.own / 2:
            break
    train_rows, held_out_rows = (noise.rows(units) for units in (data.folds.train, data.folds.validation))
    sizes = degrees(data.z.shape[1], len(data.z), data.standardise.groups)
    chosen = WeightedOutputs()
    if weighted:
        chosen = weighted_outputs(features, sizes, data.labels + data.centre, train_rows, held_out_rows, errors)
    plain = _Polynomials(ensemble, errors, degree_of_each, features, chosen)
    return (_with_weighted(plain, data) if chosen else plain), noise


def _with_weighted(plain: _Polynomials, data: _Data) -> _Polynomials:
    """The members with the coefficients of weighted fits in place of those of plain least squares."""
    weighted, members = plain.weighted, plain.ensemble.intercept.shape[0]
    degree_of_each, errors = plain.degree_of_each.copy(), plain.errors.copy()
    for j, fit in weighted.fits.items():
        degree_of_each[j], errors[:, j] = fit.degree, weighted.errors[j]
    basis = Polynomial.fit(data.z, int(degree_of_each.max()), data.standardise.groups)
    size = data.z.shape[1] + basis.chosen.shape[2]
    intercept, slopes = np.array(plain.ensemble.intercept), np.array(plain.ensemble.slopes)[:, :, :size]
    slopes = np.pad(slopes, ((0, 0), (0, 0), (0, size - slopes.shape[2])))
    log_link = np.zeros_like(intercept)
    for j, fits in weighted.members.items():
        for member, fit in enumerate(fits):
            intercept[member, j], slopes[member, j] = _coefficients(fit, data.centre[j], size)
            log_link[member, j] = fit.log_link
    ensemble = replace(
        plain.ensemble,
        basis=stack([basis] * members),
        intercept=jnp.asarray(intercept),
        slopes=jnp.asarray(slopes),
        log_link=jnp.asarray(log_link),
        log_most=jnp.tile(jnp.asarray(data.log_most, jnp.float32), (members, 1)),
    )
    return plain._replace(ensemble=ensemble, errors=errors, degree_of_each=degree_of_each)


def _coefficients(fit: WeightedFit, centre: float, size: int) -> tuple[float, Float[np.ndarray, " size"]]:
    """Intercept and padded slopes, of centred labels where there is no log link."""
    return fit.intercept - (0.0 if fit.log_link else centre), np.pad(fit.slopes, (0, size - len(fit.slopes)))


def _network_fitted(
    data: _Data,
    polynomials: _Polynomials,
    noise: SharedNoise,
    config: FitConfig,
    *,
    cornered: float,
    rng: np.random.Generator,
    name: str,
    progress: bool,
) -> tuple[_Network, SharedNoise]:
    """Trains networks around linear fits, solves their last layers, and re-estimates the shared noise."""
    lines = _lines(data, polynomials, noise)
    trained, record = train(
        _linear_with_networks(data, lines, config, cornered=cornered, rng=rng),
        _squared_loss,
        _by_unit(data, polynomials.precision, noise),
        data.folds.train,
        data.folds.validation,
        replace(config, batch_size=max(1, config.batch_size // noise.size)),
        rng=rng,
        name=name,
        loss_name="squared error, in units of the ridge fit's residual variance",
        progress=progress,
    )
    labels = data.labels
    if trained.log_link is not None:
        labels = labels + np.asarray(trained.log_link[0]) * data.centre
    weighted = np.isin(np.arange(labels.shape[1]), list(polynomials.weighted.fits))
    ensemble, errors = last_layers_solved(trained, data.theta, labels, data.folds, noise, left_alone=weighted)
    return _Network(ensemble, record, errors), noise.estimated(errors, data.held_out)


def _worth_a_network(
    polynomials: _Polynomials, network: _Network, data: _Data, noise: SharedNoise
) -> Bool[np.ndarray, " k"]:
    """Which outputs the network predicts better than the polynomial by three standard errors, on held-out rows.

    In doubt they decide for the polynomial: a network where there is nothing for it to find adds its noise, and costs
    its time at every step of every sampler.
    """
    squares = (
        noise.whitened(_even(errors, polynomials, data, noise), data.held_out) ** 2
        for errors in (polynomials.errors, network.errors)
    )
    gain = np.subtract(*squares)
    return np.mean(gain, axis=0) > 3 * np.std(gain, axis=0) / np.sqrt(len(gain))


def _even(
    errors: Float[np.ndarray, "held_out k"], polynomials: _Polynomials, data: _Data, noise: SharedNoise
) -> Float[np.ndarray, "held_out k"]:
    """Errors of held-out rows, those of weighted outputs in units of their standard deviation at the row."""
    precision = polynomials.precision
    return errors if precision is None else errors * precision[noise.rows(data.held_out)]


def _is_better(
    other: _Network,
    network: _Network,
    polynomials: _Polynomials,
    worth: Bool[np.ndarray, " k"],
    data: _Data,
    noise: SharedNoise,
) -> bool:
    """Whether another network has smaller errors, in units of each output's variance about the polynomial.

    The outputs that need a network decide.
    """
    unit, of_network, of_other = (
        np.mean(noise.whitened(_even(errors, polynomials, data, noise), data.held_out)[:, worth] ** 2, axis=0)
        for errors in (polynomials.errors, network.errors, other.errors)
    )
    return bool(np.mean(of_other / unit) < np.mean(of_network / unit))


def _joined(smooth: RidgeResidual, curved: RidgeResidual, worth: Bool[Array, " k"], basis: Polynomial) -> RidgeResidual:
    """The members with networks for the outputs that are worth one, with polynomials on `basis` for the others."""
    # A line's slopes, and those of every feature of the basis.
    size = curved.slopes.shape[2] + basis.chosen.shape[3]
    linear = jnp.pad(curved.slopes, ((0, 0), (0, 0), (0, size - curved.slopes.shape[2])))
    return RidgeResidual(
        smooth.standardise,
        basis,
        jnp.where(worth[None], curved.intercept, smooth.intercept),
        jnp.where(worth[None, :, None], linear, smooth.slopes[:, :, :size]),
        jnp.where(worth[None], curved.scale, 0.0),
        curved.network,
        smooth.log_link,
        smooth.log_most,
    )


class _Lines(NamedTuple):
    """Linear fits of every member, with the residual standard deviations that are the networks' units."""

    intercept: Float[np.ndarray, "members k"]
    slopes: Float[np.ndarray, "members k dim"]
    scale: Float[np.ndarray, "members k"]
    log_link: Float[np.ndarray, "members k"] | None


def _lines(data: _Data, polynomials: _Polynomials, noise: SharedNoise) -> _Lines:
    ones, straight, outputs = noise.design(data.z, data.labels)
    train_rows = noise.rows(data.folds.train)
    fits = [ridge(straight[rows], outputs[rows], ones[rows])[:3] for rows in train_rows]
    intercept, slopes, scale = (np.stack(parts) for parts in zip(*fits, strict=True))
    if not polynomials.weighted:
        return _Lines(intercept, slopes, scale, None)
    dim, log_link = data.z.shape[1], np.zeros_like(intercept)
    for j, fit in polynomials.weighted.fits.items():
        labels = data.labels[:, j] + data.centre[j]
        line = fit_weighted(polynomials.features, {1: dim}, labels, log_link=fit.log_link)
        line = line._replace(variance=fit.variance)
        for member, rows in enumerate(train_rows):
            own = refitted(line, polynomials.features[rows], labels[rows])
            intercept[member, j], slopes[member, j] = _coefficients(own, data.centre[j], dim)
            mean = own.mean(polynomials.features[rows])
            error = np.median(np.abs(labels[rows] - mean))
            if fit.log_link:
                # The network's unit is a relative one.
                error = np.clip(np.median(np.abs(labels[rows] / mean - 1)), 0.05, 2.0)
            scale[member, j], log_link[member, j] = error, fit.log_link
    return _Lines(intercept, slopes, np.maximum(scale, 1e-30), log_link)


def _linear_with_networks(
    data: _Data,
    lines: _Lines,
    config: FitConfig,
    *,
    cornered: float,
    rng: np.random.Generator,
) -> RidgeResidual:
    """Members that start as the given linear fits, stacked along a leading axis."""
    intercept, slopes, scale = (jnp.asarray(part, jnp.float32) for part in lines[:3])
    log_link = None if lines.log_link is None else jnp.asarray(lines.log_link, jnp.float32)
    members, outputs = intercept.shape
    sizes = (data.z.shape[1], outputs, config.width, config.depth)
    networks = stack([ResidualMLP(*sizes, cornered=cornered, rng=rng) for _ in range(members)])
    standardise, basis = stack([data.standardise] * members), stack([Polynomial.fit(data.z, 1)] * members)
    most = None if log_link is None else jnp.tile(jnp.asarray(data.log_most, jnp.float32), (members, 1))
    return RidgeResidual(standardise, basis, intercept, slopes, scale, networks, log_link, most)


class _Rows(NamedTuple):
    """Rows by unit, with what makes their noise equal; the mean of its squares is `weight`.

    `precision` makes the noise of weighted outputs equal over the parameters; None where there are none.
    """

    theta: Float[Array, "units size dim"]
    labels: Float[Array, "units size k"]
    within: Float[Array, " units"]
    of_mean: Float[Array, " units"]
    weight: Float[Array, ""]
    centre: Float[Array, " k"]
    precision: Float[Array, "units size k"] | None


def _by_unit(data: _Data, precision: Float[np.ndarray, "n k"] | None, noise: SharedNoise) -> _Rows:
    within, of_mean = noise.factors(np.arange(len(noise.shared)))
    weight = np.mean((noise.size - 1) * within**2 + of_mean**2) / noise.size
    by_unit = (part.reshape(-1, noise.size, part.shape[1]) for part in (data.theta, data.labels))
    parts = [jnp.asarray(part, jnp.float32) for part in (*by_unit, within, of_mean, weight, data.centre)]
    even = None if precision is None else precision.reshape(-1, noise.size, precision.shape[1])
    return _Rows(*parts, precision=None if even is None else jnp.asarray(even, jnp.float32))


def _squared_loss(
    module: RidgeResidual, units: Int[Array, " units"], data: _Rows, key: PRNGKeyArray
) -> Float[Array, ""]:
    del key
    theta, labels, within, of_mean = (part[units] for part in data[:4])
    if data.precision is None or module.log_link is None:
        errors = (jax.vmap(jax.vmap(module))(theta) - labels) / jax.lax.stop_gradient(module.scale)[None, None]
    else:
        link, scale = jax.lax.stop_gradient((module.log_link, module.scale))
        # 1 marks an output of plain least squares, whose unit is its own scale.
        unit = jnp.where(data.precision[units] == 1.0, 1 / scale[None, None], data.precision[units])
        errors = unit * (jax.vmap(jax.vmap(module))(theta) - labels - (link * data.centre)[None, None])
    mean = jnp.mean(errors, axis=1, keepdims=True)
    equal = within[:, None, None] * (errors - mean) + of_mean[:, None, None] * mean
    return jnp.mean(equal**2) / data.weight
