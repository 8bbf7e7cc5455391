"""What was read: values with NaN where one is missing, their index, names and units."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..runtime.notebook import html_properties
from .steps import gaps_of, step_of

# Places that a sentence names; the rest is counted.
_MOST_NAMED = 5


@dataclass(frozen=True, eq=False, repr=False)
class Observation:
    """Measured data with what the file says of them; `np.asarray(observation)` is the values.

    Attributes:
        values: float64, NaN where a value is missing: (T,) of one column, (T, C) of several, (C,) of a single row; with
            groups one axis of length m more in front.
        index: where or when each row was measured: (T,) numbers, datetime64 or texts; None if the data have none.
        index_name: name of the index.
        names: of the columns; empty if the data have none.
        units: of the columns, "" where none is known; empty if there are no names.
        groups: names of the observations of a stack, such as patients; None for one observation.
        group_name: what a group is, such as "patient".
        source: where the values come from.
        notes: what was decided in reading, in words.
        trials: how many trials each group has, where the values are sets without an index; the rest of a group is NaN.

    Example:
        >>> observation = gb.read_observation("discharge.csv", column="discharge", index="date")
        >>> observation.summary
        '60 days of discharge, 1 missing: 2021-04-09'
    """

    values: np.ndarray
    index: np.ndarray | None = None
    index_name: str = ""
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    group_name: str = ""
    source: str = "the values"
    notes: tuple[str, ...] = ()
    trials: tuple[int, ...] | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype) if copy or copy is None else np.asarray(self.values, dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_missing(self) -> int:
        """How many values are missing."""
        return int(self._missing.sum())

    @property
    def _missing(self) -> np.ndarray:
        """Where a value is missing; what fills up a set is none."""
        missing = np.isnan(self.values)
        if self.trials is not None:
            missing &= (np.arange(self.values.shape[1]) < np.array(self.trials)[:, None])[..., None]
        return missing

    @property
    def gaps(self) -> np.ndarray:
        """Members of a regular index (every day, every hour, ...) for which there is no row."""
        return np.empty(0) if self.index is None else gaps_of(self.index)

    @property
    def rows_remedy(self) -> str:
        """What to do where outputs have more rows than the file; empty where the file is not known to leave out any."""
        if self.groups is not None or not len(self.gaps):
            return ""
        return (
            f" The file has no row for {len(self.gaps)} of them: regular = true in problem.toml, or "
            "read_observation(..., regular=True), makes these missing values."
        )

    @property
    def axis_label(self) -> str:
        """The index for the axis of a picture."""
        return self.index_name or ("date" if self.index is not None and self.index.dtype.kind == "M" else "index")

    def labels(self, count: int) -> list[str] | None:
        """Names with units of `count` channels or coordinates, or the members of the index; None if they are others."""
        if count == len(self.names):
            units = self.units or ("",) * count
            return [f"{name} [{unit}]" if unit else name for name, unit in zip(self.names, units, strict=True)]
        if self.index is not None and count == len(self.index):
            return [_shown(value) for value in self.index]
        return None

    @property
    def summary(self) -> str:
        """What was read, in a line."""
        text = self._size() + (f" of {', '.join(self.names)}" if self.names and self._columns else "")
        if self.groups is not None:
            each = ", each" if self.trials is None or len(set(self.trials)) == 1 else " of"
            text = f"{len(self.groups)} {_plural(self.group_name or 'observation', len(self.groups))}{each} {text}"
        if self.n_missing:
            text += f", {self.n_missing} missing: {self.missing_places}"
        parts = [text, *self.notes]
        if len(self.gaps):
            step = None if self.index is None else step_of(self.index)
            word = "" if step is None else f" of the {_plural(step.word, 2)}"
            parts.append(f"no row for {len(self.gaps)}{word}: {_listed(map(_shown, self.gaps), len(self.gaps))}")
        return "; ".join(parts)

    def __repr__(self) -> str:
        return f"Observation({self.source}: {self.summary})"

    def _repr_html_(self) -> str:
        properties = {"values": str(self.values.shape), "missing": str(self.n_missing)}
        if self.names:
            properties["columns"] = ", ".join(self.labels(len(self.names)) or self.names)
        if self.index is not None and len(self.index):
            properties[self.axis_label] = f"{_shown(self.index[0])} to {_shown(self.index[-1])}"
        if self.groups is not None:
            properties[self.group_name or "groups"] = _listed(self.groups, len(self.groups))
        return html_properties(f"Observation of {self.source}", properties, [self.summary])

    @property
    def _columns(self) -> bool:
        """Whether the names are those of columns that the first sentence can list."""
        return len(self.names) <= 6

    def _size(self) -> str:
        shape = self.values.shape[self.groups is not None :]
        if self.trials is not None:
            few, most = min(self.trials), max(self.trials)
            return f"{few} to {most} trials" if few < most else f"{most} {_plural('trial', most)}"
        if self.index is None:
            if len(shape) == 1:
                return f"{shape[0]} {_plural('value', shape[0])}"
            if len(shape) == 2:
                return f"{shape[0]} {_plural('row', shape[0])}" + (
                    "" if self.names and self._columns else f" of {shape[1]} columns"
                )
            return f"values of shape {shape}"
        step = step_of(self.index)
        word = "value" if self.index.dtype.kind != "M" else "date"
        word = step.word if step is not None and step.is_time else word
        return f"{len(self.index)} {_plural(word, len(self.index))}"

    @property
    def missing_places(self) -> str:
        """Which values are missing, by the names and the index: the first few, and how many more."""
        places = np.argwhere(self._missing)
        return _listed((self._place(tuple(place)) for place in places[:_MOST_NAMED].tolist()), len(places))

    def _place(self, place: tuple[int, ...]) -> str:
        words = []
        if self.groups is not None:
            words, place = [self.groups[place[0]]], place[1:]
        if self.index is not None and place:
            words.append(_shown(self.index[place[0]]))
        elif len(place) == 1 and len(self.names) > 1:
            words.append(self.names[place[0]])
        elif len(place) == 1:
            words.append(f"value {place[0] + 1}")
        elif len(place) == 2:
            words.append(f"row {place[0] + 1}")
        elif place:
            words.append(f"[{', '.join(map(str, place))}]")
        if len(place) == 2:
            words.append(self.names[place[1]] if len(self.names) > place[1] else f"column {place[1] + 1}")
        return " at ".join(words[:2]) + (f" {words[2]}" if len(words) > 2 else "") if self.groups else " ".join(words)


def _shown(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float | np.floating) else str(value).replace("T", " ")


def _listed(texts: Any, count: int) -> str:
    named = [text for text, _ in zip(texts, range(_MOST_NAMED), strict=False)]
    return ", ".join(named) + (f" and {count - len(named)} more" if count > len(named) else "")


def _plural(word: str, count: int) -> str:
    return word if count == 1 or word.endswith("s") else f"{word}s"
