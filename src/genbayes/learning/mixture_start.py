"""Where mixtures start from: the mean of every output and its spread around it, as functions of the parameters.

Of few runs a network learns little of either, and what it learns is noise: with 300 runs of five problems whose answers
are known, posterior means of the absolute error were off by 0.25 to 0.44 of their standard deviations (rms; of an
oscillation by 3.2) where the spread was constant and the mean a polynomial, and are now by 0.17 to 0.38 (0.6).
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from ..runtime.compiling import on_device, over_rows
from .distributions import TailTransform, TransformedMean
from .folds import Folds
from .layers import Standardiser, stack
from .mean_model import MeanModel
from .means import is_surely_better
from .polynomial import Polynomial, features_to
from .polynomial_means import RegressionData
from .process_means import processes_fitted
from .ridge import PolynomialFit, RidgeResidual, fit_polynomials, log_linear_ensemble
from .shared_noise import SharedNoise
from .streamed_equations import streamed_equations
from .streamed_rows import StreamedRows
from .variances import ROWS_PER_COEFFICIENT, VarianceRegression
from .warps import ROOT

# Degree of the logarithm of a variance: squared residuals say little of more.
_DEGREE = 2
# Rows with which a Gaussian process is tried. Of 300 it left three quarters of the cost's error (four of five problems
# with known answers); of 1,000 the network had learned as much around polynomials.
_MOST_ROWS = 600


class MixtureStart(NamedTuple):
    """Members of an ensemble before their networks are trained.

    Attributes:
        location: fit of the mean of transformed outputs, each member's of its own rows.
        residual: standard deviation of transformed outputs around it, of rows that a member has not seen.
        relative_spread: that standard deviation at a parameter, in units of `residual`; the same for all members.
            None where rows are too few to tell.
    """

    location: MeanModel
    residual: Float[np.ndarray, " k"]
    relative_spread: RidgeResidual | None


class _Location(NamedTuple):
    """A fit of the mean, its errors on held-out rows, and squared errors of all rows as if it had not seen them."""

    members: MeanModel
    errors: Float[np.ndarray, "held_out k"]
    squares: Float[np.ndarray, "n k"]


def mixture_starts(
    theta: Float[np.ndarray, "n dim"],
    values: Float[np.ndarray, "n k"],
    transformed: Float[np.ndarray, "n k"],
    transform: TailTransform,
    standardise: Standardiser,
    folds: Folds,
    floor: Float[np.ndarray, " k"],
    stream: StreamedRows | None = None,
) -> list[MixtureStart]:
    """Polynomials, and a Gaussian process where rows are few and held-out ones show that its means are better.

    Better means do not make a better start: a neuron that begins to fire jumps from one distribution to another, and
    what a smooth process leaves over is hard to learn. The likelihood of held-out rows after training has to decide.

    Args:
        theta: parameters, (n, dim).
        values: outputs in their own units, (n, k).
        transformed: the same in transformed units, see `transformed_rows`.
        transform: of outputs.
        standardise: fitted to the parameters.
        folds: rows of each member.
        floor: least standard deviation of each transformed output.
        stream: all rows of a store and their outputs, where those given are a part of them.
    """
    z = standardise.of_rows(theta)
    location = _by_polynomials(transformed, transform, standardise, z, folds, stream)
    few = stream is None and len(theta) <= _MOST_ROWS
    process = _by_process(theta, values, transformed, transform, standardise, folds) if few else None
    locations = [location]
    if process is not None and is_surely_better(*(np.sum(one.errors**2, axis=1) for one in (process, location))):
        locations.append(process)
    starts = []
    for one in locations:
        residual = np.maximum(one.errors.std(axis=0), floor)
        spread = _relative_spread(standardise, z, one.squares, residual, len(folds.train))
        starts.append(MixtureStart(one.members, residual, spread))
    return starts


def transformed_rows(transform: TailTransform, values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Outputs in transformed units, in double precision."""
    return np.asarray(over_rows(jax.vmap(transform), np.asarray(values, np.float32)), np.float64)


