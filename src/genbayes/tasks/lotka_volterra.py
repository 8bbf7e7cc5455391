"""Lotka-Volterra predator and prey as in the common benchmark of simulation-based inference.

Task T.10 of Lueckmann, Boelts, Greenberg, Goncalves, Macke 2021 (arXiv 2101.04653), by its public definition (there in
Julia and PyTorch), in logarithms.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from ..costs.cost import Cost
from ..distances import MeanSquaredError
from ..priors.prior import Prior
from .ode import need_diffrax, solve
from .registry import register
from .task import Task

# The benchmark keeps every 21st of 201 points 0.1 apart, so that the last observation is before the end at 20.
TIMES = 2.1 * np.arange(10)
SPECIES = ("prey", "predator")
START = (30.0, 1.0)
# Standard deviation of the normal noise of a log density: log-normal noise of the density.
NOISE = 0.1
# The densities that the benchmark clamps to before the noise; without them prey fall to 1e-27 under this prior.
LOWEST, HIGHEST = 1e-10, 1e4
_PRIORS = {"alpha": (-0.125, 0.5), "beta": (-3.0, 0.5), "gamma": (-0.125, 0.5), "delta": (-3.0, 0.5)}


@register(benchmark=True)
def lotka_volterra() -> Task:
    """The task: four positive rates, outputs (10 times, 2 species) of log densities, mean squared error.

    The benchmark's observations are the densities themselves (20 numbers, prey first): an output here differs from them
    by the logarithm and by its shape only. The benchmark has no distance; this one is chosen for two reasons.

    - The noise is the same for every log density. Estimates of least distance are then those of greatest likelihood,
      and at beta = 20 / (2 NOISE^2) = 1000 the Gibbs posterior is the benchmark's posterior. The squared error of raw
      densities over their prior-predictive standard deviations makes the four estimates 4, 1.9, 3 and 2.6 times less
      precise (standard errors over the best possible ones, median over the prior): the peak of one species in one
      coordinate rules it, and the standard deviations are made by few outliers (the median density is a tenth of one).
    - Its expectation is known but for the integration error: mean (log density - x_o)^2 + NOISE^2. `cost` is that; the
      logarithms are within 4e-4 of an integration by LSODA.

    Inverse temperatures: beta = 0.01 takes a fifth off the prior's mean cost (near 10); beta = 100 brings it to 0.04,
    twice the replicate distance 2 NOISE^2 (means over specified observations). Units of the distance: squared
    logarithms of densities.

    Raises:
        ImportError: diffrax is not installed.
    """
    need_diffrax("lotka_volterra")
    prior = Prior({name: dist.LogNormal(*values) for name, values in _PRIORS.items()})
    shape = (len(TIMES), len(SPECIES))
    cost = Cost.exact(expected_distance, names=prior.names, x_shape=shape, units="squared data units")
    return Task("lotka_volterra", prior, simulate, MeanSquaredError(), cost=cost, betas=(0.01, 1.0, 100.0))


def simulate(key: PRNGKeyArray, theta: Float[Array, "4"]) -> Float[Array, "times species"]:
    """One output: log densities with normal noise; NaN where the integration fails."""
    path = trajectory(theta)
    return path + NOISE * jax.random.normal(key, path.shape)


def expected_distance(theta: Float[Array, "4"], x_o: Float[Array, "times species"]) -> Float[Array, ""]:
    """E[mean (x - x_o)^2 | theta]: squared distance of the means plus the noise variance."""
    return jnp.mean((trajectory(theta) - x_o) ** 2) + NOISE**2


def trajectory(theta: Float[Array, "4"]) -> Float[Array, "times species"]:
    """Log densities without noise at `TIMES`, between log `LOWEST` and log `HIGHEST`.

    d log X / dt = alpha - beta Y, d log Y / dt = -gamma + delta X; in logarithms densities stay positive.
    """
    alpha, beta, gamma, delta = theta

    def field(y: Array) -> Array:
        prey, predator = jnp.exp(y)
        return jnp.stack([alpha - beta * predator, delta * prey - gamma])

    start = jnp.log(jnp.asarray(START, jnp.float32))
    path = solve(field, start, jnp.asarray(TIMES, jnp.float32), 0.01, "lotka_volterra")
    return jnp.clip(path, np.log(LOWEST), np.log(HIGHEST))
