"""The predictive plot: outputs re-simulated at the draws, against the observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..checks.predictive import PredictiveCheck
from ..costs.named_observations import as_vector
from ..distances.unequal_sets import all_trials, trials_present
from ..observations import Observation
from ..runtime.figure_style import OBSERVED, POSTERIOR, PRIOR, SMALL, density, few_ticks, time_axis, window
from ..runtime.formatting import plain
from .prediction_panels import Axis, panels_of, times_of
from .predictions_compared import coordinates_compared, series_compared, sets_compared
from .several import Shown, same_keys, several

if TYPE_CHECKING:
    import matplotlib.figure

MOST_COORDINATES = 12


def predictive(
    check_or_x: PredictiveCheck | ArrayLike | Mapping[str, Any],
    x_o: ArrayLike | Observation | Mapping[str, Any],
    axis: Axis = None,
    labels: Sequence[str] | None = None,
    prior_x: ArrayLike | None = None,
    kind: str | None = None,
) -> matplotlib.figure.Figure:
    """Shows outputs re-simulated at the draws against the observation.

    Up to 12 coordinates: one density per coordinate, with the share of outputs below x_o. A longer vector or a time
    series (T, C): 5-95 % and 25-75 % bands, the median and five single runs per channel. Sets of trials: the
    5-95 % band of the histograms of one run's trials. Outputs that are not finite are left out and counted.

    Args:
        check_or_x: A `PredictiveCheck`, or outputs (m, *x_shape); or several by name, at most five, such as
            {"squared": a, "absolute": b}: the band and the median of each in a colour of its own.
        x_o: Observation of shape x_shape, or by the names of outputs, whose missing values (NaN) stay open; one of
            `read_observation` brings its index and names. Of several posteriors one for all, or one for each by the
            same names.
        axis: For series: times (T,), (times, label with units), or what `read_observation` returned. Times are numbers,
            datetime64 or texts.
        labels: Names with units of the coordinates or channels.
        prior_x: Outputs simulated at prior draws, (k, *x_shape), shown in grey.
        kind: "coordinates", "series" or "set" (x_shape (trials,) or (trials, C)); by default chosen from the shape,
            never "set", because a set cannot be told from a series by its shape.

    Raises:
        ValueError: If shapes, labels or axis do not fit, the kind is unknown, or no output is finite.
        ImportError: If matplotlib is not installed.

    Example:
        >>> check = gb.check_predictive(simulator, posterior, draws, seed=3)
        >>> figure = gb.plots.predictive(check, x_o, axis=(years, "year"), labels=["hares", "lynx"])
        >>> both = gb.plots.predictive({"patient 1": one, "patient 2": two}, {"patient 1": x_1, "patient 2": x_2})
    """
    if isinstance(check_or_x, Mapping):
        return _several(several(check_or_x, "check_or_x"), x_o, axis, labels, prior_x, kind)
    observed = _observed(check_or_x, x_o)
    kind, columns = _kind_and_columns(kind, observed)
    x, n_failed = _runs(check_or_x, observed, kind)
    before = None if prior_x is None else _finite_runs("prior_x", prior_x, observed, kind)[0]
    axis, names = _axis_and_labels(check_or_x, x_o, axis, labels, kind, columns)
    shape = _shape(kind, columns)
    before = None if before is None else before.reshape(len(before), *shape)
    figure = _DRAWN[kind](x.reshape(len(x), *shape), observed.reshape(shape), axis, names, before)
    _tell_failed(figure, n_failed)
    return figure


def _several(
    shown: list[Shown],
    x_o: Any,
    axis: Axis,
    labels: Sequence[str] | None,
    prior_x: ArrayLike | None,
    kind: str | None,
) -> matplotlib.figure.Figure:
    """The picture of several posteriors, of one observation or of one each."""
    keys = {one.name: one.one for one in shown}
    each = isinstance(x_o, Mapping) and set(map(str, x_o)) == set(keys)
    if each:
        same_keys(keys, {str(name): value for name, value in x_o.items()}, ("check_or_x", "x_o"))
    own = [*x_o.values()] if each else [x_o] * len(shown)
    observed = [_observed(one.one, of_one) for one, of_one in zip(shown, own, strict=True)]
    kind, columns = _kind_and_columns(kind, observed[0])
    # Sets may have another number of trials each.
    start = 1 if kind == "set" else 0
    if any(of_one.ndim != observed[0].ndim or of_one.shape[start:] != observed[0].shape[start:] for of_one in observed):
        shapes = ", ".join(f"{one.name}: {of_one.shape}" for one, of_one in zip(shown, observed, strict=True))
        raise ValueError(f"the observations have different shapes ({shapes}): compare those of one shape.")
    shape = _shape(kind, columns)
    before = None if prior_x is None else _finite_runs("prior_x", prior_x, observed[0], kind)[0]
    before = None if before is None else before.reshape(len(before), *shape)
    axis, names = _axis_and_labels(shown[0].one, own[0], axis, labels, kind, columns)
    compared, failed = [], 0
    for one, of_one in zip(shown, observed, strict=True):
        x, n_failed = _runs(one.one, of_one, kind)
        compared.append((one, x.reshape(len(x), *shape), of_one.reshape(shape)))
        failed += n_failed
    figure = _COMPARED[kind](compared, axis, names, before)
    _tell_failed(figure, failed)
    return figure


def _observed(check_or_x: Any, x_o: Any) -> np.ndarray:
    outputs = check_or_x.outputs if isinstance(check_or_x, PredictiveCheck) else None
    return np.asarray(as_vector(x_o, outputs), float)


def _runs(check_or_x: Any, x_o: np.ndarray, kind: str) -> tuple[np.ndarray, int]:
    """Finite outputs, and how many runs are left out."""
    checked = isinstance(check_or_x, PredictiveCheck)
    x, n_failed = _finite_runs("x", check_or_x.x if checked else check_or_x, x_o, kind)
    return x, n_failed + (check_or_x.n_failed if checked else 0)


def _kind_and_columns(kind: str | None, x_o: np.ndarray) -> tuple[str, int]:
    """How outputs are read, and how many panels that makes.

    Raises:
        ValueError: the kind is unknown, the shape is none of it, or there are too many panels.
    """
    kind = kind or ("coordinates" if x_o.ndim == 0 or (x_o.ndim == 1 and x_o.size <= MOST_COORDINATES) else "series")
    if kind not in _DRAWN:
        raise ValueError(f"kind is {kind!r}; expected 'coordinates', 'series', 'set' or None")
    if kind != "coordinates" and x_o.ndim not in (1, 2):
        raise ValueError(
            f"x_o has shape {x_o.shape}; a {kind} has shape (T,) or (T, C). Pass a part or a summary of x."
        )
    columns = x_o.size if kind == "coordinates" else 1 if x_o.ndim == 1 else x_o.shape[1]
    if columns > MOST_COORDINATES:
        raise ValueError(f"{columns} panels are too many (at most {MOST_COORDINATES}); pass a part of x and x_o")
    return kind, columns


def _shape(kind: str, columns: int) -> tuple[int, ...]:
    """Of one output: sets of a simulator may have another number of trials than the observation."""
    return (columns,) if kind == "coordinates" else (-1, columns)


def _axis_and_labels(
    check_or_x: Any, x_o: Any, axis: Axis, labels: Sequence[str] | None, kind: str, columns: int
) -> tuple[Axis, list[str]]:
    """Times and names of panels: those that are given, or of what was read, or of the simulator's outputs."""
    read = axis if isinstance(axis, Observation) else x_o if isinstance(x_o, Observation) else None
    outputs = check_or_x.outputs if isinstance(check_or_x, PredictiveCheck) else None
    default = {"coordinates": "output", "series": "channel", "set": "coordinate"}[kind]
    names = () if outputs is None else outputs.coordinates
    if read is not None:
        # Columns of a table in another order than the outputs have been found by their names.
        moved = len(names) == columns and set(read.names) == set(names) and read.names != names
        labels = read.labels(columns) if labels is None and not moved else labels
        own = None if read.index is None else (read.index, read.axis_label)
        axis = own if axis is None or axis is read else axis
    if labels is None and len(names) == columns:
        labels = names
    if labels is None:
        labels = ["output"] if columns == 1 else [f"{default} {i + 1}" for i in range(columns)]
    if len(labels) != columns:
        raise ValueError(f"labels has {len(labels)} names {list(labels)}; expected {columns}, one per {default}")
    return axis, [plain(label) for label in labels]


