"""The axis of a series: the dates, numbers or texts that an observation brings."""

from pathlib import Path
from typing import Any

import matplotlib.dates
import numpy as np
import pytest

import genbayes as gb
from genbayes import plots

VALUES = 5 + np.sin(np.arange(20.0))
RUNS = VALUES + np.random.default_rng(0).normal(size=(50, 20))


def drawn(figure: Any) -> tuple[Any, np.ndarray, list[str]]:
    """The panel, where the observed points stand, and the texts of the ticks."""
    figure.canvas.draw()
    (panel,) = figure.axes
    (line,) = [one for one in panel.lines if one.get_label() == "observed"]
    return panel, line.get_xdata(orig=False), [text.get_text() for text in panel.get_xticklabels() if text.get_text()]


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def written(index: list[str], name: str = "date") -> gb.Observation:
        rows = [f"{place},{value}" for place, value in zip(index, VALUES, strict=True)]
        (tmp_path / "x.csv").write_text("\n".join([f"{name},q [mm]", *rows]))
        return gb.read_observation(tmp_path / "x.csv", index=name)

    return written


def test_dates(read: Any) -> None:
    days = np.arange("2021-04-20", "2021-05-10", dtype="M8[D]")
    observation = read([str(day) for day in days])
    for figure in (plots.predictive(RUNS, observation), plots.predictive(RUNS, VALUES, axis=observation)):
        panel, places, ticks = drawn(figure)
        np.testing.assert_allclose(places, matplotlib.dates.date2num(days))
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("date", "q [mm]")
        assert "May" in ticks
        assert 3 <= len(ticks) <= 8


def test_numbers_and_texts(read: Any) -> None:
    panel, places, _ = drawn(plots.predictive(RUNS, read([str(1900 + i) for i in range(20)], "year")))
    np.testing.assert_array_equal(places, 1900 + np.arange(20))
    assert panel.get_xlabel() == "year"
    panel, places, ticks = drawn(plots.predictive(RUNS, read([f"site {i}" for i in range(20)], "site")))
    np.testing.assert_array_equal(places, np.arange(20))
    shown = [round(place) for place in panel.get_xticks() if 0 <= place < 20]
    assert ticks == [f"site {place}" for place in shown]


def test_what_is_given_comes_before_what_was_read(read: Any) -> None:
    observation = read([str(i) for i in range(20)], "t")
    panel, places, _ = drawn(plots.predictive(RUNS, observation, axis=(VALUES, "depth"), labels=["mine"]))
    np.testing.assert_array_equal(places, VALUES)
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("depth", "mine")
    panel, places, _ = drawn(plots.predictive(RUNS, gb.read_observation(VALUES)))
    assert (panel.get_xlabel(), places[-1]) == ("index", 19)


def test_coordinates_are_labelled(read: Any) -> None:
    observation = gb.Observation(VALUES[:3], names=("a", "b", "c"), units=("mV", "", ""))
    figure = plots.predictive(RUNS[:, :3], observation)
    assert [panel.get_xlabel() for panel in figure.axes] == ["a [mV]", "b", "c"]
