"""Everything that the explorer's page reads of one posterior and its draws, as one JSON-able dictionary."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..costs.cost import Cost
from ..costs.forms import HilbertForm, MarginalForm
from ..costs.known_parameters import rows_as_known
from ..costs.records import units_of
from ..distances.additive import Growth
from ..distances.unequal_sets import all_trials
from ..observations import Observation
from ..runtime.counts import evenly_spaced
from ..sampling.draws import Draws
from ..sampling.held_out_errors import jackknife_factor
from ..sampling.posterior import GibbsPosterior
from ..sampling.weights import some_draws
from ..simulations.rows import Simulations
from .costs import export_cost
from .marginals import prior_shares
from .numbers import NotExportable, double, single
from .priors import export_prior

# Draws that the page moves, and numbers in them at most.
MOST_DRAWS, MOST_NUMBERS = 1000, 30_000
# Draws of the prior that the report's tables ask for as well, so that one program makes both.
_PRIOR_DRAWS = 20_000
# Spreads of outputs from one to another coordinate beyond which they are shown in multiples of these.
_MOST_RATIO = 20.0
# Runs whose outputs are looked at.
_MOST_RUNS = 10_000
# Values of an observation beyond which a page could not be handled.
MOST_VALUES = 2000


def explorer_data(
    posterior: GibbsPosterior,
    draws: Draws,
    *,
    simulations: Simulations | None = None,
    axis: Any = None,
    labels: Sequence[str] | None = None,
) -> dict[str, Any]:
    """What the page of one posterior reads.

    Args:
        posterior: that was sampled.
        draws: its draws.
        simulations: of the training, which say where outputs are; the rows kept with the cost if not given.
        axis: as in `report`.
        labels: as in `report`.

    Raises:
        NotExportable: a part of the posterior has no program in the page; the message says which.
    """
    cost, prior = posterior.cost, posterior.prior
    x_o = np.asarray(posterior.x_o, np.float64)
    if x_o.size > MOST_VALUES:
        raise NotExportable(f"The observation has {x_o.size:,} values, more than the {MOST_VALUES:,} that it can show.")
    conditions = np.asarray(list(posterior.conditions.values()), np.float64)
    m = int(min(MOST_DRAWS, max(100, MOST_NUMBERS // prior.dim)))
    rows = some_draws(draws, m)
    if labels is None and isinstance(axis, Observation):
        # Names and units of what was read.
        labels = axis.labels(max(1, x_o.size // max(x_o.shape[0] if x_o.ndim else 1, 1)))
    own_prior, across = export_prior(prior), _axis(x_o, axis, labels)
    of_prior = np.asarray(prior.sample(_PRIOR_DRAWS, seed=0))
    return {
        "names": list(prior.names),
        "integers": [name in prior.integer_names for name in prior.names],
        "holdable": _holdable(own_prior),
        "bounds": [[float(end) if np.isfinite(end) else None for end in ends] for ends in prior.bounds],
        "prior": own_prior,
        "cost": export_cost(cost, x_o, conditions),
        "beta": posterior.beta,
        "x_o": double(x_o),
        "prior_draws": single(of_prior[:m]),
        "prior_shares": prior_shares(prior, of_prior),
        "draws": single(rows),
        "costs": single(_costs_of(draws, rows)),
        "ess": _effective(draws),
        "jackknife": jackknife_factor(cost, _members(cost)),
        "units": units_of(cost) or "units of the distance",
        "growths": _growths(cost),
        "why_whole": _why_whole(cost),
        "why_fixed": "The features of this distance are a function in Python, which a page cannot call: they are those "
        "of the observation that was sampled, whose values cannot be changed here.",
        **_outputs(cost, x_o, simulations, one_quantity=across["where"] is not None),
        **across,
        "output_names": _names(cost, x_o, across, labels),
    }


def _effective(draws: Draws) -> float:
    """The least effective sample size of any parameter; the number of draws where it cannot be told."""
    known = draws.ess_bulk[np.isfinite(draws.ess_bulk)]
    return float(min(known.min(), len(draws))) if known.size else float(len(draws))


def _costs_of(draws: Draws, rows: np.ndarray) -> np.ndarray:
    """Costs of the draws that are shown, found by their parameters."""
    flat = np.asarray(draws.flat, np.float32)
    places = {row.tobytes(): i for i, row in enumerate(flat)}
    costs = np.asarray(draws.cost).reshape(-1)
    return np.array([costs[places[np.ascontiguousarray(row, np.float32).tobytes()]] for row in rows])


def _members(cost: Cost) -> int:
    form: Any = cost.form
    if isinstance(form, HilbertForm):
        return int(form.mean.standardise.mean.shape[0])
    return int((form.distribution.residual if isinstance(form, MarginalForm) else form.scale).shape[0])


def _holdable(prior: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Which coordinates are independent of all others, so that draws of the prior remain draws without them."""
    return [part["family"] != "multivariate_normal" for part in prior for _ in part["at"]]


def _growths(cost: Cost) -> list[dict[str, Any]] | None:
    """Distances by which the distribution of every coordinate can be read; the cost's own is the first."""
    if not isinstance(cost.form, MarginalForm) or cost.penalty is not None:
        return None
    own: Any = cost.form.growth
    choices = {
        f"{cost.distance.name.replace('_', ' ')} (as fitted)": own,
        "squared error": Growth.of(square=1.0, knee=np.inf),
        "absolute error": Growth.of(slope=1.0),
        "Huber, straight from 1 scale on": Growth.of(square=0.5, knee=1.0, slope=1.0),
        "absolute error, 3 scales at most": Growth.of(slope=1.0, cap=3.0),
    }
    return [
        {"name": name, "growth": double([float(part) for part in (one.square, one.knee, one.slope, one.cap)])}
        for name, one in choices.items()
    ]


