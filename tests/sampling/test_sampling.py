"""Every sampler against closed forms, through the public call.

Tolerances: draws are equal-weight and nearly independent; with N of them, allowing for half of them as effective, a
mean is off by more than 5 sd / sqrt(N / 2) and a (co)variance by more than 5 var sqrt(2 / (N / 2)) with a probability
below 1e-6 each. Keys are fixed, so that a test that passes keeps passing.
"""

from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import genbayes as gb
from genbayes.runtime.outcome import Outcome
from genbayes.sampling.hamiltonian_moves import _normal
from genbayes.sampling.sampler import Sampled
from genbayes.tasks import linear_gaussian as task_of
from genbayes.tasks.linear_gaussian import gibbs_posterior, log_evidence

N = 4000
PLAIN: dict[str, Any] = {"names": ("t",), "beta": 1.0, "x_o": np.zeros(1), "sampler": "", "seed": 0}
SAMPLERS = [gb.SMC(), gb.NUTS(chains=16, warmup=200)]
named = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.name)
TASK = task_of()
COST = cast(gb.Cost, TASK.cost)
X_O = np.asarray(TASK.simulator(jax.random.key(3), jnp.linspace(-1.5, 1.5, 10)))


def posterior(beta: float, x_o: np.ndarray = X_O) -> gb.GibbsPosterior:
    return gb.GibbsPosterior(TASK.prior, COST, x_o, beta)


def errors_in_tolerances(flat: np.ndarray, mean: np.ndarray, std: float) -> tuple[float, float]:
    """Largest error of a mean and of a covariance entry, in units of its tolerance: at most 1 for right draws."""
    z = (flat - mean) / std
    covariance = np.cov(z.T)
    wrong = np.abs(covariance - np.eye(z.shape[1]))
    allowed = 5 * np.sqrt(np.where(np.eye(z.shape[1]) > 0, 2.0, 1.0) / (len(z) / 2))
    return float(np.abs(z.mean(axis=0)).max() / (5 / np.sqrt(len(z) / 2))), float((wrong / allowed).max())


@named
@pytest.mark.parametrize("beta", [1.0, 100.0])
def test_linear_gaussian_means_and_covariances(sampler, beta):
    draws = posterior(beta).sample(N, seed=1, sampler=sampler)
    mean_error, covariance_error = errors_in_tolerances(draws.flat, *gibbs_posterior(X_O, beta))
    assert mean_error < 1
    assert covariance_error < 1
    assert draws.outcome.ok, draws.outcome
    np.testing.assert_allclose(draws.cost, COST(draws.theta, X_O), rtol=1e-4)


def test_momenta_are_the_normal_numbers_of_their_keys() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    rows = [jax.random.normal(key, (50, 4)) for key in keys]
    # Two keys must not share theirs, nor rows of a key.
    np.testing.assert_allclose(jax.jit(_normal, static_argnums=(1, 2))(keys, 50, 4), np.stack(rows), rtol=1e-5)


def test_the_tolerance_sees_a_wrong_temperature():
    # Draws of 80 % of the asked beta: variance 1.24 times too large. This mutant must fail the test above.
    draws = posterior(80.0).sample(N, seed=1)
    assert max(errors_in_tolerances(draws.flat, *gibbs_posterior(X_O, 100.0))) > 1


@named
def test_beta_near_zero_returns_the_prior(sampler):
    draws = posterior(1e-6).sample(N, seed=2, sampler=sampler)
    assert max(errors_in_tolerances(draws.flat, np.zeros(10), 1.0)) < 1


@pytest.mark.slow
@named
def test_bounded_prior_gives_the_truncated_posterior(sampler):
    # cost (theta - 1.2)^2 on U(-1, 1): a normal of variance 1 / (2 beta) around 1.2, cut to the left of its mean.
    prior = gb.Prior.uniform([-1.0], [1.0], ["t"])
    cost = gb.Cost.exact(lambda t, x: jnp.sum((t - x) ** 2), names=("t",), x_shape=(1,), units="1")
    draws = gb.GibbsPosterior(prior, cost, np.array([1.2], np.float32), 5.0).sample(N, seed=3, sampler=sampler)
    std = np.sqrt(1 / 10)
    exact = stats.truncnorm((-1 - 1.2) / std, (1 - 1.2) / std, loc=1.2, scale=std)
    # Kolmogorov-Smirnov: beyond 1.95 / sqrt(n_effective) once in a thousand keys; half of the draws as effective.
    assert stats.kstest(draws.flat[:, 0], exact.cdf).statistic < 1.95 / np.sqrt(N / 2)
    assert np.all(np.abs(draws.theta) <= 1)


