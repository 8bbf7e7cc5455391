"""The rows of one job while it runs: what is to do, what came back, and what has been written."""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..runtime.named_values import Names
from .batch import Batch
from .damage import warn_of
from .named_outputs import NamedOutputs
from .rounding import Rounding, is_watched, kept
from .row_places import place_of
from .rows import Simulations, from_record
from .shards import Shard
from .status import LARGEST, OK, output_problem, reason_code
from .store import PENDING, SimulationStore, unknown_seconds
from .worker import Result

# So many outputs of another shape than the store's, and none that fits, mean another simulator.
_MISFITS = 10
# Outputs by which it is decided whether single precision is enough for the store; it begins in that of the first one.
_ENOUGH = 64
# Runs that fail one after the other, upon which the user hears of it while the others go on.
_MANY_IN_A_ROW = 100


class Recorder:
    """Collects results in any order and keeps a store, if there is one, up to date.

    Attributes:
        header: attributes of the store.
        inputs: parameters and, after them, known conditions (n, dim + c) of the job.
        rows: rows that are to be run (m,).
        numbers: those of every row's random numbers (n,), its own if not given.
        of_share: which rows are this job's (n,) bool: those of the share `shard`, all if there is none.
        run_seconds: what the runs that are to come in took, by row; whoever runs them sets and fills it.
    """

    def __init__(
        self,
        header: dict[str, Any],
        inputs: np.ndarray,
        store: SimulationStore | None,
        retry_failed: bool,
        *,
        numbers: np.ndarray | None = None,
        on_shape: Callable[[tuple[int, ...]], None] | None = None,
        shard: Shard | None = None,
    ):
        self.header = header
        self.inputs = inputs
        self.numbers = np.arange(len(inputs)) if numbers is None else numbers
        # Whether outputs are sets in which rows of NaN are no trials.
        self._unequal_sets = bool(header.get("unequal_sets"))
        self.of_share = np.full(len(inputs), True) if shard is None else shard.owns(np.arange(len(inputs)))
        self._shard = shard
        self._on_shape = on_shape
        self._store = store
        self._status = np.full(len(inputs), PENDING, np.int32)
        self.run_seconds: dict[int, float] = {}
        self._run_seconds = unknown_seconds(len(inputs))
        self._x: np.ndarray | None = None
        self._reasons: list[str] = list(header["reasons"])
        self._output_shape: tuple[int, ...] | None = None
        self._seconds = 0.0
        self.named = NamedOutputs()
        if store is not None and not store.is_new:
            self._load(store)
        redo = self._status != OK if retry_failed else self._status == PENDING
        self.rows = np.flatnonzero(redo & self.of_share)
        self._order = map(int, self.rows)
        self._next = next(self._order, None)
        self._waiting: dict[int, np.ndarray | str] = {}
        self._confirmed = self._output_shape is None
        self._misfits: list[Result] = []
        self._n_new_failed = 0
        self._rounding = Rounding()
        self._settled = False
        self._never: np.ndarray | None = None
        self._in_a_row: Counter[str] = Counter()
        self._told = False

    @property
    def n_failed(self) -> int:
        """Failures in this call so far."""
        return self._n_new_failed

    def one_done(self) -> tuple[int, np.ndarray] | None:
        """A row of the store that succeeded, with its output; None where there is none."""
        done = np.flatnonzero(self._status == OK)
        return None if self._x is None or not len(done) else (int(done[0]), self._x[done[0]])

    def expect(self, output_shape: tuple[int, ...], names: Names | None = None) -> None:
        """Fix the shape of one output, and the names of its values, before anything runs.

        Raises:
            ValueError: the store has outputs of another shape or with other names.
        """
        if self._output_shape is not None and names != self.named.names:
            stored, given = ("no names" if one is None else one.in_words for one in (self.named.names, names))
            raise self._other_names(f"expected {stored}, got {given}")
        self.named.expect(names, in_order=True)
        if self._output_shape is None:
            self._fix_shape(output_shape)
        elif self._output_shape != output_shape:
            raise self._wrong_store(output_shape)
        self._confirmed = True

    def add(self, results: Sequence[Result]) -> None:
        """Take results in; writes them once the shape of one output is known.

        Raises:
            ValueError: the store has outputs of another shape.
        """
        if isinstance(results, Batch) and self._takes(results):
            self._commit_batch(results)
            return
        results = self.named.vectors(list(results))
        for row, outcome in results:
            self._note_missing(outcome)
            if is_watched(row):
                self._rounding.add(outcome)
        if self._output_shape is not None:
            self._commit(results)
            return
        # The first success IN THE ORDER OF ROWS fixes the shape, whichever worker is faster.
        self._waiting.update(results)
        ready: list[Result] = []
        while self._next in self._waiting and self._output_shape is None:
            row = self._next
            outcome = self._waiting.pop(row)
            ready.append((row, outcome))
            if isinstance(outcome, np.ndarray) and outcome.size and self._problem(outcome) is None:
                self._fix_shape(outcome.shape, outcome.dtype)
            self._next = next(self._order, None)
        if self._output_shape is not None:
            ready += list(self._waiting.items())
            self._waiting.clear()
        self._commit(ready)

    def _takes(self, batch: Batch) -> bool:
        """Whether the outputs of a batch are as they are known to be, so that they need not be looked at one by one."""
        # Sets of unequal size have NaN that is no failure.
        known = self._confirmed and not self._misfits and self.named.in_order and not self._unequal_sets
        return known and batch.outputs.shape[1:] == self._output_shape and batch.outputs.dtype.kind in "fiub"

    def _commit_batch(self, batch: Batch) -> None:
        rows, outputs = batch.rows, batch.outputs
        # Both are NaN where any number is; to look at every row is needed only where one is wrong.
        usable = outputs.min() >= -LARGEST and outputs.max() <= LARGEST
        if outputs.dtype.kind == "f":
            missing = np.full(outputs.shape[1:], False) if usable else np.asarray(np.isnan(outputs).all(axis=0))
            self._never = missing if self._never is None else self._never & missing
            self._rounding.add_all(outputs[is_watched(rows)])
        x = outputs.reshape(len(rows), *(self._output_shape or (1,)))
        bad = [] if usable else np.flatnonzero(~(np.abs(x) <= LARGEST).reshape(len(rows), -1).all(axis=1)).tolist()
        self._take(rows, x, {i: str(self._problem(np.asarray(outputs[i]))) for i in bad})

    def finish(self) -> None:
        """Settle what was held back, once every row has come back.

        Raises:
            ValueError: the store has outputs of another shape.
        """
        if len(self._misfits) > 1 and len(self._misfits) == len(self.rows):
            raise self._wrong_store(np.shape(self._misfits[0][1]))
        self._confirmed = True
        self._commit(self._misfits)
        self._settle_precision()

    def close(self, seconds: float) -> None:
        """Note the seconds that this call took."""
        self._seconds += seconds
        if self._store is not None and len(self.rows):
            self._store.add_seconds(seconds)

    def note_deterministic(self, value: bool) -> None:
        """Note whether runs of one parameter are all the same."""
        self.header["deterministic"] = value
        if self._store is not None:
            self._store.note_deterministic(value)

    def result(self, remedy: str) -> Simulations:
        """Return the simulations.

        Args:
            remedy: what to do where all of them failed.

        Raises:
            RuntimeError: all of them failed.
        """
        if not (self._status == OK).any():
            rows = np.flatnonzero(self.of_share)
            counts = Counter(self._reasons[code] for code in self._status[rows])
            listed = "; ".join(f"{count} x {reason}" for reason, count in counts.most_common(5))
            names = [*self.header["names"], *self.header.get("condition_names", ())]
            of_share = "" if self._shard is None else f" of {self._shard}"
            raise RuntimeError(
                f"All {len(rows)} simulations{of_share} failed: {listed}. The first: "
                f"{self._reasons[self._status[rows[0]]]}, at theta = "
                f"{dict(zip(names, self.inputs[rows[0]].tolist(), strict=True))}. {remedy}{self._missing_told()}"
            )
        assert self._x is not None
        x = kept(self._x, self._rounding)
        if self._store is not None and self._store.x_dtype is not None:
            x = self._x.astype(self._store.x_dtype, copy=False)
        record = {"inputs": self.inputs, "x": x, "status": self._status, "reasons": self._reasons}
        record["run_seconds"] = self._run_seconds
        if self.named.names is not None:
            record["outputs"] = self.named.names.stored
        return from_record({**self.header, **record, "seconds": self._seconds})

    def _load(self, store: SimulationStore) -> None:
        record = store.read(len(self.inputs))
        # Parameters that were lost are those of this call.
        stored = np.where(np.isfinite(record["inputs"]), record["inputs"], self.inputs)
        # Not bit by bit: another device or JAX version may round differently.
        size = np.abs(self.inputs).max(axis=0)
        if not (np.abs(stored - self.inputs) <= 1e-5 * size).all():
            raise ValueError(
                f"`store`: the parameters in {store.path} differ from those that this prior and seed give now, perhaps "
                f"because of another JAX or numpyro version. Give another path to `store`, or read it with "
                f"Simulations.open."
            )
        self.inputs = stored
        if record["damage"]:
            warn_of(record["damage"], store.path, "they are run again.")
            store.repair(record["damage"], stored)
        self._status = record["status"]
        self._run_seconds = record["run_seconds"]
        self._reasons = list(record["reasons"])
        self._seconds = record["seconds"]
        if store.x_shape is not None:
            self._x = record["x"]
            self._output_shape = tuple(record.get("output_shape", store.x_shape))
            self.named.expect(Names.read(record.get("outputs")), in_order=False)
            self._tell_shape(self._output_shape)

    def _fix_shape(self, output_shape: tuple[int, ...], dtype: Any = np.float32) -> None:
        self._output_shape = output_shape
        self._tell_shape(output_shape)
        dtype = np.float64 if dtype == np.float64 else np.float32
        self._x = np.full((len(self.inputs), *(output_shape or (1,))), np.nan, dtype)
        if self._store is not None:
            self._store.create_outputs(output_shape, dtype, self.named.names)

    def _tell_shape(self, output_shape: tuple[int, ...]) -> None:
        if self._on_shape is not None:
            # A scalar output is kept as a vector of one.
            self._on_shape(output_shape or (1,))

    def _commit(self, results: list[Result]) -> None:
        results = sorted(results, key=lambda result: result[0])
        problems = [self._problem(outcome) for _, outcome in results]
        if not self._confirmed:
            self._confirmed = None in problems
            held = [isinstance(outcome, np.ndarray) and outcome.shape != self._output_shape for _, outcome in results]
            if self._confirmed:
                misfits, self._misfits = self._misfits, []
                self._commit(misfits)
            else:
                self._misfits += [result for result, wait in zip(results, held, strict=True) if wait]
                if len(self._misfits) >= _MISFITS:
                    raise self._wrong_store(np.shape(self._misfits[0][1]))
                results = [result for result, wait in zip(results, held, strict=True) if not wait]
                problems = [self._problem(outcome) for _, outcome in results]
        if not results:
            return
        rows = np.array([row for row, _ in results])
        outputs = None
        if self._x is not None:
            double = any(getattr(one, "dtype", None) == np.float64 for _, one in results)
            outputs = np.full((len(rows), *self._x.shape[1:]), np.nan, np.float64 if double else self._x.dtype)
            for i, ((_, outcome), problem) in enumerate(zip(results, problems, strict=True)):
                outputs[i] = np.nan if problem is not None else outcome
        self._take(rows, outputs, {i: problem for i, problem in enumerate(problems) if problem is not None})

    def _take(self, rows: np.ndarray, x: np.ndarray | None, problems: dict[int, str]) -> None:
        """Keeps ascending rows, and writes them.

        Args:
            rows: numbers of the rows (n,).
            x: their outputs (n, *x_shape); None where no run has succeeded yet.
            problems: why runs failed, by their places among these, ascending.
        """
        failed = np.array(list(problems), int)
        place = place_of(rows)
        self._status[place] = OK
        self._status[rows[failed]] = [reason_code(problem, self._reasons) for problem in problems.values()]
        self._run_seconds[place] = self._seconds_of(rows)
        self._n_new_failed += len(failed)
        self._note_in_a_row(problems, len(rows))
        if self._x is not None and x is not None:
            if self._x.dtype == np.float32 and x.dtype == np.float64:
                self._x = self._x.astype(np.float64)
            self._x[place] = x
            self._x[rows[failed]] = np.nan
        if self._store is not None:
            if self._shard is not None:
                self._settle_precision()
            known = None if self._x is None else self._x[place]
            self._store.write(rows, known, self._status[place], self._reasons, self._run_seconds[place])
            if self._rounding.count >= _ENOUGH:
                self._settle_precision()

    def _seconds_of(self, rows: np.ndarray) -> np.ndarray | float:
        """What rows took, taken out of what is still to come in."""
        if not self.run_seconds:
            return np.nan
        return np.array([self.run_seconds.pop(row, np.nan) for row in rows.tolist()], np.float32)

    def _settle_precision(self) -> None:
        """Brings the store into the precision that its outputs need; once they had a single one, only into a double.

        The precision of a share is chosen when all shares are put together: until then it keeps all that came in.
        """
        if self._store is None or self._x is None or self._x.dtype != np.float64:
            return
        if self._shard is not None:
            if self._store.x_dtype != np.float64:
                self._store.convert(self._x, np.float64)
            return
        if self._rounding.count < 2:
            return
        wanted = np.dtype(np.float32 if self._rounding.worst() is None else np.float64)
        if wanted != self._store.x_dtype and (wanted == np.float64 or not self._settled):
            self._store.convert(self._x, wanted)
        self._settled = True

    def _problem(self, outcome: np.ndarray | str) -> str | None:
        if isinstance(outcome, str):
            return outcome
        if outcome.size == 0:
            return "the output is empty"
        if self._output_shape is not None and outcome.shape != self._output_shape:
            return f"wrong output shape {outcome.shape}, expected {self._output_shape}"
        return output_problem(outcome, unequal_sets=self._unequal_sets)

    def as_stored(self, output: np.ndarray | str) -> np.ndarray | str:
        """One output of the simulator in the order of the store's outputs.

        Raises:
            ValueError: its values have other names than those in the store, or none.
        """
        [(_, vector)] = self.named.vectors([(0, output)])
        if isinstance(vector, str) and not isinstance(output, str):
            raise self._other_names(vector)
        return vector

    def _other_names(self, told: str) -> ValueError:
        path = self._store.path if self._store is not None else ""
        return ValueError(
            f"`store`: the outputs in {path} have other names than those of this simulator: {told}. Give another path "
            "to `store`, or the simulator that the store was made with."
        )

    def _note_in_a_row(self, problems: dict[int, str], n: int) -> None:
        """A UserWarning where very many runs, one after the other, have failed: something else is wrong than they."""
        if self._told or len(problems) < n:
            self._in_a_row.clear()
        if self._told or not problems:
            return
        # Those behind the last success.
        last = next((i for i in range(n - 1, -1, -1) if i not in problems), -1)
        self._in_a_row.update(problem for i, problem in problems.items() if i > last)
        if (failures := self._in_a_row.total()) >= _MANY_IN_A_ROW:
            self._told = True
            listed = "; ".join(f"{count} x {reason}" for reason, count in self._in_a_row.most_common(3))
            warnings.warn(
                f"the last {failures} runs have all failed: {listed}. The others go on; stop them (Ctrl-C) if this is "
                "not the simulator's doing (a licence, a disk, a machine), and run the failed rows again by "
                "retry_failed=True.",
                stacklevel=6,
            )

    def _note_missing(self, outcome: np.ndarray | str) -> None:
        """Keeps in mind which coordinates were NaN in every output so far."""
        if not isinstance(outcome, np.ndarray) or outcome.dtype.kind != "f" or self._unequal_sets:
            return
        missing = np.isnan(outcome)
        if self._never is None or self._never.shape == missing.shape:
            self._never = missing if self._never is None else self._never & missing

    def _missing_told(self) -> str:
        """What to do where the same coordinates are NaN in every output; empty where there are none, or all are."""
        if self._never is None or not self._never.any() or self._never.all():
            return ""
        places = np.argwhere(self._never)
        names = None if self.named.names is None else self.named.names.coordinates
        called = [str(tuple(p.tolist())) if len(p) > 1 else str(p[0]) if names is None else names[p[0]] for p in places]
        named = ", ".join(called[:5])
        more = ", ..." if len(places) > 5 else ""
        return (
            f" {len(places)} of {self._never.size} values (at {named}{more}) were NaN in every output: if they are "
            "never observed, leave them out by simulator, x_o = genbayes.where_observed(simulator, x_o)."
        )

    def _wrong_store(self, output_shape: tuple[int, ...]) -> ValueError:
        path = self._store.path if self._store is not None else ""
        return ValueError(
            f"`store`: {path} has outputs of shape {self._output_shape}, this simulator gives {output_shape}. Give "
            f"another path to `store`, or the simulator that the store was made with."
        )
