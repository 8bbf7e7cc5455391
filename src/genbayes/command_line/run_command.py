"""`genbayes run`: all stages: simulate, fit, sample, report."""

import argparse
from pathlib import Path

from . import stages
from .argument_types import count
from .fit_command import fit_and_tell
from .folder import Folder
from .problem import Problem
from .problem_options import add_seed, add_workers, folder_of, need_betas, need_observation, problem_of, workers_of
from .registry import Commands, register
from .report_command import add_resimulate
from .results_shown import print_result
from .sample_command import add_sampling, sample_and_store
from .simulate_command import simulate_and_tell
from .terminal import Terminal


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes run`."""
    command = commands.add("run", run, "All stages: simulate, fit, sample, report.")
    command.add_argument("--simulations", type=count, default=10_000, dest="n_simulations", metavar="N")
    add_sampling(command)
    add_resimulate(command)
    add_workers(command)
    add_seed(command)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Runs all stages of a problem."""
    problem = problem_of(options, terminal)
    betas = need_betas(options.beta or problem.sample.beta, problem, "run", options)
    need_observation(problem, problem.x_o, option=False)
    folder = folder_of(options)
    all_stages(problem, folder, {beta: folder.report(beta) for beta in betas}, options, terminal)


def all_stages(
    problem: Problem, folder: Folder, reports: dict[float, Path], options: argparse.Namespace, terminal: Terminal
) -> None:
    """Runs the stages after one another, and prints the tables of each result.

    Args:
        problem: what to infer.
        folder: of its artefacts.
        reports: inverse temperatures, and where the report on each is written.
        options: of the stages.
        terminal: on which is printed.
    """
    stages.need_plots()
    simulations = simulate_and_tell(problem, folder, options, terminal)
    cost = fit_and_tell(problem, folder, simulations, options, terminal)
    for beta, path in reports.items():
        draws = sample_and_store(problem, folder, cost, beta, options, terminal)
        reported = stages.run_report(
            problem,
            path,
            cost,
            draws,
            simulations,
            observation=problem.observation,
            resimulate=options.resimulate,
            workers=workers_of(options, problem),
            progress=not terminal.quiet,
        )
        print_result(simulations, cost, draws, reported, terminal)
        terminal.warn([*draws.outcome.messages, *(reported.check.outcome.messages if reported.check else ())])
        terminal.path(reported.path)
