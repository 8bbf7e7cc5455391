"""The examples of docs/data_files.md run as they stand, and print what their comments say."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "data_files.md"


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"(?s)```python\n(.*?)```", PAGE.read_text()))
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})
    promised = re.findall(r"print\(.*?\)  # (.*)", code)
    assert len(promised) == 4
    assert capsys.readouterr().out.splitlines() == promised
