"""Baselines without sbi: rejection against its closed form, the particle sampler against known posteriors, and more."""

import inspect
import sys
from dataclasses import replace

import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.benchmark.methods import METHODS, MethodDraws
from genbayes.benchmark.methods.cost_methods import CostMethod
from genbayes.benchmark.methods.method import checked_observation
from genbayes.benchmark.methods.particles import Particles
from genbayes.benchmark.methods.rejection import RejectionABC, accept
from genbayes.distances.batched import distances_to
from genbayes.tasks.linear_gaussian import NOISE_VARIANCE, SHIFT, gibbs_posterior

TASK = gb.tasks.linear_gaussian()
X_O = (SHIFT + 1.5).astype(np.float32)
SMALL = gb.FitConfig(members=1, width=8, depth=1, max_epochs=2, targets=4)


@pytest.fixture(scope="module")
def simulations() -> gb.Simulations:
    return gb.simulate(TASK.simulator, TASK.prior, 20_000, seed=0, progress=False)


@pytest.fixture(scope="module")
def few() -> gb.Simulations:
    return gb.simulate(TASK.simulator, TASK.prior, 1000, seed=1, progress=False)


def test_names_and_signatures_are_those_of_the_protocol():
    names = ["ace", "ace-general", "exact", "abc", "npe", "nle", "nle-tempered", "emulator-gbi"]
    assert list(METHODS) == names
    for name, method in METHODS.items():
        assert method.name == name
        assert list(inspect.signature(method.fit).parameters) == ["task", "simulations", "seed", "progress"]


@pytest.mark.parametrize("name", ["ace", "ace-general", "exact", "abc"])
def test_what_every_method_returns(name, few):
    method = METHODS[name]
    if isinstance(method, CostMethod):
        method = replace(method, config=SMALL)
    fitted = method.fit(TASK, few, seed=0, progress=False)
    assert set(fitted.seconds) == {"compile", "run"}
    assert fitted.tempered
    draws = fitted.sample(X_O, 2.0, 300, seed=0)
    assert isinstance(draws, MethodDraws)
    assert draws.theta.shape == (300 if name != "abc" else len(draws.theta), 10)
    assert draws.theta.dtype == np.float32
    assert set(draws.seconds) == {"compile", "run"}
    predicted = fitted.predicted_cost(draws.theta, X_O)
    assert (predicted is None) == (name == "abc")
    assert predicted is None or predicted.shape == (300,)
    again = fitted.sample(X_O, 2.0, 300, seed=0)
    np.testing.assert_array_equal(draws.theta, again.theta)


@pytest.mark.slow
@pytest.mark.long
def test_ace_is_near_the_closed_form(few):
    fitted = METHODS["ace"].fit(TASK, few, seed=0, progress=False)
    draws = fitted.sample(X_O, 10.0, 4000, seed=0)
    mean, sd = gibbs_posterior(X_O, 10.0)
    # At |theta|^2 = 10, a regression on 1000 rows errs by sqrt(noise variance (1 + 10) / 1000) in each output, 2/3 of
    # which goes into the mean. 4.5 standard errors for ten coordinates, and 0.03 for the sampler.
    error = 2 / 3 * np.sqrt(NOISE_VARIANCE * 11 / 1000)
    np.testing.assert_array_less(np.abs(draws.theta.mean(axis=0) - mean), 4.5 * error + 0.03)
    np.testing.assert_allclose(draws.theta.std(axis=0), sd, rtol=0.1)
    predicted = fitted.predicted_cost(draws.theta, X_O)
    assert TASK.cost is not None
    assert predicted is not None
    assert np.corrcoef(predicted, TASK.cost(draws.theta, X_O))[0, 1] > 0.95


def test_exact_needs_a_reference(few):
    with pytest.raises(ValueError, match=r"task 'linear_gaussian' has no exact reference.*leave 'exact' out"):
        METHODS["exact"].fit(replace(TASK, reference=None), few, seed=0, progress=False)


