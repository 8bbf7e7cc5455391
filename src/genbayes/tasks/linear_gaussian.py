"""The linear Gaussian task: theta ~ N(0, I), x = theta + shift + noise, mean squared error; all in closed form.

Shift and noise variance are those of the benchmark of Gao, Deistler, Macke 2023.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from ..costs.cost import Cost
from ..distances import MeanSquaredError
from ..priors.prior import Prior
from .registry import register
from .task import Task

# fmt: off
SHIFT = np.array([1.5409961, -0.2934289, -2.1787894, 0.56843126, -1.0845224, -1.3985955, 0.40334684, 0.83802634,
                  -0.7192576, -0.40334353], np.float32)
NOISE_VARIANCE = np.array([0.59663534, 0.18203649, 0.8566746, 1.1006042, 1.0711874, 0.12270124, 0.5663175, 0.37311465,
                           0.8919953, 1.5091077], np.float32)
# fmt: on


@register(benchmark=True)
def linear_gaussian() -> Task:
    """The task with its exact cost; parameters, outputs and observations have ten coordinates."""
    prior = Prior({"theta": dist.Normal(jnp.zeros(len(SHIFT)), 1.0)})
    cost = Cost.exact(expected_distance, names=prior.names, x_shape=SHIFT.shape, units="squared data units")
    return Task(
        "linear_gaussian",
        prior,
        simulate,
        MeanSquaredError(),
        cost=cost,
        betas=(1.0, 10.0, 100.0),
        reference=reference_draws,
    )


def simulate(key: PRNGKeyArray, theta: Float[Array, " dim"]) -> Float[Array, " dim"]:
    """One output."""
    return theta + SHIFT + jnp.sqrt(NOISE_VARIANCE) * jax.random.normal(key, theta.shape)


def expected_distance(theta: Float[Array, " dim"], x_o: Float[Array, " dim"]) -> Float[Array, ""]:
    """E[mean_j (x_j - x_o_j)^2 | theta]: squared distance of the means plus the mean noise variance."""
    return jnp.mean((theta + SHIFT - x_o) ** 2 + NOISE_VARIANCE)


def gibbs_posterior(x_o: Float[np.ndarray, " dim"], beta: float) -> tuple[Float[np.ndarray, " dim"], float]:
    """Mean, and standard deviation of every coordinate, of the Gibbs posterior, which is Gaussian.

    exp(-beta/dim ||theta + shift - x_o||^2) is a normal likelihood of precision 2 beta / dim; the prior's is 1.
    """
    precision = 2 * beta / len(SHIFT)
    return precision * (np.asarray(x_o) - SHIFT) / (1 + precision), float(1 / np.sqrt(1 + precision))


def reference_draws(x_o: Float[np.ndarray, " dim"], beta: float, n: int, seed: int) -> Float[np.ndarray, "n dim"]:
    """Independent draws of the Gibbs posterior."""
    mean, std = gibbs_posterior(x_o, beta)
    return (mean + std * np.random.default_rng(seed).normal(size=(n, len(mean)))).astype(np.float32)


def log_evidence(x_o: Float[np.ndarray, " dim"], beta: float) -> float:
    """Log of the integral of exp(-beta cost) under the prior."""
    precision = 2 * beta / len(SHIFT)
    square = np.sum((np.asarray(x_o, np.float64) - SHIFT) ** 2)
    noise = beta * float(NOISE_VARIANCE.mean(dtype=np.float64))
    return float(-noise - len(SHIFT) / 2 * np.log1p(precision) - precision / (1 + precision) * square / 2)
