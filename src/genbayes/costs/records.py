"""What a cost tells of itself, whatever made it: the units of its distance and the records of its fit."""

from typing import Any


def units_of(cost: Any) -> str:
    """Returns the units of the cost's distance as a label: of "1 (squared multiples)" what the bracket says."""
    units = str(getattr(getattr(cost, "distance", None), "units", ""))
    return units[3:-1] if units.startswith("1 (") and units.endswith(")") else units


def fit_records(cost: Any) -> tuple:
    """Returns the `FitRecord`s of a cost as a tuple, empty for a cost that was not fitted."""
    fit = getattr(cost, "fit", None)
    if fit is None:
        return ()
    return tuple(fit) if isinstance(fit, (tuple, list)) and not hasattr(fit, "train_loss") else (fit,)
