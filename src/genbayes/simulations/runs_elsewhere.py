"""Runs that were made elsewhere: parameters and outputs from the columns of a table or the variables of NetCDF."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np

from ..observations.cells import INFINITE, NumberStyle, checked_missing, number_style
from ..observations.headers import Head, read_head
from ..observations.lines import Record, Records, read_records
from ..priors.prior import Prior
from ..runtime.damaged_files import check_announced
from ..runtime.named_values import without_mask

if TYPE_CHECKING:
    import xarray as xr
else:
    # Its import, with pandas, takes half a second.
    xr = lazy_loader.load("xarray")

# One name, a range of columns "x1:x70", or several of these.
Columns = str | Sequence[str]


@dataclass(frozen=True)
class RunsElsewhere:
    """What was read.

    Attributes:
        theta: parameters (n, dim).
        x: outputs (n, ...), NaN or infinite where a run failed.
        outputs: names of the columns of x, of a table.
        names: of the parameters.
        conditions: known conditions, name -> (n,) values.
    """

    theta: np.ndarray
    x: np.ndarray
    names: tuple[str, ...]
    conditions: dict[str, np.ndarray]
    outputs: tuple[str, ...] = ()


def asked_for(parameters: Columns | None, prior: Any) -> Columns:
    """The names of the parameters in a file: as given, or those of the `Prior`.

    Raises:
        ValueError: there are neither.
    """
    if parameters is None and isinstance(prior, Prior):
        return prior.names
    if parameters is None or not len(parameters):
        raise ValueError('`parameters` must name the parameters in the file, such as ["growth", "capacity"], got none.')
    return parameters


def plain_array(values: Any, dtype: Any = None) -> np.ndarray:
    """A new array of values; of a torch tensor, those that it has on its device, without their gradients."""
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        values = values.detach().cpu().numpy()
    return np.array(without_mask(values), dtype)


def read_run_table(
    path: str | Path,
    parameters: Columns,
    outputs: Columns | None,
    conditions: Columns,
    missing: Any,
    decimal: str | None,
) -> RunsElsewhere:
    """Runs from a table with one row for each; see `Simulations.from_csv`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is not there or asked for twice, or a cell is no number; with the line and the remedy.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    found = read_records(path, decimal)
    style = number_style(found, decimal, checked_missing(missing))
    head = read_head(found, style, [name for name in _several(parameters) if ":" not in name])
    for row in head.rows:
        if len(row.cells) != len(head.names):
            text = f"{len(row.cells)} cells, and there are {len(head.names)} columns. Give every run a whole row."
            raise found.error(row.number, text)
    taken = {name: _columns(found, head, wanted) for name, wanted in (("p", parameters), ("c", conditions))}
    inputs = taken["p"] + taken["c"]
    places = (
        [j for j in range(len(head.names)) if j not in inputs] if outputs is None else _columns(found, head, outputs)
    )
    if twice := [j for j in inputs + places if (inputs + places).count(j) > 1]:
        raise ValueError(f"{path.name}: column {head.names[twice[0]]!r} is named twice. Name each once.")
    if not places:
        raise ValueError(f"{path.name} has no column of outputs beside {', '.join(head.names)}.")
    values = np.array([[_number(found, head, style, row, j) for j in inputs + places] for row in head.rows])
    if not len(values):
        raise ValueError(f"{path.name} holds no runs below the names of its columns.")
    dim, known = len(taken["p"]), len(inputs)
    for i, k in zip(*np.nonzero(~np.isfinite(values[:, :known])), strict=True):
        text = f"column {head.names[inputs[k]]!r} has no value. A run without its parameters is of no use: remove it."
        raise found.error(head.rows[i].number, text)
    return RunsElsewhere(
        theta=values[:, :dim],
        x=values[:, known:],
        names=tuple(head.names[j] for j in taken["p"]),
        conditions={head.names[j]: values[:, dim + i] for i, j in enumerate(taken["c"])},
        outputs=tuple(head.names[j] for j in places),
    )


