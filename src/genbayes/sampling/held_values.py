"""The values at which parameters of a posterior are held: by name in, checked against the prior, as columns out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ..priors.prior import Prior


def held_columns(prior: Prior, values: Any, rows: int, known: Mapping[str, Any]) -> dict[str, Float[np.ndarray, " m"]]:
    """The value of every parameter that is to be held, by the name of its coordinate, for each of some observations.

    Args:
        prior: over the parameters that are not held yet.
        values: a mapping from a parameter's name to its value: one number, or one for each observation; of a
            vector-valued parameter all coordinates, by its own name or by theirs.
        rows: number of observations.
        known: names that are known already: conditions, and parameters that are held.

    Raises:
        TypeError: no mapping, or values that are no numbers.
        ValueError: none are given, or all; an unknown name; a part of a vector-valued parameter; a value outside the
            support, or between the values of an integer.
    """
    if not isinstance(values, Mapping):
        raise TypeError(
            f"values must be a mapping from parameter to value, such as {{{prior.names[0]!r}: 0.3}}, got "
            f"{type(values).__name__}."
        )
    if not values:
        raise ValueError(f"values is empty: hold one or more of the parameters {', '.join(prior.names)}.")
    columns: dict[str, np.ndarray] = {}
    for name, value in values.items():
        columns |= _of_parameter(prior, name, value, rows, known)
    columns = {name: columns[name] for name in prior.names if name in columns}
    if len(columns) == prior.dim:
        raise ValueError(
            f"values holds all parameters ({', '.join(prior.names)}), and leaves none to sample: "
            "posterior.log_density(theta) is the density there."
        )
    _check_whole_vectors(prior, columns)
    _check_support(prior, columns)
    return columns


def _of_parameter(
    prior: Prior, name: Any, value: Any, rows: int, known: Mapping[str, Any]
) -> dict[str, Float[np.ndarray, " m"]]:
    """One parameter's columns."""
    coordinates = [one for one in prior.names if one == name or one.startswith(f"{name}[")]
    if not coordinates:
        if name in known:
            raise ValueError(f"values has {name!r}, which is known already ({name} = {known[name]}).")
        raise ValueError(f"values has {name!r}, which is no parameter; the parameters are {', '.join(prior.names)}.")
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"values[{name!r}] must be a number, got {value!r}.")
    expected = (rows,) if coordinates == [name] else (rows, len(coordinates))
    try:
        array = np.broadcast_to(array, expected).reshape(rows, -1).astype(np.float32)
    except ValueError:
        each = "" if rows == 1 else f", or one for each of {rows} observations"
        one = "one number" if coordinates == [name] else f"{len(coordinates)} numbers ({', '.join(coordinates)})"
        raise ValueError(f"values[{name!r}] has shape {array.shape}, expected {one}{each}.") from None
    return {coordinate: array[:, i] for i, coordinate in enumerate(coordinates)}


def _check_whole_vectors(prior: Prior, columns: Mapping[str, np.ndarray]) -> None:
    """Refuses a part of a vector: its coordinates may depend on each other in the prior."""
    for name in columns:
        vector = name.split("[")[0]
        missing = [one for one in prior.names if one.startswith(f"{vector}[") and one not in columns]
        if "[" in name and missing:
            raise ValueError(
                f"values holds {name}, but not {', '.join(missing)}: the coordinates of {vector} may depend on each "
                f"other in the prior. Hold all of them ({vector!r}: [...]), or make each a parameter of its own in the "
                "prior of the simulations."
            )


def _check_support(prior: Prior, columns: Mapping[str, np.ndarray]) -> None:
    """Refuses values that the prior excludes: nothing was simulated there."""
    bounds = dict(zip(prior.names, prior.bounds, strict=True))
    levels = dict(zip(prior.names, prior.levels, strict=True))
    for name, column in columns.items():
        (low, high), allowed = bounds[name], levels[name]
        for value in column:
            if allowed is not None and value != np.round(value):
                raise ValueError(f"values holds {name} at {value:.6g}, but it is an integer: give a whole number.")
            if not (np.isfinite(value) and low <= value <= high):
                raise ValueError(
                    f"values holds {name} at {value:.6g}, outside the prior's support [{low:.6g}, {high:.6g}]: nothing "
                    "was simulated there."
                )
    # What limits alone do not tell: a simplex, an ordered vector, an open end.
    names = list(columns)
    inside = np.asarray(prior.select(names).contains(np.stack([columns[name] for name in names], axis=1)))
    if not inside.all():
        row = int(np.argmin(inside))
        told = ", ".join(f"{name} = {columns[name][row]:.6g}" for name in names)
        raise ValueError(f"values lie outside the prior's support: {told}. Nothing was simulated there.")
