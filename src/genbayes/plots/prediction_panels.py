"""What the predictive plots of one and of several posteriors share: their panels, and the axis of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..observations import Observation
from ..runtime.figure_style import subplots
from ..runtime.formatting import plain

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

# Times of a series (numbers, datetime64 or texts), (times, label), or an observation with an index.
Axis = ArrayLike | tuple[ArrayLike, str] | Observation | None


def panels_of(n: int, height: float, most_columns: int) -> tuple[matplotlib.figure.Figure, list[matplotlib.axes.Axes]]:
    """Makes n panels in rows; the unused ones are removed."""
    columns = min(n, most_columns)
    rows = -(-n // columns)
    width = {1: 5.0, 2: 7.2}.get(columns, 2.5 * columns)
    figure, axes = subplots(rows, columns, (width, height * rows + 0.3))
    for ax in axes.flat[n:]:
        ax.remove()
    return figure, list(axes.flat[:n])


def times_of(axis: Axis, length: int) -> tuple[np.ndarray, str, np.ndarray]:
    """Returns where the times (T,) are drawn, their label, and the times themselves."""
    label = "index"
    if isinstance(axis, tuple) and len(axis) == 2 and isinstance(axis[1], str):
        axis, label = axis[0], str(axis[1])
    times = np.arange(length) if axis is None else np.asarray(axis)
    times = times if times.dtype.kind in "MU" else times.astype(float)
    if times.shape != (length,):
        raise ValueError(f"axis has shape {times.shape}; expected one time per step of x_o: ({length},)")
    places = np.arange(length) if times.dtype.kind == "U" else times
    return places, plain(label if axis is None or label != "index" else "time"), times
