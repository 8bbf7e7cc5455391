"""Five trials of a two-component Gaussian mixture around theta, compared by MMD; exact cost.

From the benchmark of Gao, Deistler, Macke 2023, with the product kernel exp(-0.01 ||a - b||^2).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from ..costs.cost import Cost
from ..distances import MMD
from ..priors.prior import Prior
from .grid import grid_draws
from .registry import register
from .task import Task

BOUND = 10.0
TRIALS = 5
# Variances of the two components, from which a trial comes with equal probability.
VARIANCES = (1.0, 0.01)
# The kernel is exp(-RATE ||a - b||^2).
RATE = 0.01
# Place and spread of the trials of misspecified observations, which no parameter produces.
OUTSIDE, OUTSIDE_STD = 12.5, 0.5


@register(benchmark=True)
def gaussian_mixture() -> Task:
    """The task with its exact cost; two parameters, outputs (5 trials, 2)."""
    prior = Prior({"theta": dist.Uniform(-BOUND * jnp.ones(2), BOUND)})
    distance = MMD(bandwidth=1 / np.sqrt(2 * RATE))
    cost = Cost.exact(expected_distance, names=prior.names, x_shape=(TRIALS, 2), units=distance.units)
    return Task(
        "gaussian_mixture",
        prior,
        simulate,
        distance,
        cost=cost,
        betas=(10.0, 25.0, 75.0),
        reference=partial(grid_draws, expected_distance, -BOUND, BOUND, 2),
        misspecified=misspecified,
    )


def simulate(key: PRNGKeyArray, theta: Float[Array, "2"]) -> Float[Array, "trials 2"]:
    """One set of trials."""
    which_key, noise_key = jax.random.split(key)
    variance = jax.random.choice(which_key, jnp.asarray(VARIANCES), (TRIALS, 1))
    return theta[None] + jnp.sqrt(variance) * jax.random.normal(noise_key, (TRIALS, 2))


def expected_distance(theta: Float[Array, "2"], x_o: Float[Array, "trials 2"]) -> Float[Array, ""]:
    """E[biased MMD^2 | theta]: E mean_ij k(x_i, x_j) + mean_ij k(y_i, y_j) - 2 E mean_ij k(x_i, y_j).

    For a - b normal with mean m and variance v in both coordinates, E exp(-c ||a - b||^2) is
    exp(-c ||m||^2 / (1 + 2 c v)) / (1 + 2 c v). Within a simulated set the pairs i = j have k = 1; those of different
    trials have m = 0 and v the sum of two component variances, each of the four sums with probability 1/4.
    """
    different = sum(1 / (1 + 2 * RATE * (one + other)) for one in VARIANCES for other in VARIANCES) / 4
    within = 1 / TRIALS + (1 - 1 / TRIALS) * different
    away = jnp.sum((x_o - theta[None]) ** 2, axis=1)
    widths = [1 + 2 * RATE * variance for variance in VARIANCES]
    between = sum(jnp.mean(jnp.exp(-RATE * away / width) / width) for width in widths) / len(widths)
    apart = jnp.sum((x_o[:, None] - x_o[None]) ** 2, axis=2)
    return within + jnp.mean(jnp.exp(-RATE * apart)) - 2 * between


def misspecified(
    theta: Float[np.ndarray, "n 2"], x: Float[np.ndarray, "n trials 2"], seed: int
) -> Float[np.ndarray, "n trials 2"]:
    """Replaces half of the trials (three of five) by trials near sign(theta) * 12.5."""
    rng = np.random.default_rng(seed)
    changed = (TRIALS + 1) // 2
    outside = OUTSIDE * np.sign(theta)[:, None] + OUTSIDE_STD * rng.normal(size=(len(x), changed, 2))
    return np.concatenate([outside, x[:, changed:]], axis=1).astype(np.float32)
