"""Observations from objects and files that bear their labels: pandas, xarray, NetCDF and Excel."""

import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.damaged_files import check_announced, check_unpacked
from .indices import check_order, reduced
from .lines import Record, Records
from .observation import Observation
from .tables import Selection, read_table


def is_labelled(source: Any) -> bool:
    """Whether this is an object of pandas or xarray; neither is imported for the question."""
    return any(
        isinstance(source, tuple(getattr(sys.modules[module], name) for name in names))
        for module, names in (("pandas", ("Series", "DataFrame")), ("xarray", ("DataArray", "Dataset")))
        if module in sys.modules
    )


def of_object(source: Any, wanted: Selection, key: str | None) -> Observation:
    """The observation in a pandas Series or DataFrame, or an xarray DataArray or Dataset, with names and index."""
    if type(source).__module__.split(".")[0] == "pandas":
        return of_frame(source, wanted)
    return of_xarray(source, wanted, key, type(source).__name__)


def of_frame(frame: Any, wanted: Selection) -> Observation:
    """A Series or DataFrame: its index is the index, unless it only counts the rows."""
    source = type(frame).__name__
    if hasattr(frame, "to_frame"):
        frame = frame.to_frame("value" if frame.name is None else str(frame.name))
    if type(frame.index).__name__ != "RangeIndex":
        several = frame.index.nlevels > 1
        single = frame.index.name is None and wanted.index is None and not several
        if single and "index" not in map(str, frame.columns):
            frame = frame.rename_axis("index")
        name = None if several or frame.index.name is None else str(frame.index.name)
        frame = frame.reset_index()
        wanted = (
            wanted if wanted.index is not None or name is None or name == wanted.group else replace(wanted, index=name)
        )
    header = Record(0, tuple(map(str, frame.columns)))
    columns = [frame.iloc[:, j].astype(object).tolist() for j in range(frame.shape[1])]
    rows = [Record(i + 1, tuple(map(cell_text, row))) for i, row in enumerate(zip(*columns, strict=True))]
    if not rows or not columns:
        raise ValueError(f"the {source} is empty.")
    # Numbers have their own type here, so that no text can be one by another decimal mark.
    return read_table(Records(source, (header, *rows), line="row", header=True), replace(wanted, decimal="."))


def read_excel(path: Path, wanted: Selection, sheet: str | None) -> Observation:
    """A sheet of an Excel workbook, through pandas.

    Raises:
        ImportError: pandas, or what it needs for such a file, is not installed.
        ValueError: several sheets hold something and none is named, or there is none of that name.
    """
    try:
        import pandas as pd

        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                check_unpacked(archive)
        sheets = pd.read_excel(path, sheet_name=None, header=None, dtype=object, keep_default_na=False)
    except ImportError as error:
        package = "xlrd" if path.suffix.lower() == ".xls" else "openpyxl"
        raise ImportError(
            f"{path.name}: to read Excel files install pandas and {package} (pip install pandas {package}), or save "
            f"the sheet as CSV. ({error})"
        ) from error
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{path.name} cannot be read as an Excel file: {error}") from error
    filled = {str(name): table for name, table in sheets.items() if table.size}
    if sheet is None and len(filled) == 1:
        sheet = next(iter(filled))
    if sheet not in filled:
        text = f"has no sheet {sheet!r} with cells" if sheet else "has several sheets" if filled else "has no cells"
        raise ValueError(f'{path.name} {text}: say which by sheet="..." ({", ".join(filled)}).')
    rows = [Record(i, tuple(map(cell_text, row))) for i, row in enumerate(filled[sheet].to_numpy(), start=1)]
    rows = [Record(row.number, () if row.blank else row.cells) for row in rows]
    while rows and rows[-1].blank:
        rows.pop()
    if not rows:
        raise ValueError(f"{path.name}: the sheet {sheet!r} holds no cells.")
    return read_table(Records(f"{path.name} [{sheet}]", tuple(rows), line="row"), wanted)


def read_netcdf(path: Path, wanted: Selection, key: str | None) -> Observation:
    """A variable of a NetCDF file, through xarray."""
    try:
        try:
            return _of_netcdf(path, wanted, key, decode_times=True)
        except ValueError as error:
            if "decode time" not in str(error):
                raise
            # Months since a date and the calendars of climate models are no datetime64, but numbers in order.
            return _of_netcdf(path, wanted, key, decode_times=False)
    except (ImportError, ValueError, OSError) as error:
        if isinstance(error, ValueError) and str(error).startswith(path.name):
            raise
        reason = str(error).split(". ")[0]
        remedy = "NetCDF 4 needs h5netcdf or netCDF4: pip install h5netcdf."
        raise ValueError(f"{path.name} cannot be read as NetCDF: {reason}. {remedy}") from error


def _of_netcdf(path: Path, wanted: Selection, key: str | None, *, decode_times: bool) -> Observation:
    import xarray as xr

    # Durations stay numbers in their units.
    with xr.open_dataset(path, decode_times=decode_times, decode_timedelta=False) as opened:
        check_announced(opened.nbytes, path)
        found = of_xarray(opened.load(), wanted, key, path.name)
        along = opened.coords.get(found.index_name) if found.index is not None else None
        unit = "" if along is None or decode_times else str(along.attrs.get("units", ""))
    return replace(found, notes=(*found.notes, f"{found.index_name} in {unit}")) if unit else found


