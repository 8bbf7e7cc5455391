"""The probability of success, against the probabilities by which runs were made to fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genbayes.learning.success import fit_success, logistic_ridge


def probability(model, theta: np.ndarray) -> np.ndarray:
    return np.exp(np.asarray(jax.vmap(model.log_probability)(jnp.asarray(theta, jnp.float32)), np.float64))


def test_logistic_regression_is_that_of_maximum_likelihood() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 2))
    label = (rng.uniform(size=4000) < 1 / (1 + np.exp(-(0.5 + 1.5 * x[:, 0])))).astype(float)
    intercept, slopes = logistic_ridge(x, label, 1e-9)
    # At the maximum the residuals are orthogonal to the features.
    left = label - 1 / (1 + np.exp(-(intercept + x @ slopes)))
    np.testing.assert_allclose([left.sum(), *(x.T @ left)], 0, atol=1e-4)
    # Standard errors are below 0.06.
    np.testing.assert_allclose([intercept, *slopes], [0.5, 1.5, 0.0], atol=0.2)


def test_odds_of_a_known_law_are_found() -> None:
    rng = np.random.default_rng(1)
    theta = rng.uniform(-2, 2, (4000, 2))
    true = 1 / (1 + np.exp(-(1 + 2 * theta[:, 0] - theta[:, 1] ** 2)))
    model, _ = fit_success(theta, rng.uniform(size=4000) < true, seed=0)
    found = probability(model, theta)
    # Five or six coefficients on 4,000 rows: an error of the probability of about 0.02.
    assert np.sqrt(np.mean((found - true) ** 2)) < 0.04
    # Calibrated: in each tenth of the predictions the share of successes, known to 0.024.
    order = np.array_split(np.argsort(found), 10)
    np.testing.assert_allclose([found[rows].mean() for rows in order], [true[rows].mean() for rows in order], atol=0.05)


@pytest.mark.parametrize("kind", ["diagonal", "disc"])
def test_a_sharp_edge_is_sharp(kind: str) -> None:
    rng = np.random.default_rng(2)
    theta = rng.uniform(-2, 2, (3000, 2))

    def depth(values: np.ndarray) -> np.ndarray:
        return values.sum(axis=1) / np.sqrt(2) if kind == "diagonal" else 1.2 - np.linalg.norm(values, axis=1)

    model, _ = fit_success(theta, depth(theta) > 0, seed=0)
    fresh = rng.uniform(-2, 2, (4000, 2))
    found, inside = probability(model, fresh), depth(fresh)
    # 3,000 rows lie 0.07 apart: beyond two such steps from the edge there is no doubt.
    assert np.mean(found[inside < -0.15]) < 0.01
    assert np.mean(found[inside > 0.15]) > 0.99
