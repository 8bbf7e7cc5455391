"""The checks against closed forms, brute force and planted faults; `genbayes check` and its exit codes."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jaxtyping import Array, Float
from scipy.stats import binom, norm

import genbayes as gb
from genbayes import cli, plots
from genbayes.checks.check_coverage import judge_coverage
from genbayes.checks.coverage import coverage
from genbayes.checks.evidence import Evidence
from genbayes.checks.extrapolation import extrapolation
from genbayes.checks.finding import headline
from genbayes.checks.findings import findings
from genbayes.checks.mean_errors import _shift, mean_errors
from genbayes.checks.output_space import OutputSpace, as_vectors, output_kind, same_trials, vector_names
from genbayes.checks.position import predictive_position
from genbayes.checks.support import SupportReference
from genbayes.checks.unit_errors import unit_errors
from genbayes.checks.verdict import EXIT_CODES, check
from genbayes.command_line import check_command
from genbayes.command_line.folder import (
    Folder,
    outdated_sections,
    save_draws,
    save_section,
    stored_draws,
    stored_sections,
)
from genbayes.command_line.problem import read_problem
from genbayes.costs.forms import CostForm

NOISE = 0.3
DIM = 2
BETA = 40.0
PRIOR = gb.Prior({"a": dist.Normal(0.0, 1.0), "b": dist.Normal(0.0, 1.0)})


def located(theta, rng):
    """The Gaussian location model: everything about it is known."""
    return theta + NOISE * rng.normal(size=DIM)


def expected(theta, x_o):
    """E[mean_j (x_j - x_o_j)^2 | theta]."""
    return jnp.mean((theta - x_o) ** 2) + NOISE**2


def exact_cost(function=expected):
    return gb.Cost.exact(function, names=PRIOR.names, x_shape=(DIM,), units="squared data units")


def simulated(n, seed):
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(n, DIM))
    return gb.Simulations.from_arrays(theta, theta + NOISE * rng.normal(size=(n, DIM)), PRIOR.names)


# Posterior of exp(-BETA mean_j (theta_j - x_j)^2) under N(0, 1): precision 1 + 2 BETA / DIM.
X_O = np.array([0.5, -0.2], np.float32)
VARIANCE = 1 / (1 + 2 * BETA / DIM)
TRUE_MEAN = VARIANCE * 2 * BETA / DIM * X_O


def drawn(posterior, mean=TRUE_MEAN, variance=VARIANCE, n=1000):
    """Independent draws of a normal posterior, as a sampler would return them."""
    theta = (mean + np.sqrt(variance) * np.random.default_rng(8).normal(size=(4, n, posterior.prior.dim))).astype("f4")
    cost = np.asarray(posterior.cost(theta.reshape(4 * n, -1), posterior.x_o)).reshape(4, n)
    return gb.Draws(theta, cost, posterior.prior.names, posterior.beta, posterior.x_o, "exact", 0)


@pytest.fixture(scope="module")
def reference():
    return SupportReference.of(exact_cost(), simulated(6000, 0))


# --- support


def test_false_alarms_are_five_percent(reference):
    fresh = simulated(4000, 1).x
    p = reference.p_values(fresh)
    # Given the 1,000 held-out rows the rate has the standard deviation of a quantile, and 4,000 fresh ones add theirs:
    # sqrt(0.05 0.95 (1/1000 + 1/4000)) = 0.0077; four of them are a false failure in 16,000.
    assert np.abs(np.mean(p <= 0.05, axis=0) - 0.05) == pytest.approx(0, abs=4 * 0.0077)
    # All the way up, the p-value is uniform (standard deviation 0.5 sqrt(1/1000 + 1/4000) = 0.018 at the median).
    assert np.mean(p <= 0.5, axis=0) == pytest.approx(0.5, abs=4 * 0.018)


def test_p_values_are_ranks_among_all(reference):
    x = simulated(5, 2).x
    scores, _ = reference._scores(x, np.zeros((5, 0), np.float32))
    for one, found in zip(scores, reference.p_values(x), strict=True):
        pool = np.concatenate([reference.scores, one[None]])
        ranks = np.array([[np.sum(pool[:, j] >= row[j]) for j in range(2)] for row in pool])
        joint = ranks.min(axis=1)
        assert found == pytest.approx([np.mean(joint <= joint[-1]), *(ranks[-1] / len(pool))])


def test_least_cost_is_the_least_over_parameters(reference):
    x_o = np.array([0.4, 4.0], np.float32)
    found = reference.judge(x_o)
    costs = np.mean((reference.theta - x_o) ** 2, axis=1) + NOISE**2
    assert found.cost == pytest.approx(costs.min(), rel=1e-4)
    assert found.theta == pytest.approx(reference.theta[np.argmin(costs)])
    assert not found.inside
    assert not found.hopeless
    assert found.training is None


def test_each_coordinate_usual_but_not_together():
    """The middle of a ring: no coordinate is unusual, and no output is there."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 3000)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.03 * rng.normal(size=(3000, 2))
    cost = gb.Cost.exact(
        lambda t, y: jnp.mean((jnp.stack([jnp.cos(t[0]), jnp.sin(t[0])]) - y) ** 2),
        names=("t",),
        x_shape=(2,),
        units="1",
    )
    ring = SupportReference.of(cost, gb.Simulations.from_arrays(angle[:, None], x, ("t",)))
    middle = ring.judge(np.zeros(2))
    assert middle.isolation < 0.01
    assert middle.least_cost < 0.01
    assert ring.judge(np.array([1.0, 0.0])).inside


