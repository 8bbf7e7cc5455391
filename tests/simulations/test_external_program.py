"""What a program is given, what it returns, and that a row follows from (seed, row) alone whoever runs it."""

import pickle
import runpy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.sampling.new_runs import runs_at
from genbayes.simulations.program_processes import Processes
from genbayes.simulations.program_runs import run_program
from genbayes.simulations.running import simulate_round
from genbayes.simulations.worker import SharedTask

awk = runpy.run_path(str(Path(__file__).with_name("programs.py")))["awk"]
PRIOR = gb.Prior.uniform([0, -1], [1, 1], names=["rate", "delay"])


def run(program: gb.ExternalProgram, n: int = 10, *, prior: gb.Prior = PRIOR, **options: Any) -> gb.Simulations:
    return gb.simulate(program, prior, n, seed=3, progress=False, **options)


def test_parameters_reach_the_program_exactly(tmp_path: Path) -> None:
    # 17 digits are enough for any number of double precision.
    program = awk(tmp_path, 'printf "%.17g %.17g\\n", ARGV[1], ARGV[2]', "{delay}", "{rate}")
    simulations = run(program, 50)
    np.testing.assert_array_equal(simulations.x, simulations.theta[:, ::-1])
    assert simulations.simulator == f"awk -f {next(tmp_path.glob('*.awk'))} -- {{delay}} {{rate}}"


def test_integers_and_conditions_are_written_as_such(tmp_path: Path) -> None:
    prior = gb.Prior({"stages": dist.DiscreteUniform(1, 4), "rate": dist.Uniform(0.0, 1.0)})
    program = awk(
        tmp_path,
        "print ARGV[1] ~ /^[1-4]$/, ARGV[2] ~ /^0[.][0-9]+$/ || ARGV[2] ~ /e-/, ARGV[3]",
        "{stages}",
        "{rate}",
        "{temperature}",
    )
    known = gb.Prior.uniform(10, 20, names=["temperature"])
    made = run(program, 20, prior=prior, conditions=known)
    assert (made.x[:, :2] == 1).all()
    np.testing.assert_allclose(made.x[:, 2], made.conditions[:, 0], rtol=1e-5)
    at = gb.simulate_at(
        program, made.theta[:3], seed=0, names=prior.names, conditions={"temperature": 21.0}, progress=False
    )
    np.testing.assert_array_equal(at.x[:, 2], 21)
    assert at.condition_names == ("temperature",)
    with pytest.raises(
        ValueError, match=r"argument 4 has \{stages\}, which is none of theta_0, theta_1, condition_0, s"
    ):
        gb.simulate_at(program, made.theta[:3], seed=0, conditions=[21.0], progress=False)


def test_seeds_differ_between_rows_and_come_back(tmp_path: Path) -> None:
    program = awk(tmp_path, "print ARGV[1], ARGV[2], ARGV[3]", "{seed}", "{rate}", "{delay}")
    seeds = run(program, 100).x[:, 0]
    np.testing.assert_array_equal(run(program, 40).x[:, 0], seeds[:40])
    # Of 100 in 2^31, two are the same with a probability of 2e-6.
    assert len(np.unique(seeds)) == 100
    assert ((seeds >= 0) & (seeds < 2**31) & (seeds % 1 == 0)).all()
    # Uniform: the mean is within four standard errors, 2^31 / sqrt(12 * 100) each (false alarms: 6e-5).
    assert abs(seeds.mean() - 2**30) < 4 * 2**31 / np.sqrt(1200)


NOISY = "srand(ARGV[1] + 0); print ARGV[2] + rand(), ARGV[3]"


def test_rows_are_the_same_whoever_runs_them(tmp_path: Path) -> None:
    program = awk(tmp_path, NOISY, "{seed}", "{rate}", "{delay}")
    alone = run(program, 40)
    assert len(np.unique(alone.x[:, 0] - alone.theta[:, 0])) > 35
    with ThreadPoolExecutor(3) as threads:
        for workers in (2, 7, threads):
            other = run(program, 40, workers=workers)
            np.testing.assert_array_equal(other.x, alone.x)
            np.testing.assert_array_equal(other.status, alone.status)


def test_a_process_of_an_executor_needs_nothing_of_the_library(tmp_path: Path) -> None:
    program = awk(tmp_path, NOISY, "{seed}", "{rate}", "{delay}")
    here = run(program, 5)
    # What an executor would send, to a process in which the library cannot be imported.
    plan = program._plan
    plan = type(plan)(**{**vars(plan), "names": PRIOR.names})
    task = SharedTask(partial(run_program, plan, Processes()), 3)
    (tmp_path / "task").write_bytes(pickle.dumps((task, [(i, i, here.theta[i]) for i in range(5)])))
    code = (
        "import sys; sys.modules['genbayes'] = None; import pickle; task, rows = pickle.load(open(sys.argv[1], 'rb'))"
    )
    code += "; print([list(x) for _, x in task(rows)[1]])"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "task"], capture_output=True, text=True, check=True, timeout=60
    )
    np.testing.assert_array_equal(np.array(eval(done.stdout), np.float32), here.x)


