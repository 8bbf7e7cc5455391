"""Lotka-Volterra of the common benchmark: an independent integrator, laws of the noise, the exact cost, Monte Carlo."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from genbayes.tasks.lotka_volterra import LOWEST, NOISE, TIMES, lotka_volterra, simulate, trajectory
from genbayes.tasks.monte_carlo import expected_distance

THETA = np.array([0.9, 0.05, 0.85, 0.05], np.float32)


@pytest.fixture(scope="module")
def task():
    return lotka_volterra()


@pytest.fixture(scope="module")
def paths():
    return jax.jit(jax.vmap(trajectory))


def independent(theta: np.ndarray) -> np.ndarray:
    """By LSODA in the densities' logarithms, with the clamp of the benchmark."""
    alpha, beta, gamma, delta = theta.astype(float)

    def field(t: float, y: np.ndarray) -> list[float]:
        return [alpha - beta * np.exp(y[1]), delta * np.exp(y[0]) - gamma]

    start = np.log([30.0, 1.0])
    path = solve_ivp(field, (0, 20), start, method="LSODA", t_eval=2.1 * np.arange(10), rtol=1e-9, atol=1e-9).y.T
    return np.clip(path, np.log(1e-10), np.log(1e4))


def test_trajectories_agree_with_an_independent_integrator(task, paths):
    theta = np.asarray(task.prior.sample(100, seed=1))
    exact = np.array([independent(one) for one in theta])
    found = np.asarray(paths(theta))
    # Measured: at most 4e-4 over 600 draws of the prior.
    np.testing.assert_allclose(found, exact, atol=2e-3)
    # Mutants: predator and prey exchanged, and the times of 20 equal parts, are far beyond that tolerance.
    assert np.abs(found[:, :, ::-1] - exact).max(axis=(1, 2)).min() > 1
    swapped = np.asarray(paths(theta[:, [0, 3, 2, 1]]))
    assert np.median(np.abs(swapped - exact).max(axis=(1, 2))) > 0.1


def test_prior_runs_do_not_fail_and_stay_above_the_clamp(task, paths):
    found = np.asarray(paths(np.asarray(task.prior.sample(2000, seed=2))))
    assert np.isfinite(found).all()
    assert found.min() >= np.float32(np.log(LOWEST))
    np.testing.assert_allclose(np.exp(found[:, 0]), np.tile([30.0, 1.0], (2000, 1)), rtol=1e-5)


def test_a_failed_integration_gives_nan(paths):
    # Rates of 10,000 a time unit need far more than the largest number of steps.
    bad = np.array([THETA, THETA * np.float32(1e4)])
    found = np.isnan(np.asarray(paths(bad)))
    assert not found[0].any()
    assert found[1].all()


def test_prior_is_the_published_one(task):
    logs = np.log(np.asarray(task.prior.sample(20_000, seed=0), np.float64))
    # Standard error of a mean 0.5 / sqrt(20,000) = 0.0035, of a standard deviation 0.0025.
    np.testing.assert_allclose(logs.mean(axis=0), [-0.125, -3.0, -0.125, -3.0], atol=5 * 0.0035)
    np.testing.assert_allclose(logs.std(axis=0), 0.5, atol=5 * 0.0025)
    assert task.prior.names == ("alpha", "beta", "gamma", "delta")


def test_noise_is_log_normal_with_a_tenth():
    runs = np.asarray(jax.vmap(simulate, (0, None))(jax.random.split(jax.random.key(0), 4000), jnp.asarray(THETA)))
    assert runs.shape == (4000, len(TIMES), 2)
    # 4000 runs of 20 values: relative error of the standard deviation 1 / sqrt(2 x 80,000) = 0.0025.
    assert runs.std(axis=0).mean() == pytest.approx(NOISE, rel=5 * 0.0025)
    # 20 means, each within 4 standard errors but for 6e-5 x 20 of all seeds; the integrator adds 4e-4.
    np.testing.assert_allclose(runs.mean(axis=0), independent(THETA), atol=4.5 * NOISE / np.sqrt(4000) + 4e-4)


@pytest.mark.slow
def test_cost_is_the_mean_of_simulated_distances(task):
    theta = np.asarray(task.prior.sample(40, seed=3))
    x_o = independent(THETA).astype(np.float32)
    exact = np.asarray(task.cost(theta, x_o))
    mean, error = expected_distance(task, theta, x_o, 2000, seed=0)
    # 40 rows beyond 4.5 standard errors: 3e-4 of all seeds.
    assert np.all(np.abs(mean - exact) < 4.5 * error + 1e-5 * exact)
    # Mutant: without the noise's own distance.
    assert np.any(np.abs(mean - (exact - NOISE**2)) > 4.5 * error + 1e-5 * exact)


def test_highest_beta_is_below_that_of_the_likelihood(task):
    # The normal likelihood of 20 log densities is exp(-1000 mean squared error): beta at which nothing is tempered.
    assert task.betas == tuple(sorted(task.betas))
    assert task.betas[-1] < 20 / (2 * NOISE**2)


def test_missing_diffrax_is_said_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(ImportError, match=r"the lotka_volterra task needs diffrax: pip install 'genbayes\[tasks\]'"):
        lotka_volterra()
