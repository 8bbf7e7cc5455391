"""How accurate a cost is: by its budget of simulations, by the targets of its training, and outside the simulations.

python benchmarks/cost_accuracy.py [--part budget targets outside] [--seeds 3] writes benchmarks/cost_accuracy.md. On
tasks whose cost is known. The error is the standard deviation of beta times (fitted - exact cost) over draws of the
exact posterior, in nats: what a posterior suffers; rms over observations and seeds.
"""

import argparse
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import genbayes as gb
from genbayes.costs.fit_general import GENERAL_CONFIG
from genbayes.tasks.task import Task

BUDGETS = 100, 300, 1000, 3000, 10_000, 30_000, 100_000
OBSERVATIONS, DRAWS = 5, 1000
# Prior-predictive standard deviations by which every output is moved away.
OUTSIDE = 0.0, 1.0, 2.0, 4.0, 8.0
TASKS = "uniform_1d", "two_moons", "linear_gaussian", "gaussian_mixture"


def moon_features(theta: np.ndarray) -> np.ndarray:
    return np.stack([np.abs(theta[:, 0] + theta[:, 1]), theta[:, 1] - theta[:, 0]], axis=1)


# What the mean output is a linear function of.
FEATURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "uniform_1d": lambda theta: theta ** np.arange(1, 5),
    "two_moons": moon_features,
    "linear_gaussian": lambda theta: theta,
}


def observed(task: Task, seed: int) -> Iterator[tuple[np.ndarray, float, np.ndarray]]:
    """Observations of the prior, the task's middle beta, and exact draws."""
    simulations = gb.simulate(task.simulator, task.prior, OBSERVATIONS, seed=1000 + seed, progress=False)
    beta = task.betas[1]
    for x_o in np.asarray(simulations.x):
        yield x_o, beta, exact_draws(task, x_o, beta, seed)


def exact_draws(task: Task, x_o: np.ndarray, beta: float, seed: int) -> np.ndarray:
    assert task.reference is not None
    return task.reference(x_o, beta, DRAWS, seed)


def nats(cost: Callable, task: Task, x_o: np.ndarray, beta: float, draws: np.ndarray) -> float:
    """The error of a cost."""
    assert task.cost is not None
    return beta * float(np.std(np.asarray(cost(draws, x_o), float) - np.asarray(task.cost(draws, x_o), float)))


def rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def least_squares(task: Task, simulations: gb.Simulations) -> Callable:
    """The cost by who knows of which functions the mean is a linear one, and that the noise is even."""
    of = FEATURES[task.name]
    columns = lambda theta: np.insert(of(np.asarray(theta, float)), 0, 1.0, axis=1)  # noqa: E731
    solved = np.linalg.lstsq(columns(simulations.theta), np.asarray(simulations.x, float), rcond=None)[0]
    return lambda theta, x_o: np.mean((columns(theta) @ solved - x_o) ** 2, axis=1)


def budget(seeds: int) -> Iterator[str]:
    """Four tasks with everything at its default, beside least squares by who knows the form of the mean."""
    yield "| task | runs | error (nats) | limit (nats) | ratio | fit (s) |"
    yield "|---|---|---|---|---|---|"
    for name in TASKS:
        task = gb.tasks.TASKS[name]()
        for runs in BUDGETS:
            errors, limits, seconds = [], [], []
            for seed in range(seeds):
                simulations = gb.simulate(task.simulator, task.prior, runs, seed=seed, progress=False)
                started = time.perf_counter()
                cost = gb.fit_cost(simulations, task.distance, seed=seed, progress=False)
                seconds.append(time.perf_counter() - started)
                knowing = least_squares(task, simulations) if name in FEATURES else None
                for x_o, beta, draws in observed(task, seed):
                    errors.append(nats(cost, task, x_o, beta, draws))
                    if knowing is not None:
                        limits.append(nats(knowing, task, x_o, beta, draws))
            limit, ratio = (f"{rms(limits):.3g}", f"{rms(errors) / rms(limits):.2g}") if limits else ("", "")
            yield f"| {name} | {runs:,} | {rms(errors):.3g} | {limit} | {ratio} | {np.mean(seconds):.1f} |"


