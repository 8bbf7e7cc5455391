"""The Zarr store of simulations: one group with the arrays theta, conditions, x and status, readable with xarray."""

import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..priors.wording import changes_told
from ..runtime.named_values import Names
from .damage import Damage, chunk_file, impossible_rows, not_finite, read_rows, succeeded_without_output
from .row_places import place_of
from .status import INITIAL_REASONS
from .zarr_folder import NEW, ZarrFolder

FORMAT = "genbayes-simulations"
# 2: with known conditions; 3: with rows that are no draws of the prior; 4: some of which share random numbers; 5: of
# sets of unequal size. A store without is written as an earlier version, which earlier releases read.
FORMAT_VERSION = 5
PENDING = 1
_REMEDY = "Give another path to `store`, or the arguments that the store was made with"

# By which it is known whether two stores hold runs of one set: the same rows would come out of both.
_SAME_RUNS = ("prior", "seed", "simulator", "names", "condition_names", "conditions_prior", "unequal_sets")

# Attributes that the checksum of a store is made of; the format has a check of its own, and others may add theirs.
_CHECKED = (
    "names", "seed", "prior", "simulator", "reasons", "seconds", "condition_names", "conditions_prior", "output_shape",
    "outputs", "deterministic", "shard", "shard_seconds", "unequal_sets",
)  # fmt: skip

# What rows are numbered by, and the arrays that older stores have for it.
ARRAY_NAMES = {"round": "origin", "noise_block": "block"}
_VERSION_WITH = {"origin": 3, "block": 4}
# What every run took. No answer depends on it: a store may be without, and what cannot be read of it is not known.
_SECONDS = "run_seconds"


def unknown_seconds(n: int) -> np.ndarray:
    """What n runs took, where nobody knows it (n,)."""
    return np.full(n, np.nan, np.float32)


