"""Writes what a benchmark found: summary.md, figures/ and one self-contained HTML page."""

import datetime
import html
import platform
from collections.abc import Sequence
from pathlib import Path

from ..reports import markup
from ..runtime.formatting import plain
from ..runtime.processes import cores
from ..runtime.release import version
from .plot import benchmark
from .results import Row
from .tables import Published, Setting, Table, settings, tables

PACKAGES = ("genbayes", "jax", "numpy", "scikit-learn", "torch", "sbi")
CAPTION = (
    "Mean over observations with its standard error. The black line is the exact posterior: a method should lie on it, "
    "in cost as in C2ST (0.5 is perfect). Lower cost than the exact posterior's means draws that are too narrow."
)
PUBLISHED = " Hollow markers on dashed lines: published values, mean over the observations of their file."


def write_benchmark(
    out: str | Path,
    rows: Sequence[Row],
    *,
    command: str,
    failures: Sequence[str] = (),
    published: Published | None = None,
) -> list[Path]:
    """Writes out/summary.md, out/figures/TASK.png and out/benchmark.html.

    Args:
        out: folder of the benchmark.
        rows: of results.csv; those without draws are left out.
        command: that repeats it.
        failures: in words.
        published: values to show beside.

    Returns:
        The paths of the summary and of the page.

    Raises:
        ImportError: matplotlib is not installed.
    """
    out, published = Path(out), published or {}
    (out / "figures").mkdir(parents=True, exist_ok=True)
    about = [("command", command), *_about()]
    markdown = ["# Benchmark", "\n".join(f"- {name}: {_code(name, value)}" for name, value in about)]
    sections = []
    if failures:
        markdown.append("## Failed\n\n" + "\n".join(f"- {line}" for line in failures))
        items = "".join(
            f'<li class="bad"><span class="tag">failed</span> {html.escape(line)}</li>' for line in failures
        )
        sections.append(f'<section class="verdict bad"><h2>Some posteriors are missing</h2><ul>{items}</ul></section>')
    for setting in settings(rows):
        found, figure = tables(setting, published), benchmark(setting, published)
        inline = markup.picture(_caption(setting, published), figure)
        # The title is left out, because the page's heading says it.
        figure.suptitle(plain(setting.title, 120), fontsize=9, fontweight="bold", x=0.01, ha="left")
        figure.savefig(out / "figures" / f"{setting.stem}.png", dpi=150)
        markdown += [f"## {setting.title}", f"![{setting.title}](figures/{setting.stem}.png)"]
        markdown += [table.markdown() for table in found]
        content = [inline, *map(_as_html, found)]
        sections.append(markup.section(setting.title, "\n".join(content)))
    sections.append(markup.section("What was run", markup.table(("", "value"), about)))
    text = f"<p>The same command again computes only what is missing:</p>\n<pre>{html.escape(command)}</pre>"
    sections.append(markup.section("How to repeat", text))
    summary, page = out / "summary.md", out / "benchmark.html"
    summary.write_text("\n\n".join(markdown) + "\n", "utf-8")
    subtitle = f"{sum(row.ok for row in rows):,} posteriors. Written by genbayes {version('genbayes')} on "
    subtitle += f"{datetime.date.today()}. All numbers: results.csv in the same folder."
    page.write_text(markup.filled("Benchmark", subtitle, "\n".join(sections)), "utf-8")
    return [summary, page]


def _caption(setting: Setting, published: Published) -> str:
    return CAPTION + PUBLISHED * any(key[0] == setting.task for key in published)


def _as_html(table: Table) -> str:
    note = "".join(f'<p class="muted">{html.escape(text)}</p>' for text in (table.note, table.caution) if text)
    if not table.rows:
        return f"<h3>{html.escape(table.title)}</h3>\n{note}"
    return f"<h3>{html.escape(table.title)}</h3>\n{markup.table(table.header, table.rows)}\n{note}"


def _code(name: str, value: str) -> str:
    return f"`{value}`" if name == "command" else value


def _about() -> list[tuple[str, str]]:
    """Machine and versions."""
    machine = f"{_processor()}, {cores()} core(s), {platform.system()}, Python {platform.python_version()}"
    versions = ((name, version(name)) for name in PACKAGES)
    return [
        ("machine", machine),
        ("versions", ", ".join(f"{name} {text}" for name, text in versions if text[0].isdigit())),
    ]


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()
