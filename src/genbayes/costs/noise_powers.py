"""Which power of a feature's mean its noise follows, and squared deviations without those that are no noise."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..learning.shared_noise import SharedNoise
from ..learning.warps import LOGARITHM, ROOT, STRAIGHT, Warps, can_be_warped, unwarped, warped

# Noise whose variance goes with this power of the mean is even on a scale of this kind.
_KIND_OF_POWER = np.array([STRAIGHT, ROOT, LOGARITHM])
# The median of a squared standard normal.
_MEDIAN_SQUARE = 0.4549
# A deviation counts up to so many standard deviations on the scale on which noise is even. Where the process misses a
# corner of the prior, what it misses is no noise, and would rule the level of all other places. Of a normal's variance
# the limit takes half a hundredth; of the variance of a log-normal with a log sd of 0.8 it takes 7 hundredths, where
# the same limit on the feature's own scale would take 38.
_MOST_DEVIATIONS, _LEFT = 3.0, 0.995
# Least mean, in units of the average one, that a power is taken of.
_LEAST_MEAN = 1e-2
# Degrees of freedom of the density by which powers are compared: what a process misses by far hardly counts.
_FREEDOM, _ROUNDS, _LEAST_LEVEL = 4.0, 30, 1e-12
# Standard errors by which a feature has to prefer another power than all features together.
_OWN_POWER = 2.0


class NoisePowers(NamedTuple):
    """How the noise of features follows their means.

    Attributes:
        power: of every feature: 0 where noise is even, 1 or 2 where its variance is proportional to mean^power.
        added: to the mean, before the power is taken.
        shapes: the variance of every row, but for the feature's level.
        squares: squared deviations, those far out limited.
    """

    power: Int[np.ndarray, " k"]
    added: Float[np.ndarray, " k"]
    shapes: Float[np.ndarray, "n k"]
    squares: Float[np.ndarray, "n k"]

    def levels(self, rows: Int[np.ndarray, " m"]) -> Float[np.ndarray, " k"]:
        """The mean of some rows' squares in units of the variance's shape."""
        return np.mean(self.squares[rows] / self.shapes[rows], axis=0) / _LEFT


def noise_powers(
    features: Float[np.ndarray, "n k"],
    left_out: Float[np.ndarray, "n k"],
    squares: Float[np.ndarray, "n k"],
    noise: SharedNoise,
) -> NoisePowers:
    """The power that all features together prefer; another one where a feature surely does.

    It need not be that of the scale on which a feature is regressed: of few rows much of the function is missed, and
    the best scale for the function decides there. What is missed rules a single feature's choice of a power, too, while
    the features of one simulator mostly have noise of one kind.

    Args:
        features: of every row.
        left_out: predictions that have not seen their row.
        squares: squared deviations, with the noise's variance as their own mean.
        noise: which rows share random numbers.
    """
    k = features.shape[1]
    positive = can_be_warped(features)
    # The variance of counts is their mean; that of counts of more scatter about (mean + 1 / 2)^2.
    logarithms = Warps.of(np.where(positive, LOGARITHM, STRAIGHT), features)
    added = np.stack([np.zeros(k), np.zeros(k), logarithms.added])
    size = np.abs(left_out).mean(axis=0)
    least = _LEAST_MEAN * np.where(size > 0, size, 1.0)
    means = np.stack([left_out, *np.maximum(left_out + added[1:, None], least)])
    shapes = np.stack([mean**power for power, mean in enumerate(means)])
    scores = np.stack([_scores(shape, squares) for shape in shapes])
    of_units = scores[:, noise.rows(np.arange(len(noise.shared)))].reshape(len(scores), -1, noise.size, k).mean(axis=2)
    # Features that can be negative have even noise, for all that is known.
    together = int(np.argmax(of_units[:, :, positive].sum(axis=(1, 2))))
    own = np.argmax(of_units.sum(axis=1), axis=0)
    gain = np.take_along_axis(of_units, own[None, None], axis=0)[0] - of_units[together]
    is_sure = gain.mean(axis=0) > _OWN_POWER * gain.std(axis=0) / np.sqrt(len(gain))
    power = np.where(positive, np.where(is_sure, own, together), 0)
    values = np.where(power == 0, features, np.maximum(features + np.choose(power, added), least))
    counted = squares * _shares_counted(values, np.choose(power, means), _KIND_OF_POWER[power])
    return NoisePowers(power, np.choose(power, added), np.choose(power, shapes), counted)


def _scores(shapes: Float[np.ndarray, "n k"], squares: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Log density of deviations with a variance of these shapes, by t distributions with the best levels."""
    ratios = squares / shapes
    # Where most rows have no noise at all the best level is 0.
    least = _LEAST_LEVEL * ratios.mean(axis=0) + 1e-300
    level = _typical(ratios)
    for _ in range(_ROUNDS):
        level = np.maximum(np.mean((_FREEDOM + 1) / (_FREEDOM + ratios / level) * ratios, axis=0), least)
    return -0.5 * (np.log(level) + np.log(shapes)) - 0.5 * (_FREEDOM + 1) * np.log1p(ratios / (_FREEDOM * level))


def _shares_counted(
    values: Float[np.ndarray, "n k"], means: Float[np.ndarray, "n k"], kind: Int[np.ndarray, " k"]
) -> Float[np.ndarray, "n k"]:
    """Of squared deviations, what is left once deviations are limited on scales of these kinds."""
    expected = warped(kind, means)
    deviations = warped(kind, values) - expected
    # The mean of logarithms is another one than the logarithm of the mean.
    middle = np.median(deviations, axis=0)
    limit = _MOST_DEVIATIONS * np.sqrt(_typical((deviations - middle) ** 2))
    limited = unwarped(kind, expected + np.clip(deviations, middle - limit, middle + limit))
    whole = np.where(values == means, 1.0, values - means)
    return np.minimum(((limited - means) / whole) ** 2, 1.0)


def _typical(squares: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """The variance of normal deviations with the median of these squares."""
    typical = np.median(squares, axis=0) / _MEDIAN_SQUARE
    # Where most rows have no noise at all there is no typical one.
    return np.where(typical > 0, typical, squares.mean(axis=0)) + 1e-300
