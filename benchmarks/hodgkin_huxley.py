"""Distance of re-simulated posterior draws to recordings of neurons: the exact Gibbs posterior, this library, NPE.

For every recording, draws of a posterior are simulated anew, with the stimulus and the initial voltage of one cell (of
the simulations) for all recordings, as in Gao, Deistler, Macke 2023; the mean distance of these runs' statistics to the
recording's is reported. A method appends its rows to METHOD.csv in --out and skips what is there; simulations are kept
there too. `table` prints what has been found.

    python benchmarks/hodgkin_huxley.py exact --data ../shared/data/allen --out bench
    python benchmarks/hodgkin_huxley.py ace --simulations 10000 --seeds 0 1 2 --data ../shared/data/allen --out bench
    python benchmarks/hodgkin_huxley.py npe --simulations 10000 --data ../shared/data/allen --out bench
    python benchmarks/hodgkin_huxley.py table --out bench > benchmarks/hodgkin_huxley.md
"""

import argparse
import itertools
import os
import platform
import resource
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from csv_rows import append_rows, read_rows
from exact_gibbs import Particles, Runs, exact_posterior

import genbayes as gb
from genbayes import hodgkin_huxley as hh
from genbayes.benchmark.methods.flows import FlowSettings, import_sbi
from genbayes.benchmark.methods.npe import NPE
from genbayes.hodgkin_huxley.task import BETAS
from genbayes.runtime.timing import stopwatch

STIMULUS_OF = "cell_518290966"
SECONDS = ("simulate_s", "fit_compile_s", "fit_s", "sample_compile_s", "sample_s", "memory_gib")
COLUMNS = (
    *("method", "simulations", "seed", "recording", "beta", "value", "error", "repeats", "predicted"),
    *("ess", "acceptance", "noise", "moves", *SECONDS, "message"),
)
METHODS = ("ace", "exact", "npe", "weighted")
SAMPLED = 4000