def test_sets_do_not_depend_on_order_and_may_be_larger():
    rng = np.random.default_rng(1)
    theta = rng.normal(size=(2000, 1))
    x = theta[:, None] + rng.normal(size=(2000, 8, 1))
    cost = gb.Cost.exact(lambda t, y: jnp.mean((t[0] - y) ** 2), names=("t",), x_shape=(8, 1), units="1")
    sets = SupportReference.of(cost, gb.Simulations.from_arrays(theta, x, ("t",)), kind="set")
    assert as_vectors(x[:3, ::-1], "set") == pytest.approx(as_vectors(x[:3], "set"))
    one = 0.3 + rng.normal(size=(8, 1))
    assert sets.judge(one).p_value == sets.judge(one[::-1].copy()).p_value
    assert sets.judge(np.where(np.arange(8)[:, None] < 4, 6.0, -6.0) + rng.normal(size=(8, 1))).p_value < 0.01
    assert vector_names((8, 1), "set")[:2] == ["mean", "spread"]
    assert len(vector_names((8, 2), "set")) == as_vectors(np.zeros((1, 8, 2)), "set").shape[1]
    # More trials than a run's: parts of the observation are compared, not its more exact statistics.
    assert len(same_trials(rng.normal(size=(40, 1)), 8)) == 5
    assert output_kind(cost) == "series"
    assert output_kind(replace(cost, distance=gb.distances.MMD(bandwidth=1.0))) == "set"


def test_more_coordinates_than_directions():
    """A series of 1,500 steps in two patterns: noise off the patterns is seen."""
    rng = np.random.default_rng(2)
    waves = np.stack([np.sin(np.linspace(0, 6, 1500)), np.cos(np.linspace(0, 6, 1500))])
    x = rng.normal(size=(600, 2)) @ waves + 0.05 * rng.normal(size=(600, 1500))
    space = OutputSpace.fit(x[:500])
    inside, outside = space(x[500:]), space(x[500:] + 0.3 * rng.normal(size=(100, 1500)))
    assert inside.shape == (100, 65)
    assert np.abs(inside[:, -1]).max() < np.abs(outside[:, -1]).min()


def test_general_network_says_when_it_extrapolates():
    simulations = simulated(300, 3)
    config = gb.FitConfig(members=1, max_epochs=2, width=8, batch_size=64, depth=1)
    distance = gb.distances.UserDistance(lambda x, y: jnp.mean((x - y) ** 2), name="mse", units="1")
    cost = gb.fit_cost(simulations, distance, config=config, progress=False)
    general = SupportReference.of(cost, simulations)
    assert (general.judge(np.zeros(2)).training or 0) > 0.05
    far = general.judge(np.full(2, 100.0))
    assert far.training is not None
    assert far.training < 0.01
    # Half of the targets are outputs, half are outputs blurred by twice their spread: of these
    # share Phi(-q / sqrt(5)) lie beyond q spreads, on either side of either direction.
    reached = general.judge(np.array([4.0 * np.sqrt(1 + NOISE**2), 0.0])).training
    assert reached is not None
    assert 0.01 < reached < 0.2
    posterior = gb.GibbsPosterior(PRIOR, cost, np.full(2, 100.0), 1.0)
    draws = drawn(posterior, n=50)
    texts = {one.check: one for one in findings(Evidence(posterior, draws, None, simulations))}
    assert texts["extrapolation in x"].text.startswith("Extrapolating")
    assert texts["support"].text.startswith("Misspecified")


def test_support_needs_simulations():
    with pytest.raises(ValueError, match="at least 100"):
        SupportReference.of(exact_cost(), simulated(60, 0))
    with pytest.raises(ValueError, match="kind must be"):
        output_kind(exact_cost(), "sets")


