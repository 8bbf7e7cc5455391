"""The ladder and the rules for beta, against Gaussian cases whose every answer is a formula, and against laws."""

import json
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, norm

import genbayes as gb
from genbayes import cli
from genbayes.command_line import temperature_command
from genbayes.plots.temperatures import choice as choice_figure
from genbayes.sampling.held_out import held_out_rows
from genbayes.temperature import bootstrap, calibrated, ladder, noise_floor
from genbayes.temperature.rule_calibrated import band

# A Gaussian location model: a ~ N(0, T^2), x_j ~ N(a, S^2), j = 1..D, and the mean squared error, whose expectation is
# mean (a - x_j)^2 + S^2. The Gibbs posterior at beta has precision 1/T^2 + 2 beta and Bayes' has 1/T^2 + D/S^2: beta is
# calibrated where they agree, at D / (2 S^2).
T, S, D = 3.0, 0.5, 8
LOCATION = gb.Prior({"a": dist.Normal(0.0, T)})
ALL = gb.temperature.NO_RESCUE


def location_cost():
    return gb.Cost.exact(lambda theta, x: jnp.mean((theta[0] - x) ** 2) + S**2, names=("a",), x_shape=(D,), units="mV²")


def located(theta, rng):
    return theta[0] + S * rng.normal(size=D)


def simulations(rng, n, *, noise=S):
    theta = T * rng.normal(size=(n, 1))
    return gb.Simulations.from_arrays(theta, theta + noise * rng.normal(size=(n, D)), ("a",))


COST = location_cost()
X_O = 1.0 + S * np.random.default_rng(1).normal(size=D)


def expected(x, betas):
    """Expected cost along the ladder of the location model."""
    v = 1 / (1 / T**2 + 2 * np.asarray(betas, float))
    mean = 2 * betas * v * x.mean()
    return S**2 + x.var() + (mean - x.mean()) ** 2 + v


@pytest.fixture(scope="module")
def located_ladder():
    return ladder(LOCATION, COST, X_O, seed=0)


# --- the ladder

# cost = sum_j h_j (theta_j - y_j)^2 + c: each parameter is normal by itself, and the third is not seen at all.
H, Y, WIDTH, C = np.array([4.0, 1.0, 0.0]), np.array([0.5, -1.0, 0.0]), np.array([1.0, 2.0, 3.0]), 0.3
BETAS = np.geomspace(0.1, 30.0, 10)


@pytest.fixture(scope="module")
def parabola():
    prior = gb.Prior({name: dist.Normal(0.0, float(w)) for name, w in zip("abc", WIDTH, strict=True)})
    cost = gb.Cost.exact(
        lambda theta, x: jnp.sum(jnp.asarray(H, jnp.float32) * (theta - x) ** 2) + C,
        names=("a", "b", "c"),
        x_shape=(3,),
        units="1",
    )
    return ladder(prior, cost, Y, BETAS, n=2000, seed=3)


def parabola_truth():
    h, b = H[None], BETAS[:, None]
    v = 1 / (1 / WIDTH**2 + 2 * b * h)
    off = 2 * b * h * Y * v - Y
    mean = C + np.sum(h * (off**2 + v), axis=1)
    variance = np.sum(h**2 * (2 * v**2 + 4 * v * off**2), axis=1)
    grow = 1 + 2 * b * h * WIDTH**2
    evidence = -BETAS * C - np.sum(np.log(grow) / 2 + b * h * Y**2 / grow, axis=1)
    return mean, variance, evidence, np.sqrt(v) / WIDTH


def variance_error(found):
    """Standard error of the cost's variance, from its fourth moment and the effective size of the mean."""
    centred = found.costs - found.mean_cost[:, None]
    size = found.cost_variance / found.cost_error**2
    return np.sqrt((np.mean(centred**4, axis=1) - found.cost_variance**2) / size)


