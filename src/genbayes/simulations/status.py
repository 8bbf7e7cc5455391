"""What became of a run: the codes of the array `status`, their reasons, and why an output cannot be used."""

import numpy as np

from ..distances.unequal_sets import trials_present

OK = 0
# Beyond it single precision, in which networks compute, has no numbers.
LARGEST = float(np.finfo(np.float32).max)
INITIAL_REASONS: tuple[str, ...] = ("ok", "pending")
_MOST_REASONS = 100
_POOLED = f"another exception (over {_MOST_REASONS} different messages)"


def output_problem(x: np.ndarray, *, unequal_sets: bool = False) -> str | None:
    """Return why an output cannot be used, None if it can.

    Args:
        x: the output.
        unequal_sets: whether it is a set in which a row of NaN is no trial.
    """
    if unequal_sets and x.ndim == 2:
        seen = trials_present(x)
        if not seen.any():
            return "no trial in the output"
        if np.isnan(x[seen]).any():
            return "NaN in a part of a trial (a trial of NaN alone is none)"
        x = x[seen]
    if np.isnan(x).any():
        return "NaN in the output"
    return None if np.all(np.abs(x) <= LARGEST) else "infinity in the output (float32)"


def reason_code(problem: str | None, reasons: list[str]) -> int:
    """Return the status of a problem, adding it to `reasons` if new; over 100 different ones are pooled."""
    if problem is None:
        return OK
    if problem not in reasons and len(reasons) >= _MOST_REASONS + len(INITIAL_REASONS):
        problem = _POOLED
    if problem not in reasons:
        reasons.append(problem)
    return reasons.index(problem)
