"""Posteriors of integer parameters against enumeration of their values and quadrature over the others."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import genbayes as gb
from genbayes.checks.bounds import at_bounds
from genbayes.sampling.ranks import HeldOut, ranks_of_truth

PRIOR = gb.Prior({"k": dist.DiscreteUniform(1, 8), "g": dist.Uniform(0.5, 1.5)})
X_O = np.array([3.05, np.sqrt(3) + 0.95])
GRID = np.linspace(0.5, 1.5, 4001)
BETA, NOISE = 100.0, 0.1


def means(k, g):
    return np.stack([k * g, np.sqrt(k) + g], axis=-1)


def simulator(theta, rng):
    return means(*theta) + NOISE * rng.normal(size=2)


def exact(beta: float = BETA, x_o: np.ndarray = X_O) -> np.ndarray:
    """P(k | x_o)."""
    cost = np.mean((means(np.arange(1, 9)[:, None], GRID[None]) - x_o) ** 2, axis=-1)
    mass = np.exp(-beta * cost).mean(axis=1)
    return mass / mass.sum()


def exact_cost(theta, x):
    k, g = theta
    return jnp.mean((jnp.stack([k * g, jnp.sqrt(k) + g]) - x) ** 2) + NOISE**2


COST = gb.Cost.exact(exact_cost, names=("k", "g"), x_shape=(2,), units="1")


def probabilities(draws: gb.Draws) -> np.ndarray:
    shares = draws.probabilities("k")
    return np.array([shares.get(k, 0.0) for k in range(1, 9)])


@pytest.fixture(scope="module")
def draws() -> gb.Draws:
    return gb.GibbsPosterior(PRIOR, COST, X_O, BETA).sample(4000, seed=0)


def test_probabilities_against_enumeration(draws):
    # Resampling at ten temperatures and 4000 particles: a standard deviation of 0.012 over seeds; four of them.
    np.testing.assert_allclose(probabilities(draws), exact(), atol=0.05)
    assert exact()[2] == pytest.approx(0.501, abs=1e-3)
    assert draws.outcome.ok, draws.outcome


def separated(theta, x):
    """Values 2 and 7, each with its own g, and nothing between them."""
    k, g = theta
    level = jnp.where(k == 2, 0.0, jnp.where(k == 7, 0.02, 3.0))
    return level + jnp.where(k == 2, (g - 0.6) ** 2, 4 * (g - 1.3) ** 2)


def test_values_far_apart_keep_their_shares():
    prior = gb.Prior({"k": dist.DiscreteUniform(1, 8), "g": dist.Uniform(0.5, 1.5)})
    cost = gb.Cost.exact(separated, names=("k", "g"), x_shape=(2,), units="1")
    shares = []
    for seed in range(4):
        found = probabilities(gb.GibbsPosterior(prior, cost, X_O, 50.0).sample(4000, seed=seed))
        assert found[[0, 2, 3, 4, 5, 7]].sum() < 1e-3
        shares.append(found[1])
    mass = [np.exp(-50.0 * np.asarray(separated((k, GRID), None))).mean() for k in (2, 7)]
    # 4000 particles, resampled at ten temperatures; four standard deviations of the mean over four seeds.
    assert abs(np.mean(shares) - mass[0] / sum(mass)) < 0.03


def test_a_certain_integer_is_well_sampled():
    prior = gb.Prior({"k": dist.Binomial(10, 0.5)})
    cost = gb.Cost.exact(lambda theta, x: (theta[0] - x[0]) ** 2, names=("k",), x_shape=(1,), units="1")
    found = gb.GibbsPosterior(prior, cost, [4.0], 50.0).sample(1000, seed=0)
    assert found.probabilities("k") == {4: 1.0}
    assert found.outcome.ok, found.outcome
    assert found.rhat[0] == 1.0


def test_draws_tell_and_keep_integers(draws, tmp_path):
    assert "probability that k is 2: " in draws.summary()
    assert "probability that k is" in draws._repr_html_()
    draws.save(tmp_path / "draws.zarr")
    assert gb.Draws.load(tmp_path / "draws.zarr").probabilities("k") == draws.probabilities("k")
    with pytest.raises(KeyError, match=r"none of the integer parameters \['k'\]"):
        draws.probabilities("g")


def test_pictures(draws):
    figure = gb.plots.pair(draws, PRIOR, truth=[3.0, 1.0])
    bars: Any = figure.axes[0].patches
    heights = [bar.get_height() for bar in bars]
    # The prior's bars behind, the posterior's in front.
    np.testing.assert_allclose(heights[-8:], probabilities(draws), atol=1e-6)
    gb.plots.cost_profiles(gb.GibbsPosterior(PRIOR, COST, X_O, BETA), draws)


def test_what_needs_derivatives_is_refused():
    posterior = gb.GibbsPosterior(PRIOR, COST, X_O, BETA)
    with pytest.raises(ValueError, match="NUTS follows the gradient .* use sampler=genbayes.SMC"):
        posterior.sample(100, seed=0, sampler=gb.NUTS())
    with pytest.raises(ValueError, match="integer parameters k"):
        gb.temperature.bootstrap(PRIOR, COST, np.zeros((10, 2)), seed=0)


@pytest.mark.long
@pytest.mark.slow
def test_ranks_of_integers_are_uniform():
    """Posteriors at the likelihood's beta are calibrated; ties without randomisation would pile up ranks."""
    prior = gb.Prior({"k": dist.Binomial(6, 0.4)})
    cost = gb.Cost.exact(lambda theta, x: (theta[0] - x[0]) ** 2, names=("k",), x_shape=(1,), units="1")
    rng = np.random.default_rng(0)
    theta = np.asarray(prior.sample(400, seed=3))
    x = theta + rng.normal(size=theta.shape)
    rows = HeldOut(theta, x, None, np.asarray(cost(theta, x), np.float64), ())
    ranks = ranks_of_truth(prior, cost, rows, [0.5], n=200, seed=0, progress=False)
    for values in (ranks.by_parameter.reshape(-1), ranks.joint.reshape(-1)):
        # False alarm 1 in 1000 each. Middle ranks of seven values fail by a p-value below 1e-10.
        assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_labels_have_no_bounds():
    prior = gb.Prior({"k": dist.DiscreteUniform(1, 8), "b": dist.Bernoulli(0.3)})
    crowded = at_bounds(prior, np.tile([8.0, 1.0], (100, 1)))
    assert [(one.name, one.side) for one in crowded] == [("k", "upper")]


