"""Recordings of neurons by sbi: NPE, and truncated sequential NPE, at the numbers of simulations of neuron_budgets.py.

NPE is amortized: one flow for all recordings, of draws of the prior. TSNPE (Deistler, Goncalves and Macke 2022) has a
flow for each recording, of --rounds rounds, from the prior where the flow before has its mass. Neural spline flows with
sbi's defaults; neither has a beta. What is measured, and the rows in budgets.csv of --out, are those of
neuron_budgets.py, whose `table` shows them.

    python benchmarks/neuron_rivals.py --cases npe --simulations 1000 10000 --data ../shared/data/allen --out bench
    python benchmarks/neuron_rivals.py --cases tsnpe --simulations 1000 --data ../shared/data/allen --out bench
"""

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
from csv_rows import append_rows
from neuron_budgets import COLUMNS, RIVALS, Experiment

import genbayes as gb
from genbayes.benchmark.methods.flows import FlowSettings, NoTracker, import_sbi, torch_scope
from genbayes.benchmark.methods.npe import NPE, FittedNPE

SAMPLED = 4000
# sbi's own is a million draws for the threshold, of which it leaves out a ten-thousandth.
SUPPORT_DRAWS, LEFT_OUT = 100_000, 1e-4


def npe(experiment: Experiment, names: list[str], n: int, seed: int, rounds: int) -> FittedNPE:
    """One flow for all recordings, of draws of the prior."""
    simulations = gb.simulate(experiment.task.simulator, experiment.task.prior, n, seed=seed, progress=False)
    return NPE(settings=FlowSettings()).fit(experiment.task, simulations, seed=seed, progress=False)


def tsnpe(experiment: Experiment, names: list[str], n: int, seed: int, rounds: int) -> FittedNPE:
    """A flow for one recording, whose every round simulates where the one before has its mass."""
    torch, inference, utils = (import_sbi(module) for module in ("torch", "sbi.inference", "sbi.utils"))
    task = experiment.task
    bounds = torch.as_tensor(np.asarray(task.prior.bounds, np.float32))
    x_o = torch.as_tensor(experiment.x_o[experiment.names.index(names[0])].astype(np.float32))[None]
    prior = utils.BoxUniform(bounds[:, 0], bounds[:, 1])
    trainer = inference.NPE(prior=prior, density_estimator="nsf", tracker=NoTracker(), show_progress_bars=False)
    proposal, estimator = prior, None
    with torch_scope(seed):
        for k in range(rounds):
            if estimator is not None:
                posterior = trainer.build_posterior(estimator).set_default_x(x_o)
                inside = utils.get_density_thresholder(posterior, LEFT_OUT, SUPPORT_DRAWS)
                proposal = utils.RestrictedPrior(prior, inside, posterior, sample_with="sir")
            size = n * (k + 1) // rounds - n * k // rounds
            theta = proposal.sample((size,)).numpy()
            runs = gb.simulate_at(task.simulator, theta, seed=1000 * seed + k, names=task.prior.names, progress=False)
            trainer.append_simulations(torch.as_tensor(runs.theta[runs.ok]), torch.as_tensor(runs.x[runs.ok]))
            # Truncated proposals are the prior up to a constant: the loss of the first round stays right.
            estimator = trainer.train(force_first_round_loss=True, retrain_from_scratch=True)
    return FittedNPE(task.prior, task.distance, (x_o.shape[1],), estimator, {}, ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder of rows")
    parser.add_argument("--cases", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--simulations", type=int, nargs="+", default=[1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rounds", type=int, default=5, help="of TSNPE")
    arguments = parser.parse_args()
    import_sbi("torch").set_num_threads(1)
    experiment = Experiment(arguments.data, arguments.out)
    for seed, n, case in itertools.product(arguments.seeds, arguments.simulations, arguments.cases):
        groups = [experiment.names] if case == "npe" else [[name] for name in experiment.names]
        for names in groups:
            if experiment.is_done(case, n, seed, names[-1]):
                continue
            rounds = 1 if case == "npe" else arguments.rounds
            started = time.process_time()
            fitted = {"npe": npe, "tsnpe": tsnpe}[case](experiment, names, n, seed, rounds)
            common: dict[str, Any] = {"case": case, "simulations": n, "seed": seed, "used": n, "rounds": rounds}
            common |= {"of_the_prior": n // rounds, "processor_s": time.process_time() - started}
            rows = []
            for name in names:
                x_o = experiment.x_o[experiment.names.index(name)]
                theta = fitted.sample(x_o, 0.0, SAMPLED, seed=seed).theta
                distance, norm = experiment.measured(theta, x_o, seed=seed)
                rows.append({**common, "recording": name, "distance": distance, "norm": norm})
            append_rows(experiment.path, COLUMNS, rows)


if __name__ == "__main__":
    main()
