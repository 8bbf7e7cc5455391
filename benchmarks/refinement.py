"""Accuracy before and after refinement, where the answer is known and on recordings of neurons.

`tasks`: C2ST to exact reference draws at the highest beta of two tasks, well- and misspecified observations (drawn by
--observation-seed), 10,000 simulations of the prior and then 2,000 more for each observation by itself.

`neurons`: mean distance of re-simulated draws to five recordings, 10,000 simulations of the prior and then 10,000 more
for all recordings together; the exact Gibbs posterior's distances stand in hodgkin_huxley.md.

    python benchmarks/refinement.py tasks
    python benchmarks/refinement.py neurons --data ../shared/data/allen
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import genbayes as gb
from genbayes import hodgkin_huxley as hh
from genbayes.benchmark.c2st import c2st
from genbayes.hodgkin_huxley.task import BETAS
from genbayes.tasks.observations import draw_observations

TASKS = {"linear_gaussian": 100.0, "two_moons": 1000.0}
STIMULUS_OF = "cell_518290966"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tasks", "neurons"))
    parser.add_argument("--task", choices=tuple(TASKS), nargs="+", default=list(TASKS))
    parser.add_argument("--simulations", type=int, default=10_000, help="of the prior")
    parser.add_argument("--new", type=int, help="2000 for each observation of a task, 10000 for all recordings")
    parser.add_argument("--rounds", type=int, help="if not given, those of `refine`")
    parser.add_argument("--method", choices=("auto", "marginal"), default="auto", help="of `fit_cost`, for tasks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--observations", type=int, default=5, help="of each kind")
    parser.add_argument("--observation-seed", type=int, default=2026)
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--data", type=Path, help="folder of recordings")
    arguments = parser.parse_args()
    (tasks if arguments.what == "tasks" else neurons)(arguments)


def tasks(arguments: argparse.Namespace) -> None:
    """C2ST before and after."""
    print("| task | beta | observations | before | after | after, worst |\n|---|---|---|---|---|---|")
    for name in arguments.task:
        beta = TASKS[name]
        task = getattr(gb.tasks, name)()
        simulations = gb.simulate(
            task.simulator, task.prior, arguments.simulations, seed=arguments.seed, progress=False
        )
        cost = gb.fit_cost(simulations, task.distance, seed=arguments.seed, method=arguments.method, progress=False)
        for kind, observations in draw_observations(
            task, arguments.observations, seed=arguments.observation_seed
        ).items():
            scores = []
            for x_o in observations:
                posterior = gb.GibbsPosterior(task.prior, cost, x_o, beta)
                refined = gb.refine(
                    posterior,
                    task.simulator,
                    simulations,
                    arguments.new or 2000,
                    rounds=arguments.rounds,
                    seed=arguments.seed + 1,
                    progress=False,
                )
                reference = task.reference(x_o, beta, arguments.draws, 1)
                pair = (posterior, refined.posteriors[0])
                scores.append([c2st(one.sample(arguments.draws, seed=2).flat, reference) for one in pair])
            before, after = np.array(scores).T
            error = np.std(after, ddof=1) / np.sqrt(len(after))
            cells = (f"{before.mean():.3f}", f"{after.mean():.3f} ± {error:.3f}", f"{after.max():.3f}")
            print(f"| {name} | {beta:g} | {len(scores)} {kind} | {' | '.join(cells)} |", flush=True)


def neurons(arguments: argparse.Namespace) -> None:
    """Re-simulated distances before and after."""
    recordings = hh.read_recordings(arguments.data)
    task = hh.hodgkin_huxley(next(one for one in recordings if one.name.startswith(STIMULUS_OF)))
    x_o = np.stack([hh.observation(one) for one in recordings])
    simulations = gb.simulate(task.simulator, task.prior, arguments.simulations, seed=arguments.seed)
    started = time.process_time()
    cost = gb.fit_cost(simulations, task.distance, seed=arguments.seed)
    fitted = time.process_time()
    stack = gb.GibbsPosteriors(task.prior, cost, x_o, BETAS)
    refined = gb.refine(
        stack, task.simulator, simulations, arguments.new or 10_000, rounds=arguments.rounds, seed=arguments.seed + 1
    )
    ended = time.process_time()
    print(refined.summary())
    print(f"processor time: first fit {fitted - started:.0f} s, refinement {ended - fitted:.0f} s")
    print("| | " + " | ".join(f"beta {beta:g}" for beta in BETAS) + " |\n|---|" + "---|" * len(BETAS))
    for label, one in (("before", cost), ("after", refined.cost)):
        found = distances(task, gb.GibbsPosteriors(task.prior, one, x_o, BETAS), arguments)
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        cells = [f"{mean:.3f} ± {se:.3f}" for mean, se in zip(found.mean(axis=0), error, strict=True)]
        print(f"| {label} | " + " | ".join(cells) + " |", flush=True)


def distances(task: gb.tasks.Task, stack: gb.GibbsPosteriors, arguments: argparse.Namespace) -> np.ndarray:
    """Mean distance of one new run at each of 400 draws, for every recording and beta."""
    draws = stack.sample(arguments.draws, seed=arguments.seed)
    found = np.zeros((len(stack), len(BETAS)))
    for i, j in np.ndindex(*found.shape):
        theta = draws.draws(i, j).flat
        rows = np.linspace(0, len(theta) - 1, 400).round().astype(int)
        runs = gb.simulate_at(task.simulator, theta[rows], seed=1000 + i, progress=False)
        to_recording = jax.vmap(stack.cost.distance, in_axes=(0, None))
        found[i, j] = np.mean(to_recording(jnp.asarray(runs.x[runs.ok]), jnp.asarray(stack.x_o[i])))
    return found


if __name__ == "__main__":
    main()
