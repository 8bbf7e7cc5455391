"""The stages of tempered sequential Monte Carlo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.figure_style import POSTERIOR, few_ticks, log_scale, subplots
from ..sampling.draws import Draws
from .several import Shown, legend, several

if TYPE_CHECKING:
    import matplotlib.figure


def ladder(draws: Draws | Mapping[str, Draws]) -> matplotlib.figure.Figure:
    """Shows the stages of tempered SMC: inverse temperature, effective sample size, acceptance of the moves.

    Args:
        draws: `Draws` whose statistics have "beta_ladder", and optionally "ess" (share of the particles, or their
            number) and "acceptance", all (stages,); or several by name, at most five.

    Raises:
        ValueError: If the draws have no ladder (another sampler).
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.ladder(draws)
    """
    shown = several(draws, "draws") if isinstance(draws, Mapping) else [Shown("", draws, POSTERIOR, "-")]
    for one in shown:
        if "beta_ladder" not in one.one.statistics:
            raise ValueError(
                f"draws of {one.one.sampler} have no 'beta_ladder' in their statistics; only SMC has stages"
            )
    names = {"beta_ladder": "inverse temperature β", "ess": "effective sample size", "acceptance": "acceptance rate"}
    names = {key: label for key, label in names.items() if all(key in one.one.statistics for one in shown)}
    figure, axes = subplots(1, len(names), (2.5 * len(names), 2.2 + 0.3 * (len(shown) > 1)))
    for ax, (key, label) in zip(axes[0], names.items(), strict=True):
        curves = [np.ravel(one.one.statistics[key]).astype(float) for one in shown]
        for one, values in zip(shown, curves, strict=True):
            style = {"color": one.colour, "linestyle": one.dashes, "markersize": 3, "linewidth": 1}
            ax.plot(np.arange(1, len(values) + 1), values, marker="o", **style)
        values = np.concatenate(curves)
        positive = values[values > 0]
        if key == "beta_ladder" and positive.size and positive.max() > 20 * positive.min():
            log_scale(ax)
        elif key != "beta_ladder":
            share = values.max(initial=0.0) <= 1.001
            ax.set_ylim(0, 1.04 if share else None)
            label = label.replace("size", "share") if share else label
        few_ticks(ax.xaxis, 5, whole=True)
        ax.set_xlabel("stage")
        ax.set_title(label, fontsize=9)
    if isinstance(draws, Mapping):
        legend(figure, shown, {})
    else:
        axes[0, 0].set_title(f"{names['beta_ladder']} to {float(draws.beta):g}", fontsize=9)
    return figure
