"""The spread of features around a Gaussian process: even, or proportional to the mean, or to its square.

Most simulators have one of these kinds of noise. That leaves one level for each feature where a free regression of
squared deviations has a whole function to learn, from labels that scatter more than anything else.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..learning.folds import Folds
from ..learning.layers import first_of
from ..learning.polynomial import features_to
from ..learning.process_means import ProcessMean
from ..learning.ridge import RidgeResidual, log_linear_ensemble
from ..learning.shared_noise import SharedNoise
from ..learning.variances import LogLinear, fit_variance
from .noise_powers import noise_powers
from .spread_around_mean import SpreadAroundMean

# The noise of a row counts up to this many times its variance, where a factor is looked for.
_MOST_RATIO = 9.0
# The noise may depend on the parameters by itself, as where one of them is its standard deviation: by no more than a
# quadratic function, and only where squares prefer it by this many standard errors. What the process misses, in one
# part of the prior more than in others, looks like it.
_MOST_DEGREE = 2
_BEYOND_DOUBT = 5.0


class NoiseOnScales(SpreadAroundMean):
    """v_j(theta) = level_j (g_j(theta) + added_j)^power_j factor(theta), with g_j the mean of feature j.

    Attributes:
        level: of every feature.
        added: to a mean before it is squared, of counts: their noise does not vanish where the mean does.
        power: 0 where noise is even, 1 where its variance is proportional to the mean, 2 to the mean's square.
        factor: what else the noise depends on, the same for all features; 1 in doubt.
    """

    level: Float[Array, "*members k"]
    added: Float[Array, "*members k"]
    power: Float[Array, "*members k"]
    factor: RidgeResidual

    @property
    def outputs(self) -> int:
        """Number of features."""
        return self.level.shape[-1]

    def __call__(self, theta: Float[Array, " dim"], mean: Float[Array, " k"]) -> Float[Array, " k"]:
        """The variance of every feature at one parameter and its mean, by one member."""
        return self._of_level(self.level, mean, self.factor(theta)[0])

    def mean_of_members(self, theta: Float[Array, " dim"], mean: Float[Array, " k"]) -> Float[Array, " k"]:
        """The same by the mean of stacked members."""
        return self._of_level(jnp.mean(self.level, axis=0), mean, self.factor.mean_of_members(theta)[0])

    def _of_level(
        self, level: Float[Array, " k"], mean: Float[Array, " k"], factor: Float[Array, ""]
    ) -> Float[Array, " k"]:
        added, power = (jax.lax.stop_gradient(part.reshape(-1, self.outputs)[0]) for part in (self.added, self.power))
        value = jnp.maximum(mean + added, 0.0)
        return factor * level * jnp.where(power == 0, 1.0, jnp.where(power == 1, value, value**2))


def fit_noise_on_scales(
    mean: ProcessMean,
    theta: Float[np.ndarray, "n dim"],
    features: Float[np.ndarray, "n k"],
    left_out: Float[np.ndarray, "n k"],
    squares: Float[np.ndarray, "n k"],
    folds: Folds,
    noise: SharedNoise,
) -> NoiseOnScales:
    """Fits the power and the level of every feature and, where one is surely seen, the factor.

    Args:
        mean: regression of the features, without directions.
        theta: parameters.
        features: of every row.
        left_out: predictions of features that have not seen their row.
        squares: squared deviations, with the noise's variance as their own mean.
        folds: units of rows of each member.
        noise: which rows share random numbers.
    """
    powers = noise_powers(features, left_out, squares, noise)
    standardise = first_of(mean.standardise)
    basis, sizes, terms = features_to(standardise.of_rows(theta), _MOST_DEGREE, standardise.groups)
    ratios = _ratios(powers.levels(np.arange(len(theta))) * powers.shapes, squares)
    with_factor = _is_sure(fit_variance(terms, sizes, ratios)(terms), ratios, noise)
    levels, factors = [], []
    for rows in noise.rows(folds.train):
        level = powers.levels(rows)
        levels.append(level)
        of_rows = _ratios(level * powers.shapes[rows], squares[rows])
        factors.append(fit_variance(terms[rows], sizes, of_rows) if with_factor else LogLinear(0.0, np.zeros(0)))
    members = len(levels)
    slopes = np.stack([np.pad(one.slopes, (0, terms.shape[1] - len(one.slopes))) for one in factors])
    intercept = np.array([[one.intercept] for one in factors])
    log_most = _f32([np.max(intercept + slopes @ terms.T)])
    factor = log_linear_ensemble(standardise, basis, intercept, slopes[:, None], log_most)
    return NoiseOnScales(_f32(levels), _f32([powers.added] * members), _f32([powers.power] * members), factor)


def _ratios(variance: Float[np.ndarray, "n k"], squares: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Squares of all features together in units of what is expected, without those far out."""
    return np.minimum(squares, _MOST_RATIO * variance).sum(axis=1) / np.maximum(variance.sum(axis=1), 1e-300)


def _is_sure(factor: Float[np.ndarray, " n"], ratios: Float[np.ndarray, " n"], noise: SharedNoise) -> bool:
    """Whether ratios vary less on the scale of logarithms once they are divided by the factor."""
    least = 1e-12 * float(ratios.mean()) + 1e-300
    before, after = (np.log(part) for part in (ratios + least, ratios / factor + least))
    gain = (before - before.mean()) ** 2 - (after - after.mean()) ** 2
    of_units = gain[noise.rows(np.arange(len(noise.shared)))].reshape(-1, noise.size).mean(axis=1)
    return bool(of_units.mean() > _BEYOND_DOUBT * of_units.std() / np.sqrt(len(of_units)))


def _f32(values: object) -> Array:
    return jnp.asarray(np.asarray(values), jnp.float32)
