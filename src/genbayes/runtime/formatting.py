"""Numbers and names as text for a reader."""

import html
from collections.abc import Iterable, Sequence

import numpy as np


def number(value: float | np.floating, digits: int = 3) -> str:
    """Formats a number for reading: `digits` significant digits, no exponent for everyday sizes."""
    if not np.isfinite(value):
        return "-"
    size = 0 if value == 0 else int(np.floor(np.log10(abs(value))))
    if -4 < size < 6:
        return f"{value:,.{max(0, digits - 1 - size)}f}"
    return f"{value:.{digits - 1}e}"


def short_number(value: float | np.floating, digits: int = 3) -> str:
    """Formats as `number`, without zeros at the end of decimals: 30 and not 30.0, for what was chosen or counted."""
    text = number(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def plain(name: str, length: int = 40) -> str:
    """Shortens a long name, and keeps matplotlib from reading a dollar as mathematics."""
    return (name if len(name) <= length else name[: length - 1] + "…").replace("$", r"\$")


def html_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a plain HTML table for notebooks; every text is escaped, and the first column names the row."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in header)
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td>{html.escape(str(value))}</td>" for value in others)
        lines.append(f'<tr><th scope="row">{html.escape(str(first))}</th>{cells}</tr>')
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