class Experiment:
    """Recordings, simulator and distance; simulations and rows are kept in the folder --out."""

    def __init__(self, data: Path, out: Path):
        self.out, recordings = out, hh.read_recordings(data)
        out.mkdir(parents=True, exist_ok=True)
        self.task = hh.hodgkin_huxley(next(r for r in recordings if r.name.startswith(STIMULUS_OF)))
        self.observations = {r.name: hh.observation(r) for r in recordings}

    def simulations(self, n: int, seed: int) -> gb.Simulations:
        """Of the prior, from the folder where it has them."""
        store = self.out / f"simulations_{seed}_{n}.zarr"
        return gb.simulate(self.task.simulator, self.task.prior, n, seed=seed, store=store)

    def distances(self, x: np.ndarray, x_o: np.ndarray) -> np.ndarray:
        """Of outputs (n, 7) to one observation, float64."""
        target = jnp.asarray(x_o)
        return np.asarray(jax.vmap(lambda one: self.task.distance(one, target))(jnp.asarray(x)), np.float64)

    def resimulated(self, theta: np.ndarray, x_o: np.ndarray, n: int, seed: int) -> dict[str, Any]:
        """Mean distance of fresh runs at n of the draws."""
        chosen = theta[np.linspace(0, len(theta) - 1, n).round().astype(int)]
        # The simulations of the fits have the seeds 0, 1, ...
        runs = gb.simulate_at(self.task.simulator, chosen, seed=10_000 + seed, progress=False)
        d = self.distances(runs.x[runs.ok], x_o)
        return {"value": float(d.mean()), "error": float(d.std(ddof=1) / np.sqrt(len(d))), "repeats": 1}

    def todo(self, method: str, n: int, seed: int) -> dict[str, np.ndarray]:
        """Statistics of the recordings that have no rows yet."""
        wanted = [method, str(n), str(seed)]
        done = {r["recording"] for r in read(self.out) if [r["method"], r["simulations"], r["seed"]] == wanted}
        return {name: x_o for name, x_o in self.observations.items() if name not in done}

    def add(self, rows: Iterable[dict[str, Any]], **common: Any) -> None:
        """All rows of one recording at once, so that an interruption leaves none half done."""
        common["memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        append_rows(self.out / f"{common['method']}.csv", COLUMNS, ({**common, **row} for row in rows))


def exact(experiment: Experiment, arguments: argparse.Namespace) -> None:
    """The Gibbs posterior with the simulator in the loop."""
    fields = ("candidates", "particles", "populations", "repeats", "moves")
    settings = Particles(**{field: getattr(arguments, field) for field in fields})
    for name, x_o in experiment.todo("exact", arguments.pool, arguments.seed).items():
        simulations = experiment.simulations(arguments.pool, arguments.pool_seed)
        theta, d = simulations.theta[simulations.ok], experiment.distances(simulations.x[simulations.ok], x_o)
        runs = Runs(experiment.task.simulator, experiment.task.distance, seed=arguments.seed)
        rng = np.random.default_rng([arguments.seed, *name.encode()])
        bounds = experiment.task.prior.bounds.astype(np.float64)
        found: dict[float, dict[str, Any]] = {}
        for beta, draws, cost, report in exact_posterior(runs, bounds, (theta, d), x_o, settings, rng):
            error = float(cost.mean(axis=1).std(ddof=1) / np.sqrt(len(cost)))
            found[beta] = {"beta": beta, "value": float(cost.mean()), "error": error, **report}
            print(f"{name} {found[beta]}", file=sys.stderr, flush=True)
            np.save(experiment.out / f"exact_{arguments.seed}_{name}_{beta:g}.npy", draws.astype(np.float32))
        experiment.add(
            [found[beta] for beta in BETAS],
            **{"method": "exact", "simulations": arguments.pool, "seed": arguments.seed, "recording": name},
            **{"moves": settings.moves, "repeats": settings.repeats},
        )


def weighted(experiment: Experiment, arguments: argparse.Namespace) -> None:
    """Prior runs weighted by exp(-beta d) of their own distance: biased by its noise, and coarse at a high beta."""
    for name, x_o in experiment.todo("weighted", arguments.pool, arguments.pool_seed).items():
        simulations = experiment.simulations(arguments.pool, arguments.pool_seed)
        d = experiment.distances(simulations.x[simulations.ok], x_o)
        rows = []
        for beta in BETAS:
            weight = np.exp(-beta * (d - d.min()))
            weight /= weight.sum()
            value = float(weight @ d)
            error = float(np.sqrt(np.sum((weight * (d - value)) ** 2)))
            rows.append({"beta": beta, "value": value, "error": error, "ess": float(1 / np.sum(weight**2))})
        experiment.add(rows, method="weighted", simulations=arguments.pool, seed=arguments.pool_seed, recording=name)


def ace(experiment: Experiment, arguments: argparse.Namespace) -> None:
    """This library: a fitted cost and sequential Monte Carlo."""
    for n, seed in itertools.product(arguments.simulations, arguments.seeds):
        todo = experiment.todo("ace", n, seed)
        if not todo:
            continue
        simulations = experiment.simulations(n, seed)
        with stopwatch() as fitting:
            cost = gb.fit_cost(simulations, experiment.task.distance, seed=seed)
        for name, x_o in todo.items():
            rows = []
            for beta in BETAS:
                draws = gb.GibbsPosterior(experiment.task.prior, cost, x_o, beta).sample(SAMPLED, seed=seed)
                row = {"beta": beta, "predicted": float(draws.cost.mean()), "message": " ".join(draws.outcome.messages)}
                row |= {"sample_compile_s": draws.seconds["compile"], "sample_s": draws.seconds["run"]}
                rows.append(row | experiment.resimulated(draws.flat, x_o, arguments.draws, seed))
            experiment.add(rows, method="ace", recording=name, **fit_columns(n, seed, simulations, fitting))


def npe(experiment: Experiment, arguments: argparse.Namespace) -> None:
    """Neural posterior estimation by sbi; it has no beta."""
    import_sbi("torch").set_num_threads(arguments.threads)
    method = NPE(settings=FlowSettings(max_num_epochs=arguments.epochs))
    for n, seed in itertools.product(arguments.simulations, arguments.seeds):
        todo = experiment.todo("npe", n, seed)
        if not todo:
            continue
        simulations = experiment.simulations(n, seed)
        fitted = method.fit(experiment.task, simulations, seed=seed, progress=True)
        for name, x_o in todo.items():
            draws = fitted.sample(x_o, 0.0, SAMPLED, seed=seed)
            row: dict[str, Any] = {"message": " ".join((*fitted.messages, *draws.messages))}
            row |= {"sample_compile_s": draws.seconds["compile"], "sample_s": draws.seconds["run"]}
            row |= experiment.resimulated(draws.theta, x_o, arguments.draws, seed)
            experiment.add([row], method="npe", recording=name, **fit_columns(n, seed, simulations, fitted.seconds))


def fit_columns(n: int, seed: int, simulations: gb.Simulations, fitting: dict[str, float]) -> dict[str, Any]:
    seconds = {"simulate_s": simulations.seconds, "fit_compile_s": fitting["compile"], "fit_s": fitting["run"]}
    return {"simulations": n, "seed": seed, **seconds}


def read(out: Path) -> list[dict[str, str]]:
    # Other benchmarks may keep rows in the same folder.
    return [row for method in METHODS for row in read_rows(out / f"{method}.csv")]


def report(rows: list[dict[str, str]]) -> str:
    """Mean over recordings, every recording, and seconds, in Markdown."""
    methods = sorted({(row["method"], int(row["simulations"])) for row in rows})
    names = sorted({row["recording"] for row in rows})
    means, every, seconds = [], [], []
    for method, n in methods:
        mine = [row for row in rows if row["method"] == method and int(row["simulations"]) == n]
        seeds = sorted({row["seed"] for row in mine}, key=int)
        found = np.full((2, len(BETAS), len(names), len(seeds)), np.nan)
        for row in mine:
            # A method without beta has one value, in the first column.
            i = BETAS.index(float(row["beta"])) if row["beta"] else 0
            found[:, i, names.index(row["recording"]), seeds.index(row["seed"])] = row["value"], row["error"]
        value, error = found[0].mean(axis=2), np.sqrt((found[1] ** 2).mean(axis=2) / len(seeds))
        cells = [[cell(v, e) for v, e in zip(*column, strict=True)] for column in zip(value, error, strict=True)]
        over = zip(value.mean(axis=1), np.sqrt((error**2).mean(axis=1) / len(names)), strict=True)
        means.append([method, f"{n:,}", str(len(seeds)), *(cell(v, e) for v, e in over)])
        every += [[method, f"{n:,}", name, *column] for name, *column in zip(names, *cells, strict=True)]
        if mine[0]["fit_s"]:
            spent = np.array([[float(row[column]) for column in SECONDS] for row in mine])
            # The first posterior compiles for all, and memory is that of the process so far.
            shown = [f"{s:.1f}" for s in (*np.median(spent[:, :3], axis=0), spent[:, 3].max())]
            seconds.append([method, f"{n:,}", *shown, f"{np.median(spent[:, 4]):.2f}", f"{spent[:, 5].max():.1f}"])
    betas = [f"beta {beta:g}" for beta in BETAS]
    kinds = ["simulate", "compile the fit", "fit", "compile sampling", f"{SAMPLED:,} draws", "memory, GiB"]
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} core(s)"
    return "\n\n".join(
        [
            f"Mean over {len(names)} recordings, and its Monte Carlo error.",
            table(["method", "simulations", "seeds", *betas], means),
            table(["method", "simulations", "recording", *betas], every),
            f"Seconds on {machine}; absolute times mean little on shared machines.",
            table(["method", "simulations", *kinds], seconds),
        ]
    )


