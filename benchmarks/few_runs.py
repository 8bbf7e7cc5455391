"""Posteriors from few runs against exact ones, with Gaussian processes and without.

python benchmarks/few_runs.py [--seeds 3] [--runs 100 300 1000] writes benchmarks/few_runs.md. Seven simulators whose
expected squared error is known; the exact posterior by importance weights on 300,000 draws of the prior. A shift is one
of a mean, in exact standard deviations, a width a ratio of standard deviations; both over all parameters, observations
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
from unittest import mock

import numpy as np

import genbayes as gb
from genbayes.learning import means

DRAWS = 300_000
SEED = 500


@dataclass(frozen=True)
class Problem:
    """A simulator by its mean and noise.

    The noise is normal of a standard deviation, "counts", or log-normal: "relative" (standard deviation of the
    logarithm 0.2), "heavy" (0.8), "parameter" (the last parameter).
    """

    mean: Callable[[np.ndarray], np.ndarray]
    noise: float | str
    bounds: dict[str, tuple[float, float]]
    truths: tuple[tuple[float, ...], ...]
    beta: float

    def simulate(self, theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One run."""
        mean = self.mean(np.asarray(theta))
        if self.noise == "counts":
            return rng.poisson(mean).astype(float)
        if isinstance(self.noise, str):
            return mean * np.exp(self.of_logarithms(np.asarray(theta)) * rng.standard_normal(mean.shape))
        return mean + float(self.noise) * rng.standard_normal(mean.shape)

    def of_logarithms(self, theta: np.ndarray) -> float | np.ndarray:
        """Standard deviation of the logarithms."""
        return {"relative": 0.2, "heavy": 0.8}.get(str(self.noise), theta[..., -1:])

    def moments(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the output."""
        mean = self.mean(theta)
        if self.noise == "counts":
            return mean, mean
        if isinstance(self.noise, str):
            square = self.of_logarithms(theta) ** 2
            return mean * np.exp(square / 2), mean**2 * (np.exp(2 * square) - np.exp(square))
        return mean, np.full_like(mean, float(self.noise) ** 2)


def split(theta: np.ndarray) -> list[np.ndarray]:
    """Parameters one by one, with an axis for outputs behind."""
    return [theta[..., j, None] for j in range(theta.shape[-1])]


def epidemic(theta: np.ndarray) -> np.ndarray:
    """New cases in 20 weeks of an SIR model."""
    infection, recovery, reported, infected = split(theta)
    susceptible, weeks = 1 - infected, []
    for _ in range(40):
        new, gone = infection * susceptible * infected / 2, recovery * infected / 2
        susceptible, infected = susceptible - new, infected + new - gone
        weeks.append(1000 * reported * new)
    halves = np.concatenate(weeks, axis=-1)
    return halves.reshape(*halves.shape[:-1], 20, 2).sum(axis=-1)


def decay(theta: np.ndarray) -> np.ndarray:
    """Two exponentials at 15 times."""
    first, second, slow, fast = split(theta)
    t = np.linspace(0.2, 10, 15)
    return first * np.exp(-slow * t) + second * np.exp(-fast * t)


def oscillation(theta: np.ndarray) -> np.ndarray:
    """A damped oscillation at 25 times."""
    frequency, damping, start = split(theta)
    t = np.linspace(0, 6, 25)
    return start * np.exp(-damping * t) * np.cos(frequency * t)


def growth(theta: np.ndarray) -> np.ndarray:
    """Logistic growth over 12 days."""
    rate, capacity, start = split(theta)[:3]
    return capacity / (1 + (capacity / start - 1) * np.exp(-rate * np.arange(1, 13)))


def friedman(theta: np.ndarray) -> np.ndarray:
    """Eight sums of products and waves of five parameters (after Friedman 1991)."""
    a, b, c, d, e = split(theta)
    f = 10 * np.sin(np.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e
    g = 8 * a - 4 * d * e + 3 * np.cos(3 * c)
    h = 6 * np.exp(-2 * b) + 5 * e**2
    return np.concatenate([f, g, h, f - g, g * h / 5, 5 * a * c, 4 * b - d, 3 * e + b], axis=-1)


PROBLEMS = {
    "epidemic, counts": Problem(
        epidemic,
        "counts",
        {"infection": (0.2, 2), "recovery": (0.05, 1), "reported": (0.1, 1), "infected": (0.001, 0.02)},
        ((0.8, 0.25, 0.6, 0.006), (1.4, 0.5, 0.3, 0.01), (0.6, 0.2, 0.8, 0.015)),
        20.0,
    ),
    "two exponentials": Problem(
        decay,
        0.3,
        {"first": (0.5, 5), "second": (0.5, 5), "slow": (0.05, 0.5), "fast": (0.5, 3)},
        ((2, 3, 0.2, 1.2), (4, 1, 0.1, 2)),
        60.0,
    ),
    "damped oscillation": Problem(
        oscillation,
        0.2,
        {"frequency": (0.5, 3), "damping": (0.05, 1), "start": (0.5, 3)},
        ((1.2, 0.2, 2), (2.2, 0.4, 1.5)),
        60.0,
    ),
    "logistic growth, relative noise": Problem(
        growth,
        "relative",
        {"rate": (0.1, 1.5), "capacity": (20, 200), "start": (1, 15)},
        ((0.6, 100, 5), (1.0, 50, 3)),
        60.0,
    ),
    "logistic growth, log-normal noise of 0.8": Problem(
        growth,
        "heavy",
        {"rate": (0.1, 1.5), "capacity": (20, 200), "start": (1, 15)},
        ((0.6, 100, 5), (1.0, 50, 3)),
        20.0,
    ),
    "logistic growth, noise a parameter": Problem(
        growth,
        "parameter",
        {"rate": (0.1, 1.5), "capacity": (20, 200), "start": (1, 15), "noise": (0.05, 0.6)},
        ((0.6, 100, 5, 0.2), (1.0, 50, 3, 0.4)),
        40.0,
    ),
    "Friedman's functions": Problem(
        friedman, 1.0, dict.fromkeys("abcde", (0, 1)), ((0.4, 0.6, 0.3, 0.7, 0.2), (0.7, 0.2, 0.8, 0.3, 0.6)), 60.0
    ),
}


@dataclass
class Found:
    """Shifts and widths of all parameters, and whether the posterior told that something is wrong."""

    shift: np.ndarray
    width: np.ndarray
    told: bool
    process: bool
    seconds: float


def posteriors(problem: Problem, n: int, seed: int) -> list[Found]:
    """One fit, and the posterior of every observation."""
    low, high = (np.array(side, float) for side in zip(*problem.bounds.values(), strict=True))
    prior = gb.Prior.uniform(low, high, list(problem.bounds))
    simulations = gb.simulate(problem.simulate, prior, n, seed=SEED + seed, progress=False)
    started = time.process_time()
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError("prior_predictive"), progress=False)
    seconds = time.process_time() - started
    form: Any = cost.form
    distance: Any = cost.distance
    theta = np.random.default_rng(9).uniform(low, high, (DRAWS, len(low)))
    mean, variance = problem.moments(theta)
    scale = np.asarray(distance.scale)
    found = []
    for k, truth in enumerate(problem.truths):
        x_o = problem.simulate(np.array(truth), np.random.default_rng(100 + k))
        log_weight = -problem.beta * np.mean((variance + (mean - x_o) ** 2) / scale**2, axis=1)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        exact = weight @ theta
        deviation = np.sqrt(weight @ (theta - exact) ** 2)
        posterior = gb.GibbsPosterior(prior, cost, x_o, problem.beta)
        draws = np.asarray(posterior.sample(2000, seed=1))
        shift, width = (draws.mean(axis=0) - exact) / deviation, draws.std(axis=0) / deviation
        told = bool(posterior.outcome.messages)
        found.append(Found(shift, width, told, type(form.mean).__name__ == "ProcessMean", seconds))
    return found


def posteriors_of(name: str, n: int, way: str, seed: int) -> list[Found]:
    """In a process of its own: every number of rows has programs of its own, and the system a limit on them."""
    warnings.simplefilter("ignore")
    if way == "with processes":
        return posteriors(PROBLEMS[name], n, seed)
    with mock.patch.object(means, "processes_fitted", return_value=None):
        return posteriors(PROBLEMS[name], n, seed)


def row(name: str, n: int, way: str, found: list[Found]) -> str:
    """One line of the table."""
    shift, width = (np.concatenate([getattr(one, part) for one in found]) for part in ("shift", "width"))
    share, told, seconds = (np.mean([getattr(one, part) for one in found]) for part in ("process", "told", "seconds"))
    return (
        f"| {name} | {n} | {way} | {share:.2f} | {np.sqrt(np.mean(shift**2)):.2f} | {np.abs(shift).max():.2f} | "
        f"{np.exp(np.mean(np.log(width))):.2f} | {width.min():.2f} to {width.max():.2f} | {told:.2f} | {seconds:.1f} |"
    )


def main() -> None:
    """Runs every problem with both ways of regression, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--jobs", type=int, default=1, help="fits at a time")
    arguments = parser.parse_args()
    page = Path(__file__).with_suffix(".md")
    lines = [
        "# Posteriors from few runs",
        "",
        f"`{shlex.join(['python', 'benchmarks/few_runs.py', *sys.argv[1:]])}`",
        "",
        str(__doc__).split("\n\n", 1)[1].strip(),
        "",
        "| problem | runs | regression | share with a process | rms shift | worst | width | from, to | told | fit, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows = [(name, n, way) for name in PROBLEMS for n in arguments.runs for way in ("with processes", "without")]
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        fits = {of: [pool.submit(posteriors_of, *of, seed) for seed in range(arguments.seeds)] for of in rows}
        for (name, n, way), seeds in fits.items():
            lines.append(row(name, n, way, [one for seed in seeds for one in seed.result()]))
            print(lines[-1], flush=True)
            page.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
