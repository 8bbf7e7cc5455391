"""The density of a prior as a function of its numbers, which compiled programs take as data or hold as constants."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, Num

from .integer_density import IntegerDensity
from .real_density import RealDensity

AnyDensity = RealDensity | IntegerDensity


class PriorDensity(eqx.Module):
    """Densities, draws and unconstrained coordinates of a prior's parameters, side by side.

    A pytree of the numbers of all distributions: where they are data, other bounds and other means compile nothing. Its
    methods are those of `Prior`, which names the parameters and checks what it is given.
    """

    parameters: tuple[AnyDensity, ...]

    @property
    def unconstrained_dim(self) -> int:
        """Number of unconstrained coordinates."""
        return sum(parameter.unconstrained_dim for parameter in self.parameters)

    def sample_one(self, key: Key[Array, ""]) -> Float[Array, " dim"]:
        """One draw (dim,)."""
        keys = jax.random.split(key, len(self.parameters))
        return jnp.concatenate([parameter.sample(keys[i]) for i, parameter in enumerate(self.parameters)])

    def draw_unconstrained(self, key: Key[Array, ""]) -> Float[Array, " unconstrained_dim"]:
        """The unconstrained coordinates of `sample_one(key)`, of an integer a random place on its step."""
        theta, place_key = self.sample_one(key), jax.random.fold_in(key, len(self.parameters))
        parts = [
            parameter.draw_unconstrained(value, jax.random.fold_in(place_key, i))
            for i, (parameter, value) in enumerate(zip(self.parameters, self._split(theta), strict=True))
        ]
        return jnp.concatenate(parts)

    def log_density(self, theta: Num[Array, "... dim"]) -> Float[Array, "..."]:
        """Log density, -inf outside the support."""
        return functools.reduce(jnp.add, self._each("log_density", "(d)->()", self._split(theta)))

    def contains(self, theta: Num[Array, "... dim"]) -> Bool[Array, "..."]:
        """Whether each parameter vector lies in the support."""
        return functools.reduce(jnp.logical_and, self._each("contains", "(d)->()", self._split(theta)))

    def to_unconstrained(self, theta: Num[Array, "... dim"]) -> Float[Array, "... unconstrained_dim"]:
        """Map parameters inside the support to real vectors."""
        return jnp.concatenate(self._each("to_unconstrained", "(d)->(u)", self._split(theta)), axis=-1)

    def from_unconstrained(self, u: Num[Array, "... unconstrained_dim"]) -> Float[Array, "... dim"]:
        """Map real vectors to parameters."""
        return jnp.concatenate(self._each("from_unconstrained", "(u)->(d)", self._split_unconstrained(u)), axis=-1)

    def log_density_unconstrained(self, u: Num[Array, "... unconstrained_dim"]) -> Float[Array, "..."]:
        """Log density of unconstrained coordinates, with the Jacobian."""
        parts = self._each("log_density_unconstrained", "(u)->()", self._split_unconstrained(u))
        return functools.reduce(jnp.add, parts)

    def _split(self, theta: Array) -> list[Array]:
        return _split(theta, [parameter.dim for parameter in self.parameters])

    def _split_unconstrained(self, u: Array) -> list[Array]:
        return _split(u, [parameter.unconstrained_dim for parameter in self.parameters])

    def _each(self, method: str, signature: str, parts: list[Array]) -> list[Any]:
        """One method of all parameters; batched here, because numpyro's formulas rely on implicit broadcasting."""
        pairs = zip(self.parameters, parts, strict=True)
        return [jnp.vectorize(getattr(parameter, method), signature=signature)(part) for parameter, part in pairs]


def _split(values: Array, sizes: list[int]) -> list[Array]:
    return jnp.split(values, np.cumsum(sizes)[:-1].tolist(), axis=-1)
