"""How runs of programs fail, what is said of it, and that nothing of them is left running."""

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genbayes as gb
from genbayes.simulations.program_processes import limited_command

_programs = runpy.run_path(str(Path(__file__).with_name("programs.py")))
awk, is_gone, all_are_gone = (_programs[name] for name in ("awk", "is_gone", "all_are_gone"))
PRIOR = gb.Prior.uniform(0, 1, names=["rate"])
# A program that starts another one, writes its number, and goes on.
WITH_CHILD = 'system("sleep 60 >/dev/null 2>&1 & echo $! > " ARGV[1] ".new; mv " ARGV[1] ".new " ARGV[1]); '


def run(program: gb.ExternalProgram, n: int = 4, **options: Any) -> gb.Simulations:
    return gb.simulate(program, PRIOR, n, seed=3, progress=False, **options)


# The first argument is the parameter; runs below 0.2 fail in this way, of which the first is none.
@pytest.mark.parametrize(
    ("failure", "options", "reason"),
    [
        ('print "a\\nb\\nc  c\\nd" > "/dev/stderr"; exit 3', {}, "exit code 3: b / c c / d"),
        ('print "said here"; exit 1', {"output": "x.csv"}, "exit code 1: said here"),
        ("exit 7", {"exit_codes": (0, 2)}, "exit code 7"),
        # awk does not know its own number; its child does.
        ('system("kill -SEGV $PPID"); while (1) n++', {}, "killed by signal SIGSEGV"),
        ("exit 0", {}, "standard output is empty"),
        ('print "1 abc"', {}, "line 1 of standard output: 'abc' is no number"),
        ("exit 0", {"output": "x.csv"}, "the program wrote no file x.csv"),
        ('print "nan"', {}, "NaN in the output"),
        ('print "1 2 3"', {}, "wrong output shape (3,), expected (1,)"),
        ("while (1) n++", {"timeout": 0.2}, "no answer within 0.2 s"),
        (
            'print "step 5" > "/dev/stderr"; fflush("/dev/stderr"); while (1) n++',
            {"timeout": 1},
            "no answer within 1 s: step 5",
        ),
    ],
)
def test_the_reason_of_a_failure(tmp_path: Path, failure: str, options: dict, reason: str) -> None:
    works = 'print "x\\n1" > ARGV[2]; close(ARGV[2]); print 1; exit 0'
    source = f"if (ARGV[1] > 0.2) {{ {works} }} {failure}"
    made = run(awk(tmp_path, source, "{rate}", "{folder}/x.csv", **options), 8)
    np.testing.assert_array_equal(made.ok, made.theta[:, 0] > 0.2)
    assert made.n_failed > 0
    assert made.reasons[2:] == (reason,)
    np.testing.assert_array_equal(made.x[made.ok], 1)


def test_other_exit_codes_may_be_successes(tmp_path: Path) -> None:
    assert run(awk(tmp_path, "print 1; exit 2", "{rate}", exit_codes=[0, 2])).ok.all()


