"""The benchmark's picture of one task: mean cost and C2ST against beta, well- and misspecified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.figure_style import OBSERVED, POSTERIOR, PRIOR, SMALL, log_scale, subplots
from .results import KINDS
from .tables import ALGORITHMS, ORDER, WORDS, Published, Setting, published_value, statistic

if TYPE_CHECKING:
    import matplotlib.figure

# The colours of Okabe and Ito are told apart with every kind of colour vision; a method keeps colour and marker in
# every figure.
COLOURS = (OBSERVED, POSTERIOR, "#56b4e9", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#8c7a00")
MARKERS = ("o", "o", "s", "^", "D", "v", "<", "P")
LABELS = {"cost_true_mean": "mean cost of the draws", "c2st": "C2ST to exact draws"}


def benchmark(setting: Setting, published: Published | None = None) -> matplotlib.figure.Figure:
    """Shows mean cost, and C2ST where there is any, against beta, one line per method.

    Whiskers are standard errors over observations; points are moved apart a little so that these can be seen. Hollow
    markers on dashed lines are published values.

    Args:
        setting: rows of one task.
        published: values to show beside them.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    published = published or {}
    metrics = [name for name in LABELS if any(getattr(row, name) is not None for row in setting.rows)]
    kinds = [kind for kind in KINDS if setting.of(specified=kind)]
    panels = [(metric, kind) for metric in metrics for kind in kinds]
    columns = max(1, len(panels))
    figure, axes = subplots(1, columns, (2.55 * columns + 0.3, 3.4), sharey=False)
    handles: dict[str, Any] = {}
    for ax, (metric, kind) in zip(axes[0], panels, strict=False):
        _panel(ax, setting, published, metric, kind, handles)
        ax.set_title(WORDS[kind], fontsize=9)
        ax.set_ylabel(LABELS[metric])
        ax.set_xlabel("inverse temperature β")
    options = {"frameon": False, "fontsize": SMALL, "loc": "outside lower center"}
    figure.legend(handles.values(), handles.keys(), ncols=min(len(handles), 2 * columns + 1), **options)
    return figure


def _panel(ax: Any, setting: Setting, published: Published, metric: str, kind: str, handles: dict[str, Any]) -> None:
    methods, betas, shown = setting.methods(), setting.betas(), []
    drawn: set[str] = set()
    for i, method in enumerate(methods):
        style = _style(method, methods)
        values = {beta: statistic(setting.of(method=method, specified=kind, beta=beta), metric) for beta in betas}
        found = {beta: value for beta, value in values.items() if value is not None}
        x = np.array(list(found)) * 1.05 ** (i - (len(methods) - 1) / 2)
        y = np.array([value.mean for value in found.values()])
        error = np.array([value.error or 0.0 for value in found.values()])
        line = ax.errorbar(x, y, error, linewidth=1.4, markersize=4.5, elinewidth=0.9, zorder=3, **style)
        handles.setdefault(method, line)
        shown += list(y)
        algorithm = ALGORITHMS.get(method, "")
        theirs = {beta: published_value(published, setting.task, kind, algorithm, beta).get(metric) for beta in betas}
        theirs = {beta: value for beta, value in theirs.items() if value is not None}
        if theirs and algorithm not in drawn:
            drawn.add(algorithm)
            hollow = style | {"markerfacecolor": "white", "linestyle": (0, (4, 2)), "linewidth": 1.0}
            ax.plot(list(theirs), list(theirs.values()), markersize=4.5, zorder=2, **hollow)
            shown += list(theirs.values())
    if drawn:
        example = ax.plot([], [], "o", color=PRIOR, markerfacecolor="white", linestyle=(0, (4, 2)), linewidth=1.0)[0]
        handles["published"] = handles.pop("published", example)
    _scales(ax, metric, betas, np.array(shown))


def _style(method: str, methods: list[str]) -> dict[str, Any]:
    """Colour and marker of a method; those that the field's list does not hold share the rest."""
    i = ORDER.index(method) if method in ORDER else (methods.index(method) + 2) % len(COLOURS)
    return {"color": COLOURS[i], "marker": MARKERS[i]}


def _scales(ax: Any, metric: str, betas: list[float], shown: np.ndarray) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(betas))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(min(betas) / 1.6, max(betas) * 1.6)
    if metric == "c2st":
        ax.axhline(0.5, color=PRIOR, linewidth=0.8, zorder=1)
        ax.set_ylim(0.46, 1.02 if len(shown) and shown.max() > 0.75 else 0.8)
    elif len(shown) and shown.min() > 0 and shown.max() > 4 * shown.min():
        log_scale(ax)
