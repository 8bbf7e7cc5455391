"""Costs of a dear simulator from few of its runs and many of a cheap one."""

import warnings
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.costs.corrected_spread import CorrectedSpread
from genbayes.costs.paired_runs import PairedRuns
from genbayes.learning.control_variates import control_factors
from genbayes.learning.corrected_mean import CorrectedMean
from genbayes.learning.layers import Standardiser

PRIOR = gb.Prior({"a": dist.Uniform(-1.0, 1.0), "b": dist.Uniform(-1.0, 1.0)})
NOISE = 0.5
X_O = np.array([0.8, 0.1, 1.2, -0.3, 0.6])
PAIRS = 40
# Means are smooth: networks are beaten by polynomials, however long they are trained.
QUICK: dict[str, Any] = {"config": gb.FitConfig(members=2, width=16, depth=1, max_epochs=30), "progress": False}


def mean_of_cheap(theta):
    """Means of five outputs."""
    a, b = theta[..., 0], theta[..., 1]
    return jnp.stack([a, b, a + b, a - b, jnp.sin(2 * a)], axis=-1)


def mean_of_dear(theta):
    """The same, and what the cheap simulator leaves out."""
    a, b = theta[..., :1], theta[..., 1:]
    return mean_of_cheap(theta) + 0.6 + 0.5 * a * b - 0.4 * a**2


def cheap_simulator(key, theta):
    """Wrong, and fast."""
    return mean_of_cheap(theta) + NOISE * jax.random.normal(key, (5,))


def dear_simulator(key, theta):
    """Right: half as much noise again, of which the cheap one knows."""
    return mean_of_dear(theta) + 1.5 * NOISE * jax.random.normal(key, (5,))


def exact_cost(theta: np.ndarray) -> np.ndarray:
    """Expected mean squared error of the dear simulator."""
    return np.mean((np.asarray(mean_of_dear(theta)) - X_O) ** 2, axis=-1) + (1.5 * NOISE) ** 2


@pytest.fixture(scope="module")
def dear() -> gb.Simulations:
    """Few runs."""
    return gb.simulate(dear_simulator, PRIOR, PAIRS, seed=3, progress=False)


@pytest.fixture(scope="module")
def cheap() -> gb.Simulations:
    """Many runs, the first ones at the same parameters and random numbers."""
    return gb.simulate(cheap_simulator, PRIOR, 3000, seed=3, progress=False)


@pytest.fixture(scope="module")
def cost(dear, cheap) -> gb.Cost:
    """What is learned of both."""
    return gb.fit_cost(dear, gb.distances.MeanSquaredError(), cheap=cheap, **QUICK)


def test_runs_of_one_seed_are_pairs_and_the_others_are_left_for_the_cheap_fit(dear, cheap) -> None:
    pairs = PairedRuns.of(dear, cheap)
    np.testing.assert_array_equal(pairs.dear.theta, pairs.partners.theta)
    assert len(pairs.dear) == PAIRS
    assert len(pairs.others) == 3000 - PAIRS
    # What is left is noise that they share: x_d - m_d = 1.5 (x_c - m_c).
    noise = pairs.dear.x - np.asarray(mean_of_dear(pairs.dear.theta))
    of_cheap = pairs.partners.x - np.asarray(mean_of_cheap(pairs.dear.theta))
    np.testing.assert_allclose(noise, 1.5 * of_cheap, atol=1e-5)


def test_cost_is_that_of_the_dear_simulator_and_far_better_than_without_cheap_runs(dear, cheap, cost) -> None:
    theta = np.asarray(PRIOR.sample(2000, seed=8))
    exact = exact_cost(theta)
    error = np.asarray(cost(theta, X_O)) - exact
    alone = np.asarray(gb.fit_cost(dear, gb.distances.MeanSquaredError(), **QUICK)(theta, X_O)) - exact
    wrong = np.asarray(gb.fit_cost(cheap, gb.distances.MeanSquaredError(), **QUICK)(theta, X_O)) - exact
    # Each mean is learned from 3000 runs by some 10 coefficients: an error of NOISE sqrt(10 / 3000) = 0.03, and the
    # cost's is 2 |mean - x_o| / sqrt(5) times that, with |mean - x_o| about 1; the spread's, 0.5625 in all, is learned
    # to a few hundredths from differences of squares.
    assert np.sqrt(np.mean(error**2)) < 0.06
    assert np.sqrt(np.mean(error**2)) < 0.5 * np.sqrt(np.mean(alone**2))
    assert np.sqrt(np.mean(wrong**2)) > 0.5


def test_spread_is_that_of_the_dear_simulator(cost) -> None:
    assert isinstance(cost.form.mean, CorrectedMean)
    assert isinstance(cost.form.spread, CorrectedSpread)
    theta = PRIOR.sample(200, seed=9)
    at_means = np.asarray(jax.vmap(lambda t: cost.form.value(t, (cost.form.mean.mean_of_members(t), 0.0)))(theta))
    # The sum of five variances over 5; 40 pairs know that of the differences to a few percent.
    np.testing.assert_allclose(at_means.mean(), (1.5 * NOISE) ** 2, rtol=0.1)


