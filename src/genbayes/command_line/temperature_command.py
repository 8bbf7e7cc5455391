"""`genbayes temperature`: posteriors along a ladder of inverse temperatures, and rules that choose one."""

import argparse
import json
import shlex
import textwrap
from pathlib import Path
from typing import Any

from ..costs.cost import Cost
from ..observations import as_output
from ..plots import temperatures
from ..reports.markup import composed, paragraph, picture, table
from ..runtime.files import write_whole
from ..runtime.processes import plain_main
from ..runtime.progress import progress_bar
from ..simulations.rows import Simulations
from ..temperature import NO_RESCUE, Choice, Ladder, ladder
from ..temperature.choice import wrapped
from ..temperature.recommendation import Recommendation, recommend
from ..temperature.rules import Question, Rule, RuleOption, rule_named, rules
from . import argument_types, stages
from .argument_types import Several, positive
from .folder import Folder, save_section, stored_cost, stored_simulations
from .problem import Problem
from .problem_options import (
    add_condition,
    add_draws,
    add_seed,
    add_workers,
    conditions_of,
    folder_of,
    observation_of,
    problem_of,
    workers_of,
)
from .registry import Commands, register
from .staleness import stale
from .terminal import Terminal

EXAMPLES = """\
examples:
  genbayes temperature predator.toml                     ladder and rules
  genbayes temperature predator.toml --rule noise_floor --resimulate 0
  genbayes temperature predator.toml --beta 1 3 10 30 --rule none
what the rules do with the simulator:
"""
HEADER = ("beta", "expected cost", "sd of cost", "log evidence", "effective parameters", "narrowest", "widest")


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes temperature`."""
    text = "Posteriors along a ladder of inverse temperatures, and rules that choose one."
    command = commands.add("temperature", run, text, epilog=EXAMPLES)
    argument = command.add_argument
    names = [rule.name for rule in rules()]
    default = ", ".join(f"{rule.name} {rule.when}".strip() for rule in rules())
    text = f"{', '.join(names)} or none (default: {default})"
    argument("--rule", choices=(*names, "none"), nargs="+", action=Several, metavar="R", help=text)
    text = "of the ladder (default: 24, found by a first run)"
    argument("--beta", type=positive, nargs="+", action=Several, metavar="B", help=text)
    add_draws(command, 2000, "at each beta (default: 2000)")
    argument("--observation", type=Path, metavar="FILE", help="instead of the problem's")
    add_condition(command)
    add_workers(command)
    add_seed(command)
    for rule in rules():
        for option in rule.options:
            _add_option(command, rule, option)
    command.epilog = EXAMPLES + "\n".join(_needs(rule) for rule in rules())


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
    problem, folder = problem_of(options, terminal), folder_of(options)
    cost = stored_cost(problem, folder)
    simulations = stored_simulations(problem, folder)
    terminal.warn(stale(problem, folder, cost))
    advise(problem, folder, cost, simulations, options, terminal, _sampling(options))


def advise(
    problem: Problem,
    folder: Folder,
    cost: Cost,
    simulations: Simulations,
    options: argparse.Namespace,
    terminal: Terminal,
    again: str,
) -> None:
    """Samples the ladder, asks the rules, and ends with the beta to take.

    Args:
        problem: what to infer.
        folder: of its artefacts.
        cost: fitted on them.
        simulations: that are stored.
        options: those of `genbayes temperature`.
        terminal: on which is printed.
        again: what to type then, up to --beta.

    Raises:
        ValueError: there is no observation, or no rule that was asked for could choose.
    """
    x_o = as_output(observation_of(problem, options.observation), cost.x_shape)
    conditions = conditions_of(problem, options)
    betas = None if options.beta is None else sorted(set(options.beta))
    found = ladder(
        problem.prior,
        cost,
        x_o,
        betas,
        n=options.draws,
        seed=options.seed,
        conditions=conditions,
        progress=not terminal.quiet,
    )
    terminal.say(f"\n{found.summary()}\n")
    terminal.warn(found.outcome.messages if terminal.quiet else ())
    question = _question(found, problem, simulations, options, terminal)
    choices, failed = [], []
    for rule in _rules(options, cost):
        try:
            with plain_main():
                chosen = rule.answer(question)
        except ValueError as error:
            # A rule that does not apply leaves the others standing.
            failed.append(f"{rule.name}: {' '.join(str(error).split())}")
            continue
        choices.append(chosen)
        terminal.say(f"{_told(chosen)}\n")
        terminal.warn([f"{rule.name}: {text}" for text in chosen.outcome.messages] if terminal.quiet else ())
    if choices:
        terminal.say(f"{wrapped(NO_RESCUE)}\n")
    terminal.warn(failed)
    advice = recommend(choices)
    _store(found, choices, failed, advice, folder, cost, terminal)
    if failed and not choices:
        raise ValueError(
            f"none of the rules could choose a beta, for the reasons above; the ladder is stored in {folder.path}. "
            "Until one can, sample at two or three betas between which its expected cost falls, and compare their "
            f"reports: {again} --beta B1 B2"
        )
    terminal.say(f"\n{wrapped(advice.reason)}" if advice.reason else "")
    terminal.warn([advice.reason] if terminal.quiet and advice.reason else ())
    if choices:
        betas = " ".join(f"{beta:.4g}" for beta in advice.betas)
        terminal.result(f"{advice.take()}: {again} --beta {betas}")


def _sampling(options: argparse.Namespace) -> str:
    """What to type for draws with the same problem, folder and observation, up to --beta."""
    words = ["genbayes", "sample", str(options.problem)]
    words += [] if options.out is None else ["--out", str(options.out)]
    words += [] if options.observation is None else ["--observation", str(options.observation)]
    conditions = [f"{name}={value!r}" for name, value in options.condition or ()]
    return shlex.join([*words, *(["--condition", *conditions] if conditions else [])])


def _add_option(command: argparse.ArgumentParser, rule: Rule, option: RuleOption) -> None:
    """Adds an option that belongs to one rule, after those of the command.

    Raises:
        ValueError: the command, or another rule, has one of this name.
    """
    several: dict[str, Any] = {"nargs": "+", "action": Several} if option.several else {}
    kind = getattr(argument_types, option.type) if isinstance(option.type, str) else option.type
    try:
        command.add_argument(
            option.flag, type=kind, default=option.default, metavar=option.metavar, help=option.help, **several
        )
    except argparse.ArgumentError:
        raise ValueError(
            f"{option.flag} of the rule {rule.name!r} is an option of `genbayes temperature` already: give it another "
            "name."
        ) from None


def _needs(rule: Rule) -> str:
    """What a rule runs or takes, in lines of the help."""
    text = f"{rule.name} {rule.needs}"
    return textwrap.fill(text, 78, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _rules(options: argparse.Namespace, cost: Cost) -> list[Rule]:
    """Those that were asked for, or all that apply."""
    return [rule for rule in rules() if (rule.applies(cost) if options.rule is None else rule.name in options.rule)]


def _question(
    found: Ladder, problem: Problem, simulations: Simulations, options: argparse.Namespace, terminal: Terminal
) -> Question:
    return Question(
        found,
        simulator=problem.simulator,
        simulations=simulations,
        conditions_prior=problem.conditions,
        n=options.draws,
        seed=options.seed,
        run_seed=stages.resimulation_seed(simulations),
        workers=workers_of(options, problem),
        progress=not terminal.quiet,
        options=vars(options),
    )


def _told(chosen: Choice) -> str:
    """As its summary, without what holds for all rules."""
    parts = [chosen.line(), chosen.finding, chosen.assumes]
    return "\n".join(map(wrapped, [*parts, *(f"warning: {text}" for text in chosen.outcome.messages)]))


def _store(
    found: Ladder,
    choices: list[Choice],
    failed: list[str],
    advice: Recommendation,
    folder: Folder,
    cost: Cost,
    terminal: Terminal,
) -> None:
    caption = (
        "Along the ladder of inverse temperatures: expected cost of the draws, effective number of parameters, width "
        "of each parameter's posterior relative to its prior, and log evidence. Vertical lines: what the rules choose."
    )
    with progress_bar("drawing", 1 + len(choices), not terminal.quiet) as advance:
        parts = [picture(caption, temperatures.temperature(found, choices))]
        advance()
        for chosen in choices:
            parts.append(paragraph(chosen.line() + ". " + " ".join(chosen.sentences()[:2])))
            parts += [paragraph(f"Warning: {text}") for text in chosen.outcome.messages]
            parts.append(picture(rule_named(chosen.rule).caption, temperatures.choice(chosen)))
            advance()
    parts += [paragraph(f"Not chosen by {text}") for text in failed]
    parts += [paragraph(f"Warning: {text}") for text in found.outcome.messages]
    parts += [paragraph(f"{advice.reason} {advice.take()}.".strip())] if choices else []
    parts += [paragraph(NO_RESCUE), table(HEADER, found.rows())]
    reports = save_section(folder, "temperature", composed("Inverse temperature", parts), cost)
    path = folder.result("temperature")
    content = {**found.numbers(), "choices": [chosen.numbers() for chosen in choices], "not_chosen": failed}
    content["recommended"] = {"beta": advice.betas, "reason": advice.reason}
    write_whole(path, json.dumps(content, indent=1))
    for written in (path, *reports):
        terminal.path(written)
