"""Runs side by side share the cores: threads of each for every core would wait for each other."""

import os
import sys

import numpy as np
import pytest

import genbayes as gb
from genbayes.runtime.processes import cores
from genbayes.simulations.thread_limits import limits_of_threads

PRIOR = gb.Prior.uniform([0.0], [1.0], ["a"])
PROGRAM = [sys.executable, "-c", "import os; print({a} * 0 + int(os.environ.get('OMP_NUM_THREADS', '0')))"]
NINE = {"OMP_NUM_THREADS": "9"}
NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture(autouse=True)
def no_limits(monkeypatch) -> None:
    """As on the machine of a user, who has set nothing."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def threads(theta, rng):
    return [float(os.environ.get(name, "0")) for name in NAMES]


def test_workers_share_the_cores() -> None:
    x = gb.simulate(threads, PRIOR, 6, seed=0, workers=2, progress=False).x
    np.testing.assert_array_equal(x, np.full((6, 3), max(1, cores() // 2)))


def test_one_process_has_the_machine_for_itself() -> None:
    x = gb.simulate(threads, PRIOR, 2, seed=0, workers=1, timeout=60, progress=False).x
    np.testing.assert_array_equal(x, 0)
    assert limits_of_threads(1) == {}


def test_what_the_user_has_set_stays(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    x = gb.simulate(threads, PRIOR, 4, seed=0, workers=2, progress=False).x
    # The library of products would listen to a variable of its own rather than to this one.
    np.testing.assert_array_equal(x, np.tile([7.0, 0.0, 0.0], (4, 1)))


def test_one_other_variable_of_the_user_stays(monkeypatch) -> None:
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    found = limits_of_threads(10**6)
    assert "MKL_NUM_THREADS" not in found
    assert found["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(("workers", "own", "expected"), [(2, {}, max(1, cores() // 2)), (1, {}, 0), (2, NINE, 9)])
def test_programs_share_the_cores(workers: int, own: dict[str, str], expected: int) -> None:
    program = gb.ExternalProgram(PROGRAM, environment=own)
    x = gb.simulate(program, PRIOR, 4, seed=0, workers=workers, progress=False).x
    np.testing.assert_array_equal(x, np.full((4, 1), expected))