def test_ladder_of_a_parabola(parabola):
    mean, variance, evidence, widths = parabola_truth()
    # 4.5 standard errors: a false alarm in 10,000 over ten betas.
    assert np.all(np.abs(parabola.mean_cost - mean) < 4.5 * parabola.cost_error)
    assert np.all(np.abs(parabola.cost_variance - variance) < 4.5 * variance_error(parabola))
    # Four populations: their spread is known to a factor, so 9 standard errors and what an SMC stage rounds.
    assert np.all(np.abs(parabola.log_evidence - evidence) < 9 * parabola.evidence_error + 0.005)
    # A quantile range of m independent draws has a relative error of about 1.1 / sqrt(m); m is at least 1000.
    np.testing.assert_allclose(parabola.widths, widths, rtol=5 * 1.1 / np.sqrt(1000))
    # Two of three parameters are seen; the relative error of a chi-squared variance with 2 degrees is sqrt(8 / m).
    assert np.argmin(np.abs(parabola.effective_parameters[-1] - np.arange(4))) == 2
    np.testing.assert_allclose(parabola.effective_parameters[-1], 2.0, rtol=5 * np.sqrt(8 / 1000))
    # Down to the least cost there is.
    assert abs(parabola.least_cost - C) < 0.02
    assert len(parabola) == 10
    assert parabola.outcome.ok
    assert max(map(len, parabola.summary().split("\n"))) <= 80


def test_variance_is_minus_the_slope_of_the_expected_cost():
    """On a cost that is no parabola; half or twice the variance fails, and one of another power of beta."""
    prior = gb.Prior({"a": dist.Uniform(-2.0, 2.0), "b": dist.LogNormal(0.0, 1.0)})
    cost = gb.Cost.exact(
        lambda theta, x: jnp.abs(theta[0] ** 2 - x[0]) + (theta[1] - 1) ** 4 + 0.5 * theta[0] * theta[1] + 2,
        names=("a", "b"),
        x_shape=(1,),
        units="1",
    )
    betas = np.geomspace(0.5, 20.0, 15)
    found = ladder(prior, cost, [1.0], betas, n=6000, seed=1)

    def worst(variance):
        fallen = -np.diff(found.mean_cost)
        # The variance goes nearly as a power of beta over one step of 30 %: integrated as one.
        power = np.diff(np.log(variance)) / np.diff(np.log(betas)) + 1
        area = (betas[1:] * variance[1:] - betas[:-1] * variance[:-1]) / power
        error = np.hypot(found.cost_error[1:], found.cost_error[:-1])
        relative = variance_error(found) / found.cost_variance
        error = np.hypot(error, area * np.hypot(relative[1:], relative[:-1]) / 2)
        return np.max(np.abs(fallen - area) / error), np.abs(np.sum(fallen - area)) / np.sqrt(np.sum(error**2))

    each, together = worst(found.cost_variance)
    assert each < 4.5
    assert together < 4.5
    for mutant in (found.cost_variance / 2, 2 * found.cost_variance, found.cost_variance * betas):
        assert worst(mutant)[1] > 6
    # The same run's two accounts of the evidence: stages' weights, and the integral of the expected cost.
    gap = np.abs(found.integrated_evidence - found.log_evidence)
    error = np.sqrt(np.cumsum((np.gradient(betas) * found.cost_error) ** 2))
    assert np.all(gap[1:] < 9 * np.hypot(found.evidence_error, error)[1:] + 0.01)


def test_ladder_without_betas_goes_from_the_prior_to_the_least_cost(located_ladder):
    found = located_ladder
    assert np.all(np.diff(found.betas) > 0)
    assert found.widths[0, 0] > 0.8
    assert found.mean_cost[-1] < 1.02 * (S**2 + X_O.var())
    # The rules' answers lie well inside.
    assert found.betas[0] < 1 < D / (2 * S**2) < found.betas[-1] / 3
    truth = expected(X_O, found.betas)
    assert np.all(np.abs(found.mean_cost - truth) < 4.5 * found.cost_error)
    np.testing.assert_allclose(found.x_o, X_O.astype(np.float32))


def test_ladder_errors():
    with pytest.raises(ValueError, match="not both"):
        ladder(LOCATION, COST, X_O, [1.0, 2.0], top=3.0, seed=0)
    with pytest.raises(ValueError, match="top must be a finite number"):
        ladder(LOCATION, COST, X_O, top=-1.0, seed=0)
    with pytest.raises(ValueError, match="must ascend"):
        ladder(LOCATION, COST, X_O, [2.0, 1.0], seed=0)
    flat = gb.Cost.exact(lambda theta, x: 0 * theta[0] + 1.0, names=("a",), x_shape=(D,), units="1")
    with pytest.raises(ValueError, match="nothing to choose beta by"):
        ladder(LOCATION, flat, X_O, seed=0)


