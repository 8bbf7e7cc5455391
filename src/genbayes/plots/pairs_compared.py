"""The pair plot of several posteriors of the same parameters: a colour and a kind of line for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.figure_style import (
    DASHES,
    OBSERVED,
    PRIOR,
    SEVERAL_COLOURS,
    SMALL,
    bandwidth,
    density,
    density_2d,
    window,
)
from ..runtime.formatting import plain
from .pair_panels import bounds_of, columns_of, outer_labels, pair_axes
from .several import same_names, several

if TYPE_CHECKING:
    import matplotlib.figure

# What a panel has besides the posteriors: dashes of the prior's bounds.
_BOUND: Any = (0, (3, 2))


def compared(
    draws: Mapping[str, Any],
    prior: Any,
    truth: Any,
    parameters: Sequence[str] | None,
    colours: Sequence[str] = SEVERAL_COLOURS,
    *,
    one_height: bool = False,
) -> matplotlib.figure.Figure:
    """Draws `pair` of several posteriors, see there; with `one_height` densities that differ much in width."""
    advice = ", or show each parameter along the observations with plots.stack"
    names = list(same_names(several(draws, "draws", advice), "parameters"))
    columns = columns_of(names, parameters)
    if truth is not None and np.shape(truth) != (len(names),):
        raise ValueError(f"truth has shape {np.shape(truth)}; expected one value per parameter: ({len(names)},)")
    bounds = bounds_of(prior, len(names))
    whole = np.isin(names, [n for one in draws.values() for n in getattr(one, "integer_names", ())])
    thetas = [np.asarray(one.flat, float) for one in draws.values()]
    before = None if prior is None else np.asarray(prior.sample(20_000, seed=0), float)
    marks = [None if truth is None else float(truth[c]) for c in columns]
    figure, axes = pair_axes(len(columns))
    if len(columns) == 1 and whole[columns[0]]:
        axes[0, 0].set_ylabel("probability")
    limits = []
    for i, c in enumerate(columns):
        values, shown = [theta[:, c] for theta in thetas], None if before is None else before[:, c]
        draw = _bars if whole[c] else partial(_marginals, one_height=one_height)
        limits.append(draw(axes[i, i], values, shown, bounds[c], marks[i], colours))
    for i, row in enumerate(columns):
        for j, column in enumerate(columns):
            ax = axes[i, j]
            if j > i:
                ax.remove()
                continue
            if j < i:
                pair = [column, row]
                smooth = not whole[pair].any()
                _joint(ax, [theta[:, pair] for theta in thetas], bounds[pair], colours, contours=smooth)
                if truth is not None:
                    ax.plot(marks[j], marks[i], "x", color=OBSERVED, markersize=7, markeredgewidth=1.8)
                ax.set_ylim(limits[i])
            ax.set_xlim(limits[j])
            outer_labels(ax, i, j, len(columns), names[column], names[row])
    figure.align_labels()
    edges = [(limits[i][0] < bounds[c]) & (bounds[c] < limits[i][1]) & ~whole[c] for i, c in enumerate(columns)]
    notes = ["contours: 50, 90 %"] if np.sum(~whole[columns]) > 1 else []
    notes += ["densities of one height"] if one_height else []
    lines = dict(zip(draws, colours, strict=False))
    _legend(figure, lines, ";\n".join(notes), prior is not None, bool(np.any(edges)), truth is not None)
    return figure


def _marginals(
    ax: Any,
    values: list[np.ndarray],
    prior: np.ndarray | None,
    bounds: np.ndarray,
    truth: float | None,
    colours: Sequence[str],
    *,
    one_height: bool,
) -> tuple[float, float]:
    """Draws the density of one parameter by each posterior, over the prior's, and returns the range shown."""
    windows = [window(one, bounds, truth) for one in values]
    limits = min(low for low, _ in windows), max(high for _, high in windows)
    if prior is not None:
        wide = window(prior, bounds, limits, level=0.95)
        if np.ptp(wide) < 3 * np.ptp(limits):  # the whole prior fits without squeezing the posteriors
            limits = wide
    grid = np.linspace(limits[0], limits[1], 400)
    if prior is not None:
        before = density(prior, grid, bounds)
        before = before / max(before.max(), 1e-30) if one_height else before
        ax.fill_between(grid, before, color=PRIOR, alpha=0.35, linewidth=0)
    curves = [density(one, grid, bounds) for one in values]
    if one_height:
        # Side by side the narrowest would press all others onto the axis.
        curves = [curve / max(curve.max(), 1e-30) for curve in curves]
    for curve, color, dash in zip(curves, colours, DASHES, strict=False):
        ax.plot(grid, curve, color=color, linewidth=1.4, linestyle=dash)
    for bound in bounds[np.isfinite(bounds)]:
        if limits[0] <= bound <= limits[1]:
            ax.axvline(bound, color=PRIOR, linewidth=1.2, linestyle=_BOUND)
    if truth is not None:
        ax.axvline(truth, color=OBSERVED, linewidth=1.2)
    pad = 0.03 * np.ptp(limits)
    ax.set_ylim(0, max(1.08 * max(curve.max() for curve in curves), 1e-30))
    return limits[0] - pad, limits[1] + pad


