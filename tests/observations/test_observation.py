"""Arrays and numpy files, what an observation shows of itself, stacks, and axes that a file does not show."""

from pathlib import Path

import numpy as np
import pytest

import genbayes as gb
from genbayes.observations import as_output, read_observations


def test_numpy_files(tmp_path: Path) -> None:
    x = np.arange(6.0).reshape(3, 2)
    x[1, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "one.npz", x=x)
    np.savez(tmp_path / "two.npz", x=x, y=x + 1)
    np.testing.assert_array_equal(gb.read_observation(tmp_path / "x.npy"), x)
    np.testing.assert_array_equal(gb.read_observation(tmp_path / "one.npz"), x)
    np.testing.assert_array_equal(gb.read_observation(tmp_path / "two.npz", key="y"), x + 1)
    assert (
        gb.read_observation(tmp_path / "x.npy", missing=5).summary
        == "3 rows of 2 columns, 2 missing: row 2 column 1, row 3 column 2"
    )
    with pytest.raises(ValueError, match=r"has several arrays: say which by key = \"...\" \(x, y\)"):
        gb.read_observation(tmp_path / "two.npz")
    with pytest.raises(ValueError, match="has no array 'z'"):
        gb.read_observation(tmp_path / "two.npz", key="z")
    with pytest.raises(
        ValueError, match=r"key = 'x' is no option for x.npy; it is for: netcdf and numpy archive and xarray"
    ):
        gb.read_observation(tmp_path / "x.npy", key="x")
    (tmp_path / "x.zip").write_text("")
    with pytest.raises(ValueError, match=r"x.zip: expected a file of one of the kinds .csv"):
        gb.read_observation(tmp_path / "x.zip")
    (tmp_path / "bad.npy").write_text("")
    with pytest.raises(ValueError, match=r"bad.npy cannot be read as a numpy file"):
        gb.read_observation(tmp_path / "bad.npy")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        gb.read_observation(tmp_path / "gone.csv")


def test_arrays() -> None:
    found = gb.read_observation([1, float("nan"), 3])
    np.testing.assert_array_equal(np.asarray(found), [1, np.nan, 3])
    assert (found.shape, len(found), found.n_missing) == ((3,), 3, 1)
    for values, message in (
        ([[1.0], [1.0, 2.0]], "different lengths"),
        (["a"], "must hold numbers"),
        ([], "is empty"),
        ([1.0, np.inf], r"1 of 2 values are infinite, the first at index \(1,\)"),
        ([np.nan], "all 1 values are missing"),
    ):
        with pytest.raises(ValueError, match=message):
            gb.read_observation(values)


def test_options_of_another_type() -> None:
    with pytest.raises(TypeError, match="missing must be a text or a number"):
        gb.read_observation([1.0], missing=[True])
    with pytest.raises(TypeError, match="column must be a name or a list of names"):
        gb.read_observation([1.0], column=[])


def test_values_are_not_shared_unless_asked_for() -> None:
    found = gb.read_observation([1.0, 2.0])
    np.array(found)[0] = 5.0
    assert found.values[0] == 1.0
    assert np.asarray(found, np.float32).dtype == np.float32


def test_it_shows_itself(tmp_path: Path) -> None:
    path = tmp_path / "river.csv"
    path.write_text("date,<q> [m3/s]\n2021-04-08,1\n2021-04-09,\n2021-04-10,3\n")
    found = gb.read_observation(path, index="date")
    assert repr(found) == "Observation(river.csv: 3 days of <q>, 1 missing: 2021-04-09)"
    page = found._repr_html_()
    for text in ("&lt;q&gt; [m3/s]", "2021-04-08 to 2021-04-10", '<th scope="row"'):
        assert text in page
    assert (found.labels(1), found.labels(2)) == (["<q> [m3/s]"], None)
    assert found.labels(3) == ["2021-04-08", "2021-04-09", "2021-04-10"]


def test_many_missing_values_are_counted() -> None:
    found = gb.read_observation([1.0, *[np.nan] * 9])
    assert found.summary == "10 values, 9 missing: value 2, value 3, value 4, value 5, value 6 and 4 more"


def test_stacks(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,\n")
    x, known, found = read_observations(tmp_path / "rows.csv", (2,))
    np.testing.assert_array_equal(x, [[1, 2], [3, np.nan]])
    assert known == {}
    assert found.n_missing == 1
    with pytest.raises(ValueError, match=r"rows.csv has shape \(2, 2\), expected a stack of observations \(m, 3\)"):
        read_observations(tmp_path / "rows.csv", (3,))
    (tmp_path / "long.csv").write_text("p,t,c\nA,0,1\nA,1,2\nB,0,3\n")
    options = {"group": "p", "index": "t"}
    x, _, found = read_observations(tmp_path / "long.csv", (2, 1), options=options)
    np.testing.assert_array_equal(x, [[[1], [2]], [[3], [np.nan]]])
    assert found.groups == ("A", "B")


def test_axes_of_length_one_are_restored() -> None:
    x = np.arange(3.0)
    assert as_output(x, (3,)).shape == (3,)
    assert as_output(x, (3, 1)).shape == (3, 1)
    assert as_output(x, (1, 3)).shape == (1, 3)
    assert as_output(x, (5, 1)).shape == (3, 1)  # a set of three trials, simulated with five
    assert as_output(x, (4,)).shape == (3,)  # left for the cost to refuse
    assert as_output(np.ones((2, 2)), (4,)).shape == (2, 2)
