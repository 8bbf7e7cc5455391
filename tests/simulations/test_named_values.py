"""Simulators that know their parameters by name, and that name what they return."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb

pandas: Any = pytest.importorskip("pandas")
xarray: Any = pytest.importorskip("xarray")

PRIOR = gb.Prior({"CL": dist.Uniform(0.0, 1.0), "mu": dist.Uniform(jnp.zeros(2), 1.0)})
CONDITIONS = gb.Prior({"dose": dist.Uniform(1.0, 2.0)})


def of_python(theta, rng):
    noise = rng.standard_normal()
    return {"peak": theta["CL"] + noise, "trough": theta["mu"] - noise}


def by_position(theta, rng):
    noise = rng.standard_normal()
    return np.array([theta[0] + noise, theta[1] - noise, theta[2] - noise])


def of_jax(key, theta):
    noise = jax.random.normal(key)
    return {"peak": theta["CL"] + noise, "trough": theta["mu"] - noise}


def of_jax_by_position(key, theta):
    noise = jax.random.normal(key)
    return jnp.array([theta[0] + noise, theta[1] - noise, theta[2] - noise])


def as_series(theta, rng):
    return pandas.Series(by_position(theta, rng), index=["peak", "trough[0]", "trough[1]"])


def as_frame(theta, rng):
    return pandas.DataFrame({"prey": theta["mu"], "predators": theta["mu"] + 1})


def as_dataset(theta, rng):
    return xarray.Dataset({"prey": ("t", theta["mu"]), "predators": ("t", theta["mu"] + 1)})


@pytest.mark.parametrize(("named", "plain"), [(of_python, by_position), (of_jax, of_jax_by_position)])
def test_names_change_no_number(named, plain):
    simulations = gb.simulate(named, PRIOR, 50, seed=3, progress=False)
    expected = gb.simulate(plain, PRIOR, 50, seed=3, progress=False)
    np.testing.assert_allclose(simulations.x, expected.x, rtol=1e-6)
    assert simulations.outputs is not None
    assert simulations.outputs.coordinates == ("peak", "trough[0]", "trough[1]")
    assert expected.outputs is None
    assert simulations.to_xarray()["x_dim_0"].values.tolist() == ["peak", "trough[0]", "trough[1]"]
    assert "trough" in simulations._repr_html_()


@pytest.mark.parametrize("simulator", [as_frame, as_dataset])
def test_tables_are_outputs(simulator):
    simulations = gb.simulate(simulator, PRIOR, 5, seed=0, progress=False)
    np.testing.assert_allclose(simulations.x[:, :2], simulations.theta[:, 1:])
    np.testing.assert_allclose(simulations.x[:, 2:], simulations.theta[:, 1:] + 1)
    assert simulations.outputs is not None
    assert simulations.outputs.in_words == "prey (2,), predators (2,)"


def test_workers_send_names_and_give_the_same():
    alone = gb.simulate(of_python, PRIOR, 30, seed=1, progress=False)
    together = gb.simulate(of_python, PRIOR, 30, seed=1, workers=2, progress=False)
    np.testing.assert_array_equal(alone.x, together.x)
    assert alone.outputs == together.outputs


def test_conditions_are_known_by_name():
    def python(theta, rng, conditions):
        return {"level": theta["CL"] * conditions["dose"]}

    def traced(key, theta, conditions):
        return {"level": theta["CL"] * conditions["dose"]}

    for simulator in (python, traced):
        simulations = gb.simulate(simulator, PRIOR, 20, seed=0, conditions=CONDITIONS, progress=False)
        np.testing.assert_allclose(
            simulations.x[:, 0], simulations.theta[:, 0] * simulations.conditions[:, 0], rtol=1e-6
        )


def test_a_store_keeps_names_and_is_resumed_in_their_order(tmp_path):
    path = tmp_path / "runs.zarr"
    gb.simulate(of_python, PRIOR, 10, seed=2, store=path, progress=False)

    def other_order(theta, rng):
        return dict(reversed(of_python(theta, rng).items()))

    other_order.__module__, other_order.__qualname__ = of_python.__module__, of_python.__qualname__
    resumed = gb.simulate(other_order, PRIOR, 20, seed=2, store=path, progress=False)
    whole = gb.simulate(of_python, PRIOR, 20, seed=2, progress=False)
    np.testing.assert_array_equal(resumed.x, whole.x)
    assert gb.Simulations.open(path).outputs == whole.outputs
    resumed.save(tmp_path / "copy.zarr")
    assert gb.Simulations.open(tmp_path / "copy.zarr").outputs == whole.outputs


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda output: {"peak": output["peak"], "low": output["trough"]}, "trough missing; low unknown"),
        (lambda output: np.zeros(3), "no names, expected peak, trough"),
    ],
)
def test_a_store_refuses_outputs_of_other_names(tmp_path, change: Callable, told: str):
    path = tmp_path / "runs.zarr"
    gb.simulate(of_python, PRIOR, 10, seed=2, store=path, progress=False)

    def changed(theta, rng):
        return change(of_python(theta, rng))

    changed.__module__, changed.__qualname__ = of_python.__module__, of_python.__qualname__
    with pytest.raises(ValueError, match=told):
        gb.simulate(changed, PRIOR, 20, seed=2, store=path, progress=False)


def test_a_run_with_other_names_is_a_failure():
    def sometimes(theta, rng):
        return {"peak": theta["CL"]} if theta["CL"] < 0.5 else {"maximum": theta["CL"]}

    simulations = gb.simulate(sometimes, PRIOR, 100, seed=0, progress=False)
    low = simulations.theta[:, 0] < 0.5
    # The first row decides which names are right.
    assert np.array_equal(simulations.ok, low == low[0])
    assert "other names" in simulations.failures()[0][1]


def test_an_unknown_parameter_is_told_with_those_that_there_are():
    with pytest.raises(RuntimeError, match="there is no 'cl'; there are CL, mu"):
        gb.simulate(lambda theta, rng: theta["cl"], PRIOR, 5, seed=0, progress=False)
    with pytest.raises(ValueError, match="KeyError: 'cl'"):
        gb.simulate(lambda key, theta: theta["cl"], PRIOR, 5, seed=0, progress=False)


def test_an_error_in_jax_by_position_is_the_one_that_is_told():
    with pytest.raises(ValueError, match=r"ConcretizationTypeError|TracerBoolConversionError"):
        gb.simulate(lambda key, theta: theta if theta[0] > 0 else -theta, PRIOR, 5, seed=0, progress=False)


@pytest.mark.parametrize("simulator", [of_python, of_jax])
def test_measurement_error_goes_by_name(simulator):
    noisy = gb.with_measurement_error(simulator, {"trough": 0.5})
    simulations = gb.simulate(noisy, PRIOR, 4000, seed=0, progress=False)
    # The peak is CL + noise of variance 1; troughs are mu - noise plus an error of variance 1/4.
    residual = simulations.x - simulations.theta
    # Relative standard error of a variance of 4,000 normal numbers: sqrt(2 / 4,000) = 2.2 %; five of them.
    np.testing.assert_allclose(residual.var(axis=0), [1.0, 1.25, 1.25], rtol=0.11)
    with pytest.raises((RuntimeError, ValueError), match="low is given, which is no output; they are peak, trough"):
        gb.simulate(gb.with_measurement_error(simulator, {"low": 0.5}), PRIOR, 5, seed=0, progress=False)


def test_arrays_by_name_are_taken_over():
    theta = pandas.DataFrame({"V": [1.0, 2.0, 3.0], "CL": [0.1, 0.2, 0.3]})
    x = {"peak": [1.0, 2.0, 3.0], "series": [[1, 2], [3, 4], [5, 6]]}
    simulations = gb.Simulations.from_arrays(theta, x)
    assert simulations.names == ("V", "CL")
    assert simulations.x.tolist() == [[1, 1, 2], [2, 3, 4], [3, 5, 6]]
    prior = gb.Prior({"CL": dist.Uniform(0.0, 1.0), "V": dist.Uniform(0.0, 5.0)})
    assert gb.Simulations.from_arrays(theta, x, prior=prior).theta[0].tolist() == [np.float32(0.1), 1.0]
    with pytest.raises(ValueError, match=r"columns V, CL, expected one for each of CL, k"):
        gb.Simulations.from_arrays(theta, x, names=("CL", "k"))
    with pytest.raises(ValueError, match=r"series must have one value or array per row"):
        gb.Simulations.from_arrays(theta, x | {"series": [[1, 2]]})


def test_runs_are_joined_by_name():
    theta = np.arange(3.0)[:, None]
    first = gb.Simulations.from_arrays(theta, {"a": theta[:, 0], "b": theta[:, 0] + 10})
    second = gb.Simulations.from_arrays(theta, {"b": theta[:, 0] + 10, "a": theta[:, 0]})
    assert first.joined(second).x[3:].tolist() == first.x.tolist()
    third = gb.Simulations.from_arrays(theta, {"c": theta[:, 0], "a": theta[:, 0]})
    with pytest.raises(ValueError, match="b missing; c unknown"):
        first.joined(third)
