"""`where_observed`: NaN in outputs that are never observed is no failure, and everywhere else it is one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb

PRIOR = gb.Prior.uniform([0.5, -1.0], [2.0, 1.0], names=["a", "b"])
# A map of 2 x 3 cells, of which (0, 1) and (1, 2) are land.
LAND = np.array([[False, True, False], [False, False, True]])
X_O = np.where(LAND, np.nan, [[1.2, 0.0, 1.1], [0.4, 1.5, 0.0]])


def means(a, b):
    return jnp.array([[a, 0.0, a], [b, a + b, 0.0]])


def sea_of_jax(key, theta):
    x = means(theta[0], theta[1]) + 0.3 * jax.random.normal(key, (2, 3))
    # A true failure, in a cell that is observed.
    x = x.at[1, 0].set(jnp.where(theta[0] > 1.9, jnp.nan, x[1, 0]))
    return jnp.where(jnp.asarray(LAND), jnp.nan, x)


def sea(theta, rng, conditions):
    x = np.asarray(means(theta[0], theta[1])) + 0.3 * rng.standard_normal((2, 3)) + conditions[0]
    return np.where(LAND, np.nan, x)


def test_outputs_are_the_observed_values_in_order():
    simulator, x_o = gb.where_observed(sea, X_O)
    np.testing.assert_array_equal(x_o, [1.2, 1.1, 0.4, 1.5])
    theta, known = np.array([1.0, 0.5]), np.array([2.0])
    whole = sea(theta, np.random.default_rng(0), known)
    np.testing.assert_array_equal(simulator(theta, np.random.default_rng(0), known), whole[~LAND])
    conditions = gb.Prior.uniform([0.0], [1.0], names=["tide"])
    simulations = gb.simulate(simulator, PRIOR, 20, seed=0, conditions=conditions, progress=False)
    assert simulations.x.shape == (20, 4)
    assert simulations.ok.all()
    assert simulations.simulator.endswith(":sea where observed")


def test_a_failure_where_something_is_observed_stays_one():
    simulator, _ = gb.where_observed(sea_of_jax, X_O)
    simulations = gb.simulate(simulator, PRIOR, 400, seed=0, progress=False)
    np.testing.assert_array_equal(simulations.ok, simulations.theta[:, 0] <= 1.9)
    assert simulations.failures() == [(int(np.sum(simulations.theta[:, 0] > 1.9)), "NaN in the output")]


@pytest.mark.slow
def test_the_posterior_is_that_of_the_observed_values():
    def without_failures(key, theta):
        return jnp.where(jnp.asarray(LAND), jnp.nan, means(theta[0], theta[1]) + 0.3 * jax.random.normal(key, (2, 3)))

    simulator, x_o = gb.where_observed(without_failures, X_O)
    simulations = gb.simulate(simulator, PRIOR, 2000, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    beta = 4 / (2 * 0.3**2)
    draws = gb.GibbsPosterior(PRIOR, cost, x_o, beta).sample(2000, seed=0)
    # The ordinary normal posterior: outputs a, a, b, a + b with errors of 0.3 (bounds are four deviations away).
    design = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    covariance = 0.3**2 * np.linalg.inv(design.T @ design)
    mean, sd = covariance @ design.T @ x_o / 0.3**2, np.sqrt(np.diag(covariance))
    # A tenth of the width for what 2000 runs leave open, and five standard errors of the draws.
    off = np.abs(np.asarray(draws).mean(axis=0) - mean)
    assert np.all(off < 0.1 * sd + 5 * sd / np.sqrt(draws.ess_bulk.min()))
    np.testing.assert_allclose(np.asarray(draws).std(axis=0), sd, rtol=0.12)
    with pytest.raises(ValueError, match=r"x_o has shape \(2, 3\)"):
        gb.GibbsPosterior(PRIOR, cost, X_O, beta)


def test_runs_that_all_fail_say_what_to_do():
    with pytest.raises(RuntimeError, match=r"2 of 6 values \(at \(0, 1\), \(1, 2\)\) were NaN.*where_observed\("):
        gb.simulate(sea_of_jax, PRIOR, 20, seed=0, progress=False)
    with pytest.raises(RuntimeError) as error:
        gb.simulate(lambda theta, rng: np.full(2, np.nan), PRIOR, 5, seed=0, progress=False)
    assert "where_observed" not in str(error.value)


@pytest.mark.parametrize(
    ("x_o", "error", "message"),
    [
        (np.full(3, np.nan), ValueError, "no value that is observed"),
        ([1.0, np.inf, np.nan], ValueError, "infinite values"),
        ([1.0, 2.0], ValueError, "no missing values"),
        (["a", "b"], TypeError, "must hold numbers"),
    ],
)
def test_observations_that_leave_nothing_out(x_o, error, message):
    with pytest.raises(error, match=message):
        gb.where_observed(sea, x_o)


def test_another_shape_is_told():
    simulator, _ = gb.where_observed(lambda theta, rng: np.zeros(3), X_O)
    with pytest.raises(RuntimeError, match=r"the output has shape \(3,\), the observation \(2, 3\)"):
        gb.simulate(simulator, PRIOR, 3, seed=0, progress=False)
    with pytest.raises(ValueError, match=r"the output has shape \(2,\), the observation \(2, 3\)"):
        gb.simulate(gb.where_observed(lambda key, theta: theta, X_O)[0], PRIOR, 3, seed=0, progress=False)


def named(theta, rng):
    """A peak and a curve, of which the curve is never known at its second place, and a third output never."""
    curve = np.array([theta["a"], np.nan, 2 * theta["a"]]) + 0.1 * rng.normal(size=3)
    return {"peak": theta["a"] + 0.1 * rng.normal(), "curve": curve, "depth": np.nan}


def named_in_jax(key, theta):
    noise = 0.1 * jax.random.normal(key, (4,))
    curve = jnp.stack([theta["a"] + noise[0], jnp.asarray(jnp.nan), 2 * theta["a"] + noise[2]])
    return {"peak": theta["a"] + noise[3], "curve": curve, "depth": jnp.asarray(jnp.nan)}


@pytest.mark.parametrize("simulator", [named, named_in_jax])
def test_outputs_by_name_keep_their_names(simulator):
    prior = gb.Prior.uniform([0.0], [2.0], ["a"])
    x_o = {"depth": np.nan, "peak": 1.0, "curve": [0.9, np.nan, 2.1]}
    where, observed = gb.where_observed(simulator, x_o)
    assert list(observed) == ["peak", "curve"]
    assert np.array_equal(observed["curve"], [0.9, 2.1])
    simulations = gb.simulate(where, prior, 400, seed=0, progress=False)
    assert simulations.n_failed == 0
    assert simulations.outputs is not None
    assert simulations.outputs.coordinates == ("peak", "curve[0]", "curve[1]")
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(weights={"peak": 2.0}), progress=False)
    # E is the squared distance of the means plus the variance, weighted and divided by three.
    wanted = (2 * (1.2 - 1.0) ** 2 + (1.2 - 0.9) ** 2 + (2.4 - 2.1) ** 2 + 4 * 0.01) / 3
    assert abs(float(cost([1.2], observed)) / wanted - 1) < 0.1
    with pytest.raises(RuntimeError, match=r"values \(at curve\[1\], depth\) were NaN in every output"):
        gb.simulate(simulator, prior, 20, seed=0, progress=False)


def test_observations_by_name_that_do_not_fit():
    with pytest.raises(ValueError, match="no missing values"):
        gb.where_observed(named, {"peak": 1.0})
    with pytest.raises(ValueError, match=r"infinite values \(peak\)"):
        gb.where_observed(named, {"peak": np.inf, "depth": np.nan})
    where, _ = gb.where_observed(named, {"peak": 1.0, "depth": np.nan})
    with pytest.raises(RuntimeError, match="the output has the names peak, curve, depth, the observation peak, depth"):
        gb.simulate(where, gb.Prior.uniform([0.0], [2.0], ["a"]), 5, seed=0, progress=False)
