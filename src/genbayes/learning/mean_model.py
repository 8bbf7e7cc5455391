"""What regresses means: a module for ONE parameter, and an ensemble of them stacked along a leading axis."""

from abc import abstractmethod
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .layers import Standardiser

M = TypeVar("M", bound="MeanModel")


class MeanModel(eqx.Module):
    """E[outputs | theta].

    Attributes:
        standardise: maps parameters to what the model reads.
    """

    standardise: Standardiser

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Number of outputs."""

    @property
    @abstractmethod
    def network_share(self) -> float:
        """Share of the outputs that a network predicts."""

    @property
    @abstractmethod
    def is_multiplicative(self) -> bool:
        """Whether some output is regressed on another scale than its own."""

    @abstractmethod
    def __call__(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The prediction at one parameter, by one member."""

    @abstractmethod
    def mean_of_members(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The mean prediction at one parameter, of stacked members."""

    def merged(self: M) -> M:
        """One member with the mean of every array of stacked ones."""
        return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), self)
