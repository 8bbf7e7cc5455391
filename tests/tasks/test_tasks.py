"""Tasks: the lynx-hare simulator against an independent integrator and a law, its data, and the linear Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import genbayes as gb
from genbayes.tasks.lynx_hare import NOISE, YEARS, observation, simulate, trajectory

THETA = np.array([0.55, 0.028, 0.80, 0.024, 34.0, 5.9], np.float32)


def test_trajectory_agrees_with_an_independent_integrator():
    def field(_, y):
        return [THETA[0] * y[0] - THETA[1] * y[0] * y[1], THETA[3] * y[0] * y[1] - THETA[2] * y[1]]

    times = np.arange(21.0)
    exact = solve_ivp(field, (0, 20), THETA[4:], t_eval=times, rtol=1e-9, atol=1e-9).y.T
    # The controller keeps each step to 1e-4 in the logarithm; some hundred steps.
    path = np.asarray(trajectory(jnp.asarray(THETA), jnp.asarray(times, jnp.float32)))
    np.testing.assert_allclose(path, np.log(exact), atol=5e-3)


def test_trajectories_keep_the_conserved_quantity():
    # growth H - death log H + predation L - birth log L is constant along every solution.
    prior = gb.tasks.lynx_hare().prior
    theta = np.asarray(prior.sample(20, seed=3))
    paths = np.asarray(jax.vmap(lambda t: trajectory(t, jnp.linspace(0.0, 20.0, 50)))(theta))
    birth, predation, death, growth = theta.T[:4, :, None]
    hare, lynx = np.moveaxis(paths, 2, 0)
    value = growth * np.exp(hare) - death * hare + predation * np.exp(lynx) - birth * lynx
    good = np.isfinite(value).all(axis=1)
    assert good.sum() >= 18
    scale = (np.abs(death * hare) + np.abs(birth * lynx)).max(axis=1)[good]
    assert np.all(np.ptp(value[good], axis=1) < 0.05 * scale)


def test_noise_is_that_of_the_logarithm():
    runs = np.asarray(jax.vmap(lambda k: simulate(k, jnp.asarray(THETA)))(jax.random.split(jax.random.key(0), 4000)))
    # 4000 runs x 42 values: relative error of a standard deviation 1 / sqrt(2 x 168000) = 0.0017.
    assert runs.std(axis=0).mean() == pytest.approx(NOISE, rel=5 * 0.0017)


def test_record_is_the_one_of_the_company():
    x_o = observation()
    assert x_o.shape == (len(YEARS), 2) == (21, 2)
    np.testing.assert_allclose(np.exp(x_o[[0, 3, 20]]), [[30.0, 4.0], [77.4, 35.2], [24.7, 8.6]], rtol=1e-5)


def test_linear_gaussian_cost_is_the_mean_of_simulated_distances():
    task = gb.tasks.linear_gaussian()
    theta = np.linspace(-1, 1, 10).astype(np.float32)
    x_o = np.full(10, 2.0, np.float32)
    runs = gb.simulate_at(task.simulator, np.tile(theta, (20000, 1)), seed=1, progress=False)
    distances = np.mean((runs.x - x_o) ** 2, axis=1)
    assert task.cost is not None
    error = distances.std() / np.sqrt(len(distances))
    assert float(task.cost(theta, x_o)) == pytest.approx(distances.mean(), abs=4 * error)
