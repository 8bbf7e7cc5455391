"""Runs that were made elsewhere, from tables, NetCDF, xarray and torch."""

from pathlib import Path

import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import genbayes as gb
from genbayes.simulations.rows import Simulations

TABLE = "run,growth,dose,x1,x2,x3,note\n1,0.5,2,1,2,3,a\n2,0.25,3,4,NA,6,b\n3,0.75,4,7,8,inf,c\n4,1,5,10,11,12,d\n"


def from_table(folder: Path, text: str, *arguments, **options) -> Simulations:
    (folder / "runs.csv").write_text(text)
    return Simulations.from_csv(folder / "runs.csv", *arguments, **options)


def test_a_table_of_runs(tmp_path: Path) -> None:
    made = from_table(tmp_path, TABLE, "growth", "x1:x3", conditions=["dose"])
    np.testing.assert_array_equal(made.theta, [[0.5], [0.25], [0.75], [1]])
    np.testing.assert_array_equal(made.conditions, [[2], [3], [4], [5]])
    assert (made.names, made.condition_names) == (("growth",), ("dose",))
    np.testing.assert_array_equal(made.x, [[1, 2, 3], [np.nan] * 3, [np.nan] * 3, [10, 11, 12]])
    assert made.outputs is not None
    assert made.outputs.coordinates == ("x1", "x2", "x3")
    assert [made.reasons[code] for code in made.status] == [
        "ok",
        "NaN in the output",
        "infinity in the output (float32)",
        "ok",
    ]


def test_columns_in_the_order_of_the_call_and_by_the_prior(tmp_path: Path) -> None:
    text = "b;k;a\n1,5;3;10\n2,5;1;20\n"
    turned = from_table(tmp_path, text, ["a", "b"], "k")
    np.testing.assert_array_equal(turned.theta, [[10, 1.5], [20, 2.5]])
    prior = gb.Prior({"k": dist.DiscreteUniform(1, 4), "b": dist.Uniform(0.0, 5.0)})
    by_prior = from_table(tmp_path, text, prior=prior)
    np.testing.assert_array_equal(by_prior.theta, [[3, 1.5], [1, 2.5]])
    np.testing.assert_array_equal(by_prior.x, [[10], [20]])
    assert by_prior.levels == {0: [1, 2, 3, 4]}
    # Columns of other names than the parameters.
    renamed = from_table(tmp_path, text.replace("k", "number"), ["number", "b"], "a", prior=prior)
    assert renamed.names == ("k", "b")
    other = from_table(tmp_path, "p,x\n1,-9999\n2,5\n", "p", missing=-9999)
    np.testing.assert_array_equal(other.ok, [False, True])


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (TABLE, ["growht"], "runs.csv has no column 'growht'. Its columns are 'run', 'growth'"),
        (TABLE, ["growth", "x3:x1"], "runs.csv: the range 'x3:x1' ends before it begins. Write 'x1:x3'"),
        (TABLE, ["growth", ["x1", "growth"]], "column 'growth' is named twice"),
        (TABLE, ["growth"], "runs.csv, line 2: expected a number in column 'note', got 'a', which is no number"),
        (TABLE.replace("0.25", ""), ["growth", "x1"], "runs.csv, line 3: column 'growth' has no value"),
        (
            TABLE.replace(",8,", ",8 m,"),
            ["growth", "x1:x3"],
            "runs.csv, line 4: expected a number in column 'x2', got '8 m'",
        ),
        (TABLE.replace("1,0.5,2", "1,0.5"), ["growth", "x1"], "runs.csv, line 2: 6 cells, and there are 7 columns"),
        ("a,b\n1,2\n", [], "`parameters` must name the parameters in the file"),
        ("a\n1\n", ["a"], "runs.csv has no column of outputs beside a"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, text: str, arguments: list, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared below)
        from_table(tmp_path, text, *arguments)
    assert message in str(caught.value)


