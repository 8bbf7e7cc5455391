"""The tables of a PEtab problem (version 1) as plain rows, and its priors as distributions.

PEtab's own package reads and checks the files; nothing else of the library needs it.
"""

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
from numpyro.distributions.transforms import ExpTransform

_REMEDY = 'from_petab needs the petab package: pip install "genbayes[petab]".'
# What one unit on the scale of a parameter or of an observable is, as a natural logarithm.
_LOGARITHM = {"log": 1.0, "log10": float(np.log(10.0))}


@dataclass(frozen=True)
class Tables:
    """What was read, as plain rows: names of columns are PEtab's.

    Attributes:
        parameters: by identifier.
        observables: by identifier.
        conditions: by identifier, without the column of names.
        measurements: in the order of the table.
        formula: turns a formula into a function of numbers, with the names of these.
    """

    parameters: dict[str, dict[str, Any]]
    observables: dict[str, dict[str, Any]]
    conditions: dict[str, dict[str, Any]]
    measurements: list[dict[str, Any]]
    formula: Callable[[Any], "Formula"]


@dataclass(frozen=True)
class Formula:
    """A formula of numbers by name; in workers too.

    Attributes:
        function: of the numbers in the order of `names`.
        names: that stand in the formula.
        text: as it was written.
    """

    function: Callable[..., Any]
    names: tuple[str, ...]
    text: str

    def __call__(self, values: Mapping[str, float]) -> float:
        """Its value."""
        return float(self.function(*(values[name] for name in self.names)))


def read_tables(path: str | Path) -> Tables:
    """Read the files that a problem's YAML file names.

    Raises:
        ImportError: petab is not installed.
        FileNotFoundError: there is no such file.
        ValueError: another version of PEtab, several models, or tables that PEtab's own checks refuse.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; expected the YAML file of a PEtab problem.")
    try:
        petab = importlib.import_module("petab.v1")
        lint = importlib.import_module("petab.v1.lint")
    except ImportError as error:
        raise ImportError(_REMEDY) from error
    try:
        with warnings.catch_warnings():
            # Its pandas speaks of its own future there.
            warnings.simplefilter("ignore")
            version = str(petab.load_yaml(str(path)).get("format_version"))
            if version.split(".")[0] != "1":
                raise _Unreadable(f"format_version is {version}, expected 1. Keep the tables of version 1")
            problem = petab.Problem.from_yaml(str(path))
            lint.check_parameter_df(problem.parameter_df)
            lint.check_observable_df(problem.observable_df)
            lint.check_measurement_df(problem.measurement_df, problem.observable_df)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"{path.name} cannot be read as a PEtab problem: {error or type(error).__name__}.") from error
    conditions = _rows(problem.condition_df.drop(columns="conditionName", errors="ignore"))
    return Tables(
        parameters=_rows(problem.parameter_df),
        observables=_rows(problem.observable_df),
        conditions={
            name: {column: number_or_name(value) for column, value in row.items()} for name, row in conditions.items()
        },
        measurements=[_without_gaps(row) for row in problem.measurement_df.to_dict("records")],
        formula=_formula,
    )


class _Unreadable(ValueError):
    """Raised for a problem of another kind."""


def _rows(table: Any) -> dict[str, dict[str, Any]]:
    return {str(name): _without_gaps(row) for name, row in table.to_dict("index").items()}


def _without_gaps(row: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of a row that hold something; a measurement that is NaN stays, as a missing value."""
    return {
        str(name): value
        for name, value in row.items()
        if name == "measurement" or not (value is None or value == "" or value != value)
    }


def number_or_name(cell: Any) -> float | str:
    """A cell as a number, or as the name that it holds."""
    try:
        return float(cell)
    except ValueError:
        return str(cell).strip()


def _formula(text: Any) -> Formula:
    sympy = importlib.import_module("sympy")
    parsed = importlib.import_module("petab.v1.math").sympify_petab(text)
    names = tuple(sorted(str(symbol) for symbol in parsed.free_symbols))
    symbols = sorted(parsed.free_symbols, key=str)
    return Formula(sympy.lambdify(symbols, parsed, "numpy"), names, str(text))


def to_scale(values: Any, scale: str) -> np.ndarray:
    """Values on the scale "lin", "log" or "log10"; NaN where there is no logarithm."""
    values = np.asarray(values, np.float64)
    if scale == "lin":
        return values
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(values > 0, np.log(values) if scale == "log" else np.log10(values), np.nan)


def log_slope(values: np.ndarray, scale: str) -> np.ndarray:
    """Log of the derivative of the scale at values."""
    return np.zeros_like(values) if scale == "lin" else -np.log(values * _LOGARITHM[scale])


def prior_of(name: str, row: Mapping[str, Any]) -> dist.Distribution:
    """The objective prior of an estimated parameter in its own units, cut at its bounds.

    Raises:
        ValueError: a prior that is not known, or bounds without room.
    """
    scale = str(row.get("parameterScale", "lin"))
    low, high = float(row["lowerBound"]), float(row["upperBound"])
    kind = str(row.get("objectivePriorType", "parameterScaleUniform"))
    given = row.get("objectivePriorParameters")
    numbers = None if given is None else [float(part) for part in str(given).split(";")]
    if kind.startswith("parameterScale"):
        shape, logarithm = kind.removeprefix("parameterScale").lower(), _LOGARITHM.get(scale)
    elif kind in ("logNormal", "logLaplace"):
        shape, logarithm = kind.removeprefix("log").lower(), 1.0
    else:
        shape, logarithm = kind, None
    if shape not in ("uniform", "normal", "laplace"):
        raise ValueError(f"parameter {name!r}: the prior {kind!r} is none of PEtab's version 1.")
    if logarithm is None:
        return _between(shape, numbers, low, high)
    numbers = None if numbers is None else [number * logarithm for number in numbers]
    with np.errstate(divide="ignore"):
        low, high = float(np.log(low)), float(np.log(high))
    base = _between(shape, numbers, low, high)
    if isinstance(base, dist.Uniform):
        return dist.LogUniform(np.exp(base.low), np.exp(base.high))
    support: Any = base.support
    return dist.TransformedDistribution(base, ExpTransform(support))


def _between(shape: str, numbers: list[float] | None, low: float, high: float) -> dist.Distribution:
    """A uniform, normal or Laplace distribution between limits."""
    if shape == "uniform":
        first, last = (low, high) if numbers is None else numbers
        return dist.Uniform(max(first, low), min(last, high))
    if numbers is None:
        raise ValueError(f"a {shape} prior needs objectivePriorParameters: its place and its width.")
    place, width = numbers
    base = dist.Normal(place, width) if shape == "normal" else dist.Laplace(place, width)
    limits: dict[str, Any] = {name: value for name, value in (("low", low), ("high", high)) if np.isfinite(value)}
    return dist.TruncatedDistribution(base, **limits) if limits else base