# --- units


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda x: x / 1000, "all values times 1000"),
        (lambda x: np.log(x), "the exponential of all values"),
        (lambda x: x * np.array([1.0, 1000.0, 1.0]), "output 2 times 0.001"),
        (lambda x: x[[2, 1, 0]], "output 1 and output 3 exchanged"),
        (lambda x: x + 273.15, "all values minus 273.15"),
    ],
)
def test_slips_are_named(change, text):
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(3000, 1))
    scale = np.array([100.0, 30.0, 8.0])
    x = scale * np.exp(0.2 * theta) * np.exp(0.05 * rng.normal(size=(3000, 3)))
    cost = gb.Cost.exact(
        lambda t, y: jnp.mean((jnp.asarray(scale, jnp.float32) * jnp.exp(0.2 * t[0]) - y) ** 2),
        names=("t",),
        x_shape=(3,),
        units="1",
    )
    simulated = SupportReference.of(cost, gb.Simulations.from_arrays(theta, x, ("t",)))
    x_o = scale * np.exp(0.1)
    assert unit_errors(simulated, x_o) == []
    assert any(text in hint for hint in unit_errors(simulated, change(x_o)))


def test_an_excess_is_no_slip_of_units():
    """Around 0 a tenth of any excess is ordinary: only one that no excess explains is called a slip."""
    simulations = SupportReference.of(exact_cost(), simulated(3000, 0))
    found = unit_errors(simulations, np.array([1.2, 5.0]))
    assert not any("times" in hint or "logarithm" in hint for hint in found)
    assert "times 0.001" in " ".join(unit_errors(simulations, np.array([500.0, -500.0])))


# --- extrapolation in theta


def test_draws_among_and_beyond_the_simulations():
    simulations = simulated(3000, 0)
    rng = np.random.default_rng(1)
    # Single points of the prior: their p-values are uniform (standard deviation of the share 0.0155 at 0.05, n = 200).
    p = [extrapolation(simulations, np.tile(rng.normal(size=DIM), (3, 1))).p_value for _ in range(200)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=4 * 0.0166)
    # The whole prior is as isolated as its middle.
    whole = extrapolation(simulations, rng.normal(size=(1000, DIM)))
    assert whole.p_value == pytest.approx(0.5, abs=0.1)
    assert whole.distance == pytest.approx(1, abs=0.15)
    far = extrapolation(simulations, 4.5 + 0.1 * rng.normal(size=(1000, DIM)))
    assert not far.inside
    assert far.share > 0.9
    assert far.distance > 5


# --- error bars on the means

# Of the planted error, which moves the mean by BETA VARIANCE SLOPE: 0.94 and 0.31 posterior standard deviations.
SLOPE = np.array([0.15, -0.05])
MOVED = -BETA * VARIANCE * SLOPE


def checked(cost, mean=TRUE_MEAN, n=800):
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    draws = drawn(posterior, mean)
    found = gb.check_predictive(
        located, posterior, draws, n, seed=1, distance=gb.distances.MeanSquaredError(), progress=False
    )
    return posterior, draws, found


def test_a_planted_error_is_found_and_undone():
    """A linear error of the cost moves the mean of a normal posterior by -BETA variance slope: first order is exact."""
    planted = exact_cost(lambda theta, x_o: expected(theta, x_o) + jnp.sum(jnp.asarray(SLOPE, jnp.float32) * theta))
    posterior, draws, found = checked(planted, TRUE_MEAN + MOVED)
    errors = mean_errors(posterior, draws, found)
    # The shift is BETA times a covariance of 800 draws: of its own noise and of theirs, 1 / sqrt(800) = 3.5 % each.
    assert np.all(np.abs(errors.shift + MOVED) < 4 * errors.shift_error + 4 * 0.035 * np.abs(MOVED))
    assert errors.significant[0]
    assert abs(errors.corrected[0] - TRUE_MEAN[0]) < 4 * errors.shift_error[0] + 4 * 0.035 * np.abs(MOVED[0])
    assert errors.error[0] == pytest.approx(np.sqrt(errors.shift[0] ** 2 - errors.shift_error[0] ** 2))
    text = next(one for one in findings(Evidence(posterior, draws, found, None)) if one.check == "means")
    assert text.level in ("care", "bad")
    assert "mean of a" in text.text
    # Mutant: beta left out, or the wrong sign, would be far from these.
    wrong = mean_errors(gb.GibbsPosterior(PRIOR, planted, X_O, 2 * BETA), draws, found)
    assert np.all(np.abs(wrong.shift[0] + MOVED[0]) > 4 * errors.shift_error[0] + 4 * 0.035 * np.abs(MOVED[0]))


