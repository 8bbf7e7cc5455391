"""Missing values of an observation: NaN stands for each, and distances and costs are those of what was observed."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int


def has_gaps(x_o: np.ndarray) -> bool:
    """Whether a value is missing."""
    return bool(np.isnan(np.asarray(x_o, np.float64)).any())


def with_gaps(x: Float[np.ndarray, "n *x_shape"], x_o: np.ndarray) -> Float[np.ndarray, "n *x_shape"]:
    """Outputs with NaN wherever a value of the observation is missing: what would have been observed of them."""
    if not has_gaps(x_o):
        return x
    return np.where(np.isnan(x_o)[None], np.nan, x)


def without_missing_trials(x_o: Float[np.ndarray, "trials ..."]) -> Float[np.ndarray, "observed ..."]:
    """A set of independent trials without those that are missing.

    Raises:
        ValueError: of a trial some numbers are missing and others are not.
    """
    missing = np.isnan(x_o).reshape(len(x_o), -1)
    partly = np.flatnonzero(missing.any(axis=1) & ~missing.all(axis=1))
    if len(partly):
        raise ValueError(
            f"x_o has trials of which some numbers are missing (NaN) and others are not: {len(partly)} of {len(x_o)}, "
            f"the first is trial {partly[0]}. A set is compared trial by trial: leave these trials out, or mark them "
            "as missing altogether."
        )
    return x_o[~missing[:, 0]]


def gaps_told(x_o: np.ndarray, names: Sequence[str] | None = None) -> str:
    """How many values are missing, and which: a clause such as ", 2 of 60 values missing (at 3, 17)", or nothing.

    Args:
        x_o: the observation.
        names: of all values, where they have any.
    """
    missing = np.isnan(x_o)
    if not missing.any():
        return ""
    places = np.argwhere(missing)
    by_name = names if names is not None and missing.ndim == 1 and len(names) == missing.size else None
    named = [_index(place) if by_name is None else by_name[int(place[0])] for place in places[:5]]
    more = ", ..." if len(places) > 5 else ""
    return f", {len(places)} of {missing.size} values missing (at {', '.join(named)}{more})"


def _index(place: Int[np.ndarray, " axes"]) -> str:
    return str(place[0]) if len(place) == 1 else str(tuple(place.tolist()))
