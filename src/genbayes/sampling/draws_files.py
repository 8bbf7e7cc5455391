"""Draws as folders on disk, and parameters by name: what `Draws` and `StackedDraws` share."""

import importlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import lazy_loader
import numpy as np
import zarr

from ..runtime.checksums import (
    CHECKSUM,
    attributes_are_whole,
    checked_codecs,
    checksum_of,
    is_checked,
)
from ..runtime.files import recovered, replaced_folder
from ..runtime.object_storage import need_local

if TYPE_CHECKING:
    import xarray as xr
else:
    # Its import, with pandas, takes half a second.
    xr = lazy_loader.load("xarray")


def save_tree(tree: "xr.DataTree", path: str | Path) -> None:
    """Stores a tree as a Zarr folder, in the place of an earlier one, with a checksum behind every chunk.

    Args:
        tree: as `to_datatree` returns it.
        path: of the folder.

    Raises:
        FileExistsError: something else than a Zarr folder is there; it is left alone.
        ValueError: an address of object storage.
    """
    need_local(path, "path", "Save it to a local path, and copy the folder.")
    path = recovered(Path(path))
    if path.exists() and not any((path / name).is_file() for name in ("zarr.json", ".zgroup")):
        raise FileExistsError(f"{path} is there already, and is no Zarr folder: remove it, or give another path.")
    tree = tree.copy()
    attributes: Any = tree[_POSTERIOR].attrs
    tree[_POSTERIOR].attrs = {**attributes, CHECKSUM: checksum_of(attributes, _checked(attributes))}
    encoding = {
        group.path: {str(name): {"compressors": checked_codecs()} for name in group.to_dataset(inherit=False).variables}
        for group in tree.subtree
    }
    # Also chunks that hold nothing but zeros: one that is missing is then known to be lost.
    with replaced_folder(path) as beside, zarr.config.set({"array.write_empty_chunks": True}):
        tree.to_zarr(beside, mode="w", consolidated=False, encoding=encoding)


Loaded = TypeVar("Loaded")


def load_tree(path: str | Path, read: "Callable[[xr.DataTree], Loaded]") -> Loaded:
    """What a function reads from the tree of a Zarr folder, after a look at its checksums.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it is damaged, `read` refuses it, or an address of object storage is given.
    """
    need_local(path, "path", "Copy the folder here first.")
    path = recovered(Path(path))
    if not path.exists():
        raise FileNotFoundError(f"there are no draws at {path}. Draws are written by draws.save(path).")
    try:
        _check_chunks(path)
        with xr.open_datatree(path, engine="zarr", consolidated=False) as tree:
            attributes: Any = tree[_POSTERIOR].attrs if _POSTERIOR in tree.children else {}
            if not attributes_are_whole(attributes, _checked(attributes)):
                raise _Damaged("its attributes do not match their checksum")
            return read(tree)
    except _Damaged as error:
        raise ValueError(f"{path} is damaged: {error}. Sample again, or bring it back from a copy.") from None
    except WrongTree as error:
        raise WrongTree(f"{path}: {error}") from None
    except PermissionError:
        raise
    except Exception as error:
        first = f"{type(error).__name__}: {str(error).strip()}".split("\n")[0][:150]
        raise ValueError(
            f"{path} cannot be read as draws ({first}): it is damaged, or of another program. Sample again, or bring "
            "it back from a copy."
        ) from None


class WrongTree(ValueError):
    """Raised for a tree that is whole, and not what was asked for."""


class _Damaged(Exception):
    """Raised where a checksum does not match."""


_POSTERIOR = "posterior"


def _checked(attributes: Mapping[str, Any]) -> list[str]:
    """The attributes that the checksum is made of; whoever adds others is free to."""
    names = ("inference_library", "stacked", "sampler", "seed", "beta", "parameters", "condition_names", "conditions")
    names += ("seconds", "messages", "prior_messages", "sampler_messages", "integers")
    return [name for name in names if name in attributes]


def _check_chunks(path: Path) -> None:
    """_Damaged where a chunk with a checksum does not match it, or is not there."""
    for file in sorted(path.rglob("zarr.json")):
        described = json.loads(file.read_bytes())
        if described.get("node_type") != "array":
            continue
        array = zarr.open_array(str(file.parent), mode="r")
        if not is_checked(array):
            continue
        for index in np.ndindex(*(-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True))):
            chunk = file.parent / array.metadata.encode_chunk_key(index)
            if not chunk.is_file():
                raise _Damaged(f"{chunk.relative_to(path)} is missing")
            try:
                array.get_basic_selection(
                    tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, array.chunks, strict=True))
                )
            except (OSError, MemoryError):
                raise
            except Exception:
                raise _Damaged(f"{chunk.relative_to(path)} has a wrong checksum") from None


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
