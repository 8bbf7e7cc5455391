"""The picture of the predictive check: one row for each coordinate, the observation against runs at the draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..checks.position import PredictivePosition
from ..runtime.figure_style import ACCENT, OBSERVED, POSTERIOR, PRIOR, SMALL, subplots
from ..runtime.formatting import number, plain, short_number
from .several import Shown, legend, same_names, several

if TYPE_CHECKING:
    import matplotlib.figure

MOST_ROWS = 40
_REACH = 8.0
# What the legend says of a value so far out that all of them together would have one in 1 % of the cases.
OUTSIDE = "observed, outside (1 % by chance)"


def predictive_position(
    position: PredictivePosition | Mapping[str, PredictivePosition], most: int = MOST_ROWS
) -> matplotlib.figure.Figure:
    """Shows where the observation falls among runs at the draws, the farthest coordinates first.

    Every row is centred on the median of the runs and scaled by their 90 % range, so that coordinates of any units
    stand in one picture; bands are the central 90 and 50 %. What lies outside in any coordinate (at a false-alarm rate
    of 1 % for all together) is drawn in vermillion.

    Args:
        position: such as `check.evidence.position`; or several by name, at most five, of the same coordinates: a dot
            of each, between its own runs' median (0) and the ends of their central 90 % (-1 and 1). What is missing in
            some has a dot of the others.
        most: Rows to show; of more coordinates the farthest.

    Raises:
        ValueError: If most is not positive.
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.predictive_position(verdict.evidence.position)
    """
    if most < 1:
        raise ValueError(f"most is {most}; expected at least 1")
    if isinstance(position, Mapping):
        return _compared(several(position, "position"), most)
    rows = position.order[:most]
    figure, axes = subplots(1, 1, (7.2, 1.1 + 0.27 * len(rows)))
    ax, heights = axes[0, 0], np.arange(len(rows))
    middle = position.quantiles[2, rows]
    half = (position.quantiles[4, rows] - position.quantiles[0, rows]) / 2
    half = np.where(half > 0, half, np.maximum(1e-6 * np.abs(middle), 1e-300))
    low, first, _, third, high = (position.quantiles[:, rows] - middle) / half
    ax.barh(heights, high - low, left=low, height=0.62, color=POSTERIOR, alpha=0.2, linewidth=0, label="90 % of runs")
    ax.barh(heights, third - first, left=first, height=0.62, color=POSTERIOR, alpha=0.35, linewidth=0, label="50 %")
    ax.plot([0, 0], [-0.5, len(rows) - 0.5], color=POSTERIOR, linewidth=1.2, label="median")
    at, outside = (position.observed[rows] - middle) / half, position.outside[rows]
    reach = float(np.clip(1.15 * np.max(np.abs(at), initial=1.5), 2.0, _REACH))
    shown = np.clip(at, -0.97 * reach, 0.97 * reach)
    beyond = np.abs(at) > 0.97 * reach
    for chosen, colour, name in ((~outside, OBSERVED, "observed"), (outside, ACCENT, OUTSIDE)):
        # An arrow marks an observation that lies beyond the picture.
        for mark, side in (("o", ~beyond), (">", beyond & (at > 0)), ("<", beyond & (at < 0))):
            which = chosen & side
            label = name if mark == "o" and np.any(chosen) else None
            ax.plot(shown[which], heights[which], mark, color=colour, markersize=5, label=label, linestyle="none")
    ax.set_yticks(heights, [plain(position.names[j], 34) for j in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(-reach, reach)
    ax.set_xlabel("distance from the runs' median, in halves of their 90 % range")
    for height, j in zip(heights, rows, strict=True):
        # The probability is 1 / (runs + 1) where no run lies as far out, 3 / (runs + 1) where one does.
        beyond_all = position.tail[j] < 2 / (position.runs + 1)
        p = f"< {number(2 / position.runs, 1)}" if beyond_all else number(float(position.tail[j]), 2)
        columns = ((1.13, "right", short_number(float(position.observed[j]), 4)), (1.15, "left", p))
        for at, side, text in columns:
            ax.text(at, height, text, transform=ax.get_yaxis_transform(), fontsize=SMALL, va="center", ha=side)
    for at, side, text in ((1.13, "right", "observed"), (1.15, "left", "p")):
        ax.text(at, 1.0, text, transform=ax.transAxes, fontsize=SMALL, va="bottom", ha=side)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    title = f"all {len(position.names)} coordinates together: p = {number(position.p_value, 2)}"
    left_out = f", the {len(rows)} farthest shown" if len(rows) < len(position.names) else ""
    ax.set_title(title + left_out, fontsize=SMALL, loc="left")
    figure.legend(frameon=False, fontsize=SMALL, loc="outside lower center", ncols=5)
    return figure


def _compared(compared: list[Shown], most: int) -> matplotlib.figure.Figure:
    """Dots of several observations among runs of their own."""
    names = _every_name(compared)
    at = np.array([_by_name(names, one.one, _place(one.one)) for one in compared])
    rows = np.argsort(-np.nanmax(np.abs(at), axis=0), kind="stable")[:most]
    figure, axes = subplots(1, 1, (7.2, 1.4 + 0.27 * len(rows)))
    ax, heights = axes[0, 0], np.arange(len(rows))
    band = ax.barh(heights, np.full(len(rows), 2.0), left=-1.0, height=0.7, color=PRIOR, alpha=0.25, linewidth=0)
    ax.plot([0, 0], [-0.5, len(rows) - 0.5], color=PRIOR, linewidth=1.2)
    reach = float(np.clip(1.15 * np.nanmax(np.abs(at[:, rows]), initial=1.5), 2.0, _REACH))
    for k, (one, places) in enumerate(zip(compared, at[:, rows], strict=True)):
        shift = 0.5 * (k - (len(compared) - 1) / 2) / len(compared)
        shown, beyond = np.clip(places, -0.97 * reach, 0.97 * reach), np.abs(places) > 0.97 * reach
        outside = _by_name(names, one.one, one.one.outside)[rows] == 1
        # An arrow marks an observation that lies beyond the picture, a filled mark one that is outside.
        for mark, side in (
            ("o", np.abs(places) <= 0.97 * reach),
            (">", beyond & (places > 0)),
            ("<", beyond & (places < 0)),
        ):
            for fill, which in ((one.colour, side & outside), ("white", side & ~outside)):
                style = {"color": one.colour, "markerfacecolor": fill, "markersize": 5, "linestyle": "none"}
                ax.plot(shown[which], heights[which] + shift, mark, **style)
    ax.set_yticks(heights, [plain(names[j], 34) for j in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(-reach, reach)
    ax.set_xlabel("from the runs' median, in the reach of their central 90 % on that side")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    title = "all coordinates together: " + ", ".join(
        f"{plain(one.name, 20)} p = {number(one.one.p_value, 2)}" for one in compared
    )
    ax.set_title(title, fontsize=SMALL, loc="left")
    from matplotlib.lines import Line2D

    style = {"color": OBSERVED, "marker": "o", "markersize": 5, "linestyle": "none"}
    others = {
        "90 % of runs": band,
        "observed": Line2D([], [], markerfacecolor="white", **style),
        OUTSIDE: Line2D([], [], **style),
    }
    legend(figure, compared, others)
    return figure


def _every_name(compared: list[Shown]) -> tuple[str, ...]:
    """The coordinates that any of them has: those that are missing in one are there in another.

    Raises:
        ValueError: some share none, or have several of one name.
    """
    each = [one.one.names for one in compared]
    distinct = all(len(set(names)) == len(names) for names in each)
    if distinct and all(set(names) & set(each[0]) for names in each):
        return tuple(dict.fromkeys(name for names in each for name in names))
    return same_names(compared, "coordinates")


def _by_name(names: tuple[str, ...], position: PredictivePosition, values: np.ndarray) -> np.ndarray:
    """Values of the coordinates of one at the places of all names; NaN where it has none."""
    if names == tuple(position.names):
        return np.asarray(values, float)
    own = dict(zip(position.names, np.asarray(values, float), strict=True))
    return np.array([own.get(name, np.nan) for name in names])


def _place(position: PredictivePosition) -> np.ndarray:
    """Of each coordinate, where the observation is: 0 the median of the runs, -1 and 1 the ends of their 90 %."""
    low, _, middle, _, high = position.quantiles
    reach = np.where(position.observed < middle, middle - low, high - middle)
    return (position.observed - middle) / np.where(reach > 0, reach, np.maximum(1e-6 * np.abs(middle), 1e-300))
