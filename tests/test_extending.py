"""The recipes of docs/extending.md run as they stand: each section by itself, all in one process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
RUN = """
import sys, traceback
from pathlib import Path
for path in sys.argv[1:]:
    try:
        exec(compile(Path(path).read_text(), path, "exec"), {"__name__": "recipe"})
    except Exception:
        traceback.print_exc()
        print(f"FAILED {path}")
"""


def recipes(text: str) -> dict[str, str]:
    """The Python of every section of a page, one block after the other."""
    sections = re.split(r"(?m)^## ", text)[1:]
    found = {one.split("\n", 1)[0]: "\n".join(re.findall(r"(?s)```python\n(.*?)```", one)) for one in sections}
    return {title: code for title, code in found.items() if code}


@pytest.mark.slow
def test_every_recipe_runs(tmp_path: Path) -> None:
    found = recipes(PAGE.read_text())
    files = []
    for title, code in found.items():
        files.append(tmp_path / f"{re.sub('[^a-z]+', '_', title.lower())}.py")
        files[-1].write_text(code)
    run = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, files)],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "FAILED" not in run.stdout, f"{run.stdout}\n{run.stderr}"


def test_a_recipe_is_found_and_a_broken_one_fails(tmp_path: Path) -> None:
    found = recipes(
        "## A\n```python\nx = 1\n```\ntext\n```python\nassert x == 1\n```\n## B\nnone\n## C\n```python\n1/0\n```"
    )
    assert found == {"A": "x = 1\n\nassert x == 1\n", "C": "1/0\n"}
    for title, code in found.items():
        (tmp_path / title).write_text(code)
    command = [sys.executable, "-c", RUN, str(tmp_path / "A"), str(tmp_path / "C")]
    out = subprocess.run(command, capture_output=True, text=True).stdout
    assert out.split() == ["FAILED", str(tmp_path / "C")]
