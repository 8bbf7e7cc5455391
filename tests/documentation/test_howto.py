"""The code of docs/howto.md runs from top to bottom."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "howto.md"


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"(?s)```python\n(.*?)```", PAGE.read_text("utf-8")))
    found: dict = {"__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), found)
    # Six values with normal errors of 0.1: beta 300 is Bayes' 6 / (2 x 0.1^2). Made by hand near rate 0.5 and size 3.1.
    low, high = found["np"].quantile(found["draws"]["rate"], [0.005, 0.995])
    assert low < 0.5 < high
    assert high - low < 0.2
