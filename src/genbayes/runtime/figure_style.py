"""What the pictures share: one quiet style, and the densities, windows and contour levels that they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .formatting import plain

if TYPE_CHECKING:
    import matplotlib.figure

PRIOR = "#9a9a9a"
POSTERIOR = "#0072b2"  # Okabe-Ito blue: told from orange and grey with every kind of colour vision
ACCENT = "#d55e00"  # Okabe-Ito vermillion, for the one thing a picture compares with
OBSERVED = "#000000"
# From light to dark blue, then green and orange: of levels that are told apart in one picture.
LEVEL_COLOURS = ("#56b4e9", "#0072b2", "#00415f", "#009e73", "#e69f00")
# Of posteriors that are compared: Okabe and Ito's blue, vermillion, green, purple and orange.
SEVERAL_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
# Of the betas of a ladder, from small to large: from light to dark, as widths shrink.
LADDER_COLOURS = ("#74b3d8", "#3d94c9", "#0072b2", "#004c78", "#00263d")
# Kinds of lines of several curves, told apart where colour is lost, as in print.
DASHES: Any = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (4, 1, 1, 1)), (0, (8, 2)))
SMALL = 8
# Parameters that one picture shows beside or above one another.
MOST_PARAMETERS = 8

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-3, 4),
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def subplots(
    rows: int, columns: int, size: tuple[float, float], **options: Any
) -> tuple[matplotlib.figure.Figure, Any]:
    """Makes a figure outside pyplot, so that nothing has to be closed, and its axes as a 2-d array.

    A notebook shows it, too, if it is the last thing in a cell.

    Args:
        rows: Number of rows of axes.
        columns: Number of columns of axes.
        size: Width and height of the figure in inches.
        **options: Passed to `Figure.subplots`.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        import matplotlib as mpl

        from .notebook_figure import NotebookFigure
    except ImportError as error:
        message = "Plots need matplotlib, which is not installed. Install it with: pip install genbayes[plots]"
        raise ImportError(message) from error
    with mpl.rc_context(STYLE):
        figure = NotebookFigure(figsize=size, layout=options.pop("layout", "constrained"))
        axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes


def few_ticks(axis: Any, count: int = 4, *, whole: bool = False) -> None:
    """Leaves at most `count` intervals between the ticks of an x or y axis, which are whole numbers if so asked."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 5, 10] if whole else [1, 2, 2.5, 5, 10], integer=whole))


def time_axis(axis: Any, times: np.ndarray) -> None:
    """Puts few ticks on an axis of times: numbers, datetime64, or texts that stand at 0, 1, ...

    Args:
        axis: x or y axis.
        times: as they are to be read, (T,).
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if times.dtype.kind == "M":
        locator = AutoDateLocator(maxticks=7)
        axis.set_major_locator(locator)
        axis.set_major_formatter(ConciseDateFormatter(locator))
    elif times.dtype.kind == "U":
        names = [plain(str(name), 12) for name in times]
        axis.set_major_locator(MaxNLocator(min(len(names), 8), integer=True))
        axis.set_major_formatter(
            FuncFormatter(lambda place, _: names[int(place)] if place in range(len(names)) else "")
        )
    else:
        few_ticks(axis, 6)


