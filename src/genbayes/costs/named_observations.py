"""Observations by name, in the order of the simulations' outputs."""

from typing import Any

import numpy as np

from ..distances.unequal_sets import is_ragged, side_by_side
from ..observations import Observation
from ..runtime.named_values import Names, fields_of, without_mask


def as_vector(x_o: Any, outputs: Names | None) -> np.ndarray:
    """One observation as an array; one by name in the order of the outputs.

    Args:
        x_o: numbers in the shape of an output; or a mapping, a pandas Series or a structured array of named values; or
            what was read from a row of a table, whose columns are found by name where they are called as outputs are.
        outputs: names of the outputs, None where they have none.

    Raises:
        ValueError: names that are missing or unknown, or values of another shape.
        TypeError: values that are no numbers.
    """
    fields = fields_of(x_o)
    if fields is None and isinstance(x_o, Observation) and outputs is not None:
        columns = dict(zip(x_o.names, x_o.values, strict=False)) if x_o.values.ndim == 1 and x_o.groups is None else {}
        if len(columns) == len(x_o.values) and set(columns) == set(outputs.coordinates):
            return np.array([columns[name] for name in outputs.coordinates], np.float64)
    if fields is None:
        return np.asarray(without_mask(x_o))
    if outputs is None:
        raise ValueError(
            f"x_o has names ({', '.join(fields)}), but the values of the simulations' outputs have none: let the "
            "simulator return a dictionary, or give x_o as an array."
        )
    try:
        return outputs.vector(fields)
    except ValueError as error:
        raise ValueError(f"x_o does not have the values of an output: {error}. A missing value is NaN.") from None


def as_stack(x_o: Any, outputs: Names | None) -> np.ndarray:
    """Observations (m, *x_shape); also a list of observations by name, or a DataFrame with a row for each.

    A list of sets of different numbers of trials becomes one array, filled up with trials of NaN.

    Raises:
        ValueError: see `as_vector`.
        TypeError: see `as_vector`.
    """
    if isinstance(x_o, list | tuple) and x_o and fields_of(x_o[0]) is not None:
        return np.stack([as_vector(one, outputs) for one in x_o])
    if is_ragged(x_o):
        return side_by_side(x_o)
    fields = fields_of(x_o)
    if fields is None or outputs is None:
        return np.asarray(without_mask(x_o)) if fields is None else as_vector(x_o, outputs)
    rows = {values.shape[:1] for values in fields.values()}
    if len(rows) != 1 or rows == {()}:
        raise ValueError(
            f"x_o must be a stack of observations: one row of {outputs.in_words} for each, got {', '.join(fields)} of "
            "shapes " + ", ".join(str(values.shape) for values in fields.values()) + "."
        )
    try:
        return outputs.vector(fields, int(rows.pop()[0]))
    except ValueError as error:
        raise ValueError(f"x_o does not have the values of outputs: {error}. A missing value is NaN.") from None
