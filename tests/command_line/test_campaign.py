"""`genbayes campaign`: it ends by a rule, says so, and a campaign that is killed ends with the same numbers."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import genbayes as gb
from genbayes import cli
from genbayes.command_line import campaign_record
from genbayes.command_line.campaign_decision import spent
from genbayes.command_line.campaign_record import Record, read_record

MODULE = """
import numpy as np

def simulate(theta, rng):
    return np.sin(3 * theta) + theta + 0.1 * rng.normal(size=1)
"""
# A hundred runs are too few for this curve: there is an error that a refinement takes away.
TOML = """
simulator = "model_for_campaign:simulate"
[prior]
a = { distribution = "Uniform", low = -3.0, high = 3.0 }
[distance]
name = "MeanSquaredError"
[observation]
values = [0.5]
[fit]
members = 1
max_epochs = 30
width = 8
"""
COMMAND = "campaign p.toml --budget 1300 --beta 300 --simulations 100 --resimulate 150 --draws 200 --quiet"


def write(path: Path) -> None:
    (path / "model_for_campaign.py").write_text(MODULE)
    (path / "p.toml").write_text(TOML)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A campaign that nothing has disturbed: its exit code, and its folder."""
    path = tmp_path_factory.mktemp("whole")
    write(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        patch.chdir(path)
        return run(COMMAND), path / "p"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A problem without artefacts, as the current directory."""
    write(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> int:
    return cli.main(line.split())


def numbers(folder: Path) -> tuple:
    """All that a campaign has found."""
    record = read_record(folder / "campaign.json")
    assert record is not None
    simulations = gb.Simulations.open(folder / "simulations.zarr")
    draws = gb.Draws.load(folder / "draws-beta-300.zarr")
    return record, simulations.theta, simulations.x, simulations.round, draws.theta, draws.cost


def assert_same(one: tuple, two: tuple) -> None:
    assert one[0] == two[0]
    for first, second in zip(one[1:], two[1:], strict=True):
        np.testing.assert_array_equal(first, second)


class Killed(BaseException):
    """In place of the end: nothing may catch it and go on."""


@pytest.mark.slow
def test_a_campaign_ends_by_a_rule_and_says_so(whole) -> None:
    code, folder = whole
    record, theta = numbers(folder)[:2]
    assert code == 0
    assert [(one.step, one.level) for one in record.rounds] == [("simulate", "bad"), ("refine", "ok")]
    assert record.rounds[1].error < 1 < record.rounds[0].error
    checks = sum(2 * one.draws_run for one in record.rounds)
    assert spent(record.rounds) == len(theta) + checks <= 1300
    assert "Campaign" in (folder / "report-beta-300.html").read_text("utf-8")
    log = (folder / "campaign.log").read_text("utf-8").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  [A-Z0-9]", line) for line in log)
    assert "The campaign ends, the verdict is ok" in log[-1]


@pytest.mark.slow
def test_a_campaign_killed_before_every_note_ends_the_same(here, whole, monkeypatch, capsys) -> None:
    code, undisturbed = whole
    save, points = Record.save, set()

    def killed_once_at_each(self, path):
        # What is noted, but for numbers: each note is a moment between the end of a stage and the next one.
        present = self.present
        point = (len(self.rounds), self.reported) if present is None else (
            present.number, bool(present.fitted), present.sampled, len(present.judged)
        )  # fmt: skip
        if point not in points:
            points.add(point)
            raise Killed
        save(self, path)

    monkeypatch.setattr(campaign_record.Record, "save", killed_once_at_each)
    for _ in range(60):
        try:
            assert run(COMMAND) == code
            break
        except Killed:
            continue
    assert len(points) >= 12
    assert_same(numbers(here / "p"), numbers(undisturbed))
    assert (here / "p" / "report-beta-300.html").exists()

    monkeypatch.setattr(campaign_record.Record, "save", save)
    capsys.readouterr()
    # It is over: the same command says so, and runs nothing.
    assert run(COMMAND) == code
    assert_same(numbers(here / "p"), numbers(undisturbed))
    # Other settings are refused, and so is a problem that was changed.
    assert run(f"{COMMAND} --seed 1") == 1
    assert "began with seed 0, and this call has 1" in capsys.readouterr().err
    Path("p.toml").write_text(TOML.replace("values = [0.5]", "values = [0.4]"))
    assert run(COMMAND) == 1
    assert "began with observation" in capsys.readouterr().err
    Path("p.toml").write_text(TOML.replace("width = 8", "width = 9"))
    assert run(COMMAND) == 1
    assert "cannot go on" in capsys.readouterr().err
    assert "Stopped by an error" in (here / "p" / "campaign.log").read_text("utf-8").splitlines()[-1]
    # A cost that another command has fitted is none that the campaign has judged.
    Path("p.toml").write_text(TOML)
    assert run("fit p.toml --seed 5 --quiet") == 0
    assert run(COMMAND) == 1
    assert "was fitted anew by another command" in capsys.readouterr().err


# Programs compiled as in this process (tests/conftest.py), for the numbers are compared bit by bit.
AS_HERE = """
import sys
import genbayes.runtime.compiling as compiling
import genbayes.learning.training
compiling.OPTIONS["xla_backend_optimization_level"] = 0
from genbayes.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "kills", [pytest.param(1, marks=pytest.mark.slow), pytest.param(10, marks=[pytest.mark.slow, pytest.mark.long])]
)
def test_sigkill_at_random_times_changes_nothing(here, whole, kills) -> None:
    rng = np.random.default_rng(kills)
    code, undisturbed = whole
    environment = {**os.environ, "PYTHONPATH": str(Path(gb.__file__).parents[1])}
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", AS_HERE, *COMMAND.split()],
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Begun, or beginning: a process that still imports would be no test.
        while process.poll() is None and not (here / "p" / "campaign.log").exists():
            time.sleep(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(float(rng.uniform(0, 10)))
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert run(COMMAND) == code
    assert_same(numbers(here / "p"), numbers(undisturbed))


def test_what_cannot_be_begun_is_refused(here, capsys) -> None:
    assert run("campaign p.toml --beta 30") == 2
    assert run("campaign p.toml --budget 1000") == 1
    assert "beta is not given" in capsys.readouterr().err
    assert run("campaign p.toml --budget 1000 --beta 30") == 1
    assert "--budget 1000 does not hold the first round" in capsys.readouterr().err
    assert run("campaign p.toml --budget 1000 --beta 30 --resimulate 10") == 1
    assert "--resimulate must be at least 50" in capsys.readouterr().err
    assert "Stopped by an error" in Path("p/campaign.log").read_text("utf-8")
