"""What a cost tells of itself, whatever made it: the units of its distance and the records of its fit."""

from typing import Any

from ..runtime.units import unit_label


def units_of(cost: Any) -> str:
    """Returns the units of the cost's distance as a label: of "1 (squared multiples)" what the bracket says."""
    return unit_label(str(getattr(getattr(cost, "distance", None), "units", "")))


def fit_records(cost: Any) -> tuple:
    """Returns the `FitRecord`s of a cost as a tuple, empty for a cost that was not fitted."""
    fit = getattr(cost, "fit", None)
    if fit is None:
        return ()
    return tuple(fit) if isinstance(fit, (tuple, list)) and not hasattr(fit, "train_loss") else (fit,)
