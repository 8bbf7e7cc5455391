import warnings

import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr
import zarr

from genbayes.priors.prior import Prior
from genbayes.simulations.rows import Simulations
from genbayes.simulations.running import simulate
from genbayes.simulations.status import reason_code

PRIOR = Prior({"rate": dist.Uniform(0.0, 1.0), "delay": dist.Normal(0.0, 1.0)})


def fragile(theta, rng):
    if theta[0] < 0.3:
        raise ValueError("rate too low\nmore")
    return np.append(theta, rng.normal())


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "runs.zarr"
    return path, simulate(fragile, PRIOR, 30, seed=3, store=path, progress=False)


def test_open_returns_what_was_simulated(stored):
    path, simulations = stored
    again = Simulations.open(path)
    for name in ("theta", "x", "status"):
        np.testing.assert_array_equal(getattr(again, name), getattr(simulations, name))
    assert (again.reasons, again.names, again.seed) == (("ok", "pending", "ValueError: rate too low"), PRIOR.names, 3)
    assert again.prior == PRIOR
    assert again.simulator.endswith(":fragile")
    assert again.seconds > 0


def test_xarray_opens_the_store_without_warnings(stored):
    path, simulations = stored
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xr.open_zarr(path, chunks=None) as dataset:
            assert dataset.theta.dims == ("simulation", "parameter")
            assert dataset.x.dims == ("simulation", "x_dim_0")
            np.testing.assert_array_equal(dataset.x.values, simulations.x)
            np.testing.assert_array_equal(dataset.status.values, simulations.status)
            assert dataset.attrs["format"] == "genbayes-simulations"
            assert dataset.attrs["format_version"] == 1
    # Also after the store has grown: outdated metadata would hide the new rows.
    simulate(fragile, PRIOR, 35, seed=3, store=path, progress=False)
    with xr.open_zarr(path, chunks=None) as dataset:
        assert dataset.sizes["simulation"] == 35
        assert not (dataset.status.values == 1).any()


def test_save_and_open(tmp_path, stored):
    _, simulations = stored
    simulations.save(tmp_path / "copy.zarr")
    again = Simulations.open(tmp_path / "copy.zarr")
    np.testing.assert_array_equal(again.x, simulations.x)
    np.testing.assert_array_equal(again.status, simulations.status)
    assert again.reasons == simulations.reasons
    assert again.seconds == pytest.approx(simulations.seconds)
    with pytest.raises(FileExistsError, match="exists already"):
        simulations.save(tmp_path / "copy.zarr")


def test_to_xarray(stored):
    dataset = stored[1].to_xarray()
    np.testing.assert_array_equal(dataset.theta.sel(parameter="delay"), stored[1].theta[:, 1])
    assert dataset.x.dims == ("simulation", "x_dim_0")


def test_open_refuses_what_is_not_a_store(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is nothing at"):
        Simulations.open(tmp_path / "none")
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(ValueError, match="not a Zarr group"):
        Simulations.open(tmp_path / "file.txt")
    with pytest.raises(ValueError, match="not a Zarr group"):
        Simulations.open(tmp_path)
    zarr.open_group(str(tmp_path / "foreign"), mode="w")
    with pytest.raises(ValueError, match="not written by genbayes .*from_arrays"):
        Simulations.open(tmp_path / "foreign")


def test_open_refuses_a_newer_format(stored):
    path, _ = stored
    zarr.open_group(str(path), mode="r+", use_consolidated=False).attrs["format_version"] = 6
    with pytest.raises(ValueError, match="format_version 6; this genbayes reads up to 5. Upgrade"):
        Simulations.open(path)


def test_from_arrays_marks_bad_rows():
    x = np.ones((4, 2))
    x[1, 0], x[2, 1] = np.nan, np.inf
    simulations = Simulations.from_arrays(np.arange(8).reshape(4, 2), x)
    np.testing.assert_array_equal(simulations.status, [0, 2, 3, 0])
    assert simulations.reasons[2:] == ("NaN in the output", "infinity in the output (float32)")
    assert np.isnan(simulations.x[1:3]).all()
    assert simulations.names == ("theta_0", "theta_1")
    assert (simulations.n_failed, len(simulations), simulations.x_shape) == (2, 4, (2,))
    assert x[2, 0] == 1, "the caller's array must not change"
    assert Simulations.from_arrays(np.ones((3, 1)), np.ones(3)).x.shape == (3, 1)


@pytest.mark.parametrize(
    ("theta", "x", "message"),
    [
        (np.ones(3), np.ones((3, 1)), r"`theta` must have shape \(n, dim\).* got \(3,\)"),
        (np.ones((3, 1)), np.ones((4, 1)), r"`x` must have one output per row.*expected \(3, ...\), got \(4, 1\)"),
        (np.full((3, 1), np.nan), np.ones((3, 1)), "`theta` has NaN or infinity in 3 rows"),
    ],
)
def test_from_arrays_refuses(theta, x, message):
    with pytest.raises(ValueError, match=message):
        Simulations.from_arrays(theta, x)
    with pytest.raises(ValueError, match="`names` must have 1 entries"):
        Simulations.from_arrays(np.ones((3, 1)), np.ones((3, 1)), names=["a", "b"])


def test_summary(stored):
    failed = int((stored[1].theta[:, 0] < 0.3).sum())
    first, second = stored[1].summary().split("\n")
    assert f"{30 - failed} ok, {failed} failed, 0 pending" in first
    assert second == f"failed: {failed} x ValueError: rate too low"


def test_more_than_a_hundred_reasons_are_pooled():
    reasons = ["ok", "pending"]
    codes = [reason_code(f"ValueError: {i}", reasons) for i in range(150)]
    assert len(reasons) == 103
    assert codes[:100] == list(range(2, 102))
    assert set(codes[100:]) == {102}
    assert reasons[102] == "another exception (over 100 different messages)"
    assert reason_code("ValueError: 7", reasons) == 9
    assert reason_code(None, reasons) == 0


def test_a_notebook_shows_runs_and_ranges(stored):
    made = stored[1]
    assert repr(made).count("\n") == 0
    assert repr(made).endswith("; theta (30, 2), x (30, 3))")
    shown = made._repr_html_()
    low, high = made.theta[:, 0].min(), made.theta[:, 0].max()
    assert f'<th scope="row">rate</th><td>parameter</td><td>{low:.3g}' in shown
    assert f"{high:.3f}</td>" in shown
    assert '<th scope="row">output, shape (3,)</th><td>output</td>' in shown
    empty = made.selected(np.zeros(0, int))
    assert "0 simulations" in empty._repr_html_()
