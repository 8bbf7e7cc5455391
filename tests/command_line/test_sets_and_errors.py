"""problem.toml with sets of unequal size, an error of measurement, one group of a table, and a file with one group."""

import numpy as np
import pytest

import genbayes as gb
from genbayes import cli
from genbayes.command_line.problem import read_problem

SETS = """
simulator = "model:trials"
max_trials = 25

[prior]
mean = { distribution = "Uniform", low = -2.0, high = 2.0 }

[distance]
name = "MMD"
bandwidth = 1.0

[observation]
file = "trials.csv"
column = "value"
group = "animal"

[sample]
beta = 40.0
n = 400
"""
EXACT = """
simulator = "model:line"

[prior]
level = { distribution = "Normal", loc = 0.0, scale = 1.0 }

[distance]
name = "MeanSquaredError"

[fit]
measurement_error = 0.3

[observation]
file = "doses.csv"
index = "hour"
group = "patient"
"""
MODEL = """
import numpy as np


def trials(theta, rng):
    return rng.normal(theta["mean"], 1.0, 1 + rng.poisson(5))


def line(theta, rng):
    return theta[0] + np.zeros(4)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "sets.toml").write_text(SETS)
    (tmp_path / "exact.toml").write_text(EXACT)
    rng = np.random.default_rng(0)
    rows = [f"{name},{rng.normal(0.5, 1)}" for name in "AABABAABAABAA"]
    (tmp_path / "trials.csv").write_text("animal,value\n" + "\n".join(rows) + "\n")
    rows = [f"Ada,{hour},{0.7 + 0.3 * rng.normal()}" for hour in (0, 1, 2, 4)]
    (tmp_path / "doses.csv").write_text("patient,hour,conc\n" + "\n".join(rows) + "\n")
    return tmp_path


def test_sets_of_unequal_size_from_a_table_to_a_verdict(folder, capsys) -> None:
    assert cli.main(["simulate", "sets.toml", "-n", "1000"]) == 0
    assert cli.main(["fit", "sets.toml"]) == 0
    assert cli.main(["sample", "sets.toml"]) == 0
    assert cli.main(["check", "sets.toml"]) in (0, 3)
    assert "observation trials.csv: 2 animals of 4 to 9 trials of value" in capsys.readouterr().out
    stored = gb.Simulations.open(folder / "sets" / "simulations.zarr")
    assert stored.unequal_sets
    draws = gb.StackedDraws.load(next((folder / "sets").glob("*stacked-draws.zarr")))
    assert draws.x_o.shape == (2, 9, 1)
    cost = gb.load(next((folder / "sets").glob("*.safetensors")))
    # Each by itself, without what it was filled up with.
    for i, count in enumerate((9, 4)):
        alone = gb.GibbsPosterior(read_problem("sets.toml").prior, cost, draws.x_o[i, :count], 40.0)
        theta = draws.theta[i, 0].reshape(-1, 1)
        assert np.allclose(np.asarray(alone.cost_at(theta)), draws.cost[i, 0].reshape(-1), atol=1e-4)
    (folder / "sets.toml").write_text(SETS.replace('"MMD"\nbandwidth = 1.0', '"SlicedWasserstein"'))
    with pytest.raises(ValueError, match="'A' has 9 rows and 'B' 4. .* take a distance of sets such as MMD"):
        read_problem("sets.toml")
    text = SETS.replace("max_trials = 25", "max_trials = 0")
    (folder / "sets.toml").write_text(text)
    with pytest.raises(ValueError, match="max_trials.*whole number of at least 1, got 0"):
        read_problem("sets.toml")


def test_a_file_with_one_group_is_one_observation_and_has_the_error_of_the_problem(folder, capsys) -> None:
    assert cli.main(["simulate", "exact.toml", "-n", "600"]) == 0
    assert cli.main(["fit", "exact.toml"]) == 0
    cost = gb.load(next((folder / "exact").glob("*.safetensors")))
    assert cost.measurement_error is not None
    assert cost.measurement_error.stored == [0.3] * 4
    x_o = np.asarray(read_problem("exact.toml").x_o)[0]
    # The mean of four squares, with the variance of the error.
    assert abs(float(cost([0.5], x_o)) / (np.mean((0.5 - x_o) ** 2) + 0.09) - 1) < 0.01
    # The rule needs one observation, and noise: both are there.
    assert cli.main(["temperature", "exact.toml", "--rule", "noise_floor"]) == 0
    assert "beta" in capsys.readouterr().out
    another = "".join(f"Ben,{hour},1.0\n" for hour in (0, 1, 2, 4))
    (folder / "doses.csv").write_text((folder / "doses.csv").read_text() + another)
    assert cli.main(["temperature", "exact.toml", "--rule", "noise_floor"]) == 1
    assert 'only = "Ada"' in capsys.readouterr().err
    (folder / "exact.toml").write_text(EXACT + 'only = "Ada"\n')
    problem = read_problem("exact.toml")
    assert problem.observation is not None
    assert problem.observation.groups is None
    assert np.allclose(np.asarray(problem.x_o), x_o)
    (folder / "exact.toml").write_text(EXACT.replace("= 0.3", "= -0.3"))
    with pytest.raises(ValueError, match="measurement_error.*finite and at least 0"):
        read_problem("exact.toml")
    (folder / "exact.toml").write_text(EXACT.replace("= 0.3", '= "10 %"'))
    assert read_problem("exact.toml").measurement_error == "10 %"
    (folder / "exact.toml").write_text(EXACT.replace("= 0.3", '= "much"'))
    with pytest.raises(ValueError, match="exact.toml.*measurement_error.*share of each value"):
        read_problem("exact.toml")
