"""Saved draws: every damaged file is found, and an interrupted save loses nothing."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import genbayes as gb

_crashes = runpy.run_path(str(Path(__file__).parents[1] / "simulations" / "crashes.py"))
Killed, killed_at = _crashes["Killed"], _crashes["killed_at"]


def make(seed: int) -> gb.Draws:
    rng = np.random.default_rng(seed)
    return gb.Draws(
        theta=rng.normal(size=(2, 30, 2)).astype(np.float32),
        cost=np.zeros((2, 30), np.float32),  # a chunk of nothing but zeros
        names=("a", "b"),
        beta=3.5,
        x_o=np.array([0.1, 0.2], np.float32),
        sampler="SMC",
        seed=seed,
        statistics={"acceptance": np.array([0.5, 0.6]), "stages": 3},
        seconds={"sampling": 1.0},
    )


def same(one: gb.Draws, two: gb.Draws) -> bool:
    return (
        np.array_equal(one.theta, two.theta) and one.seed == two.seed and one.statistics.keys() == two.statistics.keys()
    )


def test_a_flipped_bit_in_any_chunk_and_in_what_is_read_of_the_attributes_is_found(tmp_path):
    path, draws = tmp_path / "draws.zarr", make(0)
    draws.save(path)
    assert same(gb.Draws.load(path), draws)
    chunks = [file for file in path.glob("**/*") if file.is_file() and file.name != "zarr.json"]
    assert len(chunks) > 6
    for number, chunk in enumerate(chunks):
        content = chunk.read_bytes()
        damaged = bytearray(content)
        damaged[number * (len(content) - 1) // len(chunks)] ^= 1 << number % 8
        chunk.write_bytes(damaged)
        told = re.escape(str(chunk.relative_to(path)))
        with pytest.raises(ValueError, match=f"draws.zarr is damaged: {told} has a wrong checksum. Sample again"):
            gb.Draws.load(path)
        chunk.unlink()
        with pytest.raises(ValueError, match=f"{told} is missing"):
            gb.Draws.load(path)
        chunk.write_bytes(content)
    described = path / "posterior" / "zarr.json"
    text = described.read_text()
    assert json.loads(text)["attributes"]["beta"] == 3.5
    described.write_text(text.replace('"beta": 3.5', '"beta": 3.4'))
    with pytest.raises(ValueError, match="attributes do not match their checksum"):
        gb.Draws.load(path)
    for wrong in ("", text[:100], text.replace('"node_type"', '"mode_type"'), text.replace("parameters", "parametres")):
        described.write_text(wrong)
        with pytest.raises(ValueError, match="draws.zarr (cannot be read as draws|is damaged)"):
            gb.Draws.load(path)


def test_who_adds_an_attribute_or_copies_the_tree_may(tmp_path):
    make(0).save(tmp_path / "draws.zarr")
    with xr.open_datatree(tmp_path / "draws.zarr", engine="zarr", consolidated=False) as tree:
        tree["posterior"].attrs["note"] = "mine"
        tree.to_zarr(tmp_path / "copy.zarr", consolidated=False)
    assert same(gb.Draws.load(tmp_path / "copy.zarr"), make(0))


def test_other_kinds_of_draws_are_told_as_before(tmp_path):
    xr.DataTree.from_dict({"posterior": xr.Dataset({"a": ("x", np.arange(3))})}).to_zarr(
        tmp_path / "other.zarr", consolidated=False
    )
    with pytest.raises(ValueError, match="other.zarr: the tree was not written by Draws.to_datatree"):
        gb.Draws.load(tmp_path / "other.zarr")


def test_a_save_that_is_killed_leaves_the_old_draws_or_the_new(tmp_path):
    path, old, new = tmp_path / "draws.zarr", make(0), make(1)
    old.save(path)
    for change in range(0, 1000, 30):
        try:
            with killed_at(change, tmp_path):
                new.save(path)
        except Killed:
            read = gb.Draws.load(path)
            assert same(read, old) or same(read, new)
            continue
        assert change > 20
        break
    assert same(gb.Draws.load(path), new)