def test_failures_of_one_kind_are_counted_together(tmp_path: Path) -> None:
    made = run(
        awk(tmp_path, 'if (ARGV[1] > 0.5) { print 1; exit } print ARGV[1] > "/dev/stderr"; exit 9', "{rate}"), 20
    )
    [(count, text)] = made.failures()
    assert count == (made.theta[:, 0] <= 0.5).sum()
    assert text.startswith("exit code 9 (such as: 0.")


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit of util-linux")
def test_the_memory_limit_is_there_from_the_first_instruction() -> None:
    shell = shutil.which("sh")
    assert shell is not None
    # A shell prints its own limit in kilobytes at once; set from outside, the limit came too late for some of them.
    program = gb.ExternalProgram([shell, "-c", "ulimit -v; : {rate}"], memory_limit="500 MB")
    simulations = run(program, n=40)
    np.testing.assert_array_equal(simulations.x, 500_000_000 // 1024)


def test_only_what_the_system_starts_by_itself_is_wrapped(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo 1")
    (tmp_path / "script").chmod(0o755)
    assert limited_command([str(tmp_path / "script")], 10**9) is None
    assert limited_command([str(tmp_path / "none")], 10**9) is None
    (tmp_path / "script").write_text("#!/usr/bin/awk -f")
    if shutil.which("prlimit"):
        made = limited_command([str(tmp_path / "script"), "-x"], 10**9)
        assert made is not None
        assert made[1:] == [
            "--as=1000000000", "--", str(tmp_path / "script"), "-x",
        ]  # fmt: skip


def test_memory_is_limited(tmp_path: Path) -> None:
    doubling = 's = "0123456789abcdef"; for (i = 4; i < 28; i++) s = s s; print length(s)'
    assert (run(awk(tmp_path, doubling, "{rate}"), 1).x == 2**28).all()
    with pytest.raises(
        RuntimeError, match=r"4 x (exit code|killed by).* under the memory limit of 0.1 GB.* Give keep_failed="
    ):
        run(awk(tmp_path, doubling, "{rate}", memory_limit="100 MB"))


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_at_the_time_limit_all_that_was_started_ends(tmp_path: Path, trap: str) -> None:
    # The program itself ignores the request to end in the second case; its child sleeps on in both.
    pid = tmp_path / "pid"
    script = tmp_path / "sim"
    script.write_text(f"#!/bin/sh\n{trap}sleep 60 &\necho $! > {pid}\nwhile true; do sleep 0.05; done\n")
    script.chmod(0o755)
    started = time.monotonic()
    with pytest.raises(RuntimeError, match="1 x no answer within 1 s"):
        run(gb.ExternalProgram([script, "{rate}"], timeout=1), 1)
    assert is_gone(int(pid.read_text()))
    # One second, and the two seconds of grace where the program does not end by itself.
    assert time.monotonic() - started < 10


def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    assert run(awk(tmp_path, f"{WITH_CHILD} print 1", str(tmp_path / "pid"), "{rate}"), 1).ok.all()
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_systems_without_file_descriptors_of_processes_do_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    source = f"if (ARGV[2] > 0.5) {{ print 1; exit }} if (ARGV[2] < 0.2) exit 3; {WITH_CHILD} while (1) n++"
    made = run(awk(tmp_path, source, str(tmp_path / "pid"), "{rate}", timeout=1), 8)
    rate = made.theta[:, 0]
    reasons = np.array(made.reasons)[made.status]
    expected = np.where(rate > 0.5, "ok", np.where(rate < 0.2, "exit code 3", "no answer within 1 s"))
    np.testing.assert_array_equal(reasons, expected)
    assert set(expected) == {"ok", "exit code 3", "no answer within 1 s"}
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_a_failure_that_stops_the_call_leaves_nothing(tmp_path: Path) -> None:
    def too_many(shape: tuple[int, ...]) -> None:
        raise ValueError("not this shape")

    source = f"if (ARGV[2] < 0.3) {{ print 1; exit }} {WITH_CHILD} while (1) n++"
    with pytest.raises(ValueError, match="not this shape"):
        # The first row stops the call; others are running then.
        run(awk(tmp_path, source, str(tmp_path / "pid"), "{rate}"), 8, workers=4, on_shape=too_many)
    # The shell may have been ended between making the file and writing into it.
    if (tmp_path / "pid").exists() and (written := (tmp_path / "pid").read_text()):
        assert is_gone(int(written))


CALL = """
import signal, sys, genbayes as gb
# A shell that starts the tests in the background lets its children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
program = gb.ExternalProgram(["awk", "-f", sys.argv[1], "--", sys.argv[2], "{rate}"])
gb.simulate(program, gb.Prior.uniform(0, 1, names=["rate"]), 50, seed=0, workers=int(sys.argv[3]), progress=False)
"""


@pytest.mark.parametrize(
    ("workers", "how"), [(1, signal.SIGINT), (2, signal.SIGINT), (1, signal.SIGTERM), (2, signal.SIGKILL)]
)
def test_nothing_outlives_its_parent(tmp_path: Path, workers: int, how: signal.Signals) -> None:
    source, pid = tmp_path / "program.awk", tmp_path / "pid"
    source.write_text(f"BEGIN {{ {WITH_CHILD} while (1) n++ }}")
    call = subprocess.Popen(
        [sys.executable, "-c", CALL, source, pid, str(workers)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "STARTED_BY": str(tmp_path)},
    )
    while not pid.exists():
        assert call.poll() is None
        time.sleep(0.01)
    started = time.monotonic()
    os.kill(call.pid, how)
    try:
        _, said = call.communicate(timeout=30)
    finally:
        call.kill()
    assert time.monotonic() - started < 10
    assert call.returncode != 0
    if how == signal.SIGINT:
        assert "KeyboardInterrupt" in said
    # Programs, what they have started, and the process that watches over them.
    assert all_are_gone(f"STARTED_BY={tmp_path}")


@pytest.mark.parametrize(
    ("command", "error", "message"),
    [
        (["no-such-program"], FileNotFoundError, "there is no program 'no-such-program' on the PATH"),
        (["./sim"], FileNotFoundError, r"there is no program {folder}/sim \(relative paths start in {folder}\)"),
        (["data.txt"], FileNotFoundError, r'For that in {folder} write "\./data\.txt"'),
        (
            ["./data.txt"],
            PermissionError,
            r"{folder}/data.txt may not be executed. Make it so \(chmod \+x\), or begin with",
        ),
    ],
)
def test_a_program_that_is_not_there_is_an_error_at_once(
    tmp_path: Path, command: list[str], error: type[Exception], message: str
) -> None:
    (tmp_path / "data.txt").write_text("1")
    program = gb.ExternalProgram([*command, "{rate}"], base=tmp_path)
    with pytest.raises(error, match=message.replace("{folder}", re.escape(str(tmp_path)))):
        run(program, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_program_that_is_none_is_a_failed_run(tmp_path: Path) -> None:
    script = tmp_path / "sim"
    script.write_text("print 1\n")
    script.chmod(0o755)
    message = f"the program cannot be started: Exec format error: {script} \\(a script begins with a line such as"
    with pytest.raises(RuntimeError, match=message):
        run(gb.ExternalProgram([script, "{rate}"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"command": ["awk", "{rat}"]},
            r"`command`, argument 1 has \{rat\}, which is none of rate, seed, folder, base",
        ),
        ({"command": ["awk", "{"]}, "`command`, argument 1 has a brace that names nothing: '{'"),
        ({"command": ["awk", "{seed}"]}, r"does not get any of the parameters. Write \{rate\} into an argument"),
        ({"command": []}, "`command` must name a program"),
        ({"command": ["{rate}"]}, "the program itself must be the same for all runs"),
        ({"command": ["awk", "{rate}"], "output": "/tmp/x.csv"}, "`output` must be a path in the scratch folder"),
        ({"command": ["awk", "{rate}"], "output": "../x.csv"}, "`output` must be a path in the scratch folder"),
        ({"command": ["awk", "{rate}"], "output": "{nam}.csv"}, r"`output` has \{nam\}, which is none of"),
        ({"command": ["awk", "{rate}"], "column": "a", "key": "b"}, "`column` is of a table and `key` of JSON"),
        ({"command": ["awk", "{rate}"], "output": "x.npy", "column": "a"}, "'x.npy' is none"),
        ({"command": ["awk", "{rate}"], "column": 0}, "`column` is counted from 1, got 0"),
        ({"command": ["awk", "{rate}"], "column": []}, "`column` must name a column, got an empty list"),
        (
            {"command": ["awk", "{rate}"], "timeout": 0},
            "`timeout` must be a number of seconds above 0 and up to .*, got 0",
        ),
        ({"command": ["awk", "{rate}"], "memory_limit": 2}, "`memory_limit` is in bytes, and 2 is too little"),
        ({"command": ["awk", "{rate}"], "memory_limit": "2 apples"}, '`memory_limit` must be like "2 GB"'),
        ({"command": ["awk", "{rate}"], "exit_codes": [300]}, "`exit_codes` must be numbers from 0 to 255"),
        ({"command": ["awk", "{rate}"], "files": {"../a": "b"}}, "`files` must be a path in the scratch folder"),
        ({"command": ["awk", "{rate}"], "files": {"a": Path("none.ini")}}, "`files`, a: there is no template file"),
        ({"command": ["awk", "{rate}"], "cwd": "nowhere"}, "`cwd`: there is no folder"),
    ],
)
def test_what_cannot_be_is_refused_before_a_run(options: dict, message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(gb.ExternalProgram(**options))


def test_one_text_is_no_command() -> None:
    with pytest.raises(TypeError, match=r"no shell takes a text apart: .* Write \['\./sim', '\{rate\}'\]"):
        gb.ExternalProgram("./sim {rate}")


def test_parameters_that_are_used_nowhere_or_have_a_name_of_ours_are_refused() -> None:
    two = gb.Prior.uniform([0, 0], [1, 1], names=["rate", "delay"])
    with pytest.raises(ValueError, match=r"does not get delay. Write \{delay\} .* or leave out of the prior"):
        gb.simulate(gb.ExternalProgram(["awk", "{rate}"]), two, 5, seed=0, progress=False)
    named = gb.Prior.uniform([0, 0], [1, 1], names=["rate", "seed"])
    with pytest.raises(ValueError, match="has the name 'seed', which stands for something else"):
        gb.simulate(gb.ExternalProgram(["awk"], stdin="json"), named, 5, seed=0, progress=False)
