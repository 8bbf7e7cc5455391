"""`genbayes fit`: fit the cost on the stored simulations."""

import argparse

from ..costs.cost import Cost
from ..costs.store_rows import ROWS_IN_MEMORY
from ..simulations.rows import Simulations
from . import stages
from .argument_types import count
from .folder import Folder, command_line, stored_simulations
from .problem import Problem
from .problem_options import add_seed, folder_of, problem_of
from .registry import Commands, register
from .results_shown import seconds_of
from .terminal import Terminal


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes fit`."""
    command = commands.add("fit", run, "Fit the cost on the stored simulations.")
    add_seed(command)
    command.add_argument(
        "--in-memory",
        type=count,
        default=ROWS_IN_MEMORY,
        metavar="ROWS",
        help=f"of a store with more simulations, so many are fitted in memory and all in blocks (default: "
        f"{ROWS_IN_MEMORY})",
    )


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Fits the cost on the stored simulations."""
    problem, folder = problem_of(options, terminal), folder_of(options)
    done, stored = folder.stored()
    simulations = stored_simulations(problem, folder, options.in_memory)
    if done < stored:
        remedy = f"go on with: {command_line('simulate', problem)} -n {stored}"
        terminal.warn([f"Only {done} of {stored} simulations have been run, and these are used; {remedy}"])
    fit_and_tell(problem, folder, simulations, options, terminal, options.in_memory)
    terminal.path(folder.cost)


def fit_and_tell(
    problem: Problem,
    folder: Folder,
    simulations: Simulations,
    options: argparse.Namespace,
    terminal: Terminal,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> Cost:
    """Fits and stores the cost, and says how long it took and what went wrong; see `stages.run_fit`."""
    progress = not terminal.quiet
    cost = stages.run_fit(
        problem, folder, simulations, seed=options.seed, progress=progress, rows_in_memory=rows_in_memory
    )
    seconds, told = seconds_of(cost.fit), f"{simulations.counts.succeeded} simulations"
    if "rows_in_memory" in cost.settings:
        good = cost.settings["simulations"] - cost.settings["simulations_failed"]
        told = f"{good} simulations, {cost.settings['rows_in_memory']} of them in memory and all in blocks"
    terminal.say(f"fitted the cost on {told}: {seconds['run']:.1f} s, and {seconds['compile']:.1f} s of compiling")
    terminal.warn(cost.outcome.messages)
    return cost
