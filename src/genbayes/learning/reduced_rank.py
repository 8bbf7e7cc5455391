"""Directions of many outputs in which their mean depends on the parameters: reduced-rank regression.

The mean of 500 points of a curve with two parameters moves in a few directions only. Regressed point by point it takes
up the noise of 500 regressions, and takes their time at every step of a sampler; regressed along these directions it
takes up that of a few (Izenman 1975).
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..runtime.compiling import on_device
from .folds import Folds
from .layers import Standardiser
from .normal_equations import NormalEquations
from .polynomial import degrees
from .ridge import fit_polynomials
from .shared_noise import SharedNoise
from .weighted import varies

# Fewer outputs are regressed as they are.
_LEAST_OUTPUTS = 12
# Share of the outputs that directions may number: beyond it there is little to gain.
_MOST_SHARE = 0.7
# Share of outputs whose noise varies with the parameters beyond which weights and log links of single outputs do more.
_MOST_UNEVEN = 0.25
# Factor by which the variance of what a polynomial leaves over has to stand out from the noise for a direction of its
# own: there may be a signal that only a network can follow.
_STANDS_OUT = 1.5


class Directions(eqx.Module):
    """Orthonormal directions of k outputs, and the mean around which they are taken.

    Across the directions the mean of outputs does not depend on the parameters.
    """

    centre: Float[Array, " k"]
    axes: Float[Array, "k r"]

    def along(self, outputs: Float[Array, " k"]) -> Float[Array, " r"]:
        """Coordinates along the directions."""
        return (outputs - self.centre) @ self.axes

    def across(self, outputs: Float[Array, " k"]) -> Float[Array, ""]:
        """Squared length of what the directions leave out."""
        away = outputs - self.centre
        return jnp.sum((away - away @ self.axes @ self.axes.T) ** 2)


def signal_directions(
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
    standardise: Standardiser,
    noise: SharedNoise,
) -> Directions | None:
    """The directions in which held-out rows show a dependence on the parameters; None where there is nothing to gain.

    Args:
        theta: parameters.
        labels: outputs.
        folds: units of rows of each member.
        standardise: of parameters.
        noise: which rows share random numbers.
    """
    n, k = labels.shape
    if k < _LEAST_OUTPUTS:
        return None
    z = standardise.of_rows(theta)
    centre = labels.mean(axis=0)
    away = labels - centre
    fit = fit_polynomials(standardise, z, away, folds, noise)
    errors = fit.errors
    held_out = noise.rows(folds.validation)
    if (
        np.mean(varies(fit.features[held_out.reshape(-1)], degrees(z.shape[1], n, standardise.groups), errors))
        > _MOST_UNEVEN
    ):
        return None
    slopes = np.asarray(fit.ensemble.slopes, np.float64)
    scores = [
        _held_out_scores(slopes[member], fit.features[rows], away[rows], fit.equations.members[member])
        for member, rows in enumerate(held_out)
    ]
    of_best = int(np.argmin(np.mean(scores, axis=0))) + 1
    axes = _axes(slopes.mean(axis=0), fit.equations.total)[:, :of_best]
    axes = np.concatenate([axes, _standing_out(errors, axes)], axis=1)
    if axes.shape[1] > _MOST_SHARE * k:
        return None
    return Directions(*(on_device(part, np.float32) for part in (centre, np.linalg.qr(axes)[0])))


def _axes(slopes: Float[np.ndarray, "k size"], rows: NormalEquations) -> Float[np.ndarray, "k r"]:
    """Principal directions of what is fitted to rows, the one of greatest variance first."""
    size = slopes.shape[1]
    values, vectors = rows.spectrum(size)
    return np.linalg.svd(slopes @ (vectors * np.sqrt(values / (rows.n - 1))), full_matrices=False)[0]


def _held_out_scores(
    slopes: Float[np.ndarray, "k size"],
    features: Float[np.ndarray, "held_out all"],
    away: Float[np.ndarray, "held_out k"],
    rows: NormalEquations,
) -> Float[np.ndarray, " r"]:
    """Mean squared error of held-out rows with 1, 2, ... directions, less that without any; `rows` were trained on."""
    axes, size = _axes(slopes, rows), slopes.shape[1]
    predicted = (features[:, :size] - rows.means[:size]) @ slopes.T @ axes
    observed = (away - rows.label_means) @ axes
    return np.cumsum(np.mean(predicted**2 - 2 * predicted * observed, axis=0))


def _standing_out(errors: Float[np.ndarray, "q k"], axes: Float[np.ndarray, "k r"]) -> Float[np.ndarray, "k extra"]:
    """Directions of held-out errors whose variance is more than noise of equal size would give (Marchenko, Pastur)."""
    left = errors - (errors @ axes) @ axes.T
    q, k = left.shape
    _, singular, vectors = np.linalg.svd(left - left.mean(axis=0), full_matrices=False)
    values = singular**2 / q
    noise = np.sum(values[len(values) // 10 :]) / max(k - axes.shape[1] - len(values) // 10, 1)
    return vectors[values > _STANDS_OUT * noise * (1 + np.sqrt(k / q)) ** 2].T
