"""Pictures of the ladder of inverse temperatures, and of the evidence behind a chosen one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.formatting import number, plain
from .style import ACCENT, OBSERVED, POSTERIOR, PRIOR, SMALL, density, few_ticks, subplots, window

if TYPE_CHECKING:
    import matplotlib.figure

# Told apart by shape too: colour alone is lost in print.
RULES = {"noise_floor": (0, (5, 2)), "calibrated": (0, (1, 1)), "bootstrap": (0, (4, 1, 1, 1))}
MOST_PARAMETERS = 8
LEVEL_COLOURS = ("#56b4e9", "#0072b2", "#00415f", "#009e73", "#e69f00")


def temperature(ladder: Any, choices: Sequence[Any] = ()) -> matplotlib.figure.Figure:
    """Shows what happens along the ladder: expected cost, effective parameters, widths and evidence against beta.

    Args:
        ladder: A `Ladder`.
        choices: `Choice`s of rules for the same cost, marked by vertical lines; with one of the rule noise_floor the
            replicate distance is drawn beside the expected cost.

    Raises:
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.temperature(ladder, [choice])
    """
    figure, axes = subplots(2, 2, (8.0, 5.4), sharex=True)
    betas, spread = ladder.betas, np.sqrt(ladder.cost_variance)
    ax = axes[0, 0]
    ax.fill_between(betas, *_band(ladder.mean_cost, spread, ladder.costs), color=POSTERIOR, alpha=0.15, linewidth=0)
    ax.plot(betas, ladder.mean_cost, "o-", color=POSTERIOR, markersize=2.5, linewidth=1.4, label="expected ± s.d.")
    for choice in choices:
        if choice.rule == "noise_floor":
            e = choice.evidence
            ax.plot(e["betas"], e["replicate"], color=PRIOR, linewidth=1.6, label="replicate distance")
    _cost_scale(ax, ladder.mean_cost)
    ax.set_title("cost of the draws")
    ax.legend(frameon=False, fontsize=SMALL)
    ax = axes[0, 1]
    ax.axhline(ladder.prior.dim, color=PRIOR, linewidth=1.2, label="all parameters")
    ax.plot(betas, ladder.effective_parameters, "o-", color=POSTERIOR, markersize=2.5, linewidth=1.4)
    ax.set_ylim(0, max(1.25 * ladder.prior.dim, 1.05 * float(ladder.effective_parameters.max())))
    ax.set_title("effective parameters, 2 β² Var[cost]")
    ax.legend(frameon=False, fontsize=SMALL)
    ax = axes[1, 0]
    shown = np.argsort(ladder.widths[-1])[:MOST_PARAMETERS]
    for k, j in enumerate(sorted(shown)):
        shade = 0.35 + 0.65 * k / max(1, len(shown) - 1) if len(shown) > 1 else 1.0
        ax.plot(betas, ladder.widths[:, j], color=POSTERIOR, alpha=shade, linewidth=1.2)
        ax.annotate(
            plain(ladder.prior.names[j], 14),
            (betas[-1], ladder.widths[-1, j]),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=SMALL - 1,
            va="center",
            color=POSTERIOR,
        )
    ax.set_yscale("log")
    note = f" ({len(shown)} narrowest of {ladder.prior.dim})" if ladder.prior.dim > len(shown) else ""
    ax.set_title(f"posterior width over prior width{note}")
    ax = axes[1, 1]
    ax.plot(betas, ladder.log_evidence, "o-", color=POSTERIOR, markersize=2.5, linewidth=1.4)
    ax.set_title("log evidence, log Z(β) / Z(0)")
    ax.set_yscale("symlog", linthresh=1.0)
    for ax in axes.flat:
        ax.set_xscale("log")
        for choice in choices:
            ax.axvline(choice.beta, color=ACCENT, linewidth=1.2, linestyle=RULES.get(choice.rule, "-"))
    for ax in axes[1]:
        ax.set_xlabel(plain(f"inverse temperature β, in 1 / ({ladder.cost.distance.units})", 60))
    if choices:
        from matplotlib.lines import Line2D

        style = {"color": ACCENT, "linewidth": 1.2}
        handles = [Line2D([], [], linestyle=RULES.get(choice.rule, "-"), **style) for choice in choices]
        texts = [f"{choice.rule}: β = {number(choice.beta)}" for choice in choices]
        figure.legend(handles, texts, frameon=False, fontsize=SMALL, loc="outside lower center", ncols=len(choices))
    return figure


def choice(chosen: Any) -> matplotlib.figure.Figure:
    """Shows the evidence for the beta that a rule chose.

    noise_floor: expected cost and replicate distance with two standard errors; they meet at the chosen beta.
    calibrated: coverage of each level along beta, and at the chosen beta for all levels, with the band in which 95 % of
    the points of a calibrated posterior lie. bootstrap: best parameters of resampled trials, and the posterior at the
    chosen beta.

    Args:
        chosen: A `Choice`.

    Raises:
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.choice(choice)
    """
    return {"noise_floor": _floor, "calibrated": _coverage, "bootstrap": _minimisers}[chosen.rule](chosen)


def _floor(chosen: Any) -> matplotlib.figure.Figure:
    e = chosen.evidence
    figure, axes = subplots(1, 1, (5.4, 3.4))
    ax = axes[0, 0]
    for mean, error, colour, label in (
        (e["mean_cost"], e["cost_error"], POSTERIOR, "expected cost: draws to the observation"),
        (e["replicate"], e["replicate_error"], PRIOR, "replicate distance: two runs at a draw"),
    ):
        ax.plot(e["betas"], mean, color=colour, linewidth=1.5, label=label)
        ax.fill_between(e["betas"], mean - 2 * error, mean + 2 * error, color=colour, alpha=0.25, linewidth=0)
    ax.axvline(chosen.beta, color=ACCENT, linewidth=1.2, label=f"β = {number(chosen.beta)}")
    ax.set_xscale("log")
    _cost_scale(ax, np.concatenate([e["mean_cost"], e["replicate"]]))
    ax.set_xlabel(plain(f"inverse temperature β, in 1 / ({chosen.units})", 60))
    ax.set_ylabel(plain(chosen.units, 40))
    ax.legend(framealpha=0.9, edgecolor="none", fontsize=SMALL)
    return figure


def _coverage(chosen: Any) -> matplotlib.figure.Figure:
    e = chosen.evidence
    figure, axes = subplots(1, 2, (8.0, 3.5))
    ax, m = axes[0, 0], int(e["rows"])
    for k, (level, coverage) in enumerate(zip(e["levels"], e["coverage"], strict=True)):
        colour = LEVEL_COLOURS[k % len(LEVEL_COLOURS)]
        error = np.sqrt(coverage * (1 - coverage) / m)
        ax.fill_between(e["betas"], coverage - 2 * error, coverage + 2 * error, color=colour, alpha=0.2, linewidth=0)
        ax.plot(e["betas"], coverage, "o-", color=colour, markersize=2.5, linewidth=1.3, label=f"{level:.0%} sets")
        ax.axhline(level, color=colour, linewidth=0.8, linestyle=(0, (2, 2)))
    ax.axvline(chosen.beta, color=ACCENT, linewidth=1.2)
    ax.axvspan(*chosen.interval, color=ACCENT, alpha=0.12, linewidth=0)
    ax.set_xscale("log")
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(plain(f"inverse temperature β, in 1 / ({chosen.units})", 60))
    ax.set_ylabel(f"share of {m} true parameters held")
    ax.legend(frameon=False, fontsize=SMALL, loc="lower left")
    ax = axes[0, 1]
    levels = e["curve_levels"]
    ax.fill_between(levels, *e["band"], color=PRIOR, alpha=0.35, linewidth=0, label="95 % band if calibrated")
    ax.plot([0, 1], [0, 1], color=OBSERVED, linewidth=0.8)
    for j, curve in enumerate(e["curve_by_parameter"]):
        label = "each parameter, central" if j == 0 else None
        ax.plot(levels, curve, color=POSTERIOR, alpha=0.5, linewidth=0.8, label=label)
    ax.plot(levels, e["curve"], "o-", color=ACCENT, markersize=3, linewidth=1.4, label="jointly, highest density")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("level of the credible set")
    ax.set_ylabel("coverage")
    ax.set_title(f"at β = {number(chosen.beta)}")
    ax.legend(frameon=False, fontsize=SMALL, loc="upper left")
    return figure


def _minimisers(chosen: Any) -> matplotlib.figure.Figure:
    values, draws = chosen.evidence["minimisers"], chosen.evidence["draws"]
    dim = min(values.shape[1], MOST_PARAMETERS)
    columns = min(dim, 4)
    figure, axes = subplots(-(-dim // columns), columns, (max(4.0, 2.4 * columns), 2.5 * -(-dim // columns)))
    for j, ax in enumerate(axes.flat):
        if j >= dim:
            ax.remove()
            continue
        limits = window(np.concatenate([values[:, j], draws[:, j]]))
        grid = np.linspace(*limits, 200)
        bins = np.linspace(*limits, 26)
        ax.hist(values[:, j], bins, density=True, color=PRIOR, alpha=0.6, label="best parameters of resampled trials")
        ax.plot(grid, density(draws[:, j], grid), color=POSTERIOR, linewidth=1.5, label="posterior at the chosen β")
        ax.set_yticks([])
        ax.set_xlabel(plain(chosen.names[j], 24))
        few_ticks(ax.xaxis)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=SMALL, loc="outside lower center", ncols=1 + (columns > 1))
    return figure


def _band(mean: np.ndarray, spread: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One standard deviation about the mean, never beyond the draws: costs are not below the least of them."""
    return np.maximum(mean - spread, costs.min(axis=1)), mean + spread


def _cost_scale(ax: Any, values: np.ndarray) -> None:
    """A logarithmic axis where the cost falls by an order of magnitude."""
    if values.min() > 0 and values.max() > 10 * values.min():
        ax.set_yscale("log")