def test_shifts_are_normal_within_their_standard_error():
    """Shift over standard error, of 1,000 repetitions where there is no error: 1 % beyond the limit for both means."""
    rng = np.random.default_rng(0)
    theta = TRUE_MEAN + np.sqrt(VARIANCE) * rng.normal(size=(1000, 200, DIM))
    noisy = np.mean((theta + NOISE * rng.normal(size=theta.shape) - X_O) ** 2, axis=2)
    residual = noisy - np.mean((theta - X_O) ** 2, axis=2) - NOISE**2
    found = np.array([_shift(one, error, BETA) for one, error in zip(theta, residual, strict=True)])
    z = found[:, 0] / found[:, 1]
    # Standard deviation of the share: sqrt(0.01 0.99 / 1000) = 0.0031.
    assert np.mean(np.any(np.abs(z) > norm.isf(0.005 / DIM), axis=1)) < 0.01 + 4 * 0.0031
    assert np.std(z, axis=0) == pytest.approx(1, abs=4 / np.sqrt(2000) + 0.02)


def test_no_error_is_seen_where_there_is_none():
    posterior, draws, found = checked(exact_cost())
    errors = mean_errors(posterior, draws, found)
    assert not errors.significant.any()
    assert np.all(np.abs(errors.shift) < 4 * errors.shift_error)
    # The noise of a single distance: 2 sigma |theta - x_o| z and sigma^2 (z^2 - 1), times BETA, over the root of 800;
    # both runs at a draw are used, so a shift is known to within a fifth of a posterior standard deviation.
    assert np.all(errors.shift_error < 0.2 * np.sqrt(VARIANCE))
    one = next(one for one in findings(Evidence(posterior, draws, found, None)) if one.check == "means")
    assert one.level == "ok"
    assert np.all(mean_errors(posterior, draws).member_error == 0)
    assert np.all(np.isnan(mean_errors(posterior, draws).shift))


class Tilted(CostForm):
    """An ensemble whose members have planted linear errors."""

    slopes: Float[Array, "members dim"]

    def embed(self, x_o: Float[Array, " dim"], *, gaps: bool = False) -> Float[Array, " dim"]:
        del gaps
        """The observation."""
        return x_o

    def member_values(self, theta: Float[Array, " dim"], embedded: Float[Array, " dim"]) -> Float[Array, " members"]:
        """Right, plus the member's slope."""
        return jnp.mean((theta - embedded) ** 2) + self.slopes @ theta


def test_members_give_their_standard_error():
    slopes = 0.05 * np.random.default_rng(0).normal(size=(4, DIM))
    form = Tilted(jnp.asarray(slopes - slopes.mean(axis=0), jnp.float32))
    cost = gb.Cost(form, gb.distances.MeanSquaredError(scale=1.0), PRIOR.names, (DIM,))
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    errors = mean_errors(posterior, drawn(posterior))
    wanted = BETA * VARIANCE * slopes.std(axis=0, ddof=1) / np.sqrt(4)
    # A covariance of 2,000 independent draws: sqrt(2 / 2000) = 3 %, and as much from the other slope; four of them.
    assert errors.member_error == pytest.approx(wanted, rel=4 * 0.045)


def test_one_rule_for_an_inaccurate_cost():
    posterior, draws, found = checked(exact_cost(lambda theta, x_o: 0.6 * expected(theta, x_o)))
    # BETA 0.4 E[cost] = 40 x 0.4 x (0.09 + VARIANCE + small) is some 2 nats.
    assert found.error.offset == pytest.approx(
        -0.4 * BETA * found.predicted.mean() / 0.6, abs=4 * found.error.offset_error
    )
    assert "off by -2" in found.outcome.messages[0]
    verdict = {one.check: one.level for one in findings(Evidence(posterior, draws, found, None))}
    assert verdict["cost"] == "care"


# --- where the observation falls


def correlated(rng, n, k=60):
    shared = rng.normal(size=(n, 3)) @ np.random.default_rng(9).normal(size=(3, k))
    return shared + 0.5 * rng.normal(size=(n, k))


def test_many_coordinates_raise_no_more_alarms_than_one():
    rng = np.random.default_rng(0)
    p = np.array([predictive_position(x[1:], x[0]).p_value for x in (correlated(rng, 201) for _ in range(400))])
    # Uniform: standard deviation sqrt(0.1 0.9 / 400) = 0.015 at 0.1 and 0.025 at 0.5.
    assert np.mean(p <= 0.1) == pytest.approx(0.1, abs=4 * 0.015)
    assert np.mean(p <= 0.5) == pytest.approx(0.5, abs=4 * 0.025)


def test_the_worst_coordinate_comes_first():
    rng = np.random.default_rng(1)
    x = correlated(rng, 500)
    x_o = np.median(x, axis=0)
    assert predictive_position(x, x_o).inside
    x_o[17] += 8 * x[:, 17].std()
    found = predictive_position(x, x_o)
    assert found.order[0] == 17
    assert np.flatnonzero(found.outside).tolist() == [17]
    assert found.p_value == pytest.approx(1 / 501)
    assert found.names[17] == "output 18"
    assert found.tail[17] == pytest.approx(1 / 501)
    # Of the others the tail probability is about 1, its Monte Carlo error that of twice a share of a half.
    assert found.tail[3] == pytest.approx(1, abs=0.01)
    assert found.tail_error[3] == pytest.approx(1 / np.sqrt(500), rel=0.01)
    figure = plots.predictive_position(found, most=12)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[0] == "output 18"
    assert len(names) == 12
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1]
    plots.predictive_position(predictive_position(x[:, :1], x_o[:1]))


