"""Distances of many outputs at once, where a `Distance` itself knows one output and one target."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..runtime.compiling import compiled
from .base import Distance

# Outputs that are compared at once: the kernel matrices of sets of many trials are large.
_AT_ONCE = 1024


@compiled
def distances_to(
    distance: Distance, x: Float[Array | np.ndarray, "n ..."], x_o: Float[Array | np.ndarray, "..."]
) -> Float[Array, " n"]:
    """The distance of every output (n, *x_shape) to one target, in units of the distance."""
    target = jnp.asarray(x_o)
    return _mapped(lambda output: distance(output, target), jnp.asarray(x))


@compiled
def paired_distances(
    distance: Distance, x: Float[Array | np.ndarray, "n *x_shape"], again: Float[Array | np.ndarray, "n *x_shape"]
) -> Float[Array, " n"]:
    """The distance of every output to its partner: of two runs at one parameter, the replicate distance."""
    return _mapped(distance, jnp.asarray(x), jnp.asarray(again))


def distance_matrix(
    distance: Distance, x: Float[Array, "n *x_shape"], targets: Float[Array, "m *target_shape"]
) -> Float[Array, "n m"]:
    """The distances of all pairs; part of larger compiled programs."""
    return jax.vmap(lambda output: jax.vmap(lambda target: distance(output, target))(targets))(x)


def _mapped(function: Callable[..., Array], *rows: Array) -> Array:
    """A function of one row for all rows, in blocks where they are many."""
    if len(rows[0]) <= _AT_ONCE:
        return jax.vmap(function)(*rows)
    return jax.lax.map(lambda row: function(*row), rows, batch_size=_AT_ONCE)