def _tell_failed(figure: Any, n_failed: int) -> None:
    if n_failed:
        figure.suptitle(f"{n_failed} failed runs left out", fontsize=SMALL, x=0.01, ha="left")


def rank_of(x: np.ndarray, x_o: np.ndarray) -> np.ndarray:
    """Returns the share of outputs (m, D) that lie below the observation (D,), counting ties as half."""
    return (x < x_o).mean(axis=0) + 0.5 * (x == x_o).mean(axis=0)


def _finite_runs(name: str, x: ArrayLike, x_o: np.ndarray, kind: str) -> tuple[np.ndarray, int]:
    """Returns the outputs without a NaN or infinity, and how many had one; of sets, see `_sets_with_trials`."""
    if kind == "set" and x_o.ndim == 2:
        return _sets_with_trials(name, x, x_o)
    x = np.asarray(x, float)
    if x.shape[1:] != x_o.shape:
        raise ValueError(f"{name} has shape {x.shape}; expected (runs, *x_shape) with x_shape {x_o.shape} as in x_o")
    ok = np.isfinite(x.reshape(len(x), -1)).all(axis=1)
    if not ok.any():
        raise ValueError(f"{name} has no finite output among {len(x)} runs; there is nothing to show")
    return x[ok], int((~ok).sum())


