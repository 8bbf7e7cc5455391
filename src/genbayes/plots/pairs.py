"""The pair plot: marginal densities and contours of the draws, over the prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.figure_style import (
    ACCENT,
    LADDER_COLOURS,
    POSTERIOR,
    PRIOR,
    SMALL,
    bandwidth,
    density,
    density_2d,
    window,
)
from ..runtime.formatting import number, short_number
from ..temperature.ladders import Ladder
from .pair_panels import bounds_of, columns_of, outer_labels, pair_axes
from .pairs_compared import compared

if TYPE_CHECKING:
    import matplotlib.figure


def pair(
    draws: Any,
    prior: Any = None,
    truth: Any = None,
    max_points: int = 2000,
    parameters: Sequence[str] | None = None,
) -> matplotlib.figure.Figure:
    """Shows every parameter's marginal density (diagonal) and every pair's 50 and 90 % contours with points.

    Of an integer parameter it shows the probability of every value as bars, and points with a little sideways scatter.
    Each axis shows the posterior; where it is much narrower than the prior, the title says how much (ratio of the
    central 90 % intervals).

    Args:
        draws: `Draws` with `flat` (n, dim) and `names`; or several of the same parameters by name, at most five, such
            as {"patient 1": a, "patient 2": b}: contours of each in a colour of its own. Of a `Ladder` at most five
            betas, from light to dark, between the least and the largest; their densities have one height.
        prior: The `Prior`, drawn behind in grey with its bounds.
        truth: Parameters (dim,) to mark, if known.
        max_points: Most points drawn per panel (the densities use all draws); several draws have no points.
        parameters: Names of the parameters to show, in this order; all by default.

    Raises:
        ValueError: If a name is unknown, `truth` has another length, there are more than 16 parameters to show, or of
            several draws there are none, more than five, or some of other parameters.
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.pair(draws, prior=prior)
        >>> figure.savefig("pair.png")
        >>> both = gb.plots.pair({"patient 1": draws, "patient 2": other}, prior=prior)
    """
    if isinstance(draws, Mapping):
        return compared(draws, prior, truth, parameters)
    if isinstance(draws, Ladder):
        return compared(_steps(draws), prior, truth, parameters, LADDER_COLOURS, one_height=True)
    columns = columns_of(draws.names, parameters)
    theta, dim = np.asarray(draws.flat, float), len(columns)
    if truth is not None and np.shape(truth) != (theta.shape[1],):
        raise ValueError(f"truth has shape {np.shape(truth)}; expected one value per parameter: ({theta.shape[1]},)")
    bounds = bounds_of(prior, theta.shape[1])
    whole = np.isin(draws.names, getattr(draws, "integer_names", ()))
    prior_draws = None if prior is None else np.asarray(prior.sample(20_000, seed=0), float)
    figure, axes = pair_axes(dim)
    marks = [None if truth is None else float(truth[c]) for c in columns]
    limits = []
    for i, c in enumerate(columns):
        before = None if prior_draws is None else prior_draws[:, c]
        draw = _bars if whole[c] else _marginal
        limits.append(draw(axes[i, i], theta[:, c], before, bounds[c], marks[i], dim == 1))
    rng = np.random.default_rng(0)
    shown = theta[rng.permutation(len(theta))[:max_points]]
    # Points of one whole number would cover each other.
    shown = shown + np.where(whole, rng.uniform(-0.3, 0.3, shown.shape), 0.0)
    for i, row in enumerate(columns):
        for j, column in enumerate(columns):
            ax = axes[i, j]
            if j > i:
                ax.remove()
                continue
            if j < i:
                pair = [column, row]
                _joint(ax, theta[:, pair], shown[:, pair], bounds[column], bounds[row], contours=not whole[pair].any())
                if truth is not None:
                    ax.plot(marks[j], marks[i], "x", color=ACCENT, markersize=7, markeredgewidth=1.8)
                ax.set_ylim(limits[i])
            ax.set_xlim(limits[j])
            outer_labels(ax, i, j, dim, draws.names[column], draws.names[row])
    figure.align_labels()
    edges = [(limits[i][0] < bounds[c]) & (bounds[c] < limits[i][1]) & ~whole[c] for i, c in enumerate(columns)]
    _pair_legend(figure, axes, prior is not None, bool(np.any(edges)), truth is not None)
    return figure


def _steps(ladder: Ladder) -> dict[str, Any]:
    """The draws at some betas of a ladder by their names, the least and the largest among them."""
    places = np.unique(np.linspace(0, len(ladder) - 1, len(LADDER_COLOURS)).round().astype(int))
    return {f"β = {short_number(float(ladder.betas[j]))}": ladder.draws.draws(0, int(j)) for j in places}


def _marginal(
    ax: Any, values: np.ndarray, prior: np.ndarray | None, bounds: np.ndarray, truth: float | None, alone: bool
) -> tuple[float, float]:
    """Draws one parameter's density over its prior and returns the range shown."""
    limits = window(values, bounds, truth)
    if prior is not None:
        wide = window(prior, bounds, (*limits, values.mean()), level=0.95)
        narrower = np.subtract(*np.quantile(prior, [0.95, 0.05])) / max(
            np.subtract(*np.quantile(values, [0.95, 0.05])), 1e-30
        )
        if np.ptp(wide) < 3 * np.ptp(limits):  # the whole prior fits without squeezing the posterior
            limits = wide
        if narrower >= 1.5:
            ax.set_title(
                f"{number(narrower, 2)}× narrower{' than the prior' * alone}", color=POSTERIOR, fontsize=SMALL, pad=3
            )
    grid = np.linspace(limits[0], limits[1], 300)
    if prior is not None:
        ax.fill_between(grid, density(prior, grid, bounds), color=PRIOR, alpha=0.35, linewidth=0)
        ax.plot(grid, density(prior, grid, bounds), color=PRIOR, linewidth=1)
    curve = density(values, grid, bounds)
    ax.fill_between(grid, curve, color=POSTERIOR, alpha=0.25, linewidth=0)
    ax.plot(grid, curve, color=POSTERIOR, linewidth=1.4)
    for bound in bounds[np.isfinite(bounds)]:
        if limits[0] <= bound <= limits[1]:
            ax.axvline(bound, color=PRIOR, linewidth=1.2, linestyle=(0, (3, 2)))
    if truth is not None:
        ax.axvline(truth, color=ACCENT, linewidth=1.4)
    pad = 0.03 * np.ptp(limits)
    ax.set_ylim(0, max(1.08 * curve.max(), 1e-30))
    return limits[0] - pad, limits[1] + pad


