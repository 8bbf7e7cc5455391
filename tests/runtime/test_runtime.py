"""The small tools that everything stands on."""

from pathlib import Path

import numpy as np
import pytest

from genbayes.runtime.counts import checked_count
from genbayes.runtime.files import replaced_file, replaced_folder
from genbayes.runtime.formatting import html_table
from genbayes.runtime.statistics import mean_and_error


def test_the_standard_error_of_a_mean_counts_finite_values_only() -> None:
    # Squared deviations 4, 1, 9 over n - 1 = 2, over n = 3.
    assert mean_and_error([1.0, 2.0, 6.0]) == pytest.approx((3.0, np.sqrt(7.0 / 3.0)))
    assert mean_and_error([1.0, np.nan, 2.0, np.inf, 6.0]) == mean_and_error([1.0, 2.0, 6.0])
    np.testing.assert_equal(mean_and_error([2.0]), (2.0, np.nan))
    np.testing.assert_equal(mean_and_error([np.nan]), (np.nan, np.nan))


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", None, np.float64(3.5), np.nan, np.inf])
def test_a_number_of_things_is_whole_and_large_enough(value: object) -> None:
    with pytest.raises(ValueError, match=r"^SMC: chains must be a whole number of at least 1, got .*; use 4\.$"):
        checked_count("SMC: chains", value, remedy="; use 4")


def test_counts_are_python_integers() -> None:
    assert type(checked_count("n", np.int32(3))) is int
    # As on the command line: 1e4 is a number of things.
    assert [type(checked_count("n", value)) for value in (1e4, np.float64(3))] == [int, int]
    assert checked_count("n", 0, least=0) == 0
    with pytest.raises(ValueError, match=r"n must be a whole number of at least 2, got 1\.$"):
        checked_count("n", 1, least=2)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "cost.bin"
    file.write_text("old")

    def interrupted() -> None:
        with replaced_file(file) as beside:
            beside.write_text("half")
            assert file.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    with replaced_file(file) as beside:
        beside.write_text("new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "draws"

    def write(text: str, *, interrupt: bool = False) -> None:
        with replaced_folder(folder) as beside:
            beside.mkdir()
            (beside / text).write_text(text)
            if interrupt:
                raise KeyboardInterrupt

    write("old")
    with pytest.raises(KeyboardInterrupt):
        write("half", interrupt=True)
    assert [path.name for path in folder.iterdir()] == ["old"]
    write("new")
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["draws"]


def test_tables_of_notebooks_escape_their_texts() -> None:
    assert html_table("a < b", ("name", "x"), [("<i>", 1)]) == (
        '<table><caption>a &lt; b</caption><thead><tr><th scope="col">name</th><th scope="col">x</th></tr></thead>'
        '<tbody><tr><th scope="row">&lt;i&gt;</th><td>1</td></tr></tbody></table>'
    )
