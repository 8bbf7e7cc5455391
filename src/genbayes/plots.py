"""Pictures of a run, each a matplotlib Figure: draws, cost, re-simulated outputs, training, cost accuracy, ladder.

Grey is the prior, blue the posterior, black the observation. Needs the extra `plots` (matplotlib).
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .plot_check import predictive_position as predictive_position
from .plot_pairs import pair as pair
from .plot_predictive import predictive as predictive
from .plot_sensitivity import sensitivity as sensitivity
from .plot_stack import stack as stack
from .plot_support import ACCENT, OBSERVED, POSTERIOR, PRIOR, SMALL, few_ticks, log_scale, plain, subplots, window
from .plot_temperature import choice as choice
from .plot_temperature import temperature as temperature

if TYPE_CHECKING:
    import matplotlib.figure

WIDTHS = {1: 4.5, 2: 6.5}  # inches, by the number of columns


def cost_profiles(posterior: Any, draws: Any, n_grid: int = 60) -> matplotlib.figure.Figure:
    """Shows the predicted cost along each parameter, the other parameters held at the best draw (lowest cost).

    Thin lines hold the others at eight other draws: where they differ from the thick line in more than height, the
    parameters interact. Ticks below are the draws; dashed lines the prior's bounds.

    Args:
        posterior: `GibbsPosterior` with `cost_at` and `prior`.
        draws: Its `Draws`.
        n_grid: Points per line.

    Raises:
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = gb.plots.cost_profiles(posterior, draws)
    """
    theta, cost = np.asarray(draws.flat, float), np.ravel(draws.cost)
    dim, bounds = theta.shape[1], np.asarray(posterior.prior.bounds, float)
    best = int(np.argmin(cost))
    others = np.random.default_rng(0).permutation(len(theta))[:8]
    anchors = theta[[best, *others]]
    grids = np.array([_inside(window(theta[:, j], bounds[j]), bounds[j], n_grid) for j in range(dim)])
    points = np.broadcast_to(anchors[None, :, None, :], (dim, len(anchors), n_grid, dim)).copy()
    for j in range(dim):
        points[j, :, :, j] = grids[j]
    lines = np.asarray(posterior.cost_at(jnp.asarray(points, jnp.float32)))
    columns = min(dim, 4)
    rows = -(-dim // columns)
    width = WIDTHS[columns] if columns in WIDTHS else 2.4 * columns
    figure, axes = subplots(rows, columns, (width, 2.3 * rows), sharey=True)
    for j, ax in enumerate(axes.flat):
        if j >= dim:
            ax.remove()
            continue
        thin = ax.plot(grids[j], lines[j, 1:].T, color=POSTERIOR, linewidth=0.6, alpha=0.35)
        thick = ax.plot(grids[j], lines[j, 0], color=POSTERIOR, linewidth=1.8)
        dot = ax.plot(theta[best, j], cost[best], "o", color=ACCENT, markersize=4.5)
        rug = theta[:: max(1, len(theta) // 300), j]
        ax.plot(rug, np.full(len(rug), 0.02), "|", color=POSTERIOR, alpha=0.25, transform=ax.get_xaxis_transform())
        for bound in bounds[j][np.isfinite(bounds[j])]:
            if grids[j][0] - 0.01 * np.ptp(grids[j]) <= bound <= grids[j][-1] + 0.01 * np.ptp(grids[j]):
                ax.axvline(bound, color=PRIOR, linewidth=1.2, linestyle=(0, (3, 2)))
        ax.set_xlabel(plain(draws.names[j], 24))
        few_ticks(ax.xaxis)
    handles = {"the others at the best draw": thick[0], "at other draws": thin[0], "best draw": dot[0]}
    options = {"frameon": False, "fontsize": SMALL, "ncols": 3 if columns > 1 else 1}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", **options)
    units = units_of(posterior.cost)
    label = plain("predicted cost" + f" ({units})" * bool(units), 60)
    figure.supylabel(textwrap.fill(label, 22 * rows), fontsize=9)
    low = min(cost[best], float(lines.min()))
    high = max(float(lines[:, 0].max()), float(np.quantile(cost, 0.95)))
    axes[0, 0].set_ylim(low - 0.1 * (high - low) - 1e-12, high + 0.05 * (high - low) + 1e-12)
    return figure


def _inside(limits: tuple[float, float], bounds: np.ndarray, n_grid: int) -> np.ndarray:
    """Returns a grid strictly inside the support: at the bound itself a cost may be infinite."""
    margin = 1e-3 * (limits[1] - limits[0])
    low = limits[0] + margin * (limits[0] <= bounds[0])
    return np.linspace(low, limits[1] - margin * (limits[1] >= bounds[1]), n_grid)


def units_of(cost: Any) -> str:
    """Returns the units of the cost's distance as a label: of "1 (squared multiples)" what the bracket says."""
    units = str(getattr(getattr(cost, "distance", None), "units", ""))
    return units[3:-1] if units.startswith("1 (") and units.endswith(")") else units


