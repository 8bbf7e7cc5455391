"""The default sampler where parameters are many."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import genbayes as gb

DIM, OUTPUTS, BETA = 100, 100, 50.0
LINES = np.random.default_rng(0).standard_normal((OUTPUTS, DIM)) / np.sqrt(DIM)


def test_a_hundred_parameters_are_sampled_as_their_normal_posterior():
    """Means by their standard errors, standard deviations along every axis of the posterior, the narrowest as well."""
    rng = np.random.default_rng(1)
    x_o = LINES @ rng.standard_normal(DIM) + rng.standard_normal(OUTPUTS)
    lines = jnp.asarray(LINES, jnp.float32)
    prior = gb.Prior({f"p{i}": dist.Normal(0.0, 1.0) for i in range(DIM)})
    cost = gb.Cost.exact(
        lambda theta, x: jnp.mean((lines @ theta - x) ** 2), names=prior.names, x_shape=(OUTPUTS,), units="1"
    )
    draws = gb.GibbsPosterior(prior, cost, x_o, BETA).sample(2000, seed=0)
    precision = np.eye(DIM) + 2 * BETA / OUTPUTS * LINES.T @ LINES
    mean = np.linalg.solve(precision, 2 * BETA / OUTPUTS * LINES.T @ x_o)
    values, axes = np.linalg.eigh(precision)
    along = (draws.flat - mean) @ axes * np.sqrt(values)
    # Standard normal numbers: with 1,000 independent draws of 2,000 means scatter by .032 and deviations by .022.
    assert np.sqrt(np.mean(along.mean(axis=0) ** 2)) < 0.06
    assert np.abs(along.mean(axis=0)).max() < 4.5 * 0.032
    assert np.abs(along.std(axis=0) - 1).max() < 4.5 * 0.022
    assert not draws.outcome.messages
