"""The building blocks of a report's page: sections, tables and inline pictures, every text escaped."""

import base64
import html
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any

from ..explorer.markup import page_style, scrolling
from ..runtime.formatting import number


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: plain text.
        body: HTML, such as `paragraph`, `table` and `picture` return.
        level: of what it found, "ok", "care" or "bad"; the verdict on top is no better.
    """

    title: str
    body: str
    level: str = "ok"


def filled(title: str, subtitle: str, body: str) -> str:
    """A whole page.

    Args:
        title: plain text.
        subtitle: plain text.
        body: HTML.
    """
    template = Template(resources.files("genbayes.reports").joinpath("template.html").read_text("utf-8"))
    return template.substitute(title=html.escape(title), subtitle=html.escape(subtitle), body=body, style=page_style())


def composed(title: str, parts: Iterable[str], level: str = "ok") -> Section:
    """A section of paragraphs, tables and pictures, one below the other."""
    return Section(title, "\n".join(parts), level)


def paragraph(text: str) -> str:
    """Returns a paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def code(text: str, name: str) -> str:
    """Returns lines as they are; `name` says what they are."""
    return f"<pre {scrolling(name)}>{html.escape(text)}</pre>"


def section(heading: str, content: str) -> str:
    """Returns a section; `content` is HTML, the heading plain text."""
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n{content}\n</section>"


def table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Returns a table in its own scroll container: the first column names the row; numbers are right-aligned."""
    names, rows = tuple(header), [tuple(row) for row in rows]
    kinds = [all(map(_is_number, column)) for column in zip(*rows, strict=True)]
    classes = [' class="number"' if kind else "" for kind in kinds]
    head = "".join(f'<th scope="col"{c}>{html.escape(name)}</th>' for name, c in zip(names, classes, strict=True))
    lines = []
    for row in rows:
        text = [html.escape(number(value, 4) if isinstance(value, float) else str(value)) for value in row]
        cells = "".join(f"<td{c}>{value}</td>" for value, c in zip(text[1:], classes[1:], strict=True))
        lines.append(f'<tr><th scope="row">{text[0]}</th>{cells}</tr>')
    body = "\n".join(lines)
    frame = f'<div class="scroll" {scrolling(", ".join(names))}>'
    return f"{frame}<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"


def _is_number(value: Any) -> bool:
    """Whether a cell is a number, also one already formatted, with its error or count, or the dash of a missing one."""
    text = re.sub(r"( ± \S+)?( \(\d+\))?$", "", str(value)).replace(",", "")
    try:
        return value == "-" or float(text) is not None
    except ValueError:
        return False


def picture(caption: str, figure: Any, dpi: int = 144) -> str:
    """Returns one inline PNG of at most 256 colours on a white card."""
    from PIL import Image  # comes with matplotlib

    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=dpi)
    image = Image.open(raw).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    data = base64.b64encode(small.getvalue()).decode("ascii")
    text, width = html.escape(caption), round(image.width * 96 / dpi)
    # On a phone a wide picture scrolls instead of shrinking.
    wide, reached = (' class="wide"', f" {scrolling('picture')}") if width > 640 else ("", "")
    return (
        f'<figure><div class="card"{reached}><img{wide} width="{width}" alt="{text}" '
        f'src="data:image/png;base64,{data}"></div>\n'
        f"<figcaption>{text}</figcaption></figure>"
    )
