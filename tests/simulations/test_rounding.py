"""Outputs are kept in the precision that what varies in them needs, in memory and in stores, whatever comes between."""

import shutil
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.simulations.store import SimulationStore

PRIOR = gb.Prior.uniform([-1.0], [1.0])
# Steps of single precision at these sizes: 128, 1 and 0.004; the signals have standard deviations of 0.06 and 0.0006.
OFFSETS = (1126259462.4, 1e7, 59_000.0)


def near(offset: float):
    def simulator(theta, rng):
        return offset + 0.1 * theta[[0, 0]] * [1.0, 0.01] + 0.001 * rng.standard_normal(2)

    return simulator


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_signal_on_top_of_a_large_number_is_kept(offset: float, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = gb.simulate(near(0.0), PRIOR, 100, seed=0, progress=False)
        for store in (None, tmp_path / "runs"):
            made = gb.simulate(near(offset), PRIOR, 100, seed=0, progress=False, store=store)
            assert made.x.dtype == np.float64
            # Double precision has steps of 2e-7 at 1e9.
            np.testing.assert_allclose(made.x - offset, plain.x, atol=3e-7)
        assert plain.x.dtype == np.float32
        np.testing.assert_array_equal(gb.Simulations.open(tmp_path / "runs").x, made.x)
        made.save(tmp_path / "saved")
        np.testing.assert_array_equal(gb.Simulations.open(tmp_path / "saved").x, made.x)
        np.testing.assert_array_equal(gb.Simulations.from_arrays(made.theta, made.x).x, made.x)
        np.testing.assert_array_equal(made.joined(plain).x[:100], made.x)


@pytest.mark.parametrize("n", [10, 200])
def test_a_store_of_what_single_precision_holds_is_in_it(n: int, tmp_path: Path) -> None:
    gb.simulate(near(0.0), PRIOR, n, seed=0, progress=False, store=tmp_path / "runs")
    assert SimulationStore.open(tmp_path / "runs").x_dtype == np.float32


def test_a_store_becomes_double_when_later_runs_need_it(tmp_path: Path) -> None:
    # The first hundred runs vary by 1, later ones are near 1e9.
    def simulator(theta, rng):
        return np.array([rng.standard_normal() + (1e9 if theta[0] > 0.99 else 0.0), rng.standard_normal() * 1e-3 + 1e5])

    path = tmp_path / "runs"
    easy = gb.simulate(lambda theta, rng: simulator(theta, rng) - [0, 1e5], PRIOR, 100, seed=0, progress=False)
    easy.save(path)
    store = SimulationStore.open(path, writable=True)
    store.set_attributes(simulator=f"{simulator.__module__}:{simulator.__qualname__}")
    before = np.array(easy.x)
    with pytest.warns(UserWarning, match="run again, gives another output"):
        made = gb.simulate(simulator, gb.Prior.uniform([-1.0], [1.0]), 400, seed=0, progress=False, store=path)
    assert made.x.dtype == np.float64
    np.testing.assert_array_equal(made.x[:100], before)
    assert len(np.unique(made.x[100:, 1])) == 300  # single precision has steps of 0.008 there


def test_an_interrupted_conversion_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs"
    made = gb.simulate(near(0.0), PRIOR, 100, seed=0, progress=False)
    made.save(path)
    renamed, stop_at = Path.rename, [0]

    def rename(self: Path, target: Path) -> Path:
        stop_at[0] -= 1
        if stop_at[0] < 0:
            raise KeyboardInterrupt
        return renamed(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    for allowed, dtype in [(0, np.float32), (1, np.float64), (2, np.float64)]:
        copy = tmp_path / f"copy {allowed}"
        shutil.copytree(path, copy)
        stop_at[0] = allowed
        try:
            SimulationStore.open(copy, writable=True).convert(made.x, np.float64)
        except KeyboardInterrupt:
            assert allowed < 2
        stop_at[0] = 1
        # Who reads leaves all as it is; the next writer finishes what is complete.
        np.testing.assert_array_equal(gb.Simulations.open(copy).x, made.x)
        assert SimulationStore.open(copy, writable=True).x_dtype == dtype
        np.testing.assert_array_equal(gb.Simulations.open(copy).x, made.x)


def test_what_was_computed_in_single_precision_is_told() -> None:
    def simulator(key, theta):
        return 1e6 + 0.1 * theta + 0.001 * jax.random.normal(key, (1,))

    with pytest.warns(UserWarning, match=r"in single precision, which rounds coordinate \(0,\) by up to 0\.031"):
        gb.simulate(simulator, PRIOR, 50, seed=0, progress=False)
    x = np.float32(1e7) + np.float32(5) * np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    with pytest.warns(UserWarning, match="What varies is lost: subtract a constant"):
        gb.Simulations.from_arrays(np.linspace(-1, 1, 50)[:, None], x)


def test_what_single_precision_holds_is_not_told() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A constant has no spread to lose, 300 kelvin with a spread of 1 loses 3e-5 of it.
        one = gb.simulate(
            lambda theta, rng: np.array([0.1, 300 + rng.standard_normal()]), PRIOR, 50, seed=0, progress=False
        )
        two = gb.simulate(
            lambda theta, rng: np.full(2, 1e-30) * rng.gamma(2, size=2), PRIOR, 50, seed=0, progress=False
        )
        gb.simulate(lambda key, theta: jnp.stack([theta[0], jnp.ones(())]), PRIOR, 50, seed=0, progress=False)
    assert one.x.dtype == two.x.dtype == np.float32
