"""Commands that die at any change of the file system: the same command, typed again, ends with the same files."""

import runpy
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

import genbayes as gb
from genbayes import cli
from genbayes.command_line.campaign_record import read_record
from genbayes.costs.fingerprint import fingerprint

_crashes = runpy.run_path(str(Path(__file__).parents[1] / "simulations" / "crashes.py"))
copied_at = _crashes["copied_at"]
MODULE = """
def simulate(theta, rng):
    return theta + 0.3 * rng.normal(size=1)
"""
TOML = """
simulator = "model_for_crashes:simulate"
[prior]
a = { distribution = "Uniform", low = -3.0, high = 3.0 }
[distance]
name = "MeanSquaredError"
[observation]
values = [0.5]
[fit]
members = 1
max_epochs = 20
width = 8
"""
LONG = pytest.param(1, marks=[pytest.mark.slow, pytest.mark.long])
REFINE = "refine p.toml -n 80 --rounds 2 --beta 30 --quiet"
CAMPAIGN = "campaign p.toml --budget 700 --beta 30 --simulations 100 --resimulate 60 --draws 100 --quiet"


@pytest.fixture
def here(monkeypatch):
    """A problem, as the current directory; in memory where there is such a place."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        path = Path(name)
        (path / "model_for_crashes.py").write_text(MODULE)
        (path / "p.toml").write_text(TOML)
        monkeypatch.setattr(sys, "path", [name, *sys.path])
        monkeypatch.chdir(path)
        yield path


def run(line: str) -> int:
    return cli.main(line.split())


def found(folder: Path) -> list:
    """All numbers that commands leave; the seconds that they took are none."""
    cost, store = folder / "cost.safetensors", folder / "simulations.zarr"
    simulations = gb.Simulations.open(store)
    stored = [path for path in store.glob("*/c/**/*") if path.is_file()]
    chunks = {name: path.read_bytes() for path in stored if "run_seconds" not in (name := str(path.relative_to(store)))}
    texts = {path.name: path.read_text() for path in folder.glob("*.json") if path.name != "campaign.json"}
    draws = {path.name: gb.Draws.load(path) for path in folder.glob("draws-*.zarr")}
    numbers = {name: (one.theta.tobytes(), one.cost.tobytes()) for name, one in draws.items()}
    record = read_record(folder / "campaign.json")
    return [fingerprint(gb.load(cost)), chunks, simulations.reasons, texts, numbers, record]


def ends_alike(command: str, folder: Path, into: Path, every: int, last: str = "") -> int:
    """Runs a command once whole, and from every so-many-th point at which it may die; returns the number of points.

    Args:
        command: that is run.
        folder: of its artefacts.
        into: where the states of the folder at these points are kept.
        every: of how many points one is tried.
        last: the change by which all is done; the command, typed once more, would do something new.
    """
    with copied_at(folder, into, every) as seen:
        code = run(command)
    expected = found(folder)
    assert code in (0, 3, 4)
    points = [point for point, _ in seen]
    n_points = points.index(last) + 1 if last else len(points)
    for point, copy in seen[:n_points]:
        if copy is None:
            continue
        shutil.rmtree(folder)
        if copy.exists():
            copy.rename(folder)
        assert run(command) == code, point
        for one, other in zip(found(folder), expected, strict=True):
            assert one == other, point
        left = [path for path in folder.rglob("*") if path.name.endswith((".part", ".old", ".partial"))]
        assert not left, (point, left)
    return n_points


@pytest.mark.parametrize("every", [40, LONG])
def test_a_refinement_that_dies_at_any_change_is_finished_by_the_same_command(here, every):
    for command in ("simulate p.toml -n 100 --quiet", "fit p.toml --quiet"):
        assert run(command) == 0
    assert ends_alike(REFINE, here / "p", here / "copies", every, last="replace p/cost.safetensors.part") >= 150


# In CI test_campaign.py dies at its notes. Of a thousand points every seventh, for all take an hour; a file is made in
# three or four changes, so that each kind is among them.
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("every", [7])
def test_a_campaign_that_dies_at_any_change_is_finished_by_the_same_command(here, every):
    assert ends_alike(CAMPAIGN, here / "p", here / "copies", every) >= 450
