"""Regression of labels on parameters: a polynomial ridge fit plus a network residual that starts at zero.

Where the truth is smooth, least squares has the smaller error and a network would only add noise; where it is not, the
network learns what a line leaves over. Held-out rows decide, for each output.
"""

from dataclasses import replace
from typing import NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..runtime.compiling import compiled
from .folds import Folds
from .layers import ResidualMLP, Standardiser, stack
from .polynomial import Polynomial, degrees
from .shared_noise import Noise
from .training import FitConfig, FitRecord, train

# Of the units of the second of two networks, for simulators that fold: |theta_1 + theta_2|, a threshold, a rate that
# cannot be negative. An x_o out of reach may have its posterior in such a corner, narrower than SiLU can bend. On
# smooth simulators the error's variance would grow by two fifths.
_CORNERED = 0.5
# Fits of polynomials where rows share random numbers, each knowing better than the one before how much they share.
_MOST_POLYNOMIALS = 4
# Of the degrees of freedom in generalized cross-validation.
_INFLATION = 1.4


class RidgeResidual(eqx.Module):
    """intercept + slopes . basis(z(theta)) + scale * network(z(theta)); z standardises. Only the network is trained.

    There is no network where no output is worth one; an output that is not has scale 0.
    """

    standardise: Standardiser
    basis: Polynomial
    intercept: Float[Array, "*members k"]
    slopes: Float[Array, "*members k size"]
    scale: Float[Array, "*members k"]
    network: ResidualMLP | None

    def __call__(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The prediction at one parameter."""
        z = self.standardise(theta)
        fit = self.ridge(z)
        return fit if self.network is None else fit + jax.lax.stop_gradient(self.scale) * self.network(z)

    def ridge(self, z: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The part that is solved for, not trained, at one standardised parameter."""
        basis, intercept, slopes = jax.lax.stop_gradient((self.basis, self.intercept, self.slopes))
        return intercept + slopes @ basis(z)


def fit_mean(
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
    config: FitConfig,
    *,
    noise: Noise,
    rng: np.random.Generator,
    name: str,
    progress: bool,
) -> tuple[RidgeResidual, FitRecord]:
    """Regresses E[labels | theta] by squared loss, all outputs in the units of their own ridge residual.

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
    centred = labels - centre
    standardise = Standardiser.fit(theta[noise.rows(np.unique(folds.train))])
    z = np.asarray(jax.vmap(standardise)(jnp.asarray(theta)), np.float64)
    held_out = folds.validation.reshape(-1)
    # The better the fit, the better is known what rows share; the better that is known, the better the next fit.
    for _ in range(_MOST_POLYNOMIALS):
        degree_of_each, features = best_degrees(z, centred, noise)
        smooth, smooth_errors = polynomial_ensemble(standardise, z, features, degree_of_each, centred, folds, noise)
        before, noise = noise, noise.estimated(smooth_errors, held_out)
        if noise.own > before.own / 2:
            break

    def trained(cornered: float) -> tuple[RidgeResidual, FitRecord, Float[np.ndarray, "held_out k"]]:
        ones, straight, outputs = noise.design(z, centred)
        fits = [ridge(straight[rows], outputs[rows], ones[rows])[:3] for rows in noise.rows(folds.train)]
        ensemble, record = train(
            ridge_ensemble(standardise, Polynomial.fit(z, 1), fits, config, cornered=cornered, rng=rng),
            _squared_loss,
            _by_unit(theta, centred, noise),
            folds.train,
            folds.validation,
            replace(config, batch_size=max(1, config.batch_size // noise.size)),
            rng=rng,
            name=name,
            loss_name="squared error, in units of the ridge fit's residual variance",
            progress=progress,
        )
        solved, errors = _last_layers_solved(ensemble, theta, centred, folds, noise)
        return solved, record, errors

    def worth_of(errors: Float[np.ndarray, "held_out k"]) -> Bool[np.ndarray, " k"]:
        # Held-out rows decide for each output, and in doubt for the polynomial: a network where there is nothing for it
        # to find adds its noise, and costs its time at every step of every sampler.
        gain = noise.whitened(smooth_errors, held_out) ** 2 - noise.whitened(errors, held_out) ** 2
        return np.mean(gain, axis=0) > 3 * np.std(gain, axis=0) / np.sqrt(len(gain))

    curved, record, errors = trained(0.0)
    noise = noise.estimated(errors, held_out)
    worth = worth_of(errors)
    if np.any(worth):
        other_curved, other_record, other_errors = trained(_CORNERED)
        noise = noise.estimated(other_errors, held_out)
        seconds = {part: record.seconds.get(part, 0.0) + took for part, took in other_record.seconds.items()}
        # In units of each output's variance about the polynomial, over the outputs that need a network.
        unit, one, other = (
            np.mean(noise.whitened(part, held_out)[:, worth] ** 2, axis=0)
            for part in (smooth_errors, errors, other_errors)
        )
        if np.mean(other / unit) < np.mean(one / unit):
            curved, record, worth = other_curved, other_record, worth_of(other_errors)
        record = replace(record, seconds=seconds)
    if np.any(worth):
        # The features that only the other outputs' polynomials use are paid for no longer.
        basis = Polynomial.fit(z, int(degree_of_each[~worth].max(initial=1)))
        smooth = _joined(smooth, curved, jnp.asarray(worth), stack([basis] * config.members))
    ensemble = smooth
    intercept = ensemble.intercept + jnp.asarray(centre, jnp.float32)[None]
    return eqx.tree_at(lambda one: one.intercept, ensemble, intercept), record


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


def best_degrees(
    z: Float[np.ndarray, "n dim"], labels: Float[np.ndarray, "n k"], noise: Noise
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "n size"]]:
    """The degree that predicts each output best by generalized cross-validation, and the features of all rows.

    The features are those of the highest degree that the rows allow, in the order of their degrees.
    """
    sizes = degrees(z.shape[1], len(z))
    features = np.asarray(_features(Polynomial.fit(z, max(sizes)), jnp.asarray(z, jnp.float32)), np.float64)
    ones, columns, outputs = noise.design(features, labels)
    scores = np.stack([ridge(columns[:, :size], outputs, ones)[3] for size in sizes.values()])
    return np.array(list(sizes))[np.argmin(scores, axis=0)], features


@compiled
def _features(basis: Polynomial, z: Float[Array, "n dim"]) -> Float[Array, "n size"]:
    return jax.vmap(basis)(z)


def ridge_ensemble(
    standardise: Standardiser,
    basis: Polynomial,
    fits: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    config: FitConfig,
    *,
    cornered: float,
    rng: np.random.Generator,
) -> RidgeResidual:
    """Members that start as the given linear fits (intercept, slopes, scale), stacked along a leading axis."""
    intercept, slopes, scale = (jnp.asarray(np.stack(parts), jnp.float32) for parts in zip(*fits, strict=True))
    members, outputs = intercept.shape
    dim = len(standardise.mean)
    sizes = (dim, outputs, config.width, config.depth)
    networks = stack([ResidualMLP(*sizes, cornered=cornered, rng=rng) for _ in range(members)])
    standardise, basis = stack([standardise] * members), stack([basis] * members)
    return RidgeResidual(standardise, basis, intercept, slopes, scale, networks)


class _Rows(NamedTuple):
    """Rows by unit, with what makes their noise equal; the mean of its squares is `weight`."""

    theta: Float[Array, "units size dim"]
    labels: Float[Array, "units size k"]
    within: Float[Array, " units"]
    of_mean: Float[Array, " units"]
    weight: Float[Array, ""]


def _by_unit(theta: Float[np.ndarray, "n dim"], labels: Float[np.ndarray, "n k"], noise: Noise) -> _Rows:
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


def polynomial_ensemble(
    standardise: Standardiser,
    z: Float[np.ndarray, "n dim"],
    features: Float[np.ndarray, "n size"],
    degree_of_each: Int[np.ndarray, " k"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
    noise: Noise,
) -> tuple[RidgeResidual, Float[np.ndarray, "held_out k"]]:
    """Members without networks, each output of its own degree, and their errors on held-out rows."""
    sizes, degree = degrees(z.shape[1], len(z)), int(degree_of_each.max())
    features = features[:, : sizes[degree]]
    ones, columns, outputs = noise.design(features, labels)
    members, k = folds.train.shape[0], labels.shape[1]
    intercept, slopes = np.zeros((members, k)), np.zeros((members, k, features.shape[1]))
    for one in np.unique(degree_of_each):
        which, size = np.flatnonzero(degree_of_each == one), sizes[int(one)]
        for member, rows in enumerate(noise.rows(folds.train)):
            fit = ridge(columns[rows, :size], outputs[np.ix_(rows, which)], ones[rows])
            intercept[member, which], slopes[member, which, :size] = fit[0], fit[1]
    errors = [
        labels[rows] - intercept[member] - features[rows] @ slopes[member].T
        for member, rows in enumerate(noise.rows(folds.validation))
    ]
    solved = RidgeResidual(
        standardise=stack([standardise] * members),
        basis=stack([Polynomial.fit(z, degree)] * members),
        intercept=jnp.asarray(intercept, jnp.float32),
        slopes=jnp.asarray(slopes, jnp.float32),
        scale=jnp.ones((members, k)),
        network=None,
    )
    return solved, np.concatenate(errors)


def _last_layers_solved(
    ensemble: RidgeResidual,
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
    noise: Noise,
) -> tuple[RidgeResidual, Float[np.ndarray, "held_out k"]]:
    """The members with their last layers moved towards least squares, and their errors on held-out rows.

    The optimiser leaves a last layer near its least-squares value, and where it stands is noise, another in every run.
    The step is a ridge fit to what the trained member leaves over; the penalty of every output is the one that its
    held-out rows prefer, from next to none to one that leaves the layer as it is.
    """
    network = cast(ResidualMLP, ensemble.network)
    parts = _left_over(ensemble, jnp.asarray(theta), jnp.asarray(labels, jnp.float32))
    hidden, residual = (np.asarray(part, np.float64) for part in parts)
    members = range(len(residual))
    noise = noise.estimated(
        np.concatenate([residual[i, noise.rows(folds.validation[i])] for i in members]), folds.validation.reshape(-1)
    )
    weights, biases = np.array(network.last.weight, np.float64), np.array(network.last.bias, np.float64)
    errors = []
    for member, (train_units, held_out) in enumerate(zip(folds.train, folds.validation, strict=True)):
        rows, held_out_rows = noise.rows(train_units), noise.rows(held_out)
        ones = noise.constant(train_units)
        features, left = (noise.whitened(part[member, rows], train_units) for part in (hidden, residual))
        mean, mean_left = (ones @ part / (ones @ ones) for part in (features, left))
        features, left = features - np.outer(ones, mean), left - np.outer(ones, mean_left)
        eigenvalues, vectors = np.linalg.eigh(features.T @ features)
        projected = vectors.T @ (features.T @ left)
        penalties = max(float(eigenvalues[-1]), 1e-30) * np.logspace(-10, 2, 25)
        inverses = 1 / (np.maximum(eigenvalues, 0.0) + penalties[:, None])
        # (penalties + 1, width, k); the last is no step at all.
        steps = np.concatenate([vectors @ (inverses[:, :, None] * projected), np.zeros((1, *projected.shape))])
        shifts = np.concatenate([np.tile(mean_left, (len(penalties), 1)), np.zeros((1, len(mean_left)))])
        tried = residual[member, held_out_rows] - shifts[:, None] - (hidden[member, held_out_rows] - mean) @ steps
        squares = np.stack([noise.whitened(one, held_out) ** 2 for one in tried])
        which = np.argmin(np.mean(squares, axis=1), axis=0)
        outputs = np.arange(len(which))
        step = steps[which, :, outputs].T
        weights[member] += step.T
        biases[member] += shifts[which, outputs] - mean @ step
        # The error of new rows: those of one half of the held-out units with the penalty that the other half prefers.
        halves = [noise.rows(half) for half in np.array_split(np.arange(len(held_out)), 2)]
        for half, other in (halves, halves[::-1]):
            chosen = np.argmin(np.mean(squares[:, other], axis=1), axis=0)
            errors.append(tried[chosen, :, outputs].T[half] * np.asarray(ensemble.scale[member]))
    last = (jnp.asarray(weights, jnp.float32), jnp.asarray(biases, jnp.float32))
    network = eqx.tree_at(lambda one: (one.last.weight, one.last.bias), network, last)
    return eqx.tree_at(lambda one: one.network, ensemble, network), np.concatenate(errors)


@compiled
def _left_over(
    ensemble: RidgeResidual, theta: Float[Array, "n dim"], labels: Float[Array, "n k"]
) -> tuple[Float[Array, "members n width"], Float[Array, "members n k"]]:
    """What enters the networks' last layers, and what the members leave of the labels, in units of their scale."""

    def one(module: RidgeResidual) -> tuple[Array, Array]:
        z = jax.vmap(module.standardise)(theta)
        hidden = jax.vmap(cast(ResidualMLP, module.network).hidden)(z)
        return hidden, (labels - jax.vmap(module)(theta)) / module.scale[None]

    return eqx.filter_vmap(one)(ensemble)


def ridge(
    z: Float[np.ndarray, "n size"], labels: Float[np.ndarray, "n k"], ones: Float[np.ndarray, " n"] | None = None
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k size"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Ridge regression with one penalty per output, by generalized cross-validation (Golub, Heath, Wahba 1979).

    Degrees of freedom count 1.4 times: the criterion itself chooses too many in one sample of ten (Kim and Gu 2004).

    Args:
        z: features.
        labels: to be predicted.
        ones: the column that the intercept multiplies, where rows were whitened; 1 if not given.

    Returns:
        Intercept, slopes, the residual standard deviation of each output (1 where it is 0), and the mean squared error
        that generalized cross-validation expects of new rows.
    """
    n = len(z)
    ones = np.ones(n) if ones is None else ones
    z_mean, label_mean = (ones @ part / (ones @ ones) for part in (z, labels))
    z, labels = z - np.outer(ones, z_mean), labels - np.outer(ones, label_mean)
    eigenvalues, vectors = np.linalg.eigh(z.T @ z)
    eigenvalues = np.maximum(eigenvalues, 0.0)
    projected = vectors.T @ (z.T @ labels)
    total = np.sum(labels**2, axis=0)
    best = np.full(labels.shape[1], np.inf)
    slopes = np.zeros((labels.shape[1], z.shape[1]))
    # The last penalty is the constant fit.
    for penalty in [*(n * np.logspace(-8, 4, 49)), np.inf]:
        inverse = 1 / (eigenvalues + penalty)
        left = total - np.sum((2 * inverse - eigenvalues * inverse**2)[:, None] * projected**2, axis=0)
        left = np.maximum(left, 0.0)
        score = left / np.maximum(n - _INFLATION * (1 + np.sum(eigenvalues * inverse)), 1.0) ** 2
        better = score < best
        best = np.where(better, score, best)
        slopes[better] = (vectors @ (inverse[:, None] * projected)).T[better]
    residual = np.sqrt(np.mean((labels - z @ slopes.T) ** 2, axis=0))
    floor = 1e-6 * np.sqrt(total / n)
    scale = np.where(residual > np.maximum(floor, 1e-30), residual, np.where(floor > 0, floor, 1.0))
    return label_mean - slopes @ z_mean, slopes, scale, n * best