def training(cost: Any) -> matplotlib.figure.Figure:
    """Shows training and validation loss per epoch of every network; the dot is the epoch that was kept.

    Args:
        cost: A `Cost`; `cost.fit` is a `FitRecord` or a tuple of them.

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


def fit_records(cost: Any) -> tuple:
    """Returns the `FitRecord`s of a cost as a tuple, empty for a cost that was not fitted."""
    fit = getattr(cost, "fit", None)
    if fit is None:
        return ()
    return tuple(fit) if isinstance(fit, (tuple, list)) and not hasattr(fit, "train_loss") else (fit,)


class Accuracy(NamedTuple):
    """Predicted cost against re-simulated distances, in numbers."""

    centres: np.ndarray
    means: np.ndarray
    errors: np.ndarray
    correlation: float
    relative: float
    relative_error: float


def accuracy(predicted: Any, simulated: Any, n_bins: int = 10) -> Accuracy:
    """Compares predicted costs (m,) with the distances (m,) of one run each.

    Returns:
        Mean prediction and mean distance with its standard error in bins of equally many runs; Pearson's correlation;
        the relative difference of the mean prediction from the mean distance, with its standard error.

    Raises:
        ValueError: If the two differ in shape, or fewer than two pairs are finite.
    """
    predicted, simulated = np.asarray(predicted, float), np.asarray(simulated, float)
    if predicted.ndim != 1 or predicted.shape != simulated.shape:
        raise ValueError(f"predicted and simulated have shapes {predicted.shape}, {simulated.shape}; expected one (m,)")
    ok = np.isfinite(predicted) & np.isfinite(simulated)
    if ok.sum() < 2:
        raise ValueError(
            f"only {ok.sum()} of {len(ok)} runs have a finite predicted and simulated cost; need 2 or more"
        )
    predicted, simulated = predicted[ok], simulated[ok]
    bins = np.array_split(np.argsort(predicted), max(1, min(n_bins, len(predicted) // 5)))
    errors = [np.std(simulated[rows], ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.nan for rows in bins]
    varies = predicted.std() > 0 and simulated.std() > 0
    level = simulated.mean() if simulated.mean() != 0 else np.nan
    return Accuracy(
        np.array([predicted[rows].mean() for rows in bins]),
        np.array([simulated[rows].mean() for rows in bins]),
        np.array(errors),
        float(np.corrcoef(predicted, simulated)[0, 1]) if varies else float("nan"),
        float((predicted.mean() - simulated.mean()) / level),
        float(np.std(predicted - simulated, ddof=1) / np.sqrt(len(predicted)) / abs(level)),
    )


def cost_accuracy(predicted: Any, simulated: Any, replicate: Any = None, units: str = "") -> matplotlib.figure.Figure:
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
        floor = float(np.nanmean(replicate))
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


def ladder(draws: Any) -> matplotlib.figure.Figure:
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
