"""`genbayes explore`: show the explorer of the draws in a browser on this machine."""

import argparse
import html
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..explorer.alone import explore, page_alone
from ..explorer.markup import scrolling
from ..explorer.server import PageServer
from ..observations import Observation
from ..runtime.progress import progress_bar
from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from ..simulations.rows import Simulations
from .argument_types import Several, positive, whole
from .folder import Folder, drawn_betas, stored_cost, stored_draws, stored_simulations
from .problem import Problem
from .problem_options import folder_of, is_stacked, other_observation, problem_of, stack_file
from .registry import Commands, register
from .stack_report import stored_stack
from .stages import axis_of
from .staleness import need_draws_of, other_conditions, outdated_draws, stale
from .terminal import Terminal

EXAMPLES = """\
examples:
  genbayes explore predator.toml                 all draws; an index where there are several
  genbayes explore predator.toml --beta 10 --open
  genbayes explore predator.toml --observations recordings.npy --port 8000
The page is served to browsers of this machine alone (127.0.0.1). Ctrl-C ends it.
"""


@dataclass(frozen=True)
class Shown:
    """A posterior with a page: what it is called in the index, its beta, and what makes the page."""

    name: str
    beta: float
    make: Callable[[], str]


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes explore`."""
    text = "Show the explorer of the draws in a browser on this machine."
    command = commands.add("explore", run, text, epilog=EXAMPLES)
    argument = command.add_argument
    argument("--beta", type=positive, nargs="+", action=Several, metavar="B", help="which draws (default: all)")
    argument("--observation", type=Path, metavar="FILE", help="instead of the problem's; its draws bear its name")
    argument("--observations", type=Path, metavar="FILE", help="a stack of observations that was sampled")
    argument("--port", type=port, default=0, metavar="PORT", help="of 127.0.0.1 (default: a free one)")
    argument("--open", action="store_true", help="open the page in the browser")


def port(text: str) -> int:
    """The number of a port, 0 for any free one."""
    value = whole(text)
    if value is None or value > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, or 0 for any free one, got {text!r}")
    return value


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Serves the pages of stored draws until it is interrupted.

    Raises:
        FileNotFoundError: there are no draws, or no cost.
        ValueError: the draws are of another observation, or have no explorer.
    """
    problem, folder = problem_of(options, terminal), folder_of(options)
    stacked = is_stacked(problem, options)
    shown = _of_stack(problem, folder, options, terminal) if stacked else _of_draws(problem, folder, options, terminal)
    # What has no explorer says so here, and not first in the browser.
    with progress_bar("making the page", 1, not terminal.quiet) as advance:
        first = shown[0].make()
        advance()
    if len(shown) == 1:
        pages: dict[str, Callable[[], str]] = {"/": lambda: first}
    else:
        pages = {f"/{number}": partial(_among_others, number, shown) for number in range(len(shown))}
        what = f"observations {stack_file(problem, options).name}" if stacked else "one observation at several betas"
        pages["/"] = lambda: _index(problem.name, what, shown)
    with PageServer(pages, options.port) as server:
        print(server.address if terminal.quiet else f"explorer: {server.address} (Ctrl-C ends it)", flush=True)
        if options.open:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            terminal.say("\nended.")


def _of_draws(problem: Problem, folder: Folder, options: argparse.Namespace, terminal: Terminal) -> list[Shown]:
    """The draws of one observation, at one beta or several."""
    betas = drawn_betas(problem, folder) if options.beta is None else sorted(set(options.beta))
    chosen = [stored_draws(problem, folder, beta) for beta in betas]
    cost, simulations = stored_cost(problem, folder), _simulations(problem, folder)
    other = options.observation
    observation = problem.observation if other is None else other_observation(problem, other)
    for draws in chosen:
        need_draws_of(problem, folder, draws, other)
    warnings = stale(problem, folder, cost)
    for draws in chosen:
        warnings += [*outdated_draws(cost, draws), *other_conditions(problem, draws, other)]
    terminal.warn(list(dict.fromkeys(warnings)))
    shown = []
    for draws in chosen:
        posterior = GibbsPosterior(problem.prior, cost, draws.x_o, draws.beta, conditions=draws.conditions)
        make = partial(_page, problem, posterior, draws, simulations, observation, problem.name)
        shown.append(Shown(folder.observation or "the observation", draws.beta, make))
    return shown


def _of_stack(problem: Problem, folder: Folder, options: argparse.Namespace, terminal: Terminal) -> list[Shown]:
    """The draws of a stack: every observation at every beta."""
    cost = stored_cost(problem, folder)
    simulations = _simulations(problem, folder)
    posteriors, stack, read = stored_stack(problem, folder, options, cost, terminal)
    terminal.warn(stale(problem, folder, cost))
    names = [f"observation {i}" for i in range(len(stack))]
    if read.groups is not None:
        names = [f"{read.group_name} {group}".strip() for group in read.groups]

    def make(i: int, j: int) -> str:
        draws, title = stack.draws(i, j), f"{problem.name}: {names[i]}"
        one = None if read.groups is None else replace(read, values=draws.x_o, groups=None, group_name="")
        return _page(problem, posteriors.posterior(i, j), draws, simulations, one, title)

    return [
        Shown(name, beta, partial(make, i, j)) for i, name in enumerate(names) for j, beta in enumerate(stack.betas)
    ]


def _page(
    problem: Problem,
    posterior: GibbsPosterior,
    draws: Draws,
    simulations: Simulations | None,
    observation: Observation | None,
    title: str,
) -> str:
    """The page of one posterior, with axis and labels as in its report."""
    known = {"axis": axis_of(problem, draws, observation), "labels": problem.report.labels}
    return explore(posterior, draws, simulations=simulations, title=title, **known).html


def _simulations(problem: Problem, folder: Folder) -> Simulations | None:
    """Those of the folder; None where they were not kept, which the explorer can do without."""
    return stored_simulations(problem, folder) if folder.simulations.exists() else None


def _among_others(number: int, shown: list[Shown]) -> str:
    """A page, with links to the one before, to all, and to the next one."""
    links = ['<a href="/">all explorers</a>']
    if number > 0:
        links.insert(0, f'<a href="/{number - 1}" rel="prev">{_named(shown[number - 1])}</a>')
    if number + 1 < len(shown):
        links.append(f'<a href="/{number + 1}" rel="next">{_named(shown[number + 1])}</a>')
    return shown[number].make().replace("<main>", f'<nav aria-label="explorers">{" | ".join(links)}</nav>\n<main>', 1)


def _named(one: Shown) -> str:
    """What a link to a page says."""
    return f"{html.escape(one.name)}, beta {one.beta:g}"


def _index(title: str, what: str, shown: list[Shown]) -> str:
    """The page that leads to all others."""
    rows = "\n".join(
        f'<tr><th scope="row"><a href="/{number}">{_named(one)}</a></th></tr>' for number, one in enumerate(shown)
    )
    head = '<thead><tr><th scope="col">explorer of</th></tr></thead>'
    body = f'<div class="scroll" {scrolling("explorers")}><table>\n{head}\n<tbody>\n{rows}\n</tbody>\n</table></div>'
    return page_alone(title, f"{len(shown):,} posteriors: {what}.", body)
