"""The methods that train through sbi against closed forms, with exact stand-ins for the flow and with trained flows."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.benchmark.methods import METHODS
from genbayes.benchmark.methods.emulator import EmulatorGBI, FittedEmulator
from genbayes.benchmark.methods.flows import FlowSettings, train_flow
from genbayes.benchmark.methods.nle import NLE, FittedNLE, Likelihood
from genbayes.benchmark.methods.npe import NPE, FittedNPE
from genbayes.benchmark.methods.particles import Particles
from genbayes.tasks import Task

torch = pytest.importorskip("torch")
pytest.importorskip("sbi")
pytestmark = pytest.mark.slow

SD = 0.5
X_O = np.array([0.8, -0.4], np.float32)
# Not sbi's defaults: larger steps, so that training takes seconds.
QUICK = FlowSettings(training_batch_size=400, learning_rate=5e-3, stop_after_epochs=5)


def _simulate(key, theta):
    return theta + SD * jax.random.normal(key, theta.shape)


def _simulate_set(key, theta):
    return theta[None] + jax.random.normal(key, (5, 2))


TASK = Task(
    "small", gb.Prior({"theta": dist.Normal(jnp.zeros(2), 1.0)}), _simulate, gb.distances.MeanSquaredError(), x_o=X_O
)
SETS = replace(TASK, simulator=_simulate_set, distance=gb.distances.MMD(bandwidth=2.0))


class ExactFlow:
    """What the baselines use of sbi's estimator, for x = theta + SD noise in two dimensions."""

    def __init__(self) -> None:
        def inverse(noise, context):
            return context + SD * noise, None

        self.net = SimpleNamespace(_transform=SimpleNamespace(inverse=inverse), _embedding_net=lambda theta: theta)

    def log_prob(self, x, condition):
        return torch.distributions.Normal(condition[None], SD).log_prob(x).sum(-1)


def exact_likelihood(*, in_set: bool = False) -> Likelihood:
    return Likelihood(ExactFlow(), TASK.distance, (5, 2) if in_set else (2,), in_set)


@pytest.fixture(scope="module")
def simulations() -> gb.Simulations:
    return gb.simulate(TASK.simulator, TASK.prior, 2000, seed=0, progress=False)


@pytest.fixture(scope="module")
def nle(simulations) -> FittedNLE:
    return NLE(settings=QUICK).fit(TASK, simulations, seed=0, progress=False)


@pytest.fixture(scope="module")
def npe(simulations) -> FittedNPE:
    return NPE(settings=QUICK).fit(TASK, simulations, seed=0, progress=False)


def check_normal(theta: np.ndarray, mean: np.ndarray, sd: float, slack: float = 0.0) -> None:
    """Mean and standard deviation, at 5 standard errors of 1500 independent draws, and `slack` standard deviations."""
    np.testing.assert_allclose((theta.mean(axis=0) - mean) / sd, 0, atol=5 / np.sqrt(1500) + slack)
    np.testing.assert_allclose(theta.std(axis=0) / sd, 1, atol=5 / np.sqrt(3000) + slack)


@pytest.mark.parametrize("power", [1.0, 4.0, 50.0])
def test_tempered_likelihood_follows_the_law_of_its_power(power):
    fitted = FittedNLE(TASK.prior, exact_likelihood(), Particles(), {}, (), tempered=True)
    draws = fitted.sample(X_O, power, 5000, seed=0)
    precision = power / SD**2
    check_normal(draws.theta, X_O * precision / (1 + precision), 1 / np.sqrt(1 + precision))
    assert draws.beta == power


def test_untempered_likelihood_ignores_beta_and_sums_over_trials():
    trials = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    fitted = FittedNLE(
        SETS.prior, replace(exact_likelihood(in_set=True), distance=SETS.distance), Particles(), {}, (), False
    )
    one, other = (fitted.sample(trials, beta, 5000, seed=0) for beta in (1.0, 30.0))
    np.testing.assert_array_equal(one.theta, other.theta)
    assert one.beta is None
    precision = 7 / SD**2
    check_normal(one.theta, trials.mean(axis=0) * precision / (1 + precision), 1 / np.sqrt(1 + precision))


