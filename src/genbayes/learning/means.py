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
from .polynomial import Polynomial
from .ridge import RidgeResidual, best_degrees, polynomial_ensemble, ridge
from .shared_noise import SharedNoise
from .training import FitConfig, FitRecord, train

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
    noise: SharedNoise,
    rng: np.random.Generator,
    name: str,
    progress: bool,
) -> tuple[RidgeResidual, FitRecord]:
    """Regresses E[labels | theta] by squared loss, all outputs in the units of their own ridge residual.

    A polynomial is fitted to every output, then a network around a line. An output takes the network where held-out
    rows show that it is the better one; if any does, a second network with corners is tried in the first one's place.

    Args:
        theta: parameters, (n, dim).
        labels: what to predict the mean of, (n, k).
        folds: units of rows of each member.
        config: see `FitConfig`.
        noise: which rows share random numbers; a unit is a row where none do.
        rng: source of the networks' first weights and of batches.
        name: what is fitted, for messages.
        progress: show a progress bar.

    Returns:
        The members, stacked along the leading axis of every array, and the record of the fit.
    """
    centre = labels.mean(axis=0, dtype=np.float64)
    data = _Data.of(theta, labels - centre, folds, noise)
    polynomials, noise = _polynomials_fitted(data, noise)
    curved, noise = _network_fitted(data, noise, config, cornered=0.0, rng=rng, name=name, progress=progress)
    worth = _worth_a_network(polynomials, curved, data, noise)
    if np.any(worth):
        other, noise = _network_fitted(data, noise, config, cornered=_CORNERED, rng=rng, name=name, progress=progress)
        seconds = {part: curved.record.seconds.get(part, 0.0) + took for part, took in other.record.seconds.items()}
        if _is_better(other, curved, polynomials, worth, data, noise):
            curved, worth = other, _worth_a_network(polynomials, other, data, noise)
        curved = replace(curved, record=replace(curved.record, seconds=seconds))
    ensemble = polynomials.ensemble
    if np.any(worth):
        # The features that only the other outputs' polynomials use are paid for no longer.
        basis = Polynomial.fit(data.z, int(polynomials.degree_of_each[~worth].max(initial=1)))
        ensemble = _joined(ensemble, curved.ensemble, jnp.asarray(worth), stack([basis] * config.members))
    intercept = ensemble.intercept + jnp.asarray(centre, jnp.float32)[None]
    return eqx.tree_at(lambda module: module.intercept, ensemble, intercept), curved.record


@dataclass(frozen=True, eq=False)
class _Data:
    """What every regression of one call reads: parameters, as they are and standardised, and centred labels."""

    theta: Float[np.ndarray, "n dim"]
    z: Float[np.ndarray, "n dim"]
    labels: Float[np.ndarray, "n k"]
    standardise: Standardiser
    folds: Folds

    @classmethod
    def of(
        cls, theta: Float[np.ndarray, "n dim"], labels: Float[np.ndarray, "n k"], folds: Folds, noise: SharedNoise
    ) -> "_Data":
        standardise = Standardiser.fit(theta[noise.rows(np.unique(folds.train))])
        z = np.asarray(jax.vmap(standardise)(jnp.asarray(theta)), np.float64)
        return cls(theta, z, labels, standardise, folds)

    @property
    def held_out(self) -> Int[np.ndarray, " units"]:
        """The held-out units of all members, one after the other."""
        return self.folds.validation.reshape(-1)


class _Polynomials(NamedTuple):
    """Members without networks, their errors on held-out rows, and the degree of every output."""

    ensemble: RidgeResidual
    errors: Float[np.ndarray, "held_out k"]
    degree_of_each: Int[np.ndarray, " k"]


@dataclass(frozen=True, eq=False)
class _Network:
    """Members with networks around a line, the record of their training, and their errors on held-out rows."""

    ensemble: RidgeResidual
    record: FitRecord
    errors: Float[np.ndarray, "held_out k"]


def _polynomials_fitted(data: _Data, noise: SharedNoise) -> tuple[_Polynomials, SharedNoise]:
    """Alternates: refit, then re-estimate the shared noise, until the rows' own share changes by less than half."""
    for _ in range(_MOST_POLYNOMIALS):
        degree_of_each, features = best_degrees(data.z, data.labels, noise)
        ensemble, errors = polynomial_ensemble(
            data.standardise, data.z, features, degree_of_each, data.labels, data.folds, noise
        )
        before, noise = noise, noise.estimated(errors, data.held_out)
        if noise.own > before.own / 2:
            break
    return _Polynomials(ensemble, errors, degree_of_each), noise


