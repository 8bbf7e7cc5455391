"""The spread of features around their means, feature by feature: a sum of exponentials of polynomials."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..learning.folds import Folds
from ..learning.layers import first_of
from ..learning.mean_model import MeanModel
from ..learning.polynomial import features_to
from ..learning.ridge import log_linear_ensemble
from ..learning.shared_noise import SharedNoise
from ..learning.variances import VarianceRegression
from ..learning.weighted_outputs import MOST_ROWS
from ..runtime.compiling import compiled, on_device

# Variances are smooth; of higher degrees their logarithm would follow single rows.
_MOST_DEGREE = 4
# Share of the mean spread below which all spreads are alike. Where outputs are clipped, their spread is 0 in a part of
# the prior: to follow it down by thirty decades is not worth an error of one decade elsewhere.
_SMALL_SHARE = 0.01


def better_spread(
    spread: MeanModel,
    theta: Float[np.ndarray, "n dim"],
    squares: Float[np.ndarray, "n k"],
    total: Float[np.ndarray, " n"],
    folds: Folds,
    noise: SharedNoise,
) -> MeanModel:
    """A spread that is a sum over features, or the given one where held-out rows surely prefer it (gamma deviance).

    The total is ruled by its largest part, which may be the spread of a feature that says nothing where a small
    observation has its posterior.

    Args:
        spread: of the total, one output.
        theta: parameters, (n, dim).
        squares: squared deviations of features from their means.
        total: labels that `spread` was fitted to.
        folds: units of rows of each member.
        noise: which rows share random numbers.
    """
    standardise = first_of(spread.standardise)
    z = standardise.of_rows(theta)
    basis, sizes, features = features_to(z, _MOST_DEGREE, standardise.groups)
    members, k = len(folds.train), squares.shape[1]
    intercept, slopes = np.zeros((members, k)), np.zeros((members, k, features.shape[1]))
    for member, all_rows in enumerate(noise.rows(folds.train)):
        rows = all_rows[:: -(-len(all_rows) // MOST_ROWS)]
        for j, fit in enumerate(VarianceRegression.of(features[rows], sizes).fit(squares[rows])):
            intercept[member, j], slopes[member, j, : len(fit.slopes)] = fit.intercept, fit.slopes
    log_most = on_device(np.log(np.maximum(squares.max(axis=0), 1e-30)), np.float32)
    each = log_linear_ensemble(standardise, basis, intercept, slopes, log_most)
    rows = np.unique(noise.rows(folds.validation).reshape(-1))
    floor = max(float(total.min()), _SMALL_SHARE * float(total.mean()), 1e-300)
    deviances = []
    for candidate in (spread, each):
        predicted = np.maximum(np.asarray(_total(candidate, on_device(theta[rows])), np.float64), floor)
        deviances.append(np.log(predicted) + total[rows] / predicted)
    gain = deviances[0] - deviances[1]
    # In doubt the sum: what is small and decides at small observations is hardly seen in the total's deviance.
    return each if np.mean(gain) > -2 * np.std(gain) / np.sqrt(len(gain)) else spread


@compiled
def _total(ensemble: MeanModel, theta: Float[Array, "n dim"]) -> Float[Array, " n"]:
    return jax.vmap(lambda parameter: jnp.sum(ensemble.mean_of_members(parameter)))(theta)
