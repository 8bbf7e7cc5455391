"""Sets of trials from a table in long form: groups of any size, without an index."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import genbayes as gb
from genbayes.observations import as_stack

ROWS = ["ben,1,7", "anna,2,", "anna,,", "ben,4,8", "anna,5,9", "cleo,6,"]
NAN = np.nan


def table(folder: Path) -> Path:
    path = folder / "trials.csv"
    path.write_text("\n".join(["who,u,v", *ROWS]) + "\n")
    return path


def test_each_group_has_the_trials_that_it_has(tmp_path: Path) -> None:
    found = gb.read_observation(table(tmp_path), column="u", group="who", trials=True)
    assert found.groups == ("ben", "anna", "cleo")
    assert found.trials == (2, 3, 1)
    # In the order of the rows; the blank trial of anna stays one, and what fills up ben and cleo is none.
    np.testing.assert_array_equal(found.values[..., 0], [[1, 4, NAN], [2, NAN, 5], [6, NAN, NAN]])
    assert found.n_missing == 1
    assert found.summary == "3 whos of 1 to 3 trials of u, 1 missing: anna at row 2 u"
    both = gb.read_observation(table(tmp_path), group="who", trials=True)
    assert both.values.shape == (3, 3, 2)
    assert both.n_missing == 4
    frame = pd.read_csv(table(tmp_path))
    again = gb.read_observation(frame, group="who", trials=True)
    np.testing.assert_array_equal(again.values, both.values)
    np.testing.assert_array_equal(as_stack(both, (20, 2), any_size=True), both.values)
    one = gb.read_observation(table(tmp_path), column="u", group="who", only="ben", trials=True)
    np.testing.assert_array_equal(one.values, [1, 4])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"trials": True}, "name their column too, by group="),
        ({"trials": True, "group": "who", "index": "u"}, "rows without order, and there is index = 'u'"),
        ({"group": "who", "column": "u"}, r"'ben' has 2 rows and 'anna' 3. .* in Python say trials=True"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        gb.read_observation(table(tmp_path), **options)


def test_sets_of_unequal_size_are_no_vectors_with_gaps(tmp_path: Path) -> None:
    found = gb.read_observation(table(tmp_path), column="u", group="who", trials=True)
    for x_shape, any_size in (((3,), True), ((3, 1), False)):
        with pytest.raises(ValueError, match="trials.csv has 1 to 3 rows for each who, and outputs have the shape"):
            as_stack(found, x_shape, any_size=any_size)
