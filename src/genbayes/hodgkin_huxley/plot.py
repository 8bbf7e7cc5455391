"""Voltage traces re-simulated at posterior draws, under the recording that they are to reproduce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..runtime.figure_style import OBSERVED, POSTERIOR, PRIOR, SMALL, few_ticks, subplots
from ..runtime.formatting import plain
from .model import Stimulus
from .recording import Recording

if TYPE_CHECKING:
    import matplotlib.figure

# Shares of the stimulus that the zoom shows before its onset, and after.
BEFORE, AFTER = 0.02, 0.2


def traces(
    recording: Recording, simulated: ArrayLike, stimulus: Stimulus, labels: Sequence[str]
) -> matplotlib.figure.Figure:
    """Shows a recording on top, simulated traces below on the same axes, and the currents at the bottom.

    The column on the right is a zoom on the beginning of the stimulus, with the recording in grey behind each trace.

    Args:
        recording: `voltage` (mV), `current_density` (uA/cm^2), `dt`, `stimulus_on` and `stimulus_off` (ms), `name`.
        simulated: voltages (k, steps) in mV, k at least 1.
        stimulus: of the simulated traces: `current_density`, `dt`.
        labels: one per simulated trace.

    Raises:
        ValueError: `simulated` is not (k, steps), or not one label per trace.
        ImportError: matplotlib is not installed.

    Example:
        >>> voltage = hodgkin_huxley.traces(check.theta[:2], stimulus, seed=1)
        >>> figure = traces(recording, voltage, stimulus, ["a draw", "another one"])
    """
    voltages = np.asarray(simulated)
    if voltages.ndim != 2 or not len(voltages) or len(labels) != len(voltages):
        raise ValueError(
            f"simulated must have shape (k, steps) with one of the labels per trace, got shape {voltages.shape} and "
            f"{len(labels)} label(s)."
        )
    count = len(voltages)
    ratios = {"height_ratios": [1] * (count + 1) + [0.45], "width_ratios": [2.1, 1]}
    size = (9.6, 1.3 * (count + 1) + 1.1)
    figure, axes = subplots(count + 2, 2, size, sharex="col", gridspec_kw=ratios)
    recorded = np.arange(len(recording.voltage)) * recording.dt, np.asarray(recording.voltage)
    times = np.arange(voltages.shape[1]) * stimulus.dt
    low, high = (extreme([extreme(recorded[1]), extreme(voltages)]) for extreme in (np.min, np.max))
    on, length = recording.stimulus_on, recording.stimulus_off - recording.stimulus_on
    zoom = (on - BEFORE * length, on + AFTER * length)
    for column, limits in enumerate(((0.0, max(recorded[0][-1], times[-1])), zoom)):
        # The lines end half a window beyond: what lies far outside would only be drawn to be cut off.
        shown = slice(*(int(max(0.0, t) / recording.dt) for t in (limits[0] - length / 2, limits[1] + length / 2)))
        for row, ax in enumerate(axes[:-1, column]):
            if row == 0 or column == 1:
                color = PRIOR if row else OBSERVED
                ax.plot(recorded[0][shown], recorded[1][shown], color=color, linewidth=0.9, gid="recorded")
            if row:
                trace = voltages[row - 1][shown]
                ax.plot(times[shown], trace, color=POSTERIOR, linewidth=0.9, gid="simulated")
            ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
            few_ticks(ax.yaxis, 3)
        bottom = axes[-1, column]
        bottom.plot(recorded[0], recording.current_density, color=OBSERVED, linewidth=1.2, label="recorded")
        current = np.asarray(stimulus.current_density)
        style: Any = {"color": POSTERIOR, "linewidth": 1.2, "linestyle": (0, (4, 2)), "label": "simulated"}
        bottom.plot(np.arange(len(current)) * stimulus.dt, current, **style)
        bottom.set_xlabel("time (ms)")
        bottom.set_xlim(limits)
        few_ticks(bottom.yaxis, 2)
        few_ticks(bottom.xaxis, 6)
    for ax, text in zip(axes[:-1, 0], ("recorded", *labels), strict=True):
        ax.set_title(plain(text, 90), fontsize=SMALL, loc="left")
        ax.set_ylabel("mV")
    axes[0, 1].set_title("beginning of the stimulus, the recording in grey", fontsize=SMALL, loc="left")
    axes[-1, 0].set_ylabel("µA/cm²")
    axes[-1, 0].set_title("current density: recorded (black), simulated (blue)", fontsize=SMALL, loc="left")
    figure.align_ylabels(axes[:, 0])
    return figure
