"""`--executor`: real engines and functions of users give the rows of one process, and end with the command."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import genbayes as gb
from genbayes import cli
from genbayes.command_line.executor_option import opened_executor

MODULE = """
import contextlib, multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import helper_beside

calls = []

def simulate(theta, rng):
    if theta[0] < -1.5:
        raise ValueError("too low")
    return helper_beside.noisy(theta, rng)

def threads():
    calls.append("made")
    return ThreadPoolExecutor(2)

@contextlib.contextmanager
def watched():
    calls.append("begun")
    try:
        with ThreadPoolExecutor(2) as executor:
            yield executor
    finally:
        calls.append("ended")

def processes():
    return ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))

def nothing():
    return 3

def parsl_pool():
    from parsl.concurrent import ParslPoolExecutor
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    here = HighThroughputExecutor(max_workers_per_node=2, cores_per_worker=0.5, address="127.0.0.1")
    return ParslPoolExecutor(Config(executors=[here], run_dir="parsl"))
"""
TOML = """
simulator = "model_for_executors:simulate"
[prior]
b = { distribution = "Normal", loc = 0.0, scale = 1.0 }
a = { distribution = "Uniform", low = -2.0, high = 2.0 }
[distance]
name = "MeanSquaredError"
"""
SIMULATE = "simulate p.toml -n 60 --quiet"


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "model_for_executors.py").write_text(MODULE)
    # A module beside the problem's, which workers have to find as well.
    (tmp_path / "helper_beside.py").write_text("def noisy(theta, rng):\n    return theta + rng.normal(size=2)\n")
    (tmp_path / "p.toml").write_text(TOML)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("model_for_executors", "helper_beside"):
        sys.modules.pop(name, None)


def run(line: str) -> int:
    return cli.main(line.split())


def assert_rows_of_one_process(path: Path) -> None:
    assert run(f"{SIMULATE} --out alone") == 0
    alone, made = gb.Simulations.open("alone/simulations.zarr"), gb.Simulations.open(path)
    assert 0 < made.n_failed < 20
    assert made.reasons == alone.reasons
    for name in ("theta", "x", "status"):
        np.testing.assert_array_equal(getattr(made, name), getattr(alone, name))


@pytest.mark.parametrize("name", ["threads", "watched"])
def test_a_function_of_the_user_makes_the_executor(here, name) -> None:
    assert run(f"{SIMULATE} --executor model_for_executors:{name} --out {name}") == 0
    calls = sys.modules["model_for_executors"].calls
    assert calls == {"threads": ["made"], "watched": ["begun", "ended"]}[name]
    assert_rows_of_one_process(here / name / "simulations.zarr")


def test_the_problem_may_name_it(here) -> None:
    Path("p.toml").write_text('executor = "model_for_executors:watched"\n' + TOML)
    assert run(f"{SIMULATE} --out named") == 0
    calls = sys.modules["model_for_executors"].calls
    assert calls == ["begun", "ended"]
    # What is typed comes first.
    assert run(f"{SIMULATE} --out typed --workers 1") == 0
    assert run(f"{SIMULATE} --out other --executor model_for_executors:threads") == 0
    assert calls == ["begun", "ended", "made"]
    np.testing.assert_array_equal(
        gb.Simulations.open("named/simulations.zarr").x, gb.Simulations.open("typed/simulations.zarr").x
    )


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("--executor model_for_executors:nothing", "has made int, expected a concurrent.futures.Executor"),
        ("--executor model_for_executors:calls", "is list, expected a function that returns an Executor"),
        ("--executor model_for_executors:threds", "has no 'threds'"),
        ("--executor threads", 'must be of the form "module:object"'),
        ("--executor slurm://8", "give dask://HOST:PORT, or MODULE:FUNCTION"),
        ("--executor model_for_executors:threads --workers 2", "leave one out"),
    ],
)
def test_what_is_none_is_refused(here, capsys, typed, told) -> None:
    assert run(f"{SIMULATE} {typed}") == 1
    assert told in capsys.readouterr().err


def test_what_was_opened_is_ended_after_an_error(here, capsys) -> None:
    Path("model_for_executors.py").write_text(MODULE.replace("theta[0] < -1.5", "True"))
    assert run(f"{SIMULATE} --executor model_for_executors:watched") == 1
    assert "All 60 simulations failed" in capsys.readouterr().err
    assert sys.modules["model_for_executors"].calls == ["begun", "ended"]


def test_nobody_at_the_address(monkeypatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("genbayes.command_line.executor_option._CONNECT_SECONDS", 0.5)
    with ExitStack() as closing, pytest.raises(OSError, match="no scheduler of Dask answers at tcp://127.0.0.1:1 "):
        opened_executor("dask://127.0.0.1:1", Path(), closing)


@pytest.mark.slow
def test_a_cluster_of_dask(here, monkeypatch) -> None:
    distributed = pytest.importorskip("distributed")
    # Its workers begin in another folder, and have to be told where the modules are.
    monkeypatch.chdir(here.parent)
    with distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        monkeypatch.chdir(here)
        address = cluster.scheduler_address.removeprefix("tcp://")
        assert run(f"{SIMULATE} --executor dask://{address} --out dask") == 0
    assert_rows_of_one_process(here / "dask" / "simulations.zarr")


@pytest.mark.slow
def test_a_pool_of_parsl(here) -> None:
    pytest.importorskip("parsl")
    # Parsl starts its own programs, which stand beside Python.
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(gb.__file__).parents[1]),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "genbayes", *SIMULATE.split(), "--executor", "model_for_executors:parsl_pool"]
    done = subprocess.run(
        [*command, "--out", "parsl-rows"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert_rows_of_one_process(here / "parsl-rows" / "simulations.zarr")
