"""Chunks of a store that cannot be read, and rows that cannot be right: found, named, and not believed."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from ..distances.unequal_sets import trials_present
from ..runtime.checksums import is_checked
from .status import OK

# Named in a warning; the others are counted.
_MOST_NAMED = 5


@dataclass(frozen=True)
class Damage:
    """A chunk, or rows, that cannot be used.

    Attributes:
        chunk: its file in the store, such as "x/c/3/0"; the array where no file is to blame.
        rows: numbers of the rows that it holds (m,), of those that were asked for.
        what: is wrong with it.
        unreadable: whether the file has to go before rows of it can be written.
    """

    chunk: str
    rows: np.ndarray
    what: str
    unreadable: bool = False

    def __str__(self) -> str:
        first, last = int(self.rows[0]), int(self.rows[-1])
        which = f"row {first}" if first == last else f"{len(self.rows)} rows from {first} to {last}"
        return f"{self.chunk} {self.what} ({which})"


def warn_of(damages: Sequence[Damage], path: str, remedy: str) -> None:
    """A UserWarning that names what is damaged, and what happens to its rows."""
    if not damages:
        return
    named = "; ".join(str(damage) for damage in damages[:_MOST_NAMED])
    more = f"; and {len(damages) - _MOST_NAMED} more" if len(damages) > _MOST_NAMED else ""
    n = len(np.unique(np.concatenate([damage.rows for damage in damages])))
    warnings.warn(f"{path} is damaged: {named}{more}. {n} rows are pending because of it: {remedy}", stacklevel=4)


def chunk_file(array: zarr.Array, row: int) -> str:
    """The file of the chunk that holds a row; every chunk holds whole rows."""
    return f"{array.basename}/{array.metadata.encode_chunk_key((row // array.chunks[0], *[0] * (array.ndim - 1)))}"


def read_rows(array: zarr.Array, folder: Path, rows: np.ndarray, *, whole: bool) -> tuple[np.ndarray, list[Damage]]:
    """Values of ascending rows, with the fill value where a chunk cannot be read, and the chunks that cannot.

    Args:
        array: to be read.
        folder: of the store.
        rows: (m,).
        whole: whether every chunk was written when the array was made, so that one that is not there is damage; arrays
            of earlier versions left out those without values.

    Raises:
        OSError: a file cannot be read for another reason than what is in it.
    """
    damages: list[Damage] = []
    try:
        values = np.asarray(array.get_orthogonal_selection((rows,)))
    except (OSError, MemoryError):
        raise
    except Exception:
        values = np.full((len(rows), *array.shape[1:]), array.fill_value, array.dtype)
        for part in _by_chunk(array, rows):
            try:
                values[part] = np.asarray(array.get_orthogonal_selection((rows[part],)))
            except (OSError, MemoryError):
                raise
            except Exception as error:
                what = "has a wrong checksum" if "checksum" in str(error) else f"cannot be read ({_first_line(error)})"
                damages.append(Damage(chunk_file(array, int(rows[part][0])), rows[part], what, unreadable=True))
    if whole and is_checked(array):
        for part in _by_chunk(array, rows):
            chunk = chunk_file(array, int(rows[part][0]))
            if not (folder / chunk).is_file():
                damages.append(Damage(chunk, rows[part], "is missing"))
    return values, damages


def impossible_rows(x: zarr.Array | None, folder: Path, rows: np.ndarray, wrong: np.ndarray) -> list[Damage]:
    """Damage of rows that succeeded and have no finite output, by the chunk of their output.

    Args:
        x: array of outputs, None where there is none.
        folder: of the store.
        rows: numbers of rows (m,).
        wrong: which of them (m,) bool.
    """
    if not wrong.any():
        return []
    rows = rows[wrong]
    if x is None:
        return [Damage("x", rows, "is missing")]
    damages = []
    for part in _by_chunk(x, rows):
        chunk = chunk_file(x, int(rows[part][0]))
        there = (folder / chunk).is_file()
        what = "holds no finite output of rows that succeeded" if there else "is missing"
        damages.append(Damage(chunk, rows[part], what))
    return damages


def not_finite(values: np.ndarray, *, unequal_sets: bool = False) -> np.ndarray:
    """Which rows of (m, ...) hold something that is not finite, (m,) bool.

    Args:
        values: of all rows.
        unequal_sets: whether each is a set (trials, trial_dim) in which rows of NaN are no trials.
    """
    if unequal_sets and values.ndim == 3:
        seen = trials_present(values)
        wrong = np.logical_not(np.all(np.isfinite(values), axis=2))
        return np.logical_or(np.any(wrong & seen, axis=1), np.logical_not(np.any(seen, axis=1)))
    return np.logical_not(np.isfinite(values).reshape(len(values), -1).all(axis=1))


def succeeded_without_output(status: np.ndarray, x: np.ndarray | None, *, unequal_sets: bool = False) -> np.ndarray:
    """Which rows have the status "ok" and no finite output, (m,) bool."""
    ok = status == OK
    return ok if x is None else ok & not_finite(x, unequal_sets=unequal_sets)


def _by_chunk(array: zarr.Array, rows: np.ndarray) -> list[slice]:
    """The parts of ascending rows that lie in one chunk each."""
    if not len(rows):
        return []
    borders = np.flatnonzero(np.diff(rows // array.chunks[0])) + 1
    return [slice(*pair) for pair in zip([0, *borders.tolist()], [*borders.tolist(), len(rows)], strict=True)]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".split("\n")[0][:100]
