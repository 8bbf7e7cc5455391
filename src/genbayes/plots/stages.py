"""The stages of tempered sequential Monte Carlo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..runtime.figure_style import POSTERIOR, few_ticks, log_scale, subplots
from ..sampling.draws import Draws

if TYPE_CHECKING:
    import matplotlib.figure


def ladder(draws: Draws) -> matplotlib.figure.Figure:
    """Shows the stages of tempered SMC: inverse temperature, effective sample size, acceptance of the moves.

    Args:
        draws: `Draws` whose statistics have "beta_ladder", and optionally "ess" (share of the particles, or their
            number) and "acceptance", all (stages,).

    Raises:
        ValueError: If the draws have no ladder (another sampler).
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.ladder(draws)
    """
    if "beta_ladder" not in draws.statistics:
        raise ValueError(f"draws of {draws.sampler} have no 'beta_ladder' in their statistics; only SMC has stages")
    names = {"beta_ladder": "inverse temperature β", "ess": "effective sample size", "acceptance": "acceptance rate"}
    names = {key: label for key, label in names.items() if key in draws.statistics}
    figure, axes = subplots(1, len(names), (2.5 * len(names), 2.2))
    for ax, (key, label) in zip(axes[0], names.items(), strict=True):
        values = np.ravel(draws.statistics[key]).astype(float)
        ax.plot(np.arange(1, len(values) + 1), values, "o-", color=POSTERIOR, markersize=3, linewidth=1)
        positive = values[values > 0]
        if key == "beta_ladder" and positive.size and positive.max() > 20 * positive.min():
            log_scale(ax)
        elif key != "beta_ladder":
            share = values.max(initial=0.0) <= 1.001
            ax.set_ylim(0, 1 if share else None)
            label = label.replace("size", "share") if share else label
        few_ticks(ax.xaxis, 5)
        ax.set_xlabel("stage")
        ax.set_title(label, fontsize=9)
    axes[0, 0].set_title(f"{names['beta_ladder']} to {float(draws.beta):g}", fontsize=9)
    return figure
