"""The density of a prior as a function of its numbers, which compiled programs take as data or hold as constants."""

import functools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, Num

from ..runtime.compiling import on_device
from .integer_density import IntegerDensity
from .real_density import RealDensity

AnyDensity = RealDensity | IntegerDensity
# Methods of densities by what they take and give.
_OF_UNCONSTRAINED = ("from_unconstrained", "log_density_unconstrained")
_TO_VECTORS = ("to_unconstrained", "from_unconstrained")


class PriorDensity(eqx.Module):
    """Densities, draws and unconstrained coordinates of a prior's parameters, side by side.

    A pytree of the numbers of all distributions: where they are data, other bounds and other means compile nothing. Its
    methods are those of `Prior`, which names the parameters and checks what it is given.

    Attributes:
        families: densities; those of parameters of one family as one, with the parameters along the leading axis of its
            arrays. A program of a hundred uniform parameters took ten times as long to compile with each by itself.
        members: numbers of the parameters of each family.
        dims: number of coordinates of each parameter.
        unconstrained_dims: the same of unconstrained ones.
    """

    families: tuple[AnyDensity, ...]
    members: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    dims: tuple[int, ...] = eqx.field(static=True)
    unconstrained_dims: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, parameters: Sequence[AnyDensity]) -> "PriorDensity":
        """The density of parameters in their order."""
        alike: dict[Any, list[int]] = {}
        for i, parameter in enumerate(parameters):
            leaves, structure = jax.tree.flatten(parameter)
            alike.setdefault((structure, *((leaf.shape, leaf.dtype) for leaf in leaves)), []).append(i)
        members = tuple(map(tuple, alike.values()))
        return cls(
            tuple(_together([parameters[i] for i in of_family]) for of_family in members),
            members,
            tuple(parameter.dim for parameter in parameters),
            tuple(parameter.unconstrained_dim for parameter in parameters),
        )

    @property
    def unconstrained_dim(self) -> int:
        """Number of unconstrained coordinates."""
        return sum(self.unconstrained_dims)

    def sample_one(self, key: Key[Array, ""]) -> Float[Array, " dim"]:
        """One draw (dim,)."""
        return self._joined(self._of_keys("sample", jax.random.split(key, len(self.dims))), self.dims)

    def draw_unconstrained(self, key: Key[Array, ""]) -> Float[Array, " unconstrained_dim"]:
        """The unconstrained coordinates of `sample_one(key)`, of an integer a random place on its step."""
        theta, place_key = self.sample_one(key), jax.random.fold_in(key, len(self.dims))
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(place_key, jnp.arange(len(self.dims)))
        return self._joined(self._of_keys("draw_unconstrained", keys, theta), self.unconstrained_dims)

    def log_density(self, theta: Num[Array, "... dim"]) -> Float[Array, "..."]:
        """Log density, -inf outside the support."""
        return functools.reduce(jnp.add, [jnp.sum(part, axis=-1) for part in self._each("log_density", theta)])

    def contains(self, theta: Num[Array, "... dim"]) -> Bool[Array, "..."]:
        """Whether each parameter vector lies in the support."""
        return functools.reduce(jnp.logical_and, [jnp.all(part, axis=-1) for part in self._each("contains", theta)])

    def to_unconstrained(self, theta: Num[Array, "... dim"]) -> Float[Array, "... unconstrained_dim"]:
        """Map parameters inside the support to real vectors."""
        return self._joined(self._each("to_unconstrained", theta), self.unconstrained_dims)

    def from_unconstrained(self, u: Num[Array, "... unconstrained_dim"]) -> Float[Array, "... dim"]:
        """Map real vectors to parameters."""
        return self._joined(self._each("from_unconstrained", u), self.dims)

    def log_density_unconstrained(self, u: Num[Array, "... unconstrained_dim"]) -> Float[Array, "..."]:
        """Log density of unconstrained coordinates, with the Jacobian."""
        parts = self._each("log_density_unconstrained", u)
        return functools.reduce(jnp.add, [jnp.sum(part, axis=-1) for part in parts])

    def _each(self, method: str, values: Array) -> list[Array]:
        """A method of all parameters of each family, (..., members) or (..., members, size).

        Args:
            method: of a density.
            values: of all parameters, or their unconstrained coordinates where the method takes these.
        """
        sizes = self.unconstrained_dims if method in _OF_UNCONSTRAINED else self.dims
        result = "(m,u)" if method in _TO_VECTORS else "(m)"

        def of_family(family: AnyDensity, members: tuple[int, ...]) -> Array:
            own = _columns(values, members, sizes)
            # Batched here, because numpyro's formulas rely on implicit broadcasting.
            return jnp.vectorize(functools.partial(_of_members, method, family), signature=f"(m,d)->{result}")(own)

        return [of_family(*family) for family in zip(self.families, self.members, strict=True)]

    def _of_keys(self, method: str, keys: Key[Array, " parameters"], theta: Array | None = None) -> list[Array]:
        """A method that draws, of all parameters of each family, (members, size)."""
        parts = []
        for family, members in zip(self.families, self.members, strict=True):
            own = () if theta is None else (_columns(theta, members, self.dims),)
            parts.append(_of_members(method, family, *own, keys[np.array(members)]))
        return parts

    def _joined(self, parts: list[Array], sizes: tuple[int, ...]) -> Array:
        """Values (..., members, size) of each family as one vector in the order of the parameters."""
        pieces: dict[int, Array] = {}
        for part, members in zip(parts, self.members, strict=True):
            flat = jnp.reshape(part, (*part.shape[:-2], -1))
            for run in _runs(members):
                first = members.index(run[0]) * sizes[run[0]]
                pieces[run[0]] = flat[..., first : first + len(run) * sizes[run[0]]]
        return jnp.concatenate([pieces[place] for place in sorted(pieces)], axis=-1)


def _together(densities: Sequence[AnyDensity]) -> AnyDensity:
    """Densities of one family as one, with these along the leading axis of its arrays."""
    # By numpy, which compiles nothing.
    return jax.tree.map(lambda *leaves: on_device(np.stack([np.asarray(leaf) for leaf in leaves])), *densities)


def _of_members(method: str, family: AnyDensity, *arguments: Any) -> Array:
    """A method of every member of a family, of arguments with the members along their leading axis."""

    def of_one(density: AnyDensity, *own: Any) -> Array:
        return getattr(density, method)(*own)

    if len(jax.tree.leaves(family)[0]) > 1:
        return jax.vmap(of_one)(family, *arguments)
    # What is alone is not batched: not every formula is as good then.
    return of_one(jax.tree.map(lambda leaf: leaf[0], family), *(argument[0] for argument in arguments))[None]


def _columns(values: Array, members: tuple[int, ...], sizes: tuple[int, ...]) -> Array:
    """The coordinates of some parameters of one size, (..., members, size)."""
    size, starts = sizes[members[0]], np.cumsum([0, *sizes])
    # Slices: what is gathered by number has a gradient that is scattered, which is slow.
    slices = [values[..., starts[run[0]] : starts[run[-1] + 1]] for run in _runs(members)]
    columns = slices[0] if len(slices) == 1 else jnp.concatenate(slices, axis=-1)
    return jnp.reshape(columns, (*columns.shape[:-1], len(members), size))


def _runs(members: tuple[int, ...]) -> list[list[int]]:
    """Ascending numbers in pieces without a gap."""
    return [part.tolist() for part in np.split(np.array(members), np.flatnonzero(np.diff(members) > 1) + 1)]
