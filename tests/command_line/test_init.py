"""`genbayes init`: what it writes runs, and nothing is overwritten."""

import datetime
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest

import genbayes as gb
from genbayes import cli
from genbayes.command_line.init_command import LANGUAGES, starter
from genbayes.command_line.problem import read_problem

GROWTH, CAPACITY, START = 0.5, 160.0, 5.0


def population(growth: float, capacity: float, start: float) -> np.ndarray:
    """The 21 days of the starters' model without errors."""
    numbers = [start]
    for _ in range(20):
        numbers.append(numbers[-1] * (1 + growth * (1 - numbers[-1] / capacity)))
    return np.array(numbers)


def test_the_observation_is_of_a_relative_of_the_model() -> None:
    # Growth slows down by another law, so that no parameter is right, and one day was not counted.
    rng, number, lines = np.random.default_rng(22), 6.0, ["date,count"]
    for day in range(21):
        counted = number * rng.lognormal(0, 0.1)
        date = datetime.date(2026, 5, 1) + datetime.timedelta(day)
        lines.append(f"{date},{'' if day == 9 else round(counted)}")
        number *= np.exp(0.45 * (1 - (number / 180) ** 0.7))
    for language in LANGUAGES:
        assert starter(language)["observed.csv"] == "\n".join(lines) + "\n"


def test_a_problem_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "water fleas"]) == 0
    printed = capsys.readouterr().out
    names = sorted(path.name for path in Path("water fleas").iterdir())
    assert names == ["observed.csv", "problem.toml", "simulator.py"]
    assert "  cd 'water fleas'\n" in printed
    problem = read_problem("water fleas/problem.toml")
    assert problem.observation is not None
    assert problem.observation.summary == "21 days of count, 1 missing: 2026-05-10"
    theta = np.tile([GROWTH, CAPACITY, START], (400, 1))
    runs = gb.simulate_at(problem.simulator, theta, seed=0, names=problem.prior.names, progress=False).x
    assert problem.observation.values.shape == runs.shape[1:]
    errors = np.log(runs) - np.log(population(GROWTH, CAPACITY, START))
    # 8400 errors of mean 0 and standard deviation 0.1: five standard errors of both.
    assert abs(errors.mean()) < 5 * 0.1 / np.sqrt(8400)
    assert abs(errors.std() - 0.1) < 5 * 0.1 / np.sqrt(2 * 8400)


def test_a_problem_in_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "--language", "c", "--quiet"]) == 0
    assert capsys.readouterr().out.split() == ["problem.toml", "simulator.c", "observed.csv"]
    command = LANGUAGES["c"].build
    assert command in Path("problem.toml").read_text()
    assert command in Path("simulator.c").read_text()
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc")
    subprocess.run([*shlex.split(command), "-Wall", "-Wextra", "-Werror"], check=True)
    problem = read_problem("problem.toml")
    theta = np.tile([GROWTH, CAPACITY, START], (40, 1))
    runs = gb.simulate_at(problem.simulator, theta, seed=0, names=problem.prior.names, progress=False).x
    errors = np.log(runs) - np.log(population(GROWTH, CAPACITY, START))
    # 840 errors of mean 0 and standard deviation 0.1: five standard errors of both.
    assert abs(errors.mean()) < 5 * 0.1 / np.sqrt(840)
    assert abs(errors.std() - 0.1) < 5 * 0.1 / np.sqrt(2 * 840)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_paragraph_is_explained_and_every_page_is_there(language: str) -> None:
    text = starter(language)["problem.toml"]
    pages = re.findall(r"docs/\w+\.md", text)
    assert len(pages) > 4
    assert all((Path(__file__).parents[2] / page).is_file() for page in pages)
    tables = tomllib.loads(text)
    assert list(tables["prior"]) == ["growth", "capacity", "start"]
    assert {"distance", "observation", "sample", "report"} < set(tables)
    for paragraph in text.split("\n\n"):
        lines = [line for line in paragraph.splitlines() if not line.startswith("[")]
        assert lines[0].startswith("#"), paragraph


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p").mkdir()
    Path("p/simulator.py").write_text("mine")
    assert cli.main(["init", "p"]) == 1
    assert "error: p/simulator.py would be overwritten. Name another folder" in capsys.readouterr().err
    assert [path.name for path in Path("p").iterdir()] == ["simulator.py"]
    assert Path("p/simulator.py").read_text() == "mine"
    assert cli.main(["init", "p/simulator.py"]) == 1
    assert "p/simulator.py is a file. Name a folder" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.slow
def test_all_stages_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "p"]) == 0
    with Path("p/problem.toml").open("a") as file:
        file.write("[fit]\nmembers = 1\nmax_epochs = 5\nwidth = 8\n")
    assert cli.main(["run", "p/problem.toml", "--simulations", "3e2", "--draws", "1e2", "--resimulate", "10"]) == 0
    assert "written: problem/report-beta-1000.html" in capsys.readouterr().out
    assert gb.Draws.load("problem/draws-beta-1000.zarr")["growth"].size == 100


@pytest.mark.long
@pytest.mark.slow
def test_the_answer_is_a_sensible_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init"]) == 0
    assert cli.main(["run", "problem.toml", "--simulations", LANGUAGES["python"].runs]) == 0
    assert cli.main(["check", "problem.toml"]) == 0
    draws = gb.Draws.load("problem/draws-beta-1000.zarr")
    # The relative grows by exp(0.45 (1 - (6 / 180)^0.7)) - 1 = 0.5 on the first day, from 6 to 180.
    assert 0.4 < np.median(draws["growth"]) < 0.6
    assert 150 < np.median(draws["capacity"]) < 190
    assert 4 < np.median(draws["start"]) < 7
