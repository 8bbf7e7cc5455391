"""Sets of independent trials compared by MMD, with a JAX simulator; the observed set has another number of trials."""

import jax
import jax.numpy as jnp
import numpy as np

import genbayes as gb


def simulator(key, theta):
    """Twenty trials in the plane around theta."""
    return theta + 0.5 * jax.random.normal(key, (20, 2))


prior = gb.Prior.uniform([-3.0, -3.0], [3.0, 3.0], ["left", "up"])
simulations = gb.simulate(simulator, prior, 3_000, seed=0)
cost = gb.fit_cost(simulations, gb.distances.MMD(bandwidth="median"))

# The data are contaminated: a fifth of the trials comes from elsewhere, where the simulator never goes.
rng = np.random.default_rng(1)
x_o = np.concatenate([rng.normal([1.0, -1.0], 0.5, (40, 2)), rng.normal([9.0, 9.0], 0.5, (10, 2))])
posterior = gb.GibbsPosterior(prior, cost, x_o, beta=100.0)
draws = posterior.sample(1_000, seed=1)
print(draws.summary())
middle = np.median(draws.flat, axis=0)
print(f"median {middle.round(2)}; mean of all observed trials {jnp.mean(x_o, axis=0).round(2)}")
