"""Known conditions: inputs that vary between observations and are not inferred.

The law: x = c theta + 0.3 e, theta ~ U(-3, 3), e ~ N(0, 1), squared error. Then E[d | theta, c] is
(c theta - x_o)^2 + 0.09, and the Gibbs posterior is normal with mean x_o / c and precision 2 beta c^2, cut at -3 and 3
(five of its standard deviations away, or more).
"""

import json
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import genbayes as gb
from genbayes.cli import main

NOISE = 0.3
PRIOR = gb.Prior({"theta": dist.Uniform(-3.0, 3.0)})
CONDITIONS = gb.Prior({"gain": dist.Uniform(0.5, 2.0), "unused": dist.Uniform(0.0, 1.0)})


def simulator(key, theta, conditions):
    return conditions[0] * theta + NOISE * jax.random.normal(key, theta.shape)


def python_simulator(theta, rng, conditions):
    return conditions[0] * theta + NOISE * rng.standard_normal(1)


@pytest.fixture(scope="module")
def simulations():
    return gb.simulate(simulator, PRIOR, 4000, seed=0, conditions=CONDITIONS, progress=False)


@pytest.fixture(scope="module")
def cost(simulations):
    return gb.fit_cost(simulations, gb.distances.MeanSquaredError(), seed=0, progress=False)


def posterior(cost, gain, x_o=1.0, beta=10.0):
    return gb.GibbsPosterior(PRIOR, cost, [x_o], beta, conditions={"gain": gain, "unused": 0.5})


def test_conditions_are_drawn_from_their_distribution_and_given_to_the_simulator(simulations):
    gain, theta, x = simulations.conditions[:, 0], simulations.theta[:, 0], simulations.x[:, 0]
    assert simulations.condition_names == ("gain", "unused")
    assert 0.5 <= gain.min() < 0.51
    assert 1.99 < gain.max() <= 2.0
    # Residuals of the law, and nothing of it by another row's condition: 4 standard errors of a standard deviation.
    assert np.std(x - gain * theta) == pytest.approx(NOISE, rel=4 / np.sqrt(2 * 4000))
    assert np.std(x - np.roll(gain, 1) * theta) > 1.5 * NOISE
    # Drawn independently of the parameters, whose seed is the same.
    for column in simulations.conditions.T:
        assert abs(np.corrcoef(column, theta)[0, 1]) < 4 / np.sqrt(4000)


