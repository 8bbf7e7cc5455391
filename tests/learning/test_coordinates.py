"""Parameters are taken as their logarithms where outputs say so."""

import numpy as np
import pytest

from genbayes.learning.coordinates import best_coordinates

RNG = np.random.default_rng(0)
THETA = RNG.uniform([0.0, 1.0], [2.5, 50.0], (500, 2)).astype(np.float32)
GROWTH = THETA[:, 1:] * np.exp(THETA[:, :1] * np.arange(6))


@pytest.mark.parametrize("seed", range(2))
def test_a_size_that_multiplies_is_a_logarithm_and_a_rate_is_not(seed: int) -> None:
    labels = GROWTH * np.exp(0.1 * np.random.default_rng(seed).standard_normal(GROWTH.shape))
    standardise, multiplicative = best_coordinates(THETA, labels)
    np.testing.assert_array_equal(standardise.logarithmic, [0, 1])
    assert multiplicative


@pytest.mark.parametrize("seed", range(2))
def test_what_is_linear_stays_as_it_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = THETA @ np.array([[1.0, 2.0, 0.0], [0.1, -0.2, 0.3]]) + 0.3 * rng.standard_normal((500, 3))
    standardise, multiplicative = best_coordinates(THETA, labels)
    np.testing.assert_array_equal(standardise.logarithmic, [0, 0])
    assert not multiplicative


def test_what_may_be_negative_has_no_logarithm() -> None:
    theta = RNG.uniform(-1, 1, (500, 2)).astype(np.float32)
    standardise, _ = best_coordinates(theta, np.exp(theta))
    np.testing.assert_array_equal(standardise.logarithmic, [0, 0])


@pytest.mark.parametrize("seed", range(3))
def test_noise_that_multiplies_by_much_is_seen_in_100_rows(seed: int) -> None:
    # Log-normal noise of sd 0.8 around a mean that hardly bends: no normal density, with a log link or without, fits.
    rng = np.random.default_rng(seed)
    theta = rng.uniform(0.5, 1.5, (100, 2))
    labels = theta @ rng.uniform(1, 2, (2, 6)) * np.exp(0.8 * rng.standard_normal((100, 6)))
    assert best_coordinates(theta.astype(np.float32), labels).multiplicative
