"""Arrays of a user's as the fields of simulations, after a look at what fits what."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..distances.unequal_sets import in_front, is_ragged, side_by_side
from ..priors.prior import Prior
from ..runtime.named_values import fields_of
from .named_outputs import in_columns, named_rows
from .rounding import Rounding, kept
from .runs_elsewhere import plain_array
from .status import INITIAL_REASONS, OK, output_problem, reason_code


def checked_runs(
    theta: Any,
    x: Any,
    names: Sequence[str] | None,
    conditions: Mapping[str, Any] | None,
    prior: Prior | None,
    unequal_sets: bool = False,
) -> dict[str, Any]:
    """The fields of `Simulations` that given arrays make; see `Simulations.from_arrays`.

    Raises:
        ValueError: shapes that do not fit, parameters that are not finite, or not of the prior.
        TypeError: prior is none.
    """
    if (columns := fields_of(theta)) is not None:
        names = tuple(columns) if names is None and prior is None else names
        theta = in_columns(columns, prior.names if prior is not None else names)
    with np.errstate(over="ignore"):
        parameters = plain_array(theta, np.float32)
    if parameters.ndim != 2 or 0 in parameters.shape:
        raise ValueError(f"`theta` must have shape (n, dim) with n, dim >= 1, got {parameters.shape}.")
    if is_ragged(x):
        unequal_sets, x = True, side_by_side(x)
    outputs, x = named_rows(x, len(parameters))
    values, status, reasons = _outputs(x, len(parameters), unequal_sets)
    if not np.isfinite(parameters).all():
        bad = np.flatnonzero(~np.isfinite(parameters).all(axis=1))
        raise ValueError(f"`theta` has NaN or infinity in {len(bad)} rows (first: {bad[0]}). Remove these rows.")
    if prior is not None:
        _check_prior(prior, parameters, names)
        names = prior.names
    names = tuple(names) if names is not None else tuple(f"theta_{i}" for i in range(parameters.shape[1]))
    if len(names) != parameters.shape[1]:
        raise ValueError(f"`names` must have {parameters.shape[1]} entries, one per column of `theta`, got {names}.")
    known = _conditions(conditions or {}, len(parameters))
    return {
        "theta": parameters,
        "x": values,
        "status": status,
        "reasons": reasons,
        "names": names,
        "prior_description": [] if prior is None else prior.describe(),
        "conditions": np.stack(list(known.values()), axis=1) if known else np.zeros((len(parameters), 0), np.float32),
        "condition_names": tuple(known),
        "outputs": outputs,
        "unequal_sets": unequal_sets,
    }


def _outputs(x: Any, n: int, unequal_sets: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Outputs (n, *x_shape) in the precision that they need, the status of each row and what it means."""
    outputs = plain_array(x)
    outputs = outputs if outputs.dtype == np.float32 else outputs.astype(np.float64)
    if outputs.ndim == 0 or len(outputs) != n or outputs.size == 0:
        raise ValueError(f"`x` must have one output per row of `theta`: expected ({n}, ...), got {outputs.shape}.")
    outputs = outputs[:, None] if outputs.ndim == 1 else outputs
    if unequal_sets and outputs.ndim != 3:
        raise ValueError(
            f"`unequal_sets`: outputs must be sets of trials, of shape ({n}, trials, trial_dim), got {outputs.shape}."
        )
    outputs = np.stack([in_front(row) for row in outputs]) if unequal_sets else outputs
    reasons = list(INITIAL_REASONS)
    problems = [output_problem(row, unequal_sets=unequal_sets) for row in outputs]
    status = np.array([reason_code(problem, reasons) for problem in problems], np.int32)
    outputs[status != OK] = np.nan
    rounding = Rounding()
    for output in outputs:
        rounding.add(output)
    return kept(outputs, rounding), status, tuple(reasons)


def _conditions(conditions: Mapping[str, Any], n: int) -> dict[str, np.ndarray]:
    """Known conditions by name, (n,) each."""
    known = {name: plain_array(values, np.float32) for name, values in conditions.items()}
    for name, values in known.items():
        if values.shape != (n,) or not np.isfinite(values).all():
            raise ValueError(
                f"`conditions`: {name!r} must have one finite number per row of `theta`, shape ({n},), got shape "
                f"{values.shape}."
            )
    return known


def _check_prior(prior: Any, theta: np.ndarray, names: Sequence[str] | None) -> None:
    if not isinstance(prior, Prior):
        raise TypeError(f"`prior` must be a genbayes.Prior, got {type(prior).__name__}.")
    if theta.shape[1] != prior.dim or (names is not None and tuple(names) != prior.names):
        raise ValueError(
            f"`prior` has the parameters ({', '.join(prior.names)}), but `theta` has {theta.shape[1]} columns"
            f"{'' if names is None else f' with the names {tuple(names)}'}: give the prior that it was drawn from."
        )
    prior.check_inside(theta)
