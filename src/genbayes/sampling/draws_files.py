"""Draws as folders on disk, and parameters by name: what `Draws` and `StackedDraws` share."""

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np

from ..runtime.files import replaced_folder

if TYPE_CHECKING:
    import xarray as xr
else:
    # Its import, with pandas, takes half a second.
    xr = lazy_loader.load("xarray")


def save_tree(tree: "xr.DataTree", path: str | Path) -> None:
    """Stores a tree as a Zarr folder, in the place of an earlier one.

    Args:
        tree: as `to_datatree` returns it.
        path: of the folder.

    Raises:
        FileExistsError: something else than a Zarr folder is there; it is left alone.
    """
    path = Path(path)
    if path.exists() and not any((path / name).is_file() for name in ("zarr.json", ".zgroup")):
        raise FileExistsError(f"{path} is there already, and is no Zarr folder: remove it, or give another path.")
    with replaced_folder(path) as beside:
        tree.to_zarr(beside, mode="w", consolidated=False)


def open_tree(path: str | Path) -> "xr.DataTree":
    """The tree of a Zarr folder, to be used as a context.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there are no draws at {path}. Draws are written by draws.save(path).")
    return xr.open_datatree(path, engine="zarr", consolidated=False)


def whole_numbers(values: np.ndarray) -> np.ndarray:
    """The draws of an integer parameter as integers, where all are finite: ArviZ then shows bars."""
    return values.astype(np.int64) if np.all(np.isfinite(values)) else values


def stacked_parameters(tree: "xr.DataTree", names: Sequence[str]) -> np.ndarray:
    """All parameters of a tree along a last axis, integers as the floats that they are among the others."""
    columns = [np.asarray(tree["posterior"][name]) for name in names]
    return np.stack([c.astype(np.float32) if c.dtype.kind == "i" else c for c in columns], axis=-1)


def parameter(theta: np.ndarray, names: Sequence[str], name: str) -> np.ndarray:
    """The draws of one parameter by its name: a scalar without its axis, all of a vector-valued one with it.

    Args:
        theta: (..., dim).
        names: of the parameters (dim,).
        name: one of them, or `mu` for all of `mu[0]`, `mu[1]`, ...

    Raises:
        KeyError: there is no such parameter.
    """
    if name in names:
        return theta[..., list(names).index(name)]
    places = [i for i, known in enumerate(names) if re.fullmatch(rf"{re.escape(str(name))}\[\d+\]", known)]
    if not places:
        raise KeyError(f"there is no parameter {name!r}; the parameters are {', '.join(names)}.")
    return theta[..., places]


def data_frame(columns: dict[str, np.ndarray], theta: np.ndarray, names: Sequence[str], cost: np.ndarray) -> Any:
    """A pandas DataFrame with one row a draw: the given columns, then the parameters, then the cost.

    Args:
        columns: what says which draw it is; arrays that broadcast to the shape of the cost.
        theta: (..., dim).
        names: of the parameters.
        cost: (...).

    Raises:
        ImportError: pandas is not installed.
        ValueError: a parameter has the name of another column.
    """
    taken = sorted({*columns, "cost"} & set(names))
    if taken:
        raise ValueError(f"a parameter is called {taken[0]!r}, as a column of the table is: give it another name.")
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError("to_dataframe needs pandas: pip install pandas.") from error
    table = {name: np.broadcast_to(values, cost.shape).reshape(-1) for name, values in columns.items()}
    table |= {name: theta[..., i].reshape(-1) for i, name in enumerate(names)}
    return pandas.DataFrame({**table, "cost": cost.reshape(-1)})
