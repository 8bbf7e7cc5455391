"""Ladders of several posteriors in one picture: a colour for each."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from ..costs.records import units_of
from ..runtime.figure_style import PRIOR, SMALL, cost_scale, evidence_scale, log_scale, subplots
from ..runtime.formatting import plain
from ..runtime.units import unit_of_beta
from .several import Shown, legend, same_names

if TYPE_CHECKING:
    import matplotlib.figure


def temperatures_compared(shown: list[Shown]) -> matplotlib.figure.Figure:
    """Draws `temperature` of several ladders, see there.

    Raises:
        ValueError: they are of different parameters, or their costs have different units.
    """
    names = same_names(shown, "parameters", lambda ladder: ladder.prior.names)
    same_names(shown, "units of the cost", lambda ladder: (units_of(ladder.cost),))
    figure, axes = subplots(2, 2, (8.0, 5.6), sharex=True)
    (costs, numbers), (widths, evidences) = axes
    for one in shown:
        ladder, style = one.one, {"color": one.colour, "linestyle": one.dashes, "linewidth": 1.4}
        costs.plot(ladder.betas, ladder.mean_cost, **style)
        numbers.plot(ladder.betas, ladder.effective_parameters, **style)
        # The mean of logarithms: a parameter that is known ten times better weighs as much as one ten times worse.
        widths.plot(ladder.betas, np.exp(np.log(ladder.widths).mean(axis=1)), **style)
        evidences.plot(ladder.betas, ladder.log_evidence, **style)
    cost_scale(costs, np.concatenate([one.one.mean_cost for one in shown]))
    costs.set_title("mean cost of the draws", fontsize=9)
    costs.set_ylabel(textwrap.fill(plain(units_of(shown[0].one.cost), 90), 36), fontsize=SMALL)
    line = numbers.axhline(len(names), color=PRIOR, linewidth=1.2)
    numbers.set_ylim(bottom=0)
    numbers.set_title("effective parameters, 2 β² Var[cost]", fontsize=9)
    log_scale(widths)
    mean = "" if len(names) == 1 else ", geometric mean"
    widths.set_title(f"posterior width over prior width{mean}", fontsize=9)
    evidences.set_title("log evidence, log Z(β) / Z(0)", fontsize=9)
    evidence_scale(evidences, np.concatenate([one.one.log_evidence for one in shown]))
    for ax in axes.flat:
        ax.set_xscale("log")
    for ax in axes[1]:
        ax.set_xlabel(plain(f"inverse temperature β, {unit_of_beta(shown[0].one.cost.distance.units)}", 60))
    legend(figure, shown, {"all parameters": line}, 6)
    return figure
