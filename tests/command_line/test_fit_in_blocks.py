"""`genbayes fit` of a store with more simulations than are held in memory."""

from pathlib import Path

import numpy as np

import genbayes as gb
from genbayes.cli import main
from genbayes.command_line import folder
from genbayes.command_line.problem import read_problem
from genbayes.costs import store_rows


def write(*, members: int, width: int, max_epochs: int) -> None:
    """A simulator and its problem in the working folder."""
    Path("growth.py").write_text("def simulate(theta, rng):\n    return theta + rng.normal(size=2)\n")
    Path("growth.toml").write_text(
        'simulator = "growth:simulate"\n[prior]\nrate = { distribution = "Uniform", low = 0.0, high = 1.0 }\n'
        f'[distance]\nname = "MeanSquaredError"\n[fit]\nmembers = {members}\nwidth = {width}\ndepth = 1\n'
        f"max_epochs = {max_epochs}\n"
    )


def test_a_large_store_is_fitted_in_blocks(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store_rows, "BLOCK", 200)
    write(members=2, width=8, max_epochs=3)
    assert main(["simulate", "growth.toml", "-n", "1500", "--quiet"]) == 0
    assert main(["fit", "growth.toml", "--in-memory", "400"]) == 0
    assert "fitted the cost on 1500 simulations, 400 of them in memory and all in blocks" in capsys.readouterr().out
    cost = gb.load(Path("growth") / "cost.safetensors")
    # E[mean (x - 0)^2] = rate^2 + 1; of 1,500 rows the mean square is known to 0.04.
    assert abs(float(cost([0.5], np.zeros(2))) - 1.25) < 0.2


def test_what_is_refined_is_a_store_in_blocks_unless_it_has_to_be_in_memory(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "ROWS_OF_SAMPLE", 40)
    write(members=1, width=4, max_epochs=2)
    assert main(["simulate", "growth.toml", "-n", "200", "--quiet"]) == 0
    assert main(["fit", "growth.toml", "--quiet"]) == 0
    problem, place = read_problem("growth.toml"), folder.Folder(Path("growth"))
    cost = gb.load(place.cost)
    assert folder.refined_simulations(problem, place, cost) == place.simulations
    whole = gb.Simulations.open(place.simulations)
    alone = gb.fit_cost(whole, cost.distance, config=gb.FitConfig(**cost.settings["config"]), measurement_error=0.1)
    read = folder.refined_simulations(problem, place, alone)
    assert isinstance(read, gb.Simulations)
    assert len(read) == 200