def _bars(
    ax: Any, values: np.ndarray, prior: np.ndarray | None, bounds: np.ndarray, truth: float | None, alone: bool
) -> tuple[float, float]:
    """Draws the probability of every whole number over that of the prior and returns the range shown."""
    del bounds
    shown = values if prior is None else np.concatenate([values, prior])
    if np.ptp(shown) > 3 * max(np.ptp(values), 8):  # the whole prior would squeeze the posterior
        shown = values
    numbers = np.arange(shown.min(), shown.max() + 1)
    shares = np.array([np.mean(values == k) for k in numbers])
    if prior is not None:
        ax.bar(numbers, [np.mean(prior == k) for k in numbers], width=0.9, color=PRIOR, alpha=0.35, linewidth=0)
    ax.bar(numbers, shares, width=0.6, color=POSTERIOR, alpha=0.6, linewidth=0)
    if truth is not None:
        ax.axvline(truth, color=ACCENT, linewidth=1.4)
    ax.set_ylim(0, 1.08 * shares.max())
    if alone:
        ax.set_ylabel("probability")
    marks = numbers if truth is None else np.append(numbers, truth)
    return float(marks.min() - 0.6), float(marks.max() + 0.6)


def _joint(
    ax: Any, theta: np.ndarray, shown: np.ndarray, bounds_x: np.ndarray, bounds_y: np.ndarray, *, contours: bool
) -> None:
    """Draws points and contours of one pair of parameters; whole numbers have no contours."""
    ax.plot(*shown.T, ".", color=POSTERIOR, alpha=0.15, markersize=2, markeredgewidth=0, rasterized=True)
    if (
        not contours
        or len(theta) < 50
        or min(bandwidth(theta[:, 0]), bandwidth(theta[:, 1])) <= 0
        or np.any(np.ptp(theta, axis=0) == 0)
    ):
        return  # too few or constant draws have no contours
    x, y, smooth, levels = density_2d(theta[:, 0], theta[:, 1], bounds_x, bounds_y)
    if levels[1] > levels[0] > 0:
        ax.contour(x, y, smooth, levels=levels, colors=POSTERIOR, linewidths=[0.8, 1.5])


def _pair_legend(figure: Any, axes: Any, prior: bool, edge: bool, truth: bool) -> None:
    """Explains the colours in the empty upper triangle."""
    from matplotlib.lines import Line2D

    dim = len(axes)
    lines = [
        Line2D(
            [],
            [],
            color=POSTERIOR,
            linewidth=1.5,
            label="posterior" + ("\n(50, 90 % contours)" if dim == 2 else " (50, 90 % contours)" * (dim > 2)),
        )
    ]
    if prior:
        lines.append(Line2D([], [], color=PRIOR, linewidth=1.5, label="prior"))
    if edge:
        lines.append(Line2D([], [], color=PRIOR, linewidth=1.2, linestyle=(0, (3, 2)), label="prior bound"))
    if prior and dim > 1:
        lines.append(
            Line2D(
                [],
                [],
                linestyle="none",
                label="k×: than the prior,\n90 % interval" if dim == 2 else "k× narrower than the prior (90 %)",
            )
        )
    if truth:
        lines.append(Line2D([], [], color=ACCENT, linewidth=1.5, label="true value"))
    if dim == 1:
        figure.legend(handles=lines, frameon=False, loc="lower center", fontsize=SMALL, ncols=4)
    else:
        figure.legend(handles=lines, frameon=False, loc="upper right", fontsize=SMALL + (dim > 3))
