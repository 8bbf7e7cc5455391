"""Costs of outputs whose values have names: observations, weights, checks and pictures by name."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb

pandas: Any = pytest.importorskip("pandas")

PRIOR = gb.Prior({"CL": dist.Uniform(0.0, 1.0), "V": dist.Uniform(1.0, 2.0)})


def simulator(theta, rng):
    return {"peak": theta["CL"] + 0.1 * rng.standard_normal(), "series": theta["V"] + 0.2 * rng.standard_normal(3)}


def other_order(theta, rng):
    """The same outputs, the other way round."""
    return dict(reversed(simulator(theta, rng).items()))


OBSERVED = {"series": [1.4, 1.5, 1.6], "peak": 0.3}
IN_ORDER = np.array([0.3, 1.4, 1.5, 1.6])


@pytest.fixture(scope="module")
def simulations():
    return gb.simulate(simulator, PRIOR, 1000, seed=0, progress=False)


@pytest.fixture(scope="module")
def cost(simulations):
    distance = gb.distances.MeanSquaredError(weights={"peak": 2.0, "series[1]": 0.5})
    return gb.fit_cost(simulations, distance, progress=False)


def test_weights_go_by_name(cost):
    assert np.asarray(cost.distance.weights).tolist() == [2.0, 1.0, 0.5, 1.0]
    # E[d] = mean over outputs of weight ((mean - x_o)^2 + variance), at CL = 0.5 and V = 1.5.
    away = np.array([0.2, 0.1, 0.0, -0.1]) ** 2 + np.array([0.1, 0.2, 0.2, 0.2]) ** 2
    expected = np.mean(np.array([2.0, 1.0, 0.5, 1.0]) * away)
    # The spread is estimated from 1,000 runs: standard error sqrt(2 / 1000) = 4.5 % of it; three of them.
    assert float(cost(np.array([0.5, 1.5]), OBSERVED)) == pytest.approx(expected, rel=0.14)


@pytest.mark.parametrize(
    "observed",
    [
        OBSERVED,
        {"peak": 0.3, "series": np.array([1.4, 1.5, 1.6])},
        gb.Observation(np.array([1.6, 0.3, 1.5, 1.4]), names=("series[2]", "peak", "series[1]", "series[0]")),
    ],
)
def test_an_observation_by_name_is_the_same_in_any_order(cost, observed):
    posterior = gb.GibbsPosterior(PRIOR, cost, observed, 20.0)
    assert posterior.x_o.tolist() == IN_ORDER.tolist()
    theta = np.array([[0.5, 1.5], [0.1, 1.2]])
    np.testing.assert_array_equal(cost(theta, observed), cost(theta, IN_ORDER))


def test_what_an_observation_by_name_lacks_is_told(cost):
    with pytest.raises(ValueError, match=r"series missing; expected peak, series \(3,\). A missing value is NaN"):
        gb.GibbsPosterior(PRIOR, cost, {"peak": 0.3}, 20.0)
    with pytest.raises(ValueError, match="trough unknown"):
        gb.GibbsPosterior(PRIOR, cost, OBSERVED | {"trough": 1.0}, 20.0)
    unnamed = gb.Cost.exact(lambda theta, x: (theta[0] - x[0]) ** 2, names=("CL", "V"), x_shape=(4,), units="1")
    with pytest.raises(ValueError, match="x_o has names .* have none"):
        gb.GibbsPosterior(PRIOR, unnamed, OBSERVED, 20.0)


def test_a_missing_value_by_name(cost):
    posterior = gb.GibbsPosterior(PRIOR, cost, OBSERVED | {"peak": np.nan}, 20.0)
    assert np.isnan(posterior.x_o).tolist() == [True, False, False, False]


def test_stacks_by_name(cost):
    rows = [OBSERVED, {"peak": 0.7, "series": [1.0, 1.1, 1.2]}]
    stack = gb.GibbsPosteriors(PRIOR, cost, rows, [20.0])
    assert stack.x_o.tolist() == [IN_ORDER.tolist(), [0.7, 1.0, 1.1, 1.2]]
    by_column = {"series": [row["series"] for row in rows], "peak": [0.3, 0.7]}
    assert gb.GibbsPosteriors(PRIOR, cost, by_column, [20.0]).x_o.tolist() == stack.x_o.tolist()
    with pytest.raises(ValueError, match="one row of peak, series"):
        gb.GibbsPosteriors(PRIOR, cost, {"series": [[1, 2, 3]], "peak": [1.0, 2.0]}, [20.0])


def test_new_runs_in_another_order_are_compared_by_name(cost, simulations):
    posterior = gb.GibbsPosterior(PRIOR, cost, OBSERVED, 50.0)
    draws = posterior.sample(400, seed=1)
    check = gb.check_predictive(other_order, posterior, draws, n=100, seed=2, progress=False)
    same = gb.check_predictive(simulator, posterior, draws, n=100, seed=2, progress=False)
    np.testing.assert_allclose(check.x, same.x, rtol=1e-6)
    judged = gb.check(posterior, draws, other_order, simulations, seed=3, progress=False)
    assert judged.evidence.position is not None
    assert list(judged.evidence.position.names[:2]) == ["peak", "series[0]"]
    figure = gb.plots.predictive(check, OBSERVED)
    assert [axis.get_xlabel() for axis in figure.axes if axis.get_visible()][:2] == ["peak", "series[0]"]


def test_a_saved_cost_knows_the_names(cost, tmp_path):
    gb.save(cost, tmp_path / "cost.safetensors")
    again = gb.load(tmp_path / "cost.safetensors")
    assert again.output_names == ("peak", "series[0]", "series[1]", "series[2]")
    assert float(again([0.5, 1.5], OBSERVED)) == float(cost([0.5, 1.5], OBSERVED))


def test_weights_by_name_need_names(simulations):
    distance = gb.distances.MeanAbsoluteError(weights={"peak": 2.0})
    plain = gb.Simulations.from_arrays(simulations.theta, simulations.x)
    with pytest.raises(ValueError, match=r"weights are given by name \(peak\), but .* have no names"):
        gb.fit_cost(plain, distance, progress=False)
    with pytest.raises(ValueError, match=r"weights has trough, which is no output; they are peak, series \(3,\)"):
        gb.fit_cost(simulations, gb.distances.MeanSquaredError(weights={"trough": 2.0}), progress=False)
    with pytest.raises(ValueError, match="whose places in an output it does not know"):
        distance(jnp.ones(4), jnp.ones(4))
    with pytest.raises(ValueError, match="finite numbers of at least 0"):
        gb.distances.MeanSquaredError(weights={"peak": -1.0})


@pytest.mark.slow
def test_a_scale_set_by_few_runs_is_told_by_name():
    rng = np.random.default_rng(0)
    theta = rng.uniform(size=(1000, 1))
    x = {"peak": theta[:, 0], "counts": np.exp(8 * rng.standard_normal(1000))}
    simulations = gb.Simulations.from_arrays(theta, x)
    distance = gb.distances.MeanSquaredError("prior_predictive")
    outcome = gb.fit_cost(simulations, distance, progress=False).outcome
    assert "scale of the output counts is set by a few runs" in str(outcome)


def test_errors_of_scales_and_transforms_are_told_by_name():
    rng = np.random.default_rng(0)
    theta = rng.uniform(size=(300, 1))
    x = {"peak": theta[:, 0] - 0.5, "base": np.ones((300, 2))}
    simulations = gb.Simulations.from_arrays(theta, x)
    for rule in ("prior_predictive", "median"):
        with pytest.raises(ValueError, match=rf"{rule}' is not defined for the outputs base\[0\], base\[1\]: "):
            gb.fit_cost(simulations, gb.distances.MeanSquaredError(rule), progress=False)
    with pytest.raises(ValueError, match=r"is not so at the output peak \("):
        gb.fit_cost(simulations, gb.distances.MeanSquaredError(transform="sqrt"), progress=False)


@pytest.mark.slow
@pytest.mark.long
def test_sensitivity_has_a_group_for_each_named_output():
    def long(theta, rng):
        return {"peak": theta["CL"] + 0.1 * rng.standard_normal(), "series": theta["V"] + rng.standard_normal(40)}

    runs = gb.simulate(long, PRIOR, 500, seed=0, progress=False)
    distance = gb.distances.MeanAbsoluteError("prior_predictive")
    cost = gb.fit_cost(runs, distance, config=gb.FitConfig(members=2, max_epochs=30), progress=False)
    x_o = {"peak": 0.3, "series": np.full(40, 1.5)}
    found = gb.sensitivity(gb.GibbsPosterior(PRIOR, cost, x_o, 10.0), n=300, seed=0)
    assert [group.name for group in found.groups] == ["peak", "series"]
    assert [int(group.members.sum()) for group in found.groups] == [1, 40]
