"""Runs are bounded: time limits, workers that die, leak, or lose their parent, failures in a row."""

import os
import runpy
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import genbayes as gb
from genbayes.simulations import overdue, spawned

_programs = runpy.run_path(str(Path(__file__).with_name("programs.py")))
is_gone, all_are_gone = _programs["is_gone"], _programs["all_are_gone"]
PRIOR = gb.Prior.uniform([0, 0], [1, 1], names=["rate", "delay"])
RATES = np.asarray(PRIOR.sample(30, seed=1))[:, 0]


def run(simulator, n=30, **options):
    return gb.simulate(simulator, PRIOR, n, seed=1, progress=False, **options)


def quick(theta, rng):
    return [theta[0], rng.normal()]


def hangs_below(limit):
    def simulator(theta, rng):
        if theta[0] < limit:
            __import__("time").sleep(60)
        return [theta[0], rng.normal()]

    return simulator


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_without_an_answer_fails_with_that_reason(workers, tmp_path):
    hanging = np.sort(RATES)[:2]
    started = time.monotonic()
    made = run(hangs_below(float(hanging[1]) + 1e-6), workers=workers, timeout=0.4, store=tmp_path / "runs.zarr")
    assert time.monotonic() - started < 20
    np.testing.assert_array_equal(made.ok, ~np.isin(RATES, hanging))
    assert made.reasons[2:] == ("no answer within 0.4 s",)
    np.testing.assert_array_equal(made.x[made.ok], run(quick).x[made.ok])
    # What was edited since, and hangs now, does not stop the call that looks for that.
    with pytest.warns(UserWarning, match="run again, gives another output"):
        gb.simulate(hangs_below(2.0), PRIOR, 30, seed=1, progress=False, timeout=0.3, store=tmp_path / "runs.zarr",
                    retry_failed=True)  # fmt: skip


@pytest.mark.slow
def test_code_that_ignores_the_request_to_end_is_killed(monkeypatch):
    monkeypatch.setattr(spawned.LocalWorker.end, "__kwdefaults__", {"grace": 0.2})

    def simulator(theta, rng):
        import signal
        import time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60 if theta[0] < 0.1 else 0)
        return theta

    made = run(simulator, timeout=0.5)
    np.testing.assert_array_equal(made.ok, RATES >= 0.1)
    assert made.n_failed >= 1


def test_an_executor_of_the_users_keeps_time_limits():
    limit = float(np.sort(RATES)[1]) + 1e-6
    with ThreadPoolExecutor(2) as executor:
        made = run(hangs_below(limit), workers=executor, timeout=0.4, batch_size=8)
    np.testing.assert_array_equal(made.ok, limit <= RATES)
    assert made.reasons[2:] == ("no answer within 0.4 s",)
    np.testing.assert_array_equal(made.x[made.ok], run(quick).x[made.ok])


def test_a_limit_of_the_call_holds_for_programs_too():
    program = gb.ExternalProgram(["sleep", "{rate}"], output="none", timeout=30)
    with pytest.raises(RuntimeError, match="2 x no answer within 0.01 s"):
        gb.simulate(program, gb.Prior.uniform(1, 2, names=["rate"]), 2, seed=0, progress=False, timeout=0.01)


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), float("inf"), True])
def test_limits_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="`timeout` must be a number of seconds above 0, or None"):
        run(quick, timeout=wrong)
    with pytest.raises(ValueError, match="`timeout` must be None for a JAX simulator, got 60"):
        run(lambda key, theta: theta, timeout=60)


def test_a_run_that_dies_once_is_tried_again_in_a_fresh_process(tmp_path):
    # Such as one that was killed for the memory that others had taken.
    def simulator(theta, rng):
        import os
        import pathlib

        place = pathlib.Path(tmp_path, f"{theta[0]:.9f}")
        if theta[0] < 0.15 and not place.exists():
            place.touch()
            os.kill(os.getpid(), 9)
        if 0.15 < theta[0] < 0.3 and not place.exists():
            place.touch()
            raise MemoryError
        return [theta[0], rng.normal()]

    made = run(simulator, workers=2)
    assert len(list(tmp_path.iterdir())) == (RATES < 0.3).sum() >= 2
    assert made.ok.all()
    np.testing.assert_array_equal(made.x, run(quick).x)


