"""Distributions of `Prior.describe()` in words, and what has changed between two of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def distribution_text(item: Mapping[str, Any]) -> tuple[str, str]:
    """The name and the arguments of one distribution of `Prior.describe()` as text."""
    settings = dict(item.get("settings", {}))
    inner = settings.pop("base_dist", None)
    settings.pop("transforms", None)
    if inner and not settings:  # such as Independent: the distribution inside says it all
        return distribution_text(inner)
    parts = []
    for key, value in settings.items():
        array = np.asarray(value)
        numeric = np.issubdtype(array.dtype, np.number) and array.size <= 12
        parts.append(f"{key} = {', '.join(f'{v:.4g}' for v in array.ravel()) if numeric else value}")
    return str(item["distribution"]), "; ".join(parts)


def changes_told(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> str:
    """One indented line for each parameter whose distribution differs.

    Args:
        before: description of a prior; empty if unknown.
        now: of the other one.
    """
    was, is_now = ({str(item["name"]): item for item in prior} for prior in (before, now))
    lines = []
    for name in dict.fromkeys([*was, *is_now]):
        if name not in is_now:
            lines.append(f"{name}: {_in_words(was[name])}, now no parameter")
        elif name not in was:
            lines.append(f"{name}: new, {_in_words(is_now[name])}")
        elif was[name] != is_now[name]:
            words = [_in_words(one) for one in (was[name], is_now[name])]
            # Beyond the digits that are shown.
            words = words if len(set(words)) > 1 else [str(one.get("settings")) for one in (was[name], is_now[name])]
            lines.append(f"{name}: {words[0]}, now {words[1]}")
    if not lines and list(was) != list(is_now):
        lines.append(f"the order of parameters: {', '.join(was)}, now {', '.join(is_now)}")
    return "\n".join(f"  {line}" for line in lines)


def _in_words(item: Mapping[str, Any]) -> str:
    name, settings = distribution_text(item)
    return f"{name}({settings})"
