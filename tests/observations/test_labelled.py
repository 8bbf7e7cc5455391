"""Objects of pandas and xarray, NetCDF and Excel files: values, names, units and index are kept."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import genbayes as gb

DAYS = pd.date_range("2021-04-08", periods=4)
MEASURED = [1.0, np.nan, 3.0, 4.0]
SUMMARY = "4 days of q, 1 missing: 2021-04-09"


def discharge() -> xr.DataArray:
    return xr.DataArray(MEASURED, dims="time", coords={"time": DAYS}, name="q", attrs={"units": "m3/s"})


def check_days(found: gb.Observation) -> None:
    assert found.index is not None
    assert found.index.dtype == "M8[D]"
    np.testing.assert_array_equal(found.index, DAYS.to_numpy().astype("M8[D]"))
    np.testing.assert_array_equal(found.values, MEASURED)
    assert found.summary == SUMMARY
    assert found.names == ("q",)


def test_series_and_data_array() -> None:
    check_days(gb.read_observation(pd.Series(MEASURED, index=DAYS, name="q")))
    found = gb.read_observation(discharge())
    check_days(found)
    assert found.units == ("m3/s",)
    assert gb.read_observation(pd.Series([1, 2])).index is None
    texts = gb.read_observation(pd.Series([1, 2], index=["a", "b"])).index
    assert texts is not None
    np.testing.assert_array_equal(texts, ["a", "b"])


def test_frames(tmp_path: Path) -> None:
    frame = pd.DataFrame({"q": MEASURED, "stage": [1, 2, 3, 4]}, index=DAYS.rename("day"))
    check_days(gb.read_observation(frame, column="q"))
    both = gb.read_observation(frame)
    assert (both.names, both.index_name) == (("q", "stage"), "day")
    np.testing.assert_array_equal(both.values[:, 1], [1, 2, 3, 4])
    check_days(gb.read_observation(frame.reset_index(), column="q"[:1], index="day"))
    frame.to_csv(tmp_path / "frame.csv")
    check_days(gb.read_observation(tmp_path / "frame.csv", column="q", index="day"))
    long = pd.DataFrame({"patient": ["x", "x", "y"], "t": [0, 1, 1], "c": [1.0, 2.0, 3.0]})
    for one in (long, long.set_index(["patient", "t"])):
        found = gb.read_observation(one, group="patient", index="t")
        assert found.groups == ("x", "y")
        np.testing.assert_array_equal(found.values, [[1, 2], [np.nan, 3]])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": [1.0, np.inf]}), "DataFrame, row 2: expected a number in column 'a', got 'inf'"),
        (pd.DataFrame({"a": ["1", "x"]}), "DataFrame, row 2: expected a number in column 'a', got 'x'"),
        (pd.DataFrame({"a": []}), "the DataFrame is empty"),
        (pd.Series([1.0, 2.0], index=DAYS[[1, 0]]), "row 2: the index 'index' is '2021-04-08', after '2021-04-09'"),
    ],
)
def test_bad_frames(frame: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gb.read_observation(frame)


def test_data_sets_and_netcdf(tmp_path: Path) -> None:
    data = xr.Dataset({"q": discharge(), "h": 2 * discharge()})
    data.to_netcdf(tmp_path / "river.nc", engine="scipy")
    for source in (data, tmp_path / "river.nc"):
        check_days(gb.read_observation(source, column="q"))
        check_days(gb.read_observation(source, key="q"))
        both = gb.read_observation(source, column=["h", "q"])
        np.testing.assert_array_equal(both.values[:, 1], MEASURED)
        np.testing.assert_array_equal(both.values[:, 0], 2 * both.values[:, 1])
        with pytest.raises(ValueError, match=r'has several variables: say which by column="..." \(q, h\)'):
            gb.read_observation(source)
        with pytest.raises(ValueError, match="has no variable 'x'"):
            gb.read_observation(source, column="x")
    (tmp_path / "bad.nc").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"bad.nc cannot be read as NetCDF: .*pip install h5netcdf"):
        gb.read_observation(tmp_path / "bad.nc")


def test_dimensions_of_a_data_array() -> None:
    values = np.arange(6.0).reshape(3, 2)
    data = xr.DataArray(values, dims=("time", "patient"), coords={"patient": ["A", "B"]}, name="c")
    found = gb.read_observation(data, group="patient")
    assert found.groups == ("A", "B")
    np.testing.assert_array_equal(found.values, values.T)
    assert gb.read_observation(data).names == ("A", "B")
    with pytest.raises(ValueError, match="has no dimension 'site' for the groups. It has time, patient"):
        gb.read_observation(data, group="site")
    with pytest.raises(ValueError, match="has no coordinate 'hour'"):
        gb.read_observation(data, index="hour")
    turned = discharge().isel(time=[1, 0])
    with pytest.raises(ValueError, match=r"row 2: the index 'time' .* Sort the rows"):
        gb.read_observation(turned)


def test_excel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(b"")
    rows = [["date", "q [m3/s]", "flag"], *zip(DAYS.to_list(), ["1", "", 3, 4.0], "abcd", strict=True)]
    sheets = {"data": pd.DataFrame(rows, dtype=object), "empty": pd.DataFrame()}
    monkeypatch.setattr(pd, "read_excel", lambda *_, **__: dict(sheets))
    found = gb.read_observation(path, column="q", index="date")
    check_days(found)
    assert found.units == ("m3/s",)
    with pytest.raises(ValueError, match=r"book.xlsx \[data\], row 2: column 'flag' holds texts such as 'a'"):
        gb.read_observation(path, column=["q", "flag"], index="date")
    sheets["more"] = pd.DataFrame([[1.0], [2.0]], dtype=object)
    with pytest.raises(ValueError, match=r'book.xlsx has several sheets: say which by sheet="..." \(data, more\)'):
        gb.read_observation(path)
    np.testing.assert_array_equal(gb.read_observation(path, sheet="more").values, [1, 2])

    def absent(*_: Any, **__: Any) -> None:
        raise ImportError("Missing optional dependency 'openpyxl'")

    monkeypatch.setattr(pd, "read_excel", absent)
    with pytest.raises(ImportError, match=r"book.xlsx: to read Excel files install pandas and openpyxl"):
        gb.read_observation(path)


@pytest.mark.skipif(importlib.util.find_spec("openpyxl") is None, reason="openpyxl is not installed")
def test_a_written_workbook(tmp_path: Path) -> None:
    frame = pd.DataFrame({"q": MEASURED}, index=DAYS.rename("date"))
    frame.to_excel(tmp_path / "book.xlsx")
    check_days(gb.read_observation(tmp_path / "book.xlsx", index="date"))