def _bars(
    ax: Any,
    values: list[np.ndarray],
    prior: np.ndarray | None,
    bounds: np.ndarray,
    truth: float | None,
    colours: Sequence[str],
) -> tuple[float, float]:
    """Draws the probability of every whole number by each posterior as steps, and returns the range shown."""
    del bounds
    together = np.concatenate(values)
    low, high = together.min(), together.max()
    numbers = np.arange(low, high + 1)
    edges = np.append(numbers - 0.5, high + 0.5)
    if prior is not None:
        ax.bar(numbers, [np.mean(prior == k) for k in numbers], width=0.9, color=PRIOR, alpha=0.35, linewidth=0)
    shares = [np.array([np.mean(one == k) for k in numbers]) for one in values]
    for share, color, dash in zip(shares, colours, DASHES, strict=False):
        ax.stairs(share, edges, color=color, linewidth=1.4, linestyle=dash)
    if truth is not None:
        ax.axvline(truth, color=OBSERVED, linewidth=1.2)
    ax.set_ylim(0, 1.08 * max(share.max() for share in shares))
    marks = edges if truth is None else np.append(edges, truth)
    return float(marks.min() - 0.1), float(marks.max() + 0.1)


def _joint(ax: Any, thetas: list[np.ndarray], bounds: np.ndarray, colours: Sequence[str], *, contours: bool) -> None:
    """Draws contours of one pair by each posterior; points where there are whole numbers, or too few draws."""
    rng = np.random.default_rng(0)
    for theta, color, dash in zip(thetas, colours, DASHES, strict=False):
        smooth = contours and len(theta) >= 50 and min(bandwidth(theta[:, 0]), bandwidth(theta[:, 1])) > 0
        if smooth and np.all(np.ptp(theta, axis=0) > 0):
            x, y, heights, levels = density_2d(theta[:, 0], theta[:, 1], *bounds)
            if levels[1] > levels[0] > 0:
                style = {"colors": color, "linewidths": [0.8, 1.5], "linestyles": [dash, dash]}
                ax.contour(x, y, heights, levels=levels, **style)
                continue
        few = theta[rng.permutation(len(theta))[:500]]
        # Points of one whole number would cover each other.
        scatter = 0.0 if contours else rng.uniform(-0.3, 0.3, few.shape) * np.all(few == np.round(few), axis=0)
        ax.plot(*(few + scatter).T, ".", color=color, alpha=0.3, markersize=2.5, markeredgewidth=0, rasterized=True)


def _legend(figure: Any, names: Mapping[str, str], note: str, prior: bool, edge: bool, truth: bool) -> None:
    """Explains colours and lines, in the empty upper triangle or below a single panel."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=color, linewidth=1.5, linestyle=dash, label=plain(name, 30))
        for (name, color), dash in zip(names.items(), DASHES, strict=False)
    ]
    if note:
        handles.append(Line2D([], [], linestyle="none", label=note))
    if prior:
        handles.append(Patch(facecolor=PRIOR, alpha=0.35, label="prior"))
    if edge:
        handles.append(Line2D([], [], color=PRIOR, linewidth=1.2, linestyle=_BOUND, label="prior bound"))
    if truth:
        handles.append(Line2D([], [], color=OBSERVED, linewidth=1.2, label="true value"))
    panels = len(figure.axes)
    if panels == 1:
        lines = -(-len(handles) // 3)
        figure.subplots_adjust(bottom=(0.66 + 0.2 * lines) / figure.get_size_inches()[1])
        figure.legend(handles=handles, frameon=False, loc="lower center", fontsize=SMALL, ncols=3)
    else:
        figure.legend(handles=handles, frameon=False, loc="upper right", fontsize=SMALL + (panels > 6))