def test_smc_shares_two_modes_rightly_and_populations_agree():
    # exp(-beta cost) is a mixture of two normals with weights 0.8 and 0.2, 12 standard deviations apart.
    def mixture(t, x):
        one, two = (jnp.log(w) - 0.5 * jnp.sum((t - m) ** 2) / 0.25 for w, m in ((0.8, -3.0), (0.2, 3.0)))
        return -jnp.logaddexp(one, two) + jnp.sum(0 * x)

    prior = gb.Prior.uniform([-10.0], [10.0], ["t"])
    cost = gb.Cost.exact(mixture, names=("t",), x_shape=(1,), units="1")
    draws = gb.GibbsPosterior(prior, cost, np.zeros(1, np.float32), 1.0).sample(8000, seed=4)
    # The share is carried by few early particles: its error is that of about 8000 x 5 % (prior mass near the modes).
    assert np.mean(draws.theta < 0) == pytest.approx(0.8, abs=5 * np.sqrt(0.8 * 0.2 / 400))
    left = draws.flat[draws.flat[:, 0] < 0, 0]
    assert left.std() == pytest.approx(0.5, rel=5 * np.sqrt(1 / 2 / (len(left) / 2)))


def test_smc_returns_equal_weight_draws_of_the_right_variance():
    # The trap: particles that were moved at the previous temperature and come weighted have nearly twice the variance.
    prior = gb.Prior({"t": dist.Normal(0.0, 1.0)})
    cost = gb.Cost.exact(lambda t, x: jnp.sum((t - x) ** 2), names=("t",), x_shape=(1,), units="1")
    beta = (1 / 0.243 - 1) / 2
    draws = gb.GibbsPosterior(prior, cost, np.array([0.5], np.float32), beta).sample(N, seed=5)
    assert draws.flat.var() == pytest.approx(0.243, rel=5 * np.sqrt(2 / (N / 2)))
    assert 5 * np.sqrt(2 / (N / 2)) < 0.473 / 0.243 - 1


@pytest.mark.parametrize("beta", [1.0, 10.0, 100.0])
def test_smc_log_evidence(beta):
    draws = posterior(beta).sample(N, seed=6)
    each = draws.statistics["log_evidence_per_population"]
    # Jensen's bias is half the variance between populations; 4 populations, so a t-quantile rather than a normal one.
    error = stats.t.ppf(0.9999, 3) * each.std(ddof=1) / np.sqrt(4) + each.var(ddof=1) / 2 + 1e-3
    assert error < 2
    assert abs(draws.statistics["log_evidence"] - log_evidence(X_O, beta)) < error


def test_smc_reports_its_ladder():
    draws = posterior(100.0).sample(N, seed=6)
    ladder = draws.statistics["beta_ladder"]
    assert np.all(np.diff(ladder) >= 0)
    assert ladder[-1] == pytest.approx(100.0)
    tempering = np.concatenate([[True], np.diff(ladder) > 0]) & (ladder < 99)
    # The rule: every step that is not the last keeps half of the particles' effective size.
    np.testing.assert_allclose(draws.statistics["ess"][tempering], 0.5, atol=0.05)
    assert np.all(draws.statistics["acceptance"] > 0.3)


@named
def test_few_draws_are_of_the_same_quality(sampler):
    draws = posterior(10.0).sample(100, seed=7, sampler=sampler)
    assert 100 <= len(draws) < 100 + draws.theta.shape[0]
    mean, std = gibbs_posterior(X_O, 10.0)
    assert np.abs((draws.flat - mean) / std).mean() == pytest.approx(np.sqrt(2 / np.pi), rel=0.2)