def _sets_with_trials(name: str, x: ArrayLike, x_o: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns the sets (runs, trials, C) that have trials, all of them finite, and how many have not.

    A set may have another number of trials than the observation; rows of NaN are none.
    """
    x = np.asarray(x, float)
    if x.ndim != 3 or x.shape[2] != x_o.shape[1]:
        raise ValueError(f"{name} has shape {x.shape}; expected sets (runs, trials, {x_o.shape[1]}), as x_o is one")
    seen = trials_present(x)
    ok = seen.any(axis=1) & ~(~np.isfinite(x).all(axis=2) & seen).any(axis=1)
    if not ok.any():
        raise ValueError(f"{name} has no finite set among {len(x)} runs; there is nothing to show")
    return x[ok], int((~ok).sum())


def _coordinates(
    x: np.ndarray, x_o: np.ndarray, axis: Axis, labels: list[str], before: np.ndarray | None
) -> matplotlib.figure.Figure:
    """One density per coordinate, with the observation and its rank."""
    figure, panels = panels_of(len(labels), 1.9, 4)
    ranks = rank_of(x, x_o)
    for j, ax in enumerate(panels):
        observed = not np.isnan(x_o[j])
        near = x_o[j] if observed else np.median(x[:, j])
        limits, bulk = (window(x[:, j], include=near, level=level) for level in (0.99, 0.9))
        # A few wild runs must not shrink the others to a line.
        limits = bulk if np.ptp(limits) > 8 * np.ptp(bulk) else limits
        if before is not None:
            wide = window(before[:, j], include=limits, level=0.9)
            limits = wide if np.ptp(wide) < 6 * np.ptp(limits) else limits
        # Counts and rates: where nothing is negative, neither is the density.
        positive = min(np.min(part) for part in (x[:, j], near, 0 if before is None else before[:, j])) >= 0
        bounds = (0.0, np.inf) if positive else (-np.inf, np.inf)
        grid = np.linspace(max(limits[0], bounds[0]), limits[1], 300)
        if before is not None:
            ax.fill_between(
                grid, density(before[:, j], grid, bounds), color=PRIOR, alpha=0.35, linewidth=0, label="prior"
            )
        curve = density(x[:, j], grid, bounds)
        ax.fill_between(grid, curve, color=POSTERIOR, alpha=0.25, linewidth=0)
        ax.plot(grid, curve, color=POSTERIOR, linewidth=1.4, label="re-simulated")
        if observed:
            ax.axvline(x_o[j], color=OBSERVED, linewidth=1.6, label="observed")
        ax.set_ylim(0, max(1.08 * curve.max(), 1e-30))
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        few_ticks(ax.xaxis)
        ax.set_xlabel(labels[j])
        ax.set_title(f"{100 * ranks[j]:.0f} % below observed" if observed else "not observed", fontsize=SMALL)
    first = int(np.argmax(~np.isnan(x_o)))
    handles, names = panels[first].get_legend_handles_labels()
    figure.legend(handles, names, frameon=False, fontsize=SMALL, loc="outside lower center", ncols=3)
    return figure


def _series(
    x: np.ndarray, x_o: np.ndarray, axis: Axis, labels: list[str], before: np.ndarray | None
) -> matplotlib.figure.Figure:
    """One panel of bands per channel."""
    times, time_label, ticks = times_of(axis, len(x_o))
    figure, panels = panels_of(len(labels), 2.7, 2)
    points = len(x_o) <= 100
    style: dict[str, Any] = {"marker": "o", "markersize": 3.5} if points else {"linewidth": 1.2}
    for c, ax in enumerate(panels):
        q05, q25, q50, q75, q95 = np.quantile(x[:, :, c], [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        seen = x_o[~np.isnan(x_o[:, c]), c]
        shown = [q05.min(), q95.max(), *([seen.min(), seen.max()] if len(seen) else [])]
        for i, run in enumerate(x[:5, :, c]):
            label = "single runs" if i == 0 else None
            ax.plot(times, run, color=POSTERIOR, linewidth=0.6, alpha=0.6, label=label)
            shown += [run.min(), run.max()]
        ax.fill_between(times, q05, q95, color=POSTERIOR, alpha=0.18, linewidth=0, label="re-simulated 5-95 %")
        ax.fill_between(times, q25, q75, color=POSTERIOR, alpha=0.32, linewidth=0, label="25-75 %")
        ax.plot(times, q50, color=POSTERIOR, linewidth=1.6, label="median")
        ax.plot(times, x_o[:, c], color=OBSERVED, linestyle="none" if points else "-", label="observed", **style)
        low, high = min(shown), max(shown)
        if before is not None:
            p05, p95 = np.quantile(before[:, :, c], [0.05, 0.95], axis=0)
            ax.fill_between(times, p05, p95, color=PRIOR, alpha=0.15, linewidth=0, zorder=0, label="prior 5-95 %")
            ax.plot(times, np.transpose([p05, p95]), color=PRIOR, linewidth=0.8, zorder=0)
            # A prior that explodes must not flatten the data: show at most half as much again on either side.
            reach = 0.5 * (high - low)
            low, high = max(min(low, p05.min()), low - reach), min(max(high, p95.max()), high + reach)
        pad = 0.05 * (high - low) or 1.0
        nothing_negative = min(shown) >= 0
        ax.set_ylim(max(low - pad, 0.0) if nothing_negative else low - pad, high + pad)
        ax.margins(x=0.02)
        ax.set_ylabel(labels[c])
        ax.set_xlabel(time_label)
        time_axis(ax.xaxis, ticks)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        frameon=False,
        fontsize=SMALL,
        loc="outside lower center",
        ncols=min(len(names), 6 if len(panels) > 1 else 3),
    )
    return figure


def _sets(
    x: np.ndarray, x_o: np.ndarray, axis: Axis, labels: list[str], before: np.ndarray | None
) -> matplotlib.figure.Figure:
    """Histograms of one run's trials, a band over the runs; two coordinates also as a scatter.

    Rows of NaN are no trials; histograms leave them out, and shares are of those that are.
    """
    columns = len(labels)
    x_o, numbers = all_trials(x_o), trials_present(x).sum(axis=1, keepdims=True)
    flat, of_prior = all_trials(x), None if before is None else all_trials(before)
    figure, panels = panels_of(columns + (columns == 2), 2.4, 3)
    for c, ax in enumerate(panels[:columns]):
        limits = window(flat[:, c], include=x_o[:, c])
        bins = np.linspace(limits[0], limits[1], int(np.clip(np.sqrt(len(x_o)) * 2, 8, 30)) + 1)
        counts = np.array([np.histogram(run[~np.isnan(run)], bins)[0] for run in x[:, :, c]]) / numbers
        if of_prior is not None:
            prior = np.histogram(of_prior[:, c], bins)[0] / len(of_prior)
            ax.stairs(prior, bins, color=PRIOR, linewidth=1.2, label="prior")
        q05, q95 = np.quantile(counts, [0.05, 0.95], axis=0)
        ax.stairs(q95, bins, baseline=q05, fill=True, color=POSTERIOR, alpha=0.25, label="re-simulated 5-95 %")
        ax.stairs(counts.mean(axis=0), bins, color=POSTERIOR, linewidth=1.4, label="mean")
        ax.stairs(np.histogram(x_o[:, c], bins)[0] / len(x_o), bins, color=OBSERVED, linewidth=1.4, label="observed")
        ax.set_ylim(0)
        ax.set_xlabel(labels[c])
        ax.set_ylabel("share of a run's trials")
        few_ticks(ax.xaxis)
    if columns == 2:
        flat = flat[np.random.default_rng(0).permutation(len(flat))[:3000]]
        panels[2].plot(*flat.T, ".", color=POSTERIOR, alpha=0.25, markersize=3, markeredgewidth=0)
        panels[2].plot(*x_o.T, "o", color=OBSERVED, markersize=3)
        panels[2].set_xlabel(labels[0])
        panels[2].set_ylabel(labels[1])
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, frameon=False, fontsize=SMALL, loc="outside lower center", ncols=4)
    return figure


_DRAWN = {"coordinates": _coordinates, "series": _series, "set": _sets}
_COMPARED = {"coordinates": coordinates_compared, "series": series_compared, "set": sets_compared}
