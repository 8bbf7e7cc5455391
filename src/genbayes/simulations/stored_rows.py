"""Rows of simulations on their way to a store, to xarray, and back from a store."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np

from ..runtime.named_values import Names
from .status import INITIAL_REASONS
from .store import ARRAY_NAMES, PENDING, SimulationStore, unknown_seconds

if TYPE_CHECKING:
    import xarray as xr
else:
    # Its import, with pandas, takes half a second.
    xr = lazy_loader.load("xarray")


def write_rows(simulations: Any, path: Path, header: dict[str, Any]) -> None:
    """Write a new store: the rows of the prior, then those of every round of refinement.

    Args:
        simulations: a `Simulations`.
        path: of the store, where nothing is yet.
        header: what the store says of all rows.
    """
    part = simulations.of_prior
    store = SimulationStore.create(path, header, part.inputs)
    store.create_outputs(simulations.x_shape, simulations.x.dtype, simulations.outputs)
    store.write(np.arange(len(part)), part.x, part.status, simulations.reasons, part.run_seconds)
    store.add_seconds(simulations.seconds)
    for k in np.unique(simulations.round[simulations.round > 0]).tolist():
        part = simulations.selected(simulations.round == k)
        store = SimulationStore.open(path, writable=True, round=k)
        store.append(part.inputs, part.noise_block)
        store.write(np.arange(len(part)), part.x, part.status, simulations.reasons, part.run_seconds)


def as_dataset(simulations: Any, header: Mapping[str, Any]) -> "xr.Dataset":
    """The rows of a `Simulations` with names of their axes and coordinates; the header becomes attributes."""
    dimensions = ("simulation", *(f"x_dim_{i}" for i in range(len(simulations.x_shape))))
    arrays = {"theta": (("simulation", "parameter"), simulations.theta), "x": (dimensions, simulations.x)}
    status = {"status": simulations.status}
    status |= {array: getattr(simulations, name) for name, array in ARRAY_NAMES.items()}
    if not np.isnan(simulations.run_seconds).all():
        status["run_seconds"] = simulations.run_seconds
    status = {name: (("simulation",), values) for name, values in status.items()}
    coordinates = {"parameter": list(simulations.names)}
    if simulations.outputs is not None:
        coordinates |= {"x_dim_0": list(simulations.outputs.coordinates)}
    if simulations.condition_names:
        arrays |= {"conditions": (("simulation", "condition"), simulations.conditions)}
        coordinates |= {"condition": list(simulations.condition_names)}
    return xr.Dataset({**arrays, **status}, coordinates, {**header, "seconds": simulations.seconds})


def fields_of_record(record: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """The fields of a `Simulations` from what a store holds, with the reasons renumbered by their first row.

    The numbers in a store follow the order in which runs ended; these do not, so equal runs give equal arrays.

    Args:
        record: what the store holds.
        wanted: names of the fields.
    """
    status, reasons = record["status"], list(record["reasons"])
    codes, first_rows = np.unique(status[status > PENDING], return_index=True)
    codes = codes[np.argsort(first_rows)]
    renumbered = np.arange(max(len(reasons), 2), dtype=np.int32)
    renumbered[codes] = np.arange(len(codes)) + PENDING + 1
    dim = len(record["names"])
    prior_rows = {name: np.zeros(len(status), np.int32) for name in ARRAY_NAMES}
    full = {"condition_names": (), "conditions_prior": [], "deterministic": False, "unequal_sets": False}
    full |= {"sampled_from": None, "run_seconds": unknown_seconds(len(status))}
    full |= {**prior_rows, **record}
    full["outputs"] = Names.read(full.get("outputs"))
    full |= {"theta": full["inputs"][:, :dim], "conditions": full["inputs"][:, dim:]}
    values = {name: full[name] for name in wanted}
    values["status"] = renumbered[status]
    values["reasons"] = (*INITIAL_REASONS, *(reasons[code] for code in codes))
    values["names"], values["condition_names"] = tuple(values["names"]), tuple(values["condition_names"])
    return values
