"""The epidemic task: an independent integrator, conservation, the binomial law, cost, reference, misspecification."""

import sys

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from genbayes.tasks.monte_carlo import expected_distance
from genbayes.tasks.observations import draw_observations
from genbayes.tasks.sir import POPULATION, TESTED, TIMES, shares, simulate, sir


@pytest.fixture(scope="module")
def task():
    return sir()


@pytest.fixture(scope="module")
def theta(task):
    return np.asarray(task.prior.sample(100, seed=1))


@pytest.fixture(scope="module")
def found(theta):
    return np.asarray(jax.jit(jax.vmap(shares))(theta), np.float64)


def test_shares_agree_with_an_independent_integrator(theta, found):
    def people(rates: np.ndarray) -> np.ndarray:
        contact, recovery = rates.astype(float)

        def field(t: float, y: np.ndarray) -> list[float]:
            new, out = contact * y[0] * y[1] / 1e6, recovery * y[1]
            return [-new, new - out, out]

        days = 17 * np.arange(10)
        return solve_ivp(field, (0, 160), [1e6 - 1, 1, 0], method="LSODA", t_eval=days, rtol=1e-9, atol=1e-6).y.T

    exact = np.array([people(one) for one in theta]) / POPULATION
    # Measured: a few 1e-5 in the shares; the share of positives among 1000 has a resolution of 1e-3.
    np.testing.assert_allclose(found, exact, atol=2e-4)
    # Mutant: observations one day late.
    late = np.array([np.interp(TIMES + 1, TIMES, column) for column in exact[:, :, 1]])
    assert np.abs(late - found[:, :, 1]).max() > 2e-3


def test_nobody_is_lost_and_the_final_size_law_holds(theta, found):
    # Susceptible, infected and recovered are integrated separately.
    np.testing.assert_allclose(found.sum(axis=2), 1.0, atol=1e-4)
    # dS/dR = -(contact / recovery) S: log S + (contact / recovery) R is constant. Errors of R are multiplied by a
    # ratio of up to 20.
    ratio = theta[:, 0] / theta[:, 1]
    constant = np.log(found[:, :, 0]) + ratio[:, None] * found[:, :, 2]
    np.testing.assert_allclose(constant, 0.0, atol=2e-3)


def test_counts_are_binomial(theta, found):
    runs, rows = 4000, slice(0, 5)
    keys = jax.random.split(jax.random.key(0), runs)
    counts = np.asarray(jax.jit(jax.vmap(jax.vmap(simulate, (None, 0)), (0, None)))(keys, theta[rows]), np.float64)
    assert counts.shape == (runs, 5, len(TIMES))
    assert np.array_equal(counts, np.round(counts))
    p = found[rows, :, 1]
    variance = TESTED * p * (1 - p)
    # 50 means, and the variances where counts are not rare; 4.5 standard errors each: 5e-4 of all seeds.
    # Less than one expected positive in all is no normal variable.
    assert np.all(np.abs(counts.mean(axis=0) - TESTED * p) < 4.5 * np.sqrt(variance / runs) + 1.5 / runs)
    often = variance > 5
    assert often.sum() >= 15
    # The standard error of a sample variance is sqrt((2 + excess kurtosis) / runs), the excess at most 1 / 5.
    error = 4.5 * np.sqrt(2.2 / runs)
    np.testing.assert_allclose(counts.var(axis=0)[often] / variance[often], 1.0, atol=error)
    # Mutant: Poisson counts have the same mean, but where much of the population is infected another variance.
    assert np.abs(counts.var(axis=0)[often] / (TESTED * p[often]) - 1.0).max() > error


def test_prior_is_the_published_one(task):
    logs = np.log(np.asarray(task.prior.sample(20_000, seed=0), np.float64))
    np.testing.assert_allclose(logs.mean(axis=0), np.log([0.4, 0.125]), atol=5 * 0.5 / np.sqrt(20_000))
    np.testing.assert_allclose(logs.std(axis=0) / [0.5, 0.2], 1.0, atol=5 / np.sqrt(40_000))


@pytest.mark.slow
def test_cost_is_the_mean_of_simulated_distances(task, theta):
    x_o = np.array([0, 3, 150, 300, 120, 40, 10, 3, 1, 0], np.float32)
    exact = np.asarray(task.cost(theta[:40], x_o))
    mean, error = expected_distance(task, theta[:40], x_o, 2000, seed=0)
    # 40 rows beyond 4.5 standard errors: 3e-4 of all seeds. The last term: float32, and epidemics so small that the
    # runs have seen none of their rare positives.
    slack = 4.5 * error + 1e-5 * exact
    assert np.all(np.abs(mean - exact) < slack)
    # Mutants: without the binomial variance; another observation.
    p = np.asarray(jax.vmap(shares)(theta[:40]))[:, :, 1]
    assert np.any(np.abs(mean - (exact - (p * (1 - p)).mean(axis=1) / TESTED)) > slack)
    assert np.any(np.abs(mean - np.asarray(task.cost(theta[:40], x_o + 10))) > slack)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("beta", [10.0, 10_000.0])
def test_reference_draws_have_the_means_of_weighted_prior_draws(task, beta):
    x_o = np.array([0, 3, 150, 300, 120, 40, 10, 3, 1, 0], np.float32)
    draws = np.log(task.reference(x_o, beta, 4000, 0))
    prior = np.asarray(task.prior.sample(40_000, seed=7))
    cost = np.asarray(task.cost(prior, x_o), np.float64)
    weights = np.exp(-beta * (cost - cost.min()))
    weights /= weights.sum()
    logs = np.log(prior)
    mean = weights @ logs
    std = np.sqrt(weights @ (logs - mean) ** 2)
    # Four comparisons of independent draws; 4.5 standard errors of both: 3e-5 of all seeds.
    effective = 1 / np.sum(weights**2)
    assert effective > 50
    error = 4.5 * np.sqrt(1 / effective + 1 / len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - mean) < error * std)
    assert np.all(np.abs(np.log(draws.std(axis=0) / std)) < error)
    # Mutant: draws of a third of the temperature are too narrow, and not even close.
    wrong = np.log(task.reference(x_o, 10 * beta, 4000, 0))
    assert np.any(np.abs(np.log(wrong.std(axis=0) / std)) > error)


def test_misspecified_counts_are_whole_possible_and_beyond_any_simulation(task):
    x = draw_observations(task, 20, seed=0)
    wrong = x["misspecified"]
    assert np.array_equal(wrong, np.round(wrong))
    assert wrong.min() >= 0
    assert wrong.max() <= TESTED
    largest = np.asarray(draw_observations(task, 2000, seed=5)["specified"]).max(axis=0)
    # Beyond 10,000 simulations in one coordinate is beyond 2,000 others but for about 10 x 2,000 / 10,000 coordinates.
    assert np.mean(np.any(wrong > largest, axis=1)) > 0.8


def test_missing_diffrax_is_said_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(ImportError, match=r"the sir task needs diffrax: pip install 'genbayes\[tasks\]'"):
        sir()
