"""Gaussian-process regression of several outputs with one kernel, its hyperparameters by marginal likelihood.

The kernel is a linear one plus a squared exponential with a length for every input; every output has a signal and a
noise variance of its own. With one kernel for all, one eigendecomposition serves all outputs (Rasmussen and Williams
2006, chapter 5; Stegle et al. 2011), and a sampler computes the kernel once for all of them.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize
from jaxtyping import Float, Int

from ..runtime.counts import evenly_spaced
from .shared_noise import SharedNoise

# The prior of a length: log-normal around this many standard deviations of the input, with this log sd. It keeps the
# length of an input that the outputs do not depend on from running away.
_LENGTH, _LOG_SD = 2.0, 1.0
# What is added to the diagonal of a kernel matrix so that it has a Cholesky factor.
_JITTER = 1e-9
# Least share of a row that its own prediction leaves over.
_LEAST_LEFT = 1e-6
# Least noise variance in units of the signal's: predictions are made in single precision.
_LEAST_NOISE = 1e-5
_STEPS = 80


class KernelFit(NamedTuple):
    """The hyperparameters of a kernel.

    Attributes:
        lengths: of every input.
        linear: variance of the linear part, in units of that of the squared exponential.
        noise: variance of every output's noise, in the same units.
    """

    lengths: Float[np.ndarray, " width"]
    linear: float
    noise: Float[np.ndarray, " k"]


class Solution(NamedTuple):
    """A posterior mean: intercept + slopes z + sum_i weights_i exp(-|(z - centres_i) / lengths|^2 / 2) of every output.

    `errors` are those of rows that are left out one at a time.
    """

    centres: Float[np.ndarray, "m width"]
    weights: Float[np.ndarray, "m k"]
    intercept: Float[np.ndarray, " k"]
    slopes: Float[np.ndarray, "k width"]
    errors: Float[np.ndarray, "n k"]


def bumps(z: Float[np.ndarray, "n width"], other: Float[np.ndarray, "m width"]) -> Float[np.ndarray, "n m"]:
    """exp(-|z - other|^2 / 2) of all pairs, of inputs in units of their lengths."""
    squares = np.sum(z**2, axis=1)[:, None] + np.sum(other**2, axis=1) - 2 * z @ other.T
    return np.exp(-0.5 * np.maximum(squares, 0.0))


def fit_kernel(
    z: Float[np.ndarray, "n width"],
    outputs: Float[np.ndarray, "n k"],
    noise_share: Float[np.ndarray, " k"],
    whiten: Float[np.ndarray, "n n"] | None = None,
) -> KernelFit:
    """Maximises the marginal likelihood of centred outputs, with a weak prior on the lengths.

    Args:
        z: standardised inputs.
        outputs: of about unit variance.
        noise_share: a guess of the share of noise in each output's variance. Started from little noise everywhere, the
            search may end at lengths so short that outputs without a signal are followed from row to row.
        whiten: what makes the noise of rows that share random numbers independent; None where none do.
    """
    n, width = z.shape
    k = outputs.shape[1]
    squares = (z[:, None] - z[None]) ** 2
    products = 1 + z @ z.T
    outputs = outputs if whiten is None else whiten @ outputs

    def negative(p: Float[np.ndarray, " p"]) -> tuple[float, Float[np.ndarray, " p"]]:
        lengths, linear = np.exp(p[:width]), np.exp(p[width])
        log_signal, noise = p[width + 1 : width + 1 + k], np.exp(p[width + 1 + k :])
        smooth = np.exp(-0.5 * squares @ lengths**-2)
        covariance = smooth + linear * products
        values, vectors = np.linalg.eigh(covariance if whiten is None else whiten @ covariance @ whiten.T)
        variance = np.maximum(values, 0.0)[:, None] + noise
        projected = (vectors.T @ outputs) / np.exp(0.5 * log_signal)
        ratio = projected**2 / variance
        total = 0.5 * (np.sum(ratio) + np.sum(np.log(variance)) + n * np.sum(log_signal))
        # Derivative by the covariance matrix, summed over outputs.
        weights = vectors @ (projected / variance)
        by_matrix = 0.5 * ((vectors * np.sum(1 / variance, axis=1)) @ vectors.T - weights @ weights.T)
        if whiten is not None:
            by_matrix = whiten.T @ by_matrix @ whiten
        by_length = np.einsum("ij,ijd->d", by_matrix * smooth, squares) / lengths**2
        away = (p[:width] - np.log(_LENGTH)) / _LOG_SD
        gradient = [
            by_length + away / _LOG_SD,
            [linear * np.sum(by_matrix * products)],
            0.5 * (n - np.sum(ratio, axis=0)),
            0.5 * noise * np.sum((1 - ratio) / variance, axis=0),
        ]
        return total + 0.5 * float(away @ away), np.concatenate(gradient)

    ratio = noise_share / (1 - noise_share)
    start = np.concatenate([np.full(width, np.log(_LENGTH)), [0.0], np.zeros(k), np.log(ratio)])
    least = float(np.log(_LEAST_NOISE))
    bounds = [(-3.0, 5.0)] * width + [(-7.0, 7.0)] + [(-12.0, 12.0)] * k + [(least, 8.0)] * k
    options = {"maxiter": _STEPS}
    found = scipy.optimize.minimize(negative, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return KernelFit(np.exp(found[:width]), float(np.exp(found[width])), np.exp(found[width + 1 + k :]))


def solve(
    fit: KernelFit,
    z: Float[np.ndarray, "n width"],
    outputs: Float[np.ndarray, "n k"],
    noise: SharedNoise,
    units: Int[np.ndarray, " units"],
    most_centres: int,
) -> Solution:
    """The posterior mean of every output at hyperparameters, given the rows of some units.

    Ridge regression on features whose products are the kernel: exactly the process where every row is a centre, its
    projection on the centres otherwise (subset of regressors: Quinonero-Candela and Rasmussen 2005). Errors of rows
    left out are what is left of them over 1 - leverage. The centres are the same for any units.

    Args:
        fit: the hyperparameters.
        z: standardised inputs of all rows.
        outputs: of all rows.
        noise: which rows share random numbers.
        units: whose rows are seen.
        most_centres: so many of all rows, evenly spread, are centres at most.
    """
    rows = noise.rows(units)
    seen = z[rows]
    centres = z[evenly_spaced(len(z), most_centres)] / fit.lengths
    # A projection is an approximation anyway: with as much as the least noise its weights are up to ten times smaller,
    # and so is what rounding to single precision changes of their sum, in which most of them cancel.
    jitter = _JITTER if len(centres) == len(z) else _LEAST_NOISE
    corner = np.linalg.cholesky(bumps(centres, centres) + jitter * np.eye(len(centres)))
    smooth = scipy.linalg.solve_triangular(corner, bumps(centres, seen / fit.lengths), lower=True).T
    features = np.concatenate([smooth, np.sqrt(fit.linear) * np.insert(seen, 0, 1.0, axis=1)], axis=1)
    features, wanted = (noise.whitened(part, units) for part in (features, outputs[rows]))
    values, vectors = np.linalg.eigh(features.T @ features)
    inverse = 1 / (np.maximum(values, 0.0)[:, None] + fit.noise)
    coefficients = vectors @ (inverse * (vectors.T @ (features.T @ wanted)))
    leverage = (features @ vectors) ** 2 @ inverse
    errors = (wanted - features @ coefficients) / np.maximum(1 - leverage, _LEAST_LEFT)
    weights = scipy.linalg.solve_triangular(corner.T, coefficients[: len(centres)], lower=False)
    linear = np.sqrt(fit.linear) * coefficients[len(centres) :]
    return Solution(centres, weights, linear[0], linear[1:].T, noise.unwhitened(errors, units))
