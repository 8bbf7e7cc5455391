"""Several observations from one file, and the axes of one that a file does not show."""

from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.damaged_files import load_arrays
from .observation import Observation
from .reading import options_for, read_observation


def read_observations(
    path: str | Path,
    x_shape: tuple[int, ...],
    condition_names: tuple[str, ...] = (),
    options: dict[str, Any] | None = None,
    *,
    any_size: bool = False,
) -> tuple[np.ndarray, dict[str, np.ndarray], Observation]:
    """Reads a stack of observations, and the known conditions of each.

    Args:
        path: of a table with one observation a row, or in long form with a column that tells them apart
            (`options={"group": "patient"}`); of an .npy file (m, ...); or of an .npz file with one such array, or with
            the array `x_o` and one of shape (m,) for each condition, by its name.
        x_shape: of one observation; axes of length 1 may be missing.
        condition_names: conditions that the cost takes.
        options: of `read_observation`. Without a group rows are observations, and only what says how cells are written
            holds.
        any_size: see `as_stack`.

    Returns:
        Observations (m, *x_shape), the conditions by name, and what was read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not numbers, another shape, or conditions that are missing.
    """
    path, known = Path(path), {}
    options = dict(options or {})
    if "group" not in options:
        options = {name: value for name, value in options.items() if name in ("missing", "decimal", "sheet")}
    options = options_for(path, options)
    arrays = load_arrays(path) if path.suffix.lower() == ".npz" and path.is_file() else ()
    several = not isinstance(arrays, np.ndarray) and len(arrays) > 1
    found = read_observation(path, **{**options, **({"key": "x_o"} if several else {})})
    if condition_names:
        if path.suffix.lower() != ".npz":
            raise ValueError(
                f"{path.name}: the cost takes the known conditions ({', '.join(condition_names)}): give an .npz file "
                "with the array x_o and one of shape (m,) for each condition, by its name."
            )
        known = {name: read_observation(path, key=name).values for name in condition_names}
    return as_stack(found, x_shape, any_size=any_size), known, found


def as_stack(found: Observation, x_shape: tuple[int, ...], *, any_size: bool = False) -> np.ndarray:
    """The stack of observations (m, *x_shape) that was read.

    Args:
        found: what was read.
        x_shape: of one observation.
        any_size: whether observations are sets (trials, trial_dim) that may have another number of trials than x_shape;
            where one has fewer than the others, NaN stands for those that it does not have.

    Raises:
        ValueError: another shape.
    """
    values, size = found.values, int(np.prod(x_shape))
    if any_size and len(x_shape) == 2 and found.groups is not None:
        values = values[..., None] if values.ndim == 2 and x_shape[1] == 1 else values
        if values.ndim == 3 and values.shape[2] == x_shape[1]:
            return values
    if found.trials is not None and len(set(found.trials)) > 1:
        few, most = min(found.trials), max(found.trials)
        raise ValueError(
            f"{found.source} has {few} to {most} rows for each {found.group_name}, and outputs have the shape "
            f"{x_shape}: only sets of trials (trials, trial_dim) may differ in their number, for a distance of such "
            'sets. Name the column that tells which rows belong together, by index="...".'
        )
    # A table of one column, or of one row, is read as a vector.
    m = len(values) if size == 1 or values.ndim > 1 else values.size // size
    if values.size != m * size or (
        values.ndim > 1 and np.squeeze(values[0]).shape != np.squeeze(np.empty(x_shape)).shape
    ):
        wanted = ", ".join(map(str, x_shape))
        text = f"{found.source} has shape {values.shape}, expected a stack of observations (m, {wanted})."
        raise ValueError(f"{text} What was read: {found.summary}." if found.groups is not None else text)
    return values.reshape(m, *x_shape)


def as_output(x_o: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """The observation with the axes of length 1 that tables of numbers do not show; its own shape where it has more."""
    if np.squeeze(x_o).shape == tuple(size for size in x_shape if size != 1):
        return x_o.reshape(x_shape)
    # A vector is a column of trials, as many as there are.
    return x_o[:, None] if x_o.ndim == 1 and len(x_shape) == 2 and x_shape[1] == 1 else x_o