def log_scale(ax: Any) -> None:
    """Makes the y axis logarithmic with ticks at 1, 2 and 5 in plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_yscale("log")
    axis = ax.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def cost_scale(ax: Any, values: np.ndarray) -> None:
    """Makes the y axis logarithmic where the cost falls by an order of magnitude."""
    if values.min() > 0 and values.max() > 10 * values.min():
        ax.set_yscale("log")


def evidence_scale(ax: Any, values: np.ndarray) -> None:
    """Makes the y axis logarithmic where log evidences go far below 0; nearer that would leave one tick to read."""
    if np.min(values) < -30:
        ax.set_yscale("symlog", linthresh=1.0)


def free_corner(levels: np.ndarray, coverage: np.ndarray) -> str:
    """Where a legend hides nothing beside the diagonal: below curves (..., levels) above it, above those below it."""
    return "lower right" if np.mean(coverage - levels) > 0 else "upper left"


def apart(places: np.ndarray, least: float) -> np.ndarray:
    """Places of labels, in their order, moved as little as it takes for neighbours to be `least` apart."""
    order = np.argsort(places, kind="stable")
    steps = least * np.arange(len(places))
    # Rising places that are nearest to those wanted: the mean of the running extremes from both sides.
    wanted = places[order] - steps
    upper, lower = np.maximum.accumulate(wanted), np.minimum.accumulate(wanted[::-1])[::-1]
    moved = np.empty(len(places))
    moved[order] = (upper + lower) / 2 + steps
    return moved


def window(
    values: np.ndarray, bounds: Any = (-np.inf, np.inf), include: Any = None, level: float = 0.99
) -> tuple[float, float]:
    """Returns the range to show: the central mass of `values` and what must be included, padded, inside the bounds."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    if include is not None:
        low, high = min(low, np.min(include)), max(high, np.max(include))
    padding = 0.12 * (high - low)
    if padding <= 1e-7 * abs(high):  # one draw, or a constant: show its surroundings
        padding = 0.1 * abs(high) + 1e-3
    return float(max(low - padding, min(low, bounds[0]))), float(min(high + padding, max(high, bounds[1])))


def bandwidth(values: np.ndarray, dim: int = 1) -> float:
    """Returns Silverman's bandwidth (1986) with the robust spread, so that a heavy tail does not blur the bulk."""
    spread = np.std(values)
    quarter, three = np.quantile(values, [0.25, 0.75])
    if three > quarter:
        spread = min(spread, (three - quarter) / 1.349)
    return float(0.9 * max(spread, 1e-6 * (abs(quarter) + 1e-6)) * len(values) ** (-1 / (dim + 4)))


def density(values: np.ndarray, grid: np.ndarray, bounds: Any = (-np.inf, np.inf), limit: int = 4000) -> np.ndarray:
    """Returns the Gaussian kernel density of `values` (n,) on `grid` (m,), reflected at the finite bounds."""
    values = values[:: max(1, len(values) // limit)]
    width = bandwidth(values)
    copies = [values] + [2 * bound - values for bound in bounds if np.isfinite(bound)]
    result = sum(np.exp(-0.5 * ((grid[:, None] - copy) / width) ** 2).sum(axis=1) for copy in copies)
    inside = (grid >= bounds[0]) & (grid <= bounds[1])
    return np.where(inside, result, 0.0) / (len(values) * width * np.sqrt(2 * np.pi))


def density_2d(x: np.ndarray, y: np.ndarray, bounds_x: Any, bounds_y: Any, bins: int = 96) -> tuple:
    """Returns bin centres (bins,), (bins,), the smoothed density (bins, bins) [y, x], and its levels at 90 and 50 %.

    The levels are quantiles of the density over the draws: exactly 90 and 50 % of the draws lie inside the contours.
    """
    from scipy.ndimage import gaussian_filter

    edges, sigma = [], []
    # A kernel as wide as the marginals would fatten the ridge of a correlated posterior.
    flat = np.std(x) == 0 or np.std(y) == 0
    shrink = 1.0 if flat else np.sqrt(max(1 - np.corrcoef(x, y)[0, 1] ** 2, 0.01))
    for values, bounds in ((x, bounds_x), (y, bounds_y)):
        width = 1.3 * bandwidth(values, dim=2) * shrink
        low, high = np.quantile(values, [0.001, 0.999])
        low, high = max(low - 4 * width, min(low, bounds[0])), min(high + 4 * width, max(high, bounds[1]))
        edges.append(np.linspace(low, high, bins + 1))
        sigma.append(width / (high - low) * bins)
    counts, _, _ = np.histogram2d(y, x, bins=[edges[1], edges[0]])
    # "reflect" keeps the mass at a prior bound where the grid was cut; elsewhere the grid ends beyond the draws.
    smooth = gaussian_filter(counts, (sigma[1], sigma[0]), mode="reflect")
    columns, rows = (np.digitize(v, e[1:-1]) for v, e in ((x, edges[0]), (y, edges[1])))
    levels = np.quantile(smooth[rows, columns], [0.1, 0.5])
    centres = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    return centres[0], centres[1], smooth, levels
