"""The predicted cost: along each parameter, and against the distances of new runs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..checks.accuracy import accuracy
from ..costs.records import units_of
from ..runtime.figure_style import ACCENT, OBSERVED, POSTERIOR, PRIOR, SMALL, few_ticks, subplots, window
from ..runtime.formatting import plain
from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from .several import Shown, legend, same_keys, same_names, several

if TYPE_CHECKING:
    import matplotlib.figure

WIDTHS = {1: 4.5, 2: 6.5}  # inches, by the number of columns
# Costs are shown up to the lowest one and so many times the spread of the draws'.
_MOST_SPREADS = 5.0


def cost_profiles(
    posterior: GibbsPosterior | Mapping[str, GibbsPosterior],
    draws: Draws | Mapping[str, Draws],
    n_grid: int = 60,
) -> matplotlib.figure.Figure:
    """Shows the predicted cost along each parameter, the other parameters held at the best draw (lowest cost).

    Thin lines hold the others at eight other draws: where they differ from the thick line in more than height, the
    parameters interact. Ticks below are the draws; dashed lines the prior's bounds. An integer has dots at its values.

    Args:
        posterior: whose cost it is; or several by name, at most five, of the same parameters, such as those of several
            observations: the thick line and the best draw of each, in a colour of its own.
        draws: of it; of several by the same names.
        n_grid: Points per line.

    Raises:
        ValueError: Of several there are more than five, or they are of other parameters, units or names.
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.cost_profiles(posterior, draws)
        >>> figure = gb.plots.cost_profiles({"patient 1": one, "patient 2": two}, {"patient 1": a, "patient 2": b})
    """
    if isinstance(posterior, Mapping):
        same_keys(posterior, draws, ("posterior", "draws"))
        assert isinstance(draws, Mapping)
        return _compared(several(posterior, "posterior"), list(draws.values()), n_grid)
    if not isinstance(draws, Draws):
        raise ValueError("draws are several by name, and there is one posterior: give both by the same names.")  # noqa: TRY004
    theta, cost = np.asarray(draws.flat, float), np.ravel(draws.cost)
    dim, bounds = theta.shape[1], np.asarray(posterior.prior.bounds, float)
    best = int(np.argmin(cost))
    others = np.random.default_rng(0).permutation(len(theta))[:8]
    anchors = theta[[best, *others]]
    levels = posterior.prior.levels
    grids = np.array([_grid(theta[:, j], theta[best, j], bounds[j], levels[j], n_grid) for j in range(dim)])
    points = np.broadcast_to(anchors[None, :, None, :], (dim, len(anchors), n_grid, dim)).copy()
    for j in range(dim):
        points[j, :, :, j] = grids[j]
    lines = np.asarray(posterior.cost_at(np.asarray(points, np.float32)))
    columns = min(dim, 4)
    rows = -(-dim // columns)
    width = WIDTHS[columns] if columns in WIDTHS else 2.4 * columns
    figure, axes = subplots(rows, columns, (width, 2.3 * rows), sharey=True)
    edge = None
    for j, ax in enumerate(axes.flat):
        if j >= dim:
            ax.remove()
            continue
        # Between whole numbers there is no cost.
        marks = {} if levels[j] is None else {"marker": "o", "markersize": 3, "linestyle": ":"}
        thin = ax.plot(grids[j], lines[j, 1:].T, color=POSTERIOR, linewidth=0.6, alpha=0.35, **marks)
        thick = ax.plot(grids[j], lines[j, 0], color=POSTERIOR, linewidth=1.8, **marks)
        dot = ax.plot(theta[best, j], cost[best], "o", color=ACCENT, markersize=4.5)
        rug = theta[:: max(1, len(theta) // 300), j]
        ax.plot(rug, np.full(len(rug), 0.02), "|", color=POSTERIOR, alpha=0.25, transform=ax.get_xaxis_transform())
        for bound in bounds[j][np.isfinite(bounds[j])]:
            if grids[j][0] - 0.01 * np.ptp(grids[j]) <= bound <= grids[j][-1] + 0.01 * np.ptp(grids[j]):
                edge = ax.axvline(bound, color=PRIOR, linewidth=1.2, linestyle=(0, (3, 2)))
        ax.set_xlabel(plain(draws.names[j], 24))
        few_ticks(ax.xaxis)
    _profile_legend(figure, thick[0], thin[0], dot[0], edge, columns)
    units = units_of(posterior.cost)
    label = plain("predicted cost" + f" ({units})" * bool(units), 60)
    figure.supylabel(textwrap.fill(label, 22 * rows), fontsize=9)
    low = min(float(cost[best]), float(lines.min()))
    _limit_cost(axes[0, 0], low, float(lines[:, 0].max()), cost)
    return figure


def _limit_cost(ax: Any, low: float, high: float, *costs: np.ndarray) -> None:
    """Shows costs from the lowest to the highest one, or to far above the draws' if these would be flat below it.

    Parameters of which one compensates for another have steep profiles, which would hide all others.
    """
    spread = max(float(np.quantile(cost, 0.95)) for cost in costs) - low
    high = max(min(high, low + _MOST_SPREADS * spread), low + spread)
    ax.set_ylim(low - 0.1 * (high - low) - 1e-12, high + 0.05 * (high - low) + 1e-12)


def _compared(shown: list[Shown], draws: list[Draws], n_grid: int) -> matplotlib.figure.Figure:
    """The profile of each posterior through its best draw, over the range of the draws of all."""
    names = same_names(shown, "parameters", lambda posterior: posterior.prior.names)
    same_names(shown, "units of the cost", lambda posterior: (units_of(posterior.cost),))
    thetas, costs = [np.asarray(one.flat, float) for one in draws], [np.ravel(one.cost) for one in draws]
    bests, dim = [int(np.argmin(cost)) for cost in costs], len(names)
    columns = min(dim, 4)
    rows = -(-dim // columns)
    figure, axes = subplots(rows, columns, (WIDTHS.get(columns, 2.4 * columns), 2.3 * rows + 0.2), sharey=True)
    low, high = np.inf, -np.inf
    for j, ax in enumerate(axes.flat):
        if j >= dim:
            ax.remove()
            continue
        prior = shown[0].one.prior
        every = np.concatenate([theta[:, j] for theta in thetas])
        at = [float(theta[best, j]) for theta, best in zip(thetas, bests, strict=True)]
        levels = prior.levels[j]
        grid = np.sort(np.append(_grid(every, at[0], np.asarray(prior.bounds, float)[j], levels, n_grid), at))
        marks = {} if levels is None else {"marker": "o", "markersize": 3}
        for one, theta, cost, best in zip(shown, thetas, costs, bests, strict=True):
            points = np.tile(theta[best], (len(grid), 1))
            points[:, j] = grid
            line = np.asarray(one.one.cost_at(np.asarray(points, np.float32)))
            ax.plot(grid, line, color=one.colour, linestyle=one.dashes, linewidth=1.6, **marks)
            ax.plot(theta[best, j], cost[best], "o", color=one.colour, markersize=5)
            low = min(low, float(line.min()), float(cost[best]))
            # Where one is narrow, it is off the picture: it would flatten the others.
            high = max(high, float(np.quantile(line, 0.5)))
        ax.set_xlabel(plain(names[j], 24))
        few_ticks(ax.xaxis)
    units = units_of(shown[0].one.cost)
    figure.supylabel(textwrap.fill(plain("predicted cost" + f" ({units})" * bool(units), 60), 22 * rows), fontsize=9)
    _limit_cost(axes[0, 0], low, high, *costs)
    from matplotlib.lines import Line2D

    dot = Line2D([], [], color=OBSERVED, marker="o", linestyle="none", markersize=5)
    legend(figure, shown, {"best draw; lines hold the others there": dot}, {1: 1, 2: 3}.get(columns, 5))
    return figure


def _profile_legend(figure: Any, thick: Any, thin: Any, dot: Any, edge: Any, columns: int) -> None:
    """Explains what the profiles show, below them; `edge` is None where no bound of the prior is in sight."""
    from matplotlib.lines import Line2D

    rug = Line2D([], [], color=POSTERIOR, marker="|", linestyle="none")
    handles = {"the others at the best draw": thick, "at other draws": thin, "best draw": dot, "draws": rug}
    if edge is not None:
        handles["prior bound"] = edge
    options = {"frameon": False, "fontsize": SMALL, "ncols": {1: 1, 2: 3}.get(columns, 5)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", **options)


def _grid(values: np.ndarray, best: float, bounds: np.ndarray, levels: np.ndarray | None, n_grid: int) -> np.ndarray:
    """Returns n_grid values to show, about `best` too; of an integer its own ones, some of them several times."""
    limits = window(values, bounds, include=best)
    if levels is None:
        return _inside(limits, bounds, n_grid)
    near = levels[(levels >= limits[0] - 1) & (levels <= limits[1] + 1)]
    return near[np.linspace(0, len(near) - 1, n_grid).round().astype(int)].astype(float)


def _inside(limits: tuple[float, float], bounds: np.ndarray, n_grid: int) -> np.ndarray:
    """Returns a grid strictly inside the support: at the bound itself a cost may be infinite."""
    margin = 1e-3 * (limits[1] - limits[0])
    low = limits[0] + margin * (limits[0] <= bounds[0])
    return np.linspace(low, limits[1] - margin * (limits[1] >= bounds[1]), n_grid)


def cost_accuracy(
    predicted: ArrayLike, simulated: ArrayLike, replicate: ArrayLike | None = None, units: str = ""
) -> matplotlib.figure.Figure:
    """Shows predicted cost against the distance of one run at the same parameters.

    A single distance scatters about its expectation, so only the binned means should lie on the line.

    Args:
        predicted: Predicted costs (m,).
        simulated: Distance (m,) of one run at the same parameters to the observation.
        replicate: Distances (m,) between two runs at the same parameters: their mean is the simulator's own noise.
        units: Units of the distance, for the labels.

    Raises:
        ValueError: If the shapes differ or fewer than two pairs are finite.
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.cost_accuracy(check.predicted, check.simulated, check.replicate)
    """
    result = accuracy(predicted, simulated)
    figure, axes = subplots(1, 1, (4.8, 4.2))
    ax, units = axes[0, 0], f" ({units})" if units else ""
    ax.plot(predicted, simulated, ".", color=POSTERIOR, alpha=0.35, markersize=4, markeredgewidth=0, label="one run")
    x = window(np.asarray(predicted, float)[np.isfinite(predicted)], level=0.98)
    finite = np.asarray(simulated, float)[np.isfinite(simulated)]
    y = window(finite, include=result.means, level=0.98)
    ax.plot(x, x, color=OBSERVED, linewidth=1, label="equal")
    style = {"color": ACCENT, "markersize": 5, "linewidth": 1.4}
    ax.errorbar(result.centres, result.means, result.errors, fmt="o", label="means of similar runs ± 1 s.e.", **style)
    if replicate is not None:
        floor = float(np.nanmean(np.asarray(replicate, float)))
        ax.axhline(floor, color=PRIOR, linewidth=1.4, linestyle=(0, (4, 2)), label="distance of two runs alike (mean)")
        y = (min(y[0], floor - 0.05 * (y[1] - y[0])), max(y[1], floor))
    ax.set_xlim(x)
    ax.set_ylim(y)
    ax.set_xlabel(plain(f"predicted cost{units}", 60))
    ax.set_ylabel(plain(f"distance of one run{units}", 60))
    ax.set_title(
        f"mean prediction {100 * result.relative:+.1f} % (± {100 * result.relative_error:.1f}) from mean distance, "
        f"correlation {result.correlation:.2f}",
        fontsize=SMALL,
    )
    figure.legend(frameon=False, fontsize=SMALL, loc="outside lower center", ncols=2, markerscale=1.3)
    return figure