def test_rows_do_not_depend_on_the_number_of_rows(simulations):
    fewer = gb.simulate(simulator, PRIOR, 20, seed=0, conditions=CONDITIONS, progress=False, batch_size=7)
    np.testing.assert_array_equal(fewer.conditions, simulations.conditions[:20])
    np.testing.assert_allclose(fewer.x, simulations.x[:20], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", [simulator, python_simulator])
def test_a_store_keeps_conditions_and_is_resumed(tmp_path, function):
    path = tmp_path / "runs.zarr"
    settings = {"seed": 3, "conditions": CONDITIONS, "store": path, "progress": False}
    gb.simulate(function, PRIOR, 10, **settings)
    longer = gb.simulate(function, PRIOR, 25, **settings)
    whole = gb.simulate(function, PRIOR, 25, seed=3, conditions=CONDITIONS, progress=False)
    for stored in (longer, gb.Simulations.open(path)):
        np.testing.assert_array_equal(stored.conditions, whole.conditions)
        np.testing.assert_allclose(stored.x, whole.x, rtol=1e-5, atol=1e-6)
        assert stored.condition_names == ("gain", "unused")
    with xr.open_zarr(path) as read:
        np.testing.assert_array_equal(read["conditions"], whole.conditions)
    copy = tmp_path / "copy.zarr"
    whole.save(copy)
    assert gb.Simulations.open(copy).conditions_prior == CONDITIONS.describe()
    other = gb.Prior({"gain": dist.Uniform(0.5, 3.0), "unused": dist.Uniform(0.0, 1.0)})
    with pytest.raises(ValueError, match="was made with another distribution of the conditions"):
        gb.simulate(function, PRIOR, 25, **{**settings, "conditions": other})


def test_the_fitted_cost_is_the_expected_distance_given_the_condition(cost):
    rng = np.random.default_rng(1)
    theta, gain = rng.uniform(-3, 3, (200, 1)), rng.uniform(0.5, 2.0, 200)
    known = np.stack([gain, rng.uniform(0, 1, 200)], axis=1)
    exact = (gain * theta[:, 0] - 1.0) ** 2 + NOISE**2
    # About 20 coefficients learnt from 4,000 runs: an error of the mean of NOISE sqrt(20 / 4000) = 0.02, times twice
    # the distance of c theta to 1, which is 2.5.
    assert np.sqrt(np.mean((np.asarray(cost(theta, [1.0], known)) - exact) ** 2)) < 0.1
    assert np.sqrt(np.mean((np.asarray(cost(theta, [1.0], known[::-1].copy())) - exact) ** 2)) > 1


@pytest.mark.parametrize("gain", [0.7, 1.8])
def test_draws_are_of_the_posterior_of_their_condition(cost, gain):
    beta, n = 10.0, 4000
    draws = posterior(cost, gain, beta=beta).sample(n, seed=0)
    precision = 2 * beta * gain**2
    # Monte Carlo error, and the network's: 0.02 of the mean of x, that is 0.02 / gain of theta.
    tolerance = 4 / np.sqrt(precision * n / 4) + 0.02 / gain
    assert draws.flat.mean() == pytest.approx(1 / gain, abs=tolerance)
    assert draws.flat.std() == pytest.approx(1 / np.sqrt(precision), rel=0.1)
    assert draws.conditions == pytest.approx({"gain": gain, "unused": 0.5})


def test_another_condition_compiles_nothing(cost):
    posterior(cost, 0.9).sample(500, seed=0)
    again = posterior(cost, 1.1).sample(500, seed=0)
    assert again.seconds["compile"] == 0
    other = posterior(cost, 1.1).sample(500, seed=0, sampler=gb.SMC(moves=3))
    assert other.seconds["compile"] > 0


def test_a_stack_says_which_of_its_observations_have_conditions_out_of_range(cost):
    gains = np.array([0.9, 1.1, 2.6, 0.2], np.float32)
    stack = gb.GibbsPosteriors(PRIOR, cost, np.ones((4, 1)), 10.0, conditions={"gain": gains, "unused": 0.2 * gains})
    (message,) = stack.outcome.messages
    assert message.startswith("The condition gain of 2 of 4 observations lies outside the simulated range 0.5")
    assert "the first is number 2, gain = 2.6" in message
    known = {"gain": gains[:2], "unused": 0.2 * gains[:2]}
    assert gb.GibbsPosteriors(PRIOR, cost, np.ones((2, 1)), 10.0, conditions=known).outcome.ok


def test_runs_at_draws_get_the_condition_of_the_observation(cost):
    draws = posterior(cost, 1.8).sample(1000, seed=0)
    check = gb.check_predictive(simulator, posterior(cost, 1.8), draws, 500, seed=9, progress=False)
    assert abs(check.relative_error) < 0.05 + 4 * check.standard_error
    # The same runs under another condition lie elsewhere: a check that forgot the condition would see it.
    with pytest.raises(ValueError, match="not this posterior's: their conditions are {'gain': 1.7"):
        gb.check_predictive(simulator, posterior(cost, 0.7), draws, 500, seed=9, progress=False)
    moved = replace(draws, conditions=posterior(cost, 0.7).conditions)
    wrong = gb.check_predictive(simulator, posterior(cost, 0.7), moved, 500, seed=9, progress=False)
    assert abs(check.simulated.mean() - wrong.simulated.mean()) > 0.1


def test_costs_and_draws_are_saved_with_conditions(cost, tmp_path):
    again = gb.load(gb.save(cost, tmp_path / "cost.safetensors"))
    known = {"gain": 1.5, "unused": 0.1}
    np.testing.assert_array_equal(again([[0.3]], [1.0], known), cost([[0.3]], [1.0], known))
    draws = posterior(again, 1.5).sample(100, seed=0)
    draws.to_datatree().to_zarr(tmp_path / "draws.zarr", consolidated=False)
    with xr.open_datatree(tmp_path / "draws.zarr", engine="zarr", consolidated=False) as tree:
        assert gb.Draws.from_datatree(tree).conditions == draws.conditions
        assert json.loads(tree["posterior"].attrs["conditions"]) == draws.conditions


@pytest.mark.long
@pytest.mark.slow
def test_the_general_and_the_marginal_cost_take_conditions(simulations):
    config = gb.FitConfig(members=1, max_epochs=30, batch_size=128)
    settings = {"seed": 0, "config": config, "progress": False}
    general = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), method="general", **settings)
    marginal = gb.fit_cost(simulations, gb.distances.MeanAbsoluteError(), **settings)
    for fitted in (general, marginal):
        low, high = (float(fitted([1.5], [3.0], {"gain": gain, "unused": 0.5})) for gain in (0.6, 2.0))
        assert low > 1.5 * high


