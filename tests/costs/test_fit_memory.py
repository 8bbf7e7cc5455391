"""A fit or a store that does not fit into the memory is refused with its size and a remedy; small parts are read."""

import numpy as np
import pytest

import genbayes as gb
from genbayes.runtime import memory

PRIOR = gb.Prior.uniform([0, 0], [1, 1], names=["rate", "delay"])


def simulator(theta, rng):
    return theta + rng.normal(size=2)


@pytest.fixture(scope="module")
def simulations():
    return gb.simulate(simulator, PRIOR, 300, seed=1, progress=False)


def test_what_is_there_is_less_than_all_and_more_than_nothing() -> None:
    found = memory.available_memory()
    if found is None:
        pytest.skip("this platform does not say it")
    assert 2**20 < found < 2**50


@pytest.mark.parametrize(
    ("distance", "method", "least"),
    # 300 rows of two outputs: 300 (800 + 2 * 30), 300 (350 + 2 * 25), 300 (900 + 2 * 6) bytes.
    [("MeanSquaredError", "auto", 258_000), ("MeanAbsoluteError", "marginal", 120_000),
     ("MeanAbsoluteError", "general", 273_600)],
)  # fmt: skip
def test_a_fit_that_cannot_be_is_refused(simulations, monkeypatch, distance, method, least) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: least - 1)
    told = rf"A fit of 300 simulations with outputs of shape \(2,\) takes at least {least / 1e9:.3g} GB .* n=1_000_000"
    with pytest.raises(MemoryError, match=told):
        gb.fit_cost(simulations, getattr(gb.distances, distance)(), method=method, progress=False)


def test_a_store_that_cannot_be_read_is_read_in_part(simulations, monkeypatch, tmp_path) -> None:
    path = tmp_path / "runs.zarr"
    simulations.save(path)
    # 300 rows of two numbers in single precision.
    monkeypatch.setattr(memory, "available_memory", lambda: 2399)
    with pytest.raises(MemoryError, match=r"Reading 300 rows of .*runs.zarr takes at least 2.4e-06 GB"):
        gb.Simulations.open(path)
    part = gb.Simulations.open(path, n=200)
    np.testing.assert_array_equal(part.x, simulations.x[:200])
    np.testing.assert_array_equal(part.theta, simulations.theta[:200])
    monkeypatch.undo()
    assert len(gb.Simulations.open(path, n=1000)) == 300
    with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
        gb.Simulations.open(path, n=0)


def test_unknown_memory_refuses_nothing(monkeypatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    memory.need_memory(10**30, "Everything", "")