def test_what_a_run_starts_neither_reads_commands_nor_hides_its_death():
    def simulator(theta, rng):
        import os
        import subprocess
        import time

        read = subprocess.run(["cat"], capture_output=True, check=True).stdout
        if theta[0] < 0.1 and os.fork() == 0:
            time.sleep(60)
        if theta[0] < 0.1:
            os._exit(1)
        return [theta[0], len(read)]

    made = run(simulator, workers=2)
    np.testing.assert_array_equal(made.ok, RATES >= 0.1)
    assert made.reasons[2:] == ("worker process died",)
    assert (made.x[made.ok, 1] == 0).all()


def test_a_run_that_needs_too_much_memory_fails_with_that_reason():
    def simulator(theta, rng):
        if theta[0] < 0.2:
            raise MemoryError("no 40 GB")
        return [theta[0], rng.normal()]

    made = run(simulator, workers=2)
    np.testing.assert_array_equal(made.ok, RATES >= 0.2)
    assert made.reasons[2:] == ("MemoryError: no 40 GB",)


def takes(megabytes, below):
    def simulator(theta, rng):
        import time

        import numpy

        if theta[0] < below:
            held = numpy.ones(megabytes * 131_072)
            time.sleep(2)
            return [theta[0], held[0]]
        return [theta[0], rng.normal()]

    return simulator


@pytest.mark.parametrize("workers", [1, 2, "threads"])
def test_a_run_over_the_memory_limit_is_tried_twice_and_fails_with_that_reason(workers):
    limit = float(np.sort(RATES)[0]) + 1e-6
    with ThreadPoolExecutor(1) as executor:
        who = executor if workers == "threads" else workers
        made = run(takes(400, limit), workers=who, memory="300 MB")
    np.testing.assert_array_equal(made.ok, limit <= RATES)
    assert made.reasons[2:] == ("took more than 0.3 GB of memory",)
    np.testing.assert_array_equal(made.x[made.ok], run(quick).x[made.ok])


def test_a_worker_that_leaks_over_the_limit_is_renewed_and_its_row_run_again():
    def simulator(theta, rng):
        import sys
        import time

        import numpy

        leaked = sys.__dict__.setdefault("leaked", [])
        leaked.append(numpy.ones(5_000_000))
        time.sleep(0.1)
        return [len(leaked), rng.normal()]

    # An interpreter with numpy has some 40 MB, and each run adds 40: three or four of them have room.
    made = run(simulator, 12, batch_size=4, memory="200 MB")
    assert made.ok.all()
    assert 2 <= made.x[:, 0].max() <= 4
    np.testing.assert_array_equal(made.x[:, 1], run(quick, 12).x[:, 1])


def test_a_memory_limit_of_the_call_holds_for_programs_too():
    # The limit is set from outside once the program has begun, which may take a moment on a busy machine.
    command = [sys.executable, "-c", "import time; time.sleep(0.3); print(len(bytes(600_000_000)))", "{rate}"]
    program = gb.ExternalProgram(command, memory_limit="4 GB")
    prior = gb.Prior.uniform(1, 2, names=["rate"])
    assert gb.simulate(program, prior, 2, seed=0, progress=False).ok.all()
    with pytest.raises(RuntimeError, match="exit code 1 under the memory limit of 0.5 GB: .*MemoryError"):
        gb.simulate(program, prior, 2, seed=0, progress=False, memory="500 MB")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [(True, "must be a number of bytes"), ("2 apples", 'must be like "2 GB"'), (3, "is too little for any process")],
)
def test_memory_limits_that_cannot_be(wrong, told):
    with pytest.raises((TypeError, ValueError), match=f"`memory` .*{told}"):
        run(quick, memory=wrong)
    with pytest.raises(ValueError, match="`memory` must be None for a JAX simulator, got 2000000000 bytes"):
        run(lambda key, theta: theta, memory="2 GB")