def test_exact_returns_the_reference(few):
    def reference(x_o, beta, n, seed):
        return np.full((n, 10), beta + seed)

    fitted = METHODS["exact"].fit(replace(TASK, reference=reference), few, seed=0, progress=False)
    assert np.all(fitted.sample(X_O, 3.0, 20, seed=4).theta == 7)
    theta = np.zeros((2, 10), np.float32)
    predicted = fitted.predicted_cost(theta, X_O)
    assert TASK.cost is not None
    assert predicted is not None
    np.testing.assert_allclose(predicted, TASK.cost(theta, X_O))


def test_rejection_has_the_closed_form_of_single_distances(simulations):
    # prior(theta) E[exp(-beta d)]: the kernel is normal with variance 5 / beta, the outputs add their own variance.
    draws = METHODS["abc"].fit(TASK, simulations, seed=0, progress=False).sample(X_O, 1.0, 20_000, seed=0)
    assert draws.beta == 1.0
    assert any("instead of 20000" in message for message in draws.messages)
    assert len(np.unique(draws.theta, axis=0)) == len(draws.theta) > 800
    spread = NOISE_VARIANCE + 5.0
    mean, variance = 1.5 / (1 + spread), spread / (1 + spread)
    n = len(draws.theta)
    # 20 numbers at 4.5 standard errors: one false alarm in 7000.
    np.testing.assert_array_less(np.abs(draws.theta.mean(axis=0) - mean), 4.5 * np.sqrt(variance / n))
    np.testing.assert_array_less(np.abs(draws.theta.var(axis=0) / variance - 1), 4.5 * np.sqrt(2 / n))