def _several(wanted: Columns) -> list[str]:
    return [wanted] if isinstance(wanted, str) else list(wanted)


def _columns(found: Records, head: Head, wanted: Columns) -> list[int]:
    """The places of columns; "x1:x70" is all from one to the other."""
    places: list[int] = []
    for name in _several(wanted):
        first, colon, last = name.partition(":")
        if name in head.names:
            places.append(head.names.index(name))
        elif colon and first in head.names and last in head.names:
            begin, end = head.names.index(first), head.names.index(last)
            if begin > end:
                raise ValueError(f"{found.source}: the range {name!r} ends before it begins. Write '{last}:{first}'.")
            places += range(begin, end + 1)
        else:
            known = ", ".join(map(repr, head.names[:20])) + (", ..." if len(head.names) > 20 else "")
            raise ValueError(f"{found.source} has no column {name!r}. Its columns are {known}.")
    return places


def _number(found: Records, head: Head, style: NumberStyle, row: Record, j: int) -> float:
    cell = row.cells[j]
    if INFINITE.fullmatch(cell):
        return np.inf
    if (value := style.value(cell)) is None:
        text = f"expected a number in column {head.names[j]!r}, got {cell[:60]!r}, which {style.complaint(cell)}"
        raise found.error(row.number, text)
    return value


def read_run_netcdf(
    source: Any, parameters: Columns, output: str, conditions: Columns, dimension: str | None
) -> RunsElsewhere:
    """Runs from a NetCDF file or an xarray.Dataset; see `Simulations.from_netcdf`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or a variable or the dimension of the runs is not there.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}.")
        try:
            with xr.open_dataset(path) as opened:
                check_announced(opened.nbytes, path)
                data = opened.load()
        except MemoryError:
            raise
        except Exception as error:
            reason, remedy = str(error).split(". ")[0], "NetCDF 4 needs h5netcdf or netCDF4: pip install h5netcdf."
            raise ValueError(f"{path.name} cannot be read as NetCDF: {reason}. {remedy}") from error
        return _of_dataset(data, path.name, parameters, output, conditions, dimension)
    if not isinstance(source, xr.Dataset):
        raise TypeError(
            f"`source` must be the path of a NetCDF file or an xarray.Dataset, got {type(source).__name__}."
        )
    return _of_dataset(source, "the Dataset", parameters, output, conditions, dimension)


def _of_dataset(
    data: "xr.Dataset", name: str, parameters: Columns, output: str, conditions: Columns, dimension: str | None
) -> RunsElsewhere:
    wanted = {one: _variable(data, name, one) for one in (*_several(parameters), output, *_several(conditions))}
    along = wanted[_several(parameters)[0]].dims[:1] if dimension is None else (dimension,)
    for one, array in wanted.items():
        if not along or along[0] not in array.dims:
            raise ValueError(
                f"{name}: {one!r} has the dimensions {array.dims}, and the runs are along {along}. Say along which "
                'dimension they are, by dimension="...".'
            )
    names: list[str] = []
    columns: list[np.ndarray] = []
    for one in _several(parameters):
        array = wanted[one].transpose(along[0], ...)
        values = np.asarray(array).reshape(len(array), -1)
        if array.ndim == 1:
            labels = [one]
        elif array.ndim == 2 and array.dims[1] in array.coords:
            # An array of all parameters has their names along its other dimension.
            labels = [str(label) for label in array.coords[array.dims[1]].values]
        else:
            labels = [f"{one}[{i}]" for i in range(values.shape[1])]
        names += labels
        columns.append(values)
    known = {one: np.asarray(wanted[one]) for one in _several(conditions)}
    return RunsElsewhere(
        np.concatenate(columns, axis=1), np.asarray(wanted[output].transpose(along[0], ...)), tuple(names), known
    )


def _variable(data: "xr.Dataset", name: str, wanted: str) -> "xr.DataArray":
    if wanted not in data.variables:
        raise ValueError(f"{name} has no variable {wanted!r}. It has {', '.join(map(str, data.variables))}.")
    return data[wanted]
