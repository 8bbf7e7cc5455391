"""The examples of docs/two_simulators.md run as they stand, and find the parameters."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "two_simulators.md"


@pytest.mark.slow
@pytest.mark.long
def test_the_page_runs_and_the_cheap_error_is_no_part_of_the_answer() -> None:
    found: dict = {"__name__": "page"}
    for block in re.findall(r"(?s)```python\n(.*?)```", PAGE.read_text("utf-8")):
        exec(compile(block, str(PAGE), "exec"), found)
    assert len(found["refined"].simulations) == 140
    assert len(found["refined"].cheap) == 2080
    assert not found["cost"].outcome.messages
    # The truth lies inside, as it does for the dear simulator; a coarse step alone puts the opening elsewhere.
    draws = found["draws"].flat
    away = (draws.mean(axis=0) - np.array([2.5, 0.3])) / draws.std(axis=0)
    assert np.all(np.abs(away) < 3)
