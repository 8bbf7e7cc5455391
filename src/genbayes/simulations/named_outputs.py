"""Outputs whose values have names, as vectors in one order."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..runtime.named_values import Names, fields_of
from .worker import Result


class NamedOutputs:
    """Makes vectors of a job's named outputs, all in the order of the first one.

    Attributes:
        names: of the values; None as long as no output has come in, and where outputs have no names.
    """

    def __init__(self) -> None:
        self.names: Names | None = None
        # Whether outputs are known to have these names, or to have none.
        self._known = False
        # Whether vectors come in this order already.
        self._in_order = False

    def expect(self, names: Names | None, *, in_order: bool) -> None:
        """Note the names that outputs have, or that they have none.

        Args:
            names: None for outputs without names.
            in_order: whether they come as vectors in this order.
        """
        self.names, self._known, self._in_order = names, True, in_order

    @property
    def in_order(self) -> bool:
        """Whether outputs come as vectors in the order of the names, or have none."""
        return self._in_order

    def vectors(self, results: list[Result]) -> list[Result]:
        """The results with named outputs as vectors; one of other names than the rest is a failure."""
        if self._in_order:
            return results
        return [(row, outcome if isinstance(outcome, str) else self._vector(outcome)) for row, outcome in results]

    def _vector(self, output: np.ndarray) -> np.ndarray | str:
        fields = fields_of(output)
        if not self._known:
            self.expect(None if fields is None else Names.of(fields), in_order=False)
        if fields is None:
            return output if self.names is None else f"the output has no names, expected {self.names.in_words}"
        if self.names is None:
            return f"the output has names ({', '.join(fields)}), and those of other runs have none"
        try:
            return self.names.vector(fields)
        except ValueError as error:
            return f"the output has other names or shapes: {error}"


def in_columns(fields: Mapping[str, np.ndarray], names: Sequence[str] | None) -> np.ndarray:
    """Parameters by name as (n, dim), in the order of `names`."""
    if names is None or set(names) != set(fields):
        raise ValueError(
            f"`theta` has the columns {', '.join(fields)}, expected one for each of {', '.join(names or ())}."
        )
    return np.stack([fields[name] for name in names], axis=1)


def named_rows(x: Any, n: int) -> tuple[Names | None, Any]:
    """The names of outputs by name, and their values (n, k); outputs without names as they are."""
    fields = fields_of(x)
    if fields is None:
        return None, x
    for name, values in fields.items():
        if values.shape[:1] != (n,):
            raise ValueError(
                f"`x`: {name} must have one value or array per row of `theta`: expected ({n}, ...), got {values.shape}."
            )
    names = Names(tuple((name, values.shape[1:]) for name, values in fields.items()))
    return names, names.vector(fields, n)