# --- the noise floor


def test_noise_floor_of_the_location_model(located_ladder):
    """Two runs at a parameter are 2 S^2 apart: beta solves expected cost = 2 S^2."""
    truth = float(np.asarray(brentq(lambda b: expected(X_O, b) - 2 * S**2, 0.1, 1e4)))
    theta = T * np.random.default_rng(0).normal(size=(4000, 1))
    rng = np.random.default_rng(1)
    pairs = theta, *(theta + S * rng.normal(size=(2, 4000, D)))
    distance = gb.distances.MeanSquaredError()
    found = noise_floor(located_ladder, pairs=pairs, distance=distance, seed=0)
    # A mean of D = 8 squares of N(0, 2 S^2): relative error sqrt(2 / 8 / 4000) of the floor.
    np.testing.assert_allclose(found.evidence["replicate"], 2 * S**2, rtol=4.5 * np.sqrt(2 / D / 4000))
    assert found.interval[0] <= truth <= found.interval[1]
    assert abs(np.log(found.beta / truth)) < 0.25
    assert {found.assumes, ALL} <= set(found.sentences())
    assert ALL in " ".join(found.summary().split())
    # The other two sources agree within their errors.
    run = noise_floor(located_ladder, simulator=located, distance=distance, seed=5, progress=False)
    rows = noise_floor(located_ladder, simulations=simulations(rng, 3000), seed=0)
    for other in (run, rows):
        assert other.interval[0] <= truth <= other.interval[1]
        error = other.evidence["replicate_error"]
        assert np.all(np.abs(other.evidence["replicate"] - 2 * S**2) < 5 * error)
    assert choice_figure(found).axes[0].get_xlabel() == "inverse temperature β, in 1 / (mV²)"


def test_noise_floor_weighs_pairs_by_each_posterior():
    """Noise that grows with the parameter: the floor at each beta is that of the posterior there, not of the prior.

    x_j ~ N(a, (a/4)^2), a ~ Uniform(1, 9): two runs are 2 (a/4)^2 apart.
    """
    prior = gb.Prior({"a": dist.Uniform(1.0, 9.0)})
    cost = gb.Cost.exact(
        lambda theta, x: jnp.mean((theta[0] - x) ** 2) + theta[0] ** 2 / 16, names=("a",), x_shape=(D,), units="1"
    )
    found = ladder(prior, cost, np.full(D, 3.0), np.geomspace(0.02, 50, 8), n=1000, seed=0)
    rng = np.random.default_rng(0)
    theta = found.draws.theta[0].reshape(-1, 1)
    pairs = theta, *(theta + theta / 4 * rng.normal(size=(2, len(theta), D)))
    distance = gb.distances.MeanSquaredError()

    def simulator(theta, rng):
        return theta + theta / 4 * rng.normal(size=D)

    twice = noise_floor(found, simulator=simulator, n=600, seed=1, distance=distance, progress=False)
    grid = np.linspace(1, 9, 4001)
    energy = -found.betas[:, None] * ((grid - 3) ** 2 + grid**2 / 16)[None]
    weights = np.exp(energy - energy.max(axis=1, keepdims=True))
    truth = np.sum(weights * grid**2 / 8, axis=1) / weights.sum(axis=1)
    assert truth[0] > 3 * truth[-1]
    assert np.all(np.abs(twice.evidence["replicate"] - truth) < 4.5 * twice.evidence["replicate_error"])
    # Given pairs count alike at every beta.
    alike = noise_floor(found, pairs=pairs, distance=distance, seed=1)
    np.testing.assert_allclose(alike.evidence["replicate"], alike.evidence["replicate"][0])


