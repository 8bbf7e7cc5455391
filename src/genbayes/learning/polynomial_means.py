"""Means as polynomials of the parameters: plain least squares, and weights where an output's noise varies."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .folds import Folds
from .layers import Standardiser, stack
from .polynomial import Polynomial, degrees
from .ridge import RidgeResidual, best_degrees, polynomial_ensemble
from .shared_noise import SharedNoise
from .weighted import WeightedFit
from .weighted_outputs import WeightedOutputs, weighted_outputs

# Most fits of polynomials where rows share random numbers, each knowing better than the one before how much they share.
_MOST_POLYNOMIALS = 4


@dataclass(frozen=True, eq=False)
class RegressionData:
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
    ) -> "RegressionData":
        """Standardises parameters and centres labels."""
        z = standardise.of_rows(theta)
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


class Polynomials(NamedTuple):
    """Members without networks, their errors on held-out rows, the degree of every output, and features for weights."""

    ensemble: RidgeResidual
    errors: Float[np.ndarray, "held_out k"]
    degree_of_each: Int[np.ndarray, " k"]
    features: Float[np.ndarray, "n all"]
    weighted: WeightedOutputs

    @property
    def precision(self) -> Float[np.ndarray, "n k"] | None:
        """What errors of all rows are multiplied by before they are compared or squared; None where that is 1."""
        return self.weighted.precision(self.features, self.errors.shape[1])


def polynomials_fitted(data: RegressionData, noise: SharedNoise, *, weighted: bool) -> tuple[Polynomials, SharedNoise]:
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
    # Without weights nobody asks for them again, and they are the largest thing in the memory.
    features = features if chosen else features[:0].copy()
    plain = Polynomials(ensemble, errors, degree_of_each, features, chosen)
    return (_with_weighted(plain, data) if chosen else plain), noise


def _with_weighted(plain: Polynomials, data: RegressionData) -> Polynomials:
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
            intercept[member, j], slopes[member, j] = coefficients(fit, data.centre[j], size)
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


def coefficients(fit: WeightedFit, centre: float, size: int) -> tuple[float, Float[np.ndarray, " size"]]:
    """Intercept and padded slopes, of centred labels where there is no log link."""
    return fit.intercept - (0.0 if fit.log_link else centre), np.pad(fit.slopes, (0, size - len(fit.slopes)))
