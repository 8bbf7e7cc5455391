"""The table of docs/problem_toml.md has the keys that a problem file may have: no more and no fewer."""

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from genbayes.command_line import problem, simulator_entry
from genbayes.distances import UserDistance
from genbayes.distances.base import distance_classes
from genbayes.learning.training import FitConfig

PAGE = Path(__file__).parents[2] / "docs" / "problem_toml.md"


def keys_of_the_table(text: str) -> dict[str, list[str]]:
    """The keys in the first cells of the table, by the part of the file that they belong to."""
    found: dict[str, list[str]] = {}
    part = ""
    for line in text.splitlines():
        cell = line.split("|")[1].strip() if line.startswith("| ") else ""
        if cell.startswith("**"):
            part = cell.strip("*[] ")
            found[part] = []
        elif cell.startswith("`"):
            found[part] += re.findall(r"`(\w+)`", cell)
    return found


def keys_of_the_code() -> dict[str, set[str]]:
    """What read_problem takes: the lists that it compares with, and the arguments of the public distances."""
    classes = [cls for cls in distance_classes().values() if cls is not UserDistance and "genbayes" in cls.__module__]
    arguments = {name for cls in classes for name in list(inspect.signature(cls.__init__).parameters)[1:]}
    source = inspect.getsource(problem.read_problem)
    [top] = re.findall(r"known = \((.*?)\)", source, re.DOTALL)
    parts = {"conditions", "distance", "observation", "fit", "sample", "report"}
    return {
        "top of the file": set(re.findall(r'"(\w+)"', top)) - parts,
        "prior": {"NAME"},
        "conditions": {"NAME"},
        "distance": arguments | {"name", "function", "units"},
        "observation": {*problem._READING, "file", "values", "conditions"},
        "fit": {item.name for item in fields(FitConfig)} | {"method", "embedding", "failures", "measurement_error"},
        "sample": {item.name for item in fields(problem.SampleSettings)},
        "report": {item.name for item in fields(problem.ReportSettings)},
        "simulator": set(simulator_entry._KEYS),
    }


@pytest.mark.parametrize("part", keys_of_the_code())
def test_the_table_has_the_keys_of_every_part(part: str) -> None:
    listed = keys_of_the_table(PAGE.read_text("utf-8"))[part]
    assert len(listed) == len(set(listed))
    assert set(listed) == keys_of_the_code()[part]


def test_every_part_is_in_the_table() -> None:
    assert list(keys_of_the_table(PAGE.read_text("utf-8"))) == list(keys_of_the_code())


@pytest.mark.parametrize(
    ("part", "keys"),
    [("sample", 'beta = 1.0\nspeed = "high"'), ("observation", "values = [1.0]\nunit = 3"), ("fit", "epochs = 3")],
)
def test_another_key_is_refused(part: str, keys: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def simulate(theta, rng):\n    return theta\n")
    file = tmp_path / "problem.toml"
    rest = 'simulator = "model:simulate"\nprior.a = { distribution = "Normal" }\ndistance.name = "MeanSquaredError"\n'
    file.write_text(f"{rest}[{part}]\n{keys}\n")
    with pytest.raises(ValueError, match=keys.splitlines()[-1].split()[0]):
        problem.read_problem(file)
