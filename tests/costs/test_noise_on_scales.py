"""The spread around a Gaussian process follows the means on the scales where noise is even, and parameters in sight."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.costs.forms import HilbertForm
from genbayes.costs.noise_on_scales import NoiseOnScales, fit_noise_on_scales
from genbayes.costs.noise_powers import noise_powers
from genbayes.learning.folds import Folds
from genbayes.learning.layers import Standardiser
from genbayes.learning.polynomial_means import RegressionData
from genbayes.learning.process_means import Processes, processes_fitted
from genbayes.learning.shared_noise import SharedNoise

LOW, HIGH = np.array([0.5, 20.0, 0.05]), np.array([2.0, 200.0, 0.6])
DAYS = np.arange(1.0, 9.0)
FOLDS = Folds.make(np.arange(300), gb.FitConfig(), 0)


def growth(theta: np.ndarray) -> np.ndarray:
    """Logistic growth from 5 individuals at a rate to a capacity."""
    rate, capacity = np.asarray(theta)[..., 0, None], np.asarray(theta)[..., 1, None]
    return capacity / (1 + (capacity / 5 - 1) * np.exp(-rate * DAYS))


def fitted(theta: np.ndarray, x: np.ndarray) -> Processes:
    standardise = Standardiser.fit(theta.astype(np.float32))
    data = RegressionData.of(theta.astype(np.float32), x.astype(np.float32), FOLDS, standardise)
    found = processes_fitted(data, SharedNoise.independent(len(theta)))
    assert found is not None
    return found


def variances(spread: NoiseOnScales, process: Processes, theta: np.ndarray) -> np.ndarray:
    def one(value: jax.Array) -> jax.Array:
        return spread.mean_of_members(value, process.ensemble.mean_of_members(value))

    return np.asarray(jax.vmap(one)(jnp.asarray(theta, jnp.float32)), np.float64)


def spread_of(process: Processes, theta: np.ndarray, x: np.ndarray) -> NoiseOnScales:
    predicted = np.asarray(jax.vmap(process.ensemble.mean_of_members)(jnp.asarray(theta, jnp.float32)), np.float64)
    squares = np.maximum((x - predicted) * (x - process.left_out), 0.0)
    return fit_noise_on_scales(
        process.ensemble,
        theta.astype(np.float32),
        x,
        process.left_out,
        squares,
        FOLDS,
        SharedNoise.independent(len(theta)),
    )


@pytest.mark.parametrize("kind", ["log-normal", "counts"])
def test_the_variance_follows_the_mean(kind: str) -> None:
    rng = np.random.default_rng(0)
    theta = rng.uniform(LOW, HIGH, (300, 3))
    mean = growth(theta)
    if kind == "log-normal":
        x = mean * np.exp(0.2 * rng.standard_normal(mean.shape))
        exact = mean**2 * (np.exp(0.08) - np.exp(0.04))
    else:
        x, exact = rng.poisson(mean).astype(float), mean
    process = fitted(theta, x)
    spread = spread_of(process, theta, x)
    assert np.all(np.asarray(spread.power) == {"log-normal": 2, "counts": 1}[kind])
    ratio = variances(spread, process, theta) / exact
    # A level of 300 squared normals has a standard error of sqrt(2 / 300) = 0.08; logs of ratios within three of them,
    # and what the mean is off by.
    assert np.all(np.abs(np.log(np.median(ratio, axis=0))) < 0.27)
    assert np.std(np.log(ratio)) < 0.2


def test_the_power_is_that_of_the_noise_not_of_the_scale_that_a_function_needs() -> None:
    rng = np.random.default_rng(5)
    theta = rng.uniform(0.0, 1.0, (300, 2))
    # Over three decades the means are exponentials, and best regressed as logarithms.
    mean = np.exp(theta @ rng.uniform(1.0, 4.0, (2, 10)))
    x = rng.poisson(mean).astype(float)
    left_out = mean * np.exp(0.1 * rng.standard_normal(mean.shape))
    powers = noise_powers(x, left_out, (x - left_out) ** 2, SharedNoise.independent(300))
    # A process that misses means by a tenth adds 0.01 mean^2 to a variance of mean: more than that from 100 on.
    np.testing.assert_array_equal(powers.power, 1)
    np.testing.assert_array_equal(powers.added, 0.0)


def test_features_with_noise_of_another_kind_have_their_own_power() -> None:
    rng = np.random.default_rng(6)
    mean = np.exp(rng.uniform(1.0, 5.0, (300, 9)))
    x = np.concatenate([rng.poisson(mean[:, :6]), mean[:, 6:] + 5.0 + rng.standard_normal((300, 3))], axis=1)
    expected = np.concatenate([mean[:, :6], mean[:, 6:] + 5.0], axis=1)
    powers = noise_powers(x, expected, (x - expected) ** 2, SharedNoise.independent(300))
    np.testing.assert_array_equal(powers.power, [1] * 6 + [0] * 3)


def test_the_level_of_heavy_noise_is_not_cut() -> None:
    rng = np.random.default_rng(7)
    mean = np.exp(rng.uniform(1.0, 3.0, (2000, 12)))
    x = mean * np.exp(0.8 * rng.standard_normal(mean.shape))
    expected = mean * np.exp(0.32)
    powers = noise_powers(x, expected, (x - expected) ** 2, SharedNoise.independent(2000))
    np.testing.assert_array_equal(powers.power, 2)
    # The limit leaves 0.93 of the variance, which is e^0.64 - 1 in units of the squared mean. So limited, squares have
    # a relative standard deviation of 3.8, the mean of 12 times 2,000 one of 3.8 / sqrt(24,000) = 0.025: three of
    # these. A limit of three standard deviations of the outputs themselves would leave 0.62.
    level = powers.levels(np.arange(2000)).mean() / np.expm1(0.64)
    assert abs(level - 0.93) < 0.075


def test_outputs_below_zero_have_a_limit_too() -> None:
    rng = np.random.default_rng(8)
    expected = rng.uniform(-3.0, 3.0, (400, 6))
    x = expected + rng.standard_normal(expected.shape)
    x[::40] += 30.0
    powers = noise_powers(x, expected, (x - expected) ** 2, SharedNoise.independent(400))
    np.testing.assert_array_equal(powers.power, 0)
    # Ten rows of 400 count 9 each: 0.2 more than 1, give or take 3 sqrt(2 / 2400) = 0.09; without the limit 23.
    level = powers.levels(np.arange(400))
    assert abs(level.mean() - 1.2) < 0.1


def test_outputs_without_noise_or_that_are_always_zero_are_no_obstacle() -> None:
    expected = np.random.default_rng(9).uniform(1.0, 2.0, (300, 4))
    expected[:, 3] = 0.0
    x = expected.copy()
    x[0, 0] += 1e-9
    powers = noise_powers(x, expected, (x - expected) ** 2, SharedNoise.independent(300))
    assert np.all(powers.levels(np.arange(300)) < 1e-18)


def test_a_parameter_that_is_the_noise_is_seen() -> None:
    rng = np.random.default_rng(1)
    theta = rng.uniform(LOW, HIGH, (300, 3))
    mean = growth(theta)
    x = mean * np.exp(theta[:, 2:] * rng.standard_normal(mean.shape))
    process = fitted(theta, x)
    ratio = np.log(variances(spread_of(process, theta, x), process, theta) / (mean**2 * theta[:, 2:] ** 2)).mean(axis=1)
    middle = (theta[:, 2] > 0.15) & (theta[:, 2] < 0.5)
    # Without the factor the ratio would change by log((0.5 / 0.15)^2) = 2.4 over these rows.
    slope = np.polyfit(theta[middle, 2], ratio[middle], 1)[0]
    assert abs(slope * 0.35) < 0.6


def test_rows_that_the_mean_misses_are_no_noise() -> None:
    rng = np.random.default_rng(2)
    theta = rng.uniform(LOW, HIGH, (300, 3))
    mean = growth(theta)
    x = mean * np.exp(0.2 * rng.standard_normal(mean.shape))
    process = fitted(theta, x)
    clean = np.asarray(spread_of(process, theta, x).level).mean(axis=0)
    missed = x.copy()
    missed[::33] *= 5.0
    assert process.left_out is not None
    level = np.asarray(spread_of(process, theta, missed).level).mean(axis=0)
    # Ten rows at three standard deviations of logarithms add (10 / 300) ((e^0.6 - 1) / 0.2)^2 = 0.56; without a limit
    # they would add some 10 / 300 (4 / 0.2)^2 = 13.
    assert np.all(level < 1.8 * clean)


@pytest.mark.slow
def test_the_posterior_of_a_noise_parameter_from_100_runs(tmp_path: Path) -> None:
    def simulate(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        mean = growth(np.asarray(theta))
        return mean * np.exp(np.asarray(theta)[2] * rng.standard_normal(mean.shape))

    prior = gb.Prior.uniform(LOW, HIGH, ["rate", "capacity", "noise"])
    simulations = gb.simulate(simulate, prior, 100, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError("prior_predictive"), progress=False)
    assert isinstance(cost.form, HilbertForm)
    assert isinstance(cost.form.spread, NoiseOnScales)
    x_o = simulate(np.array([1.0, 100.0, 0.3]), np.random.default_rng(5))
    theta = np.random.default_rng(6).uniform(LOW, HIGH, (100_000, 3))
    mean, square = growth(theta), theta[:, 2:] ** 2
    variance, mean = mean**2 * (np.exp(2 * square) - np.exp(square)), mean * np.exp(square / 2)
    distance = cost.distance
    assert isinstance(distance, gb.distances.MeanSquaredError)
    scale = np.asarray(distance.scale)
    weight = np.exp(-40 * np.mean((variance + (mean - x_o) ** 2) / scale**2, axis=1))
    weight /= weight.sum()
    exact = weight @ theta
    deviation = np.sqrt(weight @ (theta - exact) ** 2)
    posterior = gb.GibbsPosterior(prior, cost, x_o, 40.0)
    draws = np.asarray(posterior.sample(2000, seed=1))
    # A spread that does not know of the noise leaves its mean off by 3 and more; a hundred runs leave means open by
    # half of one, typically: three times that.
    assert np.all(np.abs(draws.mean(axis=0) - exact) / deviation < 1.5)
    again = gb.load(gb.save(cost, tmp_path / "cost.safetensors"))
    np.testing.assert_array_equal(np.asarray(again(theta[:50], x_o)), np.asarray(cost(theta[:50], x_o)))