def _why_whole(cost: Cost) -> str:
    if cost.distance.reads_sets:
        return "A set is compared as a whole: its values can be changed, and none can be left out or weighted."
    return "This cost compares whole observations: values can be changed, and none can be left out or weighted."


def _outputs(cost: Cost, x_o: np.ndarray, simulations: Simulations | None, *, one_quantity: bool) -> dict[str, Any]:
    """Where simulated outputs were, coordinate by coordinate, and how they are shown.

    Summaries may have units that differ; values along an axis are of one quantity, and are shown in its unit.
    """
    domain = {"log1p": [-1.0, None], "sqrt": [0.0, None]}.get(cost.frame.transform.name or "", [None, None])
    known: dict[str, Any] = {"domain": domain, "relative": False}
    x = _simulated(cost, simulations)
    if x is None:
        return {**known, "runs": 0, "low": None, "high": None, "centre": None, "spread": None}
    runs = len(x)
    if cost.distance.reads_sets:
        # Trials have no order, and a set may have any number of them.
        x = np.repeat(all_trials(x)[:, None], len(x_o), axis=1)
    x = x.reshape(len(x), -1)
    low, centre, high = np.quantile(x, [0.0, 0.5, 1.0], axis=0)
    spread = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    relative = bool(x_o.ndim == 1 and not one_quantity and spread.max() > _MOST_RATIO * spread.min())
    return {
        **known,
        "runs": runs,
        "relative": relative,
        **{name: double(values) for name, values in (("low", low), ("high", high), ("centre", centre))},
        "spread": double(spread),
    }


def _names(cost: Cost, x_o: np.ndarray, across: Mapping[str, Any], labels: Sequence[str] | None) -> list[str]:
    """A name for every value: the simulator's or its label, with its date or place on the axis where that is known."""
    channels, own, where = across["channels"], list(map(str, labels or [])), across["where"]
    named = cost.output_names is not None and len(cost.output_names) == x_o.size
    if cost.distance.reads_sets or where is None:
        plain = [f"value {', '.join(map(str, place))}".strip() for place in np.ndindex(x_o.shape)]
        return list(cost.output_names) if named and cost.output_names is not None else plain
    if named and cost.output_names is not None:
        return [f"{name} {where[i // channels]}" for i, name in enumerate(cost.output_names)]
    if len(own) != channels:
        own = ["value"] if channels == 1 else [f"value {c}" for c in range(channels)]
    return [f"{own[i % channels]} {where[i // channels]}" for i in range(x_o.size)]


def _simulated(cost: Cost, simulations: Simulations | None) -> np.ndarray | None:
    """Outputs of runs that succeeded, at most `_MOST_RUNS` of them; None where none are at hand."""
    if simulations is not None and simulations.x.shape[1:] == cost.x_shape:
        ok = np.flatnonzero(simulations.ok)
        # As they would have been measured: an observation is off by that error, too.
        x = rows_as_known(cost, simulations.selected(ok[evenly_spaced(len(ok), _MOST_RUNS)])).x
    elif cost.held_out is not None:
        x = cost.held_out.x[cost.held_out.ok]
    else:
        return None
    return np.asarray(x, np.float64) if len(x) else None


def _axis(x_o: np.ndarray, axis: Any, labels: Sequence[str] | None) -> dict[str, Any]:
    """Where values stand across the picture: at the report's times, else one after the other."""
    steps = x_o.shape[0] if x_o.ndim else 1
    channels = max(1, x_o.size // max(steps, 1))
    places, label, where = _times(axis)
    if len(places) != steps or not np.all(np.isfinite(places)):
        places, label, where = np.arange(steps, dtype=float), "number of the value", None
    own = list(map(str, labels or []))
    return {
        "axis": places.tolist(),
        "axis_label": str(label or ""),
        "channels": int(channels),
        "channel_names": own if len(own) == channels else [],
        "y_label": ", ".join(own) if own and len(own) <= 3 else "value",
        "where": where,
    }


def _times(axis: Any) -> tuple[np.ndarray, str, list[str] | None]:
    """Numbers along the axis, their label, and each in words; dates as days since the first; else nothing."""
    times, label = axis if isinstance(axis, tuple) and len(axis) == 2 else (axis, "")
    if isinstance(times, Observation):
        times, label = times.index, times.axis_label
    values = np.zeros(0) if times is None else np.asarray(times).reshape(-1)
    if values.dtype.kind == "M":
        days = (values - values[0]) / np.timedelta64(1, "D")
        since = f"days since {np.datetime_as_string(values[0], unit='D')}"
        return days.astype(np.float64), since, [f"on {text}" for text in _dates(values, days)]
    if values.dtype.kind not in "iuf":
        return np.zeros(0), "", None
    return values.astype(np.float64), str(label), [f"at {value:g}" for value in values]


def _dates(values: np.ndarray, days: np.ndarray) -> list[str]:
    """Dates in words; with the time of the day where some are of the same day or not at midnight."""
    whole = np.array_equal(np.floor(days), days) and len(np.unique(days)) == len(days)
    whole = whole and bool(np.all(values == values.astype("datetime64[D]")))
    texts = np.datetime_as_string(values, unit="D" if whole else "m")
    return [str(text).replace("T", " ") for text in texts]