def test_noise_floor_tells_misspecified_from_noisy():
    wrong = X_O + np.arange(D)
    distance = gb.distances.MeanSquaredError()
    found = noise_floor(ladder(LOCATION, COST, wrong, seed=0), simulator=located, distance=distance, seed=1)
    assert "misspecified" in found.outcome.messages[0]
    # The expected cost is within 5 % of the least: S^2 + var + 1 / (2 beta), the prior being wide.
    least = S**2 + wrong.var()
    assert abs(found.beta * 0.05 * least * 2 - 1) < 0.3
    assert np.isinf(found.interval[1])
    unlucky = 1.0 + S * np.random.default_rng(2).normal(size=D)
    assert unlucky.var() > 1.3 * S**2
    found = noise_floor(ladder(LOCATION, COST, unlucky, seed=0), simulator=located, distance=distance, seed=1)
    # A chi-squared with 7 degrees exceeds 8 unlucky.var() / S^2 in so many cases; 200 runs tell it to 0.03.
    assert "no sign of a wrong simulator" in found.outcome.messages[0]
    assert found.evidence["as_far"][-1] > 0.05


def test_noise_floor_errors(located_ladder):
    with pytest.raises(ValueError, match="one source"):
        noise_floor(located_ladder, seed=0)
    with pytest.raises(ValueError, match="must have the shapes"):
        noise_floor(located_ladder, pairs=(np.zeros((40, 2)), np.zeros((40, D)), np.zeros((40, D))), seed=0)
    one = np.zeros((3, 1)), np.zeros((3, D)), np.ones((3, D))
    with pytest.raises(ValueError, match="too few to average"):
        noise_floor(located_ladder, pairs=one, distance=gb.distances.MeanSquaredError(), seed=0)
    x = np.zeros((40, D))
    x[3, 0], x[7, 1] = np.nan, np.inf
    gaps = np.zeros((40, 1)), np.zeros((40, D)), x
    with pytest.raises(ValueError, match="pairs have NaN or infinite .* 2 of 40 rows, the first is number 3: leave"):
        noise_floor(located_ladder, pairs=gaps, distance=gb.distances.MeanSquaredError(), seed=0)


def test_a_rule_needs_two_betas():
    rows = simulations(np.random.default_rng(0), 40)
    one = ladder(LOCATION, COST, X_O, [5.0], n=100, seed=0)
    message = (
        r"at least two betas, got 1 \(5\): give a grid, or on the command line leave --beta out or use --rule none"
    )
    with pytest.raises(ValueError, match=message):
        noise_floor(one, simulations=rows, seed=0)
    for betas in ([5.0], np.asarray(5.0)):
        with pytest.raises(ValueError, match=message):
            calibrated(LOCATION, COST, rows, betas, seed=0, progress=False)
    with pytest.raises(ValueError, match="at least two betas, got 0"):
        calibrated(LOCATION, COST, rows, [], seed=0, progress=False)


# --- calibration


@pytest.fixture(scope="module")
def chosen():
    return calibrated(LOCATION, COST, simulations(np.random.default_rng(7), 400), rows=400, seed=0, progress=False)


def exact_coverage(betas, levels, noise=S):
    """Of the interval of highest density: a - mean is normal, with a part from the prior and one from the noise."""
    v = 1 / (1 / T**2 + 2 * betas)
    kept = 2 * betas * v
    sd = np.sqrt((1 - kept) ** 2 * T**2 + kept**2 * noise**2 / D)
    return 2 * norm.cdf(norm.ppf((1 + np.asarray(levels)[:, None]) / 2) * np.sqrt(v) / sd) - 1


def test_calibrated_beta_of_the_location_model(chosen):
    truth = D / (2 * S**2)
    # Coverage of 400 rows is known to 0.015 to 0.025 and falls by about 0.1 a factor of 1.7 in beta: log beta to about
    # 0.08. The interval of 95 % says the same: twice as wide it misses once in ten thousand.
    assert abs(np.log(chosen.beta / truth)) < 4 * 0.08
    wider = np.sqrt(chosen.interval[1] / chosen.interval[0])
    assert chosen.interval[0] / wider < truth < chosen.interval[1] * wider
    assert chosen.outcome.ok
    e = chosen.evidence
    low, high = binom.interval(1 - 1e-4, 400, exact_coverage(e["betas"], e["levels"])) / np.asarray(400.0)
    # Ranks among 400 draws blur a level by half a draw and by the sampler's error: 0.01.
    assert np.all((e["coverage"] >= low - 0.01) & (e["coverage"] <= high + 0.01))
    # Beta twice as large as is right would not pass.
    wrong = exact_coverage(2 * e["betas"], e["levels"])
    low, high = binom.interval(1 - 1e-4, 400, wrong) / np.asarray(400.0)
    assert not np.all((e["coverage"] >= low - 0.01) & (e["coverage"] <= high + 0.01))
    assert np.mean((e["curve"] >= e["band"][0] - 0.01) & (e["curve"] <= e["band"][1] + 0.01)) == 1
    np.testing.assert_allclose(band(np.array([0.5]), 400)[:, 0], [0.45, 0.55], atol=0.003)


