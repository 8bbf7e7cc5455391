"""Observations from arrays without labels: .npy, .npz, lists and numpy arrays."""

from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.damaged_files import load_arrays
from ..runtime.named_values import without_mask
from .observation import Observation


def read_numpy(path: Path, key: str | None) -> Observation:
    """The array of an .npy or .npz file.

    Raises:
        ValueError: it is no such file, holds no numbers, or several arrays of which `key` names none.
    """
    loaded = load_arrays(path)
    if isinstance(loaded, np.ndarray):
        return of_array(loaded, path.name)
    if key is None and len(loaded) == 1:
        key = next(iter(loaded))
    if key not in loaded:
        wanted = f"has no array {key!r}" if key else "has several arrays"
        raise ValueError(f'{path.name} {wanted}: say which by key = "..." ({", ".join(loaded)}).')
    return of_array(loaded[key], path.name)


def of_array(values: Any, source: str) -> Observation:
    """Numbers without names or index.

    Raises:
        ValueError: nested lists of different lengths, or no numbers.
    """
    try:
        array = np.asarray(without_mask(values))
    except ValueError:
        raise ValueError(f"{source} are nested lists of different lengths. Give every row as many numbers.") from None
    if array.dtype.kind == "O" and all(one is None or isinstance(one, int | float) for one in array.flat):
        array = array.astype(np.float64)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{source} must hold numbers, got an array of dtype {array.dtype}.")
    return Observation(array.astype(np.float64), source=source)
