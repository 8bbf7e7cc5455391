"""The spread of a dear simulator's outputs: that of a cheap one, and what pairs of runs show to be added."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..learning.mean_model import MeanModel
from .spread_around_mean import Spread, SpreadAroundMean, spread_at, spread_of_members


class CorrectedSpread(SpreadAroundMean):
    """v(theta) = base(theta) + correction(theta), where `base` may follow the mean.

    Attributes:
        base: the spread of the cheap simulator.
        correction: the mean of the differences of squared deviations of paired runs; of all features together.
    """

    base: Spread
    correction: MeanModel

    @property
    def outputs(self) -> int:
        """The correction is known of the sum alone."""
        return 1

    def __call__(self, theta: Float[Array, " dim"], mean: Float[Array, " k"]) -> Float[Array, " 1"]:
        """The spread by one member."""
        return jnp.sum(spread_at(self.base, theta, mean))[None] + self.correction(theta)

    def mean_of_members(self, theta: Float[Array, " dim"], mean: Float[Array, " k"]) -> Float[Array, " 1"]:
        """The mean spread of stacked members."""
        return jnp.sum(spread_of_members(self.base, theta, mean))[None] + self.correction.mean_of_members(theta)
