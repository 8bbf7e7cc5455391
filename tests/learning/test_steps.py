"""Steps of outputs along a parameter: found where they are, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.learning.coordinates import best_coordinates
from genbayes.learning.steps import find_steps


def uniform(n, dim, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, dim))


def noise(n, k, sd, seed=1):
    return sd * np.random.default_rng(seed).standard_normal((n, k))


@pytest.mark.parametrize("sd", [0.0, 0.3])
def test_a_rounded_parameter_has_a_step_at_every_half(sd):
    theta = uniform(3000, 2) * [2.5, 1.0]
    k = np.round(theta[:, 0])
    labels = np.stack([k * (1.5 + theta[:, 1]), k**2 - theta[:, 1]], axis=1) + noise(3000, 2, sd)
    steps = find_steps(theta, labels)
    # Two rows of neighbouring values lie 5 / 3000 apart on average; with noise some may be on the wrong side.
    np.testing.assert_allclose(steps[0], [-1.5, -0.5, 0.5, 1.5], atol=0.01 if sd else 0.005)
    assert list(steps) == [0]


def test_a_gap_between_two_values_is_a_step_though_ranks_close_it():
    theta = uniform(1000, 1)
    labels = np.sign(theta - 0.3) + noise(1000, 1, 0.05)
    (edge,) = find_steps(theta, labels)[0]
    assert abs(edge - 0.3) < 0.01


SMOOTH = {
    "line": lambda a, b: a - b,
    "corner": lambda a, b: np.abs(a + 0.3) + b,
    "narrow peak": lambda a, b: np.exp(-50 * (a - b) ** 2),
    "steep rise": lambda a, b: np.tanh(8 * a) + b,
    "saturation": lambda a, b: np.minimum(a + b, 0.3),
    "growth": lambda a, b: np.exp(5 * a + b),
    "oscillation": lambda a, b: np.sin(12 * a) * b,
}


@pytest.mark.parametrize("sd", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("mean", SMOOTH.values(), ids=SMOOTH)
def test_what_is_continuous_has_no_steps(mean, sd):
    theta = uniform(2000, 2)
    assert find_steps(theta, mean(*theta.T)[:, None] + noise(2000, 1, sd)) == {}


def test_noise_without_a_mean_has_no_steps_whatever_its_tails():
    """Of 20 data sets none; the limit is one in a million for each."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        theta = uniform(1000, 3, seed + 100)
        assert find_steps(theta, rng.standard_normal((1000, 5))) == {}
        assert find_steps(theta, rng.standard_cauchy((1000, 2))) == {}


def test_integers_and_outputs_that_do_not_vary_are_left_alone():
    theta = np.stack([np.repeat(np.arange(4.0), 250), uniform(1000, 1)[:, 0]], axis=1)
    labels = np.stack([theta[:, 0] ** 2, np.ones(1000)], axis=1)
    assert find_steps(theta, labels) == {}
    assert find_steps(theta, np.ones((1000, 2))) == {}
    assert find_steps(theta[:20], labels[:20]) == {}


def test_a_step_is_a_column_of_the_standardised_parameter():
    theta = uniform(1000, 2)
    labels = np.where(theta[:, :1] > 0.2, 3.0, 0.0) + theta[:, 1:]
    standardise = best_coordinates(theta, labels).standardise
    z = np.asarray(jax.vmap(standardise)(jnp.asarray(theta, jnp.float32)))
    assert z.shape == (1000, 3)
    (edge,) = standardise.steps[0]
    assert len(np.unique(z[:, 2])) == 2
    np.testing.assert_array_equal(z[:, 2] > 0, theta[:, 0].astype(np.float32) > np.float32(edge))
    # The step may be multiplied by the coordinate itself, and not by another step of it.
    assert standardise.groups == ((2,),)


def exact(k, g, x_o, beta):
    """Mean and standard deviation of (k, g) on a grid, and P(round(k) = 3)."""
    grid_k, grid_g = np.meshgrid(k, g, indexing="ij")
    whole = np.round(grid_k)
    cost = ((whole * grid_g - x_o[0]) ** 2 + (np.sqrt(whole) + grid_g - x_o[1]) ** 2) / 2
    weight = np.exp(-beta * (cost - cost.min()))
    weight /= weight.sum()
    values = np.stack([grid_k.ravel(), grid_g.ravel()])
    mean = values @ weight.ravel()
    return mean, np.sqrt((values - mean[:, None]) ** 2 @ weight.ravel()), weight[whole == 3].sum()


@pytest.mark.long
@pytest.mark.slow
def test_the_posterior_of_a_rounded_parameter_is_right(tmp_path):
    """Plateaus of one value each; without steps the mean of k is off by 0.7 of its standard deviation."""

    def simulator(theta, rng):
        k = np.round(theta[0])
        return np.array([k * theta[1], np.sqrt(k) + theta[1]]) + 0.1 * rng.standard_normal(2)

    prior = gb.Prior({"k": dist.Uniform(0.5, 4.5), "g": dist.Uniform(0.5, 1.5)})
    x_o, beta = np.array([3.1, 2.6]), 60.0
    simulations = gb.simulate(simulator, prior, 2000, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    np.testing.assert_allclose(cost.settings["steps"]["k"], np.arange(1.5, 4.0), atol=0.02)
    posterior = gb.GibbsPosterior(prior, cost, x_o, beta)
    assert posterior.outcome.ok
    theta = posterior.sample(4000, seed=1).flat
    mean, sd, share = exact(np.linspace(0.5, 4.5, 801)[:-1] + 0.0025, np.linspace(0.5, 1.5, 401), x_o, beta)
    # 0.1 is three standard errors of 1,000 independent draws; the fit has as much again.
    np.testing.assert_allclose((theta.mean(axis=0) - mean) / sd, 0.0, atol=0.2)
    np.testing.assert_allclose(theta.std(axis=0) / sd, 1.0, atol=0.15)
    assert abs(np.mean(np.round(theta[:, 0]) == 3) - share) < 0.06
    gb.save(cost, tmp_path / "cost.safetensors")
    again = gb.load(tmp_path / "cost.safetensors")
    np.testing.assert_array_equal(again(theta[:50], x_o), cost(theta[:50], x_o))