def test_emulator_posterior_is_the_gibbs_posterior_of_its_noise():
    # With the mean noise e of a population, the mean distance over runs is ||theta + SD e - x_o||^2 / 2 and a constant:
    # a normal likelihood with precision beta, centred at x_o - SD e. Over populations the centres differ.
    beta, runs = 20.0, 4
    sampler = Particles(populations=50, particles=100)
    fitted = FittedEmulator(TASK.prior, exact_likelihood(), TASK.distance, runs, sampler, {}, ())
    draws = fitted.sample(X_O, beta, 5000, seed=0)
    share = beta / (1 + beta)
    between = share * SD / np.sqrt(runs)
    # The spread is that of 50 centres: 10 % uncertain in the standard deviation, sd / sqrt(50) in the mean.
    total = np.hypot(between, 1 / np.sqrt(1 + beta))
    np.testing.assert_allclose(draws.theta.mean(axis=0), X_O * share, atol=4.5 * total / np.sqrt(50))
    np.testing.assert_allclose(draws.theta.std(axis=0) / total, 1, atol=0.45)
    assert draws.beta == beta


def test_emulator_predicts_the_expected_distance():
    fitted = FittedEmulator(TASK.prior, exact_likelihood(), TASK.distance, 10, Particles(), {}, ())
    theta = np.asarray(TASK.prior.sample(700, seed=0))
    exact = np.mean((theta - X_O) ** 2, axis=1) + SD**2
    predicted = fitted.predicted_cost(theta, X_O)
    assert predicted.shape == (700,)
    # Variance of one distance: mean over 2 coordinates of (delta + SD e)^2, each 4 delta^2 SD^2 + 2 SD^4; 10 runs.
    error = np.sqrt(np.sum(4 * (theta - X_O) ** 2 * SD**2 + 2 * SD**4, axis=1) / 4 / 10)
    scores = (predicted - exact) / error
    assert abs(scores.mean()) < 4.5 / np.sqrt(700)
    assert scores.std() == pytest.approx(1, abs=0.2)


def test_trained_likelihood_and_its_tempering(nle):
    for tempered, power in ((False, 1.0), (True, 4.0)):
        draws = replace(nle, tempered=tempered).sample(X_O, power, 1500, seed=0)
        precision = power / SD**2
        # A flow of 2000 rows is off by some tenths of the posterior's standard deviation; a wrong power by a half.
        check_normal(draws.theta, X_O * precision / (1 + precision), 1 / np.sqrt(1 + precision), slack=0.25)
    assert nle.messages == ()
    assert nle.seconds["run"] > 0


def test_trained_emulator_is_near_the_gibbs_posterior(nle):
    fitted = FittedEmulator(TASK.prior, nle.likelihood, TASK.distance, 10, EmulatorGBI().particles, {}, ())
    draws = fitted.sample(X_O, 1.0, 1500, seed=0)
    # d = mean over two coordinates: precision beta; the noise of ten populations moves the centres by 0.08 together.
    check_normal(draws.theta, X_O / 2, np.sqrt(0.5), slack=0.25)
    theta = draws.theta[:500]
    exact = np.mean((theta - X_O) ** 2, axis=1) + SD**2
    # The noise of ten runs alone leaves a correlation of 0.9.
    assert np.corrcoef(fitted.predicted_cost(theta, X_O), exact)[0, 1] > 0.8


def test_trained_posterior(npe):
    one, other = (npe.sample(X_O, beta, 4000, seed=0) for beta in (1.0, 9.0))
    np.testing.assert_array_equal(one.theta, other.theta)
    assert not npe.tempered
    assert one.beta is None
    precision = 1 / SD**2
    check_normal(one.theta, X_O * precision / (1 + precision), 1 / np.sqrt(1 + precision), slack=0.25)


class LeakingFlow:
    """A posterior estimator: normal around `centre` with standard deviation 1, whatever the observation."""

    condition_shape = (2,)

    def __init__(self, centre: float):
        self.distribution = torch.distributions.Normal(torch.full((2,), centre), 1.0)

    def sample(self, shape, condition):
        return self.distribution.sample((*shape, len(condition)))

    def log_prob(self, theta, condition):
        return self.distribution.log_prob(theta).sum(-1)


