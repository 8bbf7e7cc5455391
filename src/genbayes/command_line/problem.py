"""`problem.toml` -> `Problem`: what to infer, from which observation, written in one file.

Every mistake in the file becomes a ValueError that names the file, the table, the key and the remedy.
"""

import inspect
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..costs.failing_runs import Failures, checked_failures
from ..costs.fit_general import EmbeddingName
from ..costs.fitting import Method, default_config
from ..costs.measured import share_of
from ..distances import Distance, UserDistance
from ..distances.base import distance_classes
from ..learning.training import FitConfig
from ..observations import Observation, read_observation
from ..observations.reading import options_for
from ..priors.from_table import DISTRIBUTIONS, WHOLE
from ..priors.prior import Prior
from ..sampling.sampler import samplers
from ..simulations.measurement_error import check_deviation
from ..simulations.simulators import AnySimulator
from .simulator_entry import named_function, named_object, read_simulator
from .toml_table import Table, suggestion

# Keys of [observation] that say how its file, and others beside it, are read.
_READING: dict[str, Any] = {
    "column": str | list,
    "index": str,
    "group": str,
    "only": str | int,
    "missing": str | int | float | list,
    "decimal": str,
    "date_format": str,
    "sheet": str,
    "key": str,
    "regular": bool,
}


@dataclass(frozen=True)
class SampleSettings:
    """The table [sample]: inverse temperatures (none: to be given), number of draws, sampler."""

    beta: tuple[float, ...] = ()
    n: int = 4000
    sampler: str = "smc"


