"""Refinement against a closed form: x = theta + SD noise, so that the mean squared error is mean (theta - x_o)^2 + SD^2
in the mean."""

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import genbayes as gb
from genbayes.cli import main
from genbayes.command_line.folder import Folder, stored_sections
from genbayes.costs.forms import HilbertForm
from genbayes.learning.folds import Folds
from genbayes.refinement import rounds
from genbayes.refinement.agreement import Agreement, trend
from genbayes.refinement.new_fit import refit
from genbayes.refinement.proposals import TEMPERS, shares
from genbayes.simulations.running import simulate_round
from genbayes.simulations.store import SimulationStore

SD, BETA = 0.5, 20.0
PRIOR = gb.Prior({"a": dist.Normal(0.0, 1.0), "b": dist.Normal(0.0, 1.0)})
X_O = np.array([4.0, -3.5], np.float32)
QUICK = gb.FitConfig(members=2, width=16, depth=1, max_epochs=10)


def simulator(key, theta):
    return theta + SD * jax.random.normal(key, (2,))


def exact(theta: np.ndarray) -> np.ndarray:
    return np.mean((theta - X_O) ** 2, axis=-1) + SD**2


@pytest.fixture(scope="module")
def simulations() -> gb.Simulations:
    return gb.simulate(simulator, PRIOR, 400, seed=0, progress=False)


@pytest.fixture(scope="module")
def cost(simulations) -> gb.Cost:
    return gb.fit_cost(simulations, gb.distances.MeanSquaredError(), config=QUICK, progress=False)


@pytest.fixture(scope="module")
def refined(simulations, cost, tmp_path_factory) -> gb.Refined:
    path = tmp_path_factory.mktemp("refined") / "runs.zarr"
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    return gb.refine(posterior, simulator, simulations, 1200, seed=1, store=path, progress=False)


# Of exp(-beta mean (theta - x_o)^2) times the prior: precision 1 + beta in each of two coordinates.
MEAN, STD = X_O * BETA / (1 + BETA), 1 / np.sqrt(1 + BETA)


def score_error(cost: gb.Cost) -> float:
    """Error of the log density over the posterior, up to a constant: root mean square."""
    theta = MEAN + STD * np.random.default_rng(0).normal(size=(2000, 2))
    return float(BETA * np.std(np.asarray(cost(theta, X_O), np.float64) - exact(theta)))


@pytest.mark.slow
@pytest.mark.long
def test_rows_chosen_by_the_posterior_need_no_correction(simulations, cost, refined):
    # The observation is four prior standard deviations out. Least squares on 400 rows of the prior knows the mean there
    # to SD sqrt((1 + 4^2) / 400) = 0.1 and the slopes to SD / sqrt(400) = 0.025; cost = (g - x_o)^2 / 2 a coordinate
    # with |g - x_o| = 0.2: the score's error is 20 * STD * (0.1 + 0.2 * 0.025) * sqrt(2) = 0.6. With 300 pairs near the
    # posterior the mean is known to SD / sqrt(300) = 0.03, and with the 400 rows and the slopes to less: 0.13. 2.5
    # times that, of chi with two degrees: 2e-3.
    assert score_error(refined.cost) < 0.33 < score_error(cost)
    # One round sufficed.
    assert refined.simulations.round.tolist() == [0] * 400 + [1] * 600
    # Pairs share their random numbers.
    noise = (refined.simulations.x - refined.simulations.theta)[400:].reshape(300, 2, 2)
    np.testing.assert_allclose(noise[:, 0], noise[:, 1], atol=1e-5)
    np.testing.assert_array_equal(refined.simulations.x[:400], simulations.x)
    theta = refined.posteriors[0].sample(2000, seed=0).flat
    np.testing.assert_allclose((theta.mean(axis=0) - MEAN) / STD, 0, atol=0.3)
    # The new rows alone give the same cost: a regression does not know the density of its parameters.
    alone = gb.fit_cost(refined.simulations.selected(refined.simulations.round > 0), cost.distance, config=QUICK)
    assert score_error(alone) < 0.33


@pytest.mark.slow
@pytest.mark.long
def test_rows_chosen_by_their_outputs_would_need_one(refined, cost):
    """The mutant: rejection, which selects on the noise, biases the same regression beyond the bound."""
    rows = refined.simulations
    near = np.argsort(np.mean((rows.x - X_O) ** 2, axis=1))[:200]
    assert score_error(gb.fit_cost(rows.selected(near), cost.distance, config=QUICK, progress=False)) > 0.6


