"""Lines of the pages' prose stay below 100 characters: a source that is read as it is."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def prose(text: str) -> list[str]:
    """The lines outside of code, tables and tags."""
    lines, fence = [], ""
    for line in text.splitlines():
        opened = re.match(r"\s*(`{3,}|~{3,}|:{3,})", line)
        if opened is not None and (not fence or opened.group(1).startswith(fence)):
            fence = "" if fence else opened.group(1)
        elif not fence and not line.lstrip().startswith(("|", "<")):
            lines.append(line)
    return lines


def test_lines_of_prose_are_below_100_characters() -> None:
    assert prose("a\n```\ncode\n```\n| table |\nb") == ["a", "b"]
    pages = sorted(DOCS.rglob("*.md"))
    long = [f"{page.name}: {line}" for page in pages for line in prose(page.read_text("utf-8")) if len(line) >= 100]
    assert long == []
