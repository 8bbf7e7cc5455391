"""Fits the distribution function of every output coordinate given the parameters, on a grid of quantiles."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy.special import ndtri
from scipy.stats import rankdata

from .cost_forms import MarginalForm
from .distances import AdditiveDistance
from .networks import Standardiser
from .polynomial import Polynomial
from .regression import Folds, RidgeResidual, ridge, ridge_ensemble
from .training import FitConfig, FitRecord, train

_CELLS = 80
_ATOMS = 8


def fit_marginal(
    theta: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n *x_shape"],
    distance: AdditiveDistance,
    folds: Folds,
    config: FitConfig,
    *,
    rng: np.random.Generator,
    progress: bool,
) -> tuple[MarginalForm, tuple[FitRecord, ...]]:
    """Fits P(x_j <= u_jk | theta) by cross-entropy weighted by cell width, from a linear fit on normal scores.

    Args:
        theta: parameters, (n, dim).
        x: outputs, (n, *x_shape).
        distance: an additive distance, fitted.
        folds: rows of each member.
        config: see `FitConfig`.
        rng: source of the networks' first weights and of batches.
        progress: show a progress bar.
    """
    values = x.reshape(len(x), -1)
    cells = int(np.clip(len(x) // 20, 4, _CELLS))
    probabilities = np.arange(1, cells) / cells
    grid = np.quantile(values, probabilities, axis=0, method="inverted_cdf").T
    standardise = Standardiser.fit(theta[np.unique(folds.train)])
    z = np.asarray(jax.vmap(standardise)(jnp.asarray(theta)))
    starts = [_linear_start(z, values, grid, rows) for rows in folds.train]
    ensemble = ridge_ensemble(standardise, Polynomial.fit(z, 1), starts, config, rng=rng)
    data = (jnp.asarray(theta), jnp.asarray(values), jnp.asarray(grid, jnp.float32), _weights(values, grid))
    ensemble, record = train(
        ensemble,
        _cross_entropy,
        data,
        folds.train,
        folds.validation,
        config,
        rng=rng,
        name="marginal distributions",
        loss_name="cross-entropy of P(x <= grid), weighted by the width of the cells",
        progress=progress,
    )
    return MarginalForm(distance, ensemble, jnp.asarray(_atoms(values, grid), jnp.float32)), (record,)


def _cross_entropy(module: RidgeResidual, rows: Int[Array, " rows"], data: Any, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    theta, values, grid, weights = data
    below = values[rows][:, :, None] <= grid[None]
    logits = jax.vmap(module)(theta[rows]).reshape(below.shape)
    # -log sigmoid(l) where the output is below the grid point, -log sigmoid(-l) where it is not.
    return jnp.mean(jnp.sum(jax.nn.softplus(jnp.where(below, -logits, logits)) * weights[None], axis=(1, 2)))


def _weights(values: np.ndarray, grid: np.ndarray) -> Float[Array, "coordinates points"]:
    """Half the width of the two cells at a grid point: by how much an error there changes an absolute distance.

    In units of the coordinate's standard deviation, so that all coordinates count alike. The outermost cells are
    cut at the 99.9 % quantiles; single runs far out would otherwise own the loss.
    """
    low, high = np.quantile(values, [0.001, 0.999], axis=0)
    edges = np.concatenate([np.minimum(low, grid[:, 0])[:, None], grid, np.maximum(high, grid[:, -1])[:, None]], axis=1)
    std = values.std(axis=0)
    widths = (edges[:, 2:] - edges[:, :-2]) / 2 / np.where(std > 0, std, 1.0)[:, None]
    return jnp.asarray(widths / np.maximum(widths.sum(), 1e-12), jnp.float32)


def _linear_start(
    z: np.ndarray, values: np.ndarray, grid: np.ndarray, rows: np.ndarray
) -> tuple[Float[np.ndarray, " outputs"], Float[np.ndarray, "outputs dim"], Float[np.ndarray, " outputs"]]:
    """Logits of Phi((t_k - b z - a) / s): a linear fit of each coordinate's normal scores, with its residual spread."""
    n = len(rows)
    ranks = rankdata(values[rows], axis=0)
    intercept, slopes, spread, _ = ridge(z[rows].astype(np.float64), ndtri((ranks - 0.5) / n))
    below = np.stack([(values[rows] <= points).mean(axis=0) for points in grid.T], axis=1)
    steps = ndtri(np.clip(below, 0.5 / n, 1 - 0.5 / n))
    # A normal distribution function is a logistic one of 1.702 times the argument to within 0.0095.
    factor = 1.702 / np.maximum(spread, 0.02)[:, None]
    slopes = -np.repeat(factor * slopes, grid.shape[1], axis=0)
    return (factor * (steps - intercept[:, None])).reshape(-1), slopes, np.ones(steps.size)


def _atoms(values: np.ndarray, grid: np.ndarray) -> Float[np.ndarray, "coordinates cells per_cell"]:
    """Quantiles of the simulated values within each cell (u_k, u_k+1]; an empty cell holds its upper end."""
    coordinates, points = grid.shape
    atoms = np.empty((coordinates, points + 1, _ATOMS), np.float64)
    probabilities = (np.arange(_ATOMS) + 0.5) / _ATOMS
    for j in range(coordinates):
        ordered = np.sort(values[:, j])
        # Numbers of values at or below each grid point: the same comparison as the labels.
        ends = np.concatenate([[0], np.searchsorted(ordered, grid[j], side="right"), [len(ordered)]])
        for k, (low, high) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
            inside = ordered[low:high] if high > low else grid[j, [min(k, points - 1)]]
            atoms[j, k] = np.quantile(inside, probabilities)
    return atoms