def _network_fitted(
    data: _Data,
    noise: SharedNoise,
    config: FitConfig,
    *,
    cornered: float,
    rng: np.random.Generator,
    name: str,
    progress: bool,
) -> tuple[_Network, SharedNoise]:
    """Trains networks around linear fits, solves their last layers, and re-estimates the shared noise."""
    ones, straight, outputs = noise.design(data.z, data.labels)
    fits = [ridge(straight[rows], outputs[rows], ones[rows])[:3] for rows in noise.rows(data.folds.train)]
    trained, record = train(
        _linear_with_networks(data, fits, config, cornered=cornered, rng=rng),
        _squared_loss,
        _by_unit(data.theta, data.labels, noise),
        data.folds.train,
        data.folds.validation,
        replace(config, batch_size=max(1, config.batch_size // noise.size)),
        rng=rng,
        name=name,
        loss_name="squared error, in units of the ridge fit's residual variance",
        progress=progress,
    )
    ensemble, errors = last_layers_solved(trained, data.theta, data.labels, data.folds, noise)
    return _Network(ensemble, record, errors), noise.estimated(errors, data.held_out)


def _worth_a_network(
    polynomials: _Polynomials, network: _Network, data: _Data, noise: SharedNoise
) -> Bool[np.ndarray, " k"]:
    """Which outputs the network predicts better than the polynomial by three standard errors, on held-out rows.

    In doubt they decide for the polynomial: a network where there is nothing for it to find adds its noise, and costs
    its time at every step of every sampler.
    """
    squares = (noise.whitened(errors, data.held_out) ** 2 for errors in (polynomials.errors, network.errors))
    gain = np.subtract(*squares)
    return np.mean(gain, axis=0) > 3 * np.std(gain, axis=0) / np.sqrt(len(gain))


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
        np.mean(noise.whitened(errors, data.held_out)[:, worth] ** 2, axis=0)
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
    )


def _linear_with_networks(
    data: _Data,
    fits: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    config: FitConfig,
    *,
    cornered: float,
    rng: np.random.Generator,
) -> RidgeResidual:
    """Members that start as the given linear fits (intercept, slopes, scale), stacked along a leading axis."""
    intercept, slopes, scale = (jnp.asarray(np.stack(parts), jnp.float32) for parts in zip(*fits, strict=True))
    members, outputs = intercept.shape
    sizes = (data.z.shape[1], outputs, config.width, config.depth)
    networks = stack([ResidualMLP(*sizes, cornered=cornered, rng=rng) for _ in range(members)])
    standardise, basis = stack([data.standardise] * members), stack([Polynomial.fit(data.z, 1)] * members)
    return RidgeResidual(standardise, basis, intercept, slopes, scale, networks)


class _Rows(NamedTuple):
    """Rows by unit, with what makes their noise equal; the mean of its squares is `weight`."""

    theta: Float[Array, "units size dim"]
    labels: Float[Array, "units size k"]
    within: Float[Array, " units"]
    of_mean: Float[Array, " units"]
    weight: Float[Array, ""]


def _by_unit(theta: Float[np.ndarray, "n dim"], labels: Float[np.ndarray, "n k"], noise: SharedNoise) -> _Rows:
    within, of_mean = noise.factors(np.arange(len(noise.shared)))
    weight = np.mean((noise.size - 1) * within**2 + of_mean**2) / noise.size
    by_unit = (part.reshape(-1, noise.size, part.shape[1]) for part in (theta, labels))
    return _Rows(*(jnp.asarray(part, jnp.float32) for part in (*by_unit, within, of_mean, weight)))


def _squared_loss(
    module: RidgeResidual, units: Int[Array, " units"], data: _Rows, key: PRNGKeyArray
) -> Float[Array, ""]:
    del key
    theta, labels, within, of_mean = (part[units] for part in data[:4])
    errors = (jax.vmap(jax.vmap(module))(theta) - labels) / jax.lax.stop_gradient(module.scale)[None, None]
    mean = jnp.mean(errors, axis=1, keepdims=True)
    equal = within[:, None, None] * (errors - mean) + of_mean[:, None, None] * mean
    return jnp.mean(equal**2) / data.weight
