"""Recordings of neurons with few runs: how close re-simulated draws come, by the number of simulations.

Every recording by itself ("alone": so many simulations for each, of which some are draws of the prior and the others
come by `refine`), all recordings together ("together": so many for all of them), and the same numbers without
refinement ("prior"). Two numbers of one new run at each of some draws, in prior-predictive standard deviations of the
seven statistics: the mean absolute distance, which is the cost, and the L2 norm, as NPE-PFN is reported. A case appends
its rows to budgets.csv in --out and is skipped where it is there.

    python benchmarks/neuron_budgets.py run --data ../shared/data/allen --out bench
    python benchmarks/hodgkin_huxley.py exact --data ../shared/data/allen --out bench
    python benchmarks/neuron_budgets.py exact --data ../shared/data/allen --out bench
    python benchmarks/neuron_budgets.py table --out bench > benchmarks/neuron_budgets.md
"""

import argparse
import itertools
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from csv_rows import append_rows, read_rows

import genbayes as gb
from genbayes import hodgkin_huxley as hh
from genbayes.hodgkin_huxley.task import BETAS, PRIOR_PREDICTIVE_STD

STIMULUS_OF = "cell_518290966"
COLUMNS = (
    *("case", "simulations", "seed", "recording", "beta", "distance", "norm"),
    *("of_the_prior", "used", "rounds", "processor_s"),
)
CASES = ("prior", "alone", "together")
# Of sbi, by neuron_rivals.py.
RIVALS = ("npe", "tsnpe")
# Draws that are simulated anew: of a posterior, and of the exact ones, beside which all others are put.
RESIMULATED, RESIMULATED_EXACT = 200, 2000
EXPLAINED = """\
`python benchmarks/neuron_budgets.py run --data DIR --out bench`; its first lines say what is measured. Means over the
recordings; ± is the standard deviation of that mean between seeds. `exact` runs the simulator inside the sampler
(`hodgkin_huxley.py exact`): no posterior of that beta should lie below it. `alone`: so many simulations for each
recording; `together`: for all recordings; `prior`: for all, without refinement. Rounds may end before all are
used. Processor time of simulations, fits and refinement (alone: of one recording)."""
EXPLAINED_RIVALS = """\
`python benchmarks/neuron_rivals.py --data DIR --out bench`: sbi's neural spline flows, which have no β, measured in the
same way. `npe`: one flow for all recordings, of draws of the prior; `tsnpe`: truncated sequential NPE, so many
simulations for each recording, in five rounds, trained anew on all in each. NPE-PFN is not run here: its network's
weights come with no package, but from their makers upon registration. The figure of its authors (Vetter et al. 2025),
for ten recordings with the same statistics, shows in sequence an L2 norm of 0.39 with 1,000 and 0.24 with 10,000
simulations for each recording (read off)."""


class Experiment:
    """Recordings and simulator; rows are kept in the folder --out."""

    def __init__(self, data: Path, out: Path):
        recordings = hh.read_recordings(data)
        out.mkdir(parents=True, exist_ok=True)
        self.path = out / "budgets.csv"
        self.names = [recording.name for recording in recordings]
        self.x_o = np.stack([hh.observation(recording) for recording in recordings])
        self.task = hh.hodgkin_huxley(next(r for r in recordings if r.name.startswith(STIMULUS_OF)))

    def is_done(self, case: str, simulations: int, seed: int, name: str) -> bool:
        """Whether the rows of a recording are there."""
        wanted = [case, str(simulations), str(seed), name]
        return any([row[column] for column in COLUMNS[:4]] == wanted for row in read_rows(self.path))

    def add(self, stack: gb.GibbsPosteriors, names: list[str], **common: Any) -> None:
        """Sample the posteriors, simulate anew at their draws, and append the rows of all of them at once."""
        draws = stack.sample(4000, seed=common["seed"], progress=False)
        rows = []
        for (i, name), (j, beta) in itertools.product(enumerate(names), enumerate(BETAS)):
            distance, norm = self.measured(draws.draws(i, j).flat, stack.x_o[i], seed=common["seed"])
            rows.append({**common, "recording": name, "beta": beta, "distance": distance, "norm": norm})
        append_rows(self.path, COLUMNS, rows)

    def measured(
        self, theta: np.ndarray, x_o: np.ndarray, *, seed: int, count: int = RESIMULATED
    ) -> tuple[float, float]:
        """Mean absolute distance and L2 norm of so many new runs at draws."""
        chosen = theta[np.linspace(0, len(theta) - 1, count).round().astype(int)]
        # The simulations of the fits have the seeds 0, 1, ...
        runs = gb.simulate_at(self.task.simulator, chosen, seed=10_000 + seed, progress=False)
        z = (runs.x[runs.ok].astype(np.float64) - x_o) / np.array(PRIOR_PREDICTIVE_STD)
        return float(np.abs(z).mean()), float(np.sqrt(np.sum(z**2, axis=1)).mean())