@pytest.mark.slow
def test_calibrated_beta_follows_the_noise_of_the_simulator():
    """Twice the noise that the cost knows of: a quarter of beta, and levels can be chosen one by one."""
    rows = simulations(np.random.default_rng(3), 300, noise=2 * S)
    levels = (0.9,)
    found = calibrated(LOCATION, COST, rows, np.geomspace(0.2, 60, 16), levels=levels, rows=300, seed=0, progress=False)
    assert found.interval[0] / 1.1 < D / (8 * S**2) < found.interval[1] * 1.1
    assert abs(np.log(found.beta * 8 * S**2 / D)) < 0.5
    assert found.evidence["levels"].tolist() == list(levels)


@pytest.mark.slow
@pytest.mark.long
def test_held_out_runs_may_have_any_seed():
    """Those of seed 0 once met their own parameters as the other ones, and were refused: "the same for all"."""
    rows = gb.simulate(located, LOCATION, 60, seed=0, progress=False)
    found = calibrated(LOCATION, COST, rows, n=100, seed=0, progress=False)
    assert found.interval[0] < D / (2 * S**2) < found.interval[1]


def test_calibrated_says_when_a_level_or_the_grid_does_not_fit():
    rng = np.random.default_rng(5)
    # One row in five from a simulator with twenty times the noise: a normal posterior has not this shape.
    rows = simulations(rng, 300)
    odd = rng.random(300) < 0.2
    x = np.where(odd[:, None], rows.theta + 20 * S * rng.normal(size=(300, D)), rows.x)
    found = calibrated(
        LOCATION, COST, gb.Simulations.from_arrays(rows.theta, x, ("a",)), np.geomspace(0.01, 60, 16), rows=300, seed=0,
        progress=False,
    )  # fmt: skip
    assert any("No beta makes all levels right" in message for message in found.outcome.messages)
    found = calibrated(LOCATION, COST, rows, np.geomspace(0.02, 2, 16), rows=300, seed=0, progress=False)
    assert any("highest beta" in message for message in found.outcome.messages)
    assert found.beta > 1.8


def test_calibrated_leaves_out_rows_of_the_fit():
    rng = np.random.default_rng(0)
    rows = replace(simulations(rng, 300), seed=11, simulator="m:f")
    known = replace(COST, settings={"simulation_seed": 11, "simulator": "m:f", "simulations": 270})
    picked, fitted = held_out_rows(known, rows, 20)
    assert (picked.tolist(), fitted) == (list(range(270, 300)), False)
    # Simulations of another seed are other ones, rows of a refinement are none of the prior.
    assert len(held_out_rows(known, replace(rows, seed=12), 20)[0]) == 300
    # 100 rows of a refinement before the last 30: the cost was fitted on these, and on the 270 draws of the prior.
    refined = replace(known, settings={**known.settings, "simulations": 370, "simulations_prior": 270})
    new = replace(rows.selected(np.arange(100)), round=np.ones(100, np.int32))
    stored = rows.selected(np.arange(270)).joined(new).joined(rows.selected(np.arange(270, 300)))
    assert held_out_rows(refined, stored, 20)[0].tolist() == list(range(370, 400))
    assert held_out_rows(refined, stored.of_prior, 20)[0].tolist() == list(range(270, 300))
    all_fitted = replace(known, settings={**known.settings, "simulations": 300})
    found = calibrated(LOCATION, all_fitted, rows, np.geomspace(1, 100, 16), rows=40, seed=0, progress=False)
    assert int(found.evidence["rows"]) == 40
    assert "those that the cost was fitted on" in found.outcome.messages[0]
    with pytest.raises(ValueError, match="too few to count coverage"):
        calibrated(LOCATION, COST, simulations(rng, 19), seed=0)
    with pytest.raises(ValueError, match="another prior"):
        calibrated(LOCATION, COST, replace(rows, prior_description=[{"name": "a"}]), seed=0)
    with pytest.raises(ValueError, match="must be probabilities"):
        calibrated(LOCATION, COST, rows, levels=[90.0], seed=0)


