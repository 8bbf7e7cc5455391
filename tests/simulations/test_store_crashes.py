"""A writer that dies at any change of the file system, or is refused one: nothing is lost, nothing is doubled."""

import errno
import functools
import re
import runpy
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from genbayes.priors.prior import Prior
from genbayes.simulations import zarr_folder
from genbayes.simulations.merging import merge_simulations
from genbayes.simulations.rows import Simulations
from genbayes.simulations.running import simulate, simulate_round

_crashes = runpy.run_path(str(Path(__file__).with_name("crashes.py")))
Killed, killed_at = _crashes["Killed"], _crashes["killed_at"]
PRIOR = Prior.uniform([0, -1], [1, 1], names=["rate", "delay"])
N = 14
LONG = pytest.param(1, marks=[pytest.mark.slow, pytest.mark.long])


@pytest.fixture
def tmp_path():
    """In memory where there is such a place: making and removing thousands of files is most of the work here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(zarr_folder, "MOST_ROWS", 7)


def simulator(theta, rng):
    if theta[0] < 0.2:
        raise ValueError("rate too low")
    return [theta[0], rng.normal(), 1.0]


run = functools.partial(simulate, simulator, PRIOR, seed=1, batch_size=5, progress=False)


def make_and_extend(store):
    run(8, store=store)
    return run(N, store=store)


def same(one, two):
    assert one.reasons == two.reasons
    names = ("theta", "x", "status")
    # What runs took differs; of which runs it is known, does not.
    assert np.array_equal(np.isnan(one.run_seconds), np.isnan(two.run_seconds))
    return all(np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True) for name in names)


def files(store):
    """All chunks, byte by byte, but for what runs took."""
    chunks = (path for path in store.glob("*/c/**/*") if path.is_file() and "run_seconds" not in path.parts)
    return {str(path.relative_to(store)): path.read_bytes() for path in chunks}


def crash_points(act, tmp_path, start=None, every=1):
    """Yields a store after every point (or every third, ...) at which `act` may die."""
    store = tmp_path / "runs.zarr"
    for change in range(0, 10_000, every):
        for left in tmp_path.glob("runs*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        if start is not None:
            shutil.copytree(start, store)
        try:
            with killed_at(change, tmp_path) as seen:
                act(store)
        except Killed:
            yield store, seen[change]
            continue
        assert change > 10
        return


@pytest.mark.slow
@pytest.mark.parametrize("every", [3, LONG])
def test_a_crash_at_every_change_of_creation_run_and_extension_loses_nothing(tmp_path, every):
    whole = run(N)
    make_and_extend(tmp_path / "runs.zarr")
    expected = files(tmp_path / "runs.zarr")
    n_points = 0
    for store, point in crash_points(make_and_extend, tmp_path, every=every):
        n_points += 1
        if store.exists():
            # Whoever looks at it meanwhile sees no row that was not run.
            seen = Simulations.open(store)
            assert not seen.ok.any() or np.array_equal(
                seen.x[seen.ok].astype(np.float32), whole.x[: len(seen)][seen.ok]
            ), point
        assert same(run(N, store=store), whole), point
        assert files(store) == expected, point
        assert {path.name for path in tmp_path.glob("runs.zarr*")} == {"runs.zarr"}, point
        if n_points % 4 == 0:
            with xr.open_zarr(store, chunks=None) as dataset:
                assert np.array_equal(dataset.x.values, whole.x, equal_nan=True), point
    assert n_points * every >= 230


@pytest.mark.parametrize("every", [7, LONG])
def test_a_crash_in_a_round_of_refinement_loses_nothing(tmp_path, every):
    inputs = np.asarray(PRIOR.sample(7, seed=5))
    noise_block = np.arange(7) // 2 + 1
    run(8, store=tmp_path / "start.zarr")
    simulations = Simulations.open(tmp_path / "start.zarr")

    def add(store):
        options = {"seed": 3, "noise_block": noise_block, "store": store, "batch_size": 4, "progress": False}
        return simulate_round(simulator, simulations, lambda: inputs, 1, **options)

    whole = add(shutil.copytree(tmp_path / "start.zarr", tmp_path / "whole.zarr"))
    expected = files(tmp_path / "whole.zarr")
    for store, point in crash_points(add, tmp_path, tmp_path / "start.zarr", every):
        assert np.array_equal(Simulations.open(store).of_prior.theta, simulations.theta), point
        assert same(add(store), whole), point
        assert files(store) == expected, point


@pytest.mark.parametrize("every", [11, LONG])
def test_a_crash_while_saving_or_merging_loses_nothing(tmp_path, every):
    whole = run(N)
    for store, point in crash_points(whole.save, tmp_path, every=every):
        if not store.exists():
            whole.save(store)
        assert same(Simulations.open(store), whole), point
    for number in (1, 2):
        run(N, store=tmp_path / "all.zarr", shard=(number, 2))
    shards = sorted(tmp_path.glob("all-shard*.zarr"))
    for store, point in crash_points(lambda store: merge_simulations(store, shards), tmp_path, every=every):
        assert same(merge_simulations(store, shards), whole), point
    # Into a store that has some of the rows: it grows, and keeps what it has.
    some = tmp_path / "some.zarr"
    run(8, store=some)
    for store, point in crash_points(lambda store: merge_simulations(store, shards), tmp_path, some, every):
        seen = Simulations.open(store)
        assert np.array_equal(seen.x[:8], whole.x[:8].astype(seen.x.dtype), equal_nan=True), point
        assert same(merge_simulations(store, shards), whole), point


@pytest.mark.parametrize("every", [9, LONG])
def test_a_crash_in_a_share_of_a_job_array_loses_nothing(tmp_path, every):
    whole = run(N)
    run(N, store=tmp_path / "all.zarr", shard=(1, 2))

    def second(store):
        return run(N, store=store.with_name("runs.zarr"), shard=(2, 2))

    other = tmp_path / "runs-shard-1-of-2.zarr"
    for store, point in crash_points(second, tmp_path, every=every):
        second(store)
        shutil.copytree(tmp_path / "all-shard-1-of-2.zarr", other)
        assert same(merge_simulations(store), whole), point
        shutil.rmtree(other)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_and_loses_nothing(tmp_path, number):
    whole, store = run(N), tmp_path / "runs.zarr"

    def full():
        return OSError(number, "No space left on device")

    for change in range(0, 10_000, 7 if number == errno.ENOSPC else 23):
        shutil.rmtree(store, ignore_errors=True)
        told = None
        try:
            with killed_at(change, tmp_path, full) as seen:
                make_and_extend(store)
        except OSError as error:
            told = error
        if told is None:
            assert len(seen) <= change > 10
            return
        assert told.errno == number
        assert re.search(r"`store`: there is no space left to write .* is kept: make room, and call again", str(told))
        assert not list(tmp_path.glob("runs.zarr.*")), "nothing half done may take up the space that is left"
        assert same(make_and_extend(store), whole)


def test_a_store_whose_creation_was_interrupted_by_an_earlier_version_is_made_anew(tmp_path):
    store = tmp_path / "runs.zarr"
    whole = run(N, store=store)
    old = tmp_path / "old.zarr"
    for kept in (["zarr.json"], ["zarr.json", "theta"], ["zarr.json", "theta", "status"], []):
        shutil.rmtree(old, ignore_errors=True)
        old.mkdir()
        for name in kept:
            (shutil.copytree if (store / name).is_dir() else shutil.copy)(store / name, old / name)
        if "zarr.json" in kept:
            (old / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
        shutil.rmtree(old / "status" / "c", ignore_errors=True)
        assert same(run(N, store=old), whole)


def test_what_is_no_store_is_left_alone(tmp_path):
    for name, content in [("notes.txt", "mine"), ("zarr.json", '{"zarr_format": 3, "node_type": "group"}')]:
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        (folder / name).write_text(content)
        (folder / "other").mkdir()
        with pytest.raises(ValueError, match="is not a Zarr group|was not written by genbayes"):
            run(N, store=folder)
        assert (folder / name).read_text() == content
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is not a Zarr group"):
        run(N, store=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
