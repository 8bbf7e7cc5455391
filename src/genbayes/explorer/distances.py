"""Feature maps of distances as numbers: what a page needs to take any observation to its features."""

from functools import singledispatch
from typing import Any

import numpy as np

from ..distances import MMD, Distance, EnergyDistance, Mahalanobis, MeanSquaredError, SlicedWasserstein
from ..distances.additive import placed
from ..distances.sets import KernelDistance
from .numbers import double, single


@singledispatch
def export_features(distance: Distance, x_shape: tuple[int, ...]) -> dict[str, Any] | None:
    """The feature map of a distance of outputs in the frame; None where the page has no program for it."""
    del distance, x_shape
    return None


@export_features.register
def _(distance: MeanSquaredError, x_shape: tuple[int, ...]) -> dict[str, Any]:
    weights = np.broadcast_to(np.asarray(placed(distance.weights), np.float64), x_shape)
    factor = np.sqrt(weights) / np.asarray(distance.scale, np.float64) / np.sqrt(weights.size)
    return {"kind": "factors", "factor": double(factor.reshape(-1))}


@export_features.register
def _(distance: Mahalanobis, x_shape: tuple[int, ...]) -> dict[str, Any]:
    del x_shape
    return {"kind": "matrix", "matrix": double(distance.whitening)}


@export_features.register
def _(distance: MMD, x_shape: tuple[int, ...]) -> dict[str, Any]:
    del x_shape
    assert distance.bandwidth is not None  # of a fitted distance
    return {"kind": "mmd", "bandwidth": float(distance.bandwidth), **_of_landmarks(distance)}


@export_features.register
def _(distance: EnergyDistance, x_shape: tuple[int, ...]) -> dict[str, Any]:
    del x_shape
    assert distance.centre is not None  # of a fitted distance
    centre, unit = double(distance.centre), float(np.asarray(distance.unit))
    return {"kind": "energy", "centre": centre, "unit": unit, **_of_landmarks(distance)}


@export_features.register
def _(distance: SlicedWasserstein, x_shape: tuple[int, ...]) -> dict[str, Any]:
    directions = distance.directions(x_shape[1])
    return {"kind": "sorted", "directions": double(directions), "unit": float(np.asarray(distance.unit))}


def _of_landmarks(distance: KernelDistance) -> dict[str, Any]:
    return {
        "landmarks": single(distance.landmarks),
        "whitening": single(distance.whitening),
        "unbiased": distance.estimator == "unbiased",
    }
