"""`genbayes check`: whether the stored draws can be relied on, why not, and what to do."""

import argparse
from pathlib import Path

import numpy as np

from ..checks.mean_errors import MeanErrors
from ..checks.verdict import EXIT_CODES, Check, check
from ..costs.cost import Cost
from ..plots.positions import predictive_position
from ..reports.markup import Section, composed, paragraph, picture, table
from ..runtime.files import write_whole
from ..runtime.formatting import number
from ..runtime.processes import plain_main
from ..sampling.posterior import GibbsPosterior
from ..sampling.ranks import LEAST_ROWS
from ..simulations.rows import Simulations
from ..simulations.running import simulate
from . import stages
from .argument_types import Several, held_out_runs, positive, runs_at_draws
from .folder import Folder, drawn_betas, save_section, stored_cost, stored_draws, stored_simulations
from .problem import Problem
from .problem_options import add_workers, folder_of, is_stacked, other_observation, problem_of, workers_of
from .registry import Commands, register
from .stack_report import judged
from .staleness import need_draws_of, other_conditions, outdated_draws, stale
from .terminal import Terminal


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes check`."""
    text = "Whether the stored draws can be relied on, why not, and what to do. Exit code: 0 fine, 3 take care, 4 do "
    command = commands.add("check", run, text + "not rely on them (1 error, 2 usage).")
    argument = command.add_argument
    argument("--beta", type=positive, nargs="+", action=Several, metavar="B", help="which draws (default: all)")
    text = "instead of the problem's; its draws bear its name"
    argument("--observation", type=Path, metavar="FILE", help=text)
    text = "a stack of observations that was sampled: a verdict on each, without new runs"
    argument("--observations", type=Path, metavar="FILE", help=text)
    text = "draws to run, twice each (default: 500; 0: none)"
    argument("--resimulate", type=runs_at_draws, default=500, metavar="N", help=text)
    text = "coverage of the credible sets, from N fresh simulations (200 tell enough)"
    argument("--coverage", type=held_out_runs, metavar="N", help=text)
    argument("--all", action="store_true", dest="everything", help="print also what is fine")
    add_workers(command)


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Judges the stored draws of each beta; returns the exit code of the worst."""
    stages.need_plots()
    problem, folder = problem_of(options, terminal), folder_of(options)
    if is_stacked(problem, options):
        return judged(problem, folder, options, terminal).exit_code
    betas = drawn_betas(problem, folder) if options.beta is None else sorted(set(options.beta))
    # All draws are read before the first is checked: a missing one must not cost the runs of the others.
    cost, simulations = stored_cost(problem, folder), stored_simulations(problem, folder)
    stored = [stored_draws(problem, folder, beta) for beta in betas]
    for draws in stored:
        need_draws_of(problem, folder, draws, options.observation)
    held_out = _held_out(problem, simulations, options, terminal) if options.coverage else None
    worst, reference = 0, None
    read = problem.observation if options.observation is None else other_observation(problem, options.observation)
    for draws in stored:
        # The beta is that of the draws: in the file's name it is rounded.
        posterior = GibbsPosterior(problem.prior, cost, draws.x_o, draws.beta, conditions=draws.conditions)
        with plain_main():
            found = check(
                posterior,
                draws,
                problem.simulator if options.resimulate else None,
                simulations,
                n=options.resimulate,
                seed=stages.resimulation_seed(simulations),
                held_out=held_out,
                warnings=[
                    *stale(problem, folder, cost),
                    *outdated_draws(cost, draws),
                    *other_conditions(problem, draws, options.observation),
                ],
                kind=problem.report.kind,
                labels=problem.report.labels,
                axis=stages.axis_of(problem, draws, read),
                reference=reference,
                workers=workers_of(options, problem),
                progress=not terminal.quiet,
            )
        reference = found.evidence.reference
        _print(found, terminal, everything=options.everything)
        for path in store_check(found, folder, cost):
            terminal.path(path)
        worst = max(worst, found.exit_code)
    return worst


def _held_out(
    problem: Problem, simulations: Simulations, options: argparse.Namespace, terminal: Terminal
) -> Simulations:
    with plain_main():
        found = simulate(
            problem.simulator,
            problem.prior,
            options.coverage,
            # The seed is neither that of the training runs nor that of the runs at the draws.
            seed=(simulations.seed + 2) % 2**32,
            conditions=problem.conditions,
            workers=workers_of(options, problem),
            progress=not terminal.quiet,
        )
    # Too few are told now, and not after the runs at the draws.
    if (succeeded := int(found.ok.sum())) < LEAST_ROWS:
        reasons = found.summary().split("\n")[1]
        raise ValueError(
            f"--coverage {options.coverage}: {succeeded} of these simulations succeeded, and at least {LEAST_ROWS} "
            f"must. Give a larger number, or see to the failures ({reasons})."
        )
    return found


def _print(found: Check, terminal: Terminal, *, everything: bool) -> None:
    terminal.say(f"\nbeta {found.beta:g}: {found.summary(everything=everything)}\n")
    if terminal.quiet:
        terminal.warn([one.full for one in found.findings if one.level in ("care", "bad")])


def store_check(found: Check, folder: Folder, cost: Cost) -> list[Path]:
    """Stores the numbers of a check and its part of the report; returns the paths of the numbers and the report."""
    path = folder.result("check", found.beta)
    write_whole(path, found.to_json())
    return [path, *save_section(folder, "check", section(found), cost, beta=found.beta)]


def section(found: Check) -> Section:
    """The part of the report that shows what the verdict rests on."""
    parts = [paragraph(f"{found.headline}. The numbers behind the verdict (exit code {EXIT_CODES[found.level]}):")]
    evidence = found.evidence
    if evidence.support is not None:
        support = evidence.support
        rows = [
            ("both scores together", support.p_value),
            ("isolation: distance to the nearest simulated outputs", support.isolation),
            ("least cost over parameters", support.least_cost),
        ]
        parts += [
            table(("support of the observation", "p-value"), rows),
            paragraph(
                f"Share of {support.held_out} held-out simulated outputs at least as unusual as the observation. "
                f"Its least cost is {number(support.cost)}; theirs {number(support.usual_cost[0])} (median), "
                f"{number(support.usual_cost[1])} (95 %)."
            ),
        ]
    if (means := evidence.means) is not None:
        rows = list(zip(means.names, *_columns(means), strict=True))
        head = ("parameter", "mean", "standard deviation", "error by members", "shift by new runs", "its error")
        parts += [
            table(head, rows),
            paragraph(
                "How the network's error moves the posterior means, to first order: what the disagreement of the "
                "ensemble says, and what new runs at the draws say (true mean minus mean; it sees all errors)."
            ),
        ]
    if evidence.position is not None:
        caption = "The observation among runs at the draws, the farthest coordinates first, each scaled by the runs."
        parts.append(picture(caption, predictive_position(evidence.position)))
    if (covered := found.coverage) is not None:
        rows = [
            (f"{level:.0%}", float(share), f"{low:.2f} to {high:.2f}")
            for level, share, low, high in zip(covered.levels, covered.coverage, *covered.band, strict=True)
        ]
        parts += [
            table(("credible set", "share that holds the truth", "if right (99 %)"), rows),
            paragraph(f"Coverage over {covered.rows} fresh simulations."),
        ]
    return composed("Check", parts, found.level)


def _columns(means: MeanErrors) -> list[list[float]]:
    names = ("mean", "std", "member_error", "shift", "shift_error")
    return [[float(value) for value in np.asarray(getattr(means, name))] for name in names]
