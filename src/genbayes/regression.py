"""Regression of labels on parameters: a polynomial ridge fit plus a network residual that starts at zero.

Where the truth is smooth, least squares has the smaller error and a network would only add noise; where it is not, the
network learns what a line leaves over. Held-out rows decide, for each output.
"""

from dataclasses import dataclass, replace
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .compiling import compiled
from .networks import ResidualMLP, Standardiser, stack
from .polynomial import Polynomial, degrees
from .training import FitConfig, FitRecord, train

# Of the sharpest units with which the second of two networks starts, for simulators that fold: |theta_1 + theta_2|, a
# threshold, a rate that cannot be negative. An x_o out of reach may have its posterior in such a corner, narrower than
# SiLU can bend. On two moons the error's variance falls by a quarter, on smooth simulators it would grow by a fifth.
_LOG_SHARPEST = 3.0
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


@dataclass(frozen=True)
class Folds:
    """Each ensemble member's training and validation rows, (members, n_train) and (members, n_validation)."""

    train: np.ndarray
    validation: np.ndarray

    @classmethod
    def of_rounds(cls, origin: Int[np.ndarray, " n"], config: FitConfig, seed: int) -> "Folds":
        """Each round of simulations is divided by itself: what a member held out before, it holds out again."""
        rounds = np.unique(origin) if len(origin) else [0]
        parts = [cls.make(np.flatnonzero(origin == value), config, seed) for value in rounds]
        train = np.concatenate([part.train for part in parts], axis=1)
        return cls(train, np.concatenate([part.validation for part in parts], axis=1))

    @classmethod
    def make(cls, rows: Int[np.ndarray, " n"], config: FitConfig, seed: int) -> "Folds":
        """Members hold out successive stretches of one permutation, so no row is held out twice before all are once."""
        n = len(rows)
        held_out = max(2, round(config.validation_fraction * n))
        if n < held_out + 2:
            raise ValueError(
                f"fit_cost needs more simulations: {n} succeeded, of which {held_out} would be held out for validation."
            )
        order = np.random.default_rng(seed).permutation(rows)
        train_rows, validation_rows = [], []
        for member in range(config.members):
            rolled = np.roll(order, -member * held_out)
            validation_rows.append(rolled[:held_out])
            train_rows.append(rolled[held_out:])
        return cls(np.stack(train_rows), np.stack(validation_rows))


def fit_mean(
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
    config: FitConfig,
    *,
    rng: np.random.Generator,
    name: str,
    progress: bool,
) -> tuple[RidgeResidual, FitRecord]:
    """Regresses E[labels | theta] by squared loss, all outputs in the units of their own ridge residual.

    Args:
        theta: parameters, (n, dim).
        labels: what to predict the mean of, (n, k).
        folds: rows of each member.
        config: see `FitConfig`.
        rng: source of the networks' first weights and of batches.
        name: what is fitted, for messages.
        progress: show a progress bar.

    Returns:
        The members, stacked along the leading axis of every array, and the record of the fit.
    """
    centre = labels.mean(axis=0, dtype=np.float64)
    centred = labels - centre
    standardise = Standardiser.fit(theta[np.unique(folds.train)])
    z = np.asarray(jax.vmap(standardise)(jnp.asarray(theta)), np.float64)
    fits = [ridge(z[rows], centred[rows])[:3] for rows in folds.train]
    data = (jnp.asarray(theta), jnp.asarray(centred, jnp.float32))

    def trained(log_sharpest: float) -> tuple[RidgeResidual, FitRecord]:
        return train(
            ridge_ensemble(standardise, Polynomial.fit(z, 1), fits, config, log_sharpest=log_sharpest, rng=rng),
            _squared_loss,
            data,
            folds.train,
            folds.validation,
            config,
            rng=rng,
            name=name,
            loss_name="squared error, in units of the ridge fit's residual variance",
            progress=progress,
        )

    degree_of_each, features = best_degrees(z, centred)
    smooth, smooth_errors = polynomial_ensemble(standardise, z, features, degree_of_each, centred, folds)

    def worth_of(errors: Float[np.ndarray, "held_out k"]) -> Bool[np.ndarray, " k"]:
        # Held-out rows decide for each output, and in doubt for the polynomial: a network where there is nothing for it
        # to find adds its noise, and costs its time at every step of every sampler.
        gain = smooth_errors**2 - errors**2
        return np.mean(gain, axis=0) > 3 * np.std(gain, axis=0) / np.sqrt(len(gain))

    ensemble, record = trained(0.0)
    curved, errors = _last_layers_solved(ensemble, data, folds)
    worth = worth_of(errors)
    if np.any(worth):
        sharp, sharp_record = trained(_LOG_SHARPEST)
        cornered, sharp_errors = _last_layers_solved(sharp, data, folds)
        seconds = {part: record.seconds.get(part, 0.0) + took for part, took in sharp_record.seconds.items()}
        # In units of each output's variance about the polynomial, over the outputs that need a network.
        unit = np.mean(smooth_errors[:, worth] ** 2, axis=0)
        if np.mean(sharp_errors[:, worth] ** 2 / unit) < np.mean(errors[:, worth] ** 2 / unit):
            curved, record, worth = cornered, sharp_record, worth_of(sharp_errors)
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
    z: Float[np.ndarray, "n dim"], labels: Float[np.ndarray, "n k"]
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "n size"]]:
    """The degree that predicts each output best by generalized cross-validation, and the features of all rows.

    The features are those of the highest degree that the rows allow, in the order of their degrees.
    """
    sizes = degrees(z.shape[1], len(z))
    features = np.asarray(_features(Polynomial.fit(z, max(sizes)), jnp.asarray(z, jnp.float32)), np.float64)
    scores = np.stack([ridge(features[:, :size], labels)[3] for size in sizes.values()])
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
    log_sharpest: float,
    rng: np.random.Generator,
) -> RidgeResidual:
    """Members that start as the given linear fits (intercept, slopes, scale), stacked along a leading axis."""
    intercept, slopes, scale = (jnp.asarray(np.stack(parts), jnp.float32) for parts in zip(*fits, strict=True))
    members, outputs = intercept.shape
    dim = len(standardise.mean)
    sizes = (dim, outputs, config.width, config.depth)
    networks = stack([ResidualMLP(*sizes, log_sharpest=log_sharpest, rng=rng) for _ in range(members)])
    standardise, basis = stack([standardise] * members), stack([basis] * members)
    return RidgeResidual(standardise, basis, intercept, slopes, scale, networks)


