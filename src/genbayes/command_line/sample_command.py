"""`genbayes sample`: draw from the posterior at one or more inverse temperatures."""

import argparse
from pathlib import Path

import numpy as np

from ..costs.cost import Cost
from ..runtime.progress import COMPILES, progress_bar
from ..sampling.draws import Draws
from ..sampling.sampler import samplers
from ..sampling.stack import GibbsPosteriors
from . import stages
from .argument_types import Several, positive
from .folder import Folder, stored_cost
from .problem import Problem
from .problem_options import (
    add_condition,
    add_draws,
    add_seed,
    folder_of,
    is_stacked,
    need_betas,
    other_observation,
    problem_of,
    stack_file,
    stack_of,
)
from .registry import Commands, register
from .results_shown import summary_without_messages
from .staleness import stale
from .terminal import Terminal


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes sample`."""
    command = commands.add("sample", run, "Draw from the posterior at one or more inverse temperatures.")
    add_sampling(command)
    text = "instead of the problem's; its draws and reports bear its name"
    command.add_argument("--observation", type=Path, metavar="FILE", help=text)
    text = "a stack of observations (.csv: one a row; .npy, .npz), all in one call"
    command.add_argument("--observations", type=Path, metavar="FILE", help=text)
    add_condition(command)
    add_seed(command)


def add_sampling(command: argparse.ArgumentParser) -> None:
    """Adds --beta, --draws and --sampler."""
    argument = command.add_argument
    argument("--beta", type=positive, nargs="+", action=Several, metavar="B", help="inverse temperatures")
    add_draws(command, None, "from each posterior (default: 4000, or [sample] n)")
    argument("--sampler", choices=sorted(samplers()), help="default: smc, or [sample] sampler")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Samples with the stored cost."""
    problem, folder = problem_of(options, terminal), folder_of(options)
    betas = need_betas(options.beta or problem.sample.beta, problem, "sample", options)
    cost = stored_cost(problem, folder)
    terminal.warn(stale(problem, folder, cost))
    if is_stacked(problem, options):
        _sample_stack(problem, folder, cost, betas, options, terminal)
        return
    x_o = None if options.observation is None else other_observation(problem, options.observation).values
    rows = []
    for beta in betas:
        draws = sample_and_store(problem, folder, cost, beta, options, terminal, x_o)
        terminal.say(f"\nbeta {beta:g}\n{summary_without_messages(draws)}")
        terminal.warn(draws.outcome.messages)
        terminal.path(folder.draws(beta))
        rows.append([f"{beta:g}", f"{draws.cost.mean():.4g}", f"{draws.cost.min():.4g}", f"{draws.ess_bulk.min():.0f}"])
    if len(rows) > 1:
        terminal.say("")
        terminal.table(("beta", "mean cost", "least cost", "least ESS"), rows, "The ladder")


def sample_and_store(
    problem: Problem,
    folder: Folder,
    cost: Cost,
    beta: float,
    options: argparse.Namespace,
    terminal: Terminal,
    x_o: np.ndarray | None = None,
) -> Draws:
    """Draws at one inverse temperature, of the problem's observation where no other is given."""
    given = dict(getattr(options, "condition", None) or ())
    with progress_bar(f"sampling at beta {beta:g}", 1, not terminal.quiet) as advance:
        advance(0, note=COMPILES)
        draws = stages.run_sampling(
            problem,
            folder,
            cost,
            beta,
            n=options.draws or problem.sample.n,
            seed=options.seed,
            sampler=getattr(options, "sampler", None) or problem.sample.sampler,
            x_o=x_o,
            conditions={**problem.x_o_conditions, **given} if given else None,
        )
        advance()
    return draws


def _sample_stack(
    problem: Problem,
    folder: Folder,
    cost: Cost,
    betas: tuple[float, ...],
    options: argparse.Namespace,
    terminal: Terminal,
) -> None:
    """Samples all observations of a file at all betas."""
    if options.observation is not None or (options.sampler or problem.sample.sampler) != "smc":
        raise ValueError(
            "--observations (or a group in the table [observation]) takes SMC, and no --observation beside it: sample "
            "that one by itself."
        )
    if options.condition:
        raise ValueError(
            "--condition is for one observation, and not for the stack of --observations: where the simulator takes "
            "conditions, those of each observation stand in its .npz file, one array of shape (m,) by the name of each."
        )
    x_o, conditions, found = stack_of(problem, options, cost)
    if options.observations is not None:
        terminal.say(f"observations {found.source}: {found.summary}")
    stack = GibbsPosteriors(problem.prior, cost, x_o, betas, conditions=conditions or None)
    draws = stack.sample(options.draws or problem.sample.n, seed=options.seed, progress=not terminal.quiet)
    path = folder.stack(stack_file(problem, options).stem)
    draws.save(path)
    terminal.say(draws.summary())
    terminal.say(f"{len(draws)} observations x {len(betas)} betas in {draws.seconds['run']:.1f} s")
    terminal.warn(draws.outcome.messages if terminal.quiet else ())
    terminal.path(path)
