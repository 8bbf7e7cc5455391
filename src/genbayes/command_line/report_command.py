"""`genbayes report`: write an HTML report on the draws, with new runs at them."""

import argparse
from pathlib import Path

from . import stages
from .argument_types import Several, positive, runs_at_draws
from .folder import drawn_betas, outdated_sections, stored_cost, stored_draws, stored_sections, stored_simulations
from .problem_options import add_workers, folder_of, is_stacked, other_observation, problem_of, workers_of
from .registry import Commands, register
from .stack_report import judged
from .staleness import need_draws_of, other_conditions, outdated_draws, stale
from .terminal import Terminal


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes report`."""
    command = commands.add("report", run, "Write an HTML report on the draws, with new runs at them.")
    argument = command.add_argument
    argument("--beta", type=positive, nargs="+", action=Several, metavar="B", help="which draws (default: all)")
    text = "instead of the problem's; its draws and reports bear its name"
    argument("--observation", type=Path, metavar="FILE", help=text)
    text = "a stack of observations that was sampled: one page for all, without new runs"
    argument("--observations", type=Path, metavar="FILE", help=text)
    add_resimulate(command)
    add_workers(command)


def add_resimulate(command: argparse.ArgumentParser) -> None:
    """Adds --resimulate N."""
    text = "runs for the check (default: 500; 0: none)"
    command.add_argument("--resimulate", type=runs_at_draws, default=500, metavar="N", help=text)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Reports on stored draws."""
    stages.need_plots()
    problem, folder = problem_of(options, terminal), folder_of(options)
    if is_stacked(problem, options):
        judged(problem, folder, options, terminal)
        return
    betas = drawn_betas(problem, folder) if options.beta is None else options.beta
    chosen = [stored_draws(problem, folder, beta) for beta in betas]
    cost, simulations = stored_cost(problem, folder), stored_simulations(problem, folder)
    other = options.observation
    observation = problem.observation if other is None else other_observation(problem, other)
    for draws in chosen:
        need_draws_of(problem, folder, draws, options.observation)
    for draws in chosen:
        warnings = [*stale(problem, folder, cost), *outdated_draws(cost, draws)]
        warnings += other_conditions(problem, draws, options.observation)
        warnings += outdated_sections(folder, cost, draws.beta, problem)
        path = folder.report(draws.beta)
        reported = stages.run_report(
            problem,
            path,
            cost,
            draws,
            simulations,
            resimulate=options.resimulate,
            workers=workers_of(options, problem),
            warnings=tuple(warnings),
            observation=observation,
            sections=stored_sections(folder, cost, draws.beta),
            progress=not terminal.quiet,
        )
        if reported.check is not None:
            terminal.say(f"beta {draws.beta:g}: {reported.check.summary()}")
            warnings += reported.check.outcome.messages
        terminal.warn([*warnings, *draws.outcome.messages])
        terminal.path(path)