@pytest.mark.parametrize(("centre", "told"), [(0.5, False), (9.0, True)])
def test_leaked_draws_never_come_back(centre, told):
    prior = gb.Prior({"theta": dist.Uniform(jnp.zeros(2), 1.0)})
    fitted = FittedNPE(prior, TASK.distance, (2,), LeakingFlow(centre), {}, ())
    draws = fitted.sample(X_O, 1.0, 4000, seed=0)
    assert draws.theta.shape == (4000, 2)
    assert np.all(np.asarray(prior.contains(draws.theta)))
    assert any("0.00% of its mass inside" in message for message in draws.messages) == told
    grid = np.linspace(0.0005, 0.9995, 1000)
    weights = np.exp(-0.5 * (grid - centre) ** 2 + 0.5 * (1 - centre) ** 2)
    mean = np.average(grid, weights=weights)
    sd = np.sqrt(np.average((grid - mean) ** 2, weights=weights))
    check_normal(draws.theta, np.full(2, mean), float(sd))


def test_training_leaves_no_trace_and_repeats(simulations, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    settings = FlowSettings(max_num_epochs=2)
    fits = [NPE(settings=settings).fit(TASK, simulations, seed=seed, progress=False) for seed in (0, 0, 1)]
    draws = [fitted.sample(X_O, 1.0, 50, seed=0).theta for fitted in fits]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 1e-3
    assert torch.equal(torch.get_rng_state(), state)
    assert list(Path(tmp_path).iterdir()) == []
    assert capsys.readouterr() == ("", "")
    assert "Maximum number of epochs `max_num_epochs=2` reached" in fits[0].messages[0]


def test_progress_counts_epochs(simulations, capsys):
    x = simulations.x
    train_flow("nle", simulations.theta, x, FlowSettings(max_num_epochs=2), seed=0, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "training nle: 3/2" in err or "training nle: 2/2" in err


@pytest.mark.parametrize("name", ["npe", "nle-tempered", "emulator-gbi"])
def test_sets_of_trials(name):
    simulations = gb.simulate(SETS.simulator, SETS.prior, 300, seed=0, progress=False)
    method: Any = METHODS[name]
    method = replace(method, settings=FlowSettings(max_num_epochs=1))
    if name != "npe":
        method = replace(method, particles=Particles(populations=4, particles=50, last_accepts=3.0))
    fitted = method.fit(SETS, simulations, seed=0, progress=False)
    assert set(fitted.seconds) == {"compile", "run"}
    x_o = simulations.x[0]
    draws = fitted.sample(x_o, 2.0, 200, seed=0)
    assert draws.theta.shape == (200, 2)
    # Trials come in no order; sbi standardises every trial of the set by itself before npe's embedding, so nearly.
    shuffled = fitted.sample(x_o[::-1], 2.0, 200, seed=0)
    np.testing.assert_allclose(draws.theta.mean(axis=0), shuffled.theta.mean(axis=0), atol=0.4)
    predicted = fitted.predicted_cost(draws.theta, x_o)
    assert predicted is None if name != "emulator-gbi" else predicted.shape == (200,)


def test_an_emulated_set_is_a_set():
    likelihood = exact_likelihood(in_set=True)
    noise = torch.arange(2 * 15 * 2.0).reshape(2, 15, 2)
    theta = np.array([[[0.0, 0.0]], [[100.0, 200.0]]], np.float32)
    outputs = likelihood.emulate(theta, noise)
    assert outputs.shape == (2, 1, 3, 5, 2)
    np.testing.assert_allclose(outputs[1, 0], theta[1, 0] + SD * noise[1].numpy().reshape(3, 5, 2))


def test_npe_wants_the_shape_it_was_trained_on(npe):
    with pytest.raises(ValueError, match=r"x_o has shape \(3,\)"):
        npe.sample(np.zeros(3), 1.0, 10, seed=0)