def general(task: Task, simulations: gb.Simulations, seed: int, config: gb.FitConfig = GENERAL_CONFIG) -> gb.Cost:
    return gb.fit_cost(simulations, task.distance, method="general", config=config, seed=seed, progress=False)


def targets(seeds: int) -> Iterator[str]:
    """The general network by the targets in its training: inside the prior predictive, and 3 deviations outside."""
    yield "| task | targets | of noise | noise (sd) | error inside (nats) | outside (nats) |"
    yield "|---|---|---|---|---|---|"
    for name in ("uniform_1d", "two_moons"):
        task = gb.tasks.TASKS[name]()
        settings = [(1, 0, 2.0), (4, 0, 2.0), (16, 0, 2.0), *((2, 2, noise) for noise in (0.5, 1.0, 2.0, 4.0))]
        for own, noisy, scale in [*settings, (1, 1, 2.0), (8, 8, 2.0)]:
            inside, outside = [], []
            for seed in range(seeds):
                simulations = gb.simulate(task.simulator, task.prior, 3000, seed=seed, progress=False)
                config = replace(GENERAL_CONFIG, targets=own, noise_targets=noisy, noise_scale=scale)
                cost = general(task, simulations, seed, config)
                spread = np.asarray(simulations.x).std(axis=0)
                for x_o, beta, draws in observed(task, seed):
                    inside.append(nats(cost, task, x_o, beta, draws))
                    away = x_o + 3 * spread
                    outside.append(nats(cost, task, away, beta, exact_draws(task, away, beta, seed)))
            yield f"| {name} | {own} | {noisy} | {scale:g} | {rms(inside):.3g} | {rms(outside):.3g} |"


def outside(seeds: int) -> Iterator[str]:
    """The three forms of a cost where every output of the observation is moved away from the simulations."""
    yield "| task | moved by (sd) | features | marginal | general |"
    yield "|---|---|---|---|---|"
    for name in ("uniform_1d", "two_moons", "linear_gaussian"):
        task = gb.tasks.TASKS[name]()
        errors: dict[float, list[list[float]]] = {moved: [[], [], []] for moved in OUTSIDE}
        for seed in range(seeds):
            simulations = gb.simulate(task.simulator, task.prior, 3000, seed=seed, progress=False)
            costs = [
                gb.fit_cost(simulations, task.distance, seed=seed, progress=False),
                gb.fit_cost(simulations, task.distance, method="marginal", seed=seed, progress=False),
                general(task, simulations, seed),
            ]
            spread = np.asarray(simulations.x).std(axis=0)
            for x_o, beta, _ in observed(task, seed):
                for moved in OUTSIDE:
                    away = x_o + moved * spread
                    draws = exact_draws(task, away, beta, seed)
                    for found, cost in zip(errors[moved], costs, strict=True):
                        found.append(nats(cost, task, away, beta, draws))
        for moved, found in errors.items():
            yield f"| {name} | {moved:g} | " + " | ".join(f"{rms(one):.3g}" for one in found) + " |"


PARTS = {"budget": budget, "targets": targets, "outside": outside}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    command = f"python benchmarks/cost_accuracy.py --part {' '.join(arguments.part)} --seeds {arguments.seeds}"
    lines = ["# How accurate a cost is", "", f"`{command}`", "", *about(), ""]
    for part in arguments.part:
        lines += [f"## {part.capitalize()}", "", str(PARTS[part].__doc__), ""]
        for line in PARTS[part](arguments.seeds):
            lines.append(line)
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        lines.append("")
        Path(__file__).with_suffix(".md").write_text("\n".join(lines))


def about() -> list[str]:
    """What is measured, from this file's first lines."""
    return textwrap.wrap(" ".join(str(__doc__).split("writes benchmarks/cost_accuracy.md. ")[1].split()), 99)


if __name__ == "__main__":
    main()
