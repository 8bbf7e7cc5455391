"""Compiled programs are let go of when memory maps run out, and not before."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from genbayes.runtime import program_memory


@pytest.fixture
def maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the place of this process's maps; it may have a hundred."""
    (tmp_path / "most").write_text("100\n")
    monkeypatch.setattr(program_memory, "_MAPS", tmp_path / "maps")
    monkeypatch.setattr(program_memory, "_MOST_MAPS", tmp_path / "most")
    monkeypatch.setattr(program_memory, "_PROGRAMS_BETWEEN", 1)
    return tmp_path / "maps"


def compiled_once() -> Any:
    function: Any = jax.jit(lambda value: value + 1.5)
    function(jnp.ones(3))
    assert function._cache_size() == 1
    return function


@pytest.mark.parametrize(("mapped", "left"), [(60, 1), (61, 0)])
def test_programs_go_when_most_maps_are_used(maps: Path, mapped: int, left: int) -> None:
    maps.write_text("a piece of memory\n" * mapped)
    function = compiled_once()
    program_memory.make_room()
    assert function._cache_size() == left
    # It comes back.
    assert float(function(jnp.ones(3))[0]) == 2.5


def test_maps_are_counted_only_after_many_programs(maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps.write_text("a piece of memory\n" * 99)
    monkeypatch.setattr(program_memory, "_PROGRAMS_BETWEEN", 10**6)
    function = compiled_once()
    program_memory.make_room()
    assert function._cache_size() == 1
