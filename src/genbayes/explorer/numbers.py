"""Arrays as text that a browser reads back, number by number."""

import base64
from typing import Any

import numpy as np


class NotExportable(ValueError):
    """A part of a posterior that the explorer has no program for; the message is what the page says instead."""


def single(values: Any) -> dict[str, Any]:
    """An array in single precision, as networks and draws are: base64 of little-endian bytes, with its shape."""
    return _text(values, "f4", "single")


def double(values: Any) -> dict[str, Any]:
    """The same in double precision, for what is in data units; NaN and infinities survive."""
    return _text(values, "f8", "double")


def _text(values: Any, kind: str, name: str) -> dict[str, Any]:
    array = np.ascontiguousarray(np.asarray(values), dtype=f"<{kind}")
    return {name: base64.b64encode(array.tobytes()).decode("ascii"), "shape": list(np.shape(values))}