def _squared_loss(
    module: RidgeResidual, rows: Int[Array, " rows"], data: tuple[Array, Array], key: PRNGKeyArray
) -> Float[Array, ""]:
    del key
    theta, labels = data
    errors = (jax.vmap(module)(theta[rows]) - labels[rows]) / jax.lax.stop_gradient(module.scale)[None]
    return jnp.mean(errors**2)


def polynomial_ensemble(
    standardise: Standardiser,
    z: Float[np.ndarray, "n dim"],
    features: Float[np.ndarray, "n size"],
    degree_of_each: Int[np.ndarray, " k"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
) -> tuple[RidgeResidual, Float[np.ndarray, "held_out k"]]:
    """Members without networks, each output of its own degree, and their errors on held-out rows."""
    sizes, degree = degrees(z.shape[1], len(z)), int(degree_of_each.max())
    features = features[:, : sizes[degree]]
    members, k = folds.train.shape[0], labels.shape[1]
    intercept, slopes = np.zeros((members, k)), np.zeros((members, k, features.shape[1]))
    for one in np.unique(degree_of_each):
        which, size = np.flatnonzero(degree_of_each == one), sizes[int(one)]
        for member, rows in enumerate(folds.train):
            fit = ridge(features[rows, :size], labels[np.ix_(rows, which)])
            intercept[member, which], slopes[member, which, :size] = fit[0], fit[1]
    errors = [
        labels[rows] - intercept[member] - features[rows] @ slopes[member].T
        for member, rows in enumerate(folds.validation)
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
    ensemble: RidgeResidual, data: tuple[Array, Array], folds: Folds
) -> tuple[RidgeResidual, Float[np.ndarray, "held_out k"]]:
    """The members with their last layers moved towards least squares, and their errors on held-out rows.

    The optimiser leaves a last layer near its least-squares value, and where it stands is noise, another in every run.
    The step is a ridge fit to what the trained member leaves over; the penalty of every output is the one that its
    held-out rows prefer, from next to none to one that leaves the layer as it is.
    """
    network = cast(ResidualMLP, ensemble.network)
    hidden, residual = (np.asarray(part, np.float64) for part in _left_over(ensemble, *data))
    weights, biases = np.array(network.last.weight, np.float64), np.array(network.last.bias, np.float64)
    errors = []
    for member, (train_rows, held_out) in enumerate(zip(folds.train, folds.validation, strict=True)):
        features, left = hidden[member, train_rows], residual[member, train_rows]
        mean, mean_left = features.mean(axis=0), left.mean(axis=0)
        eigenvalues, vectors = np.linalg.eigh((features - mean).T @ (features - mean))
        projected = vectors.T @ ((features - mean).T @ (left - mean_left))
        penalties = max(float(eigenvalues[-1]), 1e-30) * np.logspace(-10, 2, 25)
        inverses = 1 / (np.maximum(eigenvalues, 0.0) + penalties[:, None])
        # (penalties + 1, width, k); the last is no step at all.
        steps = np.concatenate([vectors @ (inverses[:, :, None] * projected), np.zeros((1, *projected.shape))])
        shifts = np.concatenate([np.tile(mean_left, (len(penalties), 1)), np.zeros((1, len(mean_left)))])
        tried = residual[member, held_out] - shifts[:, None] - (hidden[member, held_out] - mean) @ steps
        which = np.argmin(np.mean(tried**2, axis=1), axis=0)
        outputs = np.arange(len(which))
        step = steps[which, :, outputs].T
        weights[member] += step.T
        biases[member] += shifts[which, outputs] - mean @ step
        # The error of new rows: those of one half of the held-out rows with the penalty that the other half prefers.
        halves = np.array_split(np.arange(len(held_out)), 2)
        for half, other in (halves, halves[::-1]):
            chosen = np.argmin(np.mean(tried[:, other] ** 2, axis=1), axis=0)
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
    z: Float[np.ndarray, "n size"], labels: Float[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k size"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Ridge regression with one penalty per output, by generalized cross-validation (Golub, Heath, Wahba 1979).

    Degrees of freedom count 1.4 times: the criterion itself chooses too many in one sample of ten (Kim and Gu 2004).

    Returns:
        Intercept, slopes, the residual standard deviation of each output (1 where it is 0), and the mean squared error
        that generalized cross-validation expects of new rows.
    """
    n = len(z)
    z_mean, label_mean = z.mean(axis=0), labels.mean(axis=0)
    z, labels = z - z_mean, labels - label_mean
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
    residual = np.std(labels - z @ slopes.T, axis=0)
    floor = 1e-6 * np.sqrt(total / n)
    scale = np.where(residual > np.maximum(floor, 1e-30), residual, np.where(floor > 0, floor, 1.0))
    return label_mean - slopes @ z_mean, slopes, scale, n * best
