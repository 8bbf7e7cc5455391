"""The C program, the problem file and the scripts of docs/programs.md run as they stand."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import genbayes as gb
from genbayes import cli
from genbayes.command_line.problem import read_problem

PAGE = Path(__file__).parents[2] / "docs" / "programs.md"
EPIDEMIC = Path(__file__).parents[2] / "examples" / "epidemic"
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


@needs_compiler
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text()
    for name, text in re.findall(r"(?s)\n`([\w.]+)`:\n\n```\w+\n(.*?)```", page):
        (tmp_path / name).write_text(text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decay.awk", "problem.toml", "walk.c"]
    [build] = re.findall(r"```\n(cc .*)\n```", page)
    subprocess.run(build.split(), check=True)
    code = "\n".join(re.findall(r"(?s)```python\n(.*?)```", page))
    names: dict = {"__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), names)
    # The problem file says the same as the call.
    problem = read_problem(tmp_path / "problem.toml")
    again = gb.simulate(problem.simulator, problem.prior, 20, seed=0, progress=False)
    np.testing.assert_array_equal(again.x, names["simulations"].x[:20])
    # The program does not stand where the results belong.
    assert cli.main(["simulate", "problem.toml", "-n", "20", "--workers", "2", "--quiet"]) == 0
    np.testing.assert_array_equal(gb.Simulations.open("problem/simulations.zarr").x, again.x)
    # A walk of 20 steps ends at 20 times the drift, with a standard deviation of step sqrt(20 / 3).
    made = names["simulations"]
    error = (made.x[:, -1] - 20 * made.theta[:, 0]) / (made.theta[:, 1] * np.sqrt(20 / 3))
    # Of 200: the mean and the standard deviation are known to 0.07 and 0.05; four times that.
    assert abs(error.mean()) < 0.28
    assert abs(error.std() - 1) < 0.2


@needs_compiler
def test_the_epidemic_made_the_observation_of_its_example(tmp_path: Path) -> None:
    for name in ("problem.toml", "reported.csv"):
        shutil.copy(EPIDEMIC / name, tmp_path)
    subprocess.run(["cc", "-O2", "-o", tmp_path / "epidemic", EPIDEMIC / "epidemic.c", "-lm"], check=True)
    problem = read_problem(tmp_path / "problem.toml")
    arguments = re.findall(r"\./epidemic ([\d. ]+) reported.csv", (tmp_path / "problem.toml").read_text())
    subprocess.run([tmp_path / "epidemic", *arguments[0].split(), tmp_path / "again.csv"], check=True)
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "reported.csv").read_text()
    made = gb.simulate(problem.simulator, problem.prior, 100, seed=0, progress=False)
    assert problem.x_o is not None
    assert made.x_shape == problem.x_o.shape
    # Nobody is reported twice: 2,990 people can fall ill.
    assert made.ok.all()
    assert (made.x.sum(axis=1) <= 2990).all()
    theta = np.tile([[0.3, 5.0, 0.5], [0.3, 10.0, 0.5]], (20, 1))
    cases = gb.simulate_at(problem.simulator, theta, seed=0, names=problem.prior.names, progress=False).x.sum(axis=1)
    for part, days in ((cases[0::2], 5.0), (cases[1::2], 10.0)):
        # Time goes by days, of which people are infectious for 1 / (1 - exp(-1 / days)) on average; half is reported.
        # A single final size is spread by 3 % of the town and less, the mean of 20 by 0.7 %; ten weeks see most of it.
        expected = final_size(0.3 / (1 - np.exp(-1 / days)))
        assert abs(part[part > 50].mean() / (0.5 * 2990) - expected) < 0.05


def final_size(reproduction: float) -> float:
    """The share that falls ill in the end, of the equation z = 1 - exp(-R z)."""
    size = 1.0
    for _ in range(200):
        size = 1 - np.exp(-reproduction * size)
    return size
