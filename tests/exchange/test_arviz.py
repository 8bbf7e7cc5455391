"""Draws in ArviZ: the version that is installed takes them, and its groups hold the right numbers under their names."""

import sys
from importlib.util import find_spec

import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import genbayes as gb
from genbayes.exchange.arviz_groups import arviz_groups

PRIOR = gb.Prior({"rate": dist.Gamma(2.0, 1.0), "mu": dist.Normal(np.zeros(2), 1.0), "k": dist.DiscreteUniform(1, 4)})
DAYS = ["mon", "tue", "wed"]


def squared(theta, x):
    return (theta[0] - x[0]) ** 2 + (theta[1] + theta[2] - x[2]) ** 2


@pytest.fixture(scope="module")
def posterior() -> gb.GibbsPosterior:
    x_o = np.array([1.0, 0.0, 3.0], np.float32)
    cost = gb.Cost.exact(squared, names=PRIOR.names, x_shape=(3,), units="squared data units")
    return gb.GibbsPosterior(PRIOR, cost, x_o, beta=5.0)


@pytest.fixture(scope="module")
def draws(posterior) -> gb.Draws:
    theta = np.asarray(PRIOR.sample(200, seed=3)).reshape(2, 100, 4)
    cost = np.asarray(posterior.cost_at(theta))
    return gb.Draws(
        theta, cost, PRIOR.names, 5.0, posterior.x_o, "SMC", 0, integer_names=("k",), conditions={"dose": 2.0}
    )


@pytest.mark.skipif(find_spec("arviz") is None, reason="ArviZ is not installed")
def test_the_installed_arviz_summarises_draws(draws, posterior) -> None:
    data = gb.to_arviz(draws, posterior)
    found = sys.modules["arviz"].summary(data, round_to="none")
    assert list(found.index) == ["rate", "mu[0]", "mu[1]", "k"]
    np.testing.assert_allclose(found["mean"], draws.flat.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found["sd"], draws.flat.std(axis=0, ddof=1), rtol=1e-2)
    np.testing.assert_allclose(found["ess_bulk"], draws.ess_bulk, rtol=0.05)


def test_groups_hold_densities_prior_and_new_runs(draws, posterior) -> None:
    runs = np.arange(15.0).reshape(5, 3)
    groups = arviz_groups(draws, posterior, runs, {"day": DAYS, "axis": ["a", "b"]}, {"x": ["day"], "mu": "axis"})
    assert set(groups) == {
        *("posterior", "prior", "log_prior", "sample_stats"),
        *("observed_data", "posterior_predictive", "constant_data"),
    }
    theta = draws.theta.astype(np.float64)
    log_prior = np.log(theta[..., 0]) - theta[..., 0] - 0.5 * np.sum(theta[..., 1:3] ** 2, axis=-1) - np.log(2 * np.pi)
    log_prior -= np.log(4)
    np.testing.assert_allclose(groups["log_prior"]["log_prior"], log_prior, rtol=1e-4, atol=1e-4)
    by_hand = log_prior - 5 * ((theta[..., 0] - 1) ** 2 + (theta[..., 1] + theta[..., 2] - 3) ** 2)
    np.testing.assert_allclose(groups["sample_stats"]["lp"], by_hand, rtol=1e-4, atol=1e-3)
    assert groups["posterior"]["k"].dtype.kind == "i"
    assert groups["posterior"]["mu"].dims == ("chain", "draw", "axis")
    np.testing.assert_array_equal(groups["posterior"]["mu"].sel(axis="b"), draws.theta[..., 2])
    assert groups["prior"]["rate"].shape == (2, 100)
    assert groups["posterior_predictive"]["x"].dims == ("chain", "draw", "day")
    np.testing.assert_array_equal(groups["posterior_predictive"]["x"][0], runs)
    assert groups["observed_data"]["x"].sel(day="wed") == 3.0
    assert groups["constant_data"]["dose"] == 2.0


def test_outputs_with_names_are_variables() -> None:
    def simulator(theta, rng):
        return {"peak": theta["rate"] + rng.normal(), "path": theta["rate"] * np.ones(2)}

    prior = gb.Prior({"rate": dist.Normal(0.0, 1.0)})
    runs = gb.simulate(simulator, prior, 60, seed=0, progress=False)
    config = gb.FitConfig(members=1, width=4, depth=1, max_epochs=2)
    cost = gb.fit_cost(runs, gb.distances.MeanSquaredError(), config=config, progress=False)
    posterior = gb.GibbsPosterior(prior, cost, {"peak": 1.0, "path": [2.0, np.nan]}, beta=1.0)
    draws = gb.Draws(np.zeros((1, 4, 1), np.float32), np.zeros((1, 4)), ("rate",), 1.0, posterior.x_o, "SMC", 0)
    groups = arviz_groups(draws, posterior, runs.x, None, None)
    assert groups["observed_data"]["peak"] == 1.0
    np.testing.assert_array_equal(groups["observed_data"]["path"], [2.0, np.nan])
    assert groups["posterior_predictive"]["path"].dims == ("chain", "draw", "path_dim_0")


def test_a_tree_for_arviz_1_and_inference_data_before(draws, monkeypatch) -> None:
    class New:
        """ArviZ from 1.0 on takes trees; InferenceData is another name of them there."""

        __version__ = "1.3.0"
        InferenceData = xr.DataTree

    monkeypatch.setitem(sys.modules, "arviz", New)
    tree = gb.to_arviz(draws)
    assert isinstance(tree, xr.DataTree)
    np.testing.assert_array_equal(tree["posterior"]["rate"], draws["rate"])
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r'pip install "genbayes\[arviz\]"'):
        gb.to_arviz(draws)


def test_what_does_not_fit_is_refused(draws, posterior) -> None:
    other = gb.GibbsPosterior(PRIOR, posterior.cost, posterior.x_o, beta=6.0)
    with pytest.raises(ValueError, match="give the posterior that they were sampled from"):
        arviz_groups(draws, other, None, None, None)
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(k, 3\)"):
        arviz_groups(draws, posterior, np.ones(3), None, None)
    with pytest.raises(ValueError, match="'day' has 2 labels, expected 3"):
        arviz_groups(draws, posterior, None, {"day": DAYS[:2]}, {"x": ["day"]})
    with pytest.raises(ValueError, match=r"'x' has the shape \(3,\) and needs 1 names"):
        arviz_groups(draws, posterior, None, None, {"x": ["day", "hour"]})
    with pytest.raises(ValueError, match=r"coords has \['week'\]"):
        arviz_groups(draws, posterior, None, {"week": [1]}, None)
    with pytest.raises(TypeError, match="Of a stack take one"):
        arviz_groups(draws.theta, None, None, None, None)
