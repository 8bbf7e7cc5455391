"""Spreads that depend on the mean as well as on the parameters, and the one call for both kinds of spread."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float

from ..learning.mean_model import MeanModel


class SpreadAroundMean(eqx.Module):
    """The spread of outputs around their mean, at one parameter and the mean there."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Of how many parts it is the sum: one for every feature, or one in all."""

    @abstractmethod
    def __call__(self, theta: Float[Array, " dim"], mean: Float[Array, " k"]) -> Float[Array, " parts"]:
        """The spread by one member."""

    @abstractmethod
    def mean_of_members(self, theta: Float[Array, " dim"], mean: Float[Array, " k"]) -> Float[Array, " parts"]:
        """The mean spread of stacked members, at their mean."""


Spread = MeanModel | SpreadAroundMean


def spread_at(spread: Spread, theta: Float[Array, " dim"], mean: Float[Array, " k"]) -> Float[Array, " parts"]:
    """The spread by one member."""
    return spread(theta, mean) if isinstance(spread, SpreadAroundMean) else spread(theta)


def spread_of_members(spread: Spread, theta: Float[Array, " dim"], mean: Float[Array, " k"]) -> Float[Array, " parts"]:
    """The mean spread of stacked members, at their mean."""
    if isinstance(spread, SpreadAroundMean):
        return spread.mean_of_members(theta, mean)
    return spread.mean_of_members(theta)