def test_history_compares_runs_with_a_cost_that_has_not_seen_them(refined, cost):
    (first,) = refined.history
    assert (first.round, first.observation, first.suffices) == (1, 0, True)
    # Two of three runs are at beta itself.
    at_beta = np.array(TEMPERS) == 1.0
    rows = (refined.simulations.round == 1).nonzero()[0][np.tile(at_beta, 100)]
    theta, x = refined.simulations.theta[rows], refined.simulations.x[rows]
    np.testing.assert_allclose(first.predicted, np.mean(np.asarray(cost(theta, X_O))), rtol=1e-4)
    np.testing.assert_allclose(first.simulated, np.mean((x - X_O) ** 2), rtol=1e-4)
    # At beta / 16 the posterior is as wide as 1 / sqrt(1 + 20 / 16) = 0.67, at beta 0.22.
    wide = refined.simulations.theta[400:1000][5::6]
    assert wide.std(axis=0).min() > 0.5 > 0.3 > theta.std(axis=0).max()
    assert "round" in refined.summary()
    assert max(map(len, refined.summary().split("\n")[:5])) <= 80


def test_shares_are_those_of_every_observation():
    whose, share = shares(600, 5)
    for i in range(5):
        assert [np.mean(share[whose == i] == t) for t in (1.0, 1 / 4, 1 / 16)] == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_runs_that_are_too_few_for_a_line_do_not_suffice():
    """A line in 8 parameters has 9 coefficients; from fewer than 27 runs a log density off by 10 nats looked right."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(27, 8))
    error = 10 * theta[:, 0] + rng.normal(size=27)
    slope, resolution, p_value = trend(theta[:26], error[:26] - error[:26].mean(), np.zeros(26, int))
    assert (slope, resolution) == (0, np.inf)
    row = Agreement(1, 0, 1.0, 1.0, 1.0, 0.1, slope, resolution, p_value)
    assert row.agrees
    assert not row.suffices
    slope, resolution, p_value = trend(theta, error, np.zeros(27, int))
    assert slope > 5 > resolution
    assert p_value < 1e-3


def test_a_trend_is_found_and_noise_is_none():
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(300, 3)) * [1.0, 5.0, 0.1]
    own = np.zeros(300, int)
    p_values, slopes = [], []
    for _ in range(300):
        _, noise, p_value = trend(theta, rng.normal(size=300), own)
        p_values.append(p_value)
        slopes.append(trend(theta, 0.5 * theta[:, 0] + rng.normal(size=300), own)[0])
    assert noise == pytest.approx(np.sqrt(3 / 300), rel=0.15)
    # False alarms at the level of the test; a Kolmogorov-Smirnov test of 300 uniform numbers.
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    assert np.mean(slopes) == pytest.approx(0.5 * theta[:, 0].std(), rel=0.05)
    # A shift alone is found, and is no slope.
    slope, _, p_value = trend(theta, 1.0 + rng.normal(size=300), own)
    assert p_value < 1e-6
    assert slope < 0.25


def test_a_trend_of_runs_that_share_random_numbers() -> None:
    rng = np.random.default_rng(1)
    theta, block = rng.normal(size=(304, 2)), np.arange(304) // 4 + 1

    def runs() -> np.ndarray:
        return np.sqrt(0.9) * rng.normal(size=76).repeat(4) + np.sqrt(0.1) * rng.normal(size=304)

    found = np.array([trend(theta, runs(), block) for _ in range(400)])
    # False alarms at the level of the test (the share is estimated of 76 blocks, which adds little); the mutant that
    # takes the runs as independent calls the common part a shift.
    assert stats.kstest(found[:, 2], "uniform").pvalue > 1e-3
    mutant = [trend(theta, runs(), np.zeros(304, int))[2] for _ in range(400)]
    assert np.mean(np.array(mutant) < 0.05) > 0.2
    # Differences within blocks have a variance of 0.1 and 3 of 4 degrees of freedom: noise sqrt(2 * 0.1 / (304 * 3/4)).
    assert np.median(found[:, 1]) == pytest.approx(np.sqrt(2 * 0.1 / 228), rel=0.1)
    slopes = [trend(theta, 0.2 * theta[:, 1] + runs(), block)[0] for _ in range(100)]
    # The mean of 100 slopes with errors of 0.02.
    assert np.mean(slopes) == pytest.approx(0.2 * theta[:, 1].std(), abs=0.01)


def never() -> np.ndarray:
    raise AssertionError("the round's parameters are in the store")


def test_a_store_with_rounds_is_extended_and_gone_on_with(tmp_path):
    path = tmp_path / "runs.zarr"
    first = gb.simulate(simulator, PRIOR, 30, seed=3, store=path, progress=False)
    theta = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    store = SimulationStore.open(path, writable=True, round=1)
    store.append(theta)  # and no more: interrupted
    made = simulate_round(simulator, first, never, 1, seed=9, store=path, progress=False)
    np.testing.assert_array_equal(made.theta, theta)
    longer = gb.simulate(simulator, PRIOR, 50, seed=3, store=path, progress=False)
    fresh = gb.simulate(simulator, PRIOR, 50, seed=3, progress=False)
    np.testing.assert_allclose(longer.x, fresh.x, rtol=1e-6)
    assert not longer.round.any()
    whole = gb.Simulations.open(path)
    assert whole.round.tolist() == [0] * 30 + [1] * 20 + [0] * 20
    np.testing.assert_array_equal(whole.x[30:50], made.x)
    np.testing.assert_array_equal(whole.of_prior.theta, fresh.theta)
    whole.save(tmp_path / "copy.zarr")
    copy = gb.Simulations.open(tmp_path / "copy.zarr")
    np.testing.assert_array_equal(copy.selected(copy.round == 1).x, made.x)
    np.testing.assert_array_equal(copy.of_prior.x, whole.of_prior.x)
    assert whole.to_xarray()["origin"].values.tolist() == whole.round.tolist()


def test_joined_rows_keep_their_reasons():
    one = gb.Simulations.from_arrays([[0.0], [1.0]], [[1.0], [np.nan]])
    other = gb.Simulations.from_arrays([[2.0], [3.0]], [[np.inf], [np.nan]])
    both = one.joined(other)
    assert [both.reasons[code] for code in both.status] == [
        "ok",
        "NaN in the output",
        "infinity in the output (float32)",
        "NaN in the output",
    ]
    with pytest.raises(ValueError, match="x_shape"):
        one.joined(gb.Simulations.from_arrays([[2.0]], [[1.0, 2.0]]))


def test_a_unit_of_the_distance_stays(simulations, refined):
    distance = gb.distances.MeanAbsoluteError("prior_predictive")
    costs = [gb.fit_cost(rows, distance, config=QUICK, progress=False) for rows in (simulations, refined.simulations)]
    spread, again = (np.asarray(cast(gb.distances.MeanAbsoluteError, cost.distance).scale) for cost in costs)
    np.testing.assert_allclose(again, spread, rtol=1e-6)
    # The mutant, all rows, has the spread of two clusters.
    assert np.all(refined.simulations.x.std(axis=0) > 1.2 * spread)


def test_members_hold_out_the_same_rows_again():
    config = replace(QUICK, members=3)
    before = Folds.make(np.arange(100), config, 0)
    after = Folds.of_rounds(np.repeat([0, 1], [100, 40]), config, 0)
    for old, new, train in zip(before.validation, after.validation, after.train, strict=True):
        assert set(old) == {row for row in new if row < 100}
        assert not set(train) & set(new)
        assert len(train) + len(new) == 140
        assert sum(new >= 100) == 4


@pytest.mark.parametrize("method", ["marginal", "general"])
def test_networks_are_trained_on(method, simulations, refined):
    distance = gb.distances.MeanAbsoluteError()
    config = replace(QUICK, batch_size=64)
    cold = gb.fit_cost(simulations, distance, config=config, method=method, progress=False)
    # With steps of no size the networks are where they were, but for the range of outputs, which the new rows widen;
    # networks begun anew would know nothing.
    still = {**cold.settings, "config": {**cold.settings["config"], "learning_rate": 1e-9}}
    warm = refit(replace(cold, settings=still), refined.simulations, seed=0, progress=False)
    theta, x_o = simulations.theta[:200], simulations.x[0]
    np.testing.assert_allclose(np.asarray(warm(theta, x_o)), np.asarray(cold(theta, x_o)), rtol=0.01)
    assert warm.settings["simulations"] == len(refined.simulations)
    assert warm.settings["simulations_prior"] == 400


def test_a_marginal_cost_of_few_runs_is_fitted_anew(simulations, refined):
    distance = gb.distances.MeanAbsoluteError()
    first = simulations.selected(np.arange(60))
    cold = gb.fit_cost(first, distance, config=QUICK, method="marginal", progress=False)
    rows = refined.simulations.selected(np.arange(500))
    again = refit(cold, rows, seed=0, progress=False)
    whole = gb.fit_cost(rows, cold.distance, config=QUICK, method="marginal", progress=False)
    theta, x_o = simulations.theta[:200], simulations.x[0]
    # As if there had been no fit of the first 60 runs: networks that are trained on keep the polynomials of those.
    np.testing.assert_array_equal(np.asarray(again(theta, x_o)), np.asarray(whole(theta, x_o)))


@pytest.mark.parametrize(
    ("n", "observations", "number"), [(40, 1, 1), (200, 1, 3), (1000, 1, 4), (1001, 1, 2), (700, 5, 2), (7000, 5, 2)]
)
def test_rounds_are_more_where_runs_are_few(n, observations, number):
    assert rounds._rounds_of(n, observations) == number
    # What is chosen is never refused.
    assert n >= number * observations * rounds._LEAST_RUNS


def test_bad_arguments_are_told(simulations, cost):
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    other = gb.GibbsPosterior(PRIOR, replace(cost), X_O, BETA)
    for posteriors, n, kind, message in (
        ([posterior, other], 1000, ValueError, "share one cost"),
        ([], 1000, TypeError, "an empty list"),
        (cost, 1000, TypeError, "posteriors"),
        (posterior, 30, ValueError, "at least 40"),
    ):
        with pytest.raises(kind, match=message):
            gb.refine(posteriors, simulator, simulations, n, seed=0, progress=False)
    # The function itself, without the annotations that tests check first.
    message = "posteriors must be GibbsPosterior, a list of them, or GibbsPosteriors, got NoneType"
    with pytest.raises(TypeError, match=message):
        inspect.unwrap(gb.refine)(None, simulator, simulations, 1000, seed=0)
    assert isinstance(cost.form, HilbertForm)


MODULE = """
import jax