@dataclass(frozen=True)
class ReportSettings:
    """The table [report]: how the observation is shown, as in `plots.predictive`."""

    labels: tuple[str, ...] | None = None
    axis: str | None = None
    axis_values: tuple[float, ...] | None = None
    kind: Literal["coordinates", "series", "set"] | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """All that the stages need to know.

    Attributes:
        name: of the problem.
        path: of its file; None for a problem made in Python.
        simulator: see `simulate`.
        prior: over its parameters.
        distance: between two outputs.
        x_o: the observation, or None.
        fit: how the cost is fitted; None for the default of the distance.
        method: see `fit_cost`.
        embedding: see `fit_cost`.
        failures: see `fit_cost`.
        measurement_error: see `fit_cost`.
        sample: how draws are made.
        report: how the observation is shown.
        distance_settings: the table [distance], which is stored with a cost.
        conditions: distribution of the known conditions, where the simulator takes them; see `simulate`.
        x_o_conditions: those of the observation, by name.
        observation: what was read, of which `x_o` is the values.
        observation_file: from which it was read; None where its values stand in the problem.
        reading: how files of observations are read: options of `read_observation`.
        executor: name of what runs the simulator where none is typed, see `executor_option`; None for this process.
    """

    name: str
    path: Path | None
    simulator: AnySimulator
    prior: Prior
    distance: Distance
    x_o: np.ndarray | None = None
    fit: FitConfig | None = None
    method: Method = "auto"
    embedding: EmbeddingName = "auto"
    failures: Failures = "condition"
    measurement_error: Any = None
    sample: SampleSettings = field(default_factory=SampleSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    distance_settings: dict[str, Any] = field(default_factory=dict)
    conditions: Prior | None = None
    x_o_conditions: dict[str, float] = field(default_factory=dict)
    observation: Observation | None = None
    observation_file: Path | None = None
    reading: dict[str, Any] = field(default_factory=dict)
    executor: str | None = None


def read_problem(path: str | Path) -> Problem:
    """Reads and checks a problem file; imports the user's modules.

    Args:
        path: of the file. Modules and data files that it names are looked up beside it first.

    Raises:
        FileNotFoundError: there is no such file, or no such observation file.
        ValueError: the file is not TOML, or says something that cannot be; the message names table and key.

    Example:
        >>> problem = read_problem("predator.toml")
        >>> simulations = gb.simulate(problem.simulator, problem.prior, 10_000, seed=0)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no problem file {path}. Give the path of a file such as predator.toml.")
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(
            f"{path} is not valid TOML: {error}. Text stands in quotes, tables start with [name]."
        ) from error
    top = Table(path, "", content)
    known = (
        "name",
        "simulator",
        "max_trials",
        "prior",
        "conditions",
        "distance",
        "observation",
        "fit",
        "sample",
        "report",
        "executor",
    )
    top.check_keys(known)
    top.need("simulator", 'simulator = "module:function", or a table [simulator] with the command of a program')
    top.need("prior", "a table [prior] with one distribution per parameter")
    top.need("distance", 'a table [distance] with name = "MeanSquaredError"')
    settings = top.table("distance")
    distance = _read_distance(settings)
    if distance.needs_observation and "observation" not in content:
        text = '"observation" needs a table [observation] with file = "x_o.csv", near which the scale is taken.'
        raise settings.error("scale", text)
    fit = top.table("fit")
    config, method, embedding = _read_fit(fit, distance)
    conditions = _read_prior(top, "conditions") if "conditions" in content else None
    reading = _read_reading(top.table("observation"))
    if distance.reads_unequal_sets and "group" in reading and "index" not in reading:
        # Of a distance of sets the rows of a group are trials, as many as there are.
        reading |= options_for(Path(top.table("observation").get("file", str, "")), {"trials": True})
    observation = _read_observation(top.table("observation"), reading) if "observation" in content else None
    if observation is not None and observation.groups is not None and conditions is not None:
        raise top.table("observation").error(
            "group", "the simulator takes known conditions, which differ between groups: give --observations FILE.npz."
        )
    prior = _read_prior(top, "prior")
    names = (*prior.names, *(() if conditions is None else conditions.names))
    return Problem(
        name=top.get("name", str, path.stem),
        path=path,
        simulator=read_simulator(top, names),
        prior=prior,
        distance=distance,
        x_o=None if observation is None else observation.values,
        fit=config,
        method=method,
        embedding=embedding,
        failures=_read_failures(fit, distance),
        measurement_error=_read_measurement_error(fit),
        sample=_read_sample(top.table("sample")),
        report=_read_report(top.table("report")),
        distance_settings=settings.content,
        conditions=conditions,
        x_o_conditions=_read_x_o_conditions(top.table("observation"), conditions) if "observation" in content else {},
        observation=observation,
        observation_file=path.parent / content["observation"]["file"]
        if "file" in content.get("observation", {})
        else None,
        reading=reading,
        executor=top.get("executor", str),
    )


def _read_prior(top: Table, key: str) -> Prior:
    """The distribution of the parameters, or of the known conditions: a table, or an object of the module."""
    if isinstance(top.content[key], str):
        prior = named_object(top, key)
        if not isinstance(prior, Prior):
            name = top.content[key]
            raise top.error(key, f"{name!r} must be a genbayes.Prior, got {type(prior).__name__}.")
        return prior
    table = top.table(key)
    if not table.content:
        raise table.error("", 'is empty. Add a parameter: rate = { distribution = "Uniform", low = 0.0, high = 1.0 }.')
    members = {}
    for name, value in table.content.items():
        if not isinstance(value, dict) or not isinstance(value.get("distribution"), str):
            raise table.error(
                name, f'must be like {{ distribution = "Uniform", low = 0.0, high = 1.0 }}, got {value!r}.'
            )
        arguments = {key: item for key, item in value.items() if key != "distribution"}
        entry = Table(table.path, f"{key}.{name}", arguments)
        members[name] = _build(entry, DISTRIBUTIONS, value["distribution"], "distribution", validate_args=True)
    try:
        return Prior(members)
    except (TypeError, ValueError) as error:
        raise table.error("", str(error)) from error


def _read_distance(table: Table) -> Distance:
    if "function" in table.content:
        table.check_keys(("function", "units"))
        function = named_function(table, "function")
        table.need("units", 'units = "..." of the distance, such as "mV" or "1"')
        return UserDistance(function, name=table.content["function"], units=table.get("units", str))
    table.need("name", 'name = "MeanSquaredError" (or function = "module:function" with units = "...")')
    name = table.get("name", str)
    arguments = {key: value for key, value in table.content.items() if key != "name"}
    # A `UserDistance` is named by its function.
    known = {key: cls for key, cls in distance_classes().items() if cls is not UserDistance}
    return _build(Table(table.path, table.name, arguments), known, name, "name")


def _build(table: Table, known: Mapping[str, type], name: str, key: str, **hidden: Any) -> Any:
    """An object of a class by name, with the table's values as arguments."""
    if name not in known:
        raise table.error(key, f"{name!r} is unknown{suggestion(name, known)}")
    parameters = list(inspect.signature(known[name].__init__).parameters.values())[1:]
    allowed = tuple(p.name for p in parameters if p.name not in hidden and p.kind is not p.VAR_KEYWORD)
    for item in table.content:
        if item not in allowed:
            raise table.error(item, f"{name} has no such argument{suggestion(item, allowed)}")
    missing = [p.name for p in parameters if p.default is p.empty and p.name in allowed and p.name not in table.content]
    if missing:
        raise table.error(missing[0], f"is missing; {name} takes {', '.join(allowed)}.")
    try:
        whole = WHOLE.get(name, ())
        return known[name](**{item: _value(value, item in whole) for item, value in table.content.items()}, **hidden)
    except (TypeError, ValueError) as error:
        text = " ".join(str(error).split())
        raise table.error("", f"{name} cannot be made of {table.content}: {text}") from error


def _value(value: Any, whole: bool) -> Any:
    items = value if isinstance(value, list) else [value]
    if whole and not all(isinstance(item, int) or (isinstance(item, float) and item.is_integer()) for item in items):
        raise ValueError(f"{value!r} must be a whole number, such as 3, or a list of them")
    if whole and not isinstance(value, list):
        return int(value)
    return np.asarray(value, np.int32 if whole else np.float32) if isinstance(value, list) else value


def _read_reading(table: Table) -> dict[str, Any]:
    """The keys of [observation] that say how files are read, as options of `read_observation`."""
    table.check_keys(("file", "values", "conditions", *_READING))
    reading = {name: table.get(name, kind) for name, kind in _READING.items() if name in table.content}
    for name in ("column", "missing"):
        value = reading.get(name)
        for item in value if isinstance(value, list) else ():
            if isinstance(item, bool) or not isinstance(item, str if name == "column" else str | int | float):
                raise table.error(name, f"must be a text or a list of texts, got {value!r}.")
    return reading


def _read_observation(table: Table, reading: dict[str, Any]) -> Observation:
    if ("file" in table.content) == ("values" in table.content):
        raise table.error("", 'give either file = "x_o.csv" or values = [1.0, 2.0].')
    try:
        if "file" in table.content:
            return read_observation(table.path.parent / table.get("file", str), **reading)
        if reading:
            raise table.error(next(iter(reading)), "says how a file is read, and there are values. Leave it out.")
        return read_observation(table.get("values", list))
    except (FileNotFoundError, ImportError, ValueError) as error:
        if str(error).startswith(str(table.path)):
            raise
        key = "file" if "file" in table.content else "values"
        raise type(error)(str(table.error(key, str(error)))) from error


def _read_x_o_conditions(table: Table, conditions: Prior | None) -> dict[str, float]:
    inner = table.table("conditions")
    if conditions is None:
        if inner.content:
            raise table.error(
                "conditions", "the simulator takes none: give their distributions in a table [conditions]."
            )
        return {}
    inner.check_keys(conditions.names)
    for name in conditions.names:
        inner.need(name, f"{name} = 1.0, the value under which the observation was made")
    return {name: inner.get(name, float) for name in conditions.names}


def _read_fit(table: Table, distance: Distance) -> tuple[FitConfig, Any, Any]:
    kinds = {item.name: int if item.name == "batch_size" else type(item.default) for item in fields(FitConfig)}
    table.check_keys((*kinds, "method", "embedding", "failures", "measurement_error"))
    given = {name: table.get(name, kind) for name, kind in kinds.items() if name in table.content}
    method = table.choice("method", get_args(Method), "auto")
    try:
        config = replace(default_config(distance, method), **given)
    except ValueError as error:
        raise table.error("", str(error)) from error
    return config, method, table.choice("embedding", get_args(EmbeddingName), "auto")


def _read_failures(table: Table, distance: Distance) -> Failures:
    """What becomes of failing runs: a text, or the distance that each counts as."""
    value = table.content.get("failures", "condition")
    try:
        way, penalty = checked_failures(value, distance.units)
    except (TypeError, ValueError) as error:
        raise table.error("failures", str(error)) from error
    if penalty is not None:
        return penalty
    return "ignore" if way == "ignore" else "condition"


def _read_measurement_error(table: Table) -> Any:
    """Standard deviations of the observation: a number, a list, numbers by the names of outputs, or "10 %"."""
    if "measurement_error" not in table.content:
        return None
    value = table.get("measurement_error", int | float | list | dict | str)
    try:
        if isinstance(value, str):
            share_of(value)
        else:
            check_deviation(value, "it")
    except (TypeError, ValueError) as error:
        raise table.error("measurement_error", str(error)) from error
    return value


def _read_sample(table: Table) -> SampleSettings:
    table.check_keys(tuple(item.name for item in fields(SampleSettings)))
    beta = table.numbers("beta") or ()
    if any(not (np.isfinite(value) and value > 0) for value in beta):
        raise table.error("beta", f"must be greater than 0, got {table.content['beta']!r}.")
    n = table.get("n", int, 4000)
    if n < 1:
        raise table.error("n", f"must be at least 1, got {n}.")
    return SampleSettings(beta, n, table.choice("sampler", tuple(samplers()), "smc"))


def _read_report(table: Table) -> ReportSettings:
    table.check_keys(tuple(item.name for item in fields(ReportSettings)))
    labels = table.get("labels", list)
    if labels is not None and not all(isinstance(label, str) for label in labels):
        raise table.error("labels", f"must be a list of texts, got {labels!r}.")
    kind = table.choice("kind", ("coordinates", "series", "set"), None)
    axis = table.get("axis", str)
    return ReportSettings(None if labels is None else tuple(labels), axis, table.numbers("axis_values"), kind)
