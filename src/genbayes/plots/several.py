"""One posterior or several by name in a picture: each of several has a colour and a kind of line of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..runtime.figure_style import DASHES, SEVERAL_COLOURS, SMALL
from ..runtime.formatting import plain


class Shown(NamedTuple):
    """One of several in a picture.

    Attributes:
        name: in the legend.
        one: what is drawn.
        colour: of its lines.
        dashes: kind of its lines, told apart where colour is lost.
    """

    name: str
    one: Any
    colour: str
    dashes: Any


def several(given: Mapping[str, Any], argument: str, advice: str = "") -> list[Shown]:
    """Colours and lines of what is compared.

    Args:
        given: by name.
        argument: name of the argument, for errors.
        advice: what shows more of them.

    Raises:
        ValueError: there are none, or more than can be told apart.
    """
    if not 1 <= len(given) <= len(SEVERAL_COLOURS):
        remedy = f"choose some of them{advice}"
        raise ValueError(
            f"{argument} has {len(given)} posteriors; a readable picture has 1 to {len(SEVERAL_COLOURS)}: {remedy}."
        )
    return [
        Shown(str(name), one, colour, dashes)
        for (name, one), colour, dashes in zip(given.items(), SEVERAL_COLOURS, DASHES, strict=False)
    ]


def same_names(shown: list[Shown], what: str, names: Any = None) -> tuple[str, ...]:
    """The names that all of them have.

    Args:
        shown: what is compared.
        what: kind of the names, such as "parameters".
        names: function that returns those of one; its attribute `names` if not given.

    Raises:
        ValueError: some have others.
    """
    found = [tuple((names or (lambda one: one.names))(one.one)) for one in shown]
    for one, other in zip(shown, found, strict=True):
        if other != found[0]:
            raise ValueError(
                f"{one.name!r} has the {what} {list(other)}, but {shown[0].name!r} has {list(found[0])}: compare what "
                f"has the same {what} in the same order."
            )
    return found[0]


def same_keys(one: Mapping[str, Any], other: Any, names: tuple[str, str]) -> None:
    """Raises ValueError where the second argument is not by the names of the first."""
    if not isinstance(other, Mapping) or list(other) != list(one):
        got = list(other) if isinstance(other, Mapping) else type(other).__name__
        raise ValueError(f"{names[1]} must be by the names of {names[0]}, {list(one)}, got {got}.")


def legend(figure: Any, shown: list[Shown], others: Mapping[str, Any], columns: int = 4) -> None:
    """Explains the colours of all, and what else is in the picture (handles by their text), below it."""
    from matplotlib.lines import Line2D

    handles: list[Any] = [
        Line2D([], [], color=one.colour, linewidth=1.5, linestyle=one.dashes, label=plain(one.name, 30))
        for one in shown
    ]
    for text, handle in others.items():
        handle.set_label(text)
        handles.append(handle)
    figure.legend(
        handles=handles,
        frameon=False,
        fontsize=SMALL,
        loc="outside lower center",
        ncols=min(len(handles), columns),
    )


def common_window(windows: list[tuple[float, float]]) -> tuple[float, float]:
    """The range that holds all of them."""
    return float(np.min([low for low, _ in windows])), float(np.max([high for _, high in windows]))