def test_netcdf_and_datasets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    growth, dose, series = rng.uniform(size=5), rng.uniform(size=5), rng.normal(size=(7, 5)).astype(np.float32)
    data = xr.Dataset({"growth": ("run", growth), "dose": ("run", dose), "series": (("time", "run"), series)})
    data.to_netcdf(tmp_path / "runs.nc", engine="scipy")
    for source in (tmp_path / "runs.nc", data):
        made = Simulations.from_netcdf(source, "growth", "series", conditions="dose")
        np.testing.assert_array_equal(made.theta[:, 0], growth.astype(np.float32))
        np.testing.assert_array_equal(made.conditions[:, 0], dose.astype(np.float32))
        np.testing.assert_array_equal(made.x, series.T)
    with pytest.raises(ValueError, match="the Dataset has no variable 'serie'. It has growth, dose, series"):
        Simulations.from_netcdf(data, "growth", "serie")
    with pytest.raises(ValueError, match=r"'growth' has the dimensions \('run',\), and the runs are along \('time',\)"):
        Simulations.from_netcdf(data, "growth", "series", dimension="time")
    (tmp_path / "no.nc").write_text("no NetCDF")
    with pytest.raises(ValueError, match=r"no\.nc cannot be read as NetCDF: .* needs h5netcdf"):
        Simulations.from_netcdf(tmp_path / "no.nc", "growth", "series")
    # What this library writes itself.
    again = Simulations.from_netcdf(made.to_xarray(), "theta", "x")
    assert again.names == ("growth",)
    np.testing.assert_array_equal(again.x, made.x)


class Tensor:
    """What a tensor of torch shows of itself: with gradients, or on a device, it is no array."""

    def __init__(self, values: np.ndarray, detached: bool = False, on_cpu: bool = False):
        self.values, self.detached, self.on_cpu = values, detached, on_cpu

    def detach(self) -> "Tensor":
        return Tensor(self.values, True, self.on_cpu)

    def cpu(self) -> "Tensor":
        return Tensor(self.values, self.detached, True)

    def numpy(self) -> np.ndarray:
        assert self.detached
        assert self.on_cpu
        return self.values


def test_tensors_are_taken_as_they_are() -> None:
    theta, x = np.arange(6.0).reshape(3, 2), np.arange(12.0).reshape(3, 4)
    made = Simulations.from_arrays(Tensor(theta), Tensor(x))
    np.testing.assert_array_equal(made.theta, theta)
    np.testing.assert_array_equal(made.x, x)


def test_tensors_of_torch_are_taken() -> None:
    torch = pytest.importorskip("torch")
    theta = torch.arange(6.0).reshape(3, 2).requires_grad_()
    made = Simulations.from_arrays(theta, theta[:, :1] * 2)
    np.testing.assert_array_equal(made.x[:, 0], [0, 4, 8])


def test_numbers_that_no_run_can_have_are_told_with_the_file(tmp_path) -> None:
    (tmp_path / "runs.csv").write_text("rate,x\n1e99,2\n0.5,3\n")
    # 1e99 is no number of single precision.
    with pytest.raises(ValueError, match=r"runs\.csv: `theta` has NaN or infinity in 1 rows \(first: 0\)"):
        gb.Simulations.from_csv(tmp_path / "runs.csv", ["rate"])


def test_a_file_of_kilobytes_that_announces_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    h5netcdf = pytest.importorskip("h5netcdf")
    path = tmp_path / "runs.nc"
    with h5netcdf.File(path, "w") as file:
        file.dimensions = {"run": 2**32}
        for name in ("growth", "x"):
            file.create_variable(name, ("run",), "f8", chunks=(10**6,), compression="gzip")
    told = r"runs.nc.*cannot be read as NetCDF: it announces 68.7 GB in a file of \d"
    with pytest.raises(ValueError, match=told):
        Simulations.from_netcdf(path, "growth", "x")
    with pytest.raises(ValueError, match=told):
        gb.read_observation(path)