def test_positions_have_names():
    rng = np.random.default_rng(2)
    series = predictive_position(rng.normal(size=(50, 5, 2)), np.zeros((5, 2)), "series", ["hare", "lynx"])
    assert series.names[:3] == ("hare at step 0", "lynx at step 0", "hare at step 1")
    sets = predictive_position(rng.normal(size=(50, 20, 1)), np.full((20, 1), 9.0), "set")
    assert not sets.inside
    with pytest.raises(ValueError, match="too few"):
        predictive_position(rng.normal(size=(5, 3)), np.zeros(3))


# --- coverage


def judged(covered):
    """The finding about a coverage."""
    posterior = gb.GibbsPosterior(PRIOR, exact_cost(), X_O, BETA)
    (finding,) = judge_coverage(Evidence(posterior, drawn(posterior, n=5), coverage=covered))
    return finding


def test_coverage_of_a_location_model():
    """Bayes' own beta is DIM / (2 NOISE^2): there the sets cover as they say, at twenty times it hardly at all."""
    held_out, right = simulated(200, 5), DIM / (2 * NOISE**2)
    found = coverage(PRIOR, exact_cost(), held_out, right, seed=0, progress=False)
    assert np.all((found.coverage >= found.band[0]) & (found.coverage <= found.band[1]))
    assert judged(found).level == "ok"
    narrow = coverage(PRIOR, exact_cost(), held_out, 20 * right, seed=0, progress=False)
    assert narrow.too_narrow
    # theta - mean has about sqrt(20) posterior standard deviations: the 90 % disc holds 1 - exp(-log(10) / 20) = 11 %.
    assert narrow.coverage[2] == pytest.approx(0.11, abs=4 * np.sqrt(0.11 * 0.89 / 200))
    assert judged(narrow).level == "care"
    with pytest.raises(ValueError, match=r"levels must be probabilities between 0 and 1.*got \(90.0,\)"):
        coverage(PRIOR, exact_cost(), held_out, right, levels=(90.0,), seed=0, progress=False)


# --- the verdict


def test_a_crowded_bound_is_the_first_suspect():
    """The prior excludes the truth: the remedy begins with the prior."""
    rng = np.random.default_rng(0)
    prior = gb.Prior({"a": dist.Uniform(-1.0, 1.0)})
    theta = rng.uniform(-1, 1, (2000, 1))
    simulations = gb.Simulations.from_arrays(theta, theta + 0.1 * rng.normal(size=(2000, 1)), ("a",))
    cost = gb.Cost.exact(lambda t, y: jnp.mean((t - y) ** 2) + 0.01, names=("a",), x_shape=(1,), units="1")
    posterior = gb.GibbsPosterior(prior, cost, np.array([1.5]), 50.0)
    # exp(-50 (t - 1.5)^2) at the bound 1 falls by a factor e within 1 / 50.
    theta = (1 - rng.exponential(0.02, (4, 250, 1))).astype("f4")
    draws = gb.Draws(theta, np.mean((theta - 1.5) ** 2, axis=2) + 0.01, ("a",), 50.0, np.array([1.5]), "exact", 0)
    found = {one.check: one for one in findings(Evidence(posterior, draws, None, simulations))}
    assert list(found)[:2] == ["support", "bounds"]
    assert found["support"].remedy.startswith("First widen or move the prior")
    assert "upper bound 1" in found["bounds"].text


def test_evidence_without_simulator_or_simulations():
    posterior = gb.GibbsPosterior(PRIOR, exact_cost(), X_O, BETA)
    draws = drawn(posterior, n=50)
    evidence = Evidence(posterior, draws)
    assert evidence.support is None
    assert evidence.position is None
    assert "not compared with new runs" in check(posterior, draws, seed=0).summary()


def test_a_check_that_could_not_be_made_is_told():
    posterior, many, runs = checked(exact_cost(), n=400)
    few = drawn(posterior, n=1)

    def unknown(found, level):
        return {one.check: one.text for one in found.findings if one.level == level and not one.judged}

    # Too few draws, and too little of what was given: care.
    found = check(posterior, few, None, simulated(99, 0), predictive=checked(exact_cost(), n=19)[2], seed=0)
    told = unknown(found, "care")
    assert found.level == "care"
    assert set(told) == {"sampling", "support", "extrapolation in theta", "prediction", "means", "cost"}
    assert "(too few draws: 1 a chain)" in told["sampling"]
    assert "only 99 simulations of the prior succeeded, and it takes at least 100" in told["support"]
    assert "only 19 runs at the draws succeeded, and it takes at least 20" in told["prediction"]
    assert "[take care] Sampling: not judged" in found.summary()
    # Not given: named, at the same level as before.
    found = check(posterior, many, predictive=runs, seed=0)
    assert found.ok
    assert set(unknown(found, "note")) == {"support", "extrapolation in theta"}
    assert "[not judged] support, extrapolation in theta" in found.summary()
    assert not unknown(check(posterior, many, None, simulated(200, 0), predictive=runs, seed=0), "note")


