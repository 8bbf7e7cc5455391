"""`genbayes refine`: more simulations where the posterior is, and the cost fitted anew on all; resumable."""

import argparse
import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path

from ..costs.files import save
from ..refinement.rounds import Refined, refine
from ..reports.markup import composed, paragraph, table
from ..runtime.files import write_whole
from ..runtime.processes import plain_main
from .argument_types import Several, count, positive
from .folder import Folder, command_line, refined_simulations, save_section, stored_cost
from .problem import Problem
from .problem_options import (
    add_condition,
    add_seed,
    add_simulations,
    add_workers,
    conditions_of,
    folder_of,
    need_betas,
    need_observation,
    other_observation,
    posterior_of,
    problem_of,
    workers_of,
)
from .registry import Commands, register
from .staleness import stale
from .terminal import Terminal


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes refine`."""
    text = "More simulations where the posterior is, and the cost fitted anew on all; resumable."
    command = commands.add("refine", run, text)
    argument = command.add_argument
    add_simulations(command, 2000, "new ones, in all (default: 2000)")
    argument(
        "--rounds", type=count, metavar="R", help="over which they are spread (default: 2, up to 4 where runs are few)"
    )
    argument("--beta", type=positive, metavar="B", help="the highest of interest (default: of [sample] or the draws)")
    text = "one or more instead of the problem's"
    argument("--observation", type=Path, nargs="+", action=Several, metavar="FILE", help=text)
    add_condition(command, "known conditions of these observations, where the simulator takes them")
    argument("--batch-size", type=count, metavar="N", help="most runs at a time")
    add_workers(command)
    add_seed(command)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Refines, and stores the simulations, the cost, the numbers and a part of the report.

    Raises:
        FileNotFoundError: there are no simulations or no cost.
        ValueError: there is no beta or observation.
    """
    # Simulations and cost bear the name of no observation: they serve them all.
    problem, files = problem_of(options, terminal), options.observation or []
    options.observation = None
    folder = folder_of(options)
    folders = [replace(folder, observation=file.stem) for file in files] or [folder]
    drawn = {beta for one in (folder, *folders) for beta in one.betas()}
    cost = stored_cost(problem, folder)
    simulations = refined_simulations(problem, folder, cost)
    given = [options.beta] if options.beta else [*problem.sample.beta, *drawn]
    beta = max(need_betas(given, problem, "refine", options))
    observations = [other_observation(problem, file).values for file in files] or [
        need_observation(problem, problem.x_o)
    ]
    terminal.warn(stale(problem, folder, cost))
    conditions = conditions_of(problem, options)
    posteriors = [posterior_of(problem, cost, x_o, beta, conditions) for x_o in observations]
    with plain_main():
        refined = refine(
            posteriors,
            problem.simulator,
            simulations,
            options.n_simulations,
            rounds=options.rounds,
            seed=options.seed,
            store=folder.simulations,
            batch_size=options.batch_size,
            workers=workers_of(options, problem),
            progress=not terminal.quiet,
        )
    # Equal observations are one to `refine`, which numbers them in the order in which they came.
    names: dict[bytes, str] = {}
    for one, file in zip(posteriors, files, strict=False):
        names.setdefault(one.x_o.tobytes(), str(file))
    _store(refined, list(names.values()), folder, folders, terminal)
    # The cost at the end: as long as it is the one before, the same command does the same refinement again.
    save(refined.cost, folder.cost)
    terminal.path(folder.cost)
    _say_what_to_sample(problem, folders, files, beta, options, terminal)


def _say_what_to_sample(
    problem: Problem,
    folders: list[Folder],
    files: list[Path],
    beta: float,
    options: argparse.Namespace,
    terminal: Terminal,
) -> None:
    """For each observation the command that samples it with the new cost."""
    known = " ".join(f"{name}={value:.10g}" for name, value in options.condition or ())
    for one, file in zip(folders, files or [None], strict=True):
        again = " ".join(f"{value:g}" for value in sorted({*problem.sample.beta, *one.betas(), beta}))
        other = "" if file is None else f" --observation {shlex.quote(str(file))}"
        other += f" --condition {known}" if known else ""
        terminal.say(f"sample again: {command_line('sample', problem)}{other} --beta {again}")


def _store(refined: Refined, names: list[str], folder: Folder, folders: list[Folder], terminal: Terminal) -> None:
    """Stores the part of the report for each observation, of which `names` are the files, if any."""
    terminal.say(f"\n{refined.summary()}\n")
    for number, name in enumerate(names):
        terminal.say(f"observation {number}: {name}")
    if terminal.quiet:
        terminal.warn(refined.outcome.messages)
    header = ("round", "observation", "beta", "predicted", "re-simulated", "error", "slope", "noise of slope", "agree")
    rows = [
        (
            one.round,
            f"{one.observation} ({names[one.observation]})" if names else one.observation,
            one.beta,
            one.predicted,
            one.simulated,
            one.error,
            one.slope,
            one.resolution,
            "yes" if one.agrees else "no",
        )
        for one in refined.history
    ]
    counts = refined.simulations.counts
    new = counts.rows - counts.of_prior
    section = composed(
        "Refinement",
        [
            paragraph(
                f"The cost was fitted on {counts.of_prior} draws of the prior and {new} simulations at "
                "tempered posterior draws. Each round's runs at beta were compared with the cost before it was fitted "
                "to them:"
            ),
            table(header, rows),
            paragraph(
                "Slope: how the difference changes over the posterior, times beta: an error of the log density. "
                "Below its noise it cannot be seen."
            ),
            *(paragraph(f"{one}.".capitalize()) for one in refined.seconds),
            *(paragraph(f"Warning: {text}") for text in refined.outcome.messages),
        ],
    )
    for one in folders:
        save_section(one, "refinement", section, refined.cost)
    path = folder.result("refinement")
    content = {
        "simulations": counts.rows,
        "new": new,
        "history": [
            {**asdict(one), **({"file": names[one.observation]} if names else {}), "agrees": one.agrees}
            for one in refined.history
        ],
        "seconds": [asdict(one) for one in refined.seconds],
        "warnings": list(refined.outcome.messages),
    }
    write_whole(path, json.dumps(content, indent=1))
    terminal.path(path)
