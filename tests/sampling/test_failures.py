"""A simulator that fails in part of the prior, next to the observation: the posterior given success is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.sampling.sampler import samplers

X_O, BETA = np.array([-0.5, -0.5], np.float32), 4.0
PRIOR = gb.Prior.uniform([-2.0, -2.0], [2.0, 2.0])


def simulator(key, theta):
    x = theta + 0.5 * jax.random.normal(key, (2,))
    return jnp.where(jnp.sum(theta) < 0, jnp.nan, x)


@pytest.fixture(scope="module")
def simulations() -> gb.Simulations:
    return gb.simulate(simulator, PRIOR, 3000, seed=0, progress=False)


@pytest.fixture(scope="module")
def cost(simulations) -> gb.Cost:
    return gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)


def exact() -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation by quadrature: cost = |theta - x_o|^2 / 2 + 0.25 where the sum is not negative."""
    grid = (np.arange(800) + 0.5) / 200 - 2
    theta = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    weight = np.exp(-BETA * np.mean((theta - X_O) ** 2, axis=1)) * (theta.sum(axis=1) >= 0)
    weight /= weight.sum()
    mean = weight @ theta
    return mean, np.sqrt(weight @ (theta - mean) ** 2)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow, pytest.mark.long] if name == "nuts" else [])
        for name in sorted(samplers())
    ],
)
def test_the_posterior_is_that_given_success(cost, name: str) -> None:
    draws = gb.GibbsPosterior(PRIOR, cost, X_O, BETA).sample(3000, seed=1, sampler=samplers()[name])
    mean, std = exact()
    # The edge is known to some 0.02 from 3,000 runs; Monte Carlo adds less.
    np.testing.assert_allclose(draws.flat.mean(axis=0), mean, atol=0.2 * std.max())
    np.testing.assert_allclose(draws.flat.std(axis=0), std, rtol=0.2)
    assert np.mean(draws.flat.sum(axis=1) < -0.1) < 0.01


def test_without_it_the_draws_lie_where_the_simulator_fails(simulations) -> None:
    ignored = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False, failures="ignore")
    assert ignored.success is None
    draws = gb.GibbsPosterior(PRIOR, ignored, X_O, BETA).sample(1000, seed=1)
    assert np.mean(draws.flat.sum(axis=1) < 0) > 0.8


def test_a_stack_and_a_file_know_it_too(cost, tmp_path) -> None:
    stack = gb.GibbsPosteriors(PRIOR, cost, np.stack([X_O, -X_O]), BETA).sample(1000, seed=2, progress=False)
    assert np.mean(stack.draws(0).flat.sum(axis=1) < -0.1) < 0.01
    again = gb.load(gb.save(cost, tmp_path / "cost.safetensors"))
    theta = PRIOR.sample(50, seed=3)
    np.testing.assert_array_equal(again.log_success(theta), cost.log_success(theta))
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    expected = PRIOR.log_density(theta) + cost.log_success(theta) - BETA * posterior.cost_at(theta)
    np.testing.assert_allclose(posterior.log_density(theta), expected, rtol=1e-5)


def test_without_failures_nothing_is_learned() -> None:
    fine = gb.simulate(lambda key, theta: theta + jax.random.normal(key, (2,)), PRIOR, 300, seed=0, progress=False)
    cost = gb.fit_cost(fine, gb.distances.MeanSquaredError(), progress=False)
    assert cost.success is None
    assert np.all(np.asarray(cost.log_success(PRIOR.sample(5, seed=0))) == 0)