# --- the bootstrap

N = 40
TRIALS = 3 + 2 * np.random.default_rng(0).normal(size=(N, 1))


@pytest.mark.slow
def test_bootstrap_of_the_location_of_trials():
    """Cost (a - mean x)^2: minimisers are the resampled means, of variance s^2 / N, and beta is N / (2 s^2)."""
    prior = gb.Prior({"a": dist.Normal(0.0, 20.0)})
    cost = gb.Cost.exact(
        lambda theta, x: jnp.sum((theta - jnp.mean(x, axis=0)) ** 2) + 1, names=("a",), x_shape=(N, 1), units="s²"
    )
    found = bootstrap(prior, cost, TRIALS, resamples=400, seed=0)
    truth = N / (2 * TRIALS.var())
    # A variance of 400 values has a relative error of sqrt(2 / 400).
    assert abs(np.log(found.beta / truth)) < 4.5 * np.sqrt(2 / 400)
    assert found.interval[0] < found.beta < found.interval[1]
    values = found.evidence["minimisers"][:, 0]
    # The same minimisers, the closed form of the match: the prior's pull is 1 in 400 / (2 beta s^2 / N).
    assert found.beta == pytest.approx(1 / (2 * np.mean((values - TRIALS.mean()) ** 2)), rel=0.01)
    # The posterior is as wide as they scatter; 2000 draws, 400 minimisers.
    assert abs(found.evidence["width_ratio"][0] - 1) < 4.5 * np.sqrt(1 / 2000 + 1 / 800)
    assert ALL in " ".join(found.summary().split())
    assert found.outcome.ok


@pytest.mark.slow
def test_bootstrap_is_the_least_fisher_divergence(monkeypatch):
    """Two parameters of unlike priors: the closed form against Hyvarinen's objective by finite differences."""
    prior = gb.Prior({"a": dist.Uniform(0.0, 20.0), "b": dist.LogNormal(0.7, 0.2)})
    cost = gb.Cost.exact(
        lambda theta, x: (theta[0] - jnp.mean(x)) ** 2 + 2 * (jnp.log(theta[1]) - jnp.log(jnp.std(x))) ** 2,
        names=("a", "b"), x_shape=(N, 1), units="1",
    )  # fmt: skip
    # The posterior's draws are not looked at here.
    draws = gb.Draws(np.ones((4, 50, 2), "f4"), np.ones((4, 50), "f4"), ("a", "b"), 1.0, TRIALS, "none", 0)
    monkeypatch.setattr(gb.GibbsPosterior, "sample", lambda *_, **__: draws)
    found = bootstrap(prior, cost, TRIALS, resamples=64, seed=0)
    theta = found.evidence["minimisers"].astype(np.float64)
    # Unconstrained: logit of a / 20, log b. log density = -beta cost + log |da/du| (uniform) + log N(u_b; 0.7, 0.2):
    # this prior is not much wider than the minimisers scatter, so that a match without its pull fails.
    u = np.stack([np.log(theta[:, 0] / (20 - theta[:, 0])), np.log(theta[:, 1])], axis=1)

    def log_density(u, beta):
        share = 1 / (1 + np.exp(-u[..., 0]))
        misfit = (20 * share - TRIALS.mean()) ** 2 + 2 * (u[..., 1] - np.log(TRIALS.std())) ** 2
        return -beta * misfit + np.log(share * (1 - share)) - ((u[..., 1] - 0.7) / 0.2) ** 2 / 2

    factor = np.linalg.cholesky(np.cov(u.T))

    def objective(beta, h=0.01):
        total = 0.0
        for j in range(2):
            step = h * factor[:, j]
            up, down, here = log_density(u + step, beta), log_density(u - step, beta), log_density(u, beta)
            total += np.mean(2 * (up - 2 * here + down) / h**2 + ((up - down) / (2 * h)) ** 2)
        return total

    assert objective(found.beta) < min(objective(0.98 * found.beta), objective(1.02 * found.beta))


