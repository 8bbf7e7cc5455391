"""Means as polynomials of the parameters: plain least squares, and weights where an output's noise varies."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..runtime.compiling import on_device
from .folds import Folds
from .layers import Standardiser, stack
from .normal_equations import MemberEquations, NormalEquations
from .polynomial import MOST_DEGREE, Polynomial, degrees, polynomial_to
from .ridge import RidgeResidual, fit_polynomials
from .shared_noise import SharedNoise
from .streamed_equations import streamed_equations, weighted_over, with_members
from .streamed_rows import StreamedRows
from .weighted import WeightedFit
from .weighted_outputs import WeightedOutputs, weighted_outputs

# Most fits of polynomials where rows share random numbers, each knowing better than the one before how much they share.
_MOST_POLYNOMIALS = 4


@dataclass(frozen=True, eq=False)
class RegressionData:
    """What every regression of one call reads: parameters, as they are and standardised, and centred labels.

    Where these are a part of the rows of a store, `stream` has all, with labels that are not centred.
    """

    theta: Float[np.ndarray, "n dim"]
    z: Float[np.ndarray, "n width"]
    labels: Float[np.ndarray, "n k"]
    centre: Float[np.ndarray, " k"]
    standardise: Standardiser
    folds: Folds
    stream: StreamedRows | None = None

    @classmethod
    def of(
        cls,
        theta: Float[np.ndarray, "n dim"],
        labels: Float[np.ndarray, "n k"],
        folds: Folds,
        standardise: Standardiser,
        stream: StreamedRows | None = None,
    ) -> "RegressionData":
        """Standardises parameters and centres labels."""
        z = standardise.of_rows(theta)
        centre = labels.mean(axis=0, dtype=np.float64)
        return cls(theta, z, labels - centre, centre, standardise, folds, stream)

    @property
    def log_most(self) -> Float[np.ndarray, " k"]:
        """Logarithm of the largest label of each output."""
        return np.log(np.maximum((self.labels + self.centre).max(axis=0), 1e-30))

    @property
    def centred_stream(self) -> StreamedRows | None:
        """The store's rows, with labels centred like those in memory."""
        return None if self.stream is None else self.stream.mapped(lambda _, labels: labels - self.centre)

    def features(self, theta: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows all"]:
        """Of the polynomial of the highest degree, at other parameters."""
        basis, _ = polynomial_to(self.z, MOST_DEGREE, self.standardise.groups)
        return basis.of_rows(self.standardise.of_rows(theta))

    def summed(self) -> MemberEquations | None:
        """The normal equations of all rows of the store, if there is one."""
        if self.stream is None:
            return None
        return streamed_equations(self.stream, self.standardise, self.z, self.centre)

    @property
    def held_out(self) -> Int[np.ndarray, " units"]:
        """The held-out units of all members, one after the other."""
        return self.folds.validation.reshape(-1)


class Polynomials(NamedTuple):
    """Members without networks, their errors on held-out rows, the degree of every output, and features for weights.

    Of a store there are the normal equations of each member, of all its training rows.
    """

    ensemble: RidgeResidual
    errors: Float[np.ndarray, "held_out k"]
    degree_of_each: Int[np.ndarray, " k"]
    features: Float[np.ndarray, "n all"]
    weighted: WeightedOutputs
    equations: Sequence[NormalEquations] | None = None

    @property
    def precision(self) -> Float[np.ndarray, "n k"] | None:
        """What errors of all rows are multiplied by before they are compared or squared; None where that is 1."""
        return self.weighted.precision(self.features, self.errors.shape[1])


def polynomials_fitted(data: RegressionData, noise: SharedNoise, *, weighted: bool) -> tuple[Polynomials, SharedNoise]:
    """Alternates: refit, then re-estimate the shared noise, until the rows' own share changes by less than half."""
    summed = data.summed()
    for _ in range(_MOST_POLYNOMIALS):
        fit = fit_polynomials(data.standardise, data.z, data.labels, data.folds, noise, summed)
        before, noise = noise, noise.estimated(fit.errors, data.held_out)
        if noise.own > before.own / 2:
            break
    train_rows, held_out_rows = (noise.rows(units) for units in (data.folds.train, data.folds.validation))
    sizes = degrees(data.z.shape[1], len(data.z), data.standardise.groups)
    chosen = WeightedOutputs()
    if weighted:
        labels = data.labels + data.centre
        chosen = weighted_outputs(fit.features, sizes, labels, train_rows, held_out_rows, fit.errors)
        if chosen and data.stream is not None:
            members = weighted_over(chosen, data.stream, data.features, fit.features)
            chosen = with_members(chosen, members, fit.features, labels, held_out_rows)
    # Without weights nobody asks for them again, and they are the largest thing in the memory.
    features = fit.features if chosen else fit.features[:0].copy()
    of_members = None if summed is None else summed.members
    plain = Polynomials(fit.ensemble, fit.errors, fit.degree_of_each, features, chosen, of_members)
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
        intercept=on_device(intercept),
        slopes=on_device(slopes),
        log_link=on_device(log_link),
        log_most=on_device(np.tile(data.log_most, (members, 1)), np.float32),
    )
    return plain._replace(ensemble=ensemble, errors=errors, degree_of_each=degree_of_each)


def coefficients(fit: WeightedFit, centre: float, size: int) -> tuple[float, Float[np.ndarray, " size"]]:
    """Intercept and padded slopes, of centred labels where there is no log link."""
    return fit.intercept - (0.0 if fit.log_link else centre), np.pad(fit.slopes, (0, size - len(fit.slopes)))