def test_draws_of_another_observation_are_refused(tmp_path):
    posterior = gb.GibbsPosterior(PRIOR, exact_cost(), X_O, BETA)
    other = gb.GibbsPosterior(PRIOR, exact_cost(), np.array([0.5, -0.3]), BETA)
    draws = drawn(posterior, n=50)
    text = r"their x_o has shape \(2,\) \(0.5, -0.2\), the posterior's \(2,\) \(0.5, -0.3\)"
    with pytest.raises(ValueError, match=text):
        check(other, draws, seed=0)
    with pytest.raises(ValueError, match=text):
        gb.check_predictive(located, other, draws, 20, seed=0, progress=False)
    with pytest.raises(ValueError, match=text):
        gb.report(tmp_path / "r.html", other, draws)
    # As a user may have typed it: in double precision.
    assert check(posterior, replace(draws, x_o=np.array([0.5, -0.2])), seed=0).level == "care"


MODULE = """
import numpy as np

def simulate(theta, rng):
    return theta + 0.3 * rng.normal(size=2)
"""
TOML = """
simulator = "model_for_check:simulate"
[prior]
a = { distribution = "Normal", loc = 0.0, scale = 1.0 }
b = { distribution = "Normal", loc = 0.0, scale = 1.0 }
[distance]
name = "MeanSquaredError"
[observation]
file = "x_o.csv"
[fit]
members = 2
max_epochs = 5
width = 8
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A problem with stored simulations, cost and draws: of an ordinary observation and of two impossible ones."""
    path = tmp_path_factory.mktemp("check")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path))
        patch.chdir(path)
        Path("model_for_check.py").write_text(MODULE)
        Path("p.toml").write_text(TOML)
        observations = {"x_o": (0.5, -0.5), "thousandfold": (500.0, -500.0), "wrong": (1.2, 5.0)}
        for name, (first, second) in observations.items():
            Path(f"{name}.csv").write_text(f"first,second\n{first},{second}\n")
        for line in ("simulate p.toml -n 900", "fit p.toml", "sample p.toml --beta 10 --draws 400"):
            assert cli.main([*line.split(), "--quiet"]) == 0
        for name in ("thousandfold", "wrong"):
            line = f"sample p.toml --beta 10 --draws 400 --observation {name}.csv --quiet"
            assert cli.main(line.split()) == 0
        yield path


def test_command(folder, capsys):
    assert cli.main(["check", "p.toml", "--resimulate", "100", "--all"]) == 0
    printed = capsys.readouterr().out
    assert "No problem found" in printed
    assert "Extrapolating" not in printed
    content = json.loads(Path("p/check-beta-10.json").read_text())
    assert (content["verdict"], content["exit_code"], content["beta"]) == ("ok", 0, 10)
    assert {one["check"] for one in content["findings"]} >= {"support", "sampling", "cost", "means", "prediction"}
    assert [row["parameter"] for row in content["posterior_means"]] == list(PRIOR.names)
    section = json.loads(Path("p/section-check-beta-10.json").read_text())
    assert section["title"] == "Check"
    assert "image/png" in section["body"]
    other = ["check", "p.toml", "--resimulate", "100", "--observation"]
    assert cli.main([*other, "thousandfold.csv"]) == EXIT_CODES["bad"]
    printed = capsys.readouterr().out
    assert printed.index("Units") < printed.index("Misspecified")
    assert "times 0.001" in printed
    assert cli.main([*other, "wrong.csv", "--quiet"]) == EXIT_CODES["care"]
    printed = capsys.readouterr()
    assert "Misspecified" in printed.err
    assert "Misspecified" not in printed.out
    assert cli.main(["check", "p.toml", "--out", "elsewhere"]) == 1
    assert "Run first" in capsys.readouterr().err


def exact_coverage(levels, beta):
    """Of the location model's discs: theta - mean is normal, with a part from the prior and one from the noise."""
    variance = 1 / (1 + 2 * beta / DIM)
    spread = variance**2 + (1 - variance) ** 2 * NOISE**2
    return 1 - (1 - np.asarray(levels)) ** (variance / spread)


