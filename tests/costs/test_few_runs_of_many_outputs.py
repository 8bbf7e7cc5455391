"""Of few runs of many outputs polynomials do not find the directions that a Gaussian process can follow."""

import numpy as np
import pytest

import genbayes as gb
from genbayes.costs.forms import HilbertForm
from genbayes.costs.noise_on_scales import NoiseOnScales
from genbayes.learning import means
from genbayes.learning.process_means import ProcessMean

LOW, HIGH = np.array([0.5, 0.05, 0.5]), np.array([3.0, 1.0, 3.0])
TIMES = np.linspace(0.0, 6.0, 400)
NOISE, BETA = 0.8, 60.0


def oscillation(theta: np.ndarray) -> np.ndarray:
    """A damped oscillation of a frequency, a damping and a start at 400 times."""
    frequency, damping, start = (np.asarray(theta)[..., j, None] for j in range(3))
    return start * np.exp(-damping * TIMES) * np.cos(frequency * TIMES)


@pytest.mark.slow
def test_an_oscillation_is_followed_from_200_runs() -> None:
    rng = np.random.default_rng(0)
    theta = rng.uniform(LOW, HIGH, (200, 3))
    simulations = gb.Simulations.from_arrays(theta, oscillation(theta) + NOISE * rng.standard_normal((200, 400)))
    x_o = oscillation(np.array([1.8, 0.3, 2.0])) + NOISE * rng.standard_normal(400)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    assert isinstance(cost.form, HilbertForm)
    assert isinstance(cost.form.mean, ProcessMean)
    assert cost.form.directions is None
    grid = rng.uniform(LOW, HIGH, (50_000, 3))

    def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = np.exp(-BETA * (values - values.min()))
        weight /= weight.sum()
        mean = weight @ grid
        return mean, np.sqrt(weight @ (grid - mean) ** 2)

    exact, sd = moments(np.mean((oscillation(grid) - x_o) ** 2, axis=1))
    found, width = moments(np.asarray(cost(grid, x_o), np.float64))
    # Of seeds 0 to 3 .24 to .38; along the directions of polynomials 1.19, .64, .83, .53.
    assert np.sqrt(np.mean((found - exact) ** 2 / sd**2)) < 0.5
    assert np.all((width / sd > 0.7) & (width / sd < 1.5))


@pytest.mark.slow
def test_the_spread_of_sets_is_regressed(monkeypatch: pytest.MonkeyPatch) -> None:
    # What an unbiased kernel distance has beside its features depends on the parameters, too: a spread of the features
    # alone was off by 0.08 on average here, where the cost's own standard deviation is 0.15.
    monkeypatch.setattr(means, "_is_process_better", lambda *arguments: True)
    rng = np.random.default_rng(0)
    theta = rng.uniform([0.5, 0.1], [3.0, 1.5], (300, 2))
    middle = np.stack([np.cos(3 * theta[:, 0]), np.sin(3 * theta[:, 0])], axis=1)
    x = middle[:, None] + theta[:, 1, None, None] * rng.standard_normal((300, 3, 2))
    distance = gb.distances.MMD(estimator="unbiased")
    cost = gb.fit_cost(gb.Simulations.from_arrays(theta, x), distance, progress=False)
    assert isinstance(cost.form, HilbertForm)
    assert isinstance(cost.form.mean, ProcessMean)
    assert not isinstance(cost.form.spread, NoiseOnScales)


@pytest.mark.parametrize("seed", [4, 5])
def test_a_linear_simulator_has_no_process(seed: int) -> None:
    # At these seeds a process predicts held-out rows better by .3 to .4 % of their squared error, which is chance: over
    # many seeds its costs are off by a fifth more than those of a line.
    task = gb.tasks.linear_gaussian()
    simulations = gb.simulate(task.simulator, task.prior, 300, seed=seed, progress=False)
    cost = gb.fit_cost(simulations, task.distance, progress=False)
    assert isinstance(cost.form, HilbertForm)
    assert not isinstance(cost.form.mean, ProcessMean)
