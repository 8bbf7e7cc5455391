"""The Zarr store of simulations: one group with the arrays theta, conditions, x and status, readable with xarray."""

import shutil
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.errors

from ..runtime.named_values import Names
from .status import INITIAL_REASONS

FORMAT = "genbayes-simulations"
# 2: with known conditions; 3: with rows that are no draws of the prior; 4: some of which share random numbers. A store
# without is written as an earlier version, which earlier releases read.
FORMAT_VERSION = 4
PENDING = 1
_CHUNK_BYTES = 2**20
_REMEDY = "Give another path to `store`, or the arguments that the store was made with"


# Outputs in another precision while they are written, and the old ones until these have their place.
_NEW, _OLD = "x_new", "x_old"

# By which it is known whether two stores hold runs of one set: the same rows would come out of both.
_SAME_RUNS = ("prior", "seed", "simulator", "names", "condition_names", "conditions_prior")

# What rows are numbered by, and the arrays that older stores have for it.
ARRAY_NAMES = {"round": "origin", "noise_block": "block"}


def make_header(names: Sequence[str], seed: int, prior: list[dict], simulator: str) -> dict[str, Any]:
    """Return the attributes that every store carries."""
    try:
        release = metadata.version("genbayes")
    except metadata.PackageNotFoundError:
        release = "unknown"
    header = {"names": list(names), "seed": seed, "prior": prior, "simulator": simulator}
    return {**header, "reasons": list(INITIAL_REASONS), "genbayes_version": release}


def different_runs(first: dict[str, Any], second: dict[str, Any], *further: str) -> tuple[str, Any, Any] | None:
    """In what two headers differ that makes their rows other runs, with both values; None where they agree.

    Args:
        first: attributes of a store, or a header.
        second: the same of another.
        further: keys that have to be equal too.
    """
    for key in (*_SAME_RUNS, *further):
        if first.get(key) != second.get(key):
            return key, first.get(key), second.get(key)
    return None