def run(experiment: Experiment, arguments: argparse.Namespace) -> None:
    """Fit, refine, sample and simulate anew, for every case, seed and number of simulations."""
    for n, seed, case in itertools.product(arguments.simulations, arguments.seeds, arguments.cases):
        groups = [experiment.names] if case != "alone" else [[name] for name in experiment.names]
        todo = [group for group in groups if not experiment.is_done(case, n, seed, group[-1])]
        if not todo:
            continue
        task, first = experiment.task, n if case == "prior" else max(round(arguments.share * n), 100)
        started = time.process_time()
        # The recordings by themselves have the same draws of the prior: each could have been the only one.
        simulations = gb.simulate(task.simulator, task.prior, first, seed=seed, progress=False)
        cost = gb.fit_cost(simulations, task.distance, seed=seed, progress=False)
        fitting = time.process_time() - started
        for names in todo:
            started, used, rounds = time.process_time(), n, 0
            stack = gb.GibbsPosteriors(task.prior, cost, experiment.x_o[[*map(experiment.names.index, names)]], BETAS)
            if case != "prior":
                more = {} if arguments.rounds is None else {"rounds": arguments.rounds}
                refined = gb.refine(stack, task.simulator, simulations, n - first, seed=seed, progress=False, **more)
                stack = gb.GibbsPosteriors(task.prior, refined.cost, stack.x_o, BETAS)
                used, rounds = len(refined.simulations), refined.history[-1].round
            spent = fitting + time.process_time() - started
            common = {"case": case, "simulations": n, "seed": seed, "of_the_prior": first, "used": used}
            experiment.add(stack, names, rounds=rounds, processor_s=spent, **common)


def exact(experiment: Experiment, arguments: argparse.Namespace) -> None:
    """The draws of the exact Gibbs posterior that `hodgkin_huxley.py exact` has left in --out."""
    for name, x_o in zip(experiment.names, experiment.x_o, strict=True):
        if experiment.is_done("exact", 0, 0, name):
            continue
        rows = []
        for beta in BETAS:
            chains = np.load(arguments.out / f"exact_0_{name}_{beta:g}.npy")
            draws = chains.reshape(-1, chains.shape[-1])
            distance, norm = experiment.measured(draws, x_o, seed=0, count=RESIMULATED_EXACT)
            rows.append({"case": "exact", "simulations": 0, "seed": 0, "recording": name, "beta": beta})
            rows[-1] |= {"distance": distance, "norm": norm}
        append_rows(experiment.path, COLUMNS, rows)


def table(arguments: argparse.Namespace) -> None:
    """Print mean over recordings, and the standard deviation of that mean between seeds, in Markdown."""
    every = read_rows(arguments.out / "budgets.csv")
    rows = [row for row in every if row["case"] not in RIVALS]
    print(f"# Recordings of neurons by the number of simulations\n\n{EXPLAINED}\n")
    betas = [f"{beta:g}" for beta in BETAS]
    heads = [f"{what}, β {beta}" for what in ("distance", "L2 norm") for beta in betas]
    print(f"| case | simulations | of the prior | used | seeds | {' | '.join(heads)} | processor, s |")
    print("|---" * (len(heads) + 6) + "|")
    order = {case: place for place, case in enumerate(("exact", *CASES))}
    kinds = {(order[row["case"]], int(row["simulations"]), row["case"]) for row in rows}
    for _, n, case in sorted(kinds):
        mine = [row for row in rows if (row["case"], int(row["simulations"])) == (case, n)]
        seeds = whole_seeds(mine)
        used = f"{np.mean([int(row['used']) for row in mine]):.0f}" if n else ""
        cells = [case, f"{n:,}" if n else "", mine[0]["of_the_prior"], used, str(len(seeds))]
        pairs = itertools.product(("distance", "norm"), betas)
        cells += [over_seeds(mine, seeds, column, beta) for column, beta in pairs]
        spent = [float(row["processor_s"]) for row in mine if row["processor_s"]]
        print(f"| {' | '.join(cells)} | {np.median(spent) if spent else 0:.0f} |")
    print(f"\n## By sbi\n\n{EXPLAINED_RIVALS}\n")
    print("| method | simulations | seeds | distance | L2 norm | processor, s |\n|---|---|---|---|---|---|")
    for case, n in sorted({(row["case"], int(row["simulations"])) for row in every if row["case"] in RIVALS}):
        mine = [row for row in every if (row["case"], int(row["simulations"])) == (case, n)]
        seeds = whole_seeds(mine)
        cells = [over_seeds(mine, seeds, column, "") for column in ("distance", "norm")]
        spent = np.median([float(row["processor_s"]) for row in mine])
        print(f"| {case} | {n:,} | {len(seeds)} | {' | '.join(cells)} | {spent:.0f} |")


def whole_seeds(rows: list[dict[str, str]]) -> list[str]:
    """Seeds of all recordings: one that an interruption has left without some is no mean over all."""
    counts = Counter(row["seed"] for row in rows)
    return sorted((seed for seed in counts if counts[seed] == max(counts.values())), key=int)


def over_seeds(rows: list[dict[str, str]], seeds: list[str], column: str, beta: str) -> str:
    """Mean over recordings, and its standard deviation between seeds."""
    found = [
        np.mean([float(row[column]) for row in rows if (row["seed"], row["beta"]) == (seed, beta)]) for seed in seeds
    ]
    return f"{np.mean(found):.3f}" + (f" ± {np.std(found, ddof=1):.3f}" if len(found) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for function in (run, exact, table):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(function=function)
        command.add_argument("--out", type=Path, required=True, help="folder of rows")
        if function is not table:
            command.add_argument("--data", type=Path, required=True, help="folder of recordings")
        if function is run:
            command.add_argument("--simulations", type=int, nargs="+", default=[300, 1000, 3000, 10_000])
            command.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
            command.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
            command.add_argument("--share", type=float, default=0.3, help="of the simulations that the prior gets")
            command.add_argument("--rounds", type=int, help="of refinement; if not given, those of `refine`")
    arguments = parser.parse_args()
    if arguments.function is table:
        table(arguments)
    else:
        arguments.function(Experiment(arguments.data, arguments.out), arguments)


if __name__ == "__main__":
    main()
