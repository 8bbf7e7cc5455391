"""What every run took is kept with its row, whoever runs it, in memory and in stores."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import genbayes as gb
from genbayes.simulations.shards import shard_paths

PRIOR = gb.Prior.uniform(0, 1, names=["delay"])
N = 12


def sleeping(theta, rng):
    time.sleep(0.04 * theta[0])
    if theta[0] > 0.9:
        raise ValueError("too late")
    return [theta[0], rng.normal()]


def check(simulations: gb.Simulations, of_one: float = 1.0) -> None:
    """A sleep is never shorter than it was asked for: seconds of other rows would be, for some of these."""
    asked = 0.04 * of_one * simulations.theta[:, 0]
    assert np.ptp(asked) > 0.02 * of_one
    assert (simulations.run_seconds >= 0.999 * asked).all()
    assert simulations.run_seconds.dtype == np.float32


def test_seconds_of_runs_one_by_one(tmp_path):
    store = tmp_path / "runs.zarr"
    simulations = gb.simulate(sleeping, PRIOR, N, seed=0, store=store, progress=False)
    check(simulations)
    assert simulations.run_seconds.sum() <= simulations.seconds
    np.testing.assert_array_equal(gb.Simulations.open(store).run_seconds, simulations.run_seconds)
    # Gone on with, selected, joined, saved, read in part, and as a Dataset.
    longer = gb.simulate(sleeping, PRIOR, N + 3, seed=0, store=store, progress=False)
    check(longer)
    np.testing.assert_array_equal(longer.run_seconds[:N], simulations.run_seconds)
    both = longer.selected(np.arange(2, N)).joined(simulations)
    check(both)
    both.save(tmp_path / "copy.zarr")
    np.testing.assert_array_equal(gb.sample_simulations(tmp_path / "copy.zarr").run_seconds, both.run_seconds)
    np.testing.assert_array_equal(both.to_xarray()["run_seconds"].values, both.run_seconds)


def test_seconds_in_workers():
    simulations = gb.simulate(sleeping, PRIOR, N, seed=0, workers=2, progress=False)
    check(simulations)
    assert simulations.run_seconds.sum() <= 2 * simulations.seconds


@pytest.mark.parametrize(("n", "timeout"), [(N, None), (4, 20.0)])
def test_seconds_in_an_executor(n, timeout):
    with ThreadPoolExecutor(1) as executor:
        check(gb.simulate(sleeping, PRIOR, n, seed=0, workers=executor, timeout=timeout, progress=False))


def test_of_a_run_whose_process_dies_nobody_knows_them():
    first = PRIOR.sample(1, seed=0)[0, 0]

    def deadly(theta, rng):
        if theta[0] == first:
            os._exit(3)
        return theta

    with ThreadPoolExecutor(1) as executor:
        simulations = gb.simulate(deadly, PRIOR, 6, seed=0, workers=executor, timeout=20.0, progress=False)
    assert simulations.ok.tolist() == np.isfinite(simulations.run_seconds).tolist() == [False] + [True] * 5


def test_seconds_of_a_program():
    code = "import sys, time; t = float(sys.argv[1]); time.sleep(0.4 * t); print(t)"
    program = gb.ExternalProgram([sys.executable, "-S", "-c", code, "{delay}"])
    check(gb.simulate(program, PRIOR, 6, seed=0, progress=False), of_one=10)


def test_a_run_that_is_ended_took_as_long_as_it_was_given():
    def slow(theta, rng):
        time.sleep(30 if theta[0] > 0.8 else 0)
        return theta

    simulations = gb.simulate(slow, PRIOR, 6, seed=0, timeout=0.5, progress=False)
    assert 0 < simulations.n_failed < 6
    assert (simulations.run_seconds[~simulations.ok] > 0.5).all()
    assert (simulations.run_seconds[simulations.ok] < 0.5).all()


def test_shares_keep_their_seconds(tmp_path):
    store = tmp_path / "runs.zarr"
    for number in (1, 2):
        gb.simulate(sleeping, PRIOR, N, seed=0, store=store, shard=(number, 2), progress=False)
    merged = gb.merge_simulations(store)
    check(merged)
    for first, path in enumerate(shard_paths(store)):
        np.testing.assert_array_equal(gb.Simulations.open(path).run_seconds[first::2], merged.run_seconds[first::2])


def test_nobody_knows_what_one_run_of_a_compiled_program_took(tmp_path):
    simulations = gb.simulate(lambda key, theta: theta, PRIOR, 5, seed=0, store=tmp_path / "runs.zarr", progress=False)
    assert np.isnan(simulations.run_seconds).all()
    assert not (tmp_path / "runs.zarr" / "run_seconds").exists()
    assert np.isnan(gb.Simulations.from_arrays([[0.0]], [[1.0]]).run_seconds).all()
