"""`fit_cost(measurement_error=...)`: a deterministic simulator and data with a known error, in closed form."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import norm

import genbayes as gb
from genbayes.costs.measured import MeasurementError
from genbayes.distances import (
    MMD,
    CappedError,
    EnergyDistance,
    HuberError,
    Mahalanobis,
    MeanAbsoluteError,
    MeanSquaredError,
    SlicedWasserstein,
)
from genbayes.sampling.ranks import HeldOut

T = np.linspace(0.0, 1.0, 8)
SD = 0.1 + 0.3 * T
PRIOR = gb.Prior({"level": dist.Normal(0, 1), "slope": dist.Normal(0, 1)})
QUICK: dict[str, Any] = {"config": gb.FitConfig(members=2, width=16, depth=1, max_epochs=40), "progress": False}
PLACES = np.random.default_rng(5).normal(size=(30, 2)) * 0.8


def line(key, theta):
    """A line without any noise."""
    return theta[0] + theta[1] * jnp.asarray(T, jnp.float32)


def means(theta: np.ndarray) -> np.ndarray:
    return theta[..., :1] + theta[..., 1:] * T


@pytest.fixture(scope="module")
def simulations():
    return gb.simulate(line, PRIOR, 1500, seed=0, progress=False)


X_O = means(np.array([0.5, -0.4])) + SD * np.random.default_rng(3).normal(size=8)


@pytest.mark.parametrize(
    "sd",
    [0.2, SD, SD.tolist(), lambda x: 0.1 + 0.2 * np.abs(x), "20 %"],
    ids=["number", "each", "list", "function", "share"],
)
def test_squared_errors_get_the_variance(simulations, sd) -> None:
    cost = gb.fit_cost(simulations, MeanSquaredError(), measurement_error=sd, **QUICK)
    given: Any = sd(means(PLACES)) if callable(sd) else sd
    given = 0.2 * np.abs(means(PLACES)) if isinstance(sd, str) else given
    deviation = np.broadcast_to(given, (30, 8))
    wanted = np.mean((means(PLACES) - X_O) ** 2 + deviation**2, axis=1)
    found = np.asarray(cost(PLACES, X_O))
    # The means are linear and without noise, and a variance that is the same everywhere is a constant: nothing but
    # rounding is left. That which follows the outputs is regressed.
    assert np.allclose(found, wanted, rtol=0.05 if callable(sd) or isinstance(sd, str) else 2e-3), np.max(
        np.abs(found / wanted - 1)
    )


def test_without_the_error_the_cost_is_that_of_an_exact_observation(simulations) -> None:
    bare = np.asarray(gb.fit_cost(simulations, MeanSquaredError(), **QUICK)(PLACES, X_O))
    assert np.allclose(bare, np.mean((means(PLACES) - X_O) ** 2, axis=1), atol=1e-3)


def test_gaps_take_the_variance_of_what_was_observed(simulations) -> None:
    cost = gb.fit_cost(simulations, MeanSquaredError(), measurement_error=SD, **QUICK)
    late = np.where(np.arange(8) < 5, np.nan, X_O)
    wanted = np.mean(((means(PLACES) - X_O) ** 2 + SD**2)[:, 5:], axis=1)
    found = np.asarray(cost(PLACES, late))
    assert np.allclose(found, wanted, rtol=0.05), np.max(np.abs(found / wanted - 1))


def test_mahalanobis_gets_the_trace(simulations) -> None:
    covariance = np.diag(SD**2) + 0.05
    cost = gb.fit_cost(simulations, Mahalanobis(covariance), measurement_error=SD, progress=False)
    inverse = np.linalg.inv(covariance)
    away = means(PLACES) - X_O
    wanted = np.einsum("ni,ij,nj->n", away, inverse, away) + np.trace(inverse @ np.diag(SD**2))
    found = np.asarray(cost(PLACES, X_O))
    assert np.allclose(found, wanted, rtol=0.01), np.max(np.abs(found / wanted - 1))


@pytest.mark.parametrize(
    "sd",
    [SD, "20 %", lambda x: 0.1 + 0.2 * np.abs(x), lambda x: 0.2 * np.max(np.abs(x))],
    ids=["each", "share", "function", "of the largest"],
)
def test_absolute_errors_are_those_of_folded_normals(simulations, sd: Any) -> None:
    cost = gb.fit_cost(simulations, MeanAbsoluteError(), measurement_error=sd, **QUICK)
    of_output: Any = sd
    given = np.stack([np.broadcast_to(of_output(x), 8) for x in means(PLACES)]) if callable(sd) else sd
    given = 0.2 * np.abs(means(PLACES)) if isinstance(sd, str) else given
    away = (means(PLACES) - X_O) / given
    wanted = np.mean(given * (2 * norm.pdf(away) + away * (1 - 2 * norm.cdf(-away))), axis=1)
    error = np.asarray(cost(PLACES, X_O)) / wanted - 1
    # Means are linear, and the expectation over errors is closed, also of one that follows the value of its
    # coordinate, which is kept at 64 knots. What depends on the whole output has one error a row, and 40 epochs.
    of_others = callable(sd) and np.ndim(of_output(X_O)) == 0
    assert np.sqrt(np.mean(error**2)) < (0.05 if of_others else 0.005), np.max(np.abs(error))


def by_quadrature(distance: Any, mean: np.ndarray, sd: np.ndarray, x_o: np.ndarray) -> np.ndarray:
    """The mean distance over normal errors, by sums over a fine grid."""
    z = np.linspace(-8, 8, 20_001)
    weight = np.exp(-(z**2) / 2) / np.sum(np.exp(-(z**2) / 2))
    t, growth = distance.output_transform, distance.growth
    with np.errstate(invalid="ignore"):
        away = np.abs(t(mean[..., None] + sd[:, None] * z) - t(x_o)[:, None])
    knee, cap = float(growth.knee), float(growth.cap)
    near = np.minimum(away, knee)
    parts = float(growth.square) * near**2 + float(growth.slope) * (np.minimum(away, cap) - near)
    return np.mean(np.nansum(parts * weight, axis=-1), axis=-1)


@pytest.mark.parametrize(
    ("distance", "bound"),
    [
        (HuberError(0.3), 0.003),
        (CappedError(0.8), 0.003),
        (MeanSquaredError(transform="asinh"), 0.01),
    ],
    ids=str,
)
def test_other_growths_agree_with_quadrature(simulations, distance, bound) -> None:
    cost = gb.fit_cost(simulations, distance, measurement_error=SD, **QUICK)
    error = np.asarray(cost(PLACES, X_O)) / by_quadrature(distance, means(PLACES), SD, X_O) - 1
    assert np.sqrt(np.mean(error**2)) < bound, np.max(np.abs(error))


def test_the_error_goes_with_a_marginal_cost_to_other_distances_and_gaps(simulations, tmp_path) -> None:
    cost = gb.fit_cost(simulations, MeanAbsoluteError(), measurement_error=SD, **QUICK)
    gb.save(cost, tmp_path / "cost.safetensors")
    capped = gb.load(tmp_path / "cost.safetensors").with_distance(CappedError(0.8))
    late = np.where(np.arange(8) < 5, np.nan, X_O)
    wanted = by_quadrature(capped.distance, means(PLACES)[:, 5:], SD[5:], X_O[5:])
    np.testing.assert_allclose(np.asarray(capped(PLACES, late)), wanted, rtol=0.01)


@pytest.mark.parametrize("name", ["mmd", "energy", "sorted"])
def test_sets_get_errors_of_each_trial(name: str) -> None:
    def same(theta, rng):
        return np.full((6, 1), theta[0])

    prior = gb.Prior.uniform([-2.0], [2.0], ["mean"])
    runs = gb.simulate(same, prior, 800, seed=0, progress=False)
    distance = {"mmd": MMD(1.0), "energy": EnergyDistance(max_landmarks=48), "sorted": SlicedWasserstein()}[name]
    cost = gb.fit_cost(runs, distance, measurement_error=0.7, progress=False)
    y, theta = np.array([[0.3], [-0.5], [1.0], [0.1], [0.7], [-1.2]]), np.linspace(-1.5, 1.5, 13)[:, None]
    away = theta - y[:, 0]
    if name == "mmd":
        between = np.exp(-(away**2) / (2 * (1 + 0.49))) / np.sqrt(1.49)
        # Of six trials one in six pairs is of a trial with itself.
        own = 1 / 6 + 5 / 6 / np.sqrt(1 + 2 * 0.49)
        wanted = own - 2 * between.mean(axis=1) + np.exp(-((y - y.T) ** 2) / 2).mean()
    elif name == "energy":
        between = 1.4 * norm.pdf(away / 0.7) + away * (1 - 2 * norm.cdf(-away / 0.7))
        own = 5 / 6 * 2 * 0.7 / np.sqrt(np.pi)
        wanted = 2 * between.mean(axis=1) - own - np.abs(y - y.T).mean()
    else:
        # Of a sorted standard normal sample of six (David and Nagaraja 2003, table of means).
        order = 0.7 * np.array([-1.26721, -0.64176, -0.20155, 0.20155, 0.64176, 1.26721])
        wanted = np.mean((theta + order - np.sort(y[:, 0])) ** 2, axis=1) + 0.49 - np.mean(order**2)
    # The two kernels have closed forms, and landmarks miss a little; sorted trials are a mean over 32 errors each.
    assert np.max(np.abs(np.asarray(cost(theta, y)) - wanted)) < {"mmd": 2e-3, "energy": 0.01, "sorted": 0.03}[name]


@pytest.mark.slow
def test_the_posterior_is_that_of_the_error(simulations) -> None:
    """At D / (2 sd^2) the Gibbs posterior is the ordinary one; without the error the rule refuses."""
    sd = 0.3
    cost = gb.fit_cost(simulations, MeanSquaredError(), measurement_error=sd, **QUICK)
    x_o = means(np.array([0.5, -0.4])) + sd * np.random.default_rng(8).normal(size=8)
    beta = 8 / (2 * sd**2)
    design = np.stack([np.ones(8), T], axis=1)
    covariance = np.linalg.inv(np.eye(2) + design.T @ design / sd**2)
    mean = covariance @ design.T @ x_o / sd**2
    posterior = gb.GibbsPosterior(PRIOR, cost, x_o, beta)
    draws = posterior.sample(4000, seed=0)
    std = np.sqrt(np.diag(covariance))
    # 4,000 draws leave a mean open by .016 deviations.
    assert np.all(np.abs(draws.flat.mean(axis=0) - mean) < 0.1 * std)
    assert np.all(np.abs(draws.flat.std(axis=0) / std - 1) < 0.06)
    held_out = gb.simulate(line, PRIOR, 400, seed=7, progress=False)
    assert held_out.deterministic
    bare = gb.fit_cost(simulations, MeanSquaredError(), **QUICK)
    with pytest.raises(ValueError, match=r"fit_cost\(..., measurement_error=sd\)"):
        gb.temperature.calibrated(PRIOR, bare, held_out, seed=0, progress=False)


@pytest.mark.slow
@pytest.mark.long
def test_rules_and_checks_add_the_error_to_what_they_run(simulations) -> None:
    """`calibrated` comes within 15 % of D / (2 sd^2), at which the posterior is the ordinary one."""
    sd = 0.3
    cost = gb.fit_cost(simulations, MeanSquaredError(), measurement_error=sd, **QUICK)
    x_o = means(np.array([0.5, -0.4])) + sd * np.random.default_rng(8).normal(size=8)
    posterior = gb.GibbsPosterior(PRIOR, cost, x_o, 8 / (2 * sd**2))
    draws = posterior.sample(4000, seed=0)
    # The simulator is given as it is, without the error.
    ladder = gb.temperature.ladder(PRIOR, cost, x_o, np.geomspace(3, 500, 12), n=1000, seed=1)
    verdict = gb.check(posterior, draws, line, simulations, n=300, seed=3, progress=False)
    assert verdict.evidence.support is not None
    assert verdict.evidence.support.inside
    runs = verdict.predictive
    assert runs is not None
    # Two measured runs differ by 2 sd^2 in the mean; of 2,400 squares that is known to 3 %.
    assert abs(runs.replicate.mean() / (2 * sd**2) - 1) < 0.12
    assert verdict.level == "ok", verdict.summary()
    floor = gb.temperature.noise_floor(ladder, simulator=line, seed=2, progress=False)
    assert abs(np.log(floor.beta / posterior.beta)) < 0.15, floor.beta / posterior.beta
    assert gb.plots.choice(floor).axes
    held_out = gb.simulate(line, PRIOR, 400, seed=7, progress=False)
    choice = gb.temperature.calibrated(PRIOR, cost, held_out, seed=0, rows=400, n=200, progress=False)
    assert abs(np.log(choice.beta / posterior.beta)) < 0.15, choice.beta / posterior.beta


def test_each_held_out_run_is_measured_several_times(simulations) -> None:
    cost = gb.fit_cost(simulations, MeanSquaredError(), measurement_error=SD, **QUICK)
    runs = gb.simulate(line, PRIOR, 300, seed=7, progress=False)
    held_out = HeldOut.of(PRIOR, cost, runs, 200, 0, errors=4)
    assert held_out.theta.shape == (800, 2)
    theta, errors = held_out.theta.reshape(4, 200, 2), (held_out.x - means(held_out.theta)) / SD
    assert (theta == theta[:1]).all()
    # Mean squares of 6,400 normal numbers, and correlations of the four errors of 1,600 outputs: four standard errors.
    assert abs(np.mean(errors**2) - 1) < 4 * np.sqrt(2 / 6400)
    correlation = np.asarray(np.corrcoef(errors.reshape(4, 1600)))
    assert np.abs(correlation[np.triu_indices(4, 1)]).max() < 4 / np.sqrt(1600)
    bare = HeldOut.of(PRIOR, gb.fit_cost(runs, MeanSquaredError(), **QUICK), simulations, 200, 0, errors=4)
    assert bare.theta.shape == (200, 2)


def test_calibrated_comes_to_the_matching_beta(simulations) -> None:
    """It is D / (2 sd^2) for squared errors; 100 runs that are measured once leave it open by 11 %, twice by 8."""
    sd = 0.3
    cost = gb.fit_cost(simulations, MeanSquaredError(), measurement_error=sd, **QUICK)
    held_out, match = gb.simulate(line, PRIOR, 100, seed=8, progress=False), 8 / (2 * sd**2)
    grid = np.geomspace(match / 4, match * 4, 7)
    choice = gb.temperature.calibrated(PRIOR, cost, held_out, grid, n=100, seed=0, progress=False)
    assert "of 100 held-out simulations, measured 2 times each, at" in choice.finding
    assert abs(np.log(choice.beta / match)) < 3 * 0.08, choice.beta / match
    # The interval of 95 % is known from the resampled runs to a fifth: of runs that are measured once it is wider.
    assert 3 * 0.08 < np.log(choice.interval[1] / choice.interval[0]) < 5 * 0.08


@pytest.mark.parametrize("of_runs", [True, False], ids=["new runs", "stored runs"])
def test_the_noise_floor_is_the_matching_beta_for_every_data_set(simulations, of_runs: bool) -> None:
    """It follows from the error alone: the residuals of one data set would leave it open by a factor."""
    sd = 0.3
    cost = gb.fit_cost(simulations, MeanSquaredError(), measurement_error=sd, **QUICK)
    source: dict[str, Any] = {"simulator": line} if of_runs else {"simulations": simulations}
    found = []
    for k in range(3):
        # One data set is nearer to the line than any other, and one is farther.
        x_o = means(np.array([0.5, -0.4])) + sd * k * np.random.default_rng(k).normal(size=8)
        ladder = gb.temperature.ladder(PRIOR, cost, x_o, np.geomspace(3, 500, 12), n=500, seed=k)
        found.append(gb.temperature.noise_floor(ladder, **source, seed=k, progress=False).beta)
    # 400 pairs with 8 errors each, among 200 parameters: about 4 %.
    assert np.all(np.abs(np.array(found) / (8 / (2 * sd**2)) - 1) < 0.15), found


def test_it_is_saved_held_and_refined(simulations, tmp_path) -> None:
    cost = gb.fit_cost(simulations, MeanSquaredError(), measurement_error=SD, **QUICK)
    gb.save(cost, tmp_path / "cost.safetensors")
    again = gb.load(tmp_path / "cost.safetensors")
    assert again.measurement_error is not None
    assert again.measurement_error.stored == SD.tolist()
    assert again.settings["simulator"] == simulations.simulator
    posterior = gb.GibbsPosterior(PRIOR, again, X_O, 100.0)
    refined = gb.refine(posterior, line, simulations, n=100, rounds=1, seed=4, progress=False)
    # The runs of the refinement are exact in the simulations, and measured in the cost.
    new = refined.simulations.selected(refined.simulations.round == 1)
    assert np.allclose(new.x, means(new.theta.astype(float)), atol=1e-5)
    wanted = np.mean((means(PLACES) - X_O) ** 2 + SD**2, axis=1)
    assert np.allclose(np.asarray(refined.cost(PLACES, X_O)), wanted, rtol=0.01)
    held = posterior.fix({"slope": -0.4})
    assert held.cost.measurement_error is not None


def a_tenth(x: np.ndarray) -> float:
    return 0.1


def test_a_function_is_saved_by_its_name_and_given_again(simulations, tmp_path) -> None:
    cost = gb.fit_cost(simulations, MeanSquaredError(), measurement_error=a_tenth, progress=False)
    path = gb.save(cost, tmp_path / "cost.safetensors")
    again = gb.load(path, measurement_error=a_tenth)
    assert again.measurement_error is not None
    assert again.measurement_error.sd is a_tenth
    with pytest.raises(ValueError, match=r"files hold no code: pass it again as load\(path, measurement_error"):
        gb.load(path)
    with pytest.raises(ValueError, match="a_tenth', but measurement_error is the function '.*means'"):
        gb.load(path, measurement_error=means)
    plain = gb.save(gb.fit_cost(simulations, MeanSquaredError(), progress=False), tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match="leave the argument measurement_error out"):
        gb.load(plain, measurement_error=a_tenth)


def test_errors_go_by_name() -> None:
    def named(theta, rng):
        return {"peak": theta[0], "curve": theta[0] + np.zeros(3)}

    prior = gb.Prior.uniform([-1.0], [1.0], ["a"])
    runs = gb.simulate(named, prior, 400, seed=0, progress=False)
    cost = gb.fit_cost(runs, MeanSquaredError(), measurement_error={"curve": [0.1, 0.2, 0.3]}, progress=False)
    assert cost.measurement_error is not None
    assert cost.measurement_error.stored == [0.0, 0.1, 0.2, 0.3]
    found = float(cost([0.2], {"peak": 0.2, "curve": np.full(3, 0.2)}))
    assert np.isclose(found, np.mean([0, 0.01, 0.04, 0.09]), rtol=0.02)
    with pytest.raises(ValueError, match="measurement_error: trough is given, which is no output"):
        gb.fit_cost(runs, MeanSquaredError(), measurement_error={"trough": 1.0}, progress=False)


@pytest.mark.parametrize(
    ("sd", "error", "message"),
    [
        (-1.0, ValueError, "measurement_error must be finite and at least 0"),
        ([0.1, 0.2], ValueError, r"measurement_error has shape \(2,\), but outputs have shape \(8,\)"),
        ({"a": 1.0}, ValueError, "and the simulations' outputs have none"),
        (lambda x: x[:2], ValueError, "must return one standard deviation, or one for each number of an output"),
        ("large", ValueError, "share of each value"),
    ],
)
def test_what_is_no_deviation_is_refused(simulations, sd, error, message: str) -> None:
    with pytest.raises(error, match=message):
        gb.fit_cost(simulations, MeanSquaredError(), measurement_error=sd, **QUICK)


def test_a_share_is_read_and_stored_and_nothing_else_as_a_text() -> None:
    runs = gb.Simulations.from_arrays(np.zeros((3, 1)), np.array([[1.0], [-10.0], [4.0]]))
    error = MeasurementError.of("10 %", runs)
    np.testing.assert_allclose(error.deviations(runs.x), [[0.1], [1.0], [0.4]])
    again = MeasurementError.read(Path("cost.safetensors"), error.stored, None)
    assert again is not None
    assert again.sd == "10 %"
    for text in ("much", "10", "-3 %", "0 %", "nan %"):
        with pytest.raises(ValueError, match="share of each value"):
            MeasurementError.of(text, runs)


def test_an_error_is_not_added_twice() -> None:
    noisy = gb.simulate(gb.with_measurement_error(line, 0.1), PRIOR, 300, seed=0, progress=False)
    with pytest.raises(ValueError, match="have one already: leave it out"):
        gb.fit_cost(noisy, MeanSquaredError(), measurement_error=0.1, progress=False)
