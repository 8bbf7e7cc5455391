"""Is the answer right, and where it is wrong, does the user hear of it? Problems of the kinds that users bring.

Every problem has an exact Gibbs posterior, from a closed-form expected distance on a grid or on many prior draws. An
answer counts as wrong where a posterior mean is off by more than 0.3 exact standard deviations, or a standard deviation
by a factor of 1.33. It is told where the cost, the posterior, the draws or a warning says something, or `check` ends
with exit code 3 or 4. A false alarm is exit code 4 on a right answer. Prints, and writes to --out, one line a problem,
and whether the errors of the means are as large as what is said of them (the fit's and the draws' standard error).

    python benchmarks/trust.py --seeds 0 1 --out benchmarks/trust.md
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy import stats
from scipy.special import erf

import genbayes as gb
from genbayes.distances import HuberError, MeanAbsoluteError, MeanSquaredError, UserDistance

MOST_SHIFT, MOST_RATIO = 0.3, 1.33
Exact = tuple[np.ndarray, np.ndarray]
FORMS = {
    "HilbertForm": "means of features",
    "MarginalForm": "marginal distributions",
    "NetworkForm": "a general network",
    "EmulatedForm": "an emulator of outputs",
}


@dataclass
class Problem:
    """What a user brings, and the exact mean and standard deviation of every parameter."""

    simulator: Callable
    prior: gb.Prior
    distance: Any
    x_o: np.ndarray
    beta: float
    n: int
    exact: Exact


PROBLEMS: dict[str, Callable[[], Problem]] = {}


def problem(make: Callable[[], Problem]) -> Callable[[], Problem]:
    PROBLEMS[make.__name__.replace("_", " ")] = make
    return make


def moments(theta: np.ndarray, cost: np.ndarray, beta: float, log_prior: np.ndarray | float = 0.0) -> Exact:
    """Of exp(-beta cost) prior over draws of the prior, or over a grid with its log prior."""
    log_weight = -beta * np.asarray(cost, float) + log_prior
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    theta = theta.reshape(len(theta), -1)
    mean = weight @ theta
    return mean, np.sqrt(weight @ (theta - mean) ** 2)


def grid(*axes: np.ndarray) -> np.ndarray:
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def mean_absolute(away: np.ndarray, sd: float) -> np.ndarray:
    """E|away + sd e| of a standard normal e."""
    return sd * np.sqrt(2 / np.pi) * np.exp(-(away**2) / (2 * sd**2)) + away * erf(away / (sd * np.sqrt(2)))


# --- outputs far from 0, or in extreme units


@problem
def seconds_since_an_epoch() -> Problem:
    t = np.linspace(0, 1, 8)
    a = np.stack([np.sin(6 * t), np.cos(6 * t)], 1)
    signal = a @ [0.5, 0.6] + 0.3 * np.random.default_rng(6).standard_normal(8)
    exact = np.linalg.solve(a.T @ a, a.T @ signal), np.sqrt(np.diag(np.linalg.inv(2 * 50 / 8 * a.T @ a)))
    away = 1.4e9
    return Problem(
        lambda theta, rng: away + a @ theta + 0.3 * rng.standard_normal(8),
        gb.Prior.uniform([-2, -2], [2, 2]), MeanSquaredError(), away + signal, 50.0, 1000, exact,
    )  # fmt: skip


@problem
def a_signal_on_ten_million_absolute() -> Problem:
    t = np.linspace(0, 1, 10)
    a = np.stack([t, np.sin(5 * t)], 1)
    signal = a @ [1.0, -0.5] + 0.05 * np.random.default_rng(3).standard_normal(10)
    theta = grid(*[np.linspace(-3, 3, 1201)] * 2)
    return Problem(
        lambda theta, rng: 1e7 + a @ theta + 0.05 * rng.standard_normal(10),
        gb.Prior.uniform([-3, -3], [3, 3]), MeanAbsoluteError(), 1e7 + signal, 60.0, 2000,
        moments(theta, mean_absolute(theta @ a.T - signal, 0.05).mean(1), 60.0),
    )  # fmt: skip


@problem
def absolute_error_at_1e_minus_21() -> Problem:
    x_o, theta = 1e-21 * np.array([0.5, 0.7, 0.4]), np.linspace(-2, 2, 4001)
    return Problem(
        lambda theta, rng: 1e-21 * (theta[0] + 0.2 * rng.standard_normal(3)),
        gb.Prior.uniform([-2], [2]), MeanAbsoluteError(), x_o, 4e22, 1500,
        moments(theta, mean_absolute(theta[:, None] * 1e-21 - x_o, 2e-22).mean(1), 4e22),
    )  # fmt: skip


# --- noise and means over decades


def gamma_noise(beta: float) -> Problem:
    x_o, r = np.array([0.9, 1.1, 1.0]), np.exp(1.5 * np.random.default_rng(0).standard_normal(4_000_000))
    return Problem(
        lambda theta, rng: theta[0] * rng.gamma(4, size=3) / 4,
        gb.Prior({"r": dist.LogNormal(0.0, 1.5)}), MeanSquaredError(), x_o, beta, 2000,
        moments(r, ((r[:, None] - x_o) ** 2).mean(1) + r**2 / 4, beta),
    )  # fmt: skip


@problem
def gamma_noise_beta_5() -> Problem:
    return gamma_noise(5.0)


@problem
def gamma_noise_beta_400() -> Problem:
    return gamma_noise(400.0)


@problem
def log_normal_noise() -> Problem:
    x_o, a = np.array([7.0, 20, 9, 12]), np.linspace(-3, 5, 20001)
    first, second = np.exp(a + 2), np.exp(2 * a + 8)
    return Problem(
        lambda theta, rng: np.exp(theta[0] + 2 * rng.standard_normal(4)),
        gb.Prior.uniform([-3], [5]), MeanSquaredError(), x_o, 5e-4, 3000,
        moments(a, (second[:, None] - 2 * first[:, None] * x_o + x_o**2).mean(1), 5e-4),
    )  # fmt: skip


@problem
def overdispersed_counts_absolute() -> Problem:
    d, k = np.random.default_rng(2).standard_normal((8, 2)), 4.0
    x_o, theta = np.array([2, 0, 5, 1, 3, 0, 9, 2.0]), 1.5 * np.random.default_rng(1).standard_normal((200_000, 2))
    mean = np.exp(np.minimum(theta @ d.T + 1, 18))
    p, cost = k / (k + mean), np.zeros(len(theta))
    for j, y in enumerate(x_o):  # E|X - y| = E X - y + 2 sum_{i<y} (y - i) P(X = i)
        cost += (mean[:, j] - y + 2 * sum((y - i) * stats.nbinom.pmf(i, k, p[:, j]) for i in range(int(y)))) / 8
    return Problem(
        lambda theta, rng: rng.poisson(np.exp(np.minimum(d @ theta + 1, 18)) * rng.gamma(k, size=8) / k).astype(float),
        gb.Prior({"w": dist.Normal(0.0, 1.5).expand([2])}), MeanAbsoluteError(), x_o, 4.0, 2500,
        moments(theta, cost, 4.0),
    )  # fmt: skip


@problem
def counts_squared() -> Problem:
    d = np.random.default_rng(7).standard_normal((8, 2))
    x_o, theta = np.array([2, 0, 5, 1, 3, 0, 4, 2.0]), 1.5 * np.random.default_rng(1).standard_normal((1_000_000, 2))
    mean = np.exp(np.minimum(theta @ d.T + 0.5, 16))
    return Problem(
        lambda theta, rng: rng.poisson(np.exp(np.minimum(d @ theta + 0.5, 16))).astype(float),
        gb.Prior({"w": dist.Normal(0.0, 1.5).expand([2])}), MeanSquaredError(), x_o, 0.5, 2500,
        moments(theta, ((mean - x_o) ** 2 + mean).mean(1), 0.5),
    )  # fmt: skip


@problem
def outputs_clipped_at_zero() -> Problem:
    t, noise = np.linspace(-1, 1, 12), 0.3
    simulator = lambda theta, rng: np.maximum(0, theta[0] + theta[1] * t + noise * rng.standard_normal(12))  # noqa: E731
    x_o, theta = simulator((0.2, 1.0), np.random.default_rng(3)), grid(*[np.linspace(-3, 3, 601)] * 2)
    level = theta[:, :1] + theta[:, 1:] * t
    above, density = stats.norm.cdf(level / noise), noise * stats.norm.pdf(level / noise)
    mean, square = level * above + density, (level**2 + noise**2) * above + level * density
    return Problem(
        simulator, gb.Prior.uniform([-3, -3], [3, 3]), MeanSquaredError(), x_o, 60.0, 1500,
        moments(theta, (square - 2 * mean * x_o + x_o**2).mean(1), 60.0),
    )  # fmt: skip


@problem
def growth_of_counts() -> Problem:
    t, x_o = np.arange(6.0), np.array([5.0, 7, 8, 12, 15, 22])
    theta = grid(np.linspace(1, 20, 401), np.linspace(0, 3, 3001))
    mean = theta[:, :1] * np.exp(theta[:, 1:] * t)
    return Problem(
        lambda theta, rng: rng.poisson(theta[0] * np.exp(theta[1] * t)).astype(float),
        gb.Prior.uniform([1, 0], [20, 3], ["n0", "r"]), MeanSquaredError(), x_o, 1.0, 3000,
        moments(theta, ((mean - x_o) ** 2 + mean).mean(1), 1.0),
    )  # fmt: skip


@problem
def growth_beside_a_prior_predictive_scale() -> Problem:
    t = np.arange(8)
    simulator = lambda theta, rng: theta[1] * np.exp(theta[0] * t) * np.exp(0.2 * rng.normal(size=8))  # noqa: E731
    x_o = simulator((0.5, 10.0), np.random.default_rng(21))
    prior = gb.Prior({"r": dist.Uniform(0.0, 2.5), "n0": dist.Uniform(1.0, 50.0)})
    scale = gb.simulate(simulator, prior, 800, seed=0, progress=False).x.std(0)
    theta = grid(np.linspace(0, 2.5, 2001), np.linspace(1, 50, 401))
    level = theta[:, 1:] * np.exp(theta[:, :1] * t)
    cost = (level**2 * np.exp(0.08) - 2 * level * np.exp(0.02) * x_o + x_o**2) / scale**2
    return Problem(
        simulator, prior, MeanSquaredError(scale), x_o, 3000.0, 800, moments(theta, cost.mean(1), 3000.0),
    )  # fmt: skip


# --- heavy tails, and simulators of little noise


def huber(noise: Any) -> Problem:
    a, delta, beta = np.array([[1.0, 0.5], [-0.5, 1.0], [1, 1]]), 1.0, 10.0
    x_o, theta = a @ [0.8, -0.3], grid(*[np.linspace(-4, 4, 801)] * 2)
    quantiles, away = noise.ppf((np.arange(20_000) + 0.5) / 20_000), np.linspace(-12, 12, 4001)
    size = [np.abs(x + quantiles) for x in away]
    mean = [np.mean(np.where(r < delta, r**2 / 2, delta * (r - delta / 2))) for r in size]
    cost = np.interp(theta @ a.T - x_o, away, mean).mean(1)
    return Problem(
        lambda theta, rng: a @ theta + noise.rvs(3, random_state=rng),
        gb.Prior.uniform([-4, -4], [4, 4]), HuberError(delta), x_o, beta, 3000, moments(theta, cost, beta),
    )  # fmt: skip


@problem
def huber_error_of_t_noise() -> Problem:
    return huber(stats.t(2))


@problem
def huber_error_of_cauchy_noise() -> Problem:
    return huber(stats.cauchy())


@problem
def a_thousandth_of_noise_absolute() -> Problem:
    t, sd = np.linspace(0.2, 2, 8), 0.002
    curve = lambda a, b: np.exp(-np.multiply.outer(a, t)) * np.asarray(b)[..., None]  # noqa: E731
    x_o = curve(0.9, 1.4) + sd * np.random.default_rng(4).standard_normal(8)
    theta = grid(np.linspace(0.8, 1.0, 401), np.linspace(1.3, 1.5, 401))
    cost = mean_absolute(curve(theta[:, 0], theta[:, 1]) - x_o, sd).mean(1)
    return Problem(
        lambda theta, rng: curve(theta[0], theta[1]) + sd * rng.standard_normal(8),
        gb.Prior.uniform([0.2, 0.5], [2, 2], ["a", "b"]), MeanAbsoluteError(), x_o, 4000.0, 3000,
        moments(theta, cost, 4000.0),
    )  # fmt: skip


# --- many outputs, few runs


@problem
def three_hundred_points_of_a_decay() -> Problem:
    t, sd = np.linspace(0, 5, 300), 0.05
    curve = lambda a, k: np.asarray(a)[..., None] * np.exp(-np.multiply.outer(k, t))  # noqa: E731
    x_o = curve(1.5, 0.8) + sd * np.random.default_rng(2).standard_normal(300)
    theta, beta = grid(np.linspace(1.3, 1.7, 401), np.linspace(0.6, 1.0, 401)), 300 / (2 * sd**2)
    log_a = np.log(theta[:, 0])
    return Problem(
        lambda theta, rng: curve(theta[0], theta[1]) + sd * rng.standard_normal(300),
        gb.Prior({"a": dist.LogNormal(0.0, 0.5), "k": dist.Exponential(1.0)}), MeanSquaredError(), x_o, beta, 2000,
        moments(theta, ((curve(*theta.T) - x_o) ** 2).mean(1), beta, -theta[:, 1] - 2 * log_a**2 - log_a),
    )  # fmt: skip


@problem
def a_line_in_150_runs() -> Problem:
    a = np.random.default_rng(0).standard_normal((8, 4))
    x_o = a @ [0.5, -0.3, 0.2, 0.8] + 0.3 * np.random.default_rng(1).standard_normal(8)
    exact = np.linalg.solve(a.T @ a, a.T @ x_o), np.sqrt(np.diag(np.linalg.inv(2 * 30 / 8 * a.T @ a)))
    return Problem(
        lambda theta, rng: a @ theta + 0.3 * rng.standard_normal(8),
        gb.Prior.uniform([-4] * 4, [4] * 4), MeanSquaredError(), x_o, 30.0, 150, exact,
    )  # fmt: skip


@problem
def logistic_growth_in_200_runs() -> Problem:
    t, sd = np.linspace(0, 10, 12), 0.5

    def curve(r: Any, k: Any, n: Any) -> np.ndarray:
        r, k, n = (np.asarray(part, float)[..., None] for part in (r, k, n))
        return k / (1 + (k - n) / n * np.exp(-r * t))

    low, high = np.array([0.2, 5, 0.3]), np.array([2.0, 20, 3.0])
    x_o = curve(0.9, 12.0, 1.0) + sd * np.random.default_rng(3).standard_normal(12)
    theta = np.random.default_rng(5).uniform(low, high, (600_000, 3))
    return Problem(
        lambda theta, rng: curve(*theta) + sd * rng.standard_normal(12),
        gb.Prior.uniform(low, high, ["r", "K", "n"]), MeanSquaredError(), x_o, 6.0, 200,
        moments(theta, ((curve(*theta.T) - x_o) ** 2).mean(1), 6.0),
    )  # fmt: skip


@problem
def a_banana_in_300_runs() -> Problem:
    mean = lambda a, b: np.stack([a, 3 * (b - a**2)], -1)  # noqa: E731
    x_o, theta = np.array([0.3, 0.2]), grid(np.linspace(-2, 2, 801), np.linspace(-2, 4, 801))
    return Problem(
        lambda theta, rng: mean(*theta) + 0.2 * rng.standard_normal(2),
        gb.Prior.uniform([-2, -2], [2, 4]), MeanSquaredError(), x_o, 30.0, 300,
        moments(theta, ((mean(*theta.T) - x_o) ** 2).mean(1), 30.0),
    )  # fmt: skip


# --- failures


@problem
def failures_far_from_the_posterior() -> Problem:
    x_o, theta = np.array([-1.0, -1]), grid(*[np.linspace(-2, 2, 801)] * 2)
    theta = theta[~np.all(theta > 0.7, axis=1)]

    def simulator(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if np.all(theta > 0.7):
            raise ArithmeticError(f"diverged at {theta}")
        return theta + 0.2 * rng.standard_normal(2)

    return Problem(
        simulator, gb.Prior.uniform([-2, -2], [2, 2]), MeanSquaredError(), x_o, 10.0, 2000,
        moments(theta, ((theta - x_o) ** 2).mean(1), 10.0),
    )  # fmt: skip


@problem
def failures_outside_a_disc() -> Problem:
    x_o, theta = np.array([1.4, 0.9]), np.random.default_rng(0).uniform(-2, 2, (2_000_000, 2))
    theta = theta[np.sum(theta**2, axis=1) < 2.25]
    return Problem(
        lambda theta, rng: np.where(np.sum(theta**2) < 2.25, theta + 0.3 * rng.standard_normal(2), np.nan),
        gb.Prior.uniform([-2, -2], [2, 2]), MeanSquaredError(), x_o, 8.0, 3000,
        moments(theta, ((theta - x_o) ** 2).mean(1), 8.0),
    )  # fmt: skip


# --- jumps


@problem
def an_observation_inside_a_jump() -> Problem:
    theta, x_o = np.linspace(-2, 2, 40001), np.array([0.2, 0.1])
    mean = 1.5 * np.sign(theta - 0.3) + 0.2 * theta
    return Problem(
        lambda theta, rng: 1.5 * np.sign(theta[0] - 0.3) + 0.2 * theta[0] + 0.1 * rng.standard_normal(2),
        gb.Prior.uniform([-2], [2]), MeanSquaredError(), x_o, 20.0, 2000,
        moments(theta, ((mean[:, None] - x_o) ** 2).mean(1), 20.0),
    )  # fmt: skip


@problem
def a_threshold_of_two_parameters() -> Problem:
    theta, x_o = grid(*[np.linspace(-1, 1, 801)] * 2), np.array([1.1, 0.1])
    mean = lambda a, b: np.stack([np.where(a + b > 0, 2.0, 0.0) + a, b], -1)  # noqa: E731
    return Problem(
        lambda theta, rng: mean(*theta) + 0.1 * rng.standard_normal(2),
        gb.Prior.uniform([-1, -1], [1, 1]), MeanSquaredError(), x_o, 20.0, 3000,
        moments(theta, ((mean(*theta.T) - x_o) ** 2).mean(1), 20.0),
    )  # fmt: skip


@problem
def a_rounded_parameter() -> Problem:
    theta, x_o = grid(np.linspace(0, 6, 1201)[:-1] + 0.0025, np.linspace(0, 1, 401)), np.array([2.6, 0.6, 0.5])
    mean = lambda k, g: np.stack([np.floor(k) + g, np.floor(k) ** 2 / 4 - g, g], -1)  # noqa: E731
    return Problem(
        lambda theta, rng: mean(*theta) + 0.1 * rng.standard_normal(3),
        gb.Prior.uniform([0, 0], [6, 1]), MeanSquaredError(), x_o, 60.0, 3000,
        moments(theta, ((mean(*theta.T) - x_o) ** 2).mean(1), 60.0),
    )  # fmt: skip


# --- distances without mean features, folds, and failures around a band


@problem
def dry_and_wet_days_absolute() -> Problem:
    x_o, theta = np.array([0, 0, 0, 0, 0, 0.5]), grid(np.linspace(0.05, 0.95, 401), np.linspace(0.5, 15, 801))
    p, scale, cost = theta[:, 0], theta[:, 1], np.zeros(len(theta))
    for y in x_o:  # E|G - y| of a gamma variable of shape 2 and mean `scale`
        below, above = (stats.gamma.cdf(y, shape, scale=scale / 2) for shape in (2, 3))
        cost += ((1 - p) * y + p * (y * (2 * below - 1) + scale * (1 - 2 * above))) / len(x_o)
    return Problem(
        lambda theta, rng: np.where(rng.uniform(size=6) < theta[0], rng.gamma(2.0, theta[1] / 2, 6), 0.0),
        gb.Prior.uniform([0.05, 0.5], [0.95, 15], ["p", "m"]), MeanAbsoluteError(), x_o, 15.0, 2500,
        moments(theta, cost, 15.0),
    )  # fmt: skip


@problem
def laplace_noise_in_300_runs_absolute() -> Problem:
    t, low, high = np.linspace(0, 1, 6), np.array([0.5, 0, 0.05]), np.array([3, 3, 0.5])
    curve = lambda a, k: np.asarray(a)[..., None] * np.exp(-np.multiply.outer(k, t))  # noqa: E731
    x_o = curve(0.8, 0.3) + np.random.default_rng(9).laplace(0, 0.1, 6)
    theta = np.random.default_rng(5).uniform(low, high, (2_000_000, 3))
    away, scale = np.abs(curve(theta[:, 0], theta[:, 1]) - x_o), theta[:, 2:]
    return Problem(
        lambda theta, rng: curve(theta[0], theta[1]) + rng.laplace(0, theta[2], 6),
        gb.Prior.uniform(low, high, ["a", "k", "s"]), MeanAbsoluteError(), x_o, 40.0, 300,
        moments(theta, (away + scale * np.exp(-away / scale)).mean(1), 40.0),
    )  # fmt: skip


@problem
def a_distance_of_ones_own() -> Problem:
    mean = lambda a, b: np.stack([np.sin(2 * a) + b, a * b, b**2], -1)  # noqa: E731
    noise = 0.2 * np.random.default_rng(5).standard_normal((200, 3))
    noise = np.concatenate([noise, -noise])
    x_o, theta = mean(1.5, 1.0) + np.array([0.1, -0.2, 0.15]), grid(*[np.linspace(-2, 2, 201)] * 2)
    theta = theta[np.sum((mean(*theta.T) - x_o) ** 2, axis=1) < 4]
    cost = [np.mean(np.sqrt(1 + np.mean((at - x_o + noise) ** 2, axis=1)) - 1) for at in mean(*theta.T)]
    distance = UserDistance(lambda x, y: jnp.sqrt(1 + jnp.mean((x - y) ** 2)) - 1, name="pseudo-Huber", units="1")
    return Problem(
        lambda theta, rng: mean(*theta) + 0.2 * rng.standard_normal(3),
        gb.Prior.uniform([-2, -2], [2, 2]), distance, x_o, 100.0, 3000, moments(theta, np.array(cost), 100.0),
    )  # fmt: skip


@problem
def an_observation_on_a_fold() -> Problem:
    mean = lambda a, b: np.stack([np.maximum(a, b), (a + b) / 2], -1)  # noqa: E731
    x_o, theta = np.array([0.0, 0.2]), grid(np.linspace(-2, 2, 1601), np.linspace(-1, 2, 1201))
    return Problem(
        lambda theta, rng: mean(*theta) + 0.1 * rng.standard_normal(2),
        gb.Prior.uniform([-2, -1], [2, 2]), MeanSquaredError(), x_o, 100.0, 2000,
        moments(theta, ((mean(*theta.T) - x_o) ** 2).mean(1), 100.0),
    )  # fmt: skip


@problem
def failures_outside_a_band() -> Problem:
    x_o, theta = np.array([1.0, -0.5]), grid(*[np.linspace(-2, 2, 1601)] * 2)
    theta = theta[np.abs(theta[:, 0] - theta[:, 1]) <= 0.3]
    return Problem(
        lambda theta, rng: np.where(np.ptp(theta) <= 0.3, theta + 0.3 * rng.standard_normal(2), np.nan),
        gb.Prior.uniform([-2, -2], [2, 2]), MeanSquaredError(), x_o, 20.0, 2000,
        moments(theta, ((theta - x_o) ** 2).mean(1), 20.0),
    )  # fmt: skip


# --- nothing wrong


@problem
def a_line_in_2000_runs() -> Problem:
    a = np.random.default_rng(0).standard_normal((6, 3))
    x_o = a @ [0.5, -0.3, 0.2] + 0.3 * np.random.default_rng(1).standard_normal(6)
    exact = np.linalg.solve(a.T @ a, a.T @ x_o), np.sqrt(np.diag(np.linalg.inv(2 * 30 / 6 * a.T @ a)))
    return Problem(
        lambda theta, rng: a @ theta + 0.3 * rng.standard_normal(6),
        gb.Prior.uniform([-4] * 3, [4] * 3), MeanSquaredError(), x_o, 30.0, 2000, exact,
    )  # fmt: skip


@dataclass
class Found:
    """One answer, judged."""

    shift: np.ndarray
    ratio: np.ndarray
    said: np.ndarray
    form: str
    exit_code: int | None
    told_by: list[str]
    seconds: float

    @property
    def wrong(self) -> bool:
        """Whether a mean or a standard deviation is off by more than the limits."""
        off = np.any(np.abs(self.shift) > MOST_SHIFT) or np.any(np.abs(np.log(self.ratio)) > np.log(MOST_RATIO))
        return bool(off) or not np.all(np.isfinite(self.shift))


def solve(case: Problem, seed: int, *, check: bool = True) -> Found:
    """Simulates, fits, samples and checks with all defaults, and compares with the exact answer."""
    started, told, code = time.perf_counter(), [], None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        simulations = gb.simulate(case.simulator, case.prior, case.n, seed=seed, progress=False)
        cost = gb.fit_cost(simulations, case.distance, progress=False)
        posterior = gb.GibbsPosterior(case.prior, cost, case.x_o, case.beta)
        draws = posterior.sample(2000, seed=seed + 1)
        if check:
            code = gb.check(
                posterior, draws, case.simulator, simulations, n=200, seed=seed + 2, progress=False
            ).exit_code
    for name, outcome in {"cost": cost.outcome, "posterior": posterior.outcome, "draws": draws.outcome}.items():
        if not outcome.ok and not (name == "draws" and outcome == posterior.outcome):
            told.append(name)
    told += ["check"] * (code in (3, 4)) + ["warning"] * any(one.category is UserWarning for one in caught)
    theta = np.asarray(draws.flat, float)
    mean, sd = case.exact
    said = np.hypot(draws.fit_errors, [draws.standard_error(draws[name]) for name in draws.names])
    form = FORMS[type(cost.form).__name__]
    seconds = time.perf_counter() - started
    return Found((theta.mean(0) - mean) / sd, theta.std(0) / sd, said / sd, form, code, told, seconds)


def sizes_of_errors(found: list[Found]) -> list[str]:
    """A table of the shifts over the standard errors that were said, by what was learned."""
    lines = ["| what is learned | means | median of shift over error | beyond 2 |", "|---|---|---|---|"]
    for form in FORMS.values():
        z = np.concatenate([np.abs(one.shift / one.said) for one in found if one.form == form] or [np.zeros(0)])
        z = z[np.isfinite(z)]
        if len(z):
            lines.append(f"| {form} | {len(z)} | {np.median(z):.2f} | {100 * np.mean(z > 2):.0f} % |")
    return lines


def solve_by_name(name: str, seed: int) -> Found:
    """In a process of its own."""
    return solve(PROBLEMS[name](), seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of simulations, fit, draws and check")
    parser.add_argument("--only", nargs="+", default=list(PROBLEMS), help="names of problems")
    parser.add_argument("--jobs", type=int, default=1, help="problems that are solved at a time")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    lines = ["| problem | seed | shift | said | ratio of sd | wrong | told by | exit code |", "|" + 8 * "---|"]
    wanted = [(name, seed) for name in arguments.only for seed in arguments.seeds]
    found = []
    # A process for each problem: hundreds of shapes would fill the memory of one with compiled programs.
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        for (name, seed), one in zip(wanted, pool.map(solve_by_name, *zip(*wanted, strict=True)), strict=True):
            found.append(one)
            columns = one.shift, one.said, one.ratio
            shift, said, ratio = (", ".join(f"{value:.2f}" for value in values) for values in columns)
            wrong, told = "wrong" if one.wrong else "", ", ".join(one.told_by)
            lines.append(f"| {name} | {seed} | {shift} | {said} | {ratio} | {wrong} | {told} | {one.exit_code} |")
            print(lines[-1], f"{one.seconds:.0f} s", file=sys.stderr, flush=True)
    wrong, right = [one for one in found if one.wrong], [one for one in found if not one.wrong]
    told = sum(bool(one.told_by) for one in wrong)
    summary = (
        f"{len(found)} answers: {len(right)} right, {len(wrong)} wrong, of which {told} told and "
        f"{sum(one.exit_code == 4 for one in wrong)} with exit code 4. Of the right ones "
        f"{sum(one.exit_code == 4 for one in right)} have exit code 4 (false alarms), "
        f"{sum(one.exit_code == 3 for one in right)} exit code 3 (take care)."
    )
    text = "\n".join([*lines, "", summary, "", *sizes_of_errors(found)])
    print(text)
    if arguments.out:
        command = " ".join(["python benchmarks/trust.py", *sys.argv[1:]])
        arguments.out.write_text(f"# Right, told, or neither\n\n`{command}`\n\n{text}\n")


if __name__ == "__main__":
    main()
