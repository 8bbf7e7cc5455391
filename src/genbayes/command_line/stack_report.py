"""`genbayes check --observations`, `genbayes report --observations`: stored draws of a stack, judged and drawn."""

import argparse
from pathlib import Path

from ..checks.stack import StackCheck, check_stack
from ..costs.cost import Cost
from ..observations import Observation
from ..plots.stacks import stack as stack_picture
from ..reports.markup import picture, section, table
from ..reports.page import page
from ..runtime.files import write_whole
from ..sampling.draws_origin import same_observation
from ..sampling.stack import GibbsPosteriors
from ..sampling.stacked import StackedDraws
from .folder import Folder, command_line, stored_cost, stored_simulations
from .problem import Problem
from .problem_options import stack_file, stack_of
from .terminal import Terminal

_MOST_ROWS = 500
_HEADER = ("observation", "support p", "beta", "mean cost", "least ESS", "R-hat", "in doubt")


def judged(problem: Problem, folder: Folder, options: argparse.Namespace, terminal: Terminal) -> StackCheck:
    """Judges the stored draws of the file's observations, and writes the numbers and the page.

    Raises:
        FileNotFoundError: there are no such draws, simulations or cost.
        ValueError: the file holds other observations than were sampled.
    """
    file = stack_file(problem, options)
    cost, simulations = stored_cost(problem, folder), stored_simulations(problem, folder)
    posteriors, draws, read = stored_stack(problem, folder, options, cost, terminal)
    found = check_stack(posteriors, draws, simulations, names=read.groups)
    stored = folder.stack(file.stem)
    result = stored.with_name(f"{file.stem}-stacked-check.json")
    write_whole(result, found.to_json())
    report = stored.with_name(f"{file.stem}-stacked-report.html")
    write(report, problem, found)
    terminal.say(found.summary())
    if terminal.quiet:
        terminal.warn([one.full for one in found.findings if one.level == "care"])
    terminal.path(result)
    terminal.path(report)
    return found


def stored_stack(
    problem: Problem, folder: Folder, options: argparse.Namespace, cost: Cost, terminal: Terminal
) -> tuple[GibbsPosteriors, StackedDraws, Observation]:
    """The stored draws of the file's observations, their posteriors, and what was read of the file.

    Raises:
        FileNotFoundError: there are no such draws.
        ValueError: the file holds other observations than were sampled.
    """
    file = stack_file(problem, options)
    if options.observation is not None or options.beta is not None:
        raise ValueError("--observations takes all draws of its file: no --observation and no --beta beside it.")
    stored = folder.stack(file.stem)
    named = f" --observations {file}" if options.observations is not None else ""
    again = f"{command_line('sample', problem)}{named} --beta ..."
    if not stored.exists():
        raise FileNotFoundError(f"there are no draws of the observations {file.name} in {folder.path}. Run: {again}")
    draws = StackedDraws.load(stored)
    x_o, conditions, read = stack_of(problem, options, cost)
    if options.observations is not None:
        terminal.say(f"observations {read.source}: {read.summary}")
    if not same_observation(x_o, draws.x_o):
        raise ValueError(f"{file} holds other observations than were sampled. Run again: {again}")
    return GibbsPosteriors(problem.prior, cost, draws.x_o, draws.betas, conditions=conditions or None), draws, read


def write(path: Path, problem: Problem, found: StackCheck) -> None:
    """The page: verdict, one picture of all, and the table of every posterior."""
    draws = found.draws
    rows = [(*row[:-1], "yes" if row[-1] else "no") for row in found.rows]
    note = ""
    if len(rows) > _MOST_ROWS:
        rows = sorted(rows, key=lambda row: (row[-1] == "no", row[1]))[:_MOST_ROWS]
        note = f"<p>The {_MOST_ROWS} most doubtful of {draws.suspect.size}; the JSON file has all.</p>"
    caption = f"Median and central 90 % of every parameter at beta {draws.betas[-1]:g}. Grey: prior. Vermillion: the "
    caption += "simulator hardly makes this observation, or its sampling is in doubt."
    body = [
        section("Parameters", picture(caption, stack_picture(found, problem.prior))),
        section("Posteriors", note + table(_HEADER, rows)),
    ]
    text = (
        f"{len(draws)} observations at beta {', '.join(f'{beta:g}' for beta in draws.betas)}, sampler {draws.sampler}."
    )
    page(path, f"{problem.name}: many observations", text, list(found.findings), body)
