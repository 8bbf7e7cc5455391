"""The predictive plot of several posteriors: a band and a median of each, in a colour of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..distances.unequal_sets import all_trials
from ..runtime.figure_style import OBSERVED, PRIOR, density, few_ticks, time_axis, window
from .prediction_panels import panels_of, times_of
from .several import Shown, common_window, legend

if TYPE_CHECKING:
    import matplotlib.figure

# Of each, outputs (m, ...) and the observation.
Compared = list[tuple[Shown, np.ndarray, np.ndarray]]


def coordinates_compared(
    compared: Compared, axis: Any, labels: list[str], before: np.ndarray | None
) -> matplotlib.figure.Figure:
    """One panel per coordinate: the density of each posterior's runs, and what was observed."""
    del axis
    figure, panels = panels_of(len(labels), 1.9, 4)
    shared = _shared(compared)
    for j, ax in enumerate(panels):
        limits = common_window([window(x[:, j], include=_near(x[:, j], x_o[j]), level=0.98) for _, x, x_o in compared])
        least = min(float(np.min(x[:, j])) for _, x, _ in compared)
        bounds = (0.0, np.inf) if min(least, limits[0]) >= 0 else (-np.inf, np.inf)
        grid = np.linspace(max(limits[0], bounds[0]), limits[1], 300)
        if before is not None:
            ax.fill_between(grid, density(before[:, j], grid, bounds), color=PRIOR, alpha=0.35, linewidth=0)
        highest = 1e-30
        for one, x, x_o in compared:
            curve = density(x[:, j], grid, bounds)
            ax.plot(grid, curve, color=one.colour, linestyle=one.dashes, linewidth=1.4)
            highest = max(highest, float(curve.max()))
            if not np.isnan(x_o[j]) and not shared:
                ax.axvline(x_o[j], color=one.colour, linewidth=1.2, alpha=0.7)
        if shared and not np.isnan(compared[0][2][j]):
            ax.axvline(compared[0][2][j], color=OBSERVED, linewidth=1.6)
        ax.set_ylim(0, 1.08 * highest)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        few_ticks(ax.xaxis)
        ax.set_xlabel(labels[j])
    _legend(figure, compared, before, {"linewidth": 1.6}, band=False)
    return figure


def series_compared(
    compared: Compared, axis: Any, labels: list[str], before: np.ndarray | None
) -> matplotlib.figure.Figure:
    """One panel per channel: the central 90 % of each posterior's runs, their median, and what was observed."""
    length = len(compared[0][2])
    times, time_label, ticks = times_of(axis, length)
    figure, panels = panels_of(len(labels), 2.7, 2)
    points, shared = length <= 100, _shared(compared)
    style: dict[str, Any] = (
        {"marker": "o", "markersize": 3.5, "linestyle": "none"} if points else {"linestyle": "-", "linewidth": 1.2}
    )
    for c, ax in enumerate(panels):
        shown = []
        for one, x, x_o in compared:
            q05, q50, q95 = np.quantile(x[:, :, c], [0.05, 0.5, 0.95], axis=0)
            ax.fill_between(times, q05, q95, color=one.colour, alpha=0.16, linewidth=0)
            ax.plot(times, q50, color=one.colour, linestyle=one.dashes, linewidth=1.6)
            seen = x_o[~np.isnan(x_o[:, c]), c]
            shown += [q05.min(), q95.max(), *([seen.min(), seen.max()] if len(seen) else [])]
            if not shared:
                ax.plot(times, x_o[:, c], color=one.colour, **style)
        if shared:
            ax.plot(times, compared[0][2][:, c], color=OBSERVED, **style)
        low, high = min(shown), max(shown)
        if before is not None:
            p05, p95 = np.quantile(before[:, :, c], [0.05, 0.95], axis=0)
            ax.fill_between(times, p05, p95, color=PRIOR, alpha=0.15, linewidth=0, zorder=0)
            # A prior that explodes must not flatten the data.
            reach = 0.5 * (high - low)
            low, high = max(min(low, p05.min()), low - reach), min(max(high, p95.max()), high + reach)
        pad = 0.05 * (high - low) or 1.0
        ax.set_ylim(max(low - pad, 0.0) if min(shown) >= 0 else low - pad, high + pad)
        ax.margins(x=0.02)
        ax.set_ylabel(labels[c])
        ax.set_xlabel(time_label)
        time_axis(ax.xaxis, ticks)
    _legend(figure, compared, before, style, band=True)
    return figure


def sets_compared(
    compared: Compared, axis: Any, labels: list[str], before: np.ndarray | None
) -> matplotlib.figure.Figure:
    """One panel per coordinate of a trial: mean histogram of one run's trials, and that of the observed trials."""
    del axis
    figure, panels = panels_of(len(labels), 2.4, 3)
    shared = _shared(compared)
    # Rows of NaN are no trials.
    compared = [(one, all_trials(x), all_trials(x_o)) for one, x, x_o in compared]
    of_prior = None if before is None else all_trials(before)
    for c, ax in enumerate(panels):
        limits = common_window([window(x[:, c], include=x_o[:, c]) for _, x, x_o in compared])
        trials = len(compared[0][2])
        bins = np.linspace(limits[0], limits[1], int(np.clip(np.sqrt(trials) * 2, 8, 30)) + 1)
        if of_prior is not None:
            share = np.histogram(of_prior[:, c], bins)[0] / len(of_prior)
            ax.stairs(share, bins, fill=True, color=PRIOR, alpha=0.35)
        for one, x, x_o in compared:
            share = np.histogram(x[:, c], bins)[0] / len(x)
            ax.stairs(share, bins, color=one.colour, linestyle=one.dashes, linewidth=1.5)
            if not shared:
                observed = np.histogram(x_o[:, c], bins)[0] / len(x_o)
                ax.plot((bins[1:] + bins[:-1]) / 2, observed, "o", color=one.colour, markersize=3.5)
        if shared:
            observed = np.histogram(compared[0][2][:, c], bins)[0] / trials
            ax.plot((bins[1:] + bins[:-1]) / 2, observed, "o", color=OBSERVED, markersize=3.5)
        ax.set_ylim(0)
        ax.set_xlabel(labels[c])
        ax.set_ylabel("share of a run's trials")
        few_ticks(ax.xaxis)
    _legend(figure, compared, before, {"marker": "o", "markersize": 3.5, "linestyle": "none"}, band=False)
    return figure


def _shared(compared: Compared) -> bool:
    """Whether all have one observation, which is black then."""
    return all(np.array_equal(x_o, compared[0][2], equal_nan=True) for _, _, x_o in compared)


def _near(x: np.ndarray, observed: float) -> float:
    return float(np.median(x)) if np.isnan(observed) else float(observed)


def _legend(figure: Any, compared: Compared, before: Any, style: dict[str, Any], *, band: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    others: dict[str, Any] = {}
    if band:
        others["bands: 5-95 % of runs; lines: medians"] = Line2D([], [], linestyle="none")
    if _shared(compared):
        others["observed"] = Line2D([], [], color=OBSERVED, **style)
    elif style.get("marker"):
        others["points: observed"] = Line2D([], [], linestyle="none")
    else:
        others["thin lines: observed" if band else "upright lines: observed"] = Line2D([], [], linestyle="none")
    if before is not None:
        others["prior 5-95 %" if band else "prior"] = Patch(facecolor=PRIOR, alpha=0.35)
    legend(figure, [one for one, _, _ in compared], others, 3 if len(figure.axes) == 1 else 5)