class SimulationStore:
    """An open store. Rows count as done once their status is written, which happens after their data.

    The array `origin` says where a row's parameter comes from: 0 the prior, k the k-th round of refinement. A store
    without it holds draws of the prior only. The array `block` says which rows of a round were run with the same
    random numbers: those of one positive number. Opened for one round, the store looks as if there were no other rows.
    """

    def __init__(self, group: zarr.Group, path: str | Path, round: int | None = None):
        self._group = group
        self.path = str(path)
        self._round = round

    def __repr__(self) -> str:
        return f"SimulationStore({self.path!r}, {len(self)} rows)"

    @classmethod
    def open(cls, path: str | Path, *, writable: bool = False, round: int | None = None) -> "SimulationStore":
        """Open an existing store, for all rows or for those of one round.

        Raises:
            FileNotFoundError: nothing at `path`.
            ValueError: not a store of simulations, or one of a newer format.
        """
        if not Path(path).exists():
            raise FileNotFoundError(f"`path`: there is nothing at {path}. Make a store with simulate(..., store=path).")
        try:
            group = zarr.open_group(str(path), mode="r+" if writable else "r", use_consolidated=False)
        except (zarr.errors.GroupNotFoundError, zarr.errors.ContainsArrayError, OSError):
            raise ValueError(
                f"`path`: {path} is not a Zarr group, so not a store of simulations. Check the path."
            ) from None
        _finish_conversion(Path(path))
        if group.attrs.get("format") != FORMAT:
            raise ValueError(
                f"`path`: the Zarr group {path} was not written by genbayes (its attribute `format` is "
                f"{group.attrs.get('format')!r}, expected {FORMAT!r}). Load its arrays and use Simulations.from_arrays."
            )
        version = group.attrs.get("format_version")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise ValueError(
                f"`path`: {path} has format_version {version!r}; this genbayes reads up to {FORMAT_VERSION}. "
                f"Upgrade genbayes."
            )
        return cls(group, path, round)

    @classmethod
    def create(cls, path: str | Path, header: dict[str, Any], inputs: np.ndarray) -> "SimulationStore":
        """Make a store with the given attributes, parameters and conditions (n, dim + c); all rows are pending.

        Raises:
            FileExistsError: something else is at `path`.
        """
        if Path(path).exists() and (not Path(path).is_dir() or any(Path(path).iterdir())):
            raise FileExistsError(f"`store`: {path} exists already. Give another path, or remove it.")
        group = zarr.open_group(str(path), mode="w-" if not Path(path).exists() else "w", zarr_format=3)
        store = cls(group, path)
        dim, conditions = len(header["names"]), len(header.get("condition_names", ()))
        store._create("theta", (0, dim), np.float32, np.nan, ("simulation", "parameter"))
        if conditions:
            store._create("conditions", (0, conditions), np.float32, np.nan, ("simulation", "condition"))
        store._create("status", (0,), np.int32, PENDING, ("simulation",))
        # The format last: a store whose creation was interrupted is not taken for a whole one.
        store.append(inputs)
        version = 2 if conditions else 1
        group.attrs.update({**header, "seconds": 0.0, "format": FORMAT, "format_version": version})
        store._consolidate()
        return store

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the group."""
        return dict(self._group.attrs)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def round(self) -> np.ndarray:
        """The round of every row of the whole store; 0 are draws of the prior."""
        return self._numbers("origin")

    def _numbers(self, name: str) -> np.ndarray:
        """The array `origin` or `block` of every row of the whole store."""
        length = self._array("status").shape[0]
        # Rows whose creation was interrupted have a round and no status.
        return np.asarray(self._array(name)[:length]) if name in self._group else np.zeros(length, np.int32)

    @property
    def _rows(self) -> np.ndarray:
        rounds = self.round
        return np.arange(len(rounds)) if self._round is None else np.flatnonzero(rounds == self._round)

    @property
    def x_shape(self) -> tuple[int, ...] | None:
        """Shape of one output, None before the first success."""
        return tuple(self._array("x").shape[1:]) if "x" in self._group else None

    @property
    def x_dtype(self) -> np.dtype | None:
        """Precision of the outputs, None before the first success."""
        return np.dtype(self._array("x").dtype) if "x" in self._group else None

    def check_header(self, header: dict[str, Any]) -> None:
        """Check that the store was made with the same prior, seed and simulator.

        Raises:
            ValueError: naming what differs, with both values.
        """
        difference = different_runs(self.attributes, header, "shard")
        if difference is not None:
            key, stored, given = difference
            raise ValueError(
                f"`store`: {self.path} was made with {key} {stored!r}, this call has {key} {given!r}. {_REMEDY}."
            )

    def append(self, inputs: np.ndarray, noise_block: np.ndarray | None = None) -> None:
        """Add parameters and conditions (m, dim + c) as pending rows.

        Those of one positive `noise_block` share their random numbers.
        """
        start = self._array("status").shape[0]
        length = start + len(inputs)
        dim = self._array("theta").shape[1]
        numbers = {"origin": self._round or 0, "block": 0 if noise_block is None else noise_block}
        for version, (name, values) in enumerate(numbers.items(), start=3):
            if np.any(values) and name not in self._group:
                self._create(name, (start,), np.int32, 0, ("simulation",))
                self._group.attrs["format_version"] = version
            if name in self._group:
                self._array(name).resize((length,))
                self._array(name)[start:] = values
        for name, values in (("theta", inputs[:, :dim]), ("conditions", inputs[:, dim:])):
            if values.shape[1]:
                self._array(name).resize((length, values.shape[1]))
                self._array(name)[start:] = values
        if "x" in self._group:
            self._array("x").resize((length, *(self.x_shape or ())))
        self._array("status").resize((length,))
        self._consolidate()

    def create_outputs(self, output_shape: Sequence[int], dtype: Any = np.float32, names: Names | None = None) -> None:
        """Make the array of outputs once the shape of one output is known; a scalar output is stored as (1,)."""
        x_shape = tuple(output_shape) or (1,)
        dimensions = ("simulation", *(f"x_dim_{i}" for i in range(len(x_shape))))
        length = self._array("status").shape[0]
        self._create("x", (length, *x_shape), dtype, np.nan, dimensions)
        self._group.attrs["output_shape"] = list(output_shape)
        if names is not None:
            self._group.attrs["outputs"] = names.stored
        self._consolidate()

    def convert(self, x: np.ndarray, dtype: Any) -> None:
        """Keep outputs in another precision from now on.

        The array is written beside the old one and takes its place at the end: an interruption loses nothing.

        Args:
            x: outputs of all rows in view, (n, *x_shape), NaN where there are none yet.
            dtype: float32 or float64.
        """
        old = self._array("x")
        shutil.rmtree(Path(self.path) / _NEW, ignore_errors=True)
        self._create(_NEW, old.shape, dtype, np.nan, ("simulation", *(f"x_dim_{i}" for i in range(old.ndim - 1))))
        new, rows = self._array(_NEW), self._rows[: len(x)]
        mine = np.full(old.shape[0], -1)
        mine[rows] = np.arange(len(rows))
        for start in range(0, old.shape[0], old.chunks[0]):
            part = np.asarray(old[start : start + old.chunks[0]], np.float64)
            known = mine[start : start + len(part)]
            part[known >= 0] = x[known[known >= 0]]
            new[start : start + len(part)] = part.astype(dtype)
        (Path(self.path) / "x").rename(Path(self.path) / _OLD)
        (Path(self.path) / _NEW).rename(Path(self.path) / "x")
        shutil.rmtree(Path(self.path) / _OLD)
        self._consolidate()

    def write(self, rows: np.ndarray, x: np.ndarray | None, status: np.ndarray, reasons: Sequence[str]) -> None:
        """Write outputs (m, *x_shape) of sorted rows (m,), then the reasons, then the rows' status."""
        rows = self._rows[rows]
        if x is not None:
            with np.errstate(over="ignore"):
                x = x.astype(self.x_dtype)
            self._array("x").set_orthogonal_selection((rows, *(slice(None) for _ in x.shape[1:])), x)
        if list(reasons) != self._group.attrs.get("reasons"):
            self._group.attrs["reasons"] = list(reasons)
            self._consolidate()
        self._array("status").set_orthogonal_selection((rows,), status)

    def note_deterministic(self, value: bool) -> None:
        """Note whether runs of one parameter are all the same."""
        if self.attributes.get("deterministic") != value:
            self.set_attributes(deterministic=value)

    def set_attributes(self, **values: Any) -> None:
        """Set attributes of the group."""
        self._group.attrs.update(values)
        self._consolidate()

    def add_seconds(self, seconds: float) -> None:
        """Add to the seconds spent on simulating."""
        self.set_attributes(seconds=self.attributes["seconds"] + seconds)

    def read(self, n: int | None = None, *, chosen: np.ndarray | None = None) -> dict[str, Any]:
        """Return inputs (theta, conditions), x and status of the first n rows (all if None), and the attributes.

        Args:
            n: number of rows.
            chosen: numbers of rows in ascending order (m,), in place of `n`.
        """
        rows = self._rows[:n] if chosen is None else self._rows[chosen]

        def values(name: str) -> np.ndarray:
            return np.asarray(self._array(name).get_orthogonal_selection((rows,)))

        inputs = self.inputs(n, chosen=chosen)
        x = values("x") if "x" in self._group else np.zeros((len(inputs), 0), np.float32)
        read = {"inputs": inputs, "x": x, "status": values("status")}
        return {**read, **{name: self._numbers(array)[rows] for name, array in ARRAY_NAMES.items()}, **self.attributes}

    def inputs(self, n: int | None = None, *, chosen: np.ndarray | None = None) -> np.ndarray:
        """Return the inputs alone, (m, dim + c); see `read`."""
        rows = self._rows[:n] if chosen is None else self._rows[chosen]
        names = [name for name in ("theta", "conditions") if name in self._group]
        return np.concatenate([self._array(name).get_orthogonal_selection((rows,)) for name in names], axis=1)

    def _array(self, name: str) -> zarr.Array:
        array = self._group[name]
        if not isinstance(array, zarr.Array):
            raise TypeError(f"`path`: {self.path}/{name} is not a Zarr array; the store is damaged.")
        return array

    def _create(self, name: str, shape: tuple[int, ...], dtype: Any, fill: Any, dimensions: tuple[str, ...]) -> None:
        row_bytes = max(1, int(np.prod(shape[1:], dtype=int)) * np.dtype(dtype).itemsize)
        rows = min(4096, max(1, _CHUNK_BYTES // row_bytes))
        self._group.create_array(
            name, shape=shape, chunks=(rows, *shape[1:]), dtype=dtype, fill_value=fill, dimension_names=dimensions
        )

    def _consolidate(self) -> None:
        # xarray warns about a store without consolidated metadata, zarr about one with it; readers matter more.
        # Repeated after every change, because xarray would trust outdated shapes.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(self._group.store, path=self._group.path)


def _finish_conversion(path: Path) -> None:
    """Puts converted outputs in their place, where a run was interrupted just before it did."""
    if (path / _NEW).is_dir() and not (path / "x").exists():
        (path / _NEW).rename(path / "x")
    if (path / "x").exists():
        shutil.rmtree(path / _OLD, ignore_errors=True)
