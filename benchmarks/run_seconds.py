"""Refinement where runs of different parameters take different time, with and without a choice of draws by it.

python benchmarks/run_seconds.py [--seeds 5] writes benchmarks/run_seconds.md. Simulators of few_runs.py whose expected
cost is known. A run is said to take exp(s u) seconds (a tenth of noise), u one parameter in standard deviations of the
exact posterior from its mean: from the one end of two standard deviations to the other exp(4 s) times as long. 150 runs
of the prior, then 400 by `refine` in two rounds without the choice; with it as many ("same runs"), and as many more
as take the same seconds ("same seconds"). The error is the standard deviation of the log density's error over the exact
posterior; ratios are geometric means over the seeds, with their standard errors. In theory the error falls, at the same
seconds, by exp(-s^2 / 8) or more: .88 for s = 1.
"""

import argparse
import shlex
import sys
import textwrap
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from few_runs import DRAWS, PROBLEMS, SEED

import genbayes as gb
from genbayes.refinement import rounds
from genbayes.refinement.agreement import Agreement

# Problem, place of the parameter, s.
CASES = (
    ("two exponentials", 3, 1.0),
    ("epidemic, counts", 0, 1.0),
    ("logistic growth, relative noise", 1, 0.6),
)
FIRST, NEW = 150, 400


class Experiment:
    """One problem with its first observation, its exact posterior, and what its runs take."""

    def __init__(self, name: str, place: int, s: float):
        self.problem, self.place, self.s = PROBLEMS[name], place, s
        self.low, self.high = (np.array(side, float) for side in zip(*self.problem.bounds.values(), strict=True))
        self.prior = gb.Prior.uniform(self.low, self.high, list(self.problem.bounds))
        self.x_o = self.problem.simulate(np.array(self.problem.truths[0]), np.random.default_rng(100))

    def ratios(self, seed: int) -> tuple[float, float, float, float]:
        """Of seconds and errors with as many runs, and with as many seconds."""
        simulations = gb.simulate(self.problem.simulate, self.prior, FIRST, seed=SEED + seed, progress=False)
        cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError("prior_predictive"), progress=False)
        distance: Any = cost.distance
        self._exact(np.asarray(distance.scale))
        posterior = gb.GibbsPosterior(self.prior, cost, self.x_o, self.problem.beta)
        simulations = self.with_seconds(simulations)
        error, seconds = self._refined(posterior, simulations, NEW, seed, by_seconds=False)
        same_runs = self._refined(posterior, simulations, NEW, seed)
        same_seconds = self._refined(posterior, simulations, round(NEW * seconds / same_runs[1]), seed)
        return (same_runs[1] / seconds, same_runs[0] / error, same_seconds[1] / seconds, same_seconds[0] / error)

    def _exact(self, scale: np.ndarray) -> None:
        theta = np.random.default_rng(9).uniform(self.low, self.high, (DRAWS, len(self.low)))
        mean, variance = self.problem.moments(theta)
        log_weight = -self.problem.beta * np.mean((variance + (mean - self.x_o) ** 2) / scale**2, axis=1)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        rows = np.random.default_rng(3).choice(DRAWS, 3000, p=weight)
        self.draws, self.log_density = theta[rows].astype(np.float32), log_weight[rows]

    def with_seconds(self, simulations: gb.Simulations) -> gb.Simulations:
        """What the runs are said to take."""
        exact = self.draws[:, self.place]
        u = (simulations.theta[:, self.place] - exact.mean()) / exact.std()
        noise = np.random.default_rng(len(simulations)).normal(size=len(u))
        return replace(simulations, run_seconds=np.exp(self.s * u + 0.1 * noise).astype(np.float32))

    def _refined(
        self, posterior: gb.GibbsPosterior, simulations: gb.Simulations, n: int, seed: int, **options: Any
    ) -> tuple[float, float]:
        """Error of the log density, and the seconds of all new runs; no round ends the others."""
        simulate_round = rounds.simulate_round
        timed = mock.patch.object(
            rounds, "simulate_round", lambda *given, **named: self.with_seconds(simulate_round(*given, **named))
        )
        with timed, mock.patch.object(Agreement, "suffices", False):
            refined = gb.refine(
                posterior, self.problem.simulate, simulations, n, rounds=2, seed=seed, progress=False, **options
            )
        values = -self.problem.beta * np.asarray(refined.cost(self.draws, self.x_o), float)
        return float(np.std(values - self.log_density)), float(refined.simulations.run_seconds[FIRST:].sum())


def ratio(values: np.ndarray) -> str:
    """Geometric mean and its standard error."""
    logs = np.log(values)
    mean = np.exp(logs.mean())
    return f"{mean:.2f} ± {mean * np.std(logs, ddof=1) / np.sqrt(len(logs)):.2f}" if len(logs) > 1 else f"{mean:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore")
    told = " ".join(str(__doc__).split("writes benchmarks/run_seconds.md. ")[1].split())
    lines = [
        "# Runs of different length",
        "",
        f"`{shlex.join(['python', 'benchmarks/run_seconds.py', *sys.argv[1:]])}`",
        "",
    ]
    lines += [textwrap.fill(told, 99), ""]
    lines += [
        "| simulator | s | same runs: seconds | error | same seconds: seconds | error |",
        "|---|---|---|---|---|---|",
    ]
    for name, place, s in CASES:
        experiment = Experiment(name, place, s)
        found = np.array([experiment.ratios(seed) for seed in range(seeds)])
        lines.append(f"| {name} | {s:g} | {' | '.join(ratio(column) for column in found.T)} |")
        print(lines[-1], flush=True)
        Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
