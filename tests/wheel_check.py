"""Run with the Python of an environment that has only the wheel: a small job, from simulator to report."""

import tempfile
from pathlib import Path

import jax

import genbayes as gb
from genbayes import cli

assert "site-packages" in gb.__file__, f"this is not the wheel: {gb.__file__}"
prior = gb.Prior.uniform([-1.0, -1.0], [1.0, 1.0], ["a", "b"])
simulations = gb.simulate(
    lambda key, theta: theta + 0.1 * jax.random.normal(key, (2,)), prior, 500, seed=0, progress=False
)
cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), config=gb.FitConfig(max_epochs=5), progress=False)
posterior = gb.GibbsPosterior(prior, cost, simulations.x[0], beta=100.0)
draws = posterior.sample(500, seed=1)
with tempfile.TemporaryDirectory() as folder:
    gb.save(cost, Path(folder) / "cost.safetensors")
    page = gb.report(Path(folder) / "report.html", posterior, draws, simulations=simulations)
    assert page.stat().st_size > 50_000
    assert "explorer-worker" in page.read_text("utf-8")  # its programs travel with the wheel
    assert cli.main(["init", f"{folder}/new", "--language", "c"]) == 0  # its files travel with the wheel
assert gb.tasks.lynx_hare().x_o is not None  # the data file travels with the wheel
assert abs(draws.flat.mean(axis=0) - simulations.x[0]).max() < 0.3
print(f"the wheel works: genbayes {gb.__version__}")
