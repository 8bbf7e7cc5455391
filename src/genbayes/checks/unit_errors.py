"""Slips that would explain an observation that no parameter comes near: units, logarithms, signs, exchanged columns."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .output_space import same_trials, vector_names
from .support import SupportReference

# Factors by which the observation would have to be multiplied, with the slip that each undoes.
FACTORS: dict[float, str] = {
    1e3: "a thousandth (V for mV, m for mm)",
    1e-3: "a thousandfold (mV for V, ms for s)",
    1e6: "a millionth",
    1e-6: "a millionfold",
    1e9: "a billionth",
    1e-9: "a billionfold",
    100.0: "a hundredth (a share for a percentage, m for cm)",
    0.01: "a hundredfold (a percentage for a share)",
    10.0: "a tenth",
    0.1: "tenfold",
    60.0: "a sixtieth (minutes for seconds)",
    1 / 60.0: "sixtyfold (seconds for minutes)",
    float(np.log(10)): "log10 for the natural logarithm",
    float(1 / np.log(10)): "the natural logarithm for log10",
    180 / float(np.pi): "radians for degrees",
    float(np.pi) / 180: "degrees for radians",
    -1.0: "the sign",
}
# Numbers that would have to be added to it, with the slip that each undoes.
SHIFTS: dict[float, str] = {
    -float(np.log(1e3)): "logarithms of values in a thousandth of the unit",
    float(np.log(1e3)): "logarithms of values in a thousandfold unit",
    -3.0: "log10 of values in a thousandth of the unit",
    3.0: "log10 of values in a thousandfold unit",
    -273.15: "kelvin for Celsius",
    273.15: "Celsius for kelvin",
}
MOST_COLUMNS = 24
# An observation is asked about up to the first p-value; what comes of it counts as ordinary from the second on.
UNUSUAL = 0.005
ORDINARY = 0.1
MOST = 3
# Squares of single-precision numbers beyond this one overflow.
_LARGEST = 1e18


def unit_errors(reference: SupportReference, x_o: np.ndarray, conditions: dict[str, float] | None = None) -> list[str]:
    """Slips that, undone, would make an ordinary output of an unusual observation; the most likely first.

    A hint, not a finding: another explanation may be the right one. Nothing is tried where x_o is not far out. What
    makes values smaller is no hint where 0 is ordinary, too, unless x_o is hopelessly far: any excess would shrink.

    Args:
        reference: of the simulations.
        x_o: the observation.
        conditions: its known conditions.
    """
    judged = reference.judge(x_o, conditions)
    if judged.p_value > UNUSUAL:
        return []
    x_o = np.asarray(x_o, np.float64)
    if reference.kind == "set":
        x_o = same_trials(x_o, reference.trials)[0]
    tried = list(_whole(x_o)) + list(_columns(x_o, reference)) + list(_exchanged(x_o, reference))
    # NaN of a logarithm compares as False; what is missing stays missing.
    missing = np.isnan(x_o)
    tried = [one for one in tried if np.all(np.where(missing, np.isnan(one.undone), np.abs(one.undone) < _LARGEST))]
    if not tried:
        return []
    found = _p_values(reference, [one.undone for one in tried], conditions)
    if not judged.hopeless:
        found[_p_values(reference, [one.shrunk for one in tried], conditions) >= ORDINARY] = 0.0
    # What undoes all values is likelier than what undoes one column; the sort is stable, and columns stand behind.
    order = np.argsort(-np.round(found, 1), kind="stable")
    return [tried[i].text for i in order if found[i] >= ORDINARY][:MOST]


class _Slip(NamedTuple):
    """What to undo, the observation without it, and, of what makes values smaller, with 0 in their place."""

    text: str
    undone: np.ndarray
    shrunk: np.ndarray


def _p_values(reference: SupportReference, x: list[np.ndarray], conditions: dict[str, float] | None) -> np.ndarray:
    names = reference.cost.condition_names
    known = np.zeros((len(x), 0), np.float32)
    if names and conditions:
        known = np.broadcast_to(np.asarray([conditions[name] for name in names], np.float32), (len(x), len(names)))
    return reference.p_values(np.stack(x), known)[:, 0]


def _factors(x: np.ndarray, which: Any, name: str) -> Iterator[_Slip]:
    """Of the coordinates that the mask `which` marks."""
    for factor, slip in FACTORS.items():
        text = f"{name} times {factor:.6g} (as if {slip} had been given)"
        yield _Slip(text, np.where(which, x * factor, x), np.where(np.logical_and(which, abs(factor) < 1), 0.0, x))


def _whole(x: np.ndarray) -> Iterator[_Slip]:
    yield from _factors(x, True, "all values")
    for shift, slip in SHIFTS.items():
        sign = "plus" if shift > 0 else "minus"
        yield _Slip(f"all values {sign} {abs(shift):.6g} (as if {slip} had been given)", x + shift, x)
    for text, function in _FUNCTIONS.items():
        with np.errstate(all="ignore"):
            yield _Slip(text, function(x), np.zeros_like(x) if "left out" in text else x)


_FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the exponential of all values (as if logarithms had been given)": np.exp,
    "10 to the power of all values (as if log10 had been given)": lambda x: 10.0**x,
    "the logarithm of all values (as if they had been left out)": np.log,
    "log10 of all values (as if it had been left out)": np.log10,
}


def _columns(x: np.ndarray, reference: SupportReference) -> Iterator[_Slip]:
    """One column (coordinate, channel) by itself."""
    size = x.shape[-1] if x.ndim else 1
    if reference.kind == "series" and x.ndim == 1 or not 1 < size <= MOST_COLUMNS:
        return
    names = _column_names(x, reference)
    for j in range(size):
        yield from _factors(x, np.arange(size) == j, names[j])


def _exchanged(x: np.ndarray, reference: SupportReference) -> Iterator[_Slip]:
    size = x.shape[-1] if x.ndim else 1
    if reference.kind == "series" and x.ndim == 1 or not 1 < size <= 8:
        return
    names = _column_names(x, reference)
    for i in range(size):
        for j in range(i):
            changed = x.copy()
            changed[..., [i, j]] = changed[..., [j, i]]
            yield _Slip(f"{names[j]} and {names[i]} exchanged", changed, x)


def _column_names(x: np.ndarray, reference: SupportReference) -> list[str]:
    if x.ndim == 1:
        return vector_names(x.shape, "coordinates")
    word = "coordinate" if reference.kind == "set" else "channel"
    return [f"{word} {j + 1}" for j in range(x.shape[-1])]
