"""A problem whose simulator is a program needs no Python: the table [simulator]."""

from pathlib import Path

import numpy as np
import pytest

import genbayes as gb
from genbayes.cli import main
from genbayes.command_line.problem import read_problem

PRIOR = """
[prior]
growth = { distribution = "Uniform", low = 0.0, high = 1.0 }
stages = { distribution = "DiscreteUniform", low = 1, high = 3 }
"""
REST = PRIOR + '[distance]\nname = "MeanSquaredError"\n[observation]\nvalues = [0.5, 2.0]\n'
PROGRAM = """#!/usr/bin/awk -f
BEGIN {
    getline settings < (ARGV[1] "/model.ini")
    split(settings, word, " ")
    srand(ARGV[2] + 0)
    print "growth,stages" > (ARGV[1] "/x.csv")
    print word[3] + 0.1 * rand() "," word[6] > (ARGV[1] "/x.csv")
    print "not read", ENVIRON["UNITS"]
}
"""
WHOLE = """
[simulator]
command = ["./sim", "{folder}", "{seed}"]
output = "x.csv"
column = ["growth", "stages"]
files = { "model.ini" = { template = "model.template" }, "all.json" = "json" }
environment = { UNITS = "mm {growth}" }
timeout = 20
memory_limit = "4 GB"
exit_codes = [0, 2]
keep_failed = "failed"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sim").write_text(PROGRAM)
    (tmp_path / "sim").chmod(0o755)
    (tmp_path / "model.template").write_text("growth = {growth} stages = {stages}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("entry", "sd"), [("0.25", [0.25, 0.25]), ("[0.5, 0.125]", [0.5, 0.125]), ('"10 %"', [0.1, 1.0])]
)
def test_the_error_of_a_measurement_is_one_line(tmp_path: Path, entry: str, sd: list[float]) -> None:
    (tmp_path / "model.py").write_text(
        "import numpy as np\ndef simulate(theta, rng):\n    return np.array([1.0, -10.0])\n"
    )
    (tmp_path / "sim").write_text("#!/bin/sh\necho 1 -10\n")
    (tmp_path / "sim").chmod(0o755)
    for simulator in ('simulator = "model:simulate"', '[simulator]\ncommand = ["./sim", "{growth}", "{stages}"]'):
        path = write(tmp_path, f"measurement_error = {entry}\n{simulator}\n{REST}")
        problem = read_problem(path)
        made = gb.simulate(problem.simulator, problem.prior, 400, seed=0, progress=False)
        error = made.x - np.array([1.0, -10.0])
        # Standard deviation of 400 normal numbers: a relative error of 1 / sqrt(800), four of them.
        np.testing.assert_allclose(error.std(axis=0), sd, rtol=0.15)
        assert made.simulator.endswith(" + error")


@pytest.mark.parametrize(
    ("entry", "said"), [("-1.0", "at least 0"), ('"much"', 'such as "10 %"'), ("true", "a number")]
)
def test_an_error_of_a_measurement_that_is_none_is_refused(tmp_path: Path, entry: str, said: str) -> None:
    (tmp_path / "model.py").write_text("def simulate(theta, rng):\n    return theta\n")
    path = write(tmp_path, f'measurement_error = {entry}\nsimulator = "model:simulate"\n{REST}')
    with pytest.raises(ValueError, match=f"predator.toml: measurement_error: .*{said}"):
        read_problem(path)


def write(folder: Path, text: str) -> Path:
    (folder / "predator.toml").write_text(text)
    return folder / "predator.toml"


def test_a_program_is_simulated_without_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(folder, WHOLE + REST)
    command = ["--quiet", "simulate", str(path), "-n", "12", "--out", str(folder / "out")]
    assert main([*command, "--workers", "2"]) == 0
    made = gb.Simulations.open(folder / "out" / "simulations.zarr")
    assert made.ok.all()
    # As it is written, so that the folder may move to another machine.
    assert made.simulator == "./sim {folder} {seed}"
    noise = made.x[:, 0, 0] - made.theta[:, 0]
    assert ((noise > -1e-5) & (noise < 0.10001)).all()
    np.testing.assert_array_equal(made.x[:, 0, 1], made.theta[:, 1])
    problem = read_problem(path)
    again = gb.simulate(problem.simulator, problem.prior, 12, seed=0, progress=False)
    np.testing.assert_array_equal(again.x, made.x)
    (folder / "sim").unlink()
    assert main([*command[:-4], "-n", "20", "--out", str(folder / "out")]) == 1
    assert f"there is no program {folder}/sim" in " ".join(capsys.readouterr().err.split())


ERRORS = {
    "no command": ("[simulator]\noutput = 'x.csv'", "[simulator] command: is missing. Add command = ["),
    "key": (
        "[simulator]\ncommand = ['./sim']\ntimout = 3",
        "[simulator] timout: is not a key here; did you mean timeout?",
    ),
    "text": (
        "[simulator]\ncommand = './sim {growth}'",
        "[simulator] command: must be a list [..., ...], got './sim {gro",
    ),
    "items": (
        "[simulator]\ncommand = ['./sim', 3]",
        "[simulator] command: must be a list of texts, got 3 in it. Put it in quotes.",
    ),
    "name": (
        "[simulator]\ncommand = ['./sim', '{grwth}', '{stages}']",
        "[simulator]: `command`, argument 1 has {grwth}, which is none of growth, stages, seed, folder, base.",
    ),
    "unused": ("[simulator]\ncommand = ['./sim', '{growth}']", "[simulator]: the program does not get stages."),
    "timeout": (
        "[simulator]\ncommand = ['./sim']\nstdin = 'json'\ntimeout = '1'",
        "[simulator] timeout: must be a whole",
    ),
    "files": (
        "[simulator]\ncommand = ['./sim']\nfiles = { a = 3 }",
        "[simulator] files: 'a' must be a text or name a template file, got 3. Write",
    ),
    "files type": (
        "[simulator]\ncommand = ['./sim']\nfiles = 'a'",
        "[simulator] files: must be a table {name = ...}, got",
    ),
    "template": (
        "[simulator]\ncommand = ['./sim']\nfiles = { a = { template = 'gone' } }",
        "[simulator]: `files`, a: there is no template file",
    ),
}


@pytest.mark.parametrize(("text", "message"), list(ERRORS.values()), ids=list(ERRORS))
def test_errors_name_file_table_key_and_remedy(folder: Path, text: str, message: str) -> None:
    path = write(folder, text + REST)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared below)
        read_problem(path)
    assert f"{path}: {message}" in str(caught.value)


def test_conditions_are_known_by_name(folder: Path) -> None:
    known = '[conditions]\ndose = { distribution = "Uniform", low = 1.0, high = 2.0 }\n'
    observed = REST.replace("[observation]\n", "[observation]\nconditions = { dose = 1.5 }\n")
    command = "[simulator]\ncommand = ['./sim', '{growth}', '{stages}', '{dose}']\n"
    assert read_problem(write(folder, command + known + observed)).x_o_conditions == {"dose": 1.5}
    with pytest.raises(ValueError, match="argument 3 has {dose}, which is none of growth, stages, seed"):
        read_problem(write(folder, command + REST))


def test_a_program_in_the_place_of_the_results_is_told(folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    write(folder, "[simulator]\ncommand = ['./sim', '{growth}', '{stages}']\n" + REST).rename(folder / "sim.toml")
    (folder / "sim").write_text("#!/bin/sh\n")
    for command in ("simulate sim.toml -n 10", "fit sim.toml", "run sim.toml --beta 1"):
        assert main(command.split()) == 1
        assert "there is a file of this name: name another folder (--out sim-results)" in capsys.readouterr().err
