"""How objects show themselves in a notebook: small HTML of escaped text, for `_repr_html_`."""

import html
from collections.abc import Iterable, Sequence


def html_text(text: str) -> str:
    """A text in which lines and columns stay as they are."""
    return f"<pre>{html.escape(text)}</pre>"


def html_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """A table: the first column names the row, the others are aligned to the right.

    Args:
        caption: above the table.
        header: names of the columns.
        rows: texts, as many a row as there are columns.
        notes: sentences below the table.
    """
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in header)
    lines = []
    for name, *values in rows:
        cells = "".join(f'<td style="text-align: right">{html.escape(value)}</td>' for value in values)
        lines.append(f'<tr><th scope="row" style="text-align: left">{html.escape(name)}</th>{cells}</tr>')
    body = "\n".join(lines)
    below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return (
        f"<table>\n<caption>{html.escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n"
        f"</tbody>\n</table>{below}"
    )


def html_properties(caption: str, properties: dict[str, str], notes: Iterable[str] = ()) -> str:
    """A table of names and values."""
    return html_table(caption, ("", ""), properties.items(), notes)
