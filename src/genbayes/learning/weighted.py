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
from jaxtyping import Bool, Float, Int

from .normal_equations import NormalEquations, equations_of_members
from .variances import LogLinear, VarianceRegression, square_floor

# Rounds of refitting mean and variance in turn; more change nothing that held-out rows see.
_ROUNDS = 4
# Rounds before them with a log link, in which the standard deviation is taken as proportional to the mean: the variance
# around a mean that is still far off would give the rows there no weight, and leave it so.
_FIRST_ROUNDS = 6
# A round changes nothing any more that changes predictors by less than this share of their variance.
_SMALL_STEP = 0.01
# Variances below this share of the median one are not believed: single rows would get all the weight.
_LEAST_VARIANCE = 1e-12
# A variance varies where, between its 5 % and 95 % quantiles over the rows, it does so by this factor, beyond doubt.
_VARIES = 3.0
# F ratio of a regression of log squared errors beyond which their variance is not constant.
_BEYOND_DOUBT = 8.0


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


def varies(
    features: Float[np.ndarray, "n all"], sizes: Mapping[int, int], errors: Float[np.ndarray, "n k"]
) -> Bool[np.ndarray, " k"]:
    """Whether the variance of an output's errors depends on the parameters, by much and beyond doubt."""
    answer, squares, n = np.zeros(errors.shape[1], bool), errors**2, len(errors)
    # Logarithms of squares scatter by one known amount, however heavy the tails of the errors are.
    values = np.log(squares + square_floor(squares))
    # Of a constant output the same rounding is left in all rows, or nothing.
    vary = (squares.mean(axis=0) > 0) & (values.max(axis=0) > values.min(axis=0))
    if not vary.any():
        return answer
    values, low = values[:, vary], [size for degree, size in sizes.items() if degree <= 2]
    columns = features[:, : max(low)]
    intercept, slopes, used = NormalEquations.of(columns, values).solved_best(low)
    fitted = intercept + columns @ slopes.T
    freedom = 1.0 + np.where(np.any(slopes != 0, axis=1), used, 0)
    least, most = np.quantile(fitted, [0.05, 0.95], axis=0)
    left = np.var(values - fitted, axis=0) / np.maximum(n - freedom, 1.0)
    f_ratio = np.var(fitted, axis=0) / freedom / left
    answer[vary] = (f_ratio > _BEYOND_DOUBT) & (most - least > np.log(_VARIES))
    return answer


def fit_weighted(
    features: Float[np.ndarray, "n all"],
    sizes: Mapping[int, int],
    labels: Float[np.ndarray, " n"],
    *,
    log_link: bool,
    variances: VarianceRegression | None = None,
) -> WeightedFit:
    """Fits mean and variance of one output in turn.

    Args:
        features: of all rows, in the order of their degrees.
        sizes: number of features by degree; the degree is chosen by generalized cross-validation.
        labels: the output; none negative for a log link.
        log_link: whether the mean is the exponential of the polynomial.
        variances: the regression of variances on these features, where it is known.
    """
    n = len(labels)
    variances = VarianceRegression.of(features, sizes) if variances is None else variances
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
        variance = variances.fit(squares[:, None])[0]
        weights = _weights(variance(features))
    return WeightedFit(log_link, fit.intercept, fit.slopes, degree, variance)


def refitted(
    fit: WeightedFit,
    features: Float[np.ndarray, "n all"],
    labels: Float[np.ndarray, " n"],
    train_rows: Int[np.ndarray, "members n_train"],
) -> tuple[WeightedFit, ...]:
    """The same degree, link and weights, with the coefficients of each member's training rows.

    Of a log link those of all rows come first. From there a member's, without a tenth of the rows, are one step of
    Newton's method away: its error is of the order of the step squared (Rad and Maleki 2020).

    Args:
        fit: of some of the rows.
        features: of all rows.
        labels: of all rows.
        train_rows: of every member.
    """
    size, n = len(fit.slopes), len(labels)
    columns, weights = features[:, :size], _weights(fit.variance(features))
    working, roots = labels, weights
    if fit.log_link:
        linear = LogLinear(fit.intercept, fit.slopes).linear(columns)
        for _ in range(_ROUNDS - 1):
            before = linear
            _, linear, _, _ = _one_round(columns, {fit.degree: size}, labels, weights, linear, fit.log_link)
            working, roots = _working(labels, weights, linear)
            if np.mean(roots * (linear - before) ** 2) < _SMALL_STEP * size / n:
                break
    roots = np.sqrt(roots / roots.mean())
    equations = equations_of_members(
        n, train_rows, lambda rows: NormalEquations.weighted(columns, working[:, None], roots, rows)
    )
    members = (of_member.solved(size) for of_member in equations.members)
    return tuple(fit._replace(intercept=float(intercept[0]), slopes=slopes[0]) for intercept, slopes, _ in members)


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
    return NormalEquations.weighted(features[:, : len(fit.slopes)], working[:, None], np.sqrt(weights / unit))


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
    columns, roots = features[:, : max(sizes.values())], np.sqrt(weights / weights.mean())
    equations = NormalEquations.weighted(columns, labels[:, None], roots)
    intercept, slopes, used = (part[0] for part in equations.solved_best(list(sizes.values())))
    freedom = 1.0 + (int(used) if np.any(slopes != 0) else 0)
    return LogLinear(float(intercept), slopes[:used]), freedom, list(sizes)[list(sizes.values()).index(used)]
