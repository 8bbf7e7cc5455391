"""Observations from files: tables of numbers, .npy and .npz."""

import re
from pathlib import Path
from typing import Any

import numpy as np


def read_observation(source: str | Path | list, key: str | None = None) -> np.ndarray:
    """Reads one observation and checks that all of it is finite numbers.

    A table of one column or one row is a vector; other tables are (rows, columns). A first line of words is a header.

    Args:
        source: path of a .csv, .txt, .tsv, .dat, .npy or .npz file, or a (nested) list of numbers.
        key: name of the array in an .npz file; not needed if there is only one.

    Returns:
        float64 array.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not numbers, NaN or infinity among them, or an unknown kind of file.
    """
    if isinstance(source, list):
        return _checked(_as_numbers(source, "the values"), "the values")
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}. A relative path starts at the folder of the problem file.")
    suffix = path.suffix.lower()
    if key is not None and suffix != ".npz":
        raise ValueError(f"key = {key!r} is for .npz files only, and {path.name} is none. Leave it out.")
    if suffix in (".csv", ".txt", ".tsv", ".dat"):
        return _checked(_read_table(path), path.name)
    if suffix in (".npy", ".npz"):
        return _checked(_read_numpy(path, key), path.name)
    raise ValueError(f"{path.name}: expected a .csv, .txt, .tsv, .dat, .npy or .npz file.")


def read_observations(
    path: str | Path, x_shape: tuple[int, ...], condition_names: tuple[str, ...] = ()
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Reads a stack of observations, and the known conditions of each.

    Args:
        path: of a table with one observation a row, of an .npy file (m, ...), or of an .npz file with one such array,
            or with the array `x_o` and one of shape (m,) for each condition, by its name.
        x_shape: of one observation; axes of length 1 may be missing.
        condition_names: conditions that the cost takes.

    Returns:
        Observations (m, *x_shape), and the conditions by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not numbers, another shape, or conditions that are missing.
    """
    path, known = Path(path), {}
    several = path.suffix.lower() == ".npz" and path.is_file() and len(np.load(path).files) > 1
    values = read_observation(path, "x_o" if several else None)
    if condition_names:
        if path.suffix.lower() != ".npz":
            raise ValueError(
                f"{path.name}: the cost takes the known conditions ({', '.join(condition_names)}): give an .npz file "
                "with the array x_o and one of shape (m,) for each condition, by its name."
            )
        known = {name: read_observation(path, name) for name in condition_names}
    size = int(np.prod(x_shape))
    # A table of one column, or of one row, is read as a vector.
    m = len(values) if size == 1 or values.ndim > 1 else values.size // size
    if values.size != m * size or (
        values.ndim > 1 and np.squeeze(values[0]).shape != np.squeeze(np.empty(x_shape)).shape
    ):
        wanted = ", ".join(map(str, x_shape))
        raise ValueError(f"{path.name} has shape {values.shape}, expected a stack of observations (m, {wanted}).")
    return values.reshape(m, *x_shape), known


def as_output(x_o: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """The observation with the axes of length 1 that tables of numbers do not show; its own shape where it has more."""
    if np.squeeze(x_o).shape == tuple(size for size in x_shape if size != 1):
        return x_o.reshape(x_shape)
    # A vector is a column of trials, as many as there are.
    return x_o[:, None] if x_o.ndim == 1 and len(x_shape) == 2 and x_shape[1] == 1 else x_o


def _read_table(path: Path) -> np.ndarray:
    lines = [(i, line.strip()) for i, line in enumerate(path.read_text("utf-8-sig").splitlines(), start=1)]
    lines = [(i, line) for i, line in lines if line and not line.startswith("#")]
    text = "".join(line for _, line in lines)
    separator = next((mark for mark in (";", ",") if mark in text), None)
    rows: list[list[float]] = []
    for position, (number, line) in enumerate(lines):
        cells = [cell.strip() for cell in line.split(separator)] if separator else re.split(r"\s+", line)
        try:
            rows.append([float(cell) if cell else np.nan for cell in cells])
        except ValueError:
            if position > 0:
                raise ValueError(f"{path.name}, line {number}: expected numbers, got {line[:60]!r}.") from None
        if rows and len(rows[-1]) != len(rows[0]):
            raise ValueError(
                f"{path.name}, line {number}: {len(rows[-1])} numbers, the lines before have {len(rows[0])}."
            )
    if not rows:
        raise ValueError(f"{path.name} holds no numbers.")
    table = np.array(rows)
    return table.reshape(-1) if 1 in table.shape else table


def _read_numpy(path: Path, key: str | None) -> np.ndarray:
    try:
        loaded: Any = np.load(path, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read as a numpy file: {error}") from error
    if isinstance(loaded, np.ndarray):
        return _as_numbers(loaded, path.name)
    with loaded:
        if key is None and len(loaded.files) == 1:
            key = loaded.files[0]
        if key not in loaded.files:
            wanted = f"has no array {key!r}" if key else "has several arrays"
            raise ValueError(f'{path.name} {wanted}: say which by key = "..." ({", ".join(loaded.files)}).')
        return _as_numbers(loaded[key], path.name)


def _as_numbers(values: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} are nested lists of different lengths. Give every row as many numbers.") from None
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold numbers, got an array of dtype {array.dtype}.")
    return array


def _checked(values: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(values, np.float64)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise ValueError(
            f"{name}: {len(bad)} of {array.size} values are NaN, empty or infinite, the first at index "
            f"{tuple(int(i) for i in bad[0])} (counted from 0, shape {array.shape}). Fill the gaps, or leave these "
            "coordinates out of the simulator's output, the distance and the observation."
        )
    if array.size == 0:
        raise ValueError(f"{name}: the observation is empty.")
    return array
