"""`genbayes sensitivity`: how the posterior changes with the distance, and which outputs make the misfit."""

import argparse
import json
from pathlib import Path

import numpy as np

from ..costs.cost import Cost
from ..costs.forms import MarginalForm
from ..distances import AdditiveDistance, CappedError, HuberError, MeanAbsoluteError, MeanSquaredError
from ..plots import sensitivities
from ..reports.markup import composed, paragraph, picture, table
from ..runtime.files import write_whole
from ..runtime.processes import plain_main
from ..sensitivity_analysis.analysis import Sensitivity, sensitivity
from ..sensitivity_analysis.wording import variant_rows
from . import stages
from .argument_types import Several, natural, positive
from .folder import Folder, command_line, save_section, stored_cost
from .problem import Problem
from .problem_options import (
    add_condition,
    add_draws,
    add_seed,
    add_workers,
    conditions_of,
    folder_of,
    need_betas,
    observation_of,
    posterior_of,
    problem_of,
    workers_of,
)
from .registry import Commands, register
from .staleness import stale
from .terminal import Terminal

EXAMPLES = """\
examples:
  genbayes sensitivity predator.toml --beta 10
  genbayes sensitivity predator.toml --beta 10 --resimulate 100
  genbayes sensitivity predator.toml --distance absolute huber:1.5 capped:4
The stored cost has to be marginal: [fit] method = "marginal".
"""


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes sensitivity`."""
    text = "How the posterior changes with the distance, and which outputs make the misfit."
    command = commands.add("sensitivity", run, text, epilog=EXAMPLES)
    argument = command.add_argument
    text = "inverse temperatures (default: [sample] beta)"
    argument("--beta", type=positive, nargs="+", action=Several, metavar="B", help=text)
    text = "absolute, squared, huber:DELTA, capped:CAP or capped-squared:CAP, with the scale and weights of the problem"
    text += " (default: a standard set)"
    argument("--distance", type=named_distance, nargs="+", action=Several, metavar="D", help=text)
    add_draws(command, 1000, "of each variant (default: 1000)")
    text = "new runs at draws of each variant, instead of the network's predictions (default: 0)"
    argument("--resimulate", type=natural, default=0, metavar="N", help=text)
    argument("--observation", type=Path, metavar="FILE", help="instead of the problem's")
    add_condition(command)
    add_workers(command)
    add_seed(command)


def named_distance(text: str) -> tuple[str, str, float]:
    """The name of a distance, its kind and its threshold: "absolute", "huber:1.5"."""
    kind, colon, value = text.partition(":")
    thresholds = {"huber": "DELTA", "capped": "CAP", "capped-squared": "CAP"}
    if kind not in ("absolute", "squared", *thresholds):
        kinds = ["absolute", "squared", *(f"{name}:{what}" for name, what in thresholds.items())]
        raise argparse.ArgumentTypeError(f"expected {', '.join(kinds[:-1])} or {kinds[-1]}, got {text!r}")
    if (kind in thresholds) != bool(colon):
        expected = f"{kind}:{thresholds[kind]} such as {kind}:1.5" if kind in thresholds else kind
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return text, kind, positive(value) if colon else np.nan


def made_distance(kind: str, threshold: float, like: AdditiveDistance) -> AdditiveDistance:
    """A distance with the scale, the weights and the transform of another one."""
    scale, weights, transform = np.asarray(like.scale), np.asarray(like.weights), like.transform
    if kind == "absolute":
        return MeanAbsoluteError(scale, weights, transform)
    if kind == "squared":
        return MeanSquaredError(scale, weights, transform)
    if kind == "huber":
        return HuberError(threshold, scale, weights, transform)
    return CappedError(threshold, 1 if kind == "capped" else 2, scale, weights, transform)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Samples all variants, prints the tables, and stores numbers and report sections.

    Raises:
        FileNotFoundError: there is no cost.
        ValueError: there is no beta or observation, or the cost is not marginal.
    """
    stages.need_plots()
    problem, folder = problem_of(options, terminal), folder_of(options)
    betas = need_betas(options.beta or problem.sample.beta, problem, "sensitivity", options)
    cost = stored_cost(problem, folder)
    _need_marginal(problem, cost)
    terminal.warn(stale(problem, folder, cost))
    x_o = observation_of(problem, options.observation, option=False)
    given = cost.distance
    assert isinstance(given, AdditiveDistance)
    distances = None
    if options.distance is not None:
        distances = {name: made_distance(kind, value, given) for name, kind, value in options.distance}
    conditions = conditions_of(problem, options)
    for beta in betas:
        posterior = posterior_of(problem, cost, x_o, beta, conditions)
        with plain_main():
            found = sensitivity(
                posterior,
                distances,
                n=options.draws,
                seed=options.seed,
                labels=_labels(problem, cost),
                simulator=problem.simulator if options.resimulate else None,
                resimulate=max(options.resimulate, 2),
                workers=workers_of(options, problem),
                progress=not terminal.quiet,
            )
        _store(found, folder, cost, beta, terminal)


def _store(found: Sensitivity, folder: Folder, cost: Cost, beta: float, terminal: Terminal) -> None:
    terminal.say(f"\n{found.summary()}\n")
    terminal.warn(found.outcome.messages)
    figure = sensitivities.sensitivity(found)
    off = [[variant.name, *row] for variant, row in zip(found.variants, found.misfit.tolist(), strict=True)]
    shifts = [[variant.name, *row] for variant, row in zip(found.variants[1:], found.shift[1:].tolist(), strict=True)]
    caption = (
        "Every row is a distance: 90 % intervals of the parameters (grey band: the given distance; orange: moved by "
        "more than half a posterior standard deviation), and its misfit: how far its predictions are from the "
        "observation, over how far two predictions of the given posterior are apart."
    )
    header = (
        "variant",
        "beta",
        "largest shift (posterior sd)",
        "width ratios",
        "worst misfit",
    )
    section = composed(
        "Sensitivity to the distance",
        [
            *(paragraph(text) for text in found.guidance),
            picture(caption, figure),
            table(header, variant_rows(found)),
            paragraph("Shift of the posterior mean, in posterior standard deviations of the given distance:"),
            table(("variant", *found.names), shifts),
            paragraph("Misfit (predictions to the observation, over two predictions of the given posterior):"),
            table(("variant", *(group.name for group in found.groups)), off),
            *(paragraph(f"Warning: {text}") for text in found.outcome.messages),
        ],
    )
    reports = save_section(folder, "sensitivity", section, cost, beta=beta)
    path = folder.result("sensitivity", beta)
    write_whole(path, json.dumps(found.to_dict(), indent=1))
    for written in (path, *reports):
        terminal.path(written)


def _need_marginal(problem: Problem, cost: Cost) -> None:
    if isinstance(cost.form, MarginalForm):
        return
    where, again = problem.path or "the problem file", command_line("fit", problem)
    if isinstance(cost.distance, AdditiveDistance):
        raise ValueError(  # noqa: TRY004 (what is stored, not what was passed)
            f"the stored cost was fitted for {cost.distance.name} alone. That is an additive distance: write method = "
            f'"marginal" into the table [fit] of {where}, then {again}. No new simulations are needed.'
        )
    raise ValueError(
        f"the distance {cost.distance.name} is not additive: its expectation needs more than the distributions of "
        "single outputs, and its sensitivity cannot be told from one fit. For vectors take MeanAbsoluteError, "
        f'MeanSquaredError, HuberError or CappedError in [distance] and method = "marginal" in [fit] of {where}, then '
        f"{again}"
    )


def _labels(problem: Problem, cost: Cost) -> tuple[str, ...] | None:
    """The report's labels where they name what is looked at."""
    labels, size = problem.report.labels, int(np.prod(cost.x_shape))
    expected = size if size <= 12 else cost.x_shape[-1]
    return labels if labels is not None and len(labels) == expected else None
