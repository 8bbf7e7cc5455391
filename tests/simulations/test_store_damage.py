"""Damaged and missing chunks are found, named, and their rows run again; old stores open."""

import functools
import shutil

import numpy as np
import pytest
import zarr

from genbayes.priors.prior import Prior
from genbayes.runtime.checksums import is_checked
from genbayes.simulations import zarr_folder
from genbayes.simulations.rows import Simulations
from genbayes.simulations.running import simulate, simulate_round

PRIOR = Prior.uniform([0, -1], [1, 1], names=["rate", "delay"])
CONDITIONS = Prior.uniform(0, 1, names=["dose"])
N = 15


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(zarr_folder, "MOST_ROWS", 4)


def simulator(theta, rng, conditions):
    if theta[0] < 0.1:
        raise ValueError("rate too low")
    return [theta[0] + conditions[0], rng.normal(), 1.0]


run = functools.partial(simulate, simulator, PRIOR, N, seed=1, conditions=CONDITIONS, progress=False)


def same(one, two):
    assert one.reasons == two.reasons
    names = ("theta", "conditions", "x", "status")
    return all(np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True) for name in names)


@pytest.fixture
def stored(tmp_path):
    return tmp_path / "runs.zarr", run(store=tmp_path / "runs.zarr")


def chunks(store):
    """Of all that answers depend on."""
    return sorted(path for path in store.glob("*/c/**/*") if path.is_file() and "run_seconds" not in path.parts)


def test_every_array_has_checksums(stored):
    group = zarr.open_group(str(stored[0]), mode="r", use_consolidated=False)
    checked = {"theta", "conditions", "x", "status", "run_seconds"}
    assert {name for name, array in group.arrays() if is_checked(array)} == checked
    assert len(chunks(stored[0])) == 4 * 4


@pytest.mark.parametrize("name", ["theta", "conditions", "x", "status", "run_seconds"])
def test_rows_are_not_lost_where_an_array_is_said_to_be_shorter(stored, name):
    """Of the status that was read as so many rows fewer, without a word."""
    described = stored[0] / name / "zarr.json"
    described.write_text(described.read_text().replace(f"    {N}", "    1 ", 1))
    with pytest.raises(ValueError, match=rf"{name}/zarr.json says that there are 1 rows, and .* that there are {N}"):
        Simulations.open(stored[0])


def test_a_flipped_bit_in_any_chunk_is_found_and_its_rows_are_run_again(stored):
    store, whole = stored
    for number, chunk in enumerate(chunks(store)):
        content = bytearray(chunk.read_bytes())
        # A different place in each, from the first byte to the last.
        place = number * (len(content) - 1) // 15
        content[place] ^= 1 << number % 8
        chunk.write_bytes(content)
        name, index = str(chunk.relative_to(store)), int(chunk.relative_to(store).parts[2])
        rows = np.arange(4 * index, min(4 * index + 4, N))
        with pytest.warns(UserWarning, match=rf"is damaged: {name} .*{len(rows)} rows from {rows[0]} to {rows[-1]}"):
            seen = Simulations.open(store)
        assert np.flatnonzero(seen.status == 1).tolist() == rows.tolist(), name
        assert np.isnan(seen.x[rows]).all()
        with pytest.warns(UserWarning, match=f"{name}.*{len(rows)} rows are pending because of it: they are run again"):
            again = run(store=store)
        assert same(again, whole), name
        assert same(Simulations.open(store), whole), name


