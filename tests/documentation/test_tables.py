"""Tables of the pages have words in every cell of their heads, for readers of screens."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_no_head_of_a_table_is_empty() -> None:
    empty = []
    for page in sorted(DOCS.rglob("*.md")):
        lines = page.read_text("utf-8").splitlines()
        for line, below in zip(lines, lines[1:], strict=False):
            cells = [cell.strip() for cell in line[1:-1].split("|")]
            if line.startswith("|") and re.fullmatch(r"\|[-| :]+\|", below) and "" in cells:
                empty.append(f"{page.name}: {line}")
    assert empty == []
