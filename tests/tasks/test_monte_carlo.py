"""Monte Carlo costs against exact ones, with mutants; failures, reproducibility, compilation, messages."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.tasks.linear_gaussian import SHIFT, simulate
from genbayes.tasks.monte_carlo import expected_distance
from genbayes.tasks.task import Task

X_O = np.linspace(-1, 2, 10).astype(np.float32)


@pytest.fixture(scope="module")
def task():
    return gb.tasks.linear_gaussian()


@pytest.fixture(scope="module")
def theta(task):
    return np.asarray(task.prior.sample(50, seed=0))


def failing(share: float) -> Task:
    """x = theta + noise, of which a share of the runs fails."""

    def simulator(key, theta):
        chance, noise = jax.random.split(key)
        return jnp.where(jax.random.uniform(chance) < share, jnp.nan, theta + jax.random.normal(noise, (1,)))

    prior = gb.Prior({"theta": dist.Normal(0.0, 1.0)})
    return Task("failing", prior, simulator, gb.distances.MeanSquaredError())


@pytest.mark.slow
def test_agrees_with_the_exact_cost_and_mutants_do_not(task, theta):
    mean, error = expected_distance(task, theta, X_O, 5000, seed=0)
    exact = np.asarray(task.cost(theta, X_O), np.float64)
    score = (mean - exact) / error
    # 50 rows within 4 standard errors: 0.3 % of all seeds fail. Their mean square is chi-squared of 50: 4.5 standard
    # errors of it are 4.5 sqrt(2 / 50); errors that are too large or too small by half would be seen.
    assert np.abs(score).max() < 4
    assert abs(np.mean(score**2) - 1) < 4.5 * np.sqrt(2 / 50)
    # Mutants: another observation, coordinates scrambled, less noise, the distance to the mean output.
    mutants = [
        expected_distance(task, theta, X_O + np.float32(0.05), 5000, seed=0)[0],
        expected_distance(task, theta, X_O[::-1], 5000, seed=0)[0],
        expected_distance(dataclasses.replace(task, simulator=quiet), theta, X_O, 5000, seed=0)[0],
        mean - 0.75,
    ]
    assert all(np.abs((mutant - exact) / error).max() > 4 for mutant in mutants)


def quiet(key, theta):
    return theta + SHIFT + 0.9 * (simulate(key, theta) - theta - SHIFT)


def test_standard_error_is_that_of_repetitions(task, theta):
    rows = np.repeat(theta[:1], 400, axis=0)
    mean, error = expected_distance(task, rows, X_O, 200, seed=3)
    # Rows are independent: 400 repetitions have a relative error of their standard deviation of 1 / sqrt(800).
    assert mean.std(ddof=1) == pytest.approx(error.mean(), rel=4.5 / np.sqrt(800))


def test_rows_and_runs_do_not_depend_on_how_many_there_are(task, theta, monkeypatch):
    mean, error = expected_distance(task, theta, X_O, 3000, seed=1)
    again, _ = expected_distance(task, theta, X_O, 3000, seed=1)
    np.testing.assert_array_equal(mean, again)
    fewer, _ = expected_distance(task, theta[:3], X_O, 3000, seed=1)
    np.testing.assert_allclose(fewer, mean[:3], rtol=1e-5)
    other, _ = expected_distance(task, theta, X_O, 3000, seed=2)
    assert np.all(other != mean)
    # In blocks of 4 rows and 256 runs, none of which divide 50 or 3000.
    monkeypatch.setattr("genbayes.tasks.monte_carlo._MOST_RUNS", 256)
    monkeypatch.setattr("genbayes.tasks.monte_carlo._MOST_NUMBERS", 4 * 256 * 10)
    small, small_error = expected_distance(task, theta, X_O, 3000, seed=1)
    np.testing.assert_allclose(small, mean, rtol=1e-5)
    np.testing.assert_allclose(small_error, error, rtol=1e-4)


def test_failed_runs_are_left_out_and_most_failing_is_nan():
    theta = np.zeros((4, 1), np.float32)
    # A third fails: E[(theta + noise - 1)^2] = 2 of what works. Its variance is 6.
    mean, error = expected_distance(failing(1 / 3), theta, np.ones(1, np.float32), 6000, seed=0)
    np.testing.assert_allclose(mean, 2.0, atol=4.5 * np.sqrt(6 / 4000))
    # sqrt(6 / 4000), to 5 %: of the variance's variance and of the number of runs.
    np.testing.assert_allclose(error, np.sqrt(6 / 4000), rtol=0.12)
    mean, error = expected_distance(failing(2 / 3), theta, np.ones(1, np.float32), 6000, seed=0)
    assert np.isnan(mean).all()
    assert np.isnan(error).all()


def test_new_parameters_observations_and_seeds_compile_nothing(task, theta):
    traces = []

    def simulator(key, theta):
        traces.append(1)
        return task.simulator(key, theta)

    counted = dataclasses.replace(task, simulator=simulator)
    expected_distance(counted, theta, X_O, 2000, seed=0)
    traces.clear()
    # output_shape traces the simulator for its shape, which is no compilation: at most one trace per call.
    for seed in range(1, 4):
        expected_distance(counted, theta + seed / 10, X_O * seed, 1900 + seed, seed=seed)
    assert len(traces) <= 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": np.zeros(10)}, r"theta must have shape \(m, 10\), m >= 1: .*got \(10,\)"),
        ({"theta": np.zeros((3, 4))}, r"theta must have shape \(m, 10\).*got \(3, 4\)"),
        ({"theta": np.zeros((0, 10))}, r"theta must have shape \(m, 10\).*got \(0, 10\)"),
        ({"theta": np.full((2, 10), np.nan)}, "outside the prior's support"),
        ({"x_o": np.zeros(9)}, r"x_o has shape \(9,\), but the simulator's outputs have shape \(10,\)"),
        ({"x_o": np.full(10, np.nan)}, r"x_o has 10 value\(s\) that are NaN"),
        ({"runs": 1}, "runs must be a whole number of at least 2.*got 1"),
        ({"runs": True}, "runs must be a whole number of at least 2.*got True"),
        ({"seed": -1}, r"`seed` must lie in \[0, 2\*\*32\), got -1"),
    ],
)
def test_messages(task, theta, change, message):
    given = {"theta": theta, "x_o": X_O, "runs": 100, "seed": 0} | change
    with pytest.raises(ValueError, match=message):
        expected_distance(task, given["theta"], given["x_o"], given["runs"], seed=given["seed"])


def test_a_distance_that_needs_fitting_says_so(task, theta):
    unfitted = dataclasses.replace(task, distance=gb.distances.MeanSquaredError(scale="prior_predictive"))
    with pytest.raises(ValueError, match="takes its scale from the training simulations"):
        expected_distance(unfitted, theta, X_O, 100, seed=0)
