"""Distances of many outputs at once, where a `Distance` itself knows one output and one target.

Where a distance depends on differences alone, these are taken in double precision: a signal on top of a large number
(seconds since an epoch) would be rounded away in the single precision of everything else. So are its transforms.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Float

from ..runtime.compiling import compiled, on_device, over_rows
from .base import Distance

# Outputs that are compared at once: the kernel matrices of sets of many trials are large.
_AT_ONCE = 1024


def distances_to(
    distance: Distance, x: Float[Array | np.ndarray, "n ..."], x_o: Float[Array | np.ndarray, "..."]
) -> Float[np.ndarray, " n"]:
    """The distance of every output (n, *x_shape) to one target, in units of the distance."""
    transform, distance = distance.output_transform, distance.without_transform()
    outputs, target = np.asarray(x), np.asarray(x_o)
    if transform.name is not None:
        transform.check(outputs, "outputs")
        transform.check(target[None], "the observation")
        outputs, target = transform(outputs), transform(target)
    if distance.framing != "none":
        middle = (
            target.astype(np.float64) if distance.framing == "each" else np.nanmean(target, axis=0, dtype=np.float64)
        )
        outputs, target = outputs - middle, target - middle
    to = on_device(_single(target))
    return np.asarray(over_rows(lambda rows: _distances_to(distance, rows, to), _single(outputs)))


def paired_distances(
    distance: Distance, x: Float[Array | np.ndarray, "n *x_shape"], again: Float[Array | np.ndarray, "n *x_shape"]
) -> Float[np.ndarray, " n"]:
    """The distance of every output to its partner: of two runs at one parameter, the replicate distance."""
    transform, distance = distance.output_transform, distance.without_transform()
    first, second = np.asarray(x), np.asarray(again)
    if transform.name is not None:
        transform.check(first, "outputs")
        transform.check(second, "outputs")
        first, second = transform(first), transform(second)
    if distance.framing != "none":
        each = distance.framing == "each"
        # Rows of NaN are no trials of their sets.
        middle = second.astype(np.float64) if each else np.nanmean(second, axis=1, keepdims=True, dtype=np.float64)
        first, second = first - middle, second - middle
    return np.asarray(over_rows(functools.partial(_paired_distances, distance), _single(first), _single(second)))


def distance_matrix(
    distance: Distance, x: Float[Array, "n *x_shape"], targets: Float[Array, "m *target_shape"]
) -> Float[Array, "n m"]:
    """The distances of all pairs; part of larger compiled programs."""
    return jax.vmap(lambda output: jax.vmap(lambda target: distance(output, target))(targets))(x)


@compiled
def _distances_to(distance: Distance, x: Float[Array, "n ..."], target: Float[Array, "..."]) -> Float[Array, " n"]:
    return _mapped(lambda output: distance(output, target), x)


@compiled
def _paired_distances(
    distance: Distance, x: Float[Array, "n *x_shape"], again: Float[Array, "n *x_shape"]
) -> Float[Array, " n"]:
    return _mapped(distance, x, again)


def _single(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _mapped(function: Callable[..., Array], *rows: Array) -> Array:
    """A function of one row for all rows, in blocks where they are many."""
    if len(rows[0]) <= _AT_ONCE:
        return jax.vmap(function)(*rows)
    return jax.lax.map(lambda row: function(*row), rows, batch_size=_AT_ONCE)
