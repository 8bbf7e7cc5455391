"""Regular indices: every day, every hour, every month, every step; and the members that are not there."""

from dataclasses import dataclass

import numpy as np

# Share of all differences that are one step in a series that is called regular.
_LEAST_SHARE = 2 / 3
_TIMES = {1: "second", 60: "minute", 3600: "hour", 86_400: "day", 7 * 86_400: "week"}
_MONTHS = {1: "month", 3: "quarter", 12: "year"}


@dataclass(frozen=True, eq=False)
class Step:
    """The step of a regular index.

    Attributes:
        word: for one member, such as "day".
        is_time: whether the members are times.
        whole: the index without gaps, of which the given one is a part.
        rows: positions of the given members in it.
    """

    word: str
    is_time: bool
    whole: np.ndarray
    rows: np.ndarray


def step_of(index: np.ndarray) -> Step | None:
    """The step of an increasing index, or None where it has none: two thirds of the differences are one step."""
    if len(index) < 3 or index.dtype.kind not in "fM":
        return None
    if index.dtype.kind == "f":
        numbers = _counted(index - index[0])
        if numbers is None:
            return None
        size = (index[-1] - index[0]) / numbers[-1]
        whole = index[0] + size * np.arange(numbers[-1] + 1)
        whole[numbers] = index
        return Step("step", False, whole, numbers)
    return _months(index) or _times(index)


def gaps_of(index: np.ndarray) -> np.ndarray:
    """The members of a regular index that are not there; none where it is not regular."""
    step = step_of(index)
    return index[:0] if step is None else np.delete(step.whole, step.rows)


def _counted(distances: np.ndarray) -> np.ndarray | None:
    """Distances from the first member in steps, or None where they are no whole numbers of a common step."""
    differences = np.diff(distances)
    smallest = differences.min()
    if smallest <= 0:
        return None
    # Decimal numbers such as 0.1 are rounded: the mean of all single steps is closer than the smallest.
    single = differences < 1.5 * smallest
    counts = np.rint(differences / differences[single].mean())
    regular = np.abs(differences - counts * differences[single].mean()) < 1e-4 * smallest
    numbers = np.concatenate([[0], np.cumsum(counts)])
    if not regular.all() or single.mean() < _LEAST_SHARE or numbers[-1] > 10 * len(distances):
        return None
    return numbers.astype(int)


def _months(index: np.ndarray) -> Step | None:
    """The step of an index of months: always the same day, or always the last one."""
    for shift in (np.timedelta64(0, "D"), np.timedelta64(1, "D")):
        moved = index if index.dtype == "M8[M]" else index + shift
        start = moved.astype("M8[M]")
        rest = moved - start.astype(moved.dtype)
        if (rest != rest[0]).any() or (shift and rest[0]):
            continue
        months = start.astype(int)
        numbers = _counted((months - months[0]).astype(float))
        if numbers is None:
            return None
        size = int((months[-1] - months[0]) // numbers[-1])
        whole = (months[0] + size * np.arange(numbers[-1] + 1)).astype("M8[M]")
        if index.dtype != "M8[M]":
            whole = whole.astype(index.dtype) + rest[0] - shift
        return Step(_MONTHS.get(size, f"{size} months"), True, whole.astype(index.dtype), numbers)
    return None


def _times(index: np.ndarray) -> Step | None:
    if index.dtype == "M8[M]":
        return None
    numbers = _counted((index - index[0]).astype("m8[ns]").astype(float))
    if numbers is None:
        return None
    size = (index[-1] - index[0]) // int(numbers[-1])
    seconds = size / np.timedelta64(1, "s")
    whole = index[0] + size * np.arange(numbers[-1] + 1)
    whole[numbers] = index
    return Step(_TIMES.get(seconds, "time"), True, whole, numbers)