def simulate(key, theta):
    return theta + 0.5 * jax.random.normal(key, (2,))
"""
PROBLEM = """
simulator = "refined_model:simulate"
[prior]
a = { distribution = "Normal", loc = 0.0, scale = 1.0 }
b = { distribution = "Normal", loc = 0.0, scale = 1.0 }
[distance]
name = "MeanSquaredError"
[observation]
values = [4.0, -3.5]
[fit]
members = 2
width = 16
depth = 1
max_epochs = 10
[sample]
beta = 20.0
"""


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "refined_model.py").write_text(MODULE)
    path, out = tmp_path / "refined.toml", tmp_path / "out"
    path.write_text(PROBLEM)
    both = [str(path), "--out", str(out), "--quiet"]
    assert main(["simulate", *both, "-n", "400"]) == 0
    assert main(["fit", *both]) == 0
    assert main(["refine", str(path), "--out", str(out), "-n", "600", "--rounds", "1"]) == 0
    assert "sample again" in capsys.readouterr().out
    stored = json.loads((out / "refinement.json").read_text())
    assert (stored["simulations"], stored["new"], len(stored["history"])) == (1000, 600, 1)
    cost = gb.load(out / "cost.safetensors")
    assert cost.settings["rounds"] == 1
    # 400 rows near the posterior instead of 800: sqrt(2) times the bound above.
    assert score_error(cost) < 0.47
    assert main(["sample", *both, "--draws", "400"]) == 0
    assert "fitted on" not in capsys.readouterr().err
    assert main(["simulate", *both, "-n", "450"]) == 0
    capsys.readouterr()
    assert main(["sample", *both, "--draws", "400"]) == 0
    told = "fitted on 400 simulations of the prior, and 450 are stored now"
    assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.long
@pytest.mark.slow
def test_command_of_files_of_observations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "refined_model.py").write_text(MODULE)
    path, out = tmp_path / "refined.toml", tmp_path / "out"
    path.write_text(PROBLEM)
    both = [str(path), "--out", str(out)]
    assert main(["simulate", *both, "-n", "400", "--quiet"]) == 0
    assert main(["fit", *both, "--quiet"]) == 0
    # The second is the first once more: `refine` knows two observations, and all three have a report.
    files = {"one": "1.0\n0.5\n", "same": "1.0\n0.5\n", "two": "-1.0\n0.0\n"}
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    given = [str(tmp_path / f"{name}.csv") for name in files]
    capsys.readouterr()
    assert main(["refine", *both, "-n", "120", "--rounds", "1", "--observation", *given]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    cost = gb.load(out / "cost.safetensors")
    assert stored_sections(Folder(out), cost, 20.0) == []
    for name, file in zip(files, given, strict=True):
        assert f"sample again: genbayes sample {path} --observation {file} --beta 20" in printed
        (section,) = stored_sections(Folder(out, name), cost, 20.0)
        assert f"0 ({given[0]})" in section.body
        assert f"1 ({given[2]})" in section.body
    history = json.loads((out / "refinement.json").read_text())["history"]
    assert [(one["observation"], one["file"]) for one in history] == [(0, given[0]), (1, given[2])]
