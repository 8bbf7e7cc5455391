"""Regression of labels on parameters: a ridge fit plus a network residual that starts at zero.

Where the truth is nearly linear the network would only add noise; where it is not, the ridge fit takes the bulk off
its shoulders. The network's part is kept as far as the held-out rows vouch for it.
"""

from dataclasses import dataclass
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .compiling import compiled
from .networks import ResidualMLP, Standardiser, stack
from .training import FitConfig, FitRecord, train


class RidgeResidual(eqx.Module):
    """intercept + slopes . z(theta) + scale * network(z(theta)); z standardises. Only the network is trained.

    There is no network where training found nothing beyond the linear fit.
    """

    standardise: Standardiser
    intercept: Float[Array, "*members k"]
    slopes: Float[Array, "*members k dim"]
    scale: Float[Array, "*members k"]
    network: ResidualMLP | None

    def __call__(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The prediction at one parameter."""
        fixed = jax.lax.stop_gradient((self.standardise, self.intercept, self.slopes, self.scale))
        standardise, intercept, slopes, scale = fixed
        z = standardise(theta)
        linear = intercept + slopes @ z
        return linear if self.network is None else linear + scale * self.network(z)


@dataclass(frozen=True)
class Folds:
    """Each ensemble member's training and validation rows, (members, n_train) and (members, n_validation)."""

    train: np.ndarray
    validation: np.ndarray

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
    ensemble = ridge_ensemble(standardise, [ridge(z[rows], centred[rows]) for rows in folds.train], config, rng=rng)
    data = (jnp.asarray(theta), jnp.asarray(centred, jnp.float32))
    ensemble, record = train(
        ensemble,
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
    intercept = ensemble.intercept + jnp.asarray(centre, jnp.float32)[None]
    # The linear fit's own estimation error is about dim / n of the residual variance. A network that gains less than
    # twice that is noise in the same measure, and would cost its time at every step of every sampler.
    gain = np.mean(record.validation_loss[:, 0] - np.nanmin(record.validation_loss, axis=1))
    if not gain > 2 * theta.shape[1] / folds.train.shape[1]:
        return RidgeResidual(ensemble.standardise, intercept, ensemble.slopes, ensemble.scale, None), record
    shrunk = ensemble.scale * _shrinkage(ensemble, data, jnp.asarray(folds.validation))[None]
    return RidgeResidual(ensemble.standardise, intercept, ensemble.slopes, shrunk, ensemble.network), record


def ridge_ensemble(
    standardise: Standardiser,
    fits: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    config: FitConfig,
    *,
    rng: np.random.Generator,
) -> RidgeResidual:
    """Members that start as the given linear fits (intercept, slopes, scale), stacked along a leading axis."""
    intercept, slopes, scale = (jnp.asarray(np.stack(parts), jnp.float32) for parts in zip(*fits, strict=True))
    members, outputs, dim = slopes.shape
    networks = stack([ResidualMLP(dim, outputs, config.width, config.depth, rng=rng) for _ in range(members)])
    return RidgeResidual(stack([standardise] * members), intercept, slopes, scale, networks)


def _squared_loss(
    module: RidgeResidual, rows: Int[Array, " rows"], data: tuple[Array, Array], key: PRNGKeyArray
) -> Float[Array, ""]:
    del key
    theta, labels = data
    errors = (jax.vmap(module)(theta[rows]) - labels[rows]) / jax.lax.stop_gradient(module.scale)[None]
    return jnp.mean(errors**2)


@compiled
def _shrinkage(
    ensemble: RidgeResidual, data: tuple[Array, Array], validation: Int[Array, "members rows"]
) -> Float[Array, " k"]:
    """How much of the networks' output to keep, from all members' held-out rows together.

    The least-squares coefficient a of their output on the ridge fit's held-out residuals, times 1 - 4 (se / a)^2: a
    network whose gain is less than two standard errors has learned noise, one whose gain is beyond doubt is kept whole.
    """
    theta, labels = data

    def one(module: RidgeResidual, rows: Int[Array, " rows"]) -> tuple[Array, Array, Array]:
        z = jax.vmap(module.standardise)(theta[rows])
        output = jax.vmap(cast(ResidualMLP, module.network))(z)
        # With their means: the network is used without an intercept of its own. In units of the scale: fourth powers of
        # data units leave the range of float32.
        residual = (labels[rows] - module.intercept[None] - z @ module.slopes.T) / module.scale[None]
        return jnp.sum(output * residual, axis=0), jnp.sum(output**2, axis=0), jnp.sum((output * residual) ** 2, axis=0)

    products, squares, variances = (jnp.sum(part, axis=0) for part in eqx.filter_vmap(one)(ensemble, validation))
    coefficient = jnp.clip(products / jnp.maximum(squares, 1e-30), 0.0, 1.0)
    # (se / a)^2 for a = products / squares; the residual's own fit makes this a slight overestimate.
    doubt = variances / jnp.maximum(products**2, 1e-30)
    return coefficient * jnp.clip(1 - 4 * doubt, 0.0, 1.0)


def ridge(
    z: Float[np.ndarray, "n dim"], labels: Float[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k dim"], Float[np.ndarray, " k"]]:
    """Ridge regression with one penalty per output, by generalized cross-validation (Golub, Heath, Wahba 1979).

    Returns:
        Intercept, slopes, and the residual standard deviation of each output (1 where it is 0).
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
        score = left / (n - 1 - np.sum(eigenvalues * inverse)) ** 2
        better = score < best
        best = np.where(better, score, best)
        slopes[better] = (vectors @ (inverse[:, None] * projected)).T[better]
    residual = np.std(labels - z @ slopes.T, axis=0)
    floor = 1e-6 * np.sqrt(total / n)
    scale = np.where(residual > np.maximum(floor, 1e-30), residual, np.where(floor > 0, floor, 1.0))
    return label_mean - slopes @ z_mean, slopes, scale
