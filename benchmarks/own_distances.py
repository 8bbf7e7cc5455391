"""Posteriors by distances of a user's own against exact ones: what `fit_cost` takes, and the general network alone.

python benchmarks/own_distances.py [--seeds 3] [--runs 200 1000] writes benchmarks/own_distances.md. Simulators and
distances of many kinds; the exact expected distance is the mean of 400 runs at each of 10,000 draws of the prior. A
shift is one of a posterior mean, in exact standard deviations, a width a ratio of standard deviations; both over all
parameters, two observations (a simulated one, and the same with every second number moved by its standard deviation)
and seeds.
"""

import argparse
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import genbayes as gb

DRAWS, REPEATS = 10_000, 400
SEED = 700
TIMES = np.linspace(0, 1, 8)


@dataclass(frozen=True)
class Problem:
    """A simulator of many parameters at once, and a distance."""

    simulate: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    distance: Callable[[Any, Any], Any]
    low: tuple[float, ...]
    high: tuple[float, ...]
    truth: tuple[float, ...]
    beta: float


def curve(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A decay and a wave at eight times, with even noise."""
    mean = theta[:, [0]] * np.exp(-2 * theta[:, [1]] * TIMES) + np.sin(3 * theta[:, [2]] * TIMES)
    return mean + 0.3 * rng.standard_normal(mean.shape)


def curve_by(distance: Callable[[Any, Any], Any], beta: float) -> Problem:
    """The curve by some distance."""
    return Problem(curve, distance, (-2, 0, -1), (2, 2, 2), (1, 0.7, 0.8), beta)


def correlation(x: Any, y: Any) -> Any:
    """1 - Pearson's correlation."""
    x, y = x - jnp.mean(x), y - jnp.mean(y)
    return 1 - jnp.sum(x * y) / jnp.sqrt(jnp.sum(x**2) * jnp.sum(y**2) + 1e-9)


def moments(x: Any, y: Any) -> Any:
    """Of mean and standard deviation of a set of numbers."""
    return jnp.abs(jnp.mean(x) - jnp.mean(y)) + jnp.abs(jnp.std(x) - jnp.std(y))


def moments_of_logarithms(x: Any, y: Any) -> Any:
    """Of the logarithms of mean and standard deviation."""
    return sum(jnp.abs(jnp.log1p(part(x)) - jnp.log1p(part(y))) for part in (jnp.mean, jnp.std))


def covariance(x: Any, y: Any) -> Any:
    """Of the covariance of two halves, and of the mean."""
    of_halves = [jnp.mean((v[:8] - jnp.mean(v[:8])) * (v[8:] - jnp.mean(v[8:]))) for v in (x, y)]
    return jnp.abs(of_halves[0] - of_halves[1]) + 0.3 * jnp.abs(jnp.mean(x) - jnp.mean(y))


def log_normal(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sizes along a slope, with noise of 0.8 of their logarithms."""
    slope = theta[:, [0]] + theta[:, [1]] * np.linspace(-1, 1, 5)
    return np.exp(slope + 0.8 * rng.standard_normal(slope.shape))


def gamma(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Waiting times whose shape is a parameter."""
    return rng.gamma(np.exp(theta[:, [1]]), 1, (len(theta), 6)) * np.exp(theta[:, [0]] - theta[:, [1]])


def normal(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normal numbers whose standard deviation is a parameter."""
    return theta[:, [0]] + theta[:, [1]] * rng.standard_normal((len(theta), 6))


def correlated(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pairs of normal numbers whose correlation is a parameter."""
    first, second = rng.standard_normal((2, len(theta), 8))
    r = theta[:, [1]]
    return np.concatenate([theta[:, [0]] + first, r * first + np.sqrt(1 - r**2) * second], axis=1)


def two_signs(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A direction of either sign; how often it is the one is a parameter."""
    positive = rng.random(len(theta)) < 1 / (1 + np.exp(-2 * theta[:, 1]))
    middle = np.where(positive, theta[:, 0], -theta[:, 0])[:, None] * np.array([1, 0.5, 0.8])
    return middle + 0.3 * rng.standard_normal(middle.shape)


QUESTIONS = 1.5 * np.random.default_rng(3).standard_normal((12, 2))


def answers(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Twelve answers, yes or no."""
    likely = 1 / (1 + np.exp(-theta @ QUESTIONS.T))
    return (rng.random(likely.shape) < likely).astype(float)


def ricker(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts of a population in 20 years, after 10 (Ricker 1954)."""
    size, counts = np.ones(len(theta)), []
    for _ in range(30):
        size = size * np.exp(theta[:, 0] - size + 0.3 * rng.standard_normal(len(theta)))
        counts.append(rng.poisson(np.exp(theta[:, 1]) * size))
    return np.stack(counts[10:], axis=1).astype(float)


def absolute_logarithms(x: Any, y: Any) -> Any:
    """Mean absolute difference of logarithms."""
    return jnp.mean(jnp.abs(jnp.log1p(x) - jnp.log1p(y)))


PROBLEMS = {
    "curve, pseudo-Huber": curve_by(lambda x, y: jnp.sqrt(1 + jnp.mean((x - y) ** 2)) - 1, 60.0),
    "curve, largest difference": curve_by(lambda x, y: jnp.max(jnp.abs(x - y)), 8.0),
    "curve, 1 - correlation": curve_by(correlation, 15.0),
    "log-normal sizes, of logarithms": Problem(log_normal, absolute_logarithms, (-1, -1), (2, 2), (0.5, 0.5), 20.0),
    "gamma, roots of differences": Problem(
        gamma, lambda x, y: jnp.mean(jnp.sqrt(jnp.abs(x - y) + 1e-6)), (-1, -1), (2, 2), (0.5, 0.5), 20.0
    ),
    "noise a parameter, moments": Problem(normal, moments, (-2, 0.1), (2, 2), (0.5, 0.6), 10.0),
    "correlation a parameter, covariance": Problem(correlated, covariance, (-2, -0.95), (2, 0.95), (0.5, 0.6), 10.0),
    "two signs, pseudo-Huber": Problem(
        two_signs, lambda x, y: jnp.sqrt(1 + jnp.mean((x - y) ** 2)) - 1, (0.5, -2), (3, 2), (2, 0.8), 10.0
    ),
    "yes or no, share of differences": Problem(
        answers, lambda x, y: jnp.mean(jnp.abs(x - y)), (-2, -2), (2, 2), (0.5, -0.7), 15.0
    ),
    "Ricker counts, moments of logarithms": Problem(ricker, moments_of_logarithms, (1, 0.5), (3.5, 3), (2.5, 2), 10.0),
}


@dataclass
class Found:
    """Shifts and widths of all parameters, what was told, and the processor time."""

    shift: np.ndarray
    width: np.ndarray
    told: bool
    emulated: bool
    seconds: float
    of_draws: float


def exact_cost(problem: Problem, theta: np.ndarray, x_o: np.ndarray) -> np.ndarray:
    """The expected distance at every draw of the prior, by many runs."""
    distances = jax.jit(jax.vmap(problem.distance, in_axes=(0, None)))
    rng, total = np.random.default_rng(1), np.zeros(len(theta))
    for _ in range(REPEATS):
        total += np.asarray(distances(problem.simulate(theta, rng), x_o))
    return total / REPEATS


def posteriors(problem: Problem, n: int, way: str, seed: int) -> list[Found]:
    """One fit, and the posteriors of two observations."""
    low, high = np.array(problem.low, float), np.array(problem.high, float)
    rng = np.random.default_rng(SEED + seed)
    runs = rng.uniform(low, high, (n, len(low)))
    distance = gb.distances.UserDistance(problem.distance, name="own", units="1")
    started = time.process_time()
    x = problem.simulate(runs, rng)
    method: Any = "auto" if way == "as it is" else "general"
    cost = gb.fit_cost((runs, x), distance, method=method, seed=seed, progress=False)
    seconds = time.process_time() - started
    theta = np.random.default_rng(9).uniform(low, high, (DRAWS, len(low)))
    as_simulated = problem.simulate(np.array([problem.truth]), np.random.default_rng(5))[0]
    moved = as_simulated + np.where(np.arange(x.shape[1]) % 2 == 0, 1.0, 0.0) * x.std(axis=0)
    found = []
    for x_o in (as_simulated, moved):
        log_weight = -problem.beta * exact_cost(problem, theta, x_o)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        exact = weight @ theta
        deviation = np.sqrt(weight @ (theta - exact) ** 2)
        posterior = gb.GibbsPosterior(gb.Prior.uniform(low, high), cost, x_o, problem.beta)
        posterior.sample(2000, seed=0)
        started = time.process_time()
        draws = np.asarray(posterior.sample(2000, seed=1))
        of_draws = time.process_time() - started
        shift, width = (draws.mean(axis=0) - exact) / deviation, draws.std(axis=0) / deviation
        emulated = type(cost.form).__name__ == "EmulatedForm"
        found.append(Found(shift, width, bool(posterior.outcome.messages), emulated, seconds, of_draws))
    return found


def posteriors_of(name: str, n: int, way: str, seed: int) -> list[Found]:
    """In a process of its own."""
    warnings.simplefilter("ignore")
    return posteriors(PROBLEMS[name], n, way, seed)


def row(name: str, n: int, way: str, found: list[Found]) -> str:
    """One line of the table."""
    shift, width = (np.concatenate([getattr(one, part) for one in found]) for part in ("shift", "width"))
    parts = ("emulated", "told", "seconds", "of_draws")
    share, told, seconds, of_draws = (np.mean([getattr(one, part) for one in found]) for part in parts)
    return (
        f"| {name} | {n:,} | {way} | {share:.2f} | {np.sqrt(np.mean(shift**2)):.2f} | {np.abs(shift).max():.2f} | "
        f"{width.min():.2f} to {width.max():.2f} | {told:.2f} | {seconds:.1f} | {of_draws:.2f} |"
    )


def main() -> None:
    """Runs every problem with both ways, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--jobs", type=int, default=1, help="fits at a time")
    arguments = parser.parse_args()
    page = Path(__file__).with_suffix(".md")
    lines = [
        "# Posteriors by distances of one's own",
        "",
        f"`{shlex.join(['python', 'benchmarks/own_distances.py', *sys.argv[1:]])}`",
        "",
        str(__doc__).split("\n\n", 1)[1].strip(),
        "",
        "| problem | runs | cost | share emulated | rms shift | worst | width | told | fit, s | 2,000 draws, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows = [(name, n, way) for name in PROBLEMS for n in arguments.runs for way in ("as it is", "network alone")]
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        fits = {of: [pool.submit(posteriors_of, *of, seed) for seed in range(arguments.seeds)] for of in rows}
        for (name, n, way), seeds in fits.items():
            lines.append(row(name, n, way, [one for seed in seeds for one in seed.result()]))
            print(lines[-1], flush=True)
            page.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