def cell(value: float, error: float) -> str:
    return f"{value:.4f} +- {error:.4f}" if np.isfinite(value) else ""


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for function in (exact, weighted, ace, npe):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(function=function)
        command.add_argument("--data", type=Path, required=True, help="folder of recordings")
        command.add_argument("--out", type=Path, required=True, help="folder of rows and simulations")
        if function in (ace, npe):
            command.add_argument("--simulations", type=int, nargs="+", default=[10_000])
            command.add_argument("--seeds", type=int, nargs="+", default=[0])
            command.add_argument("--draws", type=int, default=100, help="posterior draws that are simulated anew")
        else:
            command.add_argument("--pool", type=int, default=100_000, help="prior runs")
            command.add_argument("--pool-seed", type=int, default=1)
        if function is npe:
            command.add_argument("--threads", type=int, default=1, help="of PyTorch")
            command.add_argument("--epochs", type=int, default=1000, help="at most")
        if function is exact:
            command.add_argument("--seed", type=int, default=0, help="of particles and their runs")
            for field in ("candidates", "particles", "populations", "repeats", "moves"):
                command.add_argument(f"--{field}", type=int, default=getattr(Particles, field), help="see exact_gibbs")
    command = commands.add_parser("table", help="Markdown of the rows in --out")
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(function=None)
    arguments = parser.parse_args()
    if arguments.function is None:
        print(f"# Hodgkin-Huxley: distance of re-simulated draws\n\n{report(read(arguments.out))}")
    else:
        arguments.function(Experiment(arguments.data, arguments.out), arguments)


if __name__ == "__main__":
    main()
