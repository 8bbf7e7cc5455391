"""`genbayes run`: all stages: simulate, fit, sample, report; without beta, the one to take instead of draws."""

import argparse
from pathlib import Path

from ..runtime.units import unit_of_beta
from ..temperature.rules import default_options
from . import stages
from .fit_command import fit_and_tell
from .folder import Folder, stored_sections
from .problem import Problem
from .problem_options import (
    add_other_observation,
    add_seed,
    add_simulations,
    add_workers,
    folder_of,
    need_observation,
    problem_of,
    with_observation,
    workers_of,
)
from .registry import Commands, register
from .report_command import add_resimulate
from .results_shown import print_result
from .sample_command import add_sampling, sample_and_store
from .simulate_command import simulate_and_tell
from .temperature_command import advise
from .terminal import Terminal

NO_BETA = (
    "No beta is given, in --beta or in the table [sample], and it has no default: it says how strongly the cost speaks "
    "against the prior, {unit}. The rules say now which to take; then the same command with it goes on."
)
# Draws at each beta of the ladder by which the rules choose.
_LADDER_DRAWS = 2000


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes run`."""
    text = "All stages: simulate, fit, sample, report; without beta, the one to take instead of draws."
    command = commands.add("run", run, text)
    add_simulations(command, 10_000, "runs of the simulator in all (default: 10000)")
    add_sampling(command)
    add_other_observation(command)
    add_resimulate(command)
    add_workers(command)
    add_seed(command)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Runs all stages of a problem, or, where it names no beta, those by which one is chosen.

    Raises:
        ValueError: there is no observation; or no rule could choose a beta.
    """
    problem = with_observation(problem_of(options, terminal), options)
    need_observation(problem, problem.x_o)
    folder = folder_of(options)
    betas = tuple(sorted(set(options.beta or problem.sample.beta)))
    if betas:
        all_stages(problem, folder, {beta: folder.report(beta) for beta in betas}, options, terminal)
    else:
        _choose_beta(problem, folder, options, terminal)


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
        draws = sample_and_store(problem, folder, cost, beta, options, terminal, problem.x_o)
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
            sections=stored_sections(folder, cost, beta),
        )
        print_result(simulations, cost, draws, reported, terminal)
        terminal.warn([*draws.outcome.messages, *(reported.check.outcome.messages if reported.check else ())])
        terminal.path(reported.path)


def _choose_beta(problem: Problem, folder: Folder, options: argparse.Namespace, terminal: Terminal) -> None:
    """Simulates and fits, and lets the rules say which beta to take."""
    stages.need_plots()
    terminal.say(NO_BETA.format(unit=unit_of_beta(problem.distance.units)))
    simulations = simulate_and_tell(problem, folder, options, terminal)
    cost = fit_and_tell(problem, folder, simulations, options, terminal)
    asked = {**vars(options), **default_options(), "rule": None, "beta": None, "draws": _LADDER_DRAWS}
    advise(problem, folder, cost, simulations, argparse.Namespace(**asked), terminal, options.command_line)