def test_posterior_from_few_dear_runs_is_that_of_the_exact_cost(cost) -> None:
    theta = np.asarray(PRIOR.sample(50_000, seed=10))
    beta = 20.0
    log_weight = -beta * exact_cost(theta)
    weights = np.exp(log_weight - log_weight.max())
    weights /= weights.sum()
    mean = weights @ theta
    sd = np.sqrt(weights @ (theta - mean) ** 2)
    draws = gb.GibbsPosterior(PRIOR, cost, X_O, beta).sample(4000, seed=1).flat
    # Monte Carlo 0.02; an error of 0.06 in the cost is one of about 1 in the log density at its worst, a fraction of it
    # from place to place.
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 0.35 * sd)
    np.testing.assert_allclose(draws.std(axis=0), sd, rtol=0.2)


def test_gap_in_the_observation_is_left_out(cost) -> None:
    x_o = X_O.copy()
    x_o[1] = np.nan
    theta = PRIOR.sample(500, seed=11)
    seen = [0, 2, 3, 4]
    exact = np.mean((np.asarray(mean_of_dear(theta))[:, seen] - X_O[seen]) ** 2, axis=1) + (1.5 * NOISE) ** 2
    assert np.sqrt(np.mean((np.asarray(cost(theta, x_o)) - exact) ** 2)) < 0.09


def test_cost_is_saved_and_loaded(cost, tmp_path) -> None:
    gb.save(cost, tmp_path / "cost.safetensors")
    loaded = gb.load(tmp_path / "cost.safetensors")
    theta = PRIOR.sample(50, seed=12)
    np.testing.assert_array_equal(np.asarray(loaded(theta, X_O)), np.asarray(cost(theta, X_O)))
    assert loaded.settings["cheap"] == {
        "simulator": f"{__name__}:cheap_simulator",
        "pairs": PAIRS,
        "others": 3000 - PAIRS,
    }


@pytest.mark.slow
def test_cheap_runs_that_do_not_help_are_left_out_and_it_is_said(dear) -> None:
    rng = np.random.default_rng(0)
    other = gb.simulate(cheap_simulator, PRIOR, 500, seed=3, progress=False)
    misleading = 30 * np.sin(40 * other.theta.sum(axis=1, keepdims=True)) * (1 + np.arange(5))
    nonsense = replace(other, x=(misleading + rng.standard_normal((500, 5))).astype(np.float32))
    cost = gb.fit_cost(dear, gb.distances.MeanSquaredError(), cheap=nonsense, progress=False)
    alone = gb.fit_cost(dear, gb.distances.MeanSquaredError(), progress=False)
    assert any("do not help" in message for message in cost.outcome.messages)
    theta = PRIOR.sample(300, seed=13)
    # Of the same rows; other random numbers of the networks may have been drawn.
    np.testing.assert_allclose(np.asarray(cost(theta, X_O)), np.asarray(alone(theta, X_O)), rtol=0.05, atol=0.02)


def test_runs_without_a_partner_are_named(dear, cheap) -> None:
    few = cheap.selected(np.arange(10, 3000))
    pairs = PairedRuns.of(dear, few)
    assert len(pairs.dear) == PAIRS - 10
    assert "10 of 40 runs have no run in `cheap`" in pairs.messages[0]


def test_what_cannot_be_paired_is_refused(dear, cheap) -> None:
    distance = gb.distances.MeanSquaredError()
    with pytest.raises(ValueError, match="same prior and seed"):
        gb.fit_cost(dear, distance, cheap=gb.simulate(cheap_simulator, PRIOR, 300, seed=4, progress=False))
    with pytest.raises(ValueError, match="to be many"):
        gb.fit_cost(dear, distance, cheap=cheap.selected(np.arange(PAIRS)))
    with pytest.raises(ValueError, match="x_shape"):
        gb.fit_cost(dear, distance, cheap=replace(cheap, x=cheap.x[:, :4]))
    with pytest.raises(ValueError, match="feature map"):
        gb.fit_cost(dear, distance, cheap=cheap, method="marginal")
    with pytest.raises(TypeError, match="cheap"):
        gb.fit_cost(dear, distance, cheap=cheap.x)  # type: ignore[arg-type]


@pytest.mark.long
@pytest.mark.slow
def test_refinement_runs_both_simulators(dear, cheap, cost) -> None:
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, 20.0)
    with pytest.raises(ValueError, match=r"cheap=\(simulator, simulations\)"):
        gb.refine(posterior, dear_simulator, dear, 80, seed=1, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refined = gb.refine(
            posterior, dear_simulator, dear, 80, rounds=1, seed=1, progress=False, cheap=(cheap_simulator, cheap)
        )
    assert refined.cheap is not None
    assert len(refined.cheap) == 3080
    assert refined.cost.settings["cheap"]["pairs"] == PAIRS + 80
    new = refined.simulations.round == 1
    noise = refined.simulations.x[new] - np.asarray(mean_of_dear(refined.simulations.theta[new]))
    of_cheap = refined.cheap.x[-80:] - np.asarray(mean_of_cheap(refined.cheap.theta[-80:]))
    np.testing.assert_allclose(noise, 1.5 * of_cheap, atol=1e-5)


def test_control_factor_is_the_slope_of_what_moves_together() -> None:
    rng = np.random.default_rng(5)
    theta = rng.uniform(-1, 1, (400, 2)).astype(np.float32)
    deviations = rng.standard_normal((400, 3))
    labels = 1 + theta[:, :1] ** 2 + np.array([0.7, 0.0, -1.0]) * deviations + 0.5 * rng.standard_normal((400, 3))
    factors = control_factors(Standardiser.fit(theta), theta, labels, deviations)
    # Least squares: a standard error of 0.5 / sqrt(394); a negative slope is not taken.
    np.testing.assert_allclose(factors, [0.7, 0.0, 0.0], atol=4 * 0.5 / np.sqrt(394))
