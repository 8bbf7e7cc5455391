"""The picture of the predictive check: one row for each coordinate, the observation against runs at the draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..checks.position import PredictivePosition
from ..runtime.figure_style import ACCENT, OBSERVED, POSTERIOR, SMALL, subplots
from ..runtime.formatting import number, plain

if TYPE_CHECKING:
    import matplotlib.figure

MOST_ROWS = 40
_REACH = 8.0


def predictive_position(position: PredictivePosition, most: int = MOST_ROWS) -> matplotlib.figure.Figure:
    """Shows where the observation falls among runs at the draws, the farthest coordinates first.

    Every row is centred on the median of the runs and scaled by their 90 % range, so that coordinates of any units
    stand in one picture; bands are the central 90 and 50 %. What lies outside in any coordinate (at a false-alarm rate
    of 1 % for all together) is drawn in vermillion.

    Args:
        position: such as `check.evidence.position`.
        most: Rows to show; of more coordinates the farthest.

    Raises:
        ValueError: If most is not positive.
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.predictive_position(verdict.evidence.position)
    """
    if most < 1:
        raise ValueError(f"most is {most}; expected at least 1")
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
    for chosen, colour, name in ((~outside, OBSERVED, "observed"), (outside, ACCENT, "observed, outside")):
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
        p = f"p < {number(2 / position.runs, 1)}" if beyond_all else f"p = {number(float(position.tail[j]), 2)}"
        text = f"{number(float(position.observed[j]))}   {p}"
        ax.text(1.01, height, text, transform=ax.get_yaxis_transform(), fontsize=SMALL, va="center")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    title = f"all {len(position.names)} coordinates together: p = {number(position.p_value, 2)}"
    left_out = f", the {len(rows)} farthest shown" if len(rows) < len(position.names) else ""
    ax.set_title(title + left_out, fontsize=SMALL, loc="left")
    figure.legend(frameon=False, fontsize=SMALL, loc="outside lower center", ncols=5)
    return figure
