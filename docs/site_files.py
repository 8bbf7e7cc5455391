"""A Sphinx extension for what the site has beside its pages: a way in at its root, and llms.txt."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.ext.napoleon import GoogleDocstring

DOORWAY = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>genbayes</title>
<meta http-equiv="refresh" content="0; url=docs/index.html">
</head>
<body><a href="docs/index.html">genbayes: documentation</a></body>
</html>
"""


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("build-finished", write_files)
    GoogleDocstring._consume_inline_attribute = whole_docstring
    app.connect("autodoc-process-docstring", escape_symbols)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_files(app: Sphinx, error: Exception | None) -> None:
    """Writes index.html and llms.txt to the root of the finished site."""
    if error is None and app.builder.name == "html":
        out = Path(app.outdir)
        for page in (out / "docs" / "reference").glob("*.html"):
            page.write_text(lists_of_parameters(page.read_text("utf-8")), "utf-8")
        (out / "index.html").write_text(DOORWAY, "utf-8")
        (out / "llms.txt").write_text(llms_text(app), "utf-8")
        missing = [name for name in left_by_notebooks(out) if not (out / name).is_file()]
        if missing:
            raise ExtensionError(f"no notebook has made {', '.join(missing)}. Remove site/executed, and build again.")


def lists_of_parameters(text: str) -> str:
    """Signatures of several lines as lists: Sphinx writes definitions without terms, which is no valid HTML."""

    def as_list(found: re.Match) -> str:
        lines = found.group(1).replace("<dd>", '<div role="listitem">').replace("</dd>", "</div>")
        return f'<div class="sig-lines" role="list">{lines}</div>'

    return re.sub(r'(?s)<dl>(\s*<dd><em class="sig-param">(?:(?!<dl|</dl>).)*)</dl>', as_list, text)


def left_by_notebooks(out: Path) -> list[str]:
    """The reports and pictures that pages show as notebooks left them; Sphinx does not look whether they are there."""
    names = set()
    for page in (out / "docs").rglob("*.html"):
        names |= set(re.findall(r'(?:src|href)="(?:\.\./)+((?:reports|pictures)/[^"]+)"', page.read_text("utf-8")))
    return sorted(names)


def escape_symbols(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keeps a shape such as (m, *x_shape) and a modulus such as |x - y| of a docstring from being read as markup."""
    for number, line in enumerate(lines):
        # Types by their last names, as the code has them; what a subclass must have is of the type inside.
        if line.startswith(":vartype"):
            line = lines[number] = re.sub(r"AbstractVar\[(.*)\]$", r"\1", re.sub(r"(?:\w+\.)+(?=\w)", "", line))
        if not line.lstrip().startswith(">>>"):
            parts = re.split(r"(`[^`]*`)", line)
            parts[::2] = [re.sub(r"(?<!\*)\*(?=\w)|\|", r"\\\g<0>", part) for part in parts[::2]]
            lines[number] = "".join(parts)


def whole_docstring(docstring: GoogleDocstring) -> tuple[str, list[str]]:
    """Reads the docstring of a property like any other; Sphinx takes what stands before its first colon for a type."""
    lines = docstring._dedent(docstring._consume_to_end())
    return "", GoogleDocstring(lines, docstring._config).lines()


def llms_text(app: Sphinx) -> str:
    """The contents of the site in Markdown (llmstxt.org): a section for each part, a line for each page."""
    parts = ["# genbayes", f"> {first_words(app.srcdir / 'README.md')}"]
    for part, pages in contents(app.srcdir / "docs" / "index.md"):
        lines = []
        for page in pages:
            name = str((app.srcdir / "docs" / page).resolve().relative_to(Path(app.srcdir).resolve()))
            title = app.env.titles[name].astext()
            lines.append(f"- [{title}]({name}.html): {first_words(app.srcdir / f'{name}.md')}")
        parts.append(f"## {part}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def contents(index: Path) -> list[tuple[str, list[str]]]:
    """The parts of the site, with the pages of each, of the tables of contents in index.md."""
    found = re.findall(r"(?s)```\{toctree\}\n(.*?)```", index.read_text("utf-8"))
    parts = []
    for table in found:
        [caption] = re.findall(r":caption: (.*)", table)
        pages = [line.strip() for line in table.splitlines() if line.strip() and not line.startswith(":")]
        parts.append((caption, pages))
    return parts


def first_words(page: Path) -> str:
    """The first sentence of a Markdown page, without its links."""
    text = re.sub(r"(?s)\A---\n.*?\n---\n|```.*?```", "", page.read_text("utf-8"))
    for paragraph in text.split("\n\n"):
        plain = " ".join(paragraph.split())
        if plain and (plain[0].isalpha() or plain[0] in "`*["):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", plain).replace("`", "").replace("*", "")
            return re.split(r"(?<=[.!?]) ", plain)[0]
    return ""
