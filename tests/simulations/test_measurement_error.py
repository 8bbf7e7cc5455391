"""Deterministic simulators are noticed, and the error of a measurement can be added to any."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.simulations.simulators import Simulator

PRIOR = gb.Prior.uniform([-1, -1], [1, 1])


def line(theta, rng):
    return np.array([theta[0] + theta[1], theta[0], 2.0])


class Lines(Simulator):
    """A kind of simulator without random numbers."""

    kind = "lines"
    usage = "Lines()"
    name = "lines"  # pyright: ignore[reportAssignmentType]

    def check_names(self, names):
        if names != ("a", "b"):
            raise ValueError("only a and b")

    def run(self, job):
        yield [(int(row), line(inputs, None)) for row, inputs in zip(job.rows, job.inputs, strict=True)]


def line_of_jax(key, theta):
    return jnp.stack([theta[0] + theta[1], theta[0], 2.0 + 0 * theta[1]])


def noisy_line_of_jax(key, theta):
    return line_of_jax(key, theta) + jax.random.normal(key, (3,))


@pytest.mark.parametrize("simulator", [line, line_of_jax])
def test_a_deterministic_simulator_is_noticed(simulator, tmp_path):
    simulations = gb.simulate(simulator, PRIOR, 300, seed=0, store=tmp_path / "runs.zarr", progress=False)
    assert simulations.deterministic
    assert "deterministic" in simulations.summary()
    assert gb.Simulations.open(tmp_path / "runs.zarr").deterministic
    assert simulations.joined(simulations).deterministic


@pytest.mark.parametrize(
    "simulator",
    [
        lambda theta, rng: line(theta, rng) + rng.standard_normal(3),
        noisy_line_of_jax,
        gb.with_measurement_error(line, 0.1),
        gb.with_measurement_error(line_of_jax, 0.1),
    ],
)
def test_one_with_noise_is_not(simulator):
    assert not gb.simulate(simulator, PRIOR, 300, seed=0, progress=False).deterministic


def test_a_kind_of_simulator_is_measured_too():
    measured = gb.with_measurement_error(Lines(), [0.3, 0.0, 1.0])
    prior = gb.Prior.uniform([-1, -1], [1, 1], names=["a", "b"])
    made = gb.simulate(measured, prior, 2000, seed=0, progress=False)
    assert made.simulator == "lines + error"
    error = made.x - np.stack([line(theta, None) for theta in made.theta])
    # Standard deviations of 2000 normal numbers are known to 1.6 %: four times that.
    np.testing.assert_allclose(error.std(axis=0), [0.3, 0.0, 1.0], rtol=0.065, atol=1e-6)
    assert abs(np.corrcoef(error[:, 0], error[:, 2])[0, 1]) < 4 / np.sqrt(2000)
    again = gb.simulate(measured, prior, 300, seed=0, batch_size=7, progress=False)
    np.testing.assert_array_equal(again.x, made.x[:300])
    assert not made.deterministic
    with pytest.raises(ValueError, match="only a and b"):
        gb.simulate(measured, PRIOR, 5, seed=0, progress=False)
    relative = gb.with_measurement_error(Lines(), lambda x: 0.1 * abs(x))
    assert gb.simulate(relative, prior, 5, seed=0, progress=False).ok.all()
    # Kinds around functions are measured as these functions are.
    of_function = gb.with_measurement_error(gb.PythonSimulator(line), 0.3)
    same = gb.simulate(gb.with_measurement_error(line, 0.3), PRIOR, 5, seed=0, progress=False)
    np.testing.assert_array_equal(gb.simulate(of_function, PRIOR, 5, seed=0, progress=False).x, same.x)


@pytest.mark.parametrize("simulator", [line, line_of_jax])
@pytest.mark.parametrize("sd", [0.3, [0.3, 0.0, 1.0], lambda x: 0.1 * abs(x)], ids=["one", "each", "relative"])
def test_errors_have_the_given_standard_deviation(simulator, sd: Any):
    theta = np.tile([[0.5, 0.2]], (4000, 1))
    noisy = gb.simulate_at(gb.with_measurement_error(simulator, sd), theta, seed=0, progress=False)
    exact = line(theta[0], None)
    expected = np.broadcast_to(np.asarray(sd(exact) if callable(sd) else sd), 3)
    # The standard error of a standard deviation of 4,000 is 1.1 %; of the mean 1.6 % of it.
    np.testing.assert_allclose(noisy.x.std(axis=0), expected, rtol=0.05, atol=1e-6)
    assert np.all(np.abs(noisy.x.mean(axis=0) - exact) <= 4.5 * expected / np.sqrt(4000) + 1e-6)
    assert noisy.simulator.endswith("+ error")
    assert abs(np.corrcoef(noisy.x[:, 0], noisy.x[:, 2])[0, 1]) < 0.08 or expected[0] == 0


@pytest.mark.parametrize("sd", [-1.0, 0.0, [np.nan, 1.0]])
def test_no_standard_deviation_is_refused(sd):
    with pytest.raises(ValueError, match="sd must be finite"):
        gb.with_measurement_error(line, sd)


@pytest.fixture(scope="module")
def solved():
    simulations = gb.simulate(line, PRIOR, 400, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    ladder = gb.temperature.ladder(PRIOR, cost, np.array([0.3, 0.1, 2.0]), (1.0, 100.0), seed=0, progress=False)
    return simulations, cost, ladder


@pytest.mark.slow
@pytest.mark.long
def test_rules_that_need_noise_refuse_without_any(solved):
    simulations, cost, ladder = solved
    with pytest.raises(ValueError, match=r"deterministic, .*with_measurement_error"):
        gb.temperature.noise_floor(ladder, simulator=line, seed=1, progress=False)
    with pytest.raises(ValueError, match=r"deterministic, .*with_measurement_error"):
        gb.temperature.noise_floor(ladder, simulations=simulations, seed=1, progress=False)
    with pytest.raises(ValueError, match=r"deterministic, .*with_measurement_error"):
        gb.temperature.calibrated(PRIOR, cost, simulations, seed=1, progress=False)
    assert cost.settings["deterministic"]


def test_with_the_error_of_the_data_the_floor_is_reached(solved):
    """Two runs are 2 sd^2 apart, and the expected cost of data with such an error tends to 2 sd^2 as well."""
    _, _, ladder = solved
    noisy = gb.with_measurement_error(line, 0.3)
    choice = gb.temperature.noise_floor(ladder, simulator=noisy, n=200, seed=1, progress=False)
    assert choice.evidence["replicate"] == pytest.approx(2 * 0.3**2, rel=0.25)
