"""The pages of the site: none is lost, every link leads somewhere, and every public name has its place."""

import re
from pathlib import Path

import pytest

import genbayes as gb

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
NEW = [page for page in PAGES if page.parent.name in ("start", "tutorials", "gallery", "explanation")]
LINKING = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def in_contents() -> set[Path]:
    """The pages that stand in a table of contents of docs/index.md."""
    tables = re.findall(r"(?s)```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text("utf-8"))
    names = [line.strip() for table in tables for line in table.splitlines() if line.strip() and line[0] != ":"]
    return {(DOCS / f"{name}.md").resolve() for name in names}


def anchors(page: Path) -> set[str]:
    """What can stand behind # in a link to a page: its headings as GitHub and MyST spell them."""
    text = re.sub(r"(?s)```.*?```", "", page.read_text("utf-8"))
    headings = (re.sub(r"[`*]", "", line.lstrip("# ")) for line in text.splitlines() if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_a_table_of_contents() -> None:
    found = in_contents()
    assert {page.resolve() for page in PAGES} - found == {DOCS / "index.md"}
    assert {page.resolve() for page in (ROOT / "benchmarks").glob("*.md")} <= found
    assert all(page.is_file() for page in found)


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(re.sub(r"(?s)```\w*\n.*?```", "", page.read_text("utf-8"))):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} in {page.name}"
        if anchor:
            assert anchor in anchors(target), f"{link} in {page.name}"


def test_every_public_name_has_one_place_in_the_reference() -> None:
    text = "\n".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))
    for module in ("", ".distances", ".plots", ".temperature"):
        parts = re.findall(rf"(?s)currentmodule:: genbayes{re.escape(module)}\n(.*?)```", text)
        named = [name for part in parts for name in re.findall(r"auto\w+:: (\w+)", part)]
        where = getattr(gb, module[1:]) if module else gb
        public = set(gb.__all__) - {"distances", "plots", "tasks", "temperature"}
        if module:
            public = {n for n in vars(where) if n[0] != "_" and getattr(vars(where)[n], "__module__", "") > "genbayes"}
        assert sorted(named) == sorted(public)


@pytest.mark.parametrize("page", NEW, ids=lambda page: page.stem)
def test_lines_are_short(page: Path) -> None:
    lines = page.read_text("utf-8").splitlines()
    assert [line for line in lines if len(line) > 99 and not line.startswith(("|", "<img"))] == []
