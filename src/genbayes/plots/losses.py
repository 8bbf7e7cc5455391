"""The losses of every network over the epochs of its training."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from ..costs.cost import Cost
from ..costs.records import fit_records
from ..runtime.figure_style import ACCENT, POSTERIOR, PRIOR, SMALL, few_ticks, log_scale, subplots
from ..runtime.formatting import plain

if TYPE_CHECKING:
    import matplotlib.figure


def training(cost: Cost) -> matplotlib.figure.Figure:
    """Shows training and validation loss per epoch of every network; the dot is the epoch that was kept.

    Args:
        cost: with the records of its fit.

    Raises:
        ValueError: If the cost has no record of a fit (an exact cost, for example).
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.training(cost)
    """
    records = fit_records(cost)
    if not records:
        raise ValueError(f"cost {type(cost).__name__} has no record of a fit, so there is no training to show")
    figure, axes = subplots(1, len(records), (max(4.5, 3.6 * len(records)), 2.9))
    for record, ax in zip(records, axes[0], strict=True):
        train, validation = np.atleast_2d(record.train_loss), np.atleast_2d(record.validation_loss)
        epochs = np.arange(validation.shape[1])  # epoch 0 is before the first step
        for k in range(len(train)):
            labels = ("training", "validation", "epoch kept") if k == 0 else (None, None, None)
            ax.plot(epochs[1:], train[k], color=PRIOR, linewidth=0.9, label=labels[0])
            ax.plot(epochs, validation[k], color=POSTERIOR, linewidth=1.1, label=labels[1])
            best = int(np.atleast_1d(record.best_epoch)[k])
            ax.plot(best, validation[k, best], "o", color=ACCENT, markersize=4.5, label=labels[2])
        values = np.concatenate([train[np.isfinite(train)], validation[np.isfinite(validation)]])
        if values.size and values.min() > 0 and values.max() > 4 * values.min():
            log_scale(ax)
        few_ticks(ax.xaxis, 6)
        ax.set_xlabel("epoch")
        ax.set_ylabel(textwrap.fill(plain(str(record.loss_name), 100), 36))
        name = getattr(record, "name", "")
        members = f"{len(train)} networks" if len(train) > 1 else ""
        ax.set_title(plain(", ".join(part for part in (name, members) if part)), fontsize=9)
    axes[0, 0].legend(frameon=False, fontsize=SMALL)
    return figure
