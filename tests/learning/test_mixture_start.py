"""Where mixtures start from: a mean and a spread that follow the parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import genbayes as gb
from genbayes.learning import mixture_start as module
from genbayes.learning.distributions import TailTransform, TransformedMean
from genbayes.learning.folds import Folds
from genbayes.learning.layers import Standardiser
from genbayes.learning.mixture_start import MixtureStart, mixture_starts, transformed_rows
from genbayes.learning.ridge import RidgeResidual

TIMES = np.linspace(0, 6, 12)
LOW, HIGH = [0.5, 0.05, 0.5], [3.0, 1.0, 3.0]


def oscillation(theta: Any) -> Any:
    """A damped one of three parameters: frequency, damping, start."""
    return theta[..., 2:] * jnp.exp(-theta[..., 1:2] * TIMES) * jnp.cos(theta[..., :1] * TIMES)


def started(theta: np.ndarray, values: np.ndarray) -> list[MixtureStart]:
    folds = Folds.make(np.arange(len(theta)), gb.FitConfig(members=2), 0)
    floor = np.full(values.shape[1], 1e-4)
    transform = TailTransform.fit(values)
    transformed = transformed_rows(transform, values)
    return mixture_starts(theta, values, transformed, transform, Standardiser.fit(theta), folds, floor)


def test_the_spread_is_that_of_the_noise_around_the_mean():
    rng = np.random.default_rng(0)
    theta = rng.uniform(-1, 1, (4000, 2)).astype(np.float32)
    deviation = np.exp(np.stack([1.0 * theta[:, 0] - 0.5 * theta[:, 1], 0.3 + 0.8 * theta[:, 1] ** 2], axis=1))
    values = 5 + 3 * theta + deviation * rng.normal(size=(4000, 2))
    (start,), transform = started(theta, values), TailTransform.fit(values)
    relative = jax.vmap(jax.tree.map(lambda leaf: leaf[0], start.relative_spread))(jnp.asarray(theta))
    found = np.log(np.asarray(relative) * start.residual * np.asarray(transform.unit) / deviation)
    # Six coefficients of a log variance from n rows: each row tells it with variance 2, its root with 1/2.
    assert np.sqrt(np.mean(found**2, axis=0)) == pytest.approx(0.0, abs=3 * np.sqrt(6 / 2 / 4000))
    assert np.std(np.log(deviation), axis=0).min() > 0.2


def test_a_process_is_tried_where_its_means_are_better_and_outputs_are_no_counts():
    rng = np.random.default_rng(1)
    theta = rng.uniform(LOW, HIGH, (300, 3)).astype(np.float32)
    mean = np.asarray(oscillation(theta), np.float64)
    polynomials, process = started(theta, mean + 0.1 * rng.normal(size=mean.shape))
    assert isinstance(polynomials.location, RidgeResidual)
    assert isinstance(process.location, TransformedMean)
    assert np.mean(process.residual) < 0.8 * np.mean(polynomials.residual)
    assert len(started(theta, theta + 0.1 * rng.normal(size=theta.shape))) == 1
    assert len(started(theta, rng.poisson(20 * (3 + mean)).astype(float))) == 1


def test_the_likelihood_of_held_out_rows_chooses_the_start():
    """Outputs that jump as soon as a parameter is positive: a smooth process is a poor place to start from."""
    rng = np.random.default_rng(4)
    for jumps in (False, True):
        theta = rng.uniform(LOW, HIGH, (300, 3))
        mean = np.asarray(oscillation(theta), np.float64)
        x = mean + 0.1 * rng.normal(size=mean.shape)
        if jumps:
            x = np.where(x > 0.3, x + 2, np.where(x < -0.3, x - 2, 0.0))
        simulations = gb.Simulations.from_arrays(theta, x)
        cost = gb.fit_cost(simulations, gb.distances.MeanAbsoluteError(), progress=False)
        form: Any = cost.form
        assert isinstance(form.distribution.location, RidgeResidual) == jumps


@pytest.mark.slow
def test_few_runs_leave_less_open(monkeypatch: pytest.MonkeyPatch):
    """The expected absolute error of an oscillation, against its closed form; the mutant starts as before."""

    def error() -> float:
        cost = gb.fit_cost(simulations, gb.distances.MeanAbsoluteError(), progress=False)
        return float(np.sqrt(np.mean((np.asarray(cost(at, x_o)) - exact) ** 2)))

    rng, prior = np.random.default_rng(2), gb.Prior.uniform(LOW, HIGH)
    simulations = gb.simulate(
        lambda key, theta: oscillation(theta) + 0.2 * jax.random.normal(key, (12,)), prior, 300, seed=3, progress=False
    )
    at, x_o = rng.uniform(LOW, HIGH, (1000, 3)), np.asarray(oscillation(np.array([1.5, 0.3, 2.0])))
    # E|a + s e| = a (2 P(a / s) - 1) + 2 s p(a / s) with the normal distribution function P and density p.
    away = (np.asarray(oscillation(at)) - x_o) / 0.2
    exact = 0.2 * np.mean(away * (2 * stats.norm.cdf(away) - 1) + 2 * stats.norm.pdf(away), axis=1)
    found = error()
    monkeypatch.setattr(module, "_by_process", lambda *_: None)
    assert found < 0.8 * error()
