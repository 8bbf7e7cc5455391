"""Regression of an output whose noise varies with the parameters: weights, a variance function and a log link.

Counts, growth and scale parameters give outputs whose variance spans decades over the prior. Least squares with equal
weights then fits the large rows and is arbitrary where a small observation has its posterior. Here the variance is a
function of the parameters, log v(theta) = polynomial, fitted to squared residuals by gamma deviance; rows are weighted
by 1 / v; and where no output is negative the mean may be exp(polynomial): quasi-likelihood (McCullagh and Nelder 1989,
chapter 9).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from .ridge import NormalEquations, Spectrum

# Rounds of refitting mean and variance in turn; more change nothing that held-out rows see.
_ROUNDS = 4
# Rounds before them with a log link, in which the standard deviation is taken as proportional to the mean: the variance
# around a mean that is still far off would give the rows there no weight, and leave it so.
_FIRST_ROUNDS = 6
# Share of the rows that a coefficient of a variance function takes: squared residuals scatter more than outputs.
_ROWS_PER_COEFFICIENT = 25
# E[log of a squared standard normal] is -1.27.
_LOG_CHI_SQUARE = -1.27
# Variances below this share of the median one are not believed: single rows would get all the weight.
_LEAST_VARIANCE = 1e-12
# A variance varies where, between its 5 % and 95 % quantiles over the rows, it does so by this factor, beyond doubt.
_VARIES = 3.0
# F ratio of a regression of log squared errors beyond which their variance is not constant.
_BEYOND_DOUBT = 8.0


class LogLinear(NamedTuple):
    """exp(intercept + slopes . features), with the number of leading features that it uses."""

    intercept: float
    slopes: Float[np.ndarray, " size"]

    def __call__(self, features: Float[np.ndarray, "n all"]) -> Float[np.ndarray, " n"]:
        """The value at every row."""
        return np.exp(np.clip(self.linear(features), -600.0, 600.0))

    def linear(self, features: Float[np.ndarray, "n all"]) -> Float[np.ndarray, " n"]:
        """Its logarithm."""
        return self.intercept + features[:, : len(self.slopes)] @ self.slopes


class WeightedFit(NamedTuple):
    """The mean of one output as a polynomial, or the exponential of one, and the variance around it.

    Attributes:
        log_link: whether the mean is exp(intercept + slopes . features).
        intercept: of the polynomial.
        slopes: of its leading features.
        degree: of the polynomial.
        variance: of the output given the parameters.
    """

    log_link: bool
    intercept: float
    slopes: Float[np.ndarray, " size"]
    degree: int
    variance: LogLinear

    def mean(self, features: Float[np.ndarray, "n all"]) -> Float[np.ndarray, " n"]:
        """The mean at every row."""
        linear = LogLinear(self.intercept, self.slopes)
        return linear(features) if self.log_link else linear.linear(features)

    def score(self, features: Float[np.ndarray, "n all"], labels: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Minus the logarithm of the normal density of every label, up to a constant."""
        return normal_score(labels - self.mean(features), self.variance(features))


