"""The simulator-in-the-loop sampler of benchmarks/exact_gibbs.py, against quadrature on a simulator in closed form."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import genbayes as gb

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "exact_gibbs.py"
BOUNDS = np.array([[-2.0, 2.0], [0.01, 0.6]])
X_O = np.array([0.6, 0.0], np.float32)
BETA = 12.0


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("exact_gibbs", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


def simulator(key: Any, theta: Any) -> jax.Array:
    """Location plus noise, and a scale that decides how noisy it is: cost and noise both vary over the posterior."""
    return jnp.stack([theta[0] + theta[1] * jax.random.normal(key), jnp.maximum(0.4 - theta[1], 0.0)])


def quadrature(beta: float, bias: float = 0.0) -> tuple[float, float]:
    """Mean cost and mean scale under exp(-beta E[d] + bias * Var[d]); |N(m, s)| is a folded normal variable."""
    location, scale = np.meshgrid(
        *(low + (high - low) * (np.arange(800) + 0.5) / 800 for low, high in BOUNDS), indexing="ij"
    )
    shift = location - X_O[0]
    folded = scale * np.sqrt(2 / np.pi) * np.exp(-((shift / scale) ** 2) / 2)
    folded += shift * (1 - 2 * stats.norm.cdf(-shift / scale))
    cost = (folded + np.maximum(0.4 - scale, 0.0)) / 2
    variance = (shift**2 + scale**2 - folded**2) / 4
    density = np.exp(-beta * cost + bias * variance)
    density /= density.sum()
    return float((density * cost).sum()), float((density * scale).sum())


def estimate(script: ModuleType, *, correct: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Mean cost and mean scale of 16 independent populations at BETA."""
    settings = script.Particles(
        candidates=1024, particles=1024, populations=16, repeats=16, screening=2, moves=12, rungs=(4.0, 7.0, BETA)
    )
    runs = script.Runs(simulator, gb.distances.MeanAbsoluteError(), seed=0, batch=8192)
    theta = np.random.default_rng(1).uniform(*BOUNDS.T, size=(100_000, 2)).astype(np.float32)
    single = runs(theta, X_O, 1)[:, 0]
    rungs = script.exact_posterior(
        runs, BOUNDS, (theta, single), X_O, settings, np.random.default_rng(2), correct=correct
    )
    *_, (beta, draws, cost, _) = rungs
    assert beta == BETA
    return cost.mean(axis=1), draws[..., 1].mean(axis=1)


def test_simulator_in_the_loop_finds_the_gibbs_posterior(script: ModuleType) -> None:
    found, exact = estimate(script), quadrature(BETA)
    for populations, expected in zip(found, exact, strict=True):
        error = populations.std(ddof=1) / 4
        # Four standard errors (15 degrees of freedom, both: false alarm 0.2 %).
        assert abs(populations.mean() - expected) < 4 * error
    # A wrong temperature, or the bias of the mean of 16 runs left in, is many errors away.
    for wrong in (quadrature(BETA * 0.9)[0], quadrature(BETA * 1.1)[0]):
        assert abs(found[0].mean() - wrong) > 4 * found[0].std(ddof=1) / 4
    biased = quadrature(BETA, bias=BETA**2 / 32)[1]
    assert abs(found[1].mean() - biased) > 4 * found[1].std(ddof=1) / 4


def test_without_the_correction_it_finds_another_posterior(script: ModuleType) -> None:
    scale = estimate(script, correct=False)[1]
    assert abs(scale.mean() - quadrature(BETA)[1]) > 4 * scale.std(ddof=1) / 4


def test_reflection_stays_inside_and_keeps_the_distance_to_the_limit(script: ModuleType) -> None:
    inside = script.reflect(np.array([[-2.3, 0.7], [2.5, -0.19]]), BOUNDS)
    np.testing.assert_allclose(inside, [[-1.7, 0.5], [1.5, 0.21]])
