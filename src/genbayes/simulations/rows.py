"""Simulations: parameters, outputs and what became of each run, in memory and on disk."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..priors.parameter import described_levels
from ..priors.prior import Prior
from ..runtime.counts import checked_count
from ..runtime.damaged_files import damage_told, path_told
from ..runtime.files import replaced_folder
from ..runtime.formatting import html_table, number
from ..runtime.memory import need_memory
from ..runtime.named_values import Names
from ..runtime.object_storage import fetched, is_remote, uploaded
from .damage import warn_of
from .given_arrays import checked_runs
from .row_counts import RowCounts
from .runs_elsewhere import Columns, asked_for, read_run_netcdf, read_run_table
from .status import OK
from .store import PENDING, SimulationStore, make_header, unknown_seconds
from .stored_rows import as_dataset, fields_of_record, write_rows
from .summary import summary_of
from .writer_lock import only_writer
from .zarr_folder import is_unfinished

if TYPE_CHECKING:
    import xarray as xr

_ROWWISE = ("theta", "x", "status", "conditions", "round", "noise_block", "run_seconds")


@dataclass(frozen=True, eq=False, repr=False)
class Simulations:
    """Simulations of one simulator, one row each; failed rows are kept, with their reason.

    Attributes:
        theta: parameters (n, dim), float32, in the prior's units.
        x: outputs (n, *x_shape), in data units; NaN where a run is pending or failed. float32, or float64 where
            that would lose more than a hundredth of a coordinate's spread.
        status: (n,) int32; 0 ok, 1 pending, k >= 2 failed for `reasons[k]`.
        reasons: meaning of each status.
        names: one name per coordinate of theta.
        seed: seed of the runs; -1 if unknown.
        prior_description: of the prior (`Prior.describe()`), empty if unknown; `prior` is the Prior itself.
        simulator: `module:qualname` of the simulator, empty if unknown.
        seconds: time spent on simulating.
        conditions: known inputs that are not inferred (n, c), float32, in their own units; (n, 0) where there are none.
        condition_names: one name per coordinate of `conditions`.
        conditions_prior: description of their distribution, empty if unknown.
        round: (n,) int32, where a row's parameter comes from: 0 the prior, k the k-th round of `refine`.
        noise_block: (n,) int32, rows of one round and one positive number were run with the same random numbers; 0: a
            row with its own.
        run_seconds: (n,) float32, what each run took, with its failures; NaN where that is not known, as of JAX
            simulators, whose runs are one compiled program.
        deterministic: whether two runs of one parameter gave the same output, where that was tried.
        outputs: names of the outputs' values, where the simulator gave them; x is then (n, k), in their order.
        unequal_sets: whether outputs are sets of unequal size (`sets_of_trials`): rows of NaN in x are then no trials.
        sampled_from: counts of the rows of the store that these are a sample of (`sample_simulations`); None where
            they are all.
    """

    theta: np.ndarray
    x: np.ndarray
    status: np.ndarray
    reasons: tuple[str, ...]
    names: tuple[str, ...]
    seed: int
    prior_description: list[dict]
    simulator: str
    seconds: float
    conditions: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    condition_names: tuple[str, ...] = ()
    conditions_prior: list[dict] = field(default_factory=list)
    round: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    noise_block: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    run_seconds: np.ndarray = field(default_factory=lambda: unknown_seconds(0))
    deterministic: bool = False
    outputs: Names | None = None
    unequal_sets: bool = False
    sampled_from: RowCounts | None = None

    def __post_init__(self) -> None:
        for name in ("round", "noise_block"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.zeros(len(self.theta), np.int32))
        if not len(self.run_seconds):
            object.__setattr__(self, "run_seconds", unknown_seconds(len(self.theta)))
        if not self.condition_names and not len(self.conditions):
            object.__setattr__(self, "conditions", np.zeros((len(self.theta), 0), np.float32))

    def __repr__(self) -> str:
        runs = self.summary().split("\n")[0]
        return f"Simulations({runs}; theta {self.theta.shape}, x {self.x.shape})"

    def _repr_html_(self) -> str:
        kinds = ["parameter"] * len(self.names) + ["condition"] * len(self.condition_names)
        columns = zip((*self.names, *self.condition_names), kinds, self.inputs.T, strict=True)
        rows = [(name, kind, number(values.min()), number(values.max())) for name, kind, values in columns if len(self)]
        good = self.x[self.ok]
        if good.size and self.outputs is None:
            rows.append((f"output, shape {self.x_shape}", "output", number(np.nanmin(good)), number(np.nanmax(good))))
        for name, _, place in self.outputs.slices() if good.size and self.outputs is not None else ():
            rows.append((name, "output", number(good[:, place].min()), number(good[:, place].max())))
        return html_table(self.summary(), ("name", "what", "lowest", "highest"), rows)

    def __len__(self) -> int:
        return len(self.theta)

    @property
    def ok(self) -> np.ndarray:
        """Which rows have an output, (n,) bool."""
        return self.status == OK

    @property
    def inputs(self) -> np.ndarray:
        """All that a run depends on but its noise: parameters, then conditions, (n, dim + c)."""
        return np.concatenate([self.theta, self.conditions], axis=1)

    @property
    def levels(self) -> dict[int, list[int]]:
        """The columns of `inputs` that are integers of few values, as prior and conditions say, with these values."""
        names = (*self.names, *self.condition_names)
        return described_levels([*self.prior_description, *self.conditions_prior], names)

    @property
    def noise_id(self) -> np.ndarray:
        """One number for the random numbers of each row, (n,): equal where rows share them."""
        keys = np.where(self.noise_block > 0, self.noise_block, -1 - np.arange(len(self)))
        return np.unique(np.stack([self.round, keys], axis=1), axis=0, return_inverse=True)[1].reshape(-1)

    @property
    def prior(self) -> Prior | None:
        """The prior that the rows of round 0 were drawn from; None where it is not known.

        Raises:
            ValueError: its description does not suffice, such as that of a distribution of another package.
        """
        return Prior.from_description(self.prior_description) if self.prior_description else None

    @property
    def of_prior(self) -> "Simulations":
        """The draws of the prior alone, without the rows that refinement has added."""
        return self if not self.round.any() else self.selected(self.round == 0)

    def selected(self, rows: np.ndarray) -> "Simulations":
        """Some of the rows, by mask or number."""
        sampled = None if self.sampled_from is None else self.sampled_from.selected(rows)
        return replace(self, **{name: getattr(self, name)[rows] for name in _ROWWISE}, sampled_from=sampled)

    def in_order(self, outputs: Names | None) -> "Simulations":
        """With the values of outputs in the order of these names; values without names are taken to be in it.

        Raises:
            ValueError: other names or shapes than those of the outputs.
        """
        if outputs is None or outputs == self.outputs:
            return self
        if self.outputs is None:
            return replace(self, outputs=outputs) if self.x_shape == (outputs.size,) else self
        try:
            return replace(self, x=outputs.vector(self.outputs.fields(self.x), len(self)), outputs=outputs)
        except ValueError as error:
            raise ValueError(
                f"the simulator's outputs have other names than those of the simulations before: {error}."
            ) from None

    def joined(self, other: "Simulations") -> "Simulations":
        """These rows, then those of another set of runs of the same simulator.

        Raises:
            ValueError: other parameters, conditions or outputs.
        """
        other = other.in_order(self.outputs)
        for name in ("names", "condition_names", "x_shape", "unequal_sets"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(
                    f"`other` has {name} {getattr(other, name)}, expected {getattr(self, name)}: join runs of one "
                    "simulator only."
                )
        reasons = list(self.reasons)
        reasons += [reason for reason in other.reasons if reason not in reasons]
        renumbered = np.array([reasons.index(reason) for reason in other.reasons], np.int32)
        both = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _ROWWISE}
        if np.intersect1d(self.round[self.noise_block > 0], other.round[other.noise_block > 0]).size:
            moved = np.where(other.noise_block > 0, other.noise_block + self.noise_block.max(), 0)
            both["noise_block"] = np.concatenate([self.noise_block, moved])
        both["status"] = np.concatenate([self.status, renumbered[other.status]])
        sampled = None if self.sampled_from is other.sampled_from is None else self.counts.joined(other.counts)
        further = {"seconds": self.seconds + other.seconds, "sampled_from": sampled}
        return replace(self, **both, reasons=tuple(reasons), **further)

    @property
    def counts(self) -> RowCounts:
        """How many rows there are, and what became of them; of a sample, those of the store."""
        if self.sampled_from is not None:
            return self.sampled_from
        codes = np.bincount(self.status, minlength=len(self.reasons)).tolist()
        by_reason = dict(zip(self.reasons, codes, strict=True))
        return RowCounts(int(np.sum(self.round == 0)), by_reason, np.cumsum(self.round == 0))

    @property
    def n_failed(self) -> int:
        """Number of failed rows."""
        return int((self.status > PENDING).sum())

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Shape of one output."""
        return tuple(self.x.shape[1:])

    def summary(self) -> str:
        """Return in a few plain lines how many runs there are, why some failed, and whether there is noise in them."""
        return summary_of(self)

    def failures(self) -> list[tuple[int, str]]:
        """How many runs failed, and of what: one entry for each kind of failure with one example, the most first.

        Exceptions of one type are one kind, whatever they say.
        """
        return self.counts.failures()

    @classmethod
    def from_arrays(
        cls,
        theta: Any,
        x: Any,
        names: Sequence[str] | None = None,
        *,
        conditions: Mapping[str, Any] | None = None,
        prior: Prior | None = None,
        unequal_sets: bool = False,
    ) -> "Simulations":
        """Take over simulations that exist already.

        Args:
            theta: parameters (n, dim), an array or a torch tensor, or a DataFrame with a column for each.
            x: outputs (n, ...), likewise; (n,) is read as (n, 1). Or outputs by name: a mapping or a DataFrame of
                (n, ...) values. Rows with NaN or infinity are marked as failed. Or a list of n sets of trials
                (any number, trial_dim): shorter ones are filled up with trials of NaN.
            names: one name per parameter; if not given, the columns of a DataFrame, else `theta_0`, `theta_1`, ...
            conditions: known inputs that are not inferred: name -> (n,) values.
            prior: that the parameters were drawn from. Its integers are learned value by value; without it a parameter
                is taken as a real number, whatever values it has.
            unequal_sets: whether outputs (n, trials, trial_dim) are sets in which a trial of NaN is none. A list of
                sets of different sizes says so by itself.

        Raises:
            ValueError: shapes that do not fit, parameters that are not finite, or not of the prior.
        """
        runs = checked_runs(theta, x, names, conditions, prior, unequal_sets)
        return cls(**runs, seed=-1, simulator="", seconds=0.0)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        parameters: Columns | None = None,
        outputs: Columns | None = None,
        *,
        conditions: Columns = (),
        prior: Prior | None = None,
        missing: str | int | float | Sequence[str | int | float] | None = None,
        decimal: str | None = None,
    ) -> "Simulations":
        """Take over simulations from a table with a header and a row for each run.

        Args:
            path: of a text file; its cells are read as those of an observation (`read_observation`).
            parameters: names of their columns, in order; those of the prior if not given.
            outputs: names of their columns, or a range "x1:x70"; all that remain if not given. A run with a missing or
                infinite output has failed.
            conditions: names of columns of known inputs that are not inferred.
            prior: see `from_arrays`.
            missing: further texts or numbers for a missing value, such as -9999.
            decimal: "." or ","; found out if not given, and not doubtful.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a column is not there or named twice, or a cell is no number; see `from_arrays` for the rest.

        Example:
            >>> simulations = gb.Simulations.from_csv("runs.csv", ["growth", "capacity"], "day1:day70", prior=prior)
        """
        wanted = asked_for(parameters, prior)
        with damage_told(path, "a table of runs"):
            runs = read_run_table(path, wanted, outputs, conditions, missing, decimal)
        names = None if prior is not None else runs.names
        outputs_by_name = dict(zip(runs.outputs, runs.x.T, strict=True))
        with path_told(path):
            return cls.from_arrays(runs.theta, outputs_by_name, names, conditions=runs.conditions, prior=prior)

    @classmethod
    def from_netcdf(
        cls,
        source: "str | Path | xr.Dataset",
        parameters: Columns | None = None,
        output: str = "x",
        *,
        conditions: Columns = (),
        prior: Prior | None = None,
        dimension: str | None = None,
        unequal_sets: bool = False,
    ) -> "Simulations":
        """Take over simulations from a NetCDF file, or an xarray.Dataset.

        Args:
            source: path of the file, or what was read of it.
            parameters: names of the variables, (n,) each, or of one with all parameters (n, dim), such as "theta"; the
                names of the prior if not given.
            output: name of the variable of outputs (n, ...).
            conditions: names of variables of known inputs that are not inferred, (n,) each.
            prior: see `from_arrays`.
            dimension: along which the runs are; the first one of the first parameter if not given.
            unequal_sets: see `from_arrays`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: no NetCDF, or a variable or the dimension is not there; see `from_arrays` for the rest.
        """
        runs = read_run_netcdf(source, asked_for(parameters, prior), output, conditions, dimension)
        names = None if prior is not None else runs.names
        known = {"conditions": runs.conditions, "prior": prior, "unequal_sets": unequal_sets}
        with path_told(source) if isinstance(source, str | Path) else nullcontext():
            return cls.from_arrays(runs.theta, runs.x, names, **known)

    @classmethod
    def open(cls, path: str | Path, *, n: int | None = None) -> "Simulations":
        """Read a store written by `simulate` or `save`, at a path or an address such as "s3://bucket/runs.zarr".

        Rows of a chunk that is damaged or missing are pending, and a warning names it: `simulate` with the same
        arguments runs them again.

        Args:
            path: of the store.
            n: read the first n draws of the prior alone, and no rows of a refinement: of a store that is too large
                for the memory. All rows if not given.

        Raises:
            FileNotFoundError: nothing at `path`.
            MemoryError: the arrays are larger than the memory that is there.
            ValueError: not a store of simulations, one of a newer format, or one that is damaged as a whole.
        """
        with damage_told(path, "a store of simulations", "Bring it back from a copy, or simulate anew."):
            with fetched(path) as local:
                store = SimulationStore.open(local, round=None if n is None else 0)
                rows = len(store) if n is None else min(checked_count("n", n), len(store))
                if store.x_shape is not None and store.x_dtype is not None:
                    size = rows * int(np.prod(store.x_shape)) * store.x_dtype.itemsize
                    need_memory(size, f"Reading {rows:,} rows of {path}", "Read fewer: Simulations.open(path, n=...).")
                record = store.read(rows)
            simulations = from_record(record)
        warn_of(record["damage"], str(path), "run simulate(..., store=...) as before, which runs them again.")
        return simulations

    def save(self, path: str | Path) -> None:
        """Write a Zarr store that `open` and `xarray.open_zarr` read.

        Args:
            path: where nothing is; or an address, such as "s3://bucket/runs.zarr", of any kind that fsspec knows.

        Raises:
            FileExistsError: something is at `path` already.
        """
        if is_remote(path):
            with uploaded(path) as folder:
                write_rows(self, folder, self._header())
            return
        place = Path(path)
        with only_writer(path):
            if place.exists() and not is_unfinished(place):
                raise FileExistsError(f"`path`: {path} exists already. Give another path, or remove it.")
            with replaced_folder(place) as beside:
                write_rows(self, beside, self._header())

    def to_xarray(self) -> "xr.Dataset":
        """Return a Dataset with the dimensions simulation, parameter, x_dim_0, ... (and condition, where there are)."""
        return as_dataset(self, self._header())

    def _header(self) -> dict[str, Any]:
        of_runs = (self.names, self.seed, self.prior_description, self.simulator)
        header = make_header(*of_runs, unequal_sets=self.unequal_sets)
        if self.condition_names:
            header |= {"condition_names": list(self.condition_names), "conditions_prior": self.conditions_prior}
        return {**header, "reasons": list(self.reasons)}


def from_record(record: dict[str, Any]) -> Simulations:
    """Build simulations from what a store holds, with the reasons renumbered by their first row."""
    # Stores call the description by the name of what it describes.
    record = {**record, "prior_description": record["prior"]}
    return Simulations(**fields_of_record(record, [field.name for field in fields(Simulations)]))
