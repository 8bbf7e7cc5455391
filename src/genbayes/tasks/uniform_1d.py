"""A quartic in one parameter with uniform noise: x = g(theta) + U(-1/4, 1/4), mean squared error; exact cost.

From the benchmark of Gao, Deistler, Macke 2023.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from ..costs.cost import Cost
from ..distances import MeanSquaredError
from ..priors.prior import Prior
from .grid import grid_draws
from .registry import register
from .task import Task

BOUND = 1.5
NOISE = 0.25
# Coefficients of z^0, z^1, ... with z = 0.8 (theta + 0.25).
COEFFICIENTS = (0.1627, 0.9073, -1.2197, -1.4639, 1.4381)


@register(benchmark=True)
def uniform_1d() -> Task:
    """The task with its exact cost; one parameter, one output."""
    prior = Prior({"theta": dist.Uniform(-BOUND, BOUND)})
    cost = Cost.exact(expected_distance, names=prior.names, x_shape=(1,), units="squared data units")
    reference = partial(grid_draws, expected_distance, -BOUND, BOUND, 1)
    return Task(
        "uniform_1d", prior, simulate, MeanSquaredError(), cost=cost, betas=(4.0, 20.0, 100.0), reference=reference
    )


def mean_output(theta: Float[Array, "1"]) -> Float[Array, "1"]:
    """g(theta), the output without noise."""
    z = 0.8 * (theta + 0.25)
    return jnp.polyval(jnp.asarray(COEFFICIENTS[::-1]), z)


def simulate(key: PRNGKeyArray, theta: Float[Array, "1"]) -> Float[Array, "1"]:
    """One output."""
    return mean_output(theta) + jax.random.uniform(key, (1,), minval=-NOISE, maxval=NOISE)


def expected_distance(theta: Float[Array, "1"], x_o: Float[Array, "1"]) -> Float[Array, ""]:
    """E[(x - x_o)^2 | theta]: squared distance of the mean plus the noise variance, (2 NOISE)^2 / 12."""
    return jnp.sum((mean_output(theta) - x_o) ** 2) + NOISE**2 / 3
