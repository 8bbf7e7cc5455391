"""Failing runs that count as a distance: a simulator that fails with a known probability, whose cost is known."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

import genbayes as gb
from genbayes.checks.evidence import Evidence
from genbayes.checks.findings import findings
from genbayes.command_line.problem import read_problem
from genbayes.costs.failing_runs import checked_failures, failures_told, labels
from genbayes.distances import MeanAbsoluteError, MeanSquaredError
from genbayes.refinement.agreement import measured_agreement
from genbayes.sampling.ranks import HeldOut, ranks_of_truth

PENALTY, BETA, NOISE = 1.5, 4.0, 0.5
X_O = np.array([-0.5, -0.5], np.float32)
PRIOR = gb.Prior.uniform([-2.0, -2.0], [2.0, 2.0])


def simulator(key, theta):
    noise_key, fail_key = jax.random.split(key)
    x = theta + NOISE * jax.random.normal(noise_key, (2,))
    return jnp.where(jax.random.uniform(fail_key) < jax.nn.sigmoid(1 + 2 * theta[0]), x, jnp.nan)


def exact(theta: np.ndarray, x_o: np.ndarray = X_O, penalty: float = PENALTY) -> np.ndarray:
    success = expit(1 + 2 * theta[..., 0])
    return success * (np.mean((theta - x_o) ** 2, axis=-1) + NOISE**2) + (1 - success) * penalty


@pytest.fixture(scope="module")
def simulations() -> gb.Simulations:
    return gb.simulate(simulator, PRIOR, 1000, seed=0, progress=False)


@pytest.fixture(scope="module")
def cost(simulations) -> gb.Cost:
    return gb.fit_cost(simulations, MeanSquaredError(), failures=PENALTY, progress=False)


@pytest.fixture(scope="module")
def marginal(simulations, cost) -> gb.Cost:
    settings = {"config": gb.FitConfig(members=2, width=16, depth=1, max_epochs=15), "progress": False}
    made = gb.fit_cost(simulations, MeanSquaredError(), method="marginal", failures="ignore", **settings)
    # The probability of success is the same: it is fitted once.
    return replace(made, success=cost.success, penalty=PENALTY, settings={**made.settings, "failures": PENALTY})


def general(simulations) -> gb.Cost:
    config = gb.FitConfig(members=2, width=32, depth=1, max_epochs=30)
    distance = gb.distances.UserDistance(lambda x, y: jnp.mean((x - y) ** 2), name="square", units="squared")
    return gb.fit_cost(simulations, distance, config=config, failures=PENALTY, progress=False)


THETA = np.asarray(PRIOR.sample(500, seed=5), np.float64)


@pytest.mark.slow
def test_a_general_cost_is_penalised_too(simulations) -> None:
    fitted = general(simulations)
    success = np.exp(np.asarray(fitted.log_success(THETA), np.float64))
    wanted = success * np.asarray(replace(fitted, penalty=None)(THETA, X_O), np.float64) + (1 - success) * PENALTY
    np.testing.assert_allclose(fitted(THETA, X_O), wanted, rtol=1e-4)


@pytest.mark.parametrize("kind", ["features", "marginal"])
def test_the_cost_is_the_expectation_over_all_runs(kind: str, request) -> None:
    fitted = request.getfixturevalue({"features": "cost", "marginal": "marginal"}[kind])
    found = np.asarray(fitted(THETA, X_O), np.float64)
    error = np.sqrt(np.mean((found - exact(THETA)) ** 2))
    # The probability of success has a few coefficients on 1,000 rows, an error of 0.03, times |E[d] - penalty|, some 2;
    # the conditional cost is known to some hundredths by features, to tenths by small networks.
    assert error < {"features": 0.1, "marginal": 0.2}[kind]
    # The mutants: the cost given success, and that of another penalty.
    for other in (replace(fitted, penalty=None), replace(fitted, penalty=0.0)):
        assert np.sqrt(np.mean((np.asarray(other(THETA, X_O)) - exact(THETA)) ** 2)) > 0.4
    members = np.asarray(fitted.members(THETA, X_O))
    np.testing.assert_allclose(members.mean(axis=1), found, atol=0.1)


def quadrature(x_o: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grid = (np.arange(400) + 0.5) / 100 - 2
    theta = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    weight = np.exp(-BETA * exact(theta, x_o))
    weight /= weight.sum()
    return weight @ theta, np.sqrt(weight @ (theta - weight @ theta) ** 2)


@pytest.fixture(scope="module")
def draws(cost) -> gb.Draws:
    return gb.GibbsPosterior(PRIOR, cost, X_O, BETA).sample(2000, seed=1)


def is_as_known(flat: np.ndarray, x_o: np.ndarray) -> None:
    mean, std = quadrature(x_o)
    # 2,000 draws know a mean to 0.02 standard deviations; the cost has an error of some 0.1 in the log density.
    np.testing.assert_allclose(flat.mean(axis=0), mean, atol=0.15 * std.max())
    np.testing.assert_allclose(flat.std(axis=0), std, rtol=0.1)


@pytest.mark.slow
def test_stacks_weigh_failures_by_the_penalty(cost) -> None:
    others = np.stack([X_O, -X_O])
    stack = gb.GibbsPosteriors(PRIOR, cost, others, BETA).sample(2000, seed=2, progress=False)
    is_as_known(stack.draws(0).flat, X_O)
    is_as_known(stack.draws(1).flat, -X_O)


def test_posteriors_weigh_failures_by_the_penalty_alone(cost, draws) -> None:
    is_as_known(draws.flat, X_O)
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    expected = PRIOR.log_density(THETA) - BETA * posterior.cost_at(THETA)
    np.testing.assert_allclose(posterior.log_density(THETA), expected, rtol=1e-5)
    # P(success | theta) is known all the same.
    np.testing.assert_allclose(np.exp(cost.log_success(THETA)), expit(1 + 2 * THETA[:, 0]), atol=0.15)


def test_held_out_failures_judge_the_cost(cost) -> None:
    rows = cost.held_out
    assert rows is not None
    # As many of them fail as of all runs, whose share is known to 0.01.
    assert np.mean(~rows.ok) == pytest.approx(cost.settings["simulations_failed"] / 1000, abs=0.01)
    assert gb.GibbsPosterior(PRIOR, cost, X_O, BETA).outcome.ok

    def departures(one: gb.Cost, kept: np.ndarray) -> np.ndarray:
        """Mean residual, and that times theta_0, in standard errors."""
        distances = labels(one.distance, rows.x, rows.ok, X_O, one.penalty)
        residual = rows.residuals(one.expectation, one.embed(X_O), distances)[1]
        products = np.stack([residual, residual * rows.inputs[:, 0]])[:, kept]
        return np.abs(products.mean(axis=1)) / (products.std(axis=1) / np.sqrt(kept.sum()))

    # Far from what successful runs cost, the penalty shows whether failures are weighed as they occur.
    far, every = replace(cost, penalty=10.0), np.ones(len(rows), bool)
    assert departures(cost, every).max() < 4
    assert departures(far, every).max() < 4
    # The mutants: held-out rows without those that failed, and a probability of success that is the same everywhere.
    assert departures(far, rows.ok).max() > 8
    assert cost.success is not None
    level = replace(cost.success, slopes=0 * cost.success.slopes)
    assert departures(replace(far, success=level), every).max() > 8


def test_new_runs_that_fail_count_as_the_penalty(cost, draws, simulations) -> None:
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    runs = gb.check_predictive(simulator, posterior, draws, 1000, seed=3, progress=False)
    assert len(runs.theta) == len(runs.predicted) == len(runs.simulated) == runs.total
    assert len(runs.x) == len(runs.replicate) == np.sum(runs.simulated != PENALTY)
    # Of the second runs at draws whose first succeeded, the share that fails.
    success = expit(1 + 2 * runs.theta[:, 0].astype(float))
    wanted = 2 * NOISE**2 * np.sum(success**2) + PENALTY * np.sum(success * (1 - success))
    assert runs.replicate.mean() == pytest.approx(wanted / success.sum(), abs=5 * runs.replicate.std() / 30)
    fails = np.mean(runs.distances == PENALTY)
    assert fails == pytest.approx(1 - expit(1 + 2 * runs.theta[:, 0]).mean(), abs=4 * 0.5 / np.sqrt(2000))
    error = runs.simulated.std() / np.sqrt(len(runs.theta))
    assert runs.simulated.mean() == pytest.approx(exact(runs.theta.astype(float)).mean(), abs=5 * error)
    assert runs.outcome.ok
    assert "counts as distance 1.5" in runs.summary()
    evidence = Evidence(posterior, draws, runs, simulations)
    told = {one.check: one for one in findings(evidence)}
    assert "a failing run counts as distance 1.5" in told["failures"].text.lower()
    assert told["failures"].level == "note"
    assert "each counts as distance 1.5" in told["failures at the draws"].text
    assert told["cost"].level == "ok"
    # The mutant: a cost that the failures are not in.
    bare = gb.GibbsPosterior(PRIOR, replace(cost, success=None), X_O, BETA)
    predicted = np.asarray(bare.cost_at(runs.theta))
    assert "is off by" in str(replace(runs, predicted=predicted).outcome)


def test_refinement_counts_failures(cost, draws) -> None:
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    theta = draws.flat[::2]
    runs = gb.simulate_at(simulator, theta, seed=9, names=PRIOR.names, progress=False)
    found = measured_agreement(posterior, cost, runs, number=1, observation=0)
    assert found.agrees
    assert found.simulated == pytest.approx(exact(theta.astype(float)).mean(), abs=5 * found.error)


@pytest.mark.long
@pytest.mark.slow
def test_coverage_is_that_of_the_posterior_with_the_penalty(cost) -> None:
    held_out = HeldOut.of(PRIOR, cost, gb.simulate(simulator, PRIOR, 200, seed=77, progress=False), 60, 0)
    ranks = ranks_of_truth(PRIOR, cost, held_out, [BETA], n=200, seed=0, progress=False)
    assert np.all((ranks.joint > 0) & (ranks.joint < 1))
    assert ranks.joint.mean() < 0.9


def test_a_file_and_a_report_know_the_penalty(cost, draws, tmp_path: Path) -> None:
    again = gb.load(gb.save(cost, tmp_path / "cost.safetensors"))
    assert again.penalty == PENALTY
    np.testing.assert_array_equal(again(THETA, X_O), cost(THETA, X_O))
    assert again.held_out is not None
    assert cost.held_out is not None
    np.testing.assert_array_equal(again.held_out.ok, cost.held_out.ok)
    posterior = gb.GibbsPosterior(PRIOR, again, X_O, BETA)
    page = gb.report(tmp_path / "report.html", posterior, draws).read_text()
    assert "a failing run counts as distance 1.5 (squared data units)" in page
    assert "a failing run counts as distance 1.5" in again._repr_html_()


def test_each_way_is_told(simulations, cost) -> None:
    ignored = replace(cost, penalty=None, success=None, settings={**cost.settings, "failures": "ignore"})
    assert "left out" in failures_told(ignored)
    conditional = replace(cost, penalty=None)
    assert "multiplied by their probability" in failures_told(conditional)
    assert "counts as distance 1.5" in failures_told(cost)
    few = replace(cost, success=None, settings={**cost.settings, "simulations_failed": 2})
    assert "too few to say where" in failures_told(few)


def test_another_distance_needs_a_penalty_of_its_own(marginal) -> None:
    with pytest.raises(ValueError, match=r"failures is missing: .* counts as 1.5 \(squared data units.*data units"):
        marginal.with_distance(MeanAbsoluteError())
    by = marginal.with_distance(MeanAbsoluteError(), failures=2.0)
    assert by.penalty == by.settings["failures"] == 2.0
    conditional = replace(marginal, penalty=None)
    given_success = np.asarray(conditional.with_distance(MeanAbsoluteError())(THETA, X_O), np.float64)
    success = np.exp(np.asarray(marginal.log_success(THETA), np.float64))
    wanted = success * given_success + (1 - success) * 2.0
    np.testing.assert_allclose(by(THETA, X_O), wanted, rtol=1e-4)
    with pytest.raises(ValueError, match=r"failures is 2.0, but the cost has no penalty"):
        conditional.with_distance(MeanAbsoluteError(), failures=2.0)
    with pytest.raises(ValueError, match="finite"):
        marginal.with_distance(MeanAbsoluteError(), failures=-1.0)


@pytest.mark.long
@pytest.mark.slow
def test_sensitivity_keeps_what_a_failure_says(marginal) -> None:
    posterior = gb.GibbsPosterior(PRIOR, marginal, X_O, BETA)
    found = gb.sensitivity(posterior, {"absolute": MeanAbsoluteError()}, n=400, seed=0, progress=False)
    by_name = {one.name: one for one in found.variants}
    absolute = by_name["absolute"]
    cost = marginal.with_distance(absolute.distance, failures=PENALTY * BETA / absolute.beta)
    flat = absolute.draws.flat[:50]
    np.testing.assert_allclose(absolute.draws.cost.reshape(-1)[:50], cost(flat, X_O), rtol=1e-3)


def test_what_is_refused(simulations, tmp_path: Path) -> None:
    for wrong in (-0.1, float("nan"), float("inf"), 1e39):
        with pytest.raises(ValueError, match=r"failures must be .* \(in squared data units\), got .*condition"):
            gb.fit_cost(simulations, MeanSquaredError(), failures=wrong, progress=False)
    with pytest.raises(ValueError, match="got 'penalise'"):
        checked_failures("penalise", "mV")
    with pytest.raises(TypeError, match="got True"):
        checked_failures(True, "mV")
    assert checked_failures(0, "mV") == ("penalise", 0.0)


PROBLEM = """
simulator = "penalty_model:simulate"
[prior.a]
distribution = "Uniform"
low = -1.0
high = 1.0
[distance]
name = "MeanSquaredError"
[fit]
failures = {failures}
"""


def test_a_problem_file_states_the_penalty(tmp_path: Path) -> None:
    (tmp_path / "penalty_model.py").write_text("def simulate(theta, rng):\n    return theta\n")
    path = tmp_path / "penalty.toml"
    for text, wanted in (("1.5", 1.5), ("2", 2.0), ('"ignore"', "ignore"), ('"condition"', "condition")):
        path.write_text(PROBLEM.format(failures=text))
        assert read_problem(path).failures == wanted
    path.write_text(PROBLEM.format(failures="-1.0"))
    with pytest.raises(ValueError, match=r"\[fit\] failures: .* got -1.0"):
        read_problem(path)
