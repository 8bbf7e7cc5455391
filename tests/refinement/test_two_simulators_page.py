"""The examples of docs/two_simulators.md run as they stand, and are like many runs of the dear simulator."""

import re
from pathlib import Path

import numpy as np
import pytest

import genbayes as gb

PAGE = Path(__file__).parents[2] / "docs" / "two_simulators.md"
NOISE = 0.05


def levels(theta: np.ndarray) -> np.ndarray:
    """Mean levels of the dear simulator's tank."""
    level, found = theta[:, 0].astype(float), []
    for _ in range(5):
        for _ in range(50):
            level = level - theta[:, 1] * np.sqrt(np.maximum(level, 0.0)) / 50
        found.append(level)
    return np.stack(found, axis=1)


@pytest.mark.slow
@pytest.mark.long
def test_sixty_dear_runs_and_many_cheap_ones_are_like_many_dear_ones() -> None:
    found: dict = {"__name__": "page"}
    for block in re.findall(r"(?s)```python\n(.*?)```", PAGE.read_text("utf-8")):
        exec(compile(block, str(PAGE), "exec"), found)
    assert len(found["refined"].simulations) == 140
    assert len(found["refined"].cheap) == 2080
    assert not found["cost"].outcome.messages
    draws, x_o = found["draws"].flat, np.asarray(found["x_o"])
    exact = np.mean((levels(draws) - x_o) ** 2, axis=1) + NOISE**2
    many = gb.simulate(found["fine"], found["prior"], 2000, seed=7, progress=False)
    of_many = gb.fit_cost(many, gb.distances.MeanSquaredError(), progress=False)
    few = gb.fit_cost(found["dear"], gb.distances.MeanSquaredError(), progress=False)
    errors = {
        name: 500 * np.std(np.asarray(cost(draws, x_o), float) - exact)
        for name, cost in {"both": found["cost"], "many": of_many, "few": few}.items()
    }
    # Both have the noise of some 2,000 runs, of which a posterior of two parameters sees two slopes: the ratio of two
    # such errors is above 4 in one case of 17. With 60 runs they are larger by sqrt(2000 / 60), nearly 6.
    assert errors["both"] < 4 * errors["many"], errors
    assert errors["both"] < 0.35 * errors["few"], errors
