"""`posterior.fix`: parameters held at values, in a posterior, a stack and all that runs the simulator for them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.costs.known_parameters import inputs_of_simulator, rows_as_known, with_known

# The law: cost = ||A theta - x_o||^2 under a normal prior, whose Gibbs posterior has the precision 1 / s^2 + 2 beta A'A
# and is correlated; given some of its coordinates it is normal again.
A = np.array([[1.0, 0.8, 0.0], [0.0, 1.0, -0.6], [0.5, 0.0, 1.0], [0.2, -0.3, 0.4]])
SD, X_O, BETA = np.array([1.0, 2.0, 1.5]), np.array([1.0, -0.5, 0.3, 0.8]), 3.0
PRIOR = gb.Prior({f"t{i}": dist.Normal(0.0, sd) for i, sd in enumerate(SD)})


def quadratic(theta, x):
    return jnp.sum((jnp.asarray(A, jnp.float32) @ theta - x) ** 2)


COST = gb.Cost.exact(quadratic, names=PRIOR.names, x_shape=(4,), units="mV^2")
POSTERIOR = gb.GibbsPosterior(PRIOR, COST, X_O, BETA)


def conditional(held, x_o=X_O):
    """Mean and covariance of the other coordinates, given some, by their numbers."""
    covariance = np.linalg.inv(np.diag(1 / SD**2) + 2 * BETA * A.T @ A)
    mean = covariance @ (2 * BETA * A.T @ x_o)
    known, rest = list(held), [i for i in range(3) if i not in held]
    slope = covariance[np.ix_(rest, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    away = np.array(list(held.values())) - mean[known]
    return mean[rest] + slope @ away, covariance[np.ix_(rest, rest)] - slope @ covariance[np.ix_(known, rest)]


def agrees(draws, mean, covariance):
    """Whether mean and variances are those of the law, within five standard errors (1e-6 of all seeds are beyond)."""
    flat, n = np.asarray(draws, np.float64), float(draws.ess_bulk.min())
    variance = np.diag(covariance)
    off = np.abs(flat.mean(axis=0) - mean) / np.sqrt(variance / n)
    return bool(max(off.max(), (np.abs(flat.var(axis=0) / variance - 1) / np.sqrt(2 / n)).max()) < 5)


@pytest.mark.parametrize("held", [{0: 1.2}, {1: -0.7}, {2: 0.4, 0: -0.3}], ids=str)
def test_what_is_left_is_the_conditional(held):
    fixed = POSTERIOR.fix({f"t{i}": value for i, value in held.items()})
    draws = fixed.sample(6000, seed=0)
    assert draws.outcome.ok
    assert draws.names == tuple(f"t{i}" for i in range(3) if i not in held)
    assert agrees(draws, *conditional(held))
    # Not that of other values (of two, one is raised and one lowered: their effects would cancel).
    mean, covariance = conditional({i: value + 0.5 * (-1) ** k for k, (i, value) in enumerate(held.items())})
    assert not agrees(draws, mean, covariance)


def test_the_density_is_that_of_the_whole_but_for_a_constant():
    theta = np.array([[0.3, -0.2], [1.0, 2.0], [-1.0, 0.4]])
    whole = np.insert(theta, 1, 0.7, axis=1)
    fixed = POSTERIOR.fix({"t1": 0.7})
    # The prior density of the value.
    constant = -0.5 * (0.7 / SD[1]) ** 2 - np.log(SD[1] * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(fixed.log_density(theta) + constant, POSTERIOR.log_density(whole), rtol=1e-5)
    np.testing.assert_allclose(fixed.cost_at(theta), POSTERIOR.cost_at(whole), rtol=1e-5)


def test_it_says_what_is_held_and_files_keep_it(tmp_path):
    fixed = POSTERIOR.fix({"t1": 0.5})
    assert repr(fixed) == "GibbsPosterior(parameters t0, t2, observation (4,), t1 0.5, beta 3)"
    assert (fixed.held, POSTERIOR.held) == ({"t1": 0.5}, {})
    draws = fixed.sample(200, seed=0)
    assert repr(draws).endswith("beta 3, t1 = 0.5)")
    assert "t1 = 0.5" in draws.summary()
    assert "t1 = 0.5" in draws._repr_html_()
    draws.save(tmp_path / "draws.zarr")
    assert gb.Draws.load(tmp_path / "draws.zarr").conditions == {"t1": 0.5}


def test_one_after_the_other_is_both_at_once():
    both, chained = POSTERIOR.fix({"t0": 1.0, "t2": -0.5}), POSTERIOR.fix({"t2": -0.5}).fix({"t0": 1.0})
    theta, whole = np.array([[0.3], [1.0]]), np.array([[1.0, 0.3, -0.5], [1.0, 1.0, -0.5]])
    np.testing.assert_array_equal(both.log_density(theta), chained.log_density(theta))
    np.testing.assert_allclose(both.cost_at(theta), POSTERIOR.cost_at(whole), rtol=1e-6)
    assert both.held == chained.held == {"t0": 1.0, "t2": -0.5}


def test_a_stack_holds_one_value_for_all_or_one_for_each():
    x_o = np.stack([X_O, X_O + 0.3])
    stack = gb.GibbsPosteriors(PRIOR, COST, x_o, [1.0, BETA])
    draws = stack.fix({"t1": [0.7, -0.2]}).sample(6000, seed=0, progress=False)
    assert draws.names == ("t0", "t2")
    for i, value in enumerate((0.7, -0.2)):
        assert agrees(draws.draws(i), *conditional({1: value}, x_o[i]))
        assert draws.draws(i).conditions == {"t1": np.float32(value)}
    same = stack.fix({"t1": 0.7}).posterior(1)
    assert same.held == {"t1": np.float32(0.7)}
    with pytest.raises(ValueError, match=r"values\['t1'\] has shape \(3,\), expected one number, or one for each of 2"):
        stack.fix({"t1": [0.1, 0.2, 0.3]})


def any_cost(names):
    return gb.Cost.exact(lambda theta, x: jnp.sum((theta[:2] - x) ** 2), names=names, x_shape=(2,), units="1")


SHARES = gb.Prior(
    {
        "k": dist.DiscreteUniform(1, 4),
        "p": dist.Dirichlet(jnp.ones(3)),
        "mu": dist.MultivariateNormal(jnp.zeros(2), jnp.array([[1.0, 0.8], [0.8, 1.0]])),
        "rate": dist.Gamma(2.0, 1.0),
    }
)
MIXED = gb.GibbsPosterior(SHARES, any_cost(SHARES.names), np.zeros(2), 1.0)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"q": 1.0}, ValueError, r"values has 'q', which is no parameter; the parameters are k, p\[0\]"),
        ({"rate": -1.0}, ValueError, r"values holds rate at -1, outside the prior's support \[0, inf\]"),
        ({"rate": np.nan}, ValueError, "values holds rate at nan"),
        ({"rate": "high"}, TypeError, r"values\['rate'\] must be a number, got 'high'"),
        ({"rate": [1.0, 2.0]}, ValueError, r"values\['rate'\] has shape \(2,\), expected one number"),
        ({"k": 2.5}, ValueError, "values holds k at 2.5, but it is an integer"),
        ({"k": 7}, ValueError, r"values holds k at 7, outside the prior's support \[1, 4\]"),
        ({"p[1]": 0.2}, ValueError, r"values holds p\[1\], but not p\[0\], p\[2\].*Hold all of them \('p'"),
        ({"mu[0]": 0.2}, ValueError, r"values holds mu\[0\], but not mu\[1\]: the coordinates of mu may depend"),
        ({"p": [0.5, 0.4, 0.3]}, ValueError, r"values lie outside the prior's support: p\[0\] = 0.5"),
        ({"p": [0.5, 0.5]}, ValueError, r"expected 3 numbers \(p\[0\], p\[1\], p\[2\]\)"),
        ({}, ValueError, "values is empty"),
        ({"k": 2, "p": [0.2, 0.3, 0.5], "mu": [0.0, 1.0], "rate": 1.0}, ValueError, "values holds all parameters"),
    ],
)
def test_what_cannot_be_held(values, error, message):
    with pytest.raises(error, match=message):
        MIXED.fix(values)


def test_what_is_held_cannot_be_held_again():
    with pytest.raises(ValueError, match=r"values has 't1', which is known already \(t1 = 0.5\)"):
        POSTERIOR.fix({"t1": 0.5}).fix({"t1": 0.6})


def test_whole_vectors_and_integers_are_held():
    fixed = MIXED.fix({"p": [0.2, 0.3, 0.5], "k": 3})
    assert fixed.prior.names == ("mu[0]", "mu[1]", "rate")
    theta = np.array([0.1, -0.2, 2.0])
    assert fixed.cost_at(theta) == pytest.approx(3.0**2 + 0.2**2)
    assert fixed.prior == SHARES.select(["mu[0]", "mu[1]", "rate"])
    by_coordinate = MIXED.fix({"p[0]": 0.2, "p[1]": 0.3, "p[2]": 0.5, "k": 3})
    assert by_coordinate.held == fixed.held


def test_the_prior_of_some_parameters():
    assert SHARES.select(["rate", "k"]).names == ("rate", "k")
    batch = gb.Prior({"a": dist.Normal(jnp.zeros(2), 1.0), "b": dist.HalfNormal(2.0)})
    assert batch.select(["a[0]", "a[1]"]).describe() == batch.describe()[:1]
    assert batch.select(batch.names) == batch
    with pytest.raises(ValueError, match=r"`names` is \(a\[1\]\), but parameters come whole"):
        batch.select(["a[1]"])
    with pytest.raises(ValueError, match="`names` has c; the parameters are a"):
        batch.select(["c"])


# The whole path: x = (rate + 2 shift, gain rate - shift, rate) + noise. The parameter that is held is the first of
# three, the simulator takes a known condition, and a value in a wrong place gives another output altogether.
TRUTH = gb.Prior({"shift": dist.Uniform(-1.0, 1.0), "rate": dist.Uniform(0.0, 2.0), "idle": dist.Uniform(5.0, 6.0)})
GAINS = gb.Prior({"gain": dist.Uniform(0.5, 2.0)})
NOISE = 0.2


def mean_output(theta, gain):
    return jnp.stack([theta[1] + 2 * theta[0], gain * theta[1] - theta[0], theta[1]])


def simulator(key, theta, conditions):
    return mean_output(theta, conditions[0]) + NOISE * jax.random.normal(key, (3,))


@pytest.fixture(scope="module")
def simulations():
    return gb.simulate(simulator, TRUTH, 2000, seed=0, conditions=GAINS, progress=False)


@pytest.fixture(scope="module")
def cost(simulations):
    return gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)


@pytest.fixture(scope="module")
def marginal(simulations):
    quick = gb.FitConfig(members=2, max_epochs=20)
    error = gb.distances.MeanSquaredError()
    return gb.fit_cost(simulations, error, method="marginal", config=quick, progress=False)


@pytest.fixture(scope="module")
def fixed(cost):
    x_o = np.array([1.6, 1.2, 1.0])
    return gb.GibbsPosterior(TRUTH, cost, x_o, 15.0, conditions={"gain": 1.5}).fix({"shift": 0.3})


@pytest.fixture(scope="module")
def draws(fixed):
    return fixed.sample(1000, seed=0)


@pytest.mark.slow
@pytest.mark.long
def test_a_fitted_cost_given_a_value(fixed, draws):
    assert draws.outcome.ok
    assert fixed.conditions == {"gain": 1.5, "shift": np.float32(0.3)}
    # Normal but for the bounds: 2 beta / 3 of three squares in the rate, of slopes 1, 1.5 and 1.
    precision = 2 * 15.0 / 3 * (1 + 1.5**2 + 1)
    mean = 2 * 15.0 / 3 * (1.0 + 1.5 * 1.5 + 1.0) / precision
    sd = precision**-0.5
    # A tenth of the posterior's width for what 2000 runs leave open.
    assert abs(draws["rate"].mean() - mean) < 0.1 * sd + 5 * sd / np.sqrt(draws.ess_bulk.min())
    assert draws["rate"].std() == pytest.approx(sd, rel=0.15)
    assert fixed.log_density_error is not None
    assert fixed.log_density_error.outcome.ok


def test_new_runs_are_of_all_parameters_in_their_places(fixed, draws):
    found = gb.check_predictive(simulator, fixed, draws, 300, seed=5, progress=False)
    assert found.theta.shape == (300, 2)
    np.testing.assert_array_equal(found.theta, draws.flat[np.isin(draws.flat, found.theta).all(axis=1)][:300])
    whole = np.insert(found.theta, 0, 0.3, axis=1)
    expected = jax.vmap(mean_output, (0, None))(whole, 1.5)
    # The mean of 600 normal deviations, five standard errors.
    off = np.abs((found.x - expected).mean(axis=0))
    assert np.all(off < 5 * NOISE / np.sqrt(300))
    assert np.std(found.x - expected) == pytest.approx(NOISE, rel=0.1)
    assert abs(found.relative_error) < 5 * found.standard_error + 0.05


def test_values_in_other_places_are_told_apart(cost, draws):
    every, names, own = inputs_of_simulator(with_known(cost, ("shift",)), draws.flat, {"gain": 1.5, "shift": 0.3})
    assert (names, own) == (TRUTH.names, {"gain": 1.5})
    np.testing.assert_array_equal(every[:, 1:], draws.flat)
    assert set(every[:, 0]) == {np.float32(0.3)}


@pytest.mark.slow
def test_the_verdict_and_the_report(fixed, draws, simulations, tmp_path):
    held_out = gb.simulate(simulator, TRUTH, 60, seed=9, conditions=GAINS, progress=False)
    found = gb.check(fixed, draws, simulator, simulations, n=300, seed=5, held_out=held_out, progress=False)
    # The observation is that of its parameters: nothing is unusual, nowhere extrapolated, the cost is right.
    levels = {finding.check: finding.level for finding in found.findings}
    assert "bad" not in levels.values(), found.summary(everything=True)
    assert found.evidence.support is not None
    assert found.evidence.support.inside
    assert found.evidence.extrapolation is not None
    assert found.evidence.extrapolation.inside
    assert found.coverage is not None
    assert not found.coverage.too_narrow
    assert found.coverage.names == ("rate", "idle")
    pytest.importorskip("matplotlib")
    page = gb.report(tmp_path / "run.html", fixed, draws, check=found).read_text()
    assert "parameters held at values" in page
    assert "shift = 0.3" in page


def test_the_support_is_judged_at_the_value(fixed, simulations):
    # No rate gives these outputs where the shift is 0.3; where it is 1, the rate 0.5 does.
    x_o = np.array([2.5, -0.25, 0.5])
    reference = gb.SupportReference.of(fixed.cost, simulations)
    assert not reference.judge(x_o, {"gain": 1.5, "shift": 0.3}).inside
    assert reference.judge(x_o, {"gain": 1.5, "shift": 1.0}).inside


@pytest.mark.long
@pytest.mark.slow
def test_refinement_runs_and_fits_all_parameters(fixed, cost, simulations):
    # Two posteriors of one cost, each with its value.
    again = gb.GibbsPosterior(TRUTH, cost, fixed.x_o, 5.0, conditions={"gain": 1.5}).fix({"shift": 0.3})
    refined = gb.refine([fixed, again], simulator, simulations, 160, rounds=1, seed=3, progress=False)
    new = refined.simulations.selected(refined.simulations.round == 1)
    assert refined.simulations.names == TRUTH.names
    assert set(new.theta[:, 0]) == {np.float32(0.3)}
    assert set(new.conditions[:, 0]) == {1.5}
    residual = new.x - np.asarray(jax.vmap(mean_output, (0, None))(new.theta, 1.5))
    assert np.std(residual) == pytest.approx(NOISE, rel=5 / np.sqrt(2 * 480))
    assert refined.history[0].agrees
    posterior = refined.posteriors[0]
    assert posterior.held == fixed.held
    assert posterior.cost.whole is not None
    assert posterior.cost.whole.settings["rounds"] == 1


@pytest.mark.slow
def test_rules_for_beta_take_the_value(fixed, simulations):
    ladder = gb.temperature.ladder(
        fixed.prior, fixed.cost, fixed.x_o, [1.0, 10.0, 100.0], n=200, seed=0, conditions=fixed.conditions
    )
    by_runs = gb.temperature.noise_floor(ladder, simulator=simulator, n=200, seed=1, progress=False)
    # The mean squared distance of two runs at one parameter is 2 sd^2, by new runs as by stored ones.
    assert by_runs.evidence["replicate"].mean() == pytest.approx(2 * NOISE**2, rel=0.15)
    by_rows = gb.temperature.noise_floor(ladder, simulations=simulations, n=200, seed=1, progress=False)
    assert by_rows.evidence["replicate"].mean() == pytest.approx(2 * NOISE**2, rel=0.15)


@pytest.mark.long
@pytest.mark.slow
def test_sensitivity_is_that_of_the_conditional(marginal, fixed):
    posterior = gb.GibbsPosterior(TRUTH, marginal, fixed.x_o, fixed.beta, conditions={"gain": 1.5}).fix({"shift": 0.3})
    other = {"absolute": gb.distances.MeanAbsoluteError()}
    found = gb.sensitivity(posterior, other, n=200, seed=0, simulator=simulator, resimulate=60, progress=False)
    alone = gb.sensitivity(posterior, other, n=200, seed=0, progress=False)
    # Mean |x - x'| of two runs at one draw, by new runs and by the networks: 2 / sqrt(pi) noise.
    for replicate in (found.replicate, alone.replicate):
        np.testing.assert_allclose(replicate, 2 / np.sqrt(np.pi) * NOISE, rtol=0.35)
    # Misfits of the given distance are those of a right model: about one replicate distance.
    assert np.all(alone.variants[0].distance_to_observation < 2)


def test_stored_simulations_are_read_in_the_layout_of_the_cost(fixed, simulations):
    rows = rows_as_known(fixed.cost, simulations)
    assert (rows.names, rows.condition_names) == (("rate", "idle"), ("gain", "shift"))
    np.testing.assert_array_equal(rows.conditions[:, 1], simulations.theta[:, 0])
    np.testing.assert_array_equal(rows.theta, simulations.theta[:, 1:])
    assert rows.prior == fixed.prior
    assert rows_as_known(fixed.cost, rows) is rows
    assert rows_as_known(fixed.cost.whole, simulations) is simulations


def test_held_out_rows_are_judged_by_their_own_values(fixed, cost):
    rows, own = cost.held_out, fixed.cost.held_out
    distances = np.zeros(len(rows))
    expected = rows.residuals(cost.expectation, cost.embed(fixed.x_o), distances)
    found = own.residuals(fixed.cost.expectation, fixed._target.embedded, distances)
    for part, same in zip(found, expected, strict=True):
        np.testing.assert_allclose(part, same, rtol=1e-5, atol=1e-5)


def test_a_value_beyond_the_simulated_ones_is_told(cost):
    wider = gb.Prior({"shift": dist.Uniform(-3.0, 3.0), "rate": dist.Uniform(0.0, 2.0), "idle": dist.Uniform(5.0, 6.0)})
    posterior = gb.GibbsPosterior(wider, cost, np.ones(3), 1.0, conditions={"gain": 1.0})
    assert "of the prior lies outside the range" in str(posterior.outcome)
    assert "The condition shift = 2 lies outside the simulated range -0.99" in str(posterior.fix({"shift": 2}).outcome)
    assert "outside" not in str(posterior.fix({"shift": 0.5}).known_outcome)


@pytest.mark.long
@pytest.mark.slow
def test_an_integer_held_where_little_was_simulated_is_told():
    prior = gb.Prior({"k": dist.DiscreteUniform(1, 3), "a": dist.Normal(0.0, 1.0)})
    theta = np.array(prior.sample(900, seed=0))
    theta[:, 0] = np.where((theta[:, 0] == 3) & (np.arange(900) > 30), 1, theta[:, 0])
    x = theta[:, :1] * theta[:, 1:] + 0.1 * np.random.default_rng(0).standard_normal((900, 1))
    simulations = gb.Simulations.from_arrays(theta, x, prior=prior)
    quick = gb.FitConfig(members=2, max_epochs=2)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), config=quick, progress=False)
    posterior = gb.GibbsPosterior(prior, cost, [1.0], 1.0)
    few = int(np.sum(theta[:, 0] == 3))
    assert 0 < few < 20
    assert f"fewer than 20 runs at k = 3 ({few} runs)" in str(posterior.fix({"k": 3}).outcome)
    assert "fewer than 20" not in str(posterior.fix({"k": 2}).outcome)
    np.testing.assert_allclose(
        posterior.fix({"k": 2}).cost_at(np.array([0.4])), posterior.cost_at(np.array([2.0, 0.4])), rtol=1e-6
    )


@pytest.mark.long
@pytest.mark.slow
def test_the_probability_of_success_and_the_penalty_are_those_at_the_value(simulations):
    keep = np.random.default_rng(0).uniform(size=2000) > 0.6 * (simulations.theta[:, 0] > 0)
    status, x = np.where(keep, 0, 2).astype(np.int32), np.where(keep[:, None], simulations.x, np.nan)
    failing = replace(simulations, status=status, x=x, reasons=("ok", "pending", "fell over"))
    for failures in ("condition", 3.0):
        cost = gb.fit_cost(failing, gb.distances.MeanSquaredError(), failures=failures, progress=False)
        posterior = gb.GibbsPosterior(TRUTH, cost, np.ones(3), 5.0, conditions={"gain": 1.0})
        fixed, theta = posterior.fix({"shift": 0.6}), np.array([[1.0, 5.5], [0.2, 5.1]], np.float32)
        whole = np.insert(theta, 0, np.float32(0.6), axis=1)
        np.testing.assert_allclose(fixed.cost_at(theta), posterior.cost_at(whole), rtol=1e-5)
        known = fixed.conditions
        expected = cost.log_success(whole, {"gain": 1.0})
        np.testing.assert_allclose(fixed.cost.log_success(theta, known), expected, rtol=1e-5)
        assert np.all(np.abs(np.exp(expected) - 0.4) < 0.15)
        difference = np.asarray(fixed.log_density(theta)) - np.asarray(posterior.log_density(whole))
        np.testing.assert_allclose(difference, np.log(2.0), rtol=1e-4)


@pytest.mark.slow
def test_a_cost_with_held_parameters_takes_other_distances(marginal):
    other, x_o = gb.distances.MeanAbsoluteError(), np.array([1.6, 1.2, 1.0])
    theta, known = np.array([[1.0, 5.5]]), {"gain": 1.5, "shift": 0.3}
    changed = with_known(marginal, ("shift",)).with_distance(other)
    expected = marginal.with_distance(other)(np.array([[0.3, 1.0, 5.5]]), x_o, {"gain": 1.5})
    np.testing.assert_allclose(changed(theta, x_o, known), expected, rtol=1e-6)


def test_a_cost_with_held_parameters_is_saved_with_what_is_held(fixed, tmp_path):
    gb.save(fixed.cost, tmp_path / "cost.safetensors")
    again = gb.load(tmp_path / "cost.safetensors")
    assert (again.names, again.condition_names) == (fixed.cost.names, fixed.cost.condition_names)
    theta = np.asarray(fixed.prior.sample(20, seed=0))
    held = gb.GibbsPosterior(fixed.prior, again, fixed.x_o, fixed.beta, conditions=fixed.conditions)
    np.testing.assert_array_equal(held.cost_at(theta), fixed.cost_at(theta))
    assert held.held == fixed.held
    # Draws of the one are draws of the other, and both go into a joint posterior.
    draws = fixed.sample(200, seed=3)
    np.testing.assert_array_equal(held.sample(200, seed=3).theta, draws.theta)
    together, before = (gb.joint({"a": one}, fixed.prior) for one in (held, fixed))
    np.testing.assert_array_equal(together.cost_at(theta), before.cost_at(theta))
    assert again.whole is not None
    gb.save(again.whole, tmp_path / "whole.safetensors")
    assert gb.load(tmp_path / "whole.safetensors").whole is None
