"""Which parameters a regression takes as their logarithms, and whether that of its outputs are the simpler ones.

Rates, sizes and shares multiply: a mean that is a product of powers is linear in logarithms, and of a high degree in
the parameters themselves where these span a decade. Skewness tells the tails of a prior; what the outputs do, only they
can tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from ..runtime.compiling import on_device
from ..runtime.counts import evenly_spaced
from .layers import Standardiser
from .normal_equations import NormalEquations
from .polynomial import features_to
from .steps import find_steps
from .weighted import fit_weighted, varies

# Ratio of the 95 % to the 5 % quantile below which a logarithm is as good as straight.
_LEAST_RATIO = 3.0
# What is compared: so many rows and outputs at most, spread evenly, by polynomials of low degree.
_MOST_ROWS, _MOST_OUTPUTS, _MOST_DEGREE = 1000, 8, 4
# Nats that a logarithm has to gain over all rows and outputs.
_LEAST_GAIN = 10.0


class Coordinates(NamedTuple):
    """How parameters are standardised, and whether most of the outputs are better fitted by a log link."""

    standardise: Standardiser
    multiplicative: bool


def best_coordinates(
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    levels: Mapping[int, Sequence[int]] | None = None,
) -> Coordinates:
    """Standardises parameters, those as logarithms whose logarithms predict the labels better.

    Polynomials of both are compared by the normal likelihood that they give to the labels, each coefficient at one nat
    (Akaike 1974); one parameter after the other. Where the labels jump along a parameter they have a step there.

    Args:
        theta: parameters, with known conditions behind them.
        labels: what is to be predicted.
        levels: values of the coordinates that are integers, by their numbers; every value counts by itself.
    """
    rows = evenly_spaced(len(theta), _MOST_ROWS)
    outputs = evenly_spaced(labels.shape[1], _MOST_OUTPUTS)
    some = np.asarray(labels[np.ix_(rows, outputs)], np.float64)
    best = Standardiser.fit(theta, levels=levels, steps=find_steps(theta, labels, levels))
    least = _nats(best, theta[rows], some)
    low, high = np.quantile(theta, [0.05, 0.95], axis=0)
    # A line through an integer has its indicators beside it, whatever the line is through.
    real = ~np.isin(np.arange(theta.shape[1]), list(levels or {}))
    positive = real & (theta.min(axis=0) > 0) & (high > _LEAST_RATIO * low) & (np.asarray(best.logarithmic) == 0)
    candidates = np.flatnonzero(positive).tolist()
    while candidates:
        tried = {j: _with_logarithm(best, theta, j) for j in candidates}
        nats = {j: _nats(standardise, theta[rows], some) for j, standardise in tried.items()}
        first = min(nats, key=lambda j: float(nats[j].least.mean()))
        if nats[first].least.mean() > least.least.mean() - _LEAST_GAIN / some.size:
            break
        best, least = tried[first], nats[first]
        candidates.remove(first)
    return Coordinates(best, bool(np.mean(least.by_log_link > _LEAST_GAIN / len(rows)) > 0.5))


def _with_logarithm(standardise: Standardiser, theta: Float[np.ndarray, "n dim"], j: int) -> Standardiser:
    logs = np.log(theta[:, j].astype(np.float64))
    return replace(
        standardise,
        mean=_changed(standardise.mean, j, logs.mean()),
        std=_changed(standardise.std, j, logs.std()),
        logarithmic=_changed(standardise.logarithmic, j, 1.0),
    )


def _changed(values: Float[Array, " dim"], j: int, value: float) -> Float[Array, " dim"]:
    changed = np.array(values)
    changed[j] = value
    return on_device(changed)


class _Nats(NamedTuple):
    """Minus the log likelihood of a row by output, with what the coefficients cost, and what a log link gains of it."""

    least: Float[np.ndarray, " k"]
    by_log_link: Float[np.ndarray, " k"]


def _nats(standardise: Standardiser, theta: Float[np.ndarray, "n dim"], labels: Float[np.ndarray, "n k"]) -> _Nats:
    z = standardise.of_rows(theta)
    _, sizes, features = features_to(z, _MOST_DEGREE, standardise.groups)
    straight, linked = np.transpose([_nats_of_output(features, sizes, values) for values in labels.T])
    return _Nats(np.minimum(straight, linked), np.where(np.isfinite(linked), straight - linked, -np.inf))


def _nats_of_output(
    features: Float[np.ndarray, "n size"], sizes: Mapping[int, int], labels: Float[np.ndarray, " n"]
) -> tuple[float, float]:
    """Without a log link and with one (infinity where there is none to be had)."""
    n, spread = len(labels), labels.std()
    if not spread > 0:
        return 0.0, np.inf
    # In units of the spread, so that a precise output counts for no more than its coefficients allow.
    labels = labels / spread
    least, errors = _by_polynomial(features, sizes, labels)
    weighted, never_negative = [least, np.inf], labels.min() >= 0
    if never_negative or varies(features, sizes, errors[:, None])[0]:
        for log_link in (False, True) if never_negative else (False,):
            fit = fit_weighted(features, sizes, labels, log_link=log_link)
            nats = float(fit.score(features, labels).mean()) + (len(fit.slopes) + 1) / n
            weighted[log_link] = min(weighted[log_link], nats)
    if labels.min() > 0:
        # By the log-normal density: noise that multiplies, and by much, is far from normal around any mean.
        logs = np.log(labels)
        weighted[1] = min(weighted[1], _by_polynomial(features, sizes, logs)[0] + float(logs.mean()))
    return weighted[0], weighted[1]


def _by_polynomial(
    features: Float[np.ndarray, "n size"], sizes: Mapping[int, int], labels: Float[np.ndarray, " n"]
) -> tuple[float, Float[np.ndarray, " n"]]:
    """Minus the log of the normal density around the best polynomial, and what that leaves of every row."""
    equations, n = NormalEquations.of(features, labels[:, None]), len(labels)
    least, errors = np.inf, labels
    for size in sizes.values():
        intercept, slopes, _ = equations.solved(size)
        left = labels - intercept[0] - features[:, :size] @ slopes[0]
        nats = 0.5 + 0.5 * float(np.log(np.mean(left**2) + 1e-12)) + (size + 1) / n
        if nats < least:
            least, errors = nats, left
    return least, errors