def test_nothing_is_read_as_a_shell_would(tmp_path: Path) -> None:
    odd = ["a b", "it's", '"q"', "; rm -rf x", "$(touch made)", "`touch made`", "*", "{{x}}", "|", "> made", "", "\n"]
    source = 'for (i = 1; i <= 12; i++) printf "%s\\001", ARGV[i] > ARGV[13]; print 1'
    program = awk(tmp_path, source, *odd, str(tmp_path / "seen"), "{rate}", "{delay}", cwd=str(tmp_path))
    assert run(program, 1).ok.all()
    assert (tmp_path / "seen").read_text().split("\1")[:-1] == [word.replace("{{x}}", "{x}") for word in odd]
    assert not (tmp_path / "made").exists()


def test_names_of_parameters_may_have_odd_characters(tmp_path: Path) -> None:
    names = ["g Na (mS)", "k:1!r"]
    prior = gb.Prior.uniform([0, 0], [1, 1], names=names)
    program = awk(tmp_path, 'printf "%.17g %.17g\\n", ARGV[1], ARGV[2]', "{g Na (mS)}", "{k:1!r}")
    made = run(program, 5, prior=prior)
    np.testing.assert_array_equal(made.x, made.theta)
    vector = gb.Prior({"w": dist.Normal(np.zeros(2), 1.0)})
    made = run(awk(tmp_path, 'printf "%.17g %.17g\\n", ARGV[1], ARGV[2]', "{w[0]}", "{w[1]}"), 5, prior=vector)
    np.testing.assert_array_equal(made.x, made.theta)


def test_inputs_by_standard_input_files_and_environment(tmp_path: Path) -> None:
    read = "getline < ARGV[1]; a = $3; getline < ARGV[1]; print a, $3; "
    by_file = awk(tmp_path, read, "{folder}/in/model.ini", files={"in/model.ini": "rate = {rate}\ndelay = {delay}\n"})
    expected = run(by_file, 4)
    np.testing.assert_allclose(expected.x, expected.theta, rtol=1e-5)
    (tmp_path / "model.template").write_text("rate = {rate}\ndelay = {delay}\n")
    from_template = awk(tmp_path, read, "{folder}/m.ini", files={"m.ini": Path("model.template")}, base=tmp_path)
    from_input = awk(tmp_path, 'getline < "-"; print $1, $2', stdin="{rate} {delay}\n")
    from_environment = awk(
        tmp_path, 'print ENVIRON["RATE"], ENVIRON["DELAY"]', environment={"RATE": "{rate}", "DELAY": "{delay}"}
    )
    from_json = awk(
        tmp_path,
        "getline < ARGV[1]; split($0, p, /[:,}]/); print p[2], p[4]",
        "{folder}/p.json",
        files={"p.json": "json"},
    )
    for program in (from_template, from_input, from_environment, from_json):
        np.testing.assert_allclose(run(program, 4).x, expected.theta, rtol=1e-5)


def test_outputs_from_files_in_the_scratch_folder(tmp_path: Path) -> None:
    source = 'print "t,x" > ARGV[1]; print "0," ARGV[2] > ARGV[1]; print "1," ARGV[3] > ARGV[1]; print "not read"'
    program = awk(tmp_path, source, "{folder}/x.csv", "{rate}", "{delay}", output="x.csv", column="x")
    made = run(program, 5)
    np.testing.assert_allclose(made.x, made.theta, rtol=1e-5)
    whole = awk(tmp_path, source, "{folder}/x.csv", "{rate}", "{delay}", output="{folder}/x.csv")
    assert run(whole, 2).x.shape == (2, 2, 2)
    where_it_is = awk(tmp_path, source, "x-{seed}.csv", "{rate}", "{delay}", cwd="{folder}", output="x-{seed}.csv")
    np.testing.assert_array_equal(run(where_it_is, 2).x, run(whole, 2).x)


def test_scratch_folders_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    source = 'print "x" > (ARGV[1] "/left"); print ARGV[2]; exit ARGV[2] < 0.5'
    run(awk(tmp_path, source, "{folder}", "{rate}", "{delay}"), 10)
    assert list(scratch.iterdir()) == []
    kept = run(awk(tmp_path, source, "{folder}", "{rate}", "{delay}", keep_failed=tmp_path / "failed"), 10)
    assert list(scratch.iterdir()) == []
    folders = sorted((tmp_path / "failed").iterdir(), key=lambda path: int(path.name.split("-")[1]))
    assert [int(path.name.split("-")[1]) for path in folders] == np.flatnonzero(~kept.ok).tolist()
    assert 0 < len(folders) < 10
    assert (folders[0] / "left").read_text() == "x\n"
    assert (folders[0] / ".command").read_text().startswith("awk -f ")
    assert f" -- {scratch}/genbayes-" in (folders[0] / ".command").read_text()


