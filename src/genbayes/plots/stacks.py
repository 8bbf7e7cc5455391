"""The picture of a stack of posteriors: every parameter along the observations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks.stack import StackCheck
from ..priors.prior import Prior
from ..runtime.counts import evenly_spaced
from ..runtime.figure_style import ACCENT, POSTERIOR, PRIOR, SMALL, few_ticks, subplots

if TYPE_CHECKING:
    import matplotlib.figure

MOST_PARAMETERS = 12
# More bars than this are one dark surface.
MOST_OBSERVATIONS = 400


def stack(found: StackCheck, prior: Prior) -> matplotlib.figure.Figure:
    """Shows the median and the central 90 % of every parameter for each observation, at the highest beta.

    Grey: the prior's 90 %. Vermillion: observations that the simulator hardly makes, or whose sampling is in doubt.

    Args:
        found: with the draws.
        prior: of all observations.

    Raises:
        ImportError: matplotlib is not installed.

    Example:
        >>> figure = gb.plots.stack(gb.check_stack(stack, draws, simulations), prior)
    """
    draws = found.draws
    shown = evenly_spaced(len(draws), MOST_OBSERVATIONS)
    names = draws.names[:MOST_PARAMETERS]
    figure, axes = subplots(len(names), 1, (7.5, 0.95 + 1.05 * len(names)), sharex=True)
    flat = draws.theta[shown, -1].reshape(len(shown), -1, len(draws.names))
    low, middle, high = np.quantile(flat, [0.05, 0.5, 0.95], axis=1)
    before = np.quantile(np.asarray(prior.sample(20_000, seed=0), float), [0.05, 0.95], axis=0)
    doubtful = found.unusual[shown] | draws.suspect[shown, -1]
    for j, (ax, name) in enumerate(zip(axes[:, 0], names, strict=True)):
        ax.axhspan(*before[:, j], color=PRIOR, alpha=0.2, linewidth=0)
        for which, color in ((~doubtful, POSTERIOR), (doubtful, ACCENT)):
            ax.vlines(shown[which], low[which, j], high[which, j], color=color, linewidth=1.2)
            ax.plot(shown[which], middle[which, j], "o", color=color, markersize=2.5)
        ax.set_ylabel(name, fontsize=SMALL)
        few_ticks(ax.yaxis)
    axes[-1, 0].set_xlabel("observation")
    axes[-1, 0].xaxis.get_major_locator().set_params(integer=True)
    _legend(figure, doubtful)
    hidden = len(draws.names) - len(names)
    if hidden:
        figure.suptitle(f"{hidden} more parameter(s) not shown", fontsize=SMALL, x=0.01, ha="left")
    return figure


def _legend(figure: matplotlib.figure.Figure, doubtful: np.ndarray) -> None:
    """Explains the colours that the picture has, below the panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    style = {"marker": "o", "markersize": 2.5, "linewidth": 1.2}
    handles: list[Any] = [Patch(facecolor=PRIOR, alpha=0.2, label="prior, 90 %")]
    if not doubtful.all():
        handles.append(Line2D([], [], color=POSTERIOR, label="posterior, median and 90 %", **style))
    if doubtful.any():
        label = "the same, where the observation is unusual or sampling is in doubt"
        handles.append(Line2D([], [], color=ACCENT, label=label, **style))
    figure.legend(handles=handles, frameon=False, fontsize=SMALL, loc="outside lower center", ncols=len(handles))