def test_bootstrap_errors():
    with pytest.raises(ValueError, match="resamples independent trials"):
        bootstrap(LOCATION, COST, X_O, seed=0)
    ordered = gb.Cost.exact(lambda theta, x: (theta[0] - x[0, 0]) ** 2, names=("a",), x_shape=(N, 1), units="1")
    with pytest.raises(ValueError, match="order of the trials"):
        bootstrap(LOCATION, ordered, TRIALS, seed=0)
    away = gb.Cost.exact(lambda theta, x: (theta[0] - 30 - jnp.mean(x)) ** 2, names=("a",), x_shape=(N, 1), units="1")
    with pytest.raises(ValueError, match="at its bounds"):
        bootstrap(gb.Prior({"a": dist.Uniform(0.0, 20.0)}), away, TRIALS, resamples=20, seed=0)
    with pytest.raises(ValueError, match="at least 20"):
        bootstrap(LOCATION, away, TRIALS, resamples=5, seed=0)


# --- the command

MODULE = f"""
def simulate(theta, rng):
    return theta[0] + {S} * rng.normal(size={D})
"""
TOML = f"""
simulator = "model_for_temperature:simulate"
[prior]
a = {{ distribution = "Normal", loc = 0.0, scale = {T} }}
[distance]
name = "MeanSquaredError"
[observation]
file = "x_o.csv"
"""


@pytest.mark.slow
def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("model_for_temperature.py").write_text(MODULE)
    Path("p.toml").write_text(TOML)
    np.savetxt("x_o.csv", X_O[:, None], header="value", comments="")
    assert cli.main(["simulate", "p.toml", "-n", "40", "--quiet"]) == 0
    # The exact cost in the place of a fitted one: the programs of the tests above serve it.
    cost = replace(COST, distance=gb.distances.MeanSquaredError().fitted(X_O[None].astype("f4")))
    monkeypatch.setattr(temperature_command, "stored_cost", lambda *_: cost)
    capsys.readouterr()
    assert (
        cli.main(["temperature", "p.toml", "--rule", "bootstrap", "calibrated", "noise_floor", "--held-out", "40"]) == 0
    )
    printed = capsys.readouterr()
    assert max(map(len, printed.out.split("\n"))) <= 80
    assert " ".join(printed.out.split()).count(ALL) == 1
    last = printed.out.splitlines()[-1]
    # A vector is no set of trials: that rule says so, and the others stand.
    assert "warning: bootstrap: x_o has shape (8,)" in printed.err
    stored = json.loads(Path("p/temperature.json").read_text())
    assert len(stored["betas"]) == 24
    assert [one["rule"] for one in stored["choices"]] == ["noise_floor", "calibrated"]
    assert all(f"{one['rule']}: beta {one['beta']:.4g}" in printed.out for one in stored["choices"])
    assert stored["not_chosen"][0].startswith("bootstrap")
    taken = stored["recommended"]["beta"]
    assert taken
    assert set(taken) <= {one["beta"] for one in stored["choices"]}
    words = " ".join(f"{beta:.4g}" for beta in taken)
    assert last.startswith(f"Take --beta {words} (")
    assert last.endswith(f"): genbayes sample p.toml --beta {words}")
    section = json.loads(Path("p/section-temperature.json").read_text())
    assert section["title"] == "Inverse temperature"
    assert section["body"].count("image/png") == 3
    assert ALL in section["body"]
    # What the command is for is said when quiet, too.
    assert cli.main(["temperature", "p.toml", "--rule", "calibrated", "--held-out", "40", "--quiet"]) == 0
    path, line = capsys.readouterr().out.splitlines()
    (only,) = json.loads(Path("p/temperature.json").read_text())["recommended"]["beta"]
    assert path == "p/temperature.json"
    assert line == f"Take --beta {only:.4g} (calibrated): genbayes sample p.toml --beta {only:.4g}"
    assert cli.main(["temperature", "p.toml", "--rule", "bootstrap", "--quiet"]) == 1
    failed = capsys.readouterr().err
    assert "none of the rules could choose" in failed
    assert "genbayes sample p.toml --beta B1 B2" in failed
    assert cli.main(["temperature", "p.toml", "--rule", "calibrated", "none"]) == 1
    assert "--rule none stands alone, got --rule calibrated none" in capsys.readouterr().err
    Path("p.toml").write_text(TOML.replace('[observation]\nfile = "x_o.csv"\n', ""))
    assert cli.main(["temperature", "p.toml"]) == 1
    assert "no observation" in capsys.readouterr().err