def test_a_leaking_worker_is_renewed(monkeypatch):
    monkeypatch.setattr(spawned, "_memory_of_machine", lambda: 1)

    def simulator(theta, rng):
        import os
        import sys

        import numpy

        leaked = sys.__dict__.setdefault("leaked", [])
        leaked.append(numpy.ones(2_000_000))
        return [len(leaked), os.getpid()]

    made = run(simulator, batch_size=1, workers=2)
    assert made.ok.all()
    # Each run leaks 16 MB, beside the 30 to 40 MB of an interpreter with numpy, and twice that is too much.
    assert made.x[:, 0].max() <= 9
    assert 4 <= len(np.unique(made.x[:, 1])) <= 30


# A process in the background of a shell script is started with SIGINT ignored, and so are its children.
PARENT = """
import os, signal, sys, genbayes as gb

signal.signal(signal.SIGINT, signal.default_int_handler)

def simulator(theta, rng):
    import os, pathlib, time
    pathlib.Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(60)

gb.simulate(simulator, gb.Prior.uniform(0, 1), 4, seed=0, workers=2, progress=False, store=sys.argv[1] + "/runs.zarr")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent_and_leave_a_store_that_goes_on(tmp_path, number):
    mark = f"MARK={tmp_path}"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MARK": str(tmp_path), "TMPDIR": str(scratch)}
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as parent:
        while len([p for p in tmp_path.iterdir() if p.name.isdigit()]) < 2:
            assert parent.poll() is None
            time.sleep(0.05)
        sent = time.monotonic()
        parent.send_signal(number)
        parent.wait(10)
        assert time.monotonic() - sent < 5
    assert all_are_gone(mark)
    assert (gb.Simulations.open(tmp_path / "runs.zarr").status == 1).all()
    assert not list(scratch.glob("genbayes-*"))


@pytest.mark.slow
def test_a_run_that_is_long_overdue_is_named_while_it_runs(monkeypatch, capfd):
    monkeypatch.setattr(overdue, "_LEAST_SECONDS", 0.3)

    def simulator(theta, rng):
        if theta[0] < 0.1:
            __import__("time").sleep(1.5)
        return theta

    slow = int(np.flatnonzero(RATES < 0.1)[0])
    rate, delay = np.asarray(PRIOR.sample(30, seed=1))[slow].tolist()
    for workers in (1, 2):
        assert run(simulator, workers=workers).ok.all()
        said = capfd.readouterr().err
        assert f"simulation {slow} has been running for " in said
        assert f"at rate={rate:.6g}, delay={delay:.6g}. Give a time limit by `timeout`" in said


def test_a_script_needs_no_guard_and_workers_see_what_it_defines(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import genbayes as gb\nfactor = 2\n"
        "def simulator(theta, rng):\n    print('said')\n    return factor * theta\n"
        "made = gb.simulate(simulator, gb.Prior.uniform(0, 1), 4, seed=0, workers=2, progress=False)\n"
        "assert (made.x == 2 * made.theta).all()\nprint('done')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert done.stderr.count("said") == 4


def test_very_many_failures_in_a_row_are_told_at_once():
    licence = [True]

    def simulator(theta, rng):
        licence[0] = licence[0] and theta[0] < 0.995
        if not licence[0]:
            raise OSError("no licence")
        return theta

    rates = np.asarray(PRIOR.sample(600, seed=1))[:, 0]
    first = int(np.argmax(rates >= 0.995))
    assert 0 < first < 450
    with pytest.warns(
        UserWarning, match="the last 1[0-2][0-9] runs have all failed: 1[0-2][0-9] x OSError: no lic"
    ) as told:
        made = gb.simulate(simulator, PRIOR, 600, seed=1, progress=False, batch_size=20)
    assert len(told) == 1
    assert made.n_failed == 600 - first
    # Failures that are spread out are nobody's fault.
    mixed = gb.simulate(lambda theta, rng: theta if rng.random() < 0.3 else [np.nan, 1.0], PRIOR, 400, seed=1,
                        progress=False)  # fmt: skip
    assert 200 < mixed.n_failed < 350
