"""Numbers that are known by name: what a simulator is given, what it returns, and what was observed.

A mapping of names to numbers or arrays, a pandas Series or DataFrame, an xarray Dataset and a structured array of numpy
are all named values; `Names` lays them out as one vector and finds them again. Worker processes receive the functions
of this module by value, so it imports numpy only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_MOST_NAMED = 8


def fields_of(values: Any) -> dict[str, np.ndarray] | None:
    """Named values as arrays by their names, in their order; None for anything without names.

    Raises:
        TypeError: a value is no number and no array of numbers.
        ValueError: two have the same name, or there are none.
    """
    found = _named_parts(values)
    if found is None:
        return None
    names = [str(name) for name, _ in found]
    if len(set(names)) < len(names):
        raise ValueError(f"two values have the same name: {', '.join(names)}")
    if not names:
        raise ValueError("there are no values in the mapping")
    fields = {}
    for name, (_, value) in zip(names, found, strict=True):
        array = np.asarray(without_mask(value))
        if array.dtype.kind not in "biuf":
            raise TypeError(f"the value of {name} is not numeric: {type(value).__name__} of dtype {array.dtype}")
        fields[name] = array.astype(np.float64)
    return fields


def without_mask(values: Any) -> Any:
    """A masked array of numpy, such as netCDF4 returns, with NaN where it is masked; anything else as it is."""
    if not isinstance(values, np.ma.MaskedArray) or values.dtype.kind not in "biuf":
        return values
    return np.ma.filled(values.astype(np.float64), np.nan)


def of_each(given: Any, names: Sequence[str]) -> dict[str, Any]:
    """What is given for named values, by name: of a mapping what it has, 0 for the others; anything else for all.

    Raises:
        ValueError: a name that is none of these.
    """
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, given)
    unknown = [str(name) for name in given if name not in names]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is given, which is no output; they are {', '.join(names)}")
    return {name: given.get(name, 0.0) for name in names}


def structured(fields: Mapping[str, np.ndarray]) -> np.ndarray:
    """Named arrays as ONE structured value, which keeps its names on the way from a worker process."""
    kind = np.dtype([(name, np.float64, value.shape) for name, value in fields.items()])
    whole = np.zeros((), kind)
    for name, value in fields.items():
        whole[name] = value
    return whole


def _named_parts(values: Any) -> list[tuple[Any, Any]] | None:
    # pandas and xarray are recognised by their module, and not imported.
    library, kind = type(values).__module__.split(".")[0], type(values).__name__
    if library == "pandas" and kind == "Series":
        counted = type(values.index).__name__ == "RangeIndex"
        return None if counted else list(zip(values.index, values.to_numpy(), strict=True))
    if library == "pandas" and kind == "DataFrame":
        return [(name, values[name].to_numpy()) for name in values.columns]
    if library == "xarray" and kind == "Dataset":
        return [(name, values[name].values) for name in values.data_vars]
    if isinstance(values, Mapping):
        return list(values.items())
    if isinstance(values, np.void | np.ndarray) and values.dtype.names:
        return [(name, values[name]) for name in values.dtype.names]
    return None


@dataclass(frozen=True)
class Names:
    """The names of a vector's numbers: of a scalar its own, of an array its name with the index.

    Attributes:
        parts: names and shapes, in the order of the vector.
    """

    parts: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, fields: Mapping[str, np.ndarray]) -> "Names":
        """The names of named arrays."""
        return cls(tuple((name, tuple(value.shape)) for name, value in fields.items()))

    @classmethod
    def of_coordinates(cls, names: Sequence[str]) -> "Names":
        """The names of a vector whose coordinates are called "mu[0]", "mu[1]", "rate": mu is an array of two."""
        parts: dict[str, int] = {}
        for name in names:
            whole = name.split("[")[0]
            parts[whole] = parts.get(whole, 0) + 1 if name != whole else 0
        return cls(tuple((name, (count,) if count else ()) for name, count in parts.items()))

    @classmethod
    def read(cls, stored: Any) -> "Names | None":
        """From what `stored` gave; None for None."""
        return None if stored is None else cls(tuple((str(name), tuple(shape)) for name, shape in stored))

    @property
    def stored(self) -> list[list]:
        """As lists of names and shapes, for files."""
        return [[name, list(shape)] for name, shape in self.parts]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(_size(shape) for _, shape in self.parts)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """One name for each number of the vector."""
        names: list[str] = []
        for name, shape in self.parts:
            names += [f"{name}[{', '.join(map(str, index))}]" if shape else name for index in np.ndindex(shape)]
        return tuple(names)

    @property
    def in_words(self) -> str:
        """The names for a message, with the shapes of arrays."""
        shown = [f"{name} {shape}" if shape else name for name, shape in self.parts[:_MOST_NAMED]]
        more = len(self.parts) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    def slices(self) -> Iterator[tuple[str, tuple[int, ...], slice]]:
        """Name, shape and place in the vector of each part."""
        start = 0
        for name, shape in self.parts:
            yield name, shape, slice(start, start + _size(shape))
            start += _size(shape)

    def vector(self, fields: Mapping[str, np.ndarray], rows: int | None = None) -> np.ndarray:
        """Named arrays as one vector (size,) in this order; with `rows` each has them as leading axis: (rows, size).

        Raises:
            ValueError: names that are missing or unknown, or shapes that are others.
        """
        leading = () if rows is None else (rows,)
        shapes = dict(self.parts)
        if set(fields) != set(shapes):
            missing = ", ".join(name for name in shapes if name not in fields)
            unknown = ", ".join(name for name in fields if name not in shapes)
            what = [f"{missing} missing"] * bool(missing) + [f"{unknown} unknown"] * bool(unknown)
            raise ValueError(f"{'; '.join(what)}; expected {self.in_words}")
        for name, shape in self.parts:
            if fields[name].shape != leading + shape:
                raise ValueError(f"{name} has shape {fields[name].shape}, expected {leading + shape}")
        parts = [fields[name].reshape(*leading, _size(shape)) for name, shape in self.parts]
        return np.concatenate(parts, axis=-1)

    def fields(self, vector: Any) -> dict[str, Any]:
        """The parts of a vector (..., size) by their names; also of a traced one."""
        leading = tuple(vector.shape[:-1])
        # Not by reshape(*shape): of a scalar nothing is left to give it.
        return {name: vector[..., place].reshape(leading + shape) for name, shape, place in self.slices()}


class NamedVector(np.ndarray):
    """A vector whose numbers are known by position and by name: theta[0], theta["rate"], **theta.

    Whatever is computed from it is an ordinary array.
    """

    def __new__(cls, values: np.ndarray, names: Names) -> "NamedVector":
        """The same numbers, with names."""
        vector = np.asarray(values).view(cls)
        vector._names = names
        return vector

    def __array_finalize__(self, source: Any) -> None:
        self._names: Names | None = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        plain = [np.asarray(value) if isinstance(value, NamedVector) else value for value in inputs]
        if "out" not in settings:
            return getattr(ufunc, method)(*plain, **settings)
        given = settings.pop("out")
        out = tuple(np.asarray(one) if isinstance(one, NamedVector) else one for one in given)
        result = getattr(ufunc, method)(*plain, out=out, **settings)
        # theta += 1 changes theta, which keeps its names.
        return given[0] if len(given) == 1 else result

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return np.asarray(self)[key]
        fields = self._fields()
        if key in fields:
            value = fields[key]
            return value if value.ndim else value[()]
        coordinates = () if self._names is None else self._names.coordinates
        if key in coordinates:
            return np.asarray(self)[coordinates.index(key)]
        raise KeyError(f"there is no {key!r}; there are {', '.join(fields) or 'no names'}")

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()

    def __repr__(self) -> str:
        return repr({name: value.tolist() for name, value in self._fields().items()} or np.asarray(self))

    def keys(self) -> list[str]:
        """The names."""
        return list(self._fields())

    def items(self) -> list[tuple[str, Any]]:
        """Names and values."""
        return [(name, self[name]) for name in self.keys()]

    def _fields(self) -> dict[str, np.ndarray]:
        return {} if self._names is None else self._names.fields(np.asarray(self))


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
