"""A sample of benchmarks/fuzz.py: damaged files of every kind are refused with their path, or read as they were."""

import importlib.util
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import genbayes as gb
from genbayes.runtime import damaged_files

_SPEC = importlib.util.spec_from_file_location("fuzz", Path(__file__).parents[1] / "benchmarks" / "fuzz.py")
assert _SPEC is not None
assert _SPEC.loader is not None
fuzz = sys.modules.setdefault("fuzz", importlib.util.module_from_spec(_SPEC))
_SPEC.loader.exec_module(fuzz)


@pytest.mark.parametrize("inputs", [500, pytest.param(20_000, marks=[pytest.mark.slow, pytest.mark.long])])
def test_no_damaged_file_is_read_in_silence_or_ends_in_a_traceback(inputs):
    found = fuzz.fuzz(inputs, seed=inputs)
    assert [text for one in found.values() for text in one.wrong] == []
    assert len(found) == 10
    assert sum(one.counts["refused"] for one in found.values()) > inputs / 3


def test_the_judge_judges(tmp_path):
    """A loader that believes what it reads is found out, as is one whose errors say nothing."""
    write = lambda path: np.save(path, np.arange(50.0))  # noqa: E731
    believing = fuzz.Format("x.npy", write, lambda path: [np.frombuffer(path.read_bytes(), np.uint8)], True, 1)
    assert fuzz.try_format(believing, tmp_path, 20, 0).counts["other numbers"] > 0
    bare = fuzz.Format("y.npy", write, lambda path: [np.load(path)], True, 1)
    found = fuzz.try_format(bare, tmp_path, 200, 0)
    assert found.counts["other numbers"] > 0
    assert found.counts["no path"] + found.counts["traceback"] > 0
    assert len(found.wrong) == sum(found.counts[name] for name in ("other numbers", "no path", "traceback"))


def test_what_announces_more_than_there_is_takes_no_memory(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(9.0))
    content = (tmp_path / "x.npy").read_bytes()
    wrong = b"'shape': (999999999999,), }"
    start = content.index(b"'shape'")
    (tmp_path / "x.npy").write_bytes(content[:start] + wrong + content[start + len(wrong) :])
    with pytest.raises(ValueError, match="x.npy .*announces 7999999999992 bytes .* cut short or damaged"):
        gb.read_observation(tmp_path / "x.npy")


def test_an_archive_that_would_fill_the_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(damaged_files, "MOST_UNPACKED", 10_000_000)
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(2_000_000))
    assert (tmp_path / "x.npz").stat().st_size < 20_000
    with pytest.raises(
        ValueError, match="x.npz cannot be read .*would take 0.016 GB, more than 0.01 GB. Save an array as"
    ):
        gb.read_observation(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("x.npy", b"no array")
    with pytest.raises(ValueError, match="y.npz cannot be read as an .npz file"):
        gb.read_observation(tmp_path / "y.npz")


def test_nothing_in_a_file_is_run(tmp_path):
    assert fuzz.baits(tmp_path) == 0
