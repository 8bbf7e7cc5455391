"""The table of a prior's parameters that a notebook shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..runtime.formatting import html_table
from .parameter import AnyParameter, describe_parameter


def parameter_table(parameters: Sequence[AnyParameter]) -> str:
    """Return an HTML table with a row for each parameter: its distribution, that one's settings, and its support."""
    rows = []
    for parameter in parameters:
        described = describe_parameter(parameter)
        low, high = parameter.bounds.T
        name = f"{parameter.name} ({parameter.dim} coordinates)" if parameter.event_shape else parameter.name
        support = f"[{_shortest(low)}, {_shortest(high)}]" if not parameter.integer else _range(low, high)
        rows.append((name, described["distribution"], _in_words(described["settings"]), support))
    size = sum(parameter.dim for parameter in parameters)
    return html_table(f"Prior, dim = {size}", ("parameter", "distribution", "settings", "support"), rows)


def _shortest(values: np.ndarray) -> str:
    """The values of all coordinates, as one number where they are equal."""
    return ", ".join(f"{value:.6g}" for value in np.unique(values))


def _range(low: np.ndarray, high: np.ndarray) -> str:
    """The whole numbers of a parameter."""
    return f"{_shortest(low)}, ..., {_shortest(high)}"


def _in_words(settings: Mapping[str, Any]) -> str:
    """Settings of a distribution in one line, those of the distributions that it is made of in brackets."""
    parts = []
    for name, value in settings.items():
        nested = value if isinstance(value, list) else [value]
        if any(isinstance(item, dict) for item in nested):
            made_of = (f"{i.get('distribution', i.get('transform'))}({_inner(i['settings'])})" for i in nested)
            value = ", ".join(made_of)
        parts.append(f"{name}={value}")
    return ", ".join(parts)


def _inner(settings: Any) -> str:
    return _in_words(settings) if isinstance(settings, dict) else ", ".join(map(str, settings))
