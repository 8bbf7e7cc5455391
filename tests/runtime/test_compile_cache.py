"""Compiled programs on disk: who keeps them, where, and what another process finds."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import genbayes as gb
from genbayes.runtime import compile_cache
from genbayes.runtime.compile_cache import cache_in_environment

# Three programs of a process that names its folder first, and how many of them came from it.
SCRIPT = """
import json, sys
import genbayes as gb
folder = gb.cache()
import jax, jax.monitoring
counts = {"hits": 0, "compiled": 0}
def event(name, **_):
    counts["hits"] += name == "/jax/compilation_cache/cache_hits"
    counts["compiled"] += name == "/jax/compilation_cache/cache_misses"
jax.monitoring.register_event_listener(event)
prior = gb.Prior.uniform([0.0], [float(sys.argv[1])])
prior.log_density(prior.sample(10, seed=0))
print(json.dumps({"folder": None if folder is None else str(folder), **counts}))
"""


def run(tmp_path: Path, value: str, high: float = 1.0) -> dict:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("JAX_")}
    environment = {**kept, "GENBAYES_CACHE": value}
    script = [sys.executable, "-c", SCRIPT, str(high)]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
    return json.loads(done.stdout)


def test_the_next_process_compiles_nothing(tmp_path):
    folder = tmp_path / "programs"
    first = run(tmp_path, str(folder))
    assert Path(first["folder"]).parent == folder
    assert first["compiled"] > 0
    # Another prior of the family has the same programs.
    second = run(tmp_path, str(folder), high=3.0)
    assert second["compiled"] == 0
    assert second["hits"] == first["compiled"] + first["hits"]


def test_it_can_be_turned_off(tmp_path):
    assert run(tmp_path, "off") == {"folder": None, "hits": 0, "compiled": 0}
    assert not list(tmp_path.iterdir())


def test_the_command_line_sets_it_where_nobody_has(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "jax")
    environment = {"GENBAYES_CACHE": str(tmp_path / "here")}
    cache_in_environment(environment)
    made = Path(environment["JAX_COMPILATION_CACHE_DIR"])
    assert made.is_dir()
    # Machines that share a home have other instructions and other versions.
    assert made.parent == tmp_path / "here"
    assert made.name.endswith(f"-jaxlib-{version('jaxlib')}")
    assert int(environment["JAX_COMPILATION_CACHE_MAX_SIZE"]) == 2**30
    for given in ({"JAX_COMPILATION_CACHE_DIR": "mine"}, {"GENBAYES_CACHE": "off"}):
        environment = dict(given)
        cache_in_environment(environment)
        assert environment == given
    # A folder that cannot be made is no reason to stop.
    (tmp_path / "file").write_text("")
    environment = {"GENBAYES_CACHE": str(tmp_path / "file" / "below")}
    cache_in_environment(environment)
    assert "JAX_COMPILATION_CACHE_DIR" not in environment


def test_without_a_folder_it_is_in_the_user_s_cache(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "jax")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    environment: dict[str, str] = {}
    monkeypatch.setattr(sys, "platform", "darwin")
    cache_in_environment(environment)
    assert not environment
    monkeypatch.setattr(sys, "platform", "linux")
    cache_in_environment(environment)
    assert "genbayes" in Path(environment["JAX_COMPILATION_CACHE_DIR"]).parts


def test_a_size_has_to_be_positive():
    with pytest.raises(ValueError, match="max_bytes"):
        gb.cache(max_bytes=0)


def test_another_processor_has_another_folder(monkeypatch):
    folders = set()
    monkeypatch.setattr(compile_cache, "version", lambda name: "1.0")
    for features in ("flags : sse2 avx2", "flags : sse2 avx2 avx512f", "Features : asimd"):
        monkeypatch.setattr(Path, "read_text", lambda self, features=features: f"processor : 0\n{features}\n")
        folders.add(compile_cache._machine())
    assert len(folders) == 3
