"""`genbayes temperature`: the ladder of inverse temperatures, and rules that choose one."""

import argparse
import json
from pathlib import Path

from ..costs.cost import Cost
from ..distances import SlicedWasserstein
from ..distances.sets import KernelDistance
from ..plots import temperatures
from ..reports.markup import composed, paragraph, picture, table
from ..runtime.processes import plain_main
from ..simulations.rows import Simulations
from ..simulations.running import simulate
from ..temperature import NO_RESCUE, Choice, Ladder, bootstrap, calibrated, ladder, noise_floor
from ..temperature.choice import wrapped
from . import stages
from .argument_types import Several, count, natural, positive, probability
from .folder import Folder, save_section, stored_cost, stored_simulations
from .observations import as_output
from .problem import Problem, read_problem
from .problem_options import add_condition, add_seed, add_workers, conditions_of, folder_of, observation_of
from .registry import Commands, register
from .staleness import stale
from .terminal import Terminal

RULES = ("noise_floor", "calibrated", "bootstrap")
EXAMPLES = """\
examples:
  genbayes temperature predator.toml                     ladder and rules
  genbayes temperature predator.toml --rule noise_floor --resimulate 0
  genbayes temperature predator.toml --beta 1 3 10 30 --rule none
noise_floor runs the simulator at draws (--resimulate 0: takes stored runs
instead), calibrated at draws of the prior (--held-out 0: takes stored runs
that the cost was not fitted on), bootstrap nowhere.
"""
HEADER = ("beta", "expected cost", "sd of cost", "log evidence", "effective parameters", "narrowest", "widest")
CAPTIONS = {
    "noise_floor": "noise_floor: beta is where the expected cost meets the replicate distance (bands: two errors).",
    "calibrated": "calibrated: share of held-out parameters in credible sets, along beta and at the chosen one.",
    "bootstrap": "bootstrap: best parameters of resampled trials, and the posterior at the chosen beta.",
}


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes temperature`."""
    text = "Posteriors along a ladder of inverse temperatures, and rules that choose one."
    command = commands.add("temperature", run, text, epilog=EXAMPLES)
    argument = command.add_argument
    text = "noise_floor, calibrated, bootstrap or none (default: the first two, and bootstrap for sets of trials)"
    argument("--rule", choices=(*RULES, "none"), nargs="+", action=Several, metavar="R", help=text)
    text = "of the ladder (default: 24, found by a first run)"
    argument("--beta", type=positive, nargs="+", action=Several, metavar="B", help=text)
    argument("-n", type=count, default=2000, metavar="DRAWS", help="at each beta (default: 2000)")
    text = "draws to run the simulator at, twice each, for noise_floor (default: 200)"
    argument("--resimulate", type=natural, default=200, metavar="N", help=text)
    text = "new runs at draws of the prior for calibrated (default: 200)"
    argument("--held-out", type=natural, default=200, metavar="N", help=text)
    text = "of the credible sets of calibrated (default: 0.5 0.8 0.9)"
    argument("--level", type=probability, nargs="+", action=Several, default=(0.5, 0.8, 0.9), metavar="L", help=text)
    argument("--observation", type=Path, metavar="FILE", help="instead of the problem's")
    add_condition(command)
    add_workers(command)
    add_seed(command)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Samples the ladder, lets every rule choose, prints, and stores numbers, figure and report section.

    Raises:
        FileNotFoundError: there is no cost.
        ValueError: there is no observation, or no rule that was asked for could choose.
    """
    if options.rule is not None and "none" in options.rule and len(set(options.rule)) > 1:
        others = " ".join(rule for rule in options.rule if rule != "none")
        raise ValueError(f"--rule none stands alone, got --rule {' '.join(options.rule)}: leave out none or {others}.")
    stages.need_plots()
    problem, folder = read_problem(options.problem), folder_of(options)
    cost = stored_cost(problem, folder)
    simulations = stored_simulations(problem, folder)
    terminal.warn(stale(problem, folder, cost))
    x_o = as_output(observation_of(problem, options.observation), cost.x_shape)
    conditions = conditions_of(problem, options)
    betas = None if options.beta is None else sorted(set(options.beta))
    found = ladder(
        problem.prior,
        cost,
        x_o,
        betas,
        n=options.n,
        seed=options.seed,
        conditions=conditions,
        progress=not terminal.quiet,
    )
    terminal.say(f"\n{found.summary()}\n")
    terminal.warn(found.outcome.messages if terminal.quiet else ())
    choices, failed = [], []
    for rule in _rules(options, cost):
        try:
            with plain_main():
                chosen = _choose(rule, found, problem, simulations, options, terminal)
        except ValueError as error:
            # A rule that does not apply leaves the others standing.
            failed.append(f"{rule}: {' '.join(str(error).split())}")
            continue
        choices.append(chosen)
        terminal.say(f"{_told(chosen)}\n")
        terminal.warn([f"{rule}: {text}" for text in chosen.outcome.messages] if terminal.quiet else ())
    if choices:
        terminal.say(f"{wrapped(NO_RESCUE)}\n")
    terminal.warn(failed)
    _store(found, choices, failed, folder, cost, terminal)
    if failed and not choices:
        raise ValueError(f"none of the rules could choose a beta; the ladder is stored in {folder.path}.")


def _rules(options: argparse.Namespace, cost: Cost) -> tuple[str, ...]:
    if options.rule is not None:
        return tuple(rule for rule in RULES if rule in options.rule)
    return RULES if isinstance(cost.distance, KernelDistance | SlicedWasserstein) else RULES[:2]


def _choose(
    rule: str,
    found: Ladder,
    problem: Problem,
    simulations: Simulations,
    options: argparse.Namespace,
    terminal: Terminal,
) -> Choice:
    shown, seed = not terminal.quiet, stages.resimulation_seed(simulations)
    if rule == "noise_floor":
        if not options.resimulate:
            return noise_floor(found, simulations=simulations, seed=seed)
        return noise_floor(
            found,
            simulator=problem.simulator,
            n=options.resimulate,
            seed=seed,
            workers=options.workers,
            progress=shown,
        )
    if rule == "calibrated":
        held_out = simulations
        if options.held_out:
            held_out = simulate(
                problem.simulator,
                problem.prior,
                options.held_out,
                # The seed is neither that of the training runs nor that of the runs at the draws.
                seed=(seed + 1) % 2**32,
                conditions=problem.conditions,
                workers=options.workers,
                progress=shown,
            )
        return calibrated(
            problem.prior,
            found.cost,
            held_out,
            levels=tuple(options.level),
            rows=options.held_out or 200,
            seed=options.seed,
            progress=shown,
        )
    conditions = found.conditions or None
    return bootstrap(problem.prior, found.cost, found.x_o, n=options.n, seed=options.seed, conditions=conditions)


def _told(chosen: Choice) -> str:
    """As its summary, without what holds for all rules."""
    parts = [chosen.line(), chosen.finding, chosen.assumes]
    return "\n".join(map(wrapped, [*parts, *(f"warning: {text}" for text in chosen.outcome.messages)]))


def _store(
    found: Ladder, choices: list[Choice], failed: list[str], folder: Folder, cost: Cost, terminal: Terminal
) -> None:
    caption = (
        "Along the ladder of inverse temperatures: expected cost of the draws, effective number of parameters, width "
        "of each parameter's posterior relative to its prior, and log evidence. Vertical lines: what the rules choose."
    )
    parts = [picture(caption, temperatures.temperature(found, choices))]
    for chosen in choices:
        parts.append(paragraph(chosen.line() + ". " + " ".join(chosen.sentences()[:2])))
        parts += [paragraph(f"Warning: {text}") for text in chosen.outcome.messages]
        parts.append(picture(CAPTIONS[chosen.rule], temperatures.choice(chosen)))
    parts += [paragraph(f"Not chosen by {text}") for text in failed]
    parts += [paragraph(f"Warning: {text}") for text in found.outcome.messages]
    parts += [paragraph(NO_RESCUE), table(HEADER, found.rows())]
    save_section(folder, "temperature", composed("Inverse temperature", parts), cost)
    path = folder.result("temperature")
    content = {**found.numbers(), "choices": [chosen.numbers() for chosen in choices], "not_chosen": failed}
    path.write_text(json.dumps(content, indent=1), "utf-8")
    terminal.path(path)