def test_rows_are_accepted_with_their_probability():
    distances = np.repeat([0.0, 0.5, 2.0], 10_000)
    rows, beta = accept(distances, 1.5, 50, np.random.default_rng(0))
    assert beta == 1.5
    counts = np.bincount(rows // 10_000, minlength=3)
    p = np.exp(-1.5 * np.array([0.0, 0.5, 2.0]))
    assert counts[0] == 10_000
    np.testing.assert_array_less(np.abs(counts - 10_000 * p), 4.5 * np.sqrt(10_000 * p * (1 - p)) + 0.5)


def test_a_lowered_beta_is_the_one_of_the_accepted_rows():
    distances = np.repeat([1.0, 1.5], 5_000)
    surplus, variance = 0.0, 0.0
    for seed in range(200):
        rows, beta = accept(distances, 100.0, 50, np.random.default_rng(seed))
        assert len(rows) == 50
        low = 1 / (1 + np.exp(-0.5 * beta))
        surplus += np.sum(rows < 5_000) - 50 * low
        variance += 50 * low * (1 - low)
        # The expected number of accepted rows at this beta is near 50 (gamma of shape 51, relative spread 0.14).
        assert 25 < np.exp(-beta * distances).sum() < 95
    # Under the beta returned, the nearer half has its share; 4 standard errors.
    assert abs(surplus) < 4 * np.sqrt(variance)


def test_lowering_beta_is_said(few):
    fitted = METHODS["abc"].fit(TASK, few, seed=0, progress=False)
    draws = fitted.sample(X_O, 100.0, 5000, seed=0)
    assert len(draws.theta) == 50
    assert draws.beta is not None
    assert draws.beta < 10
    assert f"these draws are of beta = {draws.beta:.4g}" in draws.messages[0]


def test_rejection_needs_more_than_the_least(few):
    with pytest.raises(ValueError, match="at least 1000 simulations, but only 1000 of 1000"):
        RejectionABC(least=1000).fit(TASK, few, seed=0, progress=False)


def test_failed_simulations_are_left_out(few):
    x = few.x.copy()
    x[::2] = np.nan
    broken = gb.Simulations.from_arrays(few.theta, x, few.names)
    draws = METHODS["abc"].fit(TASK, broken, seed=0, progress=False).sample(X_O, 1e-6, 1000, seed=0)
    np.testing.assert_array_equal(np.sort(draws.theta, axis=0), np.sort(few.theta[1::2], axis=0))


@pytest.mark.parametrize(
    ("x_o", "complaint"),
    [(np.zeros(9), r"x_o has shape \(9,\)"), (np.full(10, np.nan), r"x_o has 10 value\(s\) that are NaN")],
)
def test_a_bad_observation_is_refused(x_o, complaint):
    with pytest.raises(ValueError, match=complaint):
        checked_observation(TASK.distance, (10,), x_o)


def test_distances_are_those_of_the_distance():
    x = np.random.default_rng(0).normal(size=(2500, 10)).astype(np.float32)
    expected = np.mean((x - X_O) ** 2, axis=1)
    np.testing.assert_allclose(distances_to(TASK.distance, x, X_O), expected, rtol=1e-5)


@pytest.mark.parametrize("beta", [1.0, 100.0])
def test_particles_have_the_closed_form_far_from_the_prior(beta):
    x_o = (SHIFT + 6.0).astype(np.float32)
    theta, messages = Particles().sample(
        lambda theta: beta * np.mean((theta + SHIFT - x_o) ** 2, axis=-1), TASK.prior, 5000, seed=0
    )
    mean, sd = gibbs_posterior(x_o, beta)
    assert messages == ()
    # Worth some 2000 independent draws (measured over seeds): 0.022 a coordinate in the mean, less in their average.
    np.testing.assert_allclose((theta.mean(axis=0) - mean) / sd, 0, atol=5 * 0.022)
    assert abs(np.mean((theta.mean(axis=0) - mean) / sd)) < 5 * 0.022 / np.sqrt(10)
    np.testing.assert_allclose(np.mean(theta.var(axis=0) / sd**2), 1, atol=5 * np.sqrt(2 / 2000 / 10))
    assert len(np.unique(theta, axis=0)) > 4500


def test_particles_keep_to_the_support_and_share_two_modes():
    prior = gb.Prior({"a": dist.Uniform(0.0, 1.0)})
    theta, _ = Particles().sample(lambda theta: 5.0 * theta[..., 0], prior, 4000, seed=0)
    assert np.all((theta > 0) & (theta < 1))
    # Exponential of rate 5 cut at 1: mean 1/5 - 1 / (e^5 - 1), standard deviation 0.19; some 1500 independent draws.
    assert theta.mean() == pytest.approx(0.2 - 1 / np.expm1(5.0), abs=5 * 0.19 / np.sqrt(1500))

    def wells(theta: np.ndarray) -> np.ndarray:
        low, high = np.exp(-0.5 * ((theta[..., 0] - np.array([0.2, 0.8])[:, None, None]) / 0.02) ** 2)
        return -np.log(0.3 * low + 0.7 * high + 1e-300)

    theta, _ = Particles().sample(wells, prior, 4000, seed=0)
    # Resampling keeps the share of a mode as well as 1000 particles can.
    assert np.mean(theta > 0.5) == pytest.approx(0.7, abs=5 * np.sqrt(0.3 * 0.7 / 1000))


def test_each_population_has_its_own_energy():
    centres = np.linspace(-1, 1, 10)[:, None]
    prior = gb.Prior({"a": dist.Normal(0.0, 10.0)})
    theta, _ = Particles().sample(lambda theta: 0.5 * ((theta[..., 0] - centres) / 0.05) ** 2, prior, 1000, seed=0)
    nearest = np.abs(theta - centres.T).argmin(axis=1)
    # Centres lie 0.22 apart: 1.3 % on either side are nearer to a neighbour's.
    np.testing.assert_allclose(np.bincount(nearest, minlength=10), 100, atol=10)
    assert np.std(theta[:, 0] - centres[nearest, 0]) == pytest.approx(0.05, rel=0.15)


def test_forbidden_places_and_too_few_stages():
    prior = gb.Prior({"a": dist.Uniform(-1.0, 1.0)})
    theta, _ = Particles().sample(lambda theta: np.where(theta[..., 0] < 0, np.nan, 0.0), prior, 500, seed=0)
    assert np.all(theta >= 0)
    _, messages = Particles(most_stages=2).sample(lambda theta: 1e6 * theta[..., 0] ** 2, prior, 500, seed=0)
    assert "after 2 stages" in messages[0]


@pytest.mark.parametrize("name", ["npe", "nle", "nle-tempered", "emulator-gbi"])
def test_missing_sbi_is_told(name, few, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"need torch: pip install 'genbayes\[sbi\]'"):
        METHODS[name].fit(TASK, few, seed=0, progress=False)