def of_xarray(data: Any, wanted: Selection, key: str | None, source: str) -> Observation:
    """A DataArray, or variables of a Dataset; its dimensions keep their order, but that of the group comes first.

    Raises:
        ValueError: several variables and none is named, no numbers, or an index that is not in order.
    """
    if hasattr(data, "data_vars"):
        data = _variable(data, wanted, key, source)
    dims = [str(dim) for dim in data.dims]
    if wanted.group is not None:
        if wanted.group not in dims:
            raise ValueError(f"{source} has no dimension {wanted.group!r} for the groups. It has {', '.join(dims)}.")
        data = data.transpose(wanted.group, ...)
        dims = [str(dim) for dim in data.dims]
    values = np.asarray(data.values)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{source} must hold numbers, got an array of dtype {values.dtype}.")
    groups = None
    if wanted.group is not None:
        labels = data.coords[wanted.group].values if wanted.group in data.coords else range(values.shape[0])
        groups, dims = tuple(cell_text(label) for label in labels), dims[1:]
    if groups is not None and wanted.only is not None:
        if wanted.only not in groups:
            raise ValueError(f"{source}: no {wanted.group!r} is {wanted.only!r}; there are {', '.join(groups[:8])}.")
        values, groups = values[groups.index(wanted.only)], None
        data = data.isel({wanted.group: 0})
    group_name = wanted.group if groups is not None and wanted.group is not None else ""
    observation = Observation(values.astype(np.float64), groups=groups, group_name=group_name, source=source)
    along = wanted.index or next(iter(dims), None)
    index = None if along is None or along not in data.coords else np.asarray(data.coords[along].values)
    if wanted.index is not None and (index is None or data.coords[along].dims != (dims[0],)):
        known = ", ".join(str(name) for name in data.coords)
        raise ValueError(f"{source} has no coordinate {wanted.index!r} along {dims[:1]}. Its coordinates are {known}.")
    if index is not None and index.ndim == 1:
        observation = replace(observation, index=_index(index, str(along), source), index_name=str(along))
    return replace(observation, **_names(data, dims))


def _names(data: Any, dims: Sequence[str]) -> dict[str, Any]:
    """Names of the channels, if the second dimension has labels, or that of the variable."""
    unit = str(data.attrs.get("units", ""))
    if len(dims) == 2 and dims[1] in data.coords:
        names = tuple(cell_text(label) for label in data.coords[dims[1]].values)
        return {"names": names, "units": data.attrs.get("units of columns", (unit,) * len(names))}
    return {"names": (str(data.name),), "units": (unit,)} if data.name is not None and len(dims) <= 1 else {}


def _variable(data: Any, wanted: Selection, key: str | None, source: str) -> Any:
    names = wanted.column or (() if key is None else (key,))
    known = [str(name) for name, variable in data.data_vars.items() if variable.dtype.kind in "iuf"]
    if not names and len(known) == 1:
        names = (known[0],)
    if not names or any(name not in data.data_vars for name in names):
        absent = next((name for name in names if name not in data.data_vars), "")
        text = f"has no variable {absent!r}" if absent else "has several variables" if known else "has no numbers"
        raise ValueError(f'{source} {text}: say which by column="..." ({", ".join(known)}).')
    if len(names) == 1:
        return data[names[0]]
    if len({data[name].dims for name in names}) > 1:
        raise ValueError(f"{source}: the variables {', '.join(names)} have different dimensions. Read one at a time.")
    stacked = data[list(names)].to_dataarray("column").transpose(..., "column")
    stacked.attrs = {"units of columns": tuple(str(data[name].attrs.get("units", "")) for name in names)}
    return stacked


def _index(index: np.ndarray, name: str, source: str) -> np.ndarray:
    if index.dtype.kind == "M":
        index = reduced(index)
    elif index.dtype.kind in "iuf":
        index = index.astype(np.float64)
    elif index.dtype.kind in "OUST" and all(isinstance(value, str) for value in index.tolist()):
        index = index.astype(np.str_)
    else:
        kind = type(index.flat[0]).__name__ if index.size else index.dtype
        raise ValueError(f"{source}: the index {name!r} holds {kind}, expected numbers, datetime64 or texts.")
    if index.dtype.kind in "fM" and (np.isnan(index) if index.dtype.kind == "f" else np.isnat(index)).any():
        raise ValueError(f"{source}: the index {name!r} has missing members. Every row needs one.")
    check_order(Records(source, (), line="row"), name, index, [str(value) for value in index], range(1, len(index) + 1))
    return index


def cell_text(value: Any) -> str:
    """A cell of a sheet or a frame as it would stand in a text file."""
    # A comparison with pandas' NA is NA, and has no truth value.
    if value is None or type(value).__name__ in ("NAType", "NaTType") or value != value:
        return ""
    if hasattr(value, "isoformat"):
        return value.isoformat().removesuffix("T00:00:00")
    if isinstance(value, float | np.floating):
        return repr(float(value))
    return str(value).strip()
