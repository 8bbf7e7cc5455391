"""The examples of docs/many_observations.md on joint posteriors and held parameters run as they stand."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "many_observations.md"
SECTIONS = ("Several data sets that share parameters", "Hold a parameter at a value")


@pytest.mark.slow
@pytest.mark.long
def test_the_sections_run_one_after_the_other() -> None:
    sections = dict(one.split("\n", 1) for one in re.split(r"(?m)^## ", PAGE.read_text())[1:])
    code = "\n".join(block for name in SECTIONS for block in re.findall(r"(?s)```python\n(.*?)```", sections[name]))
    found: dict = {"__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), found)
    assert found["posterior"].prior.names == ("growth", "capacity", "delay")
    assert found["own"].names == ("growth", "delay")
    assert found["verdict"].level == "ok", found["verdict"].summary()
    assert found["draws"].names == ("delay",)
    assert round(found["draws"].conditions["growth"], 6) == 0.9
    assert found["joint_known"].prior.names == ("capacity", "delay")
    # A growth of 0.9 is that of the second output, the delay that of both.
    runs = found["found"].x
    assert abs((runs[:, 1] - runs[:, 0]).mean() - 0.9) < 5 * 0.2 * (2 / len(runs)) ** 0.5