CONFIG = gb.FitConfig(members=2, width=8, depth=1, max_epochs=15)


@pytest.fixture(scope="module")
def simulations() -> gb.Simulations:
    return gb.simulate(simulator, PRIOR, 800, seed=0, progress=False)


@pytest.fixture(scope="module")
def fitted(simulations) -> gb.Cost:
    return gb.fit_cost(simulations, gb.distances.MeanSquaredError(), config=CONFIG, progress=False)


@pytest.mark.slow
def test_a_fitted_cost_knows_every_value(fitted, tmp_path):
    cost = fitted
    theta = np.asarray(PRIOR.sample(200, seed=5))
    wanted = np.asarray(gb.Cost.exact(exact_cost, names=("k", "g"), x_shape=(2,), units="1")(theta, X_O))
    # 100 runs a value: means of up to 8 coefficients have standard errors of 0.1 sqrt(8 / 100) = 0.03; the cost changes
    # by twice the misfit times that. Where the misfit is small, five of them.
    near = wanted < 0.5
    np.testing.assert_allclose(cost(theta[near], X_O), wanted[near], atol=10 * 0.03 * np.sqrt(0.5) * 0.7)
    gb.save(cost, tmp_path / "cost.safetensors")
    np.testing.assert_array_equal(gb.load(tmp_path / "cost.safetensors")(theta, X_O), cost(theta, X_O))
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    assert posterior.outcome.ok, posterior.outcome
    z = []
    for k, g in [(3.0, 1.0), (2.0, 0.7), (5.0, 1.3), (7.0, 1.0)]:
        x_o = means(k, g) + [0.05, -0.05]
        draws = gb.GibbsPosterior(PRIOR, cost, x_o, BETA).sample(4000, seed=0)
        errors = draws.probability_errors("k")
        z += [
            (share - exact(x_o=x_o)[value - 1]) / errors[value]
            for value, share in draws.probabilities("k").items()
            if 0.05 < share < 0.95
        ]
    # The probabilities are off by what is said, within a factor of two, and said to be off by less than 0.1.
    assert 0.25 < np.mean(np.square(z)) < 4.0
    assert 0 < max(errors.values()) < 0.1
    assert " ± " in draws.summary()


