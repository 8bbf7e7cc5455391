"""`genbayes simulate`: simulate draws of the prior into DIR/simulations.zarr; resumable."""

import argparse

from ..simulations.rows import Simulations
from . import stages
from .argument_types import count, shard
from .folder import Folder
from .problem import Problem
from .problem_options import add_seed, add_simulations, add_workers, folder_of, kept_in_folder, problem_of, workers_of
from .registry import Commands, register
from .terminal import Terminal


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes simulate`."""
    command = commands.add(
        "simulate", run, "Simulate draws of the prior into DIR/simulations.zarr; resumable.", kept=kept
    )
    argument = command.add_argument
    add_simulations(command, 10_000, "in all (default: 10000)")
    argument("--batch-size", type=count, metavar="N", help="most runs at a time")
    argument("--retry-failed", action="store_true", help="run failed rows again")
    text = "run the i-th of N shares alone, into a store of its own: one job of an array; `genbayes merge` joins them"
    argument("--shard", type=shard, metavar="i/N", help=text)
    add_workers(command)
    add_seed(command)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Simulates into the store of the problem, or continues it."""
    folder = folder_of(options)
    simulations = simulate_and_tell(problem_of(options, terminal), folder, options, terminal)
    terminal.say(simulations.summary().split("\n")[0])
    terminal.path(folder.simulations if options.shard is None else options.shard.path(folder.simulations))


def kept(options: argparse.Namespace) -> str:
    """What an interrupted command leaves."""
    if options.shard is None:
        return kept_in_folder(options)
    folder = folder_of(options)
    done, rows = folder.stored(options.shard)
    text = f"kept in {folder.path}: {done} of {rows} simulations of {options.shard}"
    return text if rows else "nothing had been stored yet"


def simulate_and_tell(problem: Problem, folder: Folder, options: argparse.Namespace, terminal: Terminal) -> Simulations:
    """Simulates, and says what was there before and what failed."""
    share = getattr(options, "shard", None)
    done, _ = folder.stored(share)
    if done:
        path = folder.simulations if share is None else share.path(folder.simulations)
        terminal.say(f"resuming: {done} simulations are in {path} already")
    simulations = stages.run_simulations(
        problem,
        folder,
        options.n_simulations,
        seed=options.seed,
        workers=workers_of(options, problem),
        batch_size=getattr(options, "batch_size", None),
        retry_failed=getattr(options, "retry_failed", False),
        progress=not terminal.quiet,
        shard=share,
    )
    if simulations.n_failed:
        reasons = simulations.summary().split("\n")[1]
        text = f"{simulations.n_failed} of {len(simulations)} runs failed; the cost is that of the runs that succeed"
        terminal.warn([f"{text} ({reasons})."])
    return simulations
