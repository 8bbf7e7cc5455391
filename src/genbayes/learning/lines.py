"""The straight lines that networks start from, one for every output of every member."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..runtime.counts import evenly_spaced
from .polynomial_means import Polynomials, RegressionData, coefficients
from .ridge import equations_of_rows
from .shared_noise import SharedNoise
from .weighted import fit_weighted, refitted
from .weighted_outputs import MOST_ROWS


class Lines(NamedTuple):
    """Linear fits of every member, with the residual standard deviations that are the networks' units."""

    intercept: Float[np.ndarray, "members k"]
    slopes: Float[np.ndarray, "members k dim"]
    scale: Float[np.ndarray, "members k"]
    log_link: Float[np.ndarray, "members k"] | None


def lines_fitted(data: RegressionData, polynomials: Polynomials, noise: SharedNoise) -> Lines:
    """The linear fits that networks start from."""
    dim = data.z.shape[1]
    equations = equations_of_rows(data.z, data.labels, data.folds, noise).members
    intercept, slopes = (np.stack(parts) for parts in zip(*(one.solved(dim)[:2] for one in equations), strict=True))
    scale = np.stack([one.residual(own) for one, own in zip(equations, slopes, strict=True)])
    if polynomials.equations is not None:
        solved = [of_member.solved(dim)[:2] for of_member in polynomials.equations]
        intercept, slopes = (np.stack(parts) for parts in zip(*solved, strict=True))
    if not polynomials.weighted:
        return Lines(intercept, slopes, scale, None)
    features, log_link = polynomials.features, np.zeros_like(intercept)
    train_rows, some = noise.rows(data.folds.train), evenly_spaced(len(features), MOST_ROWS)
    for j, fit in polynomials.weighted.fits.items():
        labels = data.labels[:, j] + data.centre[j]
        line = fit_weighted(features[some, :dim], {1: dim}, labels[some], log_link=fit.log_link)
        members = refitted(line._replace(variance=fit.variance), features, labels, train_rows)
        for member, (own, rows) in enumerate(zip(members, train_rows, strict=True)):
            intercept[member, j], slopes[member, j] = coefficients(own, data.centre[j], dim)
            mean = own.mean(data.z[rows])
            # With a log link the network's unit is a relative one.
            away = labels[rows] / mean - 1 if fit.log_link else labels[rows] - mean
            error = np.median(np.abs(away))
            scale[member, j] = np.clip(error, 0.05, 2.0) if fit.log_link else error
            log_link[member, j] = fit.log_link
    return Lines(intercept, slopes, np.maximum(scale, 1e-30), log_link)
