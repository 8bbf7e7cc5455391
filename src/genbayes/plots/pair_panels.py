"""What pictures of pairs share: which parameters, which bounds, the triangle of panels, and its outer labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.figure_style import few_ticks, subplots
from ..runtime.formatting import plain

if TYPE_CHECKING:
    import matplotlib.figure

MOST_PANELS = 16


def pair_axes(dim: int) -> tuple[matplotlib.figure.Figure, Any]:
    """Makes the figure and its axes (dim, dim), with room for labels on the left and below."""
    size = 3.4 if dim == 1 else max(4.5, 1.55 * dim) if dim < 7 else 1.25 * dim
    figure, axes = subplots(dim, dim, (size * (1.2 if dim == 1 else 1), size), layout=None)
    margin = 0.75 / size
    figure.subplots_adjust(
        left=margin, bottom=margin * (1 + 0.15 * (dim == 1)), right=0.98, top=1 - 0.35 / size, wspace=0.12, hspace=0.12
    )
    return figure, axes


def columns_of(names: Sequence[str], parameters: Sequence[str] | None) -> list[int]:
    """Returns the columns of the parameters to show."""
    chosen = list(names) if parameters is None else list(parameters)
    unknown = [name for name in chosen if name not in names]
    if unknown or not chosen:
        raise ValueError(f"parameters {unknown or chosen} not found; the draws have {list(names)}")
    if len(chosen) > MOST_PANELS:
        raise ValueError(
            f"{len(chosen)} parameters are too many for one readable picture (at most {MOST_PANELS}); "
            f"choose some: parameters={chosen[:3]}"
        )
    return [list(names).index(name) for name in chosen]


def bounds_of(prior: Any, dim: int) -> np.ndarray:
    """Returns the prior's bounds (dim, 2), or none."""
    return np.tile([-np.inf, np.inf], (dim, 1)) if prior is None else np.asarray(prior.bounds, float)


def outer_labels(ax: Any, i: int, j: int, dim: int, name_x: str, name_y: str) -> None:
    """Labels the left column and the bottom row only."""
    few_ticks(ax.xaxis, 4 if dim < 7 else 3)
    if i == dim - 1:
        ax.set_xlabel(plain(name_x, 18))
        ax.tick_params(axis="x", rotation=0 if dim == 1 else 45)
    else:
        ax.tick_params(axis="x", labelbottom=False)
    if i == j:
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        if dim == 1 and not ax.get_ylabel():
            ax.set_ylabel("density")
        return
    few_ticks(ax.yaxis, 4 if dim < 7 else 3)
    if j == 0:
        ax.set_ylabel(plain(name_y, 18))
    else:
        ax.tick_params(axis="y", labelleft=False)
