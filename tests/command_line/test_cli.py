import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import genbayes as gb
from genbayes import cli
from genbayes.command_line import stages
from genbayes.command_line.folder import Folder

MODULE = """
import numpy as np

def simulate(theta, rng):
    return theta + 0.3 * rng.normal(size=2)

def fragile(theta, rng):
    if theta[0] > 1:
        raise ValueError("negative rate")
    return simulate(theta, rng)

def three(theta, rng):
    return rng.normal(size=3)

def largest(x, x_target):
    import jax.numpy as jnp
    return jnp.max(jnp.abs(x - x_target))
"""
TOML = """
simulator = "model_for_cli:simulate"
[prior]
b = { distribution = "Normal", loc = 0.0, scale = 1.0 }
a = { distribution = "Uniform", low = -2.0, high = 2.0 }
[distance]
name = "MeanSquaredError"
[observation]
file = "x_o.csv"
[fit]
members = 1
max_epochs = 5
width = 8
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A problem with all its artefacts, made by the commands once."""
    path = tmp_path_factory.mktemp("problem")
    write(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        patch.chdir(path)
        for line in (
            "simulate p.toml -n 300",
            "fit p.toml",
            "sample p.toml --beta 20 5 --draws 400",
            "report p.toml --resim 20",
        ):
            assert run(line + " --quiet") == 0
    return path


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """A copy of it, as the current directory."""
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A problem without artefacts, as the current directory."""
    write(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line):
    return cli.main(line.split())


def write(path):
    (path / "model_for_cli.py").write_text(MODULE)
    (path / "p.toml").write_text(TOML)
    (path / "x_o.csv").write_text("first,second\n0.5,-0.5\n")


def command(*arguments):
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(gb.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-m", "genbayes", *arguments], capture_output=True, text=True, env=environment, check=False
    )


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_chain_leaves_every_artefact(folder):
    made = folder / "p"
    assert sorted(path.name for path in made.iterdir()) == [
        "cost.safetensors",
        "draws-beta-20.zarr",
        "draws-beta-5.zarr",
        "report-beta-20.html",
        "report-beta-5.html",
        "simulations.zarr",
    ]
    simulations = gb.Simulations.open(made / "simulations.zarr")
    assert simulations.simulator == "model_for_cli:simulate"
    assert (len(simulations), simulations.names) == (300, ("b", "a"))
    cost = gb.load(made / "cost.safetensors")
    assert cost.settings["simulations"] == 300
    assert cost.settings["config"]["max_epochs"] == 5
    with xr.open_datatree(made / "draws-beta-20.zarr", engine="zarr", consolidated=False) as tree:
        draws = gb.Draws.from_datatree(tree)
    np.testing.assert_array_equal(draws.x_o, np.array([0.5, -0.5], np.float32))
    # The simulator is Gaussian: cost = 0.09 + ||theta - x_o||^2 / 2, so the posterior's precision is beta plus that of
    # the prior. 400 draws and a net of 5 epochs: means within 0.15, about two thirds of a standard deviation.
    np.testing.assert_allclose(draws.flat.mean(axis=0), [0.5 * 20 / 21, -0.5], atol=0.15)
    np.testing.assert_allclose(draws.flat.std(axis=0), np.sqrt([1 / 21, 1 / 20]), rtol=0.3)
    assert "re-simulated" in (made / "report-beta-20.html").read_text("utf-8")


def test_simulate_resumes_and_says_so(here, capsys):
    assert cli.main(["simulate", "p.toml", "-n", "320"]) == 0
    out, err = capsys.readouterr()
    assert "resuming: 300 simulations are in p/simulations.zarr already" in out
    assert "320 simulations of model_for_cli:simulate: 320 ok, 0 failed, 0 pending" in out
    assert "written: p/simulations.zarr" in out
    assert "simulating: 20/20" in err


def test_quiet_prints_the_paths_alone(here, capsys):
    assert cli.main(["simulate", "p.toml", "-n", "310", "--quiet"]) == 0
    assert cli.main(["--quiet", "sample", "p.toml", "--beta", "2", "--draws", "400"]) == 0
    out, err = capsys.readouterr()
    assert out == "p/simulations.zarr\np/draws-beta-2.zarr\n"
    # Warnings are not silenced: a script would take a bad result for a good one.
    assert re.fullmatch(r"warning: The cost was fitted on 300 simulations, and 310 are stored now: fit again.*\n", err)


def test_sample_prints_tables_and_reads_another_observation(here, capsys):
    (here / "other.csv").write_text("-1.0\n1.0\n")
    line = "sample p.toml --beta 20 50 --draws 400 --observation other.csv --seed 3"
    assert run(line) == 0
    out = capsys.readouterr().out
    assert re.search(r"parameter +5 % +50 % +95 % +± fit +R-hat +ESS\nb +-1\.\d", out)
    assert "mean cost" in out
    assert "The ladder" in out
    with xr.open_datatree(here / "p" / "other-draws-beta-50.zarr", engine="zarr", consolidated=False) as tree:
        draws = gb.Draws.from_datatree(tree)
    assert (draws.seed, draws.sampler, draws.beta) == (3, "SMC", 50.0)
    np.testing.assert_array_equal(draws.x_o, np.array([-1, 1], np.float32))
    # The draws of the problem's own observation, and reports on them, are another matter.
    assert run("report p.toml --beta 50 --resimulate 0 --observation other.csv") == 0
    assert (here / "p" / "other-report-beta-50.html").exists()


def test_sample_takes_a_stack_of_observations(here, capsys):
    np.savetxt(here / "many.csv", [[-1.0, 1.0], [0.0, 0.5], [1.0, -1.0]], delimiter=",")
    assert run("sample p.toml --beta 20 50 --draws 400 --observations many.csv --seed 3") == 0
    out = capsys.readouterr().out
    assert "3 observations x 2 betas in" in out
    with xr.open_datatree(here / "p" / "many-stacked-draws.zarr", engine="zarr", consolidated=False) as tree:
        draws = gb.StackedDraws.from_datatree(tree)
    assert draws.theta.shape[:2] == (3, 2)
    np.testing.assert_array_equal(draws.betas, [20.0, 50.0])
    # Another sampler run on the same posterior: means within 5 joint standard errors of its 400 draws.
    assert run("sample p.toml --beta 50 --draws 400 --observation many.csv") == 1
    assert "shape" in capsys.readouterr().err
    (here / "one.csv").write_text("1.0\n-1.0\n")
    assert run("sample p.toml --beta 50 --draws 4000 --observation one.csv") == 0
    with xr.open_datatree(here / "p" / "one-draws-beta-50.zarr", engine="zarr", consolidated=False) as tree:
        one = gb.Draws.from_datatree(tree)
    many = draws.draws(2)
    error = one.flat.std(axis=0) / np.sqrt(np.minimum(many.ess_bulk, 400))
    assert np.all(np.abs(many.flat.mean(axis=0) - one.flat.mean(axis=0)) < 5 * error)
    assert run("sample p.toml --beta 50 --observations many.csv --sampler nuts") == 1
    assert "takes SMC" in capsys.readouterr().err
    assert run("sample p.toml --beta 50 --observations many.csv --condition c=1") == 1
    assert "--condition is for one observation, and not for the stack of --observations" in capsys.readouterr().err
    np.save(here / "wide.npy", np.zeros((3, 5)))
    assert run("sample p.toml --beta 50 --observations wide.npy") == 1
    assert "wide.npy has shape (3, 5), expected a stack of observations (m, 2)" in capsys.readouterr().err


def test_a_stack_is_checked_and_reported(here, capsys):
    # Two that the simulator makes, and eight that it does not.
    values = np.array([[-1.0, 1.0], [0.0, 0.5], *([[40.0, -40.0]] * 8)])
    np.savetxt(here / "mixed.csv", values, delimiter=",")
    assert run("check p.toml --observations mixed.csv") == 1
    assert "sample p.toml --observations mixed.csv" in capsys.readouterr().err
    assert run("sample p.toml --beta 1 5 --draws 2000 --observations mixed.csv") == 0
    capsys.readouterr()
    assert run("check p.toml --observations mixed.csv") == 3
    out = " ".join(capsys.readouterr().out.split())
    assert "Misspecified: 8 of 10 observations" in out
    assert "not judged, because a stack is judged without new runs" in out
    found = json.loads((here / "p" / "mixed-stacked-check.json").read_text())
    assert (found["verdict"], found["exit_code"], len(found["posteriors"])) == ("care", 3, 20)
    p_values = [row["support_p_value"] for row in found["posteriors"][::2]]
    assert min(p_values[:2]) > 0.05 >= max(p_values[2:])
    with xr.open_datatree(here / "p" / "mixed-stacked-draws.zarr", engine="zarr", consolidated=False) as tree:
        draws = gb.StackedDraws.from_datatree(tree)
    costs = [row["mean_cost"] for row in found["posteriors"]]
    np.testing.assert_allclose(costs, draws.cost.mean(axis=(2, 3)).reshape(-1), rtol=1e-5)
    page = (here / "p" / "mixed-stacked-report.html").read_text()
    assert page.count('<th scope="row">') == 20
    assert "data:image/png" in page
    # Another file of the same name is not judged by these draws.
    np.savetxt(here / "mixed.csv", values + 1, delimiter=",")
    for command in ("check", "report"):
        assert run(f"{command} p.toml --observations mixed.csv") == 1
        assert "holds other observations than were sampled" in capsys.readouterr().err
    assert run("report p.toml --observations mixed.csv --beta 1") == 1
    assert "no --beta beside it" in capsys.readouterr().err


LONG = "patient,hour,conc\nA,0,-1\nA,1,1\nB,1,0.5\nB,0,0\nC,0,1\nC,1,-1\n"


def test_a_group_of_the_table_observation_is_a_stack(here, capsys):
    (here / "doses.csv").write_text(LONG)
    edit(here / "p.toml", 'file = "x_o.csv"', 'file = "doses.csv"\ngroup = "patient"\nindex = "hour"\ncolumn = "conc"')
    assert run("sample p.toml --beta 1 5 --draws 400") == 0
    out = capsys.readouterr().out
    assert out.count("observation doses.csv: 3 patients, each 2 values of conc\n") == 1
    assert "3 observations x 2 betas in" in out
    draws = gb.StackedDraws.load(here / "p" / "doses-stacked-draws.zarr")
    np.testing.assert_array_equal(draws.x_o, [[-1, 1], [0, 0.5], [1, -1]])
    assert run("check p.toml") in (0, 3)
    assert run("report p.toml --quiet") == 0
    assert (here / "p" / "doses-stacked-report.html").exists()
    assert "names a group, and so a stack of observations" in fails(capsys, "temperature p.toml")
    assert "names a group, and so a stack of observations" in fails(capsys, "run p.toml --beta 1")
    # A file of one patient is one observation; of several it is none.
    (here / "one.csv").write_text(LONG[: LONG.index("B,1")])
    assert run("sample p.toml --beta 1 --draws 200 --observation one.csv") == 0
    (here / "two.csv").write_text(LONG)
    text = fails(capsys, "sample p.toml --beta 1 --observation two.csv")
    assert "two.csv holds 3 patients, each 2 values of conc: more than one observation" in text
    assert run("sample p.toml --beta 1 --draws 200 --observations two.csv") == 0
    assert "observations two.csv: 3 patients, each 2 values of conc" in capsys.readouterr().out
    # A stack of another shape is refused by the first run, before the others are paid for.
    (here / "doses.csv").write_text(LONG + "A,2,0\nB,2,0\nC,2,0\n")
    text = (
        "doses.csv has shape (3, 3), expected a stack of observations (m, 2). What was read: 3 patients, each 3 values"
    )
    assert text in fails(capsys, "simulate p.toml -n 300 --out new")


def test_another_observation_is_read_as_the_problems_own(here, capsys):
    (here / "x_o.csv").write_text("date;q;flag\n2021-04-08;0,5;ok\n2021-04-09;-0,5;ok\n")
    (here / "x2.csv").write_text("date;q;flag\n2021-05-08;1,5;ok\n2021-05-09;-1,5;bad\n")
    edit(here / "p.toml", 'file = "x_o.csv"', 'file = "x_o.csv"\nindex = "date"\ncolumn = "q"')
    assert run("report p.toml --beta 5 --resimulate 20") == 0
    assert capsys.readouterr().out.startswith("observation x_o.csv: 2 dates of q\n")
    page = (here / "p" / "report-beta-5.html").read_text()
    assert "x_o.csv: 2 dates of q" in page
    assert run("sample p.toml --beta 5 --draws 200 --observation x2.csv") == 0
    out = capsys.readouterr().out
    assert "observation x2.csv: 2 dates of q\n" in out
    assert "x_o.csv" not in out
    np.testing.assert_array_equal(gb.Draws.load(here / "p" / "x2-draws-beta-5.zarr").x_o, [1.5, -1.5])


def test_run_chains_the_stages_within_80_columns(empty, capsys):
    line = "run p.toml --out made --simulations 300 --beta 5 --draws 400 --resimulate 20"
    assert run(line) == 0
    out = capsys.readouterr().out
    for text in ("predicted by the network", "re-simulated: new runs", "replicate distance", "simulate", "compiling"):
        assert text in out
    assert max(map(len, out.splitlines())) <= 80
    assert "written: made/report-beta-5.html" in out
    assert (empty / "made" / "report-beta-5.html").exists()


def test_run_without_beta_says_which_to_take(empty, capsys):
    typed = "run p.toml -n 3e2 --draws 200 --resimulate 20"
    assert run(typed) == 0
    out = capsys.readouterr().out
    assert "No beta is given" in out
    assert "in 1 / (squared data units)" in out
    words = re.findall(r"^Take --beta ([\d. ]+) \(.*\): genbayes (.*)$", out, re.MULTILINE)
    assert len(words) == 1
    betas, again = words[0]
    assert again == f"{typed} --beta {betas}"
    recommended = json.loads((empty / "p" / "temperature.json").read_text())["recommended"]["beta"]
    assert betas == " ".join(f"{beta:.4g}" for beta in recommended)
    # The noise floor of normal outputs with standard deviation 0.3 is E (x - x')^2 / 2 = 0.09: the simulator reaches it
    # where ||theta - x_o||^2 / 2 = 0.09, and there are two parameters with the variance 1 / beta.
    assert 1 < recommended[0] < 100
    assert not list((empty / "p").glob("draws*"))
    assert run(again) == 0
    pages = list((empty / "p").glob("report-beta-*.html"))
    assert len(pages) == len(recommended)
    # What was made before the report is in it.
    assert all("<h2>Inverse temperature</h2>" in page.read_text() for page in pages)


def test_run_takes_another_observation(here, capsys):
    (here / "x2.csv").write_text("first,second\n1.5,-1.5\n")
    assert run("run p.toml -n 300 --beta 5 --draws 200 --resimulate 20 --observation x2.csv --quiet") == 0
    assert capsys.readouterr().out == "p/x2-report-beta-5.html\n"
    draws = gb.Draws.load(here / "p" / "x2-draws-beta-5.zarr")
    np.testing.assert_array_equal(draws.x_o, [1.5, -1.5])
    assert draws.theta.size == 2 * 200
    assert "x2.csv: 2 values of first, second" in (here / "p" / "x2-report-beta-5.html").read_text()


def test_sections_are_in_the_report_when_they_are_made(here, capsys):
    five, twenty = (here / "p" / f"report-beta-{beta}.html" for beta in (5, 20))
    before = five.read_text()
    assert "<h2>Check</h2>" not in before
    code = run("check p.toml --beta 5 --resimulate 60 --quiet")
    assert capsys.readouterr().out == "p/check-beta-5.json\np/report-beta-5.html\n"
    level = {0: "ok", 3: "care", 4: "bad"}[code]
    text = five.read_text()
    assert text.count("<h2>Check</h2>") == 1
    assert text.index("<h2>Pictures</h2>") < text.index("<h2>Check</h2>") < text.index("<h2>Settings</h2>")
    assert "<h2>Check</h2>" not in twenty.read_text()
    # The verdict on top is no better than that of the part.
    rank = ["ok", "care", "bad"]
    [top] = re.findall(r'<section class="verdict (\w+)">', text)
    assert rank.index(top) >= rank.index(level)
    assert run("temperature p.toml --rule none --beta 5 20 --draws 200 --quiet") == 0
    written = "p/temperature.json p/report-beta-5.html p/report-beta-20.html"
    assert capsys.readouterr().out.split()[:3] == written.split()
    assert all(page.read_text().count("<h2>Inverse temperature</h2>") == 1 for page in (five, twenty))
    # Made again it takes the place of the earlier one.
    assert run("check p.toml --beta 5 --resimulate 60 --quiet") == code
    assert five.read_text().count("<h2>Check</h2>") == 1
    # The report of other draws stays as it was, and so does that of another cost.
    old = five.read_text()
    assert run("sample p.toml --beta 5 --draws 200 --seed 1 --quiet") == 0
    capsys.readouterr()
    assert run("check p.toml --beta 5 --resimulate 60 --quiet") in (0, 3, 4)
    assert capsys.readouterr().out == "p/check-beta-5.json\n"
    assert five.read_text() == old


def test_report_at_one_beta_without_new_runs(here, capsys):
    (here / "p" / "report-beta-5.html").unlink()
    (here / "p" / "report-beta-20.html").unlink()
    assert run("report p.toml --beta 5 --resimulate 0") == 0
    assert capsys.readouterr().out == (
        "observation x_o.csv: 2 values of first, second\nwritten: p/report-beta-5.html\n"
    )
    assert not (here / "p" / "report-beta-20.html").exists()


def test_changes_since_the_fit_are_warned_of(here, capsys):
    edit(here / "p.toml", "scale = 1.0", "scale = 1.5")
    edit(here / "p.toml", "max_epochs = 5", "max_epochs = 6")
    assert run("sample p.toml --beta 5 --draws 400") == 0
    err = capsys.readouterr().err
    assert "warning: The cost was fitted on simulations of another prior: simulate with this one, then fit again" in err
    assert "warning: The tables [distance] or [fit] have changed since the cost was fitted: fit again" in err
    edit(here / "p.toml", "scale = 1.5", "scale = 1.0")
    assert run("fit p.toml --seed 1") == 0
    capsys.readouterr()
    assert run("sample p.toml --beta 5 --draws 400") == 0
    assert "warning: The" not in capsys.readouterr().err
    assert run("report p.toml --beta 20 --resimulate 0") == 0
    assert "warning: The cost was fitted anew after these draws were made: sample again." in capsys.readouterr().err


def fails(capsys, line):
    assert run(line) == 1
    out, err = capsys.readouterr()
    errors = [text for text in err.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1
    # Nothing follows but an indented list.
    listed = err.rpartition(errors[0] + "\n")[2]
    assert all(text.startswith("  ") for text in listed.splitlines())
    assert "Traceback" not in err
    assert "Traceback" not in out
    return f"{errors[0]}\n{listed}"


def test_errors_before_the_first_stage(empty, capsys):
    assert "there is no problem file gone.toml" in fails(capsys, "simulate gone.toml")
    assert "there are no simulations in p. Run first: genbayes simulate p.toml" in fails(capsys, "fit p.toml")
    assert "there is no fitted cost in p. Run first: genbayes fit p.toml" in fails(capsys, "sample p.toml --beta 1")
    assert "there are no draws in p. Run first: genbayes sample p.toml --beta 10" in fails(capsys, "report p.toml")
    text = fails(capsys, "campaign p.toml --budget 3e3 --simulations 3e2 --out made --seed 7")
    assert "beta is not given" in text
    where = "--out made --seed 7"
    first, second = f"`genbayes simulate p.toml -n 300 {where}`", f"`genbayes fit p.toml {where}`"
    assert f"of `genbayes temperature p.toml {where}` says which to take, after {first} and {second}." in text
    assert f"Then: genbayes campaign p.toml --simulations 300 {where} --beta B, or a ladder" in text
    text = fails(capsys, "sample p.toml --observation x_o.csv")
    assert "of `genbayes temperature p.toml --observation x_o.csv` says which to take" in text
    text = fails(capsys, "sample p.toml --observations x_o.csv")
    assert "of `genbayes temperature p.toml --observation FILE` says which to take" in text
    assert "genbayes sample p.toml --observations x_o.csv --beta 1 10 100" in text
    text = fails(capsys, "sample p.toml")
    assert "beta is not given, and it has no default" in text
    assert "1 / (squared data units)" in text
    assert "genbayes sample p.toml --beta 1 10 100" in text
    edit(empty / "p.toml", "[fit]", "[fitt]")
    assert "p.toml: fitt: is not a key here; did you mean fit?" in fails(capsys, "simulate p.toml")
    assert not (empty / "p").exists()


def test_errors_of_the_simulator(empty, capsys):
    edit(empty / "model_for_cli.py", "theta[0] > 1", "True")
    edit(empty / "p.toml", "model_for_cli:simulate", "model_for_cli:fragile")
    assert "All 20 simulations failed: 20 x ValueError: negative rate" in fails(capsys, "simulate p.toml -n 20")
    assert "resuming: 20" not in capsys.readouterr().out


def test_failed_runs_are_reported_and_can_be_run_again(empty, capsys):
    edit(empty / "p.toml", "model_for_cli:simulate", "model_for_cli:fragile")
    assert run("simulate p.toml -n 50") == 0
    out, err = capsys.readouterr()
    failed = int(re.findall(r"(\d+) failed, 0 pending", out)[0])
    reason = rf"warning: {failed} of 50 runs failed; the cost .* \(failed: {failed} x ValueError: negative rate\)"
    assert re.search(reason, err)
    edit(empty / "model_for_cli.py", "theta[0] > 1", "False")
    assert command("simulate", "p.toml", "-n", "50", "--retry-failed").returncode == 0
    assert gb.Simulations.open("p/simulations.zarr").n_failed == 0


def test_artefacts_of_another_problem_are_not_overwritten(here, capsys):
    text = fails(capsys, "simulate p.toml -n 300 --seed 1")
    assert "was made with seed 0, this call has seed 1" in text
    assert "another folder by --out, or remove p/simulations.zarr" in text
    edit(here / "p.toml", "scale = 1.0", "scale = 1.5")
    text = fails(capsys, "simulate p.toml -n 300")
    assert "was made with another prior than that of this call." in text
    changed = "\n  b: Normal(loc = 0; scale = 1), now Normal(loc = 0; scale = 1.5)\n"
    assert text.endswith(changed)
    text = fails(capsys, "fit p.toml")
    assert "were made with another prior" in text
    assert text.endswith(changed)
    edit(here / "p.toml", "scale = 1.5", "scale = 1.0")
    edit(here / "p.toml", "model_for_cli:simulate", "model_for_cli:three")
    assert "were made by model_for_cli:simulate, the problem names model_for_cli:three" in fails(capsys, "fit p.toml")


def test_errors_about_the_observation_and_the_draws(here, capsys):
    (here / "x_o.csv").write_text("1,2,3\n")
    assert "x_o has shape (3,), but the simulator's outputs have shape (2,)" in fails(capsys, "sample p.toml --beta 1")
    (here / "x_o.csv").write_text("1,inf\n")
    assert "p.toml: [observation] file: x_o.csv, line 1: expected a number in column 2, got 'inf'" in fails(
        capsys, "sample p.toml --beta 1"
    )
    edit(here / "p.toml", '[observation]\nfile = "x_o.csv"', "")
    assert "p.toml has no observation. Add a table [observation]" in fails(capsys, "sample p.toml --beta 1")
    assert "there are no draws at beta 7 in p (there are: 5, 20)" in fails(capsys, "report p.toml --beta 7")
    (here / "p" / "cost.safetensors").write_bytes(b"123")
    assert "cannot be read as a saved cost" in fails(capsys, "sample p.toml --beta 1")


def test_debug_raises(empty):
    with pytest.raises(FileNotFoundError, match="no problem file"):
        cli.main(["fit", "gone.toml", "--debug"])


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", "required: COMMAND"),
        ("train p.toml", "invalid choice: 'train'"),
        ("sample p.toml --beta 0", "expected a number greater than 0, got '0'"),
        ("sample p.toml --beta x", "expected a number greater than 0, got 'x'"),
        ("temperature p.toml --level 90", "expected a number between 0 and 1, such as 0.9 for 90 %, got '90'"),
        ("simulate p.toml -n 0", "expected a whole number of at least 1, got '0'"),
        ("simulate p.toml -n 1.5", "expected a whole number of at least 1, got '1.5'"),
        ("run p.toml --simulations 1e-4", "expected a whole number of at least 1, got '1e-4'"),
        ("check p.toml --resimulate 1e0", "expected 0 (no runs) or a whole number of at least 2, got '1e0'"),
        ("simulate p.toml --seed -1", "argument"),
        ("simulate p.toml --shard 9/8", "expected i/N with i from 1 to N, such as 3/8, got '9/8'"),
        ("simulate p.toml --shard 0/8", "got '0/8'"),
        ("simulate p.toml --shard 3", "got '3'"),
        ("simulate p.toml --shard /8", "got '/8'"),
        ("simulate p.toml --out p.toml", "p.toml is a file; name a folder"),
    ],
)
def test_usage_errors_exit_with_2(empty, capsys, line, text):
    assert run(line) == 2
    assert text in capsys.readouterr().err


def test_help_and_version(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "genbayes sample predator.toml --beta 1 10 100" in out
    assert max(map(len, out.splitlines())) <= 80
    for name in ("demo", "simulate", "fit", "sample", "report", "run"):
        assert name in out
        assert cli.main([name, "-h"]) == 0
        capsys.readouterr()
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("genbayes ")


def test_interruption_says_what_was_kept(here, capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "simulate", interrupted)
    assert cli.main(["simulate", "p.toml"]) == 130
    assert capsys.readouterr().err == (
        "interrupted; kept in p: 300 of 300 simulations, the cost, draws at beta 5, draws at beta 20. Run the same "
        "command again to continue.\n"
    )
    assert cli.main(["simulate", "p.toml", "--out", "fresh"]) == 130
    assert "nothing had been stored yet" in capsys.readouterr().err


def test_the_jobs_of_an_array_are_put_together(here, capsys, monkeypatch):
    for number in (1, 3):
        assert run(f"simulate p.toml -n 300 --shard {number}/3 --out array") == 0
        out = capsys.readouterr().out.splitlines()
        assert out[-2].startswith("100 simulations of model_for_cli:simulate: 100 ok, 0 failed, 0 pending")
        assert out[-1] == f"written: array/simulations-shard-{number}-of-3.zarr"
    text = fails(capsys, "merge p.toml --out array")
    assert "share 2 of 3 is not there yet: array/simulations-shard-2-of-3.zarr" in text
    assert "genbayes simulate p.toml -n 300 --shard i/3 for each of them, or genbayes merge --partial" in text
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["genbayes.simulations.executors"], "run_serially", _interrupt)
        assert run("simulate p.toml -n 300 --shard 2/3 --out array") == 130
    assert "kept in array: 0 of 100 simulations of share 2 of 3" in capsys.readouterr().err
    assert "share 2 of 3 has 100 of 100 rows to run" in fails(capsys, "merge p.toml --out array")
    assert run("merge p.toml --out array --partial") == 0
    out = capsys.readouterr().out
    assert "200 ok, 0 failed, 100 pending" in out
    assert out.splitlines()[-1] == "written: array/simulations.zarr"
    assert run("simulate p.toml -n 300 --shard 2/3 --out array --quiet") == 0
    assert run("simulate p.toml -n 300 --shard 2/3 --out array") == 0
    assert "resuming: 100 simulations are in array/simulations-shard-2-of-3.zarr" in capsys.readouterr().out
    assert run("merge p.toml --out array") == 0
    merged, whole = (gb.Simulations.open(f"{name}/simulations.zarr") for name in ("array", "p"))
    np.testing.assert_array_equal(merged.x, whole.x)
    np.testing.assert_array_equal(merged.status, whole.status)
    assert merged.x.dtype == whole.x.dtype
    assert "Run first, for i from 1 to 8: genbayes simulate p.toml --shard i/8" in fails(capsys, "merge p.toml")
    assert "2 simulations cannot be shared out among 3" in fails(capsys, "simulate p.toml -n 2 --shard 1/3")


def test_a_run_that_hangs_is_ended(empty):
    edit(
        empty / "model_for_cli.py",
        "def simulate(theta, rng):",
        "def simulate(theta, rng):\n    __import__('time').sleep(60 * (rng.random() < 0.1))",
    )
    assert run("simulate p.toml -n 12 --workers 2 --timeout 0.5 --quiet") == 0
    simulations = gb.Simulations.open("p/simulations.zarr")
    assert 1 <= simulations.n_failed <= 6
    assert simulations.reasons[2:] == ("no answer within 0.5 s",)


def test_workers_find_the_problems_module_and_do_not_load_jax(empty):
    edit(
        empty / "model_for_cli.py",
        "def simulate(theta, rng):",
        "def simulate(theta, rng):\n    import sys\n    import helper_for_cli\n"
        "    helper_for_cli.check('jax' in sys.modules)",
    )
    (empty / "helper_for_cli.py").write_text(
        "def check(loaded):\n    if loaded:\n        raise RuntimeError('jax was loaded')\n"
    )
    done = command("simulate", "p.toml", "-n", "40", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "40 ok, 0 failed" in done.stdout
    # The same rows as without workers.
    parallel = gb.Simulations.open("p/simulations.zarr")
    edit(empty / "model_for_cli.py", "helper_for_cli.check('jax' in sys.modules)", "pass")
    assert run("simulate p.toml -n 40 --out serial --quiet") == 0
    np.testing.assert_array_equal(parallel.x, gb.Simulations.open("serial/simulations.zarr").x)


def test_traceback_only_with_debug(empty):
    plain = command("fit", "gone.toml")
    assert (plain.returncode, plain.stdout) == (1, "")
    assert plain.stderr.startswith("error: there is no problem file gone.toml")
    debugged = command("fit", "gone.toml", "--debug")
    assert debugged.returncode == 1
    assert "Traceback" in debugged.stderr


def test_a_distance_of_the_module_is_given_to_the_loaded_cost(empty, capsys):
    edit(empty / "p.toml", 'name = "MeanSquaredError"', 'function = "model_for_cli:largest"\nunits = "mV"')
    assert run("simulate p.toml -n 300 --quiet") == 0
    assert run("fit p.toml --quiet") == 0
    assert run("sample p.toml --beta 5 --draws 400 --quiet") == 0
    assert run("report p.toml --resimulate 20 --quiet") == 0
    assert "mV" in Path("p/report-beta-5.html").read_text("utf-8")


def test_an_unfinished_store_is_warned_of_by_fit(here, monkeypatch, capsys):
    # Rows are appended as pending before they run.
    monkeypatch.setattr(sys.modules["genbayes.simulations.executors"], "run_serially", _interrupt)
    assert run("simulate p.toml -n 310 --quiet") == 130
    assert "300 of 310 simulations" in capsys.readouterr().err
    assert Folder(Path("p")).stored() == (300, 310)
    assert run("fit p.toml --quiet") == 0
    assert "warning: Only 300 of 310 simulations have been run" in capsys.readouterr().err


def _interrupt(*args):
    raise KeyboardInterrupt
    yield


@pytest.mark.slow
@pytest.mark.slow
def test_the_demo_finds_the_rates_of_the_lynx_hare_record(empty, capsys):
    assert run("demo --simulations 3000 --draws 200") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "written: demo/report.html" in out
    # Carpenter (2018), the Bayesian posterior of the same record: 0.55, 0.028, 0.80, 0.024 (Stan case study); 3,000
    # simulations, and another loss, come within a factor of 1.1 for three seeds, 1,000 within 2 and say so.
    medians = [float(re.findall(rf"{name} +\S+ +(\S+)", out)[0]) for name in ("hare_birth", "predation", "lynx_death")]
    np.testing.assert_allclose(np.log(medians), np.log([0.55, 0.028, 0.80]), atol=np.log(1.3))
