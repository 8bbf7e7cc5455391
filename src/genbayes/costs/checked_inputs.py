"""What a cost is asked about, checked: observations, known conditions, and parameters that are whole numbers.

In come a cost and what a user passes; out come arrays, or an error that names the remedy.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from ..distances import AdditiveDistance
from ..distances.base import class_names
from ..distances.gaps import has_gaps, without_missing_trials
from ..observations import Observation
from ..runtime.compiling import is_traced, on_device
from .forms import HilbertForm, NetworkForm
from .named_observations import as_vector

# Numbers and arrays of any rank. float and int are spelled out: numpy counts them as complex, run-time checks do not.
Numbers = ArrayLike | float | int
# An observation: its numbers, or a mapping to them from the names of the simulator's outputs.
Observed = Numbers | Mapping[str, Any]
# Known conditions: values by name, or an array (..., c) in the order of `Cost.condition_names`.
Conditions = Mapping[str, Numbers] | Numbers | None


def checked_observation(cost: Any, x_o: Observed) -> Float[np.ndarray, "..."]:
    """One observation as an array in double precision, or ValueError that says what is wrong with it.

    NaN is a missing value where the cost reads gaps; missing trials of a set are left out of it.
    """
    values = as_vector(x_o, cost.outputs)
    if values.dtype.kind not in "fiub":
        raise TypeError(f"x_o must hold numbers, got an array of dtype {values.dtype}.")
    if values.ndim == 0 and cost.x_shape == (1,):
        values = values.reshape(1)
    try:
        cost.distance.check_target(cost.x_shape, values.shape)
    except ValueError as error:
        raise ValueError(f"{error}{x_o.rows_remedy if isinstance(x_o, Observation) else ''}") from None
    values = values.astype(np.float64)
    if cost.distance.reads_sets and has_gaps(values):
        whole, values = len(values), without_missing_trials(values)
        try:
            cost.distance.check_target(cost.x_shape, values.shape)
        except ValueError:
            raise ValueError(
                f"x_o has {whole - len(values)} missing trials (NaN) of {whole}, and the distance "
                f"{cost.distance.name} compares sets of as many trials as the simulator makes. Take one of "
                f"{class_names(reads_unequal_sets=True)}, which read sets of any size, or simulate as many trials as "
                "were observed."
            ) from None
    cost.frame.transform.check(values[None], "x_o", names=cost.output_names)
    framed = cost.frame(values)
    missing = np.isnan(values) if cost.reads_gaps else np.zeros(values.shape, bool)
    bad = np.argwhere(~np.isfinite(framed) & ~missing)
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        where = f"index {index}" if cost.output_names is None else cost.output_names[index[0]]
        raise ValueError(
            f"x_o has {len(bad)} value(s) that are NaN or infinite (in float32), the first at {where}. "
            f"{_gaps_remedy(cost) if has_gaps(values) else 'A distance takes finite numbers.'}"
        )
    if not values.size or missing.all():
        raise ValueError("x_o has no value that was observed: all are missing (NaN).")
    return values


def checked_conditions(cost: Any, conditions: Conditions) -> Float[Array, "... c"]:
    """Conditions as an array, from a mapping of names to values or from an array (..., c).

    Raises:
        ValueError: conditions are missing, too many, of other names, or between the values of an integer.
    """
    names = cost.condition_names
    if conditions is None and not names:
        return on_device(np.zeros(0, np.float32))
    expected = f"the known conditions ({', '.join(names)})" if names else "no conditions"
    if conditions is None:
        raise ValueError(
            f"conditions are missing: the cost was fitted for {expected}; pass "
            f"conditions={{{', '.join(f'{name!r}: ...' for name in names)}}}, those of the observation."
        )
    if isinstance(conditions, Mapping):
        if set(conditions) != set(names):
            raise ValueError(f"conditions has the names {sorted(conditions)}, but the cost takes {expected}.")
        values = jnp.asarray([conditions[name] for name in names], jnp.float32)
    else:
        values = jnp.asarray(conditions, jnp.float32)
    if values.ndim == 0 or values.shape[-1] != len(names):
        raise ValueError(f"conditions has shape {values.shape}, but the cost takes {expected}: (..., {len(names)}).")
    check_whole_numbers(cost, "conditions", values, names)
    return values


def check_whole_numbers(cost: Any, argument: str, values: Array | np.ndarray, names: tuple[str, ...]) -> None:
    """ValueError where an integer is between the values at which the cost was learned, one by one."""
    for name in cost.settings.get("runs_at_levels", {}):
        if name not in names or is_traced(values):
            continue
        column = np.asarray(values[..., names.index(name)])
        between = column[column != np.round(column)]
        if between.size:
            raise ValueError(
                f"{argument} has {name} = {between.reshape(-1)[0]:.6g}, but the cost was learned at whole numbers "
                "of it alone, and says nothing between them: round it."
            )


def _gaps_remedy(cost: Any) -> str:
    """What to do about missing values that the cost cannot leave out."""
    if cost.distance.reads_gaps and isinstance(cost.form, HilbertForm):
        return "The cost was fitted by an earlier genbayes: fit it again, and NaN is a missing value."
    if cost.distance.reads_gaps and isinstance(cost.form, NetworkForm):
        return (
            "The general network reads whole observations: fit the cost with method='auto' or 'marginal', where "
            "NaN is a missing value."
        )
    return (
        f"The distance {cost.distance.name} compares whole outputs: take an additive one "
        f"({class_names(AdditiveDistance)}), of which NaN is a missing value, or leave these coordinates out of "
        "the simulator's output, the distance and x_o."
    )
