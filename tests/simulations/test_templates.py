import json

import numpy as np
import pytest

from genbayes.simulations.templates import Template, json_of, plain_number, texts_of


@pytest.mark.parametrize(
    ("text", "filled", "names"),
    [
        ("{a}", "1", ("a",)),
        ("--x={a},{b},{a}", "--x=1,2,1", ("a", "b")),
        ("{{a}}", "{a}", ()),
        ("{{{a}}}", "{1}", ("a",)),
        ("BEGIN {{ print {b} }}", "BEGIN { print 2 }", ("b",)),
        ("", "", ()),
        ("$(rm {a}); `x` | 'y' \"z\" \\ \n*", "$(rm 1); `x` | 'y' \"z\" \\ \n*", ("a",)),
        ("{g Na [mS/cm2]}", "3", ("g Na [mS/cm2]",)),
        ("{k:1!r}", "4", ("k:1!r",)),
    ],
)
def test_places_are_filled_and_doubled_braces_stay(text: str, filled: str, names: tuple[str, ...]) -> None:
    template = Template(text, "t")
    assert template.names == names
    # Values are never read as templates.
    assert template.filled({"a": "1", "b": "2", "g Na [mS/cm2]": "3", "k:1!r": "4"}) == filled
    assert Template("{a}", "t").filled({"a": "{b}"}) == "{b}"


@pytest.mark.parametrize("text", ["{", "a } b", "{}", "{a", "{a{b}}", "{{a}"])
def test_a_brace_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"here has a brace that names nothing: .* is doubled: \{\{ or \}\}"):
        Template(text, "here")


def test_numbers_are_written_without_loss() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500), [0.1, -0.0, 1e16, 2.0**53]])
    single = rng.normal(size=500).astype(np.float32).astype(np.float64)
    values = np.concatenate([values, single])
    names = tuple(f"v{i}" for i in range(len(values)))
    texts = texts_of(names, values)
    read = np.array([float(texts[name]) for name in names])
    np.testing.assert_array_equal(read.view(np.int64), values.view(np.int64))
    members = json.loads(json_of(names, values, 7))
    np.testing.assert_array_equal([float(members[name]) for name in names], values)
    assert members["seed"] == 7


def test_whole_numbers_have_no_decimal_point() -> None:
    assert texts_of(("a", "b", "c"), np.array([3.0, -2.0, 2.5])) == {"a": "3", "b": "-2", "c": "2.5"}
    assert type(plain_number(3.0)) is int
    assert json_of(("k",), np.array([3.0]), 1) == '{"k": 3, "seed": 1}\n'
