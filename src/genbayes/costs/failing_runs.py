"""What becomes of runs that fail: three ways, their arguments checked, and what each does to a cost, in words.

"condition": the cost is E[d | theta, success], and posteriors multiply their prior by P(success | theta); "ignore": the
cost alone; a number: a failing run is a run at that distance, and the cost is the expectation over all runs,

    E[d | theta, success] P(success | theta) + penalty (1 - P(success | theta)).
"""

from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from ..distances import Distance
from ..distances.batched import distances_to
from .records import units_of

Failures = Literal["condition", "ignore"] | float | int
WAYS = ("condition", "ignore")


def checked_failures(failures: Any, units: str) -> tuple[str, float | None]:
    """The way to take failing runs, and the distance that each counts as (None for the ways without one).

    Args:
        failures: "condition", "ignore" or a distance.
        units: of the distance.

    Raises:
        ValueError: another text, or a distance that is negative, not finite or beyond single precision.
        TypeError: neither a text nor a number.
    """
    wanted = f"failures must be 'condition', 'ignore' or the distance that a failing run counts as (in {units})"
    if isinstance(failures, str):
        if failures not in WAYS:
            raise ValueError(f"{wanted}, got {failures!r}.")
        return failures, None
    if isinstance(failures, bool) or np.ndim(failures) != 0 or np.asarray(failures).dtype.kind not in "fiu":
        raise TypeError(f"{wanted}, got {failures!r}.")
    penalty = float(failures)
    if not 0 <= penalty < float(np.finfo(np.float32).max):
        raise ValueError(
            f"{wanted}, got {penalty!r}: a distance is finite (in single precision) and not negative. Runs that are "
            "impossible rather than far away are what failures='condition' is for."
        )
    return "penalise", penalty


def labels(
    distance: Distance,
    x: Float[np.ndarray, "m *x_shape"],
    ok: Bool[np.ndarray, " m"],
    x_o: np.ndarray,
    penalty: float | None,
) -> Float[np.ndarray, " m"]:
    """The distance of every run (m,) to x_o: that of its output, or the penalty of one that failed (NaN without)."""
    found = np.full(len(ok), np.nan if penalty is None else penalty)
    if np.any(ok):
        found[ok] = distances_to(distance, x[ok], x_o)
    return found


def over_all_runs(
    cost: Any, theta: Float[np.ndarray, "m dim"], distances: Float[np.ndarray, " m"], conditions: Any = None
) -> Float[np.ndarray, " m"]:
    """Distances of runs at theta that succeed; where there is a penalty, as expectations over all runs there."""
    if cost.penalty is None or cost.success is None:
        return distances
    log_success = np.asarray(cost.log_success(theta, conditions), np.float64)
    return np.exp(log_success) * distances - np.expm1(log_success) * cost.penalty


def penalty_by(cost: Any, distance: Distance, failures: float | None) -> float | None:
    """What a failing run counts as by another distance than the cost's own.

    Raises:
        ValueError: it is missing, or given where the cost has no penalty, or no distance.
    """
    if cost.penalty is None and failures is not None:
        raise ValueError(
            f"failures is {failures!r}, but the cost has no penalty for failing runs ({failures_told(cost)}): fit it "
            f"as fit_cost(simulations, distance, failures={failures!r})."
        )
    if cost.penalty is not None and failures is None:
        raise ValueError(
            f"failures is missing: in this cost a failing run counts as {cost.penalty:g} ({cost.distance.units} of "
            f"{cost.distance.name}), which says nothing of {distance.name}. Give what it counts as there, in "
            f"{distance.units}: with_distance(distance, failures=...)."
        )
    return None if failures is None else checked_failures(failures, distance.units)[1]


def failures_told(cost: Any) -> str:
    """What the cost makes of failing runs: a clause, such as "a failing run counts as distance 1.5"."""
    failed = int(cost.settings.get("simulations_failed", 0))
    if cost.success is None and not failed:
        return "no run failed"
    if cost.penalty is not None and cost.success is not None:
        return f"a failing run counts as distance {cost.penalty:g} ({units_of(cost)})"
    if cost.success is not None:
        return "the cost is that of the runs that succeed, and the prior is multiplied by their probability"
    if cost.settings.get("failures", "ignore") == "ignore":
        return "failing runs are left out, and the cost extrapolates to where none has succeeded"
    return f"{failed} failing runs are too few to say where runs fail, and are left out"
