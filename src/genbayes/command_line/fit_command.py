"""`genbayes fit`: fit the cost on the stored simulations."""

import argparse

from ..costs.cost import Cost
from ..simulations.rows import Simulations
from . import stages
from .folder import Folder, command_line, stored_simulations
from .problem import Problem
from .problem_options import add_seed, folder_of, problem_of
from .registry import Commands, register
from .results_shown import seconds_of
from .terminal import Terminal


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes fit`."""
    add_seed(commands.add("fit", run, "Fit the cost on the stored simulations."))


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Fits the cost on the stored simulations."""
    problem, folder = problem_of(options, terminal), folder_of(options)
    done, stored = folder.stored()
    simulations = stored_simulations(problem, folder)
    if done < stored:
        remedy = f"go on with: {command_line('simulate', problem)} -n {stored}"
        terminal.warn([f"Only {done} of {stored} simulations have been run, and these are used; {remedy}"])
    fit_and_tell(problem, folder, simulations, options, terminal)
    terminal.path(folder.cost)


def fit_and_tell(
    problem: Problem, folder: Folder, simulations: Simulations, options: argparse.Namespace, terminal: Terminal
) -> Cost:
    """Fits and stores the cost, and says how long it took and what went wrong."""
    cost = stages.run_fit(problem, folder, simulations, seed=options.seed, progress=not terminal.quiet)
    seconds = seconds_of(cost.fit)
    terminal.say(
        f"fitted the cost on {int(simulations.ok.sum())} simulations: {seconds['run']:.1f} s, and "
        f"{seconds['compile']:.1f} s of compiling"
    )
    terminal.warn(cost.outcome.messages)
    return cost