def normal_score(errors: Float[np.ndarray, "..."], variance: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Minus the logarithm of a normal density, up to a constant; errors beyond 30 sd count as 30."""
    variance = np.maximum(variance, 1e-300)
    with np.errstate(over="ignore"):
        return 0.5 * (np.minimum(errors**2 / variance, 900.0) + np.log(variance))


def fit_variance(
    features: Float[np.ndarray, "n all"], sizes: Mapping[int, int], squares: Float[np.ndarray, " n"]
) -> LogLinear:
    """The mean of squared residuals as exp(polynomial), by gamma deviance (iteratively reweighted least squares).

    Args:
        features: of all rows, in the order of their degrees.
        sizes: number of features by degree.
        squares: squared residuals of rows.
    """
    n = len(squares)
    most = n // _ROWS_PER_COEFFICIENT
    # A line of all parameters even so: to leave some of them out would be to say that they change nothing.
    sizes = {degree: size for degree, size in sizes.items() if degree == 1 or size <= most}
    values = np.log(squares + _square_floor(squares)) - _LOG_CHI_SQUARE
    # All rounds are of the same rows with equal weights: the largest part of each is the same, too.
    columns = features[:, : max(sizes.values())]
    equations = NormalEquations.of(columns, values[:, None])
    spectra = {size: equations.spectrum(size) for size in sizes.values()}
    fit = _best_degree(equations, sizes, spectra)[0]
    for _ in range(_ROUNDS):
        ratio = squares / fit(features)
        values = fit.linear(features) + np.clip(ratio - 1.0, -1.0, 8.0)
        fit = _best_degree(equations.of_other_labels(columns, values[:, None]), sizes, spectra)[0]
        # Least squares of logarithms leaves the level to the clipping: the mean of the squares is to be right.
        fit = fit._replace(intercept=fit.intercept + float(np.log(max(np.mean(squares / fit(features)), 1e-300))))
    return fit


def varies(
    features: Float[np.ndarray, "n all"], sizes: Mapping[int, int], errors: Float[np.ndarray, "n k"]
) -> Bool[np.ndarray, " k"]:
    """Whether the variance of an output's errors depends on the parameters, by much and beyond doubt."""
    answer = np.zeros(errors.shape[1], bool)
    low = {degree: size for degree, size in sizes.items() if degree <= 2}
    n = len(errors)
    for j, error in enumerate(errors.T):
        squares = error**2
        if not squares.mean() > 0:
            continue
        # Logarithms of squares scatter by one known amount, however heavy the tails of the errors are.
        values = np.log(squares + _square_floor(squares))
        fit, freedom, _ = _best_ridge(features, low, values, np.ones(n))
        fitted = fit.linear(features)
        least, most = np.quantile(fitted, [0.05, 0.95])
        f_ratio = np.var(fitted) / freedom / (np.var(values - fitted) / max(n - freedom, 1.0))
        answer[j] = f_ratio > _BEYOND_DOUBT and most - least > np.log(_VARIES)
    return answer


def _square_floor(squares: Float[np.ndarray, " n"]) -> float:
    """So small a square is a coincidence, and its logarithm a row of great leverage."""
    return 1e-12 * float(np.median(squares)) + 1e-24 * float(squares.mean()) + 1e-300


def fit_weighted(
    features: Float[np.ndarray, "n all"],
    sizes: Mapping[int, int],
    labels: Float[np.ndarray, " n"],
    *,
    log_link: bool,
) -> WeightedFit:
    """Fits mean and variance of one output in turn.

    Args:
        features: of all rows, in the order of their degrees.
        sizes: number of features by degree; the degree is chosen by generalized cross-validation.
        labels: the output; none negative for a log link.
        log_link: whether the mean is the exponential of the polynomial.
    """
    n = len(labels)
    weights = np.ones(n)
    if log_link:
        positive = labels[labels > 0]
        start = np.log(np.maximum(labels, 0.0) + 0.5 * (np.quantile(positive, 0.05) if len(positive) else 1.0))
        linear = _best_ridge(features, sizes, start, weights)[0].linear(features)
        for _ in range(_FIRST_ROUNDS):
            weights = np.exp(-2 * np.clip(linear, -300.0, 300.0))
            _, linear, _, _ = _one_round(features, sizes, labels, weights, linear, log_link)
    else:
        linear = np.zeros(n)
    for _ in range(_ROUNDS):
        fit, linear, degrees_of_freedom, degree = _one_round(features, sizes, labels, weights, linear, log_link)
        mean = np.exp(np.clip(linear, -300.0, 300.0)) if log_link else linear
        squares = (labels - mean) ** 2 * n / max(n - degrees_of_freedom, 1.0)
        variance = fit_variance(features, sizes, squares)
        weights = _weights(variance(features))
    return WeightedFit(log_link, fit.intercept, fit.slopes, degree, variance)


def refitted(fit: WeightedFit, features: Float[np.ndarray, "n all"], labels: Float[np.ndarray, " n"]) -> WeightedFit:
    """The same degree, link and weights, with the coefficients of other rows."""
    size = len(fit.slopes)
    weights = _weights(fit.variance(features))
    linear = LogLinear(fit.intercept, fit.slopes).linear(features)
    for _ in range(_ROUNDS if fit.log_link else 1):
        new, linear, _, _ = _one_round(features, {fit.degree: size}, labels, weights, linear, fit.log_link)
    return fit._replace(intercept=new.intercept, slopes=new.slopes)


def _weights(variance: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return 1 / np.maximum(variance, _LEAST_VARIANCE * np.median(variance))


def _one_round(
    features: Float[np.ndarray, "n all"],
    sizes: Mapping[int, int],
    labels: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    linear: Float[np.ndarray, " n"],
    log_link: bool,
) -> tuple[LogLinear, Float[np.ndarray, " n"], float, int]:
    """One weighted least-squares fit; of a log link, of its linearisation around the predictor `linear`."""
    if not log_link:
        fit, freedom, degree = _best_ridge(features, sizes, labels, weights)
        return fit, fit.linear(features), freedom, degree
    working, weights = _working(labels, weights, linear)
    fit, freedom, degree = _best_ridge(features, sizes, working, weights)
    # No more than a factor of twenty at a time: the linearisation holds near by only.
    return fit, np.clip(fit.linear(features), linear - 3.0, linear + 3.0), freedom, degree


def _working(
    labels: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], linear: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Labels and weights of the linearisation of a log link around a predictor."""
    mean = np.exp(np.clip(linear, -300.0, 300.0))
    return linear + np.clip((labels - mean) / mean, -2.0, 10.0), weights * mean**2


def round_equations(
    fit: WeightedFit, features: Float[np.ndarray, "n all"], labels: Float[np.ndarray, " n"], unit: float
) -> NormalEquations:
    """The normal equations of one further round of a fit with some of its rows.

    Args:
        fit: from which the round starts, with the variance that it keeps.
        features: of the rows.
        labels: of the rows.
        unit: of the weights, see `mean_weight`.
    """
    working, weights = _weighted_rows(fit, features, labels)
    root = np.sqrt(weights / unit)
    return NormalEquations.of(features[:, : len(fit.slopes)] * root[:, None], (working * root)[:, None], root)


def mean_weight(fit: WeightedFit, features: Float[np.ndarray, "n all"]) -> float:
    """What weights are divided by: penalties are relative to it."""
    return float(_weighted_rows(fit, features, fit.mean(features))[1].mean())


def _weighted_rows(
    fit: WeightedFit, features: Float[np.ndarray, "n all"], labels: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """What is regressed in a round, and with which weights."""
    weights = _weights(fit.variance(features))
    if not fit.log_link:
        return labels, weights
    return _working(labels, weights, LogLinear(fit.intercept, fit.slopes).linear(features))


def _best_ridge(
    features: Float[np.ndarray, "n all"],
    sizes: Mapping[int, int],
    labels: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
) -> tuple[LogLinear, float, int]:
    """Weighted ridge regression of the best degree, its degrees of freedom (at most), and the degree."""
    root, most = np.sqrt(weights / weights.mean()), max(sizes.values())
    return _best_degree(NormalEquations.of(features[:, :most] * root[:, None], (labels * root)[:, None], root), sizes)


def _best_degree(
    equations: NormalEquations, sizes: Mapping[int, int], spectra: Mapping[int, Spectrum] | None = None
) -> tuple[LogLinear, float, int]:
    """The same of normal equations, whose spectra may be known by size."""
    best = None
    for degree, size in sizes.items():
        intercept, slopes, score = equations.solved(size, None if spectra is None else spectra[size])
        if best is None or score[0] < best[0]:
            best = score[0], LogLinear(float(intercept[0]), slopes[0]), degree
    assert best is not None
    used = 1.0 + (len(best[1].slopes) if np.any(best[1].slopes != 0) else 0)
    return best[1], used, best[2]