@pytest.mark.slow
def test_command_coverage(folder, capsys):
    """Of the simulator, the fitted network and the sampler, at a beta that covers and at one that is too high."""
    rows, levels = 210, (0.5, 0.8, 0.9)
    shutil.copytree("p", "covered")
    assert cli.main(["sample", "p.toml", "--out", "covered", "--beta", "40", "--draws", "400", "--quiet"]) == 0
    capsys.readouterr()
    line = f"check p.toml --out covered --resimulate 100 --coverage {rows} --all"
    assert cli.main(line.split()) == EXIT_CODES["care"]
    printed = " ".join(capsys.readouterr().out.split())
    for beta, verdict in ((10, "ok"), (40, "care")):
        content = json.loads(Path(f"covered/check-beta-{beta}.json").read_text())
        assert (content["verdict"], content["exit_code"]) == (verdict, EXIT_CODES[verdict])
        found = content["coverage"]
        assert (found["rows"], found["levels"]) == (rows, list(levels))
        # Six shares, each outside its band once in 10,000. Ranks among 400 draws and the network's cost blur a level by
        # 0.01. At twice the beta the shares are lower by 0.09 to 0.24, three to eight standard deviations.
        low, high = np.asarray(binom.interval(1 - 1e-4, rows, exact_coverage(levels, beta))) / rows
        assert np.all((found["coverage"] >= low - 0.01) & (found["coverage"] <= high + 0.01))
        # What is printed to judge the shares by is the band of the nominal levels, in percent.
        band = np.asarray(binom.interval(0.99, rows, levels)) / rows
        assert found["band"] == pytest.approx(band)
        told = [
            f"{level:.0%}: {share:.1%} ({least:.0%} to {most:.0%} if right)"
            for level, share, least, most in zip(levels, found["coverage"], *band, strict=True)
        ]
        assert f"Coverage: at beta {beta}, {rows} held-out simulations: {'; '.join(told)}." in printed
        assert [one["check"] for one in content["findings"] if one["level"] in ("care", "bad")] == (
            # At the higher beta a hundred runs do not resolve the means.
            ["means", "coverage"] if verdict == "care" else []
        )
        section = json.loads(Path(f"covered/section-check-beta-{beta}.json").read_text())
        assert f"Coverage over {rows} fresh simulations" in section["body"]
    assert printed.count("The sets are too small. What to do: Lower beta") == 1


def test_command_tells_what_was_typed_wrong(folder, capsys):
    def fails(line, code=1):
        assert cli.main(["check", "p.toml", *line.split()]) == code
        return " ".join(capsys.readouterr().err.split())

    text = "argument --coverage: expected a whole number of at least 20 (200 tell enough), got '19'"
    assert text in fails("--coverage 19", 2)
    assert "argument --coverage: expected a whole number of at least 20" in fails("--coverage 0.9", 2)
    text = "argument --resimulate: expected 0 (no runs) or a whole number of at least 2, got '1'"
    assert text in fails("--resimulate 1", 2)
    text = "there are no draws at beta 7 in p (there are: 10). Run first: genbayes sample p.toml --beta 7"
    assert text in fails("--beta 7 --coverage 200")
    remedy = "Run first: genbayes sample p.toml --observation FILE"
    text = f"there are no draws of the observation typo in p. {remedy} --beta 10"
    assert text in fails("--observation typo.csv")
    text = f"there are no draws of the observation wrong at beta 7 in p (there are: 10). {remedy} --beta 7"
    assert text in fails("--observation wrong.csv --beta 7")
    shutil.copytree("p", "lost")
    shutil.rmtree("lost/simulations.zarr")
    text = "there are no simulations in lost. Run first: genbayes simulate p.toml"
    assert text in fails("--out lost --coverage 200")


@pytest.mark.parametrize("command", ["check", "report"])
def test_commands_read_the_observation(folder, capsys, monkeypatch, command):
    """Draws bear the name of the file; what it holds now is what is asked about."""
    monkeypatch.setattr(check_command, "check", None)

    def refused(*more):
        assert cli.main([command, "p.toml", "--resimulate", "0", *more]) == 1
        return " ".join(capsys.readouterr().err.split())

    Path("elsewhere").mkdir(exist_ok=True)
    Path("elsewhere/wrong.csv").write_text("0.5,-0.5\n")
    text = refused("--observation", "elsewhere/wrong.csv")
    assert "the observation in elsewhere/wrong.csv (shape (2,), 0.5, -0.5) is not the one that the draws in" in text
    assert "p/wrong-draws-beta-10.zarr were made for (shape (2,), 1.2, 5)" in text
    assert "genbayes sample p.toml --observation elsewhere/wrong.csv --beta 10" in text
    before = Path("x_o.csv").read_text()
    Path("x_o.csv").write_text("500.0,-500.0\n")
    try:
        text = refused()
    finally:
        Path("x_o.csv").write_text(before)
    assert "the observation in p.toml (shape (2,), 500, -500) is not the one" in text
    assert text.endswith("genbayes sample p.toml --beta 10")