def _by_polynomials(
    transformed: Float[np.ndarray, "n k"],
    transform: TailTransform,
    standardise: Standardiser,
    z: Float[np.ndarray, "n width"],
    folds: Folds,
    stream: StreamedRows | None,
) -> _Location:
    """Polynomials of transformed outputs."""
    equations = None
    if stream is not None:
        labels = stream.mapped(lambda _, x: transformed_rows(transform, x.reshape(len(x), -1)))
        equations = streamed_equations(labels, standardise, z, np.zeros(transformed.shape[1]))
    fit = fit_polynomials(standardise, z, transformed, folds, SharedNoise.independent(len(z)), equations)
    return _Location(fit.ensemble, fit.errors, _squares(fit, transformed))


def _squares(polynomials: PolynomialFit, labels: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Squared residuals of all rows, as large on average as those of rows that a member has not seen."""
    intercept, slopes = (
        np.mean(np.asarray(part, np.float64), axis=0)
        for part in (polynomials.ensemble.intercept, polynomials.ensemble.slopes)
    )
    squares = (labels - intercept - polynomials.features[:, : slopes.shape[1]] @ slopes.T) ** 2
    mean = squares.mean(axis=0)
    return squares * (np.mean(polynomials.errors**2, axis=0) / np.where(mean > 0, mean, 1.0))


def _by_process(
    theta: Float[np.ndarray, "n dim"],
    values: Float[np.ndarray, "n k"],
    transformed: Float[np.ndarray, "n k"],
    transform: TailTransform,
    standardise: Standardiser,
    folds: Folds,
) -> _Location | None:
    """A Gaussian process of outputs on the scale where their noise is even; None where rows are many, or of counts."""
    values = values.astype(np.float64)
    data = RegressionData.of(theta, values, folds, standardise)
    noise = SharedNoise.independent(len(theta))
    process = processes_fitted(data, noise)
    # The noise of counts is even on the scale of roots. In transformed units it is greatest at small means and falls to
    # both sides, which no polynomial of the parameters follows.
    if process is None or np.any(np.asarray(process.ensemble.warps.kind) == ROOT):
        return None
    held_out = noise.rows(data.held_out)
    errors = transformed[held_out] - transformed_rows(transform, values[held_out] - process.errors)
    members = len(folds.train)
    mean = TransformedMean(process.ensemble.standardise, process.ensemble, stack([transform] * members))
    return _Location(mean, errors, (transformed - transformed_rows(transform, process.left_out)) ** 2)


def _relative_spread(
    standardise: Standardiser,
    z: Float[np.ndarray, "n dim"],
    squares: Float[np.ndarray, "n k"],
    unit: Float[np.ndarray, " k"],
    members: int,
) -> RidgeResidual | None:
    """Standard deviations in units, by squared errors of rows; None where a line takes too large a share of them."""
    if len(z) < ROWS_PER_COEFFICIENT * z.shape[1]:
        return None
    _, sizes, features = features_to(z, _DEGREE, standardise.groups)
    fits = VarianceRegression.of(features, sizes).fit(squares)
    size = max(len(fit.slopes) for fit in fits)
    degree = next(degree for degree, found in sizes.items() if found == size)
    # Half the logarithm of a variance.
    intercept = np.array([fit.intercept for fit in fits]) / 2 - np.log(unit)
    slopes = np.stack([np.pad(fit.slopes, (0, size - len(fit.slopes))) for fit in fits]) / 2
    most = np.max(intercept + features[:, :size] @ slopes.T, axis=0)
    return log_linear_ensemble(
        standardise,
        Polynomial.fit(z, degree, standardise.groups),
        np.tile(intercept, (members, 1)),
        np.tile(slopes, (members, 1, 1)),
        on_device(most, np.float32),
    )
