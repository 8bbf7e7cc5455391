from pathlib import Path

import numpy as np
import pytest

from genbayes.simulations.program_arguments import checked_output
from genbayes.simulations.worker import RunFailed


def read(tmp_path: Path, content: str | bytes, name: str | None = None, column=None, key=None, skip=0) -> np.ndarray:
    path = tmp_path / (name or ".stdout")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return checked_output(name, column, key, skip).read(path, name or "standard output")


TABLE = "# made by hand\nyear,hare,lynx,note\n1900,30,4,good\n1901,47.2,6.1,\n"


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("1 2\t3\n4,5, 6\n", {}, [1, 2, 3, 4, 5, 6]),
        ("1.5\n", {}, [1.5]),
        ("1, 2,\n3, 4,\n", {}, [1, 2, 3, 4]),
        ("1.5D-03 -2d2 1e3", {}, [0.0015, -200, 1000]),
        ("NaN inf -inf NA", {}, [np.nan, np.inf, -np.inf, np.nan]),
        ("1 2\n3 4\n", {"name": "x.dat"}, [1, 2, 3, 4]),
        (TABLE, {"name": "x.csv", "column": "hare"}, [30, 47.2]),
        (TABLE, {"name": "x.csv", "column": 3}, [4, 6.1]),
        (TABLE, {"name": "x.csv", "column": ["lynx", "hare"]}, [[4, 30], [6.1, 47.2]]),
        (TABLE, {"name": "x.csv", "column": ["lynx"]}, [[4], [6.1]]),
        (TABLE, {"column": "hare"}, [30, 47.2]),
        ("\ufeffa;b\n1;2\n3;4\n", {"name": "x.csv"}, [[1, 2], [3, 4]]),
        ('"a","b"\n"1","2"\n', {"name": "x.csv", "column": "b"}, [2]),
        ("a\tb\n1\t2\n", {"name": "x.tsv"}, [[1, 2]]),
        ("a   b\n1   2\n3 4\n", {"name": "x.txt", "column": "b"}, [2, 4]),
        ("1\n2\n3\n", {"name": "x.csv"}, [1, 2, 3]),
        ("a,b\n1,\n,2\n", {"name": "x.csv"}, [[1, np.nan], [np.nan, 2]]),
        ("made by hand\n1, 2, 3\na,b\n1,2\n", {"name": "x.csv", "column": "b", "skip": 2}, [2]),
        ("t = 1\n1 2\n", {"skip": 1}, [1, 2]),
        ("[1, 2.5]", {"name": "x.json"}, [1, 2.5]),
        ('{"results": {"series": [[1, 2], [3, 4]]}}', {"name": "x.json", "key": "results.series"}, [[1, 2], [3, 4]]),
        ('{"runs": [{"x": 1}, {"x": 7}]}', {"key": "runs.1.x"}, 7),
    ],
)
def test_numbers_are_read(tmp_path: Path, content: str, options: dict, expected: list) -> None:
    found = read(tmp_path, content, **options)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.array(expected, float))


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        ("1 2\n3 abc\n", {}, "line 2 of standard output: 'abc' is no number"),
        ("1_000", {}, "line 1 of standard output: '1_000' is no number"),
        (" \n", {}, "standard output is empty"),
        (b"\xff\xfe\x00", {}, "standard output is no text in UTF-8"),
        ("t,x\n0,1\n1,abc\n", {"name": "x.csv"}, "line 3 of x.csv: 'abc' is no number"),
        ("t,x\n0,1,5\n", {"name": "x.csv"}, "line 2 of x.csv has 3 cells, its first line 2"),
        ("made by hand\nt,x\n0,b\n", {"name": "x.csv", "skip": 1}, "line 3 of x.csv: 'b' is no number"),
        ("1 2", {"skip": 1}, "standard output has no numbers below its first line(s)"),
        ("t,x\n", {"name": "x.csv"}, "x.csv has no rows below its header"),
        ("# nothing\n", {"name": "x.csv"}, "x.csv has no rows"),
        ("t,x\n0,1\n", {"name": "x.csv", "column": "y"}, "x.csv has no column 'y': its header is t, x"),
        ("t,t\n0,1\n", {"name": "x.csv", "column": "t"}, "x.csv has more than one column 't': its header is t, t"),
        ("0,1\n", {"name": "x.csv", "column": "y"}, "x.csv has no header, and so no column 'y'"),
        ("0,1\n", {"name": "x.csv", "column": 3}, "x.csv has no column 3: there are 2"),
        ("{", {"name": "x.json"}, "x.json is no JSON: Expecting property name"),
        ('{"a": {"b": 1}}', {"name": "x.json", "key": "a.c.d"}, "x.json has no entry a.c: there are b"),
        ("[[1, 2], [3]]", {"name": "x.json"}, "x.json has lists of different lengths in one another"),
        ('["1"]', {"name": "x.json"}, "x.json holds other things than numbers"),
        ("[1, null]", {"name": "x.json"}, "x.json holds other things than numbers"),
        ("garbage", {"name": "x.npy"}, "x.npy is no array of numpy"),
    ],
)
def test_what_is_wrong_with_an_output_is_said(tmp_path: Path, content: str | bytes, options: dict, reason: str) -> None:
    with pytest.raises(RunFailed) as caught:
        read(tmp_path, content, **options)
    assert str(caught.value).startswith(reason)


def test_arrays_of_numpy_are_read_without_their_code(tmp_path: Path) -> None:
    output = checked_output("x.npy", None, None)
    np.save(tmp_path / "x.npy", np.arange(6, dtype=np.int16).reshape(2, 3))
    np.testing.assert_array_equal(output.read(tmp_path / "x.npy", "x.npy"), [[0, 1, 2], [3, 4, 5]])
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(RunFailed, match="x.npy is no array of numpy: .*Python objects"):
        output.read(tmp_path / "x.npy", "x.npy")
    with pytest.raises(RunFailed, match="the program wrote no file y.npy"):
        output.read(tmp_path / "y.npy", "y.npy")