def test_a_report_is_no_better_than_the_stored_check(folder):
    shutil.copytree("p", "judged")
    simulations, cost = gb.Simulations.open("p/simulations.zarr"), gb.load("p/cost.safetensors")
    where = Folder(Path("judged"))
    draws = stored_draws(read_problem("p.toml"), where, 10.0)
    posterior = gb.GibbsPosterior(PRIOR, cost, draws.x_o, 10.0)
    found = check(posterior, draws, located, simulations, seed=1, n=100, progress=False)
    assert found.ok
    for level, words in (("ok", "No problem found"), ("care", "Usable with care: 1 point to look at")):
        save_section(where, "check", check_command.section(replace(found, level=level)), cost, beta=10.0)
        sections = stored_sections(where, cost, 10.0)
        page = gb.report("j.html", posterior, draws, check=found.predictive, simulations=simulations, sections=sections)
        assert f"<h2>{words}</h2>" in page.read_text()
    assert "Check: the section below needs care." in page.read_text()
    save_draws(draws, where)
    assert stored_sections(where, cost, 10.0) == []
    # What was found with another cost is left out of a report, and told.
    problem = read_problem("p.toml")
    other = replace(cost, distance=gb.distances.MeanSquaredError(2.0).fitted(simulations.x))
    for made_of, told in ((cost, 0), (other, 1)):
        save_section(where, "temperature", check_command.section(found), made_of)
        assert len(stored_sections(where, cost, 10.0)) == 1 - told
        warned = outdated_sections(where, cost, 10.0, problem)
        assert len(warned) == told
        assert all(text.endswith("is left out: run genbayes temperature p.toml again.") for text in warned)


def test_command_counts_the_held_out_runs_that_succeed(folder, capsys, monkeypatch):
    """Before the runs at the draws, so that nothing is waited for in vain."""

    def fragile(theta, rng):
        if theta[0] > 0:
            raise ValueError("negative rate")
        return located(theta, rng)

    monkeypatch.setattr(fragile, "__module__", "model_for_check")
    monkeypatch.setattr(fragile, "__qualname__", "simulate")
    problem = replace(read_problem("p.toml"), simulator=fragile)
    monkeypatch.setattr(check_command, "problem_of", lambda options, terminal: problem)
    monkeypatch.setattr(check_command, "check", None)
    assert cli.main(["check", "p.toml", "--coverage", "25", "--quiet"]) == 1
    text = capsys.readouterr().err
    failed = int(re.findall(r"failed: (\d+) x ValueError: negative rate", text)[0])
    assert f"--coverage 25: {25 - failed} of these simulations succeeded, and at least 20 must. Give a larger" in text


def test_command_of_a_beta_that_its_files_name_rounds(folder):
    shutil.copytree("p", "rounded")
    shutil.rmtree("rounded/draws-beta-10.zarr")
    line = f"sample p.toml --out rounded --beta {10 / 3!r} --draws 400 --quiet"
    assert cli.main(line.split()) == 0
    line = "check p.toml --out rounded --resimulate 0 --quiet"
    assert cli.main(line.split()) == EXIT_CODES["care"]
    content = json.loads(Path("rounded/check-beta-3.333333333.json").read_text())
    assert content["beta"] == 10 / 3


def test_check_and_report_agree(folder):
    simulations, cost = gb.Simulations.open("p/simulations.zarr"), gb.load("p/cost.safetensors")
    x_o = np.array([1.2, 5.0], np.float32)
    posterior = gb.GibbsPosterior(PRIOR, cost, x_o, 10.0)
    draws = drawn(posterior, 10 / 11 * x_o, 1 / 11)
    # 100 runs, as many as the command made: nothing is compiled anew.
    found = check(posterior, draws, located, simulations, seed=1, n=100, progress=False)
    assert found.exit_code == EXIT_CODES["care"]
    assert found.findings[0].text.startswith("Misspecified")
    again = findings(Evidence(posterior, draws, found.predictive, simulations))
    assert [one.full for one in again] == [one.full for one in found.findings]
    page = gb.report("r.html", posterior, draws, check=found.predictive, simulations=simulations)
    assert headline(again)[1] in page.read_text()
    assert json.loads(found.to_json())["exit_code"] == found.exit_code
    text = found.summary()
    assert all(len(line) <= 80 for line in text.split("\n"))
    assert "What to do" in text
    with pytest.raises(ValueError, match="not this posterior's"):
        check(gb.GibbsPosterior(PRIOR, cost, X_O, 1.0), draws, seed=0)
    with pytest.raises(TypeError):
        check(cost, draws, seed=0)  # type: ignore[arg-type]
