"""`read_observation`: one function for every kind of file and object."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.damaged_files import damage_told
from . import labelled
from .arrays import of_array, read_numpy
from .cells import checked_missing
from .lines import read_records
from .observation import Observation
from .steps import step_of
from .tables import Selection, read_table

TEXTS = (".csv", ".txt", ".tsv", ".dat")
SHEETS = (".xlsx", ".xls", ".xlsm")
# The options that say something of a kind of file; all others are refused there.
OPTIONS = {
    "text": ("column", "index", "group", "only", "missing", "decimal", "date_format", "regular", "trials"),
    "sheet": ("column", "index", "group", "only", "missing", "decimal", "date_format", "sheet", "regular", "trials"),
    "netcdf": ("column", "index", "group", "only", "missing", "key", "regular"),
    "numpy file": ("missing",),
    "numpy archive": ("missing", "key"),
    "array": ("missing",),
    "frame": ("column", "index", "group", "only", "missing", "date_format", "regular", "trials"),
    "xarray": ("column", "index", "group", "only", "missing", "key", "regular"),
}


def read_observation(
    source: Any,
    *,
    column: str | Sequence[str] | None = None,
    index: str | None = None,
    group: str | None = None,
    only: str | int | None = None,
    missing: str | int | float | Sequence[str | int | float] | None = None,
    decimal: str | None = None,
    date_format: str | None = None,
    sheet: str | None = None,
    key: str | None = None,
    regular: bool = False,
    trials: bool = False,
) -> Observation:
    """Reads measured data: their values, with NaN where one is missing, and what they are called.

    Nothing is renumbered or dropped: what cannot be read for certain is refused with line and remedy.

    Args:
        source: path of a .csv, .tsv, .txt, .dat, .npy, .npz, .nc, .xlsx or .xls file; a pandas Series or DataFrame; an
            xarray DataArray or Dataset; an array, or a (nested) list of numbers.
        column: the columns (or variables) to take, in this order; all but index and group if not given.
        index: the column of times, dates or other places of the rows. If not given, a column of ISO dates that is the
            only one without numbers is taken.
        group: the column that tells apart several observations in one table, such as "patient": the values are a stack,
            with NaN where one of them has no row for a member of the index.
        only: the one group to take, such as "A-17": one observation instead of a stack.
        missing: further texts or numbers for a missing value, such as -9999. Blank, NA, NaN, n/a, null, None and - are
            known.
        decimal: "." or ","; found out if not given, and not doubtful.
        date_format: of dates that are not ISO ones, as for `datetime.strptime`: "%d.%m.%Y".
        sheet: of an Excel workbook.
        key: name of the array in an .npz file, or of the variable in a NetCDF file.
        regular: give NaN for members of a regular index (every day, hour, month, step) that have no row.
        trials: the rows of a group are trials without order and without an index, whose number may differ from group to
            group: the values are a stack of sets (groups, most trials, C), filled up with NaN, for distances of sets.

    Returns:
        `Observation`; `np.asarray` of it is the values, float64.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: a package that reads such files is not installed.
        TypeError: an option of another type.
        ValueError: not numbers, infinite ones, no value at all, an index out of order, or a file of an unknown kind.

    Example:
        >>> observation = gb.read_observation("doses.csv", column="conc", index="hour", group="patient")
        >>> posteriors = gb.GibbsPosteriors(prior, cost, np.asarray(observation), beta=10.0)
    """
    options = {"column": column, "index": index, "group": group, "only": only, "missing": missing, "decimal": decimal}
    options |= {"date_format": date_format, "sheet": sheet, "key": key, "regular": regular or None}
    options |= {"trials": trials or None}
    _check_types(options)
    path = Path(source) if isinstance(source, str | Path) else None
    if path is not None and not path.is_file():
        raise FileNotFoundError(f"there is no file {path}. A relative path starts at the folder of the problem file.")
    kind, name = _kind(source, path)
    for option, value in options.items():
        if value is not None and option not in OPTIONS[kind]:
            fitting = " and ".join(other for other, known in OPTIONS.items() if option in known)
            raise ValueError(f"{option} = {value!r} is no option for {name}; it is for: {fitting}. Leave it out.")
    columns = None if column is None else (column,) if isinstance(column, str) else tuple(column)
    alone = None if only is None else str(only)
    wanted = Selection(columns, index, group, checked_missing(missing), decimal, date_format, alone, trials)
    with nullcontext() if path is None else damage_told(path, "an observation"):
        read = _read(source, path, kind, wanted, sheet, key)
    return _checked(read, wanted, regular)


def options_for(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that say something of a file of this kind."""
    suffix = path.suffix.lower()
    kind = _SUFFIXES.get(suffix, "array")
    return {name: value for name, value in options.items() if name in OPTIONS[kind]}