def test_relative_paths_start_at_the_base(tmp_path: Path) -> None:
    program = tmp_path / "sim"
    program.write_text("#!/usr/bin/awk -f\nBEGIN { getline line < ARGV[3]; print ARGV[1], ARGV[2], line }\n")
    program.chmod(0o755)
    (tmp_path / "data.txt").write_text("5\n")
    here = gb.ExternalProgram(["./sim", "{rate}", "{delay}", "data.txt"], base=tmp_path)
    assert here.name == "./sim {rate} {delay} data.txt"
    np.testing.assert_array_equal(run(here, 2).x[:, 2], 5)
    there = gb.ExternalProgram(["./sim", "{rate}", "{delay}", "{base}/data.txt"], base=tmp_path, cwd="{folder}")
    np.testing.assert_array_equal(run(there, 2).x, run(here, 2).x)


def test_a_store_goes_on_where_it_was(tmp_path: Path) -> None:
    source = f'print ARGV[2] >> "{tmp_path}/log"; {NOISY}'
    program = awk(tmp_path, source, "{seed}", "{rate}", "{delay}")
    run(program, 10, store=tmp_path / "store")
    whole = run(program, 25, store=tmp_path / "store")
    # One stored row is run again, to see that the program is the same.
    assert len((tmp_path / "log").read_text().splitlines()) == 10 + 1 + 15
    np.testing.assert_array_equal(whole.x, run(program, 25).x)
    other = awk(tmp_path, source, "{seed}", "{rate}", "{delay}", "--fast")
    with pytest.raises(ValueError, match="made with simulator .*, this call has simulator .* --fast"):
        run(other, 25, store=tmp_path / "store")


def test_random_numbers_from_elsewhere_are_seen(tmp_path: Path) -> None:
    source = '"od -An -N4 -tu4 /dev/urandom" | getline x; print x, ARGV[1], ARGV[2]'
    with pytest.warns(UserWarning, match=r"from elsewhere than `\{seed\}`.* Seed its generator with \{seed\}"):
        run(awk(tmp_path, source, "{rate}", "{delay}"), 200)
    assert run(awk(tmp_path, "print ARGV[1] + ARGV[2]", "{rate}", "{delay}"), 200).deterministic


CONDITIONAL = "srand(ARGV[1] + 0); e = rand() - 0.5; print ARGV[2] + ARGV[4] + 0.1 * e, ARGV[3] - 0.1 * e"


def test_names_are_known_to_new_runs_and_rounds(tmp_path: Path) -> None:
    program = awk(tmp_path, CONDITIONAL, "{seed}", "{rate}", "{delay}", "{dose}")
    made = run(program, 5, conditions=gb.Prior.uniform(0, 1, names=["dose"]))
    expected = np.stack([made.theta[:, 0] + made.conditions[:, 0], made.theta[:, 1]], axis=1)
    np.testing.assert_allclose(made.x, expected, atol=0.0501)
    # What checks and rules for beta call.
    cost = gb.Cost.exact(lambda theta, x: theta[0] * x[0], names=PRIOR.names, x_shape=(2,), units="1")
    new = runs_at(program, made.theta, seed=1, cost=cost, conditions={"dose": 0.5}, progress=False)
    np.testing.assert_allclose(new.x, made.theta + [0.5, 0], atol=0.0501)
    # What a refinement calls.
    added = simulate_round(program, made, lambda: made.inputs[:3] + 0.5, 1, seed=2, progress=False)
    np.testing.assert_allclose(added.x, expected[:3] + [1, 0.5], atol=0.0501)


@pytest.mark.slow
@pytest.mark.long
def test_it_goes_through_the_whole_library(tmp_path: Path) -> None:
    program = awk(tmp_path, CONDITIONAL, "{seed}", "{rate}", "{delay}", "{dose}")
    simulations = run(program, 300, conditions=gb.Prior.uniform(0, 1, names=["dose"]), workers=2)
    config = gb.FitConfig(members=1, width=16, depth=1, max_epochs=30)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), config=config, progress=False)
    posterior = gb.GibbsPosterior(PRIOR, cost, [1.0, 0.2], beta=50.0, conditions={"dose": 0.5})
    draws = posterior.sample(500, seed=0)
    check = gb.check_predictive(program, posterior, draws, 40, seed=1, progress=False)
    # The mean of the outputs is rate + dose and delay; the posterior lies around rate 0.5 and delay 0.2.
    np.testing.assert_allclose(check.x.mean(axis=0), [1.0, 0.2], atol=0.15)
    refined = gb.refine(posterior, program, simulations, 40, rounds=1, seed=2, progress=False)
    assert len(refined.simulations) == 340
    assert (refined.simulations.conditions[300:] > 0).all()
