"""Two moons: a crescent whose place depends on |theta_1 + theta_2|, so that posteriors have two modes; exact cost.

The simulator of Greenberg, Nonnenmacher, Macke 2019; prior and distance of Gao, Deistler, Macke 2023.
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

RADIUS = 0.1
RADIUS_STD = 0.01


@register(benchmark=True)
def two_moons() -> Task:
    """The task with its exact cost; two parameters, outputs of two coordinates."""
    prior = Prior({"theta": dist.Uniform(-jnp.ones(2), 1.0)})
    cost = Cost.exact(expected_distance, names=prior.names, x_shape=(2,), units="squared data units")
    reference = partial(grid_draws, expected_distance, -1.0, 1.0, 2)
    return Task(
        "two_moons", prior, simulate, MeanSquaredError(), cost=cost, betas=(10.0, 100.0, 1000.0), reference=reference
    )


def centre(theta: Float[Array, "2"]) -> Float[Array, "2"]:
    """Where the crescent's circle stands."""
    along, across = theta[0] + theta[1], theta[1] - theta[0]
    return jnp.stack([0.25 - jnp.abs(along) / jnp.sqrt(2.0), across / jnp.sqrt(2.0)])


def simulate(key: PRNGKeyArray, theta: Float[Array, "2"]) -> Float[Array, "2"]:
    """One output."""
    angle_key, radius_key = jax.random.split(key)
    angle = jax.random.uniform(angle_key, minval=-jnp.pi / 2, maxval=jnp.pi / 2)
    radius = RADIUS + RADIUS_STD * jax.random.normal(radius_key)
    return centre(theta) + radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def expected_distance(theta: Float[Array, "2"], x_o: Float[Array, "2"]) -> Float[Array, ""]:
    """E[mean_j (x_j - x_o_j)^2 | theta] of x = centre + r (cos a, sin a).

    (||centre - x_o||^2 + 2 (centre - x_o)_1 E[r] E[cos a] + E[r^2]) / 2, where E[cos a] = 2 / pi and E[sin a] = 0.
    """
    away = centre(theta) - x_o
    return (jnp.sum(away**2) + 2 * away[0] * RADIUS * 2 / jnp.pi + RADIUS**2 + RADIUS_STD**2) / 2
