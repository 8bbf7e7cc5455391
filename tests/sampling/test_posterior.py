"""`GibbsPosterior`: its density, and a clear message for each wrong input."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb

PRIOR = gb.Prior({"a": dist.Uniform(0.0, 2.0), "b": dist.Normal(0.0, 1.0)})


def squares(theta, x):
    return jnp.sum((theta - x) ** 2)


COST = gb.Cost.exact(squares, names=("a", "b"), x_shape=(2,), units="mV^2")
X_O = np.array([0.5, -0.5], np.float32)


def test_log_density_is_prior_minus_beta_cost():
    theta = np.array([[0.3, 1.0], [1.9, -2.0], [2.1, 0.0]], np.float32)
    values = np.asarray(gb.GibbsPosterior(PRIOR, COST, X_O, 3.0).log_density(theta))
    normal = -0.5 * theta[:2, 1] ** 2 - 0.5 * np.log(2 * np.pi)
    expected = normal - np.log(2.0) - 3.0 * ((theta[:2] - X_O) ** 2).sum(axis=1)
    np.testing.assert_allclose(values[:2], expected, rtol=1e-5)
    assert values[2] == -np.inf


def test_log_density_works_inside_jit_and_has_a_gradient():
    posterior = gb.GibbsPosterior(PRIOR, COST, X_O, 3.0)
    theta = jnp.array([[0.3, 1.0], [2.1, 0.0]])
    np.testing.assert_allclose(jax.jit(posterior.log_density)(theta), posterior.log_density(theta), rtol=1e-6)
    # d/da of -3 (a - 0.5)^2, d/db of -b^2 / 2 - 3 (b + 0.5)^2; outside there is no slope, and no NaN.
    gradient = jax.vmap(jax.grad(posterior.log_density))(theta)
    np.testing.assert_allclose(gradient, [[1.2, -10.0], [0.0, 0.0]], rtol=1e-5)


@pytest.mark.parametrize(
    ("x_o", "error", "message"),
    [
        (np.array([0.5, np.nan], np.float32), ValueError, r"x_o has 1 value\(s\) that are NaN or infinite.*\(1,\)"),
        (np.array([np.inf, np.inf], np.float32), ValueError, r"x_o has 2 value\(s\) that are NaN or infinite"),
        (np.zeros(3, np.float32), ValueError, r"x_o has shape \(3,\).*outputs have shape \(2,\)"),
        (np.zeros((1, 2), np.float32), ValueError, r"x_o has shape \(1, 2\)"),
        (np.array(["a", "b"]), TypeError, "x_o must hold numbers"),
    ],
)
def test_wrong_observations(x_o, error, message):
    with pytest.raises(error, match=message):
        gb.GibbsPosterior(PRIOR, COST, x_o, 1.0)


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan"), float("inf")])
def test_wrong_beta(beta):
    with pytest.raises(ValueError, match=r"beta must be a finite number greater than 0, got .*1 / \(mV\^2\)"):
        gb.GibbsPosterior(PRIOR, COST, X_O, beta)


@pytest.mark.parametrize("beta", [1e39, 1e-39, 1e-46])
def test_beta_that_float32_does_not_hold(beta):
    with pytest.raises(
        ValueError, match=rf"between 1.2e-38 and 3.4e\+38, .*float32, got {re.escape(repr(beta))} \(in 1 / \(mV\^2"
    ):
        gb.GibbsPosterior(PRIOR, COST, X_O, beta)
    with pytest.raises(ValueError, match="float32"):
        gb.GibbsPosteriors(PRIOR, COST, X_O[None], sorted([1.0, beta]))


def test_prior_of_other_parameters():
    other = gb.Prior.uniform([0.0, 0.0], [1.0, 1.0], ["b", "a"])
    with pytest.raises(ValueError, match=r"prior has the parameters \(b, a\).*fitted for \(a, b\)"):
        gb.GibbsPosterior(other, COST, X_O, 1.0)


def test_theta_outside_the_prior():
    posterior = gb.GibbsPosterior(PRIOR, COST, X_O, 1.0)
    with pytest.raises(
        ValueError, match=r"1 row\(s\) outside the prior's support, the first at index \(1,\): a = 2.5 not in"
    ):
        posterior.cost_at(np.array([[1.0, 0.0], [2.5, 0.0]], np.float32))
    assert posterior.cost_at(np.array([1.0, 0.0], np.float32)) == pytest.approx(0.5)


@pytest.mark.parametrize("n", [0, -3, True])
def test_wrong_number_of_draws(n):
    with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
        gb.GibbsPosterior(PRIOR, COST, X_O, 1.0).sample(n, seed=0)


def test_missing_beta_is_explained():
    with pytest.raises(TypeError, match=r"beta is missing, and has no default.*1 / \(mV\^2\)"):
        gb.GibbsPosterior(PRIOR, COST, X_O)


def test_sampler_given_as_its_class():
    with pytest.raises(TypeError, match=r"sampler must be a sampler such as genbayes.SMC\(\)"):
        gb.GibbsPosterior(PRIOR, COST, X_O, 1.0).sample(10, seed=0, sampler=gb.NUTS)  # pyright: ignore


def test_prior_wider_than_the_simulations_is_told():
    narrow = gb.Prior.uniform([0.0], [1.0], ["a"])
    theta = np.asarray(narrow.sample(300, seed=0))
    simulations = gb.Simulations.from_arrays(theta, theta + 1, names=["a"])
    quick = gb.FitConfig(members=1, max_epochs=1)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), config=quick, progress=False)
    assert gb.GibbsPosterior(narrow, cost, np.ones(1), 1.0).outcome.ok
    # A third of U(0, 1.5) lies above 1.
    wide = gb.GibbsPosterior(gb.Prior.uniform([0.0], [1.5], ["a"]), cost, np.ones(1), 1.0)
    assert "3" in str(wide.outcome)[:2]
    assert "of the prior lies outside the range of the simulated parameters" in str(wide.outcome)
    assert "lies outside the range" in str(wide.sample(100, seed=0).outcome)