def make_header(
    names: Sequence[str], seed: int, prior: list[dict], simulator: str, *, unequal_sets: bool = False
) -> dict[str, Any]:
    """Return the attributes that every store carries, and that of sets of unequal size."""
    try:
        release = metadata.version("genbayes")
    except metadata.PackageNotFoundError:
        release = "unknown"
    header = {"names": list(names), "seed": seed, "prior": prior, "simulator": simulator}
    if unequal_sets:
        header["unequal_sets"] = True
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
    random numbers: those of one positive number. The array `run_seconds` says what each run took; it is made once that
    of one is known, and may be shorter than the others. Opened for one round, the store looks as if there were no other
    rows.
    """

    def __init__(self, folder: ZarrFolder, path: str | Path, round: int | None = None):
        self._folder = folder
        self.path = str(path)
        self._round = round
        self._known_rows: tuple[int, np.ndarray] | None = None
        self._known_numbers: dict[str, np.ndarray] = {}
        # Whether it has just been made, so that there is nothing in it to be read.
        self.is_new = False

    def __repr__(self) -> str:
        return f"SimulationStore({self.path!r}, {len(self)} rows)"

    @classmethod
    def open(cls, path: str | Path, *, writable: bool = False, round: int | None = None) -> "SimulationStore":
        """Open an existing store, for all rows or for those of one round.

        Raises:
            FileNotFoundError: nothing at `path`.
            ValueError: not a store of simulations, or one of a newer format.
        """
        folder = ZarrFolder.open(path, _CHECKED, writable=writable)
        attributes = folder.attributes
        if attributes.get("format") != FORMAT:
            raise ValueError(
                f"`path`: the Zarr group {path} was not written by genbayes (its attribute `format` is "
                f"{attributes.get('format')!r}, expected {FORMAT!r}). Load its arrays and use Simulations.from_arrays."
            )
        version = attributes.get("format_version")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise ValueError(
                f"`path`: {path} has format_version {version!r}; this genbayes reads up to {FORMAT_VERSION}. "
                f"Upgrade genbayes."
            )
        folder.check_attributes()
        folder.check_lengths()
        if writable:
            folder.tidy()
        return cls(folder, path, round)

    @classmethod
    def create(cls, path: str | Path, header: dict[str, Any], inputs: np.ndarray) -> "SimulationStore":
        """Make a store with the given attributes, parameters and conditions (n, dim + c); all rows are pending.

        Args:
            path: where nothing is; a place beside the store's, which it is moved to as a whole.
            header: attributes.
            inputs: parameters and conditions.
        """
        folder = ZarrFolder.create(path, _CHECKED, rows=len(inputs))
        store = cls(folder, path)
        dim, conditions = len(header["names"]), len(header.get("condition_names", ()))
        folder.make_array("theta", (0, dim), np.float32, np.nan, ("simulation", "parameter"))
        if conditions:
            folder.make_array("conditions", (0, conditions), np.float32, np.nan, ("simulation", "condition"))
        folder.make_array("status", (0,), np.int32, PENDING, ("simulation",))
        if header.get("unequal_sets"):
            # A store of this version has all that the versions before it have.
            for name in _VERSION_WITH:
                folder.make_filled(name, np.zeros(0))
        # The format last: a store whose creation was interrupted is not taken for a whole one.
        store.append(inputs)
        version = 5 if header.get("unequal_sets") else 2 if conditions else 1
        store.set_attributes(**header, seconds=0.0, format=FORMAT, format_version=version)
        return store

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the group."""
        return self._folder.attributes

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def round(self) -> np.ndarray:
        """The round of every row of the whole store; 0 are draws of the prior."""
        return self._numbers("origin")

    def _numbers(self, name: str) -> np.ndarray:
        """The array `origin` or `block` of every row of the whole store.

        Raises:
            ValueError: it is damaged: no other array tells what it said.
        """
        # Rows whose creation was interrupted have a round and no status.
        length = self._folder.array("status").shape[0]
        if not self._folder.has(name) and self.attributes["format_version"] < _VERSION_WITH[name]:
            return np.broadcast_to(np.int32(0), (length,))
        # Asked for by every block that is read; rows are only ever added, by this object.
        if len(self._known_numbers.get(name, ())) == length > 0:
            return self._known_numbers[name]
        values, damages = read_rows(self._folder.array(name), Path(self.path), np.arange(length), whole=True)
        if damages:
            raise ValueError(
                f"`path`: {self.path} is damaged: {damages[0]}, which says which rows are draws of the prior and which "
                "are of a refinement. Bring the file back from a copy, or simulate into another store."
            )
        self._known_numbers[name] = values
        return values

    @property
    def _rows(self) -> np.ndarray:
        # Asked for by every write; rows are only ever added, by this object.
        length = self._folder.array("status").shape[0]
        if self._known_rows is None or self._known_rows[0] != length:
            rounds = self.round if self._round is not None else None
            rows = np.arange(length) if rounds is None else np.flatnonzero(rounds == self._round)
            self._known_rows = (length, rows)
        return self._known_rows[1]

    @property
    def x_shape(self) -> tuple[int, ...] | None:
        """Shape of one output, None before the first success."""
        return tuple(self._folder.array("x").shape[1:]) if self._folder.has("x") else None

    @property
    def x_dtype(self) -> np.dtype | None:
        """Precision of the outputs, None before the first success."""
        return np.dtype(self._folder.array("x").dtype) if self._folder.has("x") else None

    def check_header(self, header: dict[str, Any]) -> None:
        """Check that the store was made with the same prior, seed and simulator.

        Raises:
            ValueError: naming what differs, with both values.
        """
        difference = different_runs(self.attributes, header, "shard")
        if difference is not None:
            key, stored, given = difference
            if key in ("prior", "conditions_prior"):
                what = "prior" if key == "prior" else "distribution of the conditions"
                error = ValueError(
                    f"`store`: {self.path} was made with another {what} than that of this call. {_REMEDY}."
                )
                error.add_note(changes_told(stored or [], given or []))
                raise error
            raise ValueError(
                f"`store`: {self.path} was made with {key} {stored!r}, this call has {key} {given!r}. {_REMEDY}."
            )

    def append(self, inputs: np.ndarray, noise_block: np.ndarray | None = None) -> None:
        """Add parameters and conditions (m, dim + c) as pending rows; those of one positive block share their noise."""
        start = self._folder.array("status").shape[0]
        length = start + len(inputs)
        dim = self._folder.array("theta").shape[1]
        numbers = {"origin": self._round or 0, "block": 0 if noise_block is None else noise_block}
        for name, values in numbers.items():
            if self._folder.has(name):
                self._folder.array(name).resize((length,))
                self._folder.array(name)[start:] = values
            elif np.any(values):
                self._folder.make_filled(name, np.concatenate([np.zeros(start), np.broadcast_to(values, len(inputs))]))
            if self._folder.has(name) and self.attributes.get("format_version", 1) < _VERSION_WITH[name]:
                self.set_attributes(format_version=_VERSION_WITH[name])
        for name, values in (("theta", inputs[:, :dim]), ("conditions", inputs[:, dim:])):
            if values.shape[1]:
                self._folder.array(name).resize((length, values.shape[1]))
                self._folder.array(name)[start:] = values
        if self._folder.has("x"):
            self._folder.array("x").resize((length, *(self.x_shape or ())))
        self._folder.array("status").resize((length,))
        # Every chunk is written, also of what has the fill value, so that one that is missing is known to be lost.
        self._folder.array("status")[start:] = PENDING
        self._folder.consolidate()

    def create_outputs(self, output_shape: Sequence[int], dtype: Any = np.float32, names: Names | None = None) -> None:
        """Make the array of outputs once the shape of one output is known; a scalar output is stored as (1,)."""
        x_shape = tuple(output_shape) or (1,)
        dimensions = ("simulation", *(f"x_dim_{i}" for i in range(len(x_shape))))
        length = self._folder.array("status").shape[0]
        # The attributes first: an array without them would be taken for outputs without names.
        self.set_attributes(output_shape=list(output_shape), **({} if names is None else {"outputs": names.stored}))
        self._folder.make_array("x", (length, *x_shape), dtype, np.nan, dimensions)
        self._folder.consolidate()

    def convert(self, x: np.ndarray, dtype: Any) -> None:
        """Keep outputs in another precision from now on.

        The array is written beside the old one and takes its place at the end: an interruption loses nothing.

        Args:
            x: outputs of all rows in view, (n, *x_shape), NaN where there are none yet.
            dtype: float32 or float64.
        """
        old = self._folder.array("x")
        self._folder.make_array(
            NEW, old.shape, dtype, np.nan, ("simulation", *(f"x_dim_{i}" for i in range(old.ndim - 1)))
        )
        new, rows = self._folder.array(NEW), self._rows[: len(x)]
        mine = np.full(old.shape[0], -1)
        mine[rows] = np.arange(len(rows))
        for start in range(0, old.shape[0], old.chunks[0]):
            # What cannot be read is of rows out of view, and they are found to be lost when they are looked at.
            every = np.arange(start, min(start + old.chunks[0], old.shape[0]))
            part = read_rows(old, Path(self.path), every, whole=False)[0].astype(np.float64)
            known = mine[start : start + len(part)]
            part[known >= 0] = x[known[known >= 0]]
            new[start : start + len(part)] = part.astype(dtype)
        self._folder.take_converted()

    def write(
        self,
        rows: np.ndarray,
        x: np.ndarray | None,
        status: np.ndarray,
        reasons: Sequence[str],
        run_seconds: np.ndarray | None = None,
    ) -> None:
        """Write outputs (m, *x_shape) of sorted rows (m,) and what they took, then the reasons, then their status."""
        rows = self._rows[rows]
        # Whole chunks are written as they are; by single rows, zarr would look for each.
        where = place_of(rows)
        if x is not None:
            with np.errstate(over="ignore"):
                x = x.astype(self.x_dtype, copy=False)
            self._folder.array("x").set_orthogonal_selection((where, *(slice(None) for _ in x.shape[1:])), x)
        self._write_seconds(rows, run_seconds)
        if list(reasons) != self.attributes.get("reasons"):
            self.set_attributes(reasons=list(reasons))
        self._folder.array("status").set_orthogonal_selection((where,), status)

    def _write_seconds(self, rows: np.ndarray, run_seconds: np.ndarray | None) -> None:
        """Write what runs took; there is no array for it before that of one is known."""
        if run_seconds is None or np.isnan(run_seconds).all():
            return
        length = self._folder.array("status").shape[0]
        if not self._folder.has(_SECONDS):
            self._folder.make_filled(_SECONDS, unknown_seconds(length), np.float32, np.nan)
            self._folder.consolidate()
        seconds = self._folder.array(_SECONDS)
        # An earlier release adds rows without it.
        if (start := seconds.shape[0]) < length:
            seconds.resize((length,))
            seconds[start:] = np.nan
            self._folder.consolidate()
        where = place_of(rows)
        try:
            seconds.set_orthogonal_selection((where,), run_seconds)
        except (OSError, MemoryError):
            raise
        except Exception:
            # A chunk that cannot be read cannot be written in part.
            for damage in read_rows(seconds, Path(self.path), rows, whole=False)[1]:
                (Path(self.path) / damage.chunk).unlink(missing_ok=True)
            seconds.set_orthogonal_selection((where,), run_seconds)

    def _read_seconds(self, rows: np.ndarray) -> np.ndarray:
        """What runs took (m,), NaN where that is not known."""
        found = unknown_seconds(len(rows))
        if not self._folder.has(_SECONDS):
            return found
        seconds = self._folder.array(_SECONDS)
        known = rows < seconds.shape[0]
        found[known], damages = read_rows(seconds, Path(self.path), rows[known], whole=False)
        if damages:
            warnings.warn(
                f"{self.path} is damaged: {damages[0]}. What these runs took is not known; nothing else depends on it.",
                stacklevel=4,
            )
        return found

    def note_deterministic(self, value: bool) -> None:
        """Note whether runs of one parameter are all the same."""
        if self.attributes.get("deterministic") != value:
            self.set_attributes(deterministic=value)

    def set_attributes(self, **values: Any) -> None:
        """Set attributes of the group."""
        self._folder.set_attributes(**values)

    def add_seconds(self, seconds: float) -> None:
        """Add to the seconds spent on simulating."""
        self.set_attributes(seconds=self.attributes["seconds"] + seconds)

    def read(self, n: int | None = None, *, chosen: np.ndarray | None = None) -> dict[str, Any]:
        """Return inputs (theta, conditions), x and status of the first n rows (all if None), and the attributes.

        Rows that cannot be read, or that succeeded without a finite output, are pending; the entry `damage` says why.

        Args:
            n: number of rows.
            chosen: numbers of rows in ascending order (m,), in place of `n`.

        Raises:
            ValueError: the store is damaged beyond that.
        """
        rows, names = self._rows[:n] if chosen is None else self._rows[chosen], self._of_inputs
        with_x = ["x"] if self._folder.has("x") else []
        try:
            parts = {name: self._values(name, rows) for name in (*names, "status", *with_x)}
        except (IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f"`path`: the arrays in {self.path} do not fit one another ({error}): the store is damaged. Bring it "
                "back from a copy, or simulate into another store."
            ) from None
        inputs = np.concatenate([parts[name][0] for name in names], axis=1)
        status, x = parts["status"][0].copy(), parts["x"][0] if with_x else None
        unequal = bool(self.attributes.get("unequal_sets"))
        damages = [damage for name in (*names, *with_x) for damage in parts[name][1]]
        for one in parts["status"][1]:
            # A status that was never written is that of a row to run, unless there is an output.
            there = x is not None and not not_finite(x[np.isin(rows, one.rows)], unequal_sets=unequal).all()
            if one.unreadable or there:
                damages.insert(0, one)
        status[np.isin(rows, np.concatenate([np.zeros(0, int), *(damage.rows for damage in damages)]))] = PENDING
        wrong = succeeded_without_output(status, x, unequal_sets=unequal)
        damages += impossible_rows(self._folder.array("x") if x is not None else None, Path(self.path), rows, wrong)
        nowhere = not_finite(inputs) & (status != PENDING)
        damages += [Damage("theta", rows[nowhere], "has parameters that are not finite")] if nowhere.any() else []
        status[wrong | nowhere] = PENDING
        if x is None:
            x = np.zeros((len(inputs), 0), np.float32)
        elif damages:
            x[status == PENDING] = np.nan
        read = {"inputs": inputs, "x": x, "status": status, "damage": tuple(damages)}
        read[_SECONDS] = self._read_seconds(rows)
        return {**read, **{name: self._numbers(array)[rows] for name, array in ARRAY_NAMES.items()}, **self.attributes}

    def repair(self, damages: Sequence[Damage], inputs: np.ndarray) -> None:
        """Make the rows of damaged chunks pending, so that they are run again; an interruption loses nothing.

        Args:
            damages: that `read` has found.
            inputs: those of all rows in view (n, dim + c).
        """
        lost = np.unique(np.concatenate([damage.rows for damage in damages]))
        status, theta = self._folder.array("status"), self._folder.array("theta")
        unreadable = {damage.chunk for damage in damages if damage.unreadable}
        # First the status: whoever comes after an interruption finds these rows lost, or pending.
        readable = np.array([chunk_file(status, int(row)) not in unreadable for row in lost])
        if readable.any():
            status.set_orthogonal_selection((lost[readable],), PENDING)
        for chunk in unreadable:
            (Path(self.path) / chunk).unlink(missing_ok=True)
        if not readable.all():
            status.set_orthogonal_selection((lost[~readable],), PENDING)
        mine = np.isin(self._rows[: len(inputs)], lost)
        rows, dim = self._rows[: len(inputs)][mine], theta.shape[1]
        for name, values in (("theta", inputs[mine, :dim]), ("conditions", inputs[mine, dim:])):
            if values.size:
                self._folder.array(name).set_orthogonal_selection((rows, slice(None)), values)

    def inputs(self, n: int | None = None, *, chosen: np.ndarray | None = None) -> np.ndarray:
        """Return the inputs alone, (m, dim + c), NaN where they cannot be read; see `read`."""
        rows = self._rows[:n] if chosen is None else self._rows[chosen]
        return np.concatenate([self._values(name, rows)[0] for name in self._of_inputs], axis=1)

    def status(self, chosen: np.ndarray) -> np.ndarray:
        """Return what became of rows, (m,), as far as no output has to be read for it; damaged ones are pending."""
        return self._values("status", self._rows[chosen])[0]

    @property
    def _of_inputs(self) -> list[str]:
        """The arrays of what a run depends on."""
        return ["theta", *(["conditions"] if self.attributes.get("condition_names") else [])]

    def _values(self, name: str, rows: np.ndarray) -> tuple[np.ndarray, list[Damage]]:
        return read_rows(self._folder.array(name), Path(self.path), rows, whole=name != "x")