def test_existing_simulations_are_taken_with_conditions():
    taken = gb.Simulations.from_arrays(np.ones((3, 1)), np.ones((3, 2)), conditions={"dose": [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(taken.inputs, [[1, 1], [1, 2], [1, 3]])
    with pytest.raises(ValueError, match="'dose' must have one finite number per row"):
        gb.Simulations.from_arrays(np.ones((3, 1)), np.ones((3, 2)), conditions={"dose": [1.0, 2.0]})


def test_what_is_wrong_is_told(cost):
    with pytest.raises(ValueError, match=r"takes known conditions, and none are given"):
        gb.simulate(simulator, PRIOR, 10, seed=0, progress=False)
    with pytest.raises(TypeError, match=r"a third parameter `conditions`"):
        gb.simulate(lambda key, theta: theta, PRIOR, 10, seed=0, conditions=CONDITIONS, progress=False)
    with pytest.raises(ValueError, match=r"conditions are missing.*'gain': \.\.\., 'unused'"):
        gb.GibbsPosterior(PRIOR, cost, [1.0], 1.0)
    with pytest.raises(ValueError, match=r"has the names \['gian', 'unused'\].*\(gain, unused\)"):
        gb.GibbsPosterior(PRIOR, cost, [1.0], 1.0, conditions={"gian": 1.0, "unused": 1.0})
    with pytest.raises(ValueError, match=r"2 finite number"):
        gb.GibbsPosterior(PRIOR, cost, [1.0], 1.0, conditions=[np.nan, 0.0])
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        gb.GibbsPosterior(PRIOR, cost, [1.0], 1.0, conditions=[1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"`conditions` must have shape"):
        gb.simulate_at(simulator, np.ones((4, 1)), seed=0, conditions=np.ones((3, 2)), progress=False)
    outside = posterior(cost, 5.0).sample(100, seed=0)
    assert any("gain = 5 lies outside the simulated range" in message for message in outside.outcome.messages)


def test_a_simulator_with_optional_conditions_runs_without(simulations):
    def optional(key, theta, conditions=None):
        return theta if conditions is None else simulator(key, theta, conditions)

    runs = gb.simulate(optional, PRIOR, 5, seed=0, progress=False)
    np.testing.assert_array_equal(runs.x, runs.theta)
    assert runs.conditions.shape == (5, 0)
    assert jnp.shape(runs.inputs) == (5, 1)


@pytest.mark.slow
@pytest.mark.long
def test_the_command_line_takes_conditions(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", list(sys.path))
    lines = [
        "def simulate(theta, rng, conditions):",
        f"    return conditions[0] * theta + {NOISE} * rng.standard_normal(1)",
    ]
    (tmp_path / "model_under_conditions.py").write_text("\n".join(lines))
    (tmp_path / "other.csv").write_text("1.0")
    problem = tmp_path / "problem.toml"
    problem.write_text("""
simulator = "model_under_conditions:simulate"
[prior]
theta = { distribution = "Uniform", low = -3.0, high = 3.0 }
[conditions]
gain = { distribution = "Uniform", low = 0.5, high = 2.0 }
[distance]
name = "MeanSquaredError"
[observation]
values = [1.0]
conditions = { gain = 1.0 }
""")
    folder = tmp_path / "out"

    def command(name, *more):
        return main([name, str(problem), "--quiet", "--out", str(folder), *more])

    def drawn(name):
        with xr.open_datatree(folder / name, engine="zarr", consolidated=False) as tree:
            return gb.Draws.from_datatree(tree)

    assert command("run", "--simulations", "3000", "--beta", "10", "--resimulate", "50") == 0
    # The mean of the closed form, 1 / gain; 0.05 is a fifth of the posterior's standard deviation at gain 1.
    assert drawn("draws-beta-10.zarr").flat.mean() == pytest.approx(1.0, abs=0.05)
    other = ("--observation", str(tmp_path / "other.csv"))
    assert command("sample", "--beta", "10", *other, "--condition", "gain=2") == 0
    draws = drawn("other-draws-beta-10.zarr")
    assert draws.conditions == {"gain": 2.0}
    assert draws.flat.mean() == pytest.approx(0.5, abs=0.05)
    assert command("report", *other, "--resimulate", "20") == 0
    # The problem's own draws know the condition that they were made under.
    problem.write_text(problem.read_text().replace("gain = 1.0", "gain = 1.5"))
    assert command("report", "--resimulate", "20") == 0
    told = "The draws were made under the conditions {'gain': 1.0}, the problem names {'gain': 1.5}"
    assert told in " ".join(capsys.readouterr().err.split())
    assert command("sample", "--beta", "10", *other, "--condition", "gian=2") == 1
