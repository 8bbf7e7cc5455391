"""Coverage of credible sets, and beside it the ranks of true parameters among the draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import kstwo

from ..checks.coverage import Coverage
from ..runtime.figure_style import (
    ACCENT,
    DASHES,
    OBSERVED,
    POSTERIOR,
    PRIOR,
    SEVERAL_COLOURS,
    SMALL,
    free_corner,
    subplots,
)
from ..runtime.formatting import plain, short_number
from ..sampling.ranks import band
from .several import Shown, legend, same_names, several

if TYPE_CHECKING:
    import matplotlib.figure


def coverage(found: Coverage | Mapping[str, Coverage]) -> matplotlib.figure.Figure:
    """Shows how often credible sets of every level hold the truth, and the ranks of true parameters among the draws.

    On the left a curve below the diagonal means sets that are too narrow. On the right, of each parameter, the share of
    ranks below a value minus that value: a hill means draws that lie too high, a valley too low, a hill and then a
    valley draws that are too narrow, the reverse too wide. The grey bands hold a calibrated posterior's: on the left 95
    % of the points, on the right 95 % of whole curves (Kolmogorov and Smirnov).

    Args:
        found: From `coverage`; or several by name, at most five, of the same parameters, such as those of two betas:
            a colour for each, jointly on the left, every parameter by a line of it on the right.

    Raises:
        ValueError: The coverage has no ranks.
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.coverage(gb.coverage(prior, cost, held_out, beta=50.0, seed=0))
    """
    if isinstance(found, Mapping):
        return _compared(several(found, "found"))
    if found.ranks is None or found.joint_ranks is None:
        raise ValueError("the coverage has no ranks: call gb.coverage, which keeps them.")
    figure, axes = subplots(1, 2, (8.0, 3.6))
    _levels(axes[0, 0], found, found.joint_ranks, found.ranks)
    _differences(axes[0, 1], found, found.ranks)
    figure.suptitle(f"{found.rows} held-out simulations, β = {short_number(found.beta)}", fontsize=9)
    return figure


def _levels(ax: Any, found: Coverage, joint: np.ndarray, ranks: np.ndarray) -> None:
    """Coverage against the nominal level."""
    levels = np.linspace(0.02, 0.98, 49)
    low, high = band(levels, found.rows)
    ax.fill_between(levels, low, high, color=PRIOR, alpha=0.35, linewidth=0, label="95 % band if calibrated")
    ax.plot([0, 1], [0, 1], color=OBSERVED, linewidth=0.8)
    curves = [(column[:, None] <= levels).mean(axis=0) for column in np.abs(2 * ranks - 1).T]
    for j, curve in enumerate(curves):
        label = "each parameter, central" if j == 0 else None
        ax.plot(levels, curve, color=POSTERIOR, alpha=0.5, linewidth=0.8, label=label)
    if ranks.shape[1] > 1:
        curves.append((joint[:, None] <= levels).mean(axis=0))
        ax.plot(levels, curves[-1], color=ACCENT, linewidth=1.4, label="jointly, highest density")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("level of the credible set")
    ax.set_ylabel("share that holds the truth")
    ax.legend(frameon=False, fontsize=SMALL, loc=free_corner(levels, np.array(curves)))


def _differences(ax: Any, found: Coverage, ranks: np.ndarray) -> None:
    """The empirical distribution of ranks minus the uniform one (Säilynoja, Bürkner and Vehtari 2022)."""
    limit = float(kstwo.ppf(0.95, found.rows))
    ax.axhspan(-limit, limit, color=PRIOR, alpha=0.35, linewidth=0, label="95 % band if calibrated")
    ax.axhline(0.0, color=OBSERVED, linewidth=0.8)
    grid = np.linspace(0.0, 1.0, 201)
    several = ranks.shape[1] > len(SEVERAL_COLOURS)
    for j, column in enumerate(ranks.T):
        curve = (column[:, None] <= grid).mean(axis=0) - grid
        if several:
            style: dict[str, Any] = {"color": POSTERIOR, "alpha": 0.5, "linewidth": 0.8}
            style["label"] = "each parameter" if j == 0 else None
        else:
            style = {"color": SEVERAL_COLOURS[j], "linestyle": DASHES[j], "linewidth": 1.3}
            style["label"] = plain(found.names[j], 24)
        ax.plot(grid, curve, **style)
    # Room for the legend above the curves.
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.45 * (high - low))
    ax.set_xlim(0, 1)
    ax.set_xlabel("rank of the true value among the draws")
    ax.set_ylabel("share of ranks below, less the rank")
    ax.legend(frameon=False, fontsize=SMALL, loc="upper left", ncols=2)


def _compared(shown: list[Shown]) -> matplotlib.figure.Figure:
    """Coverage and ranks of several posteriors; the bands are those of the fewest simulations."""
    same_names(shown, "parameters")
    for one in shown:
        if one.one.ranks is None or one.one.joint_ranks is None:
            raise ValueError(f"the coverage {one.name!r} has no ranks: call gb.coverage, which keeps them.")
    rows = min(one.one.rows for one in shown)
    figure, axes = subplots(1, 2, (8.0, 3.8))
    left, right = axes[0]
    levels, grid = np.linspace(0.02, 0.98, 49), np.linspace(0.0, 1.0, 201)
    limit = float(kstwo.ppf(0.95, rows))
    filled = left.fill_between(levels, *band(levels, rows), color=PRIOR, alpha=0.35, linewidth=0)
    left.plot([0, 1], [0, 1], color=OBSERVED, linewidth=0.8)
    right.axhspan(-limit, limit, color=PRIOR, alpha=0.35, linewidth=0)
    right.axhline(0.0, color=OBSERVED, linewidth=0.8)
    for one in shown:
        style = {"color": one.colour, "linestyle": one.dashes}
        left.plot(levels, (one.one.joint_ranks[:, None] <= levels).mean(axis=0), linewidth=1.5, **style)
        for column in one.one.ranks.T:
            right.plot(grid, (column[:, None] <= grid).mean(axis=0) - grid, linewidth=1.0, **style)
    left.set_xlim(0, 1)
    left.set_ylim(0, 1)
    left.set_xlabel("level of the credible set, jointly")
    left.set_ylabel("share that holds the truth")
    right.set_xlim(0, 1)
    right.set_xlabel("rank of the true value among the draws")
    right.set_ylabel("share of ranks below, less the rank")
    figure.suptitle(f"{rows} held-out simulations" + " or more" * any(o.one.rows > rows for o in shown), fontsize=9)
    legend(figure, shown, {"95 % band if calibrated": filled}, 5)
    return figure
