"""The picture of a sensitivity analysis: the posterior by every distance, and how far its predictions are off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.figure_style import ACCENT, POSTERIOR, PRIOR, SMALL, few_ticks, subplots
from ..runtime.formatting import number, plain
from ..sensitivity_analysis.result import Sensitivity

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

MOST_PARAMETERS = 10
# Misfit at which the colour ends.
_DARKEST = 6.0


def sensitivity(found: Sensitivity) -> matplotlib.figure.Figure:
    """Shows every variant in a row: each parameter's 90 % interval, and the misfit of each part of the output.

    The grey band is the 90 % interval of the given distance, the dot the mean. On the right, how far the observation
    lies from the predictions, over how far two predictions of the given posterior lie apart: 1, white, is as one of
    them. Bars on top: each part's share of the cost.

    Args:
        found: with every variant and its draws.

    Raises:
        ImportError: matplotlib is not installed.

    Example:
        >>> figure = gb.plots.sensitivity(gb.sensitivity(posterior, seed=0))
    """
    names, variants, groups = found.names[:MOST_PARAMETERS], found.variants, found.groups
    rows, columns = len(variants), len(names)
    ratios = {"width_ratios": [1.0] * columns + [0.42 * len(groups) + 0.3], "height_ratios": [0.6, 0.27 * rows]}
    width = 2.3 + 1.05 * columns + 0.45 * len(groups)
    beside = min(max(int(width / 2.2), 1), 6)  # entries of the legend
    size = (width, 1.8 + 0.27 * rows + 0.2 * -(-6 // beside))
    figure, axes = subplots(2, columns + 1, size, gridspec_kw=ratios)
    for ax in axes[0, :columns]:
        ax.remove()
    _intervals(axes[1, :columns], found, names)
    _misfit(axes[0, columns], axes[1, columns], found)
    _legend(figure, found, beside)
    hidden = len(found.names) - columns
    if hidden:
        figure.suptitle(f"{hidden} more parameter(s) not shown", fontsize=SMALL, x=0.01, ha="left")
    return figure


def _intervals(axes: np.ndarray, found: Sensitivity, names: Sequence[str]) -> None:
    """One panel a parameter; all share the rows."""
    rows = np.arange(len(found.variants))
    for k, (ax, name) in enumerate(zip(axes, names, strict=True)):
        low, high = np.array([np.quantile(v.draws.flat[:, k], [0.05, 0.95]) for v in found.variants]).T
        ax.axvspan(low[0], high[0], color=PRIOR, alpha=0.25, linewidth=0)
        for row, variant in enumerate(found.variants):
            color = ACCENT if _moved(found)[row, k] else POSTERIOR
            ax.plot(
                [low[row], high[row]], [row, row], color=color, linewidth=1.4, solid_capstyle="butt", gid=variant.name
            )
            ax.plot(found.mean[row, k], row, "o", color=color, markersize=3.2)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_yticks(rows, [plain(v.name, 32) for v in found.variants] if k == 0 else [""] * len(rows))
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(plain(name, 16), fontsize=SMALL)
        ax.margins(x=0.08)
        few_ticks(ax.xaxis, 2)
        # In a panel this narrow three numbers of four digits would run into one another.
        ax.tick_params(axis="x", rotation=45)
    axes[0].figure.align_xlabels(axes)


def _moved(found: Sensitivity) -> np.ndarray:
    """Shifts beyond what the sampler leaves uncertain, and beyond half the posterior's width (variants, dim)."""
    return np.abs(found.shift) > np.maximum(0.5, 3 * found.shift_error)


def _colours() -> Any:
    """The colours of the misfit, from white to vermillion, as a function of its level in 0 to 1."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("off", ["#ffffff", "#f3b48c", ACCENT])


def _level(misfit: np.ndarray) -> np.ndarray:
    """Where a misfit stands among the colours: 0 up to a misfit of 1, and short of the end, so that text is read."""
    return np.log(np.clip(misfit, 1.0, _DARKEST)) / np.log(_DARKEST) / 1.15


def _legend(figure: matplotlib.figure.Figure, found: Sensitivity, columns: int) -> None:
    """Explains every colour, below the panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    style = {"marker": "o", "markersize": 3.2, "linewidth": 1.4}
    handles: list[Any] = [
        Patch(facecolor=PRIOR, alpha=0.25, label="90 % by the given distance"),
        Line2D([], [], color=POSTERIOR, label="90 % and mean", **style),
    ]
    if _moved(found)[:, :MOST_PARAMETERS].any():
        handles.append(Line2D([], [], color=ACCENT, label="moved by more than half an s.d.", **style))
    texts = {1.0: "misfit 1 or less", 2.5: "misfit 2.5", _DARKEST: f"misfit {_DARKEST:g} or more"}
    for colour, text in zip(_colours()(_level(np.array(list(texts)))), texts.values(), strict=True):
        handles.append(Patch(facecolor=colour, edgecolor=PRIOR, linewidth=0.5, label=text))
    figure.legend(handles=handles, frameon=False, fontsize=SMALL, loc="outside lower center", ncols=columns)


def _misfit(top: matplotlib.axes.Axes, ax: matplotlib.axes.Axes, found: Sensitivity) -> None:
    """A map of replicate distances, under bars of the shares of the cost."""
    columns = np.arange(len(found.groups))
    ax.imshow(_level(found.misfit), aspect="auto", cmap=_colours(), vmin=0, vmax=1)
    for row, column in np.ndindex(found.misfit.shape):
        text = number(float(found.misfit[row, column]), 2)
        ax.text(column, row, text, ha="center", va="center", fontsize=SMALL - 1.5, color="black")
    ax.set_yticks([])
    ax.set_xticks(columns, [plain(g.name, 22) for g in found.groups], rotation=40, ha="right", rotation_mode="anchor")
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="x", length=0)
    top.bar(columns, 100 * found.share, color=PRIOR, width=0.7)
    for column, share in enumerate(found.share):
        top.text(column, 100 * share, f"{100 * share:.0f}", ha="center", va="bottom", fontsize=SMALL - 1)
    top.set_xlim(-0.5, len(columns) - 0.5)
    top.set_ylim(0, 125 * max(found.share.max(), 0.01))
    top.set_xticks([])
    top.set_yticks([])
    top.spines["left"].set_visible(False)
    how = "new runs" if found.resimulated else "predictions"
    top.set_title(f"share of the cost (%)\nand misfit of the {how}", fontsize=SMALL)
