"""Pictures of the ladder of inverse temperatures, and of the evidence behind a chosen one."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..costs.records import units_of
from ..runtime.figure_style import (
    ACCENT,
    MOST_PARAMETERS,
    POSTERIOR,
    PRIOR,
    SMALL,
    apart,
    cost_scale,
    evidence_scale,
    log_scale,
    subplots,
)
from ..runtime.formatting import plain, short_number
from ..runtime.units import unit_of_beta
from ..temperature.choice import Choice
from ..temperature.ladders import Ladder
from ..temperature.rules import rule_named, rules
from .several import several
from .temperatures_compared import temperatures_compared

if TYPE_CHECKING:
    import matplotlib.figure

# Vertical lines of the rules, in the order of their registry: told apart by shape too, for colour is lost in print.
DASHES = ((0, (5, 2)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (8, 2, 1, 2)), (0, (2, 3)))


def temperature(ladder: Ladder | Mapping[str, Ladder], choices: Sequence[Choice] = ()) -> matplotlib.figure.Figure:
    """Shows what happens along the ladder: expected cost, effective parameters, widths and evidence against beta.

    Args:
        ladder: A `Ladder`; or several by name, at most five, of the same parameters, each in a colour of its own.
        choices: Each a `Choice` of a rule for the same cost, marked by vertical lines; a replicate distance in
            their evidence is drawn beside the expected cost. They are of one ladder: several have none.

    Raises:
        ValueError: Of several ladders there are more than five, some of other parameters or units, or choices.
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.temperature(ladder, [choice])
    """
    if isinstance(ladder, Mapping):
        if choices:
            raise ValueError(f"choices are of one ladder, and there are {len(ladder)}: leave them out, or show one.")
        return temperatures_compared(several(ladder, "ladder"))
    figure, axes = subplots(2, 2, (8.0, 5.4), sharex=True)
    betas, ax = ladder.betas, axes[0, 0]
    band = np.quantile(ladder.costs, [0.05, 0.95], axis=1)
    ax.fill_between(betas, *band, color=POSTERIOR, alpha=0.15, linewidth=0, label="90 % of the draws")
    ax.plot(betas, ladder.mean_cost, "o-", color=POSTERIOR, markersize=2.5, linewidth=1.4, label="expected")
    for choice in choices:
        if {"betas", "replicate"} <= set(choice.evidence):
            curve = choice.evidence["betas"], choice.evidence["replicate"]
            ax.plot(*curve, color=PRIOR, linewidth=1.6, label="replicate distance")
    cost_scale(ax, ladder.mean_cost)
    ax.set_title("cost of the draws", fontsize=9)
    ax.set_ylabel(textwrap.fill(plain(units_of(ladder.cost), 90), 36), fontsize=SMALL)
    ax.legend(framealpha=0.8, edgecolor="none", fontsize=SMALL)
    ax = axes[0, 1]
    ax.axhline(ladder.prior.dim, color=PRIOR, linewidth=1.2, label="all parameters")
    ax.plot(betas, ladder.effective_parameters, "o-", color=POSTERIOR, markersize=2.5, linewidth=1.4)
    ax.set_ylim(0, max(1.25 * ladder.prior.dim, 1.05 * float(ladder.effective_parameters.max())))
    ax.set_title("effective parameters, 2 β² Var[cost]", fontsize=9)
    ax.legend(frameon=False, fontsize=SMALL)
    ax = axes[1, 0]
    shown = np.sort(np.argsort(ladder.widths[-1])[:MOST_PARAMETERS])
    ends, reach = np.log(ladder.widths[-1, shown]), float(np.ptp(np.log(ladder.widths[:, shown])))
    # Names at the ends of their lines, a line of text apart: some 7 % of the panel's height.
    for k, (j, end) in enumerate(zip(shown, np.exp(apart(ends, 0.07 * reach)), strict=True)):
        shade = 0.35 + 0.65 * k / max(1, len(shown) - 1) if len(shown) > 1 else 1.0
        ax.plot(betas, ladder.widths[:, j], color=POSTERIOR, alpha=shade, linewidth=1.2)
        ax.annotate(
            plain(ladder.prior.names[j], 14),
            (betas[-1], end),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=SMALL - 1,
            va="center",
            color=POSTERIOR,
        )
    log_scale(ax)
    note = f" ({len(shown)} narrowest of {ladder.prior.dim})" if ladder.prior.dim > len(shown) else ""
    ax.set_title(f"posterior width over prior width{note}", fontsize=9)
    ax = axes[1, 1]
    ax.plot(betas, ladder.log_evidence, "o-", color=POSTERIOR, markersize=2.5, linewidth=1.4)
    ax.set_title("log evidence, log Z(β) / Z(0)", fontsize=9)
    evidence_scale(ax, ladder.log_evidence)
    for ax in axes.flat:
        ax.set_xscale("log")
        for choice in choices:
            ax.axvline(choice.beta, color=ACCENT, linewidth=1.2, linestyle=_dashes(choice.rule))
    for ax in axes[1]:
        ax.set_xlabel(plain(f"inverse temperature β, {unit_of_beta(ladder.cost.distance.units)}", 60))
    if choices:
        from matplotlib.lines import Line2D

        style = {"color": ACCENT, "linewidth": 1.2}
        handles = [Line2D([], [], linestyle=_dashes(choice.rule), **style) for choice in choices]
        texts = [f"{choice.rule}: β = {short_number(choice.beta)}" for choice in choices]
        figure.legend(handles, texts, frameon=False, fontsize=SMALL, loc="outside lower center", ncols=len(choices))
    return figure


def choice(chosen: Choice) -> matplotlib.figure.Figure:
    """Shows the evidence for the beta that a rule chose, in the rule's own picture.

    noise_floor: expected cost and replicate distance with two standard errors; they meet at the chosen beta.
    calibrated: coverage of each level along beta, and at the chosen beta for all levels, with the band in which 95 % of
    the points of a calibrated posterior lie. bootstrap: best parameters of resampled trials, and the posterior at the
    chosen beta.

    Args:
        chosen: A `Choice`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If no rule of the choice's name is registered.

    Example:
        >>> figure = gb.plots.choice(choice)
    """
    return rule_named(chosen.rule).draw(chosen)


def _dashes(name: str) -> Any:
    """The line of a rule; a solid one for a choice that no registered rule made."""
    names = [rule.name for rule in rules()]
    return DASHES[names.index(name) % len(DASHES)] if name in names else "-"
