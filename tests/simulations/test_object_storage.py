"""Stores at addresses: copied there and back whole, by fsspec's file system in memory; elsewhere refused."""

import sys
from pathlib import Path

import numpy as np
import pytest

import genbayes as gb
from genbayes import cli
from genbayes.runtime import object_storage

fsspec = pytest.importorskip("fsspec")
PRIOR = gb.Prior.uniform([0, 0], [1, 1], names=["rate", "delay"])


def simulator(theta, rng):
    if theta[0] < 0.2:
        raise ValueError("rate too low")
    return theta + rng.normal(size=2)


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture(scope="module")
def made():
    return gb.simulate(simulator, PRIOR, 40, seed=1, progress=False)


def assert_same(one: gb.Simulations, two: gb.Simulations) -> None:
    for name in ("theta", "x", "status", "round"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.reasons, one.names, one.prior, one.seed) == (two.reasons, two.names, two.prior, two.seed)


def test_a_store_comes_back_as_it_was(made, memory, tmp_path) -> None:
    made.save("memory://bucket/deep/runs.zarr")
    assert_same(gb.Simulations.open("memory://bucket/deep/runs.zarr"), made)
    assert memory.exists("/bucket/deep/runs.zarr/zarr.json")
    # On a file system the same bytes would lie.
    made.save(tmp_path / "runs.zarr")
    names = {path.relative_to(tmp_path / "runs.zarr").as_posix() for path in (tmp_path / "runs.zarr").rglob("*")}
    files = {name.removeprefix("/bucket/deep/runs.zarr/") for name in memory.store}
    assert files <= names
    assert any(name.startswith("x/") for name in files)
    # fsspec's address of a local file is one as well.
    made.save(f"file://{tmp_path}/by_address.zarr")
    assert_same(gb.Simulations.open(tmp_path / "by_address.zarr"), made)


def test_nothing_is_overwritten_and_nothing_half_done_is_believed(made, memory, monkeypatch) -> None:
    address = "memory://bucket/runs.zarr"
    put, calls = type(memory).put_file, []

    def fails_at_the_last(self, local, remote, **options):
        calls.append(remote)
        if remote.endswith("runs.zarr/zarr.json"):
            raise OSError("the network is gone")
        return put(self, local, remote, **options)

    monkeypatch.setattr(type(memory), "put_file", fails_at_the_last)
    with pytest.raises(OSError, match="the network is gone"):
        made.save(address)
    assert len(calls) > 3
    with pytest.raises(FileNotFoundError, match=r"there is no store at memory://bucket/runs.zarr: no zarr.json"):
        gb.Simulations.open(address)
    monkeypatch.setattr(type(memory), "put_file", put)
    memory.pipe_file("/bucket/runs.zarr/left/over", b"of the interrupted upload")
    made.save(address)
    assert not memory.exists("/bucket/runs.zarr/left/over")
    assert_same(gb.Simulations.open(address), made)
    with pytest.raises(FileExistsError, match="memory://bucket/runs.zarr exists already"):
        made.save(address)


def test_damage_is_seen_by_the_checksums(made, memory) -> None:
    made.save("memory://bucket/runs.zarr")
    (chunk,) = [name for name in memory.store if "/x/c/" in name]
    content = bytearray(memory.cat_file(chunk))
    content[len(content) // 2] ^= 1
    memory.pipe_file(chunk, bytes(content))
    with pytest.warns(UserWarning, match="runs.zarr"):
        found = gb.Simulations.open("memory://bucket/runs.zarr")
    assert (found.status[made.ok] == 1).all()


@pytest.mark.parametrize("address", ["memory://bucket/runs.zarr", Path("s3://bucket/runs.zarr")])
def test_what_needs_locks_is_refused(tmp_path, monkeypatch, address) -> None:
    monkeypatch.chdir(tmp_path)
    told = pytest.raises(ValueError, match="is an address of object storage, where there are no locks")
    with told:
        gb.simulate(simulator, PRIOR, 10, seed=1, store=address, progress=False)
    with told:
        gb.simulate(simulator, PRIOR, 10, seed=1, store=address, shard=(1, 2), progress=False)
    with told:
        gb.merge_simulations(address)
    cost = gb.Cost.exact(lambda theta, x: (theta[0] - x[0]) ** 2, names=PRIOR.names, x_shape=(2,), units="1")
    with told:
        gb.save(cost, address)
    with told:
        gb.load(address)
    with told:
        gb.Draws.load(address)
    assert not list(tmp_path.iterdir())


def test_addresses_that_are_none(made, monkeypatch, capsys) -> None:
    with pytest.raises(ValueError, match=r"has lost a slash of its address: give a text such as 's3://...'"):
        made.save(Path("memory://bucket/runs.zarr"))
    with pytest.raises(ValueError, match="is an address of no kind that fsspec knows"):
        gb.Simulations.open("nothing://bucket/runs.zarr")
    assert cli.main(["simulate", "p.toml", "--out", "s3://bucket/p"]) == 2
    assert "name a folder of this machine" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ImportError, match=r"pip install 'genbayes\[remote\]'"):
        gb.Simulations.open("memory://bucket/runs.zarr")
    # A drive of Windows is no address.
    assert not object_storage.is_remote("C:/runs.zarr")
    assert not object_storage.is_remote("runs:2.zarr")
