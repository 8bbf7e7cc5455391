"""The store of a call: opened where it is there, else made whole beside and renamed."""

from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.files import recovered, replaced_folder
from .store import SimulationStore
from .zarr_folder import is_unfinished


def opened_store(path: str | Path, header: dict[str, Any], inputs: np.ndarray) -> SimulationStore:
    """The store at a path, of at least these rows; the caller is its only writer.

    Args:
        path: of a store, of an empty folder, or where nothing is.
        header: attributes, which an existing store has to have.
        inputs: parameters and conditions of the rows (n, dim + c).

    Raises:
        ValueError: something else is there, or a store of other runs.
    """
    is_new = not recovered(Path(path)).exists() or is_unfinished(Path(path))
    if is_new:
        # Whole or not at all: a job that is killed in its first second can be run again.
        with replaced_folder(Path(path)) as beside:
            SimulationStore.create(beside, header, inputs)
    # The rows of a refinement lie between and behind the draws of the prior, and are none of this job's.
    opened = SimulationStore.open(path, writable=True, round=0)
    opened.check_header(header)
    opened.is_new = is_new
    if len(inputs) > len(opened):
        opened.append(inputs[len(opened) :])
    return opened
