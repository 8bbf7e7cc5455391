"""Texts with places for values: `{growth}` stands for the value of that name, `{{` and `}}` for braces.

Nothing here imports this package: worker processes receive these functions whole.
"""

import json
import math
import re
from collections.abc import Mapping

import numpy as np

_PIECES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
# Up to here every whole number is one of double precision.
_LARGEST_WHOLE = 2.0**53


class Template:
    """A text with named places.

    Attributes:
        names: of the places, in their order, each once.
    """

    def __init__(self, text: str, where: str):
        """Takes a text apart.

        Args:
            text: the template.
            where: what errors call it, such as "`command`, argument 2".

        Raises:
            ValueError: a brace that neither names a place nor is doubled.
        """
        # Literal text and names by turns, beginning and ending with text.
        self._parts = [""]
        end = 0
        for piece in _PIECES.finditer(text):
            self._parts[-1] += text[end : piece.start()]
            end = piece.end()
            if piece[1]:
                self._parts += [piece[1], ""]
            elif len(piece[0]) == 2 and piece[0] != "{}":
                self._parts[-1] += piece[0][0]
            else:
                shown = text[max(0, piece.start() - 20) : end + 20]
                raise ValueError(
                    f"{where} has a brace that names nothing: {shown!r}. A place is written {{growth}}, with the name "
                    "of a parameter, and a brace that is to stay one is doubled: {{ or }}."
                )
        self._parts[-1] += text[end:]
        self.where = where
        self.names = tuple(dict.fromkeys(self._parts[1::2]))

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with these values in its places."""
        return "".join(values[part] if i % 2 else part for i, part in enumerate(self._parts))


def plain_number(value: float) -> int | float:
    """A value as it is written: 3 for 3.0, so that programs may read it as a whole number; otherwise unchanged."""
    value = float(value)
    whole = value.is_integer() and abs(value) <= _LARGEST_WHOLE and not (value == 0 and math.copysign(1, value) < 0)
    return int(value) if whole else value


def texts_of(names: tuple[str, ...], values: np.ndarray) -> dict[str, str]:
    """Numbers by name, each as the shortest text that is read as the same number of double precision."""
    return {name: repr(plain_number(value)) for name, value in zip(names, values.tolist(), strict=True)}


def json_of(names: tuple[str, ...], values: np.ndarray, seed: int) -> str:
    """Numbers by name, then the seed, as an object of JSON in one line."""
    members = {name: plain_number(value) for name, value in zip(names, values.tolist(), strict=True)}
    return json.dumps({**members, "seed": seed}, ensure_ascii=False) + "\n"
