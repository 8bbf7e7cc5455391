"""Commands on a store many times larger than what they read of it: memory as with a small one."""

import gc
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from genbayes import cli
from genbayes.command_line import folder
from genbayes.simulations.store import SimulationStore

OUTPUTS, SMALL, LARGE, SAMPLE = 250, 800, 120_000, 600
MODULE = f"""
import numpy as np

def simulate(theta, rng):
    return theta[0] * np.linspace(0, 1, {OUTPUTS}) + 0.1 * rng.normal(size={OUTPUTS})
"""
TOML = """
simulator = "model_of_many:simulate"
[prior]
a = { distribution = "Uniform", low = -1.0, high = 1.0 }
[distance]
name = "MeanSquaredError"
[observation]
file = "x_o.npy"
[fit]
members = 1
max_epochs = 2
width = 8
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "model_of_many.py").write_text(MODULE)
    (tmp_path / "p.toml").write_text(TOML)
    np.save(tmp_path / "x_o.npy", 0.3 * np.linspace(0, 1, OUTPUTS))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder.stored_simulations, "__defaults__", (SAMPLE,))
    return tmp_path


def run(line: str) -> None:
    assert cli.main([*line.split(), "--quiet"]) in (0, 3, 4)


def grown(path: Path, rows: int) -> None:
    """Lets a store have many rows, by writing its own again, a block at a time."""
    small = SimulationStore.open(path).read()
    beside = path.with_name("large.zarr")
    header = {key: small[key] for key in ("names", "seed", "prior", "simulator", "reasons")}
    theta = np.resize(small["inputs"], (rows, 1))
    store = SimulationStore.create(beside, header, theta)
    store.create_outputs((OUTPUTS,))
    for start in range(0, rows, len(small["x"])):
        part = np.arange(start, min(start + len(small["x"]), rows))
        store.write(part, small["x"][: len(part)], small["status"][: len(part)], small["reasons"])
    shutil.rmtree(path)
    beside.rename(path)


def resident(what: str) -> int:
    """Bytes of this process: `VmRSS`, now, or `VmHWM`, the most since that was last set back."""
    found = re.search(rf"{what}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def growth(command: str) -> int:
    """By how much a command has let this process grow, at the most."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    run(command)
    return resident("VmHWM") - before


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the most memory cannot be set back")
def test_check_and_report_read_a_part_of_a_large_store(here) -> None:
    for command in (
        f"simulate p.toml -n {SMALL}",
        f"fit p.toml --in-memory {SMALL}",
        "sample p.toml --beta 30 --draws 200",
    ):
        run(command)
    commands = ["check p.toml --resimulate 0", "report p.toml --resimulate 0"]
    # Once each to load and compile all that they need.
    for command in commands:
        run(command)
    grown(here / "p" / "simulations.zarr", LARGE)
    size = 4 * LARGE * OUTPUTS
    for command in commands:
        # Of the store's size it is 0.23 and 0.16; where all was read it was 1.1 and 2.0.
        assert growth(command) < size / 3
    told = json.loads((here / "p" / "check-beta-30.json").read_text())
    assert {"simulations": LARGE, "failed": 0} in [one["numbers"] for one in told["findings"]]
    assert re.search(
        rf"{LARGE:,} \(seed 0\), 0 failed; what is shown of them is of \d",
        (here / "p" / "report-beta-30.html").read_text(),
    )
