"""Puts the shares of a job array together into one store, as if all rows had been run on one machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.files import recovered, replaced_folder
from ..runtime.named_values import Names
from .damage import warn_of
from .rounding import Rounding, is_watched
from .rows import Simulations
from .shards import Shard, checked_shard, shard_paths
from .status import OK, reason_code
from .store import PENDING, SimulationStore, different_runs, make_header, unknown_seconds
from .writer_lock import only_writer

# What became of a row, as far as one is worth more than another: a run that succeeded is kept before one that failed.
_TO_RUN, _FAILED, _SUCCEEDED = 0, 1, 2
# Rows that are written at a time.
_BLOCK = 4096


class RowsMissing(ValueError):
    """Raised where shares are not there, or have rows to run.

    Args:
        missing: one text for each share.
        n: number of rows in all.
        of: number of shares.
    """

    def __init__(self, missing: Sequence[str], n: int, of: int):
        self.n, self.of = n, of
        super().__init__(
            f"`shards`: {'; '.join(missing)}. Run these shares of {n} simulations (again), or give `partial=True` to "
            "put together what is there."
        )


def merge_simulations(
    store: str | Path, shards: Sequence[str | Path] | None = None, *, partial: bool = False
) -> Simulations:
    """Put the shares of `simulate(..., shard=(i, N))` together; the rows are those of one run without shares.

    The shares stay as they are. Where there is a store of the same runs at `store`, from an earlier merge or from
    `simulate`, it gets the rows that it lacks, and keeps those that it has. A new store is written beside and renamed.

    Args:
        store: path of the whole, as it was given to `simulate`.
        shards: paths of the shares' stores; if not given, those beside `store`, such as "runs-shard-3-of-8.zarr".
        partial: whether rows may be missing; they stay pending, and `simulate` without `shard` runs them.

    Returns:
        Simulations (n rows) of the store at `store`; n is the largest that one of the shares, or the store, was
        started with.

    Raises:
        TypeError: `shards` is one path.
        FileNotFoundError: there are no shares, or one of `shards` is not there.
        ValueError: a share is missing or has rows to run (without `partial`), or they are not shares of one set of
            simulations, or what is at `store` has other runs.

    Example:
        >>> for i in range(1, 9):  # on eight machines
        ...     simulate(simulator, prior, 10_000, seed=0, store="runs.zarr", shard=(i, 8))
        >>> simulations = merge_simulations("runs.zarr")
    """
    with only_writer(store):
        return _merged(Path(store), shards, partial)


def _merged(store: Path, shards: Sequence[str | Path] | None, partial: bool) -> Simulations:
    shares = _opened_shares(store, shards)
    before = SimulationStore.open(store, round=0) if recovered(store).exists() else None
    _check_same_runs(shares, store, before)
    union = _united(shares, before)
    if not partial and (missing := _what_is_missing(shares, union, store)):
        raise RowsMissing(missing, len(union.standing), next(iter(shares)).of)
    if before is None:
        with replaced_folder(store) as beside:
            _fill(SimulationStore.create(beside, _header(shares), union.inputs), union, shares)
    else:
        opened = SimulationStore.open(store, writable=True, round=0)
        if len(union.inputs) > len(opened):
            opened.append(union.inputs[len(opened) :])
        _fill(opened, union, shares)
    return Simulations.open(store)


@dataclass
class _Union:
    """All rows, each from where most became of it.

    Attributes:
        inputs: parameters, then conditions, (n, dim + c).
        standing: what became of each row, (n,): `_TO_RUN`, `_FAILED` or `_SUCCEEDED`.
        reasons: why a row failed, (n,) of text, empty for the others.
        x: outputs (n, *x_shape) in the best precision that there is; None where no run succeeded.
        output_shape: of one output, as the simulator gave it.
        names: of the outputs' values.
        run_seconds: what each run took (n,), NaN where that is not known.
        new: rows that the store at the target does not have, (n,) bool.
    """

    inputs: np.ndarray
    standing: np.ndarray
    reasons: np.ndarray
    x: np.ndarray | None
    output_shape: tuple[int, ...]
    names: Names | None
    run_seconds: np.ndarray
    new: np.ndarray

    def take(self, store: SimulationStore, rows: np.ndarray) -> np.ndarray:
        """Takes in what a store has of these rows (m,), where more became of them there; returns which rows."""
        record = store.read(chosen=rows)
        warn_of(record["damage"], store.path, "run this share again, or all rows here.")
        status, standing = record["status"], _standing(record["status"])
        better = standing > self.standing[rows]
        taken = rows[better]
        self.standing[taken] = standing[better]
        self.inputs[taken] = record["inputs"][better]
        texts = np.array([*record["reasons"]], object)[status[better]]
        self.run_seconds[taken] = record["run_seconds"][better]
        self.reasons[taken] = np.where(standing[better] == _FAILED, texts, "")
        if self.x is not None and store.x_shape is not None:
            names, x = Names.read(record.get("outputs")), record["x"][better]
            if names is not None and self.names is not None and names != self.names:
                x = self.names.vector(names.fields(x), len(x))
            self.x[taken] = np.where((standing[better] == _SUCCEEDED).reshape(-1, *[1] * (x.ndim - 1)), x, np.nan)
        return taken


def _opened_shares(store: Path, given: Sequence[str | Path] | None) -> dict[Shard, SimulationStore]:
    """The stores of shares, in the order of their numbers."""
    if isinstance(given, str | Path):
        raise TypeError(f"`shards` must be a list of paths, one for each share, got {given!r}.")
    paths = shard_paths(store) if given is None else given
    if not len(paths):
        raise FileNotFoundError(
            f"`shards`: there is no share of {store}, such as {Shard(1, 8).path(store)}. Run simulate(..., "
            "shard=(1, 8)) and the other shares first, or give the paths of the shares."
        )
    found: dict[Shard, SimulationStore] = {}
    for path in paths:
        opened = SimulationStore.open(path)
        if "shard" not in opened.attributes:
            raise ValueError(f"`shards`: {path} holds no share: it was made without `shard`. Leave it out.")
        share = checked_shard(opened.attributes["shard"])
        if share in found:
            raise ValueError(f"`shards`: {found[share].path} and {path} are both {share}. Leave one out.")
        found[share] = opened
    counts = sorted({share.of for share in found})
    if len(counts) > 1:
        raise ValueError(
            f"`shards`: there are shares of {' and of '.join(map(str, counts))}: give the paths of one kind, or move "
            "the others to another folder."
        )
    return dict(sorted(found.items()))


def _check_same_runs(shares: dict[Shard, SimulationStore], store: Path, before: SimulationStore | None) -> None:
    """ValueError where stores do not hold runs of one simulator, prior and seed with outputs of one kind."""
    (first, reference), *others = [(f"{share} ({one.path})", one) for share, one in shares.items()]
    others += [] if before is None else [(f"the store {store}", before)]
    if before is not None and "shard" in before.attributes:
        raise ValueError(f"`store`: {store} is a share itself. Give the path that `simulate` was given as `store`.")
    for told, one in others:
        difference = different_runs(reference.attributes, one.attributes)
        if difference is not None:
            key, wanted, got = difference
            raise ValueError(
                f"`shards`: {first} was made with {key} {wanted!r}, and {told} with {key} {got!r}: these are not parts "
                "of the same simulations. Leave out or remove what was made with other arguments."
            )
        rows = min(len(reference), len(one))
        inputs, expected = one.inputs(rows), reference.inputs(rows)
        # Not bit by bit: another device or JAX version may round differently.
        if not (np.abs(inputs - expected) <= 1e-5 * np.abs(expected).max(axis=0)).all():
            raise ValueError(
                f"`shards`: the parameters in {told} differ from those in {first}, although prior and seed are the "
                "same, perhaps because of another JAX or numpyro version. Run one of them again with that of the other."
            )
    with_outputs = [(told, one) for told, one in [(first, reference), *others] if one.x_shape is not None]
    for told, one in with_outputs[1:]:
        for what, got, wanted in zip(
            ("shape", "names"), _kind_of_outputs(one), _kind_of_outputs(with_outputs[0][1]), strict=True
        ):
            if got != wanted:
                raise ValueError(
                    f"`shards`: the outputs in {with_outputs[0][0]} have the {what} {wanted}, and those in {told} the "
                    f"{what} {got}. Run one of them again with the simulator of the other."
                )


def _kind_of_outputs(store: SimulationStore) -> tuple[tuple[int, ...], Any]:
    """The shape of one output, and the names of its values in no order."""
    names = store.attributes.get("outputs")
    shape = tuple(store.attributes.get("output_shape", store.x_shape or ()))
    return shape, names if names is None else sorted(names)


def _united(shares: dict[Shard, SimulationStore], before: SimulationStore | None) -> _Union:
    """All rows of the shares, and of the store that is there before."""
    stores = [*shares.values(), *([] if before is None else [before])]
    longest = max(stores, key=len)
    n, inputs = len(longest), longest.inputs()
    # The first one gives named outputs their order; a store that is there already keeps its own.
    kinds = [one for one in [*stores[len(shares) :], *shares.values()] if one.x_shape is not None]
    kind = kinds[0] if kinds else None
    double = any(one.x_dtype == np.float64 for one in kinds)
    union = _Union(
        inputs=inputs,
        standing=np.full(n, _TO_RUN),
        reasons=np.full(n, "", object),
        x=None if kind is None else np.full((n, *(kind.x_shape or ())), np.nan, np.float64 if double else np.float32),
        output_shape=() if kind is None else _kind_of_outputs(kind)[0],
        names=None if kind is None else Names.read(kind.attributes.get("outputs")),
        run_seconds=unknown_seconds(n),
        new=np.full(n, False),
    )
    for share, one in shares.items():
        rows = np.arange(len(one))
        union.new[union.take(one, rows[share.owns(rows)])] = True
    if before is not None:
        # Shares came first, for they keep outputs in full precision; what they lack may be in the store.
        rows = np.arange(len(before))
        union.new[rows] &= union.standing[rows] > _standing(before.read()["status"])
        union.take(before, rows)
    return union


def _standing(status: np.ndarray) -> np.ndarray:
    """What became of rows, from their status in a store."""
    return np.where(status == OK, _SUCCEEDED, np.where(status == PENDING, _TO_RUN, _FAILED))


def _what_is_missing(shares: dict[Shard, SimulationStore], union: _Union, store: Path) -> list[str]:
    """One text for each share that is not there, or has rows to run."""
    to_run, count = np.flatnonzero(union.standing == _TO_RUN), next(iter(shares)).of
    told = []
    for share in (Shard(number, count) for number in range(1, count + 1)):
        n = int(share.owns(to_run).sum())
        if n and share not in shares:
            told.append(f"{share} is not there yet: {share.path(store)}")
        elif n:
            rows = int(share.owns(np.arange(len(union.standing))).sum())
            told.append(f"{share} has {n} of {rows} rows to run: {shares[share].path}")
    return told


def _header(shares: dict[Shard, SimulationStore]) -> dict[str, Any]:
    attributes = next(iter(shares.values())).attributes
    header = make_header(*(attributes[key] for key in ("names", "seed", "prior", "simulator")))
    further = ("condition_names", "conditions_prior", "unequal_sets")
    return header | {key: attributes[key] for key in further if key in attributes}


def _fill(store: SimulationStore, union: _Union, shares: dict[Shard, SimulationStore]) -> None:
    """Writes the rows that a store does not have, and what is known of all."""
    attributes = store.attributes
    if union.x is not None:
        dtype = _precision(union.x, union.standing)
        if store.x_dtype is None:
            store.create_outputs(union.output_shape, dtype, union.names)
        elif store.x_dtype != dtype:
            store.convert(union.x, dtype)
    rows, reasons = np.flatnonzero(union.new), list(attributes["reasons"])
    status = np.array([reason_code(union.reasons[row] or None, reasons) for row in rows], np.int32)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        x = None if union.x is None else union.x[rows[block]]
        store.write(rows[block], x, status[block], reasons, union.run_seconds[rows[block]])
    # By share, so that none is counted twice when the shares are put together again.
    counted = dict(attributes.get("shard_seconds", {}))
    own = attributes["seconds"] - sum(counted.values())
    counted |= {f"{share.number}/{share.of}": one.attributes["seconds"] for share, one in shares.items()}
    # Where any of them saw noise, there is noise.
    all_attributes = [attributes, *(one.attributes for one in shares.values())]
    looked = [one["deterministic"] for one in all_attributes if "deterministic" in one]
    known = {"deterministic": all(looked)} if looked else {}
    store.set_attributes(seconds=own + sum(counted.values()), shard_seconds=counted, **known)


def _precision(x: np.ndarray, standing: np.ndarray) -> Any:
    """The precision that the outputs need, by the rule of `simulate`; while some are missing, that which they have."""
    rounding = Rounding()
    for row in np.flatnonzero(standing == _SUCCEEDED):
        if is_watched(int(row)):
            rounding.add(x[row])
    if x.dtype != np.float64:
        rounding.warn()
        return np.float32
    enough = rounding.count >= 2 and not (standing == _TO_RUN).any()
    return np.float32 if enough and rounding.worst() is None else np.float64
