"""Sets of independent trials, each of another number: side by side in one array, filled up with trials of NaN.

A trial whose numbers are all NaN is no trial. One of which only some are NaN is neither, and never taken for either.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float


def present(x: Float[Array, "trials trial_dim"]) -> Bool[Array, " trials"]:
    """Which rows of a set are trials; a set of NaN alone has none, and no distance."""
    return ~jnp.all(jnp.isnan(x), axis=1)


def shares(x: Float[Array, "trials trial_dim"]) -> tuple[Float[Array, "trials trial_dim"], Float[Array, " trials"]]:
    """A set with 0 where there is no trial, and the share of each row in a mean over the trials.

    NaN of a part of a trial stays, and makes NaN of what is computed from it; so does a set without trials.
    """
    seen = present(x).astype(x.dtype)
    count = jnp.sum(seen)
    return jnp.where(seen[:, None] > 0, x, 0.0), jnp.where(count > 0, seen / jnp.maximum(count, 1.0), jnp.nan)


def trials_present(x: Float[np.ndarray, "*n trials trial_dim"]) -> Bool[np.ndarray, "*n trials"]:
    """Which rows of sets are trials."""
    return np.logical_not(np.all(np.isnan(x), axis=-1))


def all_trials(x: Float[np.ndarray, "*n trials trial_dim"]) -> Float[np.ndarray, "m trial_dim"]:
    """The trials of all sets, one after the other."""
    return x.reshape(-1, x.shape[-1])[trials_present(x).reshape(-1)]


def with_first_trial(x: Float[np.ndarray, "trials trial_dim"]) -> Float[np.ndarray, "trials trial_dim"]:
    """A set with its first trial in the place of those that it does not have: for what looks at numbers alone."""
    seen = trials_present(x)
    return x if seen.all() or not seen.any() else np.where(seen[:, None], x, x[np.argmax(seen)])


def is_ragged(x: Any) -> bool:
    """Whether a list of arrays holds sets of more than one number of trials."""
    if not isinstance(x, list | tuple) or len(x) < 2:
        return False
    lengths = set()
    for one in x:
        if np.ndim(one) not in (1, 2):
            return False
        lengths.add(len(one))
    return len(lengths) > 1


def side_by_side(sets: Sequence[Any], max_trials: int | None = None) -> Float[np.ndarray, "n trials trial_dim"]:
    """Sets of any numbers of trials as one array, those that are shorter filled up with NaN.

    Args:
        sets: (trials, trial_dim) each, or (trials,) of single numbers.
        max_trials: of the result, the largest number among the sets if not given.

    Raises:
        ValueError: sets of different kinds of trials, or of more trials than max_trials.
    """
    values = [np.asarray(one, np.float64) for one in sets]
    values = [one[:, None] if one.ndim == 1 else one for one in values]
    shapes = sorted({one.shape[1:] for one in values if one.size})
    if len(shapes) != 1 or len(shapes[0]) != 1:
        raise ValueError(
            f"sets of trials must have the shapes (any number of trials, trial_dim) with one trial_dim, got trials of "
            f"the shapes {', '.join(map(str, shapes)) or 'of no set'}."
        )
    most = max(len(one) for one in values)
    if max_trials is not None and most > max_trials:
        raise ValueError(f"a set has {most} trials, more than max_trials = {max_trials}.")
    padded = np.full((len(values), max_trials or most, *shapes[0]), np.nan)
    for row, one in zip(padded, values, strict=True):
        row[: len(one)] = one.reshape(-1, *shapes[0])
    return padded


def in_front(x: Float[np.ndarray, "trials trial_dim"]) -> Float[np.ndarray, "trials trial_dim"]:
    """A set with its trials before the rows that are none; the order of trials means nothing."""
    return x[np.argsort(~trials_present(x), kind="stable")]