# What programs write where there is no value, besides the fill values of NetCDF, which are huge.
_PLACEHOLDERS = (99.9, 99.99, 999.0, 999.9, 999.99, 9999.0, 9999.9, 9999.99, 99999.0, 999999.0, 8888.0, 32768.0)
_SUFFIXES = {suffix: "text" for suffix in TEXTS} | {suffix: "sheet" for suffix in SHEETS}
_SUFFIXES |= {".nc": "netcdf", ".npy": "numpy file", ".npz": "numpy archive"}


def _kind(source: Any, path: Path | None) -> tuple[str, str]:
    if path is not None:
        if path.suffix.lower() not in _SUFFIXES:
            known = ", ".join(_SUFFIXES)
            raise ValueError(f"{path.name}: expected a file of one of the kinds {known}.")
        return _SUFFIXES[path.suffix.lower()], path.name
    if labelled.is_labelled(source):
        kind = "frame" if type(source).__module__.split(".")[0] == "pandas" else "xarray"
        return kind, f"a {type(source).__name__}"
    return "array", "plain numbers"


def _read(
    source: Any, path: Path | None, kind: str, wanted: Selection, sheet: str | None, key: str | None
) -> Observation:
    if path is None:
        return of_array(source, "the values") if kind == "array" else labelled.of_object(source, wanted, key)
    if kind == "text":
        return read_table(read_records(path, wanted.decimal), wanted)
    if kind == "sheet":
        return labelled.read_excel(path, wanted, sheet)
    return labelled.read_netcdf(path, wanted, key) if kind == "netcdf" else read_numpy(path, key)


def _check_types(options: dict[str, Any]) -> None:
    if options["only"] is not None and options["group"] is None:
        raise ValueError(f"only = {options['only']!r} is one of several groups: name their column too, by group=.")
    if options["trials"] is not None and options["group"] is None:
        raise ValueError("trials = True is for the sets of several groups: name their column too, by group=.")
    if options["trials"] is not None and options["index"] is not None:
        raise ValueError(
            f"trials = True is for rows without order, and there is index = {options['index']!r}: give one of the two."
        )
    for name in ("index", "group", "decimal", "date_format", "sheet", "key"):
        if options[name] is not None and not isinstance(options[name], str):
            raise TypeError(f"{name} must be a text, got {options[name]!r}.")
    column = options["column"]
    several = [] if column is None else [column] if isinstance(column, str) else list(column)
    if column is not None and (not several or not all(isinstance(one, str) for one in several)):
        raise TypeError(f'column must be a name or a list of names, such as ["hare", "lynx"], got {column!r}.')
    if options["decimal"] not in (None, ".", ","):
        raise ValueError(f'decimal must be "." or ",", got {options["decimal"]!r}.')


def _checked(observation: Observation, wanted: Selection, regular: bool) -> Observation:
    values = observation.values
    for text in wanted.missing:
        try:
            values = np.where(values == float(text), np.nan, values)
        except ValueError:
            continue
    if values.size == 0:
        raise ValueError(f"{observation.source}: the observation is empty.")
    bad = np.argwhere(np.isinf(values))
    if len(bad):
        raise ValueError(
            f"{observation.source}: {len(bad)} of {values.size} values are infinite, the first at index "
            f"{tuple(int(i) for i in bad[0])} (counted from 0, shape {values.shape}). Give finite numbers, or NaN "
            "where there is no value."
        )
    if np.isnan(values).all():
        raise ValueError(f"{observation.source}: all {values.size} values are missing. Give at least one.")
    observation = replace(observation, values=values, notes=(*observation.notes, *_doubtful_numbers(values)))
    return _regular(observation) if regular else observation


def _doubtful_numbers(values: np.ndarray) -> tuple[str, ...]:
    """A note where numbers that often stand for a missing value lie far from all others."""
    seen = np.unique(values[np.isfinite(values)])
    found = []
    for one in seen[np.isin(np.abs(seen), _PLACEHOLDERS) | (np.abs(seen) >= 1e19)]:
        others = seen[seen != one]
        if len(others) and np.min(np.abs(others - one)) > np.ptp(others):
            count = int(np.sum(values == one))
            times = "once" if count == 1 else f"{count} times"
            found.append(f"{one:g} stands there {times}: say missing={one:g} if it means that there is no value")
    return tuple(found)


def _regular(observation: Observation) -> Observation:
    """The observation with NaN at the members of its index for which there is no row."""
    step = None if observation.index is None else step_of(observation.index)
    if step is None:
        text = "has no index" if observation.index is None else "has an index without a common step"
        raise ValueError(f"{observation.source} {text}, so that regular=True does not say where rows are missing.")
    axis = int(observation.groups is not None)
    shape = list(observation.values.shape)
    shape[axis] = len(step.whole)
    values = np.full(shape, np.nan)
    values[(slice(None),) * axis + (step.rows,)] = observation.values
    return replace(observation, values=values, index=step.whole)
