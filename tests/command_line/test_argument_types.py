"""What a word on the command line may be."""

import argparse
from pathlib import Path

import pytest

from genbayes.command_line.argument_types import count, count_or_file, natural, runs_at_draws, whole


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("10000", 10_000),
        ("1e4", 10_000),
        ("1E+4", 10_000),
        ("2.5e3", 2500),
        ("3.0", 3),
        ("1e22", 10**22),
        ("9007199254740993.0", 2**53 + 1),
        ("1.5", None),
        ("1.25e1", None),
        ("1e-4", None),
        ("1.00000000000000000001", None),
        ("-1", None),
        ("+1", None),
        ("1e999999999", None),
        ("e4", None),
        ("1e", None),
        ("inf", None),
        ("nan", None),
        ("1_000", None),
        (" 1", None),
        ("", None),
    ],
)
def test_whole_numbers(text: str, value: int | None) -> None:
    assert whole(text) == value
    if value is None:
        for kind in (natural, count, runs_at_draws):
            with pytest.raises(argparse.ArgumentTypeError, match="expected .*whole number of at least"):
                kind(text)


def test_the_least_of_each_kind() -> None:
    assert natural("0e3") == runs_at_draws("0") == 0
    assert count("1e0") == 1
    assert runs_at_draws("2e2") == 200
    with pytest.raises(argparse.ArgumentTypeError, match="of at least 1, got '0'"):
        count("0")
    with pytest.raises(argparse.ArgumentTypeError, match="a whole number of at least 2, got '1e0'"):
        runs_at_draws("1e0")


def test_a_count_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert count_or_file("1e1") == 10
    Path("1e1").touch()
    Path("7").touch()
    assert count_or_file("1e1") == Path("1e1")
    assert count_or_file("7") == 7
    with pytest.raises(argparse.ArgumentTypeError, match="there is no file x.npz"):
        count_or_file("x.npz")
    with pytest.raises(argparse.ArgumentTypeError, match="at least 1"):
        count_or_file("0")