@named
def test_same_seed_same_draws_other_seed_others(sampler):
    one, again, other = (posterior(10.0).sample(200, seed=s, sampler=sampler).theta for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.any(one == other)


@named
def test_another_observation_or_beta_compiles_nothing(sampler):
    posterior(1.0).sample(N, seed=1, sampler=sampler)
    second = posterior(37.0, X_O + 1).sample(N, seed=2, sampler=sampler)
    assert second.seconds["compile"] == 0
    assert posterior(37.0).sample(N + 400, seed=2, sampler=sampler).seconds["compile"] > 0


def test_cost_that_is_nan_somewhere_is_kept_out():
    prior = gb.Prior.uniform([-1.0], [1.0], ["t"])
    cost = gb.Cost.exact(lambda t, x: jnp.sum(jnp.where(t > 0, t, jnp.nan) - x), names=("t",), x_shape=(1,), units="1")
    draws = gb.GibbsPosterior(prior, cost, np.zeros(1, np.float32), 1.0).sample(1000, seed=8)
    assert np.all(draws.theta > 0)
    # exp(-t) on (0, 1): mean 1 - 1 / (e - 1).
    assert draws.flat.mean() == pytest.approx(1 - 1 / (np.e - 1), abs=5 * 0.29 / np.sqrt(500))


@dataclass(frozen=True)
class Stuck:
    """Four chains that never leave 0, 1, 2, 3."""

    noise: float = 0.0
    name: str = "stuck"

    def run(self, target, n, *, key):
        theta = np.broadcast_to(np.arange(4.0)[:, None, None], (4, n // 4, 10))
        theta = theta + self.noise * np.random.default_rng(0).normal(size=theta.shape)
        return Sampled(theta, np.zeros(theta.shape[:2]), {}, Outcome())


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_stuck_chains_are_seen_through_the_public_call(noise):
    draws = posterior(1.0).sample(400, seed=0, sampler=Stuck(noise))
    assert np.all(draws.rhat > 1.5)
    assert not draws.outcome.ok
    assert "Chains disagree" in str(draws.outcome)


def test_rhat_depends_on_the_axis_order():
    # The mutant: (draw, chain) reshaped instead of transposed mixes the chains, and R-hat looks perfect.
    theta = np.broadcast_to(np.arange(4.0), (100, 4))[:, :, None] + 0.01 * np.random.default_rng(0).normal(
        size=(100, 4, 1)
    )
    kept: dict[str, Any] = {"cost": np.zeros((4, 100)), **PLAIN}
    assert gb.Draws(theta=np.swapaxes(theta, 0, 1), **kept).rhat[0] > 1.5
    assert gb.Draws(theta=theta.reshape(4, 100, 1), **kept).rhat[0] < 1.1


def test_rhat_and_ess_of_known_chains():
    rng = np.random.default_rng(1)
    kept: dict[str, Any] = {"cost": np.zeros((4, 1000)), **PLAIN}
    independent = gb.Draws(theta=rng.normal(size=(4, 1000, 1)), **kept)
    assert independent.rhat[0] < 1.01
    assert independent.ess_bulk[0] > 3000
    # First-order autoregression: ESS = N (1 - rho) / (1 + rho) = N / 19 for rho = 0.9.
    chain = np.zeros((4, 1000))
    noise = rng.normal(size=chain.shape) * np.sqrt(1 - 0.81)
    for i in range(1, 1000):
        chain[:, i] = 0.9 * chain[:, i - 1] + noise[:, i]
    assert gb.Draws(theta=chain[..., None], **kept).ess_bulk[0] == pytest.approx(4000 / 19, rel=0.4)
    # Copies side by side are worth one draw.
    copies = gb.Draws(theta=np.repeat(independent.theta[:, :250], 4, axis=1), **kept)
    assert copies.ess_bulk[0] < 1600


def test_smc_that_runs_out_of_stages_says_so():
    draws = posterior(100.0).sample(400, seed=1, sampler=gb.SMC(max_stages=3))
    assert "SMC stopped after 3 temperatures" in str(draws.outcome)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: gb.SMC(ess_share=1.5), "ess_share must lie between 0 and 1"),
        (lambda: gb.SMC(populations=0), "populations must be a whole number of at least 1"),
        (lambda: gb.NUTS(chains=1), "chains must be a whole number of at least 2"),
        (lambda: gb.NUTS(target_acceptance=0.0), "target_acceptance must lie between 0 and 1"),
    ],
)
def test_sampler_settings_are_checked(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_nuts_reports_divergences():
    draws = posterior(1.0).sample(320, seed=1, sampler=gb.NUTS(chains=16, warmup=200))
    assert draws.statistics["divergences"] == 0
    # 16 chains of 20 draws would be judged by their noise: fewer, longer ones.
    assert draws.theta.shape == (4, 80, 10)


def test_datatree_is_in_the_arviz_schema():
    draws = posterior(1.0).sample(400, seed=1)
    tree = draws.to_datatree()
    assert {"posterior", "sample_stats", "observed_data"} <= set(tree.children)
    np.testing.assert_array_equal(tree["posterior/theta[3]"].values, draws.theta[..., 3])
    assert tree["posterior/theta[3]"].dims == ("chain", "draw")
    np.testing.assert_array_equal(tree["sample_stats/cost"].values, draws.cost)
    np.testing.assert_array_equal(tree["observed_data/x_o"].values, draws.x_o)
