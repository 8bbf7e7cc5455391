"""From a simulator to draws through a FITTED cost, against closed forms; and the checks by new runs."""

from dataclasses import replace
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.costs.forms import FunctionForm
from genbayes.tasks.linear_gaussian import NOISE_VARIANCE, SHIFT, expected_distance, gibbs_posterior

N = 4000
SIMULATIONS = 10_000


@pytest.fixture(scope="module")
def fitted() -> tuple[gb.tasks.Task, gb.Cost]:
    task = gb.tasks.linear_gaussian()
    simulations = gb.simulate(task.simulator, task.prior, SIMULATIONS, seed=11, progress=False)
    return task, gb.fit_cost(simulations, task.distance, seed=0, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [gb.SMC(), gb.NUTS(chains=16, warmup=200)], ids=lambda s: s.name)
@pytest.mark.parametrize("beta", [1.0, 10.0])
def test_draws_through_the_fitted_cost(fitted, sampler, beta):
    task, cost = fitted
    x_o = np.asarray(task.simulator(jax.random.key(3), jnp.linspace(-1.5, 1.5, 10)))
    draws = gb.GibbsPosterior(task.prior, cost, x_o, beta).sample(N, seed=1, sampler=sampler)
    mean, std = gibbs_posterior(x_o, beta)
    # Least squares from n rows predicts E[x_j] at theta with error sd noise_j sqrt((1 + |theta|^2) / n); the posterior
    # mean of theta_j moves by that times the weight of the data. Slopes of the spread move it as much again at most.
    weight = 1 - std**2
    regression = weight * np.sqrt(NOISE_VARIANCE * (1 + np.sum(mean**2) + 10 * std**2) / SIMULATIONS)
    monte_carlo = std / np.sqrt(N / 2)
    wrong = np.abs(draws.flat.mean(axis=0) - mean)
    assert np.all(wrong < 5 * (2 * regression + monte_carlo))
    # The slopes' own relative error, 1 / sqrt(n) times noise, is far below the variance's Monte Carlo error.
    ratio = draws.flat.var(axis=0) / std**2
    assert np.all(np.abs(ratio - 1) < 5 * np.sqrt(2 / (N / 2)) + 0.05)
    # The tolerance must see what it is for: a cost fitted to another shift.
    assert np.any(
        np.abs(draws.flat.mean(axis=0) - gibbs_posterior(x_o + 2, beta)[0]) > 5 * (2 * regression + monte_carlo)
    )


@pytest.mark.slow
@pytest.mark.long
def test_predictive_check_of_a_known_posterior(fitted):
    task, cost = fitted
    x_o = np.asarray(task.simulator(jax.random.key(5), jnp.zeros(10)))
    posterior = gb.GibbsPosterior(task.prior, cost, x_o, 10.0)
    draws = posterior.sample(N, seed=1)
    check = gb.check_predictive(task.simulator, posterior, draws, n=2000, seed=9, progress=False)
    mean, std = gibbs_posterior(x_o, 10.0)
    exact = np.mean((mean + SHIFT - x_o) ** 2) + std**2
    exact += NOISE_VARIANCE.mean()
    error = check.simulated.std() / np.sqrt(len(check.simulated))
    assert check.simulated.mean() == pytest.approx(exact, abs=5 * error + 0.01 * exact)
    assert abs(check.relative_error) < 5 * check.standard_error + 0.01
    # Two runs at one parameter differ by twice the noise variance.
    error = check.replicate.std() / np.sqrt(len(check.replicate))
    assert check.replicate.mean() == pytest.approx(2 * NOISE_VARIANCE.mean(), abs=5 * error)
    assert check.outcome.ok


def test_predictive_check_sees_a_wrong_cost(fitted):
    # The mutant: the cost of another simulator (shifted by 1 in every coordinate).
    task, cost = fitted
    x_o = np.asarray(task.simulator(jax.random.key(5), jnp.zeros(10)))
    posterior = gb.GibbsPosterior(task.prior, cost, x_o, 10.0)
    draws = posterior.sample(400, seed=1)
    check = gb.check_predictive(
        lambda key, theta: task.simulator(key, theta) + 1, posterior, draws, n=400, seed=9, progress=False
    )
    assert "is off by" in str(check.outcome)


def test_failed_runs_at_draws_are_counted(fitted):
    task, cost = fitted
    posterior = gb.GibbsPosterior(task.prior, cost, np.zeros(10, np.float32), 1.0)
    draws = posterior.sample(400, seed=1)

    def fails_for_some(key, theta):
        return jnp.where(theta[0] > 0, jnp.nan, task.simulator(key, theta))

    check = gb.check_predictive(fails_for_some, posterior, draws, n=400, seed=2, progress=False)
    assert check.n_failed == int(np.sum(draws.flat[:, 0] > 0))
    assert np.all(check.theta[:, 0] <= 0)
    assert "runs at posterior draws failed" in str(check.outcome)


def test_beta_beyond_what_the_ensemble_resolves_is_told(fitted):
    # Two members of known costs: they differ by 0.04 theta_0, so that each is 0.02 theta_0 away from their mean.
    task, _ = fitted

    class TwoMembers(FunctionForm):
        def member_values(self, theta, embedded):
            return self.function(theta, embedded) + jnp.array([-0.02, 0.02]) * theta[0]

    exact = cast(gb.Cost, task.cost)
    cost = replace(exact, form=TwoMembers(expected_distance), distance=task.distance)
    for beta, expected in ((1.0, True), (4000.0, False)):
        posterior = gb.GibbsPosterior(task.prior, cost, np.zeros(10, np.float32), beta)
        draws = posterior.sample(2000, seed=1)
        check = gb.check_predictive(task.simulator, posterior, draws, n=1000, seed=2, progress=False)
        # A member's variance, 2 x (0.02 sd)^2 / (2 - 1), halved for the mean of two.
        std = gibbs_posterior(np.zeros(10), beta)[1]
        assert check.log_density_error == pytest.approx(beta * 0.02 * std, rel=0.1)
        assert ("beta is larger than the fit resolves" not in str(check.outcome)) == expected
