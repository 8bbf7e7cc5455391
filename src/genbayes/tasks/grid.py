"""Reference draws of a Gibbs posterior on a uniform prior in one or two dimensions, by a fine grid."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..runtime.compiling import compiled

# Cells of the whole grid: in two dimensions a cell is a thousandth of the prior's width.
CELLS = 1_000_000


def grid_draws(
    expected_distance: Callable[[Array, Array], Array],
    low: float,
    high: float,
    dim: int,
    x_o: Float[np.ndarray, "..."],
    beta: float,
    n: int,
    seed: int,
) -> Float[np.ndarray, "n dim"]:
    """Independent draws of exp(-beta cost), by cells of a grid: a cell by its weight, a place in it uniformly.

    The density within a cell is taken as that at its centre, which is an error of (cell / posterior width)^2.

    Args:
        expected_distance: `expected_distance(theta, x_o)` of one parameter.
        low: lower end of every coordinate's uniform prior.
        high: upper end.
        dim: number of parameters, 1 or 2.
        x_o: the observation.
        beta: inverse temperature.
        n: number of draws.
        seed: of the draws.
    """
    per_axis = round(CELLS ** (1 / dim))
    width = (high - low) / per_axis
    cost = np.asarray(_costs(expected_distance, low, width, per_axis, dim, jnp.asarray(x_o, jnp.float32)), np.float64)
    weights = np.exp(-beta * (cost - cost.min()))
    rng = np.random.default_rng(seed)
    cumulative = np.cumsum(weights)
    cells = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
    indices = np.stack(np.unravel_index(np.minimum(cells, len(weights) - 1), (per_axis,) * dim), axis=1)
    return (low + width * (indices + rng.random((n, dim)))).astype(np.float32)


@compiled
def _costs(
    expected_distance: Callable[[Array, Array], Array], low: float, width: float, per_axis: int, dim: int, x_o: Array
) -> Float[Array, " cells"]:
    axis = low + width * (jnp.arange(per_axis) + 0.5)
    mesh = jnp.stack([part.reshape(-1) for part in jnp.meshgrid(*[axis] * dim, indexing="ij")], axis=1)
    return jax.vmap(lambda theta: expected_distance(theta, x_o))(mesh)
