"""The code of pages that promise it runs from top to bottom."""

import re
import warnings
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["howto.md", "other_packages.md"])
def test_the_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "other_packages.md":
        with warnings.catch_warnings():
            # ArviZ announces at its first import that its next version differs.
            warnings.simplefilter("ignore", FutureWarning)
            pytest.importorskip("arviz", exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"(?s)```python\n(.*?)```", (DOCS / name).read_text("utf-8")))
    found: dict = {"__name__": "page"}
    exec(compile(code, name, "exec"), found)
    # Six values with normal errors of 0.1: beta 300 is Bayes' 6 / (2 x 0.1^2). Made by hand near rate 0.5 and size 3.1.
    low, high = found["np"].quantile(found["draws"]["rate"], [0.005, 0.995])
    assert low < 0.5 < high
    assert high - low < 0.2