@pytest.mark.slow
def test_a_prior_and_a_cost_that_disagree_about_integers(simulations, fitted):
    smooth = gb.Simulations.from_arrays(simulations.theta, simulations.x, names=("k", "g"))
    told = gb.Simulations.from_arrays(simulations.theta, simulations.x, prior=PRIOR)
    assert smooth.levels == {}
    assert told.levels == simulations.levels == {0: list(range(1, 9))}
    cost = dataclasses.replace(fitted, settings={**fitted.settings, "runs_at_levels": {}})
    assert "without knowing that k is an integer" in str(gb.GibbsPosterior(PRIOR, cost, X_O, BETA).outcome)
    real = gb.Prior({"k": dist.Uniform(1.0, 8.0), "g": dist.Uniform(0.5, 1.5)})
    cost = fitted
    with pytest.raises(ValueError, match="theta has k = 2.5, but the cost was learned at whole numbers"):
        cost([2.5, 1.0], X_O)
    with pytest.raises(ValueError, match="prior of k is over real numbers"):
        gb.GibbsPosterior(real, cost, X_O, BETA)
    with pytest.raises(ValueError, match="none of its whole numbers"):
        gb.Simulations.from_arrays(simulations.theta + 0.25, simulations.x, prior=PRIOR)


@pytest.mark.slow
def test_draws_at_values_without_runs_are_told(fitted):
    counts = [[k, 0 if k == 3 else 100] for k in range(1, 9)]
    cost = dataclasses.replace(fitted, settings={**fitted.settings, "runs_at_levels": {"k": counts}})
    found = gb.GibbsPosterior(PRIOR, cost, X_O, BETA).sample(1000, seed=0)
    assert "values of k with fewer than 20 runs" in str(found.outcome)
    assert "3 (0 runs)" in str(found.outcome)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "marginal", "general"])
def test_every_form_of_cost(method):
    """P(k = 3) = 0.501; the three forms differ by their networks' errors."""
    simulations = gb.simulate(simulator, PRIOR, 4000, seed=1, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), method=method, progress=False)
    found = probabilities(gb.GibbsPosterior(PRIOR, cost, X_O, BETA).sample(4000, seed=0))
    np.testing.assert_allclose(found, exact(), atol=0.05 if method == "auto" else 0.12)


@pytest.mark.long
@pytest.mark.slow
def test_integers_go_all_the_way(simulations, tmp_path):
    """Refinement, check and report: each takes them."""
    config = dataclasses.replace(CONFIG, max_epochs=5)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), config=config, progress=False)
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    refined = gb.refine(posterior, simulator, simulations, 200, rounds=1, seed=0, progress=False)
    assert refined.simulations.levels == simulations.levels
    assert PRIOR.contains(refined.simulations.theta).all()
    posterior = refined.posteriors[0]
    draws = posterior.sample(2000, seed=0)
    checked = gb.check(posterior, draws, simulations=refined.simulations, seed=0, progress=False)
    assert any(finding.check == "bounds" for finding in checked.findings)
    page = gb.report(tmp_path / "report.html", posterior, draws, simulations=refined.simulations)
    assert "posterior probability" in (tmp_path / "report.html").read_text()
    assert page is not None
    held_out = gb.simulate(simulator, PRIOR, 40, seed=9, progress=False)
    gb.coverage(PRIOR, cost, held_out, BETA, n=100, seed=0, progress=False)


def test_shares_of_integers_scatter_little_over_seeds():
    """A ridge k g over six values, along which no move goes: 2000 particles gave 0.03 over seeds, 8000 give 0.015."""
    prior = gb.Prior({"k": dist.DiscreteUniform(1, 6), "m": dist.DiscreteUniform(0, 4), "g": dist.Uniform(0.5, 1.5)})
    times = np.linspace(0, 2, 5)
    cost = gb.Cost.exact(
        lambda theta, x: jnp.mean((theta[0] * theta[2] * jnp.exp(-theta[1] * times / 3) - x) ** 2),
        names=("k", "m", "g"),
        x_shape=(5,),
        units="1",
    )
    x_o, beta = 4 * np.exp(-times / 3), 15.0
    k, m, g, t = np.meshgrid(np.arange(1, 7), np.arange(5), GRID[::10], times, indexing="ij")
    expected = np.exp(-beta * np.mean((k * g * np.exp(-m * t / 3) - x_o) ** 2, axis=-1)).mean(axis=(1, 2))
    posterior = gb.GibbsPosterior(prior, cost, x_o, beta)
    found = [posterior.sample(2000, seed=seed).probabilities("k") for seed in range(12)]
    shares = np.array([[each.get(k, 0.0) for k in range(1, 7)] for each in found])
    # 12 seeds know a standard deviation of 0.015 to a fifth: two of these; that of the mean is 0.005, four of them.
    assert shares.std(axis=0).max() < 0.022
    np.testing.assert_allclose(shares.mean(axis=0), expected / expected.sum(), atol=0.02)
