import pickle
from typing import Any

import numpy as np
import pytest

from genbayes.runtime.named_values import NamedVector, Names, fields_of, structured

pandas: Any = pytest.importorskip("pandas")
xarray: Any = pytest.importorskip("xarray")

NAMES = Names((("rate", ()), ("mu", (2,)), ("grid", (2, 1))))


def test_every_kind_of_named_values_is_read_alike():
    kinds = (
        {"b": 1, "a": np.array([2.0, 3.0])},
        xarray.Dataset({"b": 1.0, "a": ("t", [2.0, 3.0])}),
        structured({"b": np.array(1.0), "a": np.array([2.0, 3.0])}),
    )
    for values in kinds:
        fields = fields_of(values)
        assert fields is not None
        assert list(fields) == ["b", "a"]
        assert fields["b"].tolist() == 1.0
        assert fields["a"].tolist() == [2.0, 3.0]
    series = fields_of(pandas.Series([1.0, 2.0], index=["b", "a"]))
    assert series is not None
    assert {name: value.tolist() for name, value in series.items()} == {"b": 1.0, "a": 2.0}
    frame = fields_of(pandas.DataFrame({"prey": [1, 2], "predators": [3, 4]}))
    assert frame is not None
    assert frame["predators"].tolist() == [3.0, 4.0]


@pytest.mark.parametrize("values", [[1.0, 2.0], np.ones(3), 4.0, pandas.Series([1.0, 2.0]), "text", None])
def test_what_has_no_names_has_none(values):
    assert fields_of(values) is None


def test_values_that_cannot_be_read_are_refused():
    with pytest.raises(TypeError, match="the value of a is not numeric: str"):
        fields_of({"a": "high"})
    with pytest.raises(ValueError, match="same name: 1, 1"):
        fields_of({1: 2.0, "1": 3.0})
    with pytest.raises(ValueError, match="no values"):
        fields_of({})


def test_a_vector_and_its_fields_are_one_another():
    fields = {"mu": np.array([2.0, 3.0]), "grid": np.array([[4.0], [5.0]]), "rate": np.array(1.0)}
    vector = NAMES.vector(fields)
    assert vector.tolist() == [1, 2, 3, 4, 5]
    assert NAMES.coordinates == ("rate", "mu[0]", "mu[1]", "grid[0, 0]", "grid[1, 0]")
    again = NAMES.fields(vector)
    assert {name: value.tolist() for name, value in again.items()} == {n: v.tolist() for n, v in fields.items()}
    many = {name: np.stack([value, 10 * value]) for name, value in fields.items()}
    np.testing.assert_array_equal(NAMES.vector(many, 2), [vector, 10 * vector])
    assert Names.read(NAMES.stored) == NAMES
    assert Names.of(fields).size == NAMES.size == 5


def test_missing_unknown_and_misshapen_fields_are_told():
    fields = NAMES.fields(np.arange(5.0))
    with pytest.raises(ValueError, match=r"rate missing; speed unknown; expected rate, mu \(2,\), grid \(2, 1\)"):
        NAMES.vector({"speed": fields["rate"]} | {name: fields[name] for name in ("mu", "grid")})
    with pytest.raises(ValueError, match=r"mu has shape \(3,\), expected \(2,\)"):
        NAMES.vector(fields | {"mu": np.ones(3)})


def test_a_named_vector_is_an_array_and_a_mapping():
    theta = NamedVector(np.array([0.5, 1.0, 2.0]), Names.of_coordinates(("rate", "mu[0]", "mu[1]")))
    assert theta["rate"] == theta[0] == 0.5
    assert theta["mu"].tolist() == theta[1:].tolist() == [1.0, 2.0]
    assert theta["mu[1]"] == 2.0
    assert dict(**theta).keys() == {"rate", "mu"}
    assert dict(theta.items())["rate"] == 0.5
    rate, *_ = theta
    assert rate == 0.5
    # What is computed from it is plain, so that a result has no names by accident.
    for result in (theta * 2, np.exp(theta), theta[1:], theta + theta):
        assert type(result) is np.ndarray
    theta += 1.0
    assert np.asarray(theta).tolist() == [1.5, 2.0, 3.0]
    assert type(pickle.loads(pickle.dumps(theta))) is np.ndarray
    with pytest.raises(KeyError, match="there is no 'Rate'; there are rate, mu"):
        theta["Rate"]