def test_a_chunk_that_is_gone_or_cut_short_is_found_and_its_rows_are_run_again(stored):
    store, whole = stored
    for number, chunk in enumerate(chunks(store)):
        content = chunk.read_bytes()
        if number % 2:
            chunk.write_bytes(content[: len(content) * (number % 3) // 3])
        else:
            chunk.unlink()
        name = str(chunk.relative_to(store))
        with pytest.warns(UserWarning, match=f"{name} (is missing|has a wrong checksum|cannot be read)"):
            again = run(store=store)
        assert same(again, whole), name
        assert same(Simulations.open(store), whole), name


def test_the_whole_array_of_outputs_may_be_gone(stored):
    store, whole = stored
    shutil.rmtree(store / "x")
    with pytest.warns(UserWarning, match="is damaged: x is missing"):
        assert not Simulations.open(store).ok.any()
    with pytest.warns(UserWarning, match="x is missing"):
        assert same(run(store=store), whole)


def test_rows_that_two_writers_of_an_earlier_version_have_left_are_run_again(stored):
    store, whole = stored
    group = zarr.open_group(str(store), mode="r+", use_consolidated=False)
    rows = np.flatnonzero(whole.ok)[[1, 4]]
    x = group["x"]
    assert isinstance(x, zarr.Array)
    x[int(rows[0])], x[int(rows[1]), 2] = np.nan, np.inf
    with pytest.warns(UserWarning, match="holds no finite output of rows that succeeded .*2 rows are pending"):
        seen = Simulations.open(store)
    assert np.flatnonzero(seen.status == 1).tolist() == rows.tolist()
    assert np.isfinite(seen.x[seen.ok]).all()
    with pytest.warns(UserWarning, match="holds no finite output"):
        assert same(run(store=store), whole)


def test_what_no_run_brings_back_is_refused_with_the_file(stored):
    store, _ = stored
    for name in ("zarr.json", "theta/zarr.json", "status/zarr.json", "x/zarr.json"):
        content = (store / name).read_text()
        for damaged in (content[: len(content) // 2], content.replace("{", "", 1)):
            (store / name).write_text(damaged)
            with pytest.raises(ValueError, match=f"{name} cannot be read .* damaged. Bring the file back from a copy"):
                Simulations.open(store)
        (store / name).write_text(content)
    content = (store / "zarr.json").read_text()
    (store / "zarr.json").write_text(content.replace('"seed": 1', '"seed": 3'))
    with pytest.raises(ValueError, match="zarr.json do not match their checksum"):
        Simulations.open(store)
    (store / "zarr.json").write_text(content)
    shutil.rmtree(store / "theta")
    with pytest.raises(ValueError, match="theta/zarr.json cannot be read"):
        Simulations.open(store)


def test_what_runs_took_may_be_lost_and_costs_no_run(stored):
    store, whole = stored
    chunk = store / "run_seconds" / "c" / "1"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.warns(UserWarning, match=r"run_seconds/c/1 .*4 rows from 4 to 7.*What these runs took is not known"):
        seen = Simulations.open(store)
    assert same(seen, whole)
    assert np.flatnonzero(np.isnan(seen.run_seconds)).tolist() == [4, 5, 6, 7]
    # Rows of this chunk that are run again are known once more, the others are not.
    status = zarr.open_group(str(store), mode="r+", use_consolidated=False)["status"]
    assert isinstance(status, zarr.Array)
    status[5] = 1
    with pytest.warns(UserWarning, match="run_seconds/c/1"):
        run(store=store)
    again = Simulations.open(store)
    assert same(again, whole)
    assert np.flatnonzero(np.isnan(again.run_seconds)).tolist() == [4, 6, 7]


def test_a_store_without_what_runs_took_opens_and_grows(stored):
    store, whole = stored
    shutil.rmtree(store / "run_seconds")
    assert np.isnan(Simulations.open(store).run_seconds).all()
    grown = simulate(simulator, PRIOR, N + 5, seed=1, conditions=CONDITIONS, store=store, progress=False)
    for seen in (grown, Simulations.open(store)):
        assert same(seen.selected(np.arange(N)), whole)
        assert np.isfinite(seen.run_seconds).tolist() == [False] * N + [True] * 5
    # As an earlier release leaves it that has added rows.
    seconds = zarr.open_group(str(store), mode="r+", use_consolidated=False)["run_seconds"]
    assert isinstance(seconds, zarr.Array)
    seconds.resize((N + 2,))
    zarr_folder.ZarrFolder.open(store, (), writable=True).consolidate()
    assert np.flatnonzero(np.isfinite(Simulations.open(store).run_seconds)).tolist() == [N, N + 1]
    simulate(simulator, PRIOR, N + 8, seed=1, conditions=CONDITIONS, store=store, progress=False)
    known = Simulations.open(store).run_seconds
    assert np.flatnonzero(np.isfinite(known)).tolist() == [N, N + 1, *range(N + 5, N + 8)]


def test_damage_in_a_round_of_refinement(stored):
    store, whole = stored
    inputs = np.concatenate([PRIOR.sample(6, seed=4), CONDITIONS.sample(6, seed=4)], axis=1)
    options = {"seed": 3, "store": store, "progress": False}
    added = simulate_round(simulator, whole, lambda: inputs, 1, **options)
    chunk = store / "theta" / "c" / "4" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="theta/c/4/0"):
        again = simulate_round(simulator, whole, lambda: inputs, 1, **options)
    assert same(again, added)
    assert same(Simulations.open(store).of_prior, whole)
    origin = store / "origin" / "c" / "5"
    content = origin.read_bytes()
    origin.unlink()
    for act in (lambda: Simulations.open(store), lambda: run(store=store)):
        with pytest.raises(ValueError, match="origin/c/5 is missing .*says which rows are draws of the prior"):
            act()
    origin.write_bytes(content)
    shutil.rmtree(store / "origin")
    with pytest.raises(ValueError, match="origin/zarr.json cannot be read"):
        Simulations.open(store)


def test_a_store_without_checksums_opens_goes_on_and_is_looked_at(tmp_path, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(zarr_folder, "checked_codecs", lambda: "auto")
        earlier.setattr(zarr_folder, "checksum_of", lambda attributes, keys: None)
        store = tmp_path / "old.zarr"
        whole = run(store=store)
    assert same(Simulations.open(store), whole)
    longer = simulate(simulator, PRIOR, N + 5, seed=1, conditions=CONDITIONS, store=store, progress=False)
    assert same(longer.selected(np.arange(N)), whole)
    (store / "x" / "c" / "1" / "0").unlink()
    (store / "theta" / "c" / "2" / "0").write_bytes(b"something else")
    with pytest.warns(UserWarning, match="theta/c/2/0 cannot be read .*x/c/1/0 is missing"):
        assert np.flatnonzero(Simulations.open(store).status == 1).tolist() == [*range(4, 12)]
    with pytest.warns(UserWarning, match="theta/c/2/0"):
        assert same(run(store=store), whole)
