"""Several posteriors in one pair plot: each has its own colour, its own density and contours; the legend names all."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.contour import ContourSet

from genbayes import Prior, plots
from genbayes.runtime.figure_style import OBSERVED, SEVERAL_COLOURS
from genbayes.temperature.ladders import Ladder

PRIOR = Prior.uniform([-3.0, -3.0], [3.0, 3.0], names=["a", "b"])


def normal(mean, spread, names=("a", "b"), integer_names=()):
    flat = mean + spread * np.random.default_rng(0).standard_normal((4000, len(names)))
    return SimpleNamespace(
        flat=np.where(np.isin(names, integer_names), np.round(flat), flat), names=names, integer_names=integer_names
    )


TWO = {"patient 1": normal(-1.0, 0.3), "patient 2": normal(1.0, 0.6)}


def colours(figure):
    """Name -> colour, as the legend has it."""
    return {one.get_label(): to_hex(one.get_color()) for one in figure.legends[0].get_lines()}


def test_each_posterior_has_its_density_and_its_colour():
    figure: Any = plots.pair(TWO, PRIOR, truth=[0.5, 1.0])
    figure.canvas.draw()
    named = colours(figure)
    assert set(named) == {"patient 1", "patient 2", "contours: 50, 90 %", "prior bound", "true value"}
    for name, mean, spread in (("patient 1", -1.0, 0.3), ("patient 2", 1.0, 0.6)):
        (curve,) = [line for line in figure.axes[0].lines if line.get_color() == named[name]]
        x, y = map(np.asarray, curve.get_data())
        # The peak of a normal density, which the kernel blurs by 2 %.
        assert y.max() == pytest.approx(1 / (spread * np.sqrt(2 * np.pi)), rel=0.06)
        assert x[np.argmax(y)] == pytest.approx(mean, abs=0.3 * spread)
    (cross,) = [line for line in figure.axes[1].lines if line.get_marker() == "x"]
    assert (*cross.get_xdata(), *cross.get_ydata(), cross.get_color()) == (0.5, 1.0, OBSERVED)


def test_contours_of_each_posterior_are_about_its_mean():
    figure: Any = plots.pair(TWO)
    sets: list[Any] = [one for one in figure.axes[1].get_children() if isinstance(one, ContourSet)]
    assert [to_hex(one.get_edgecolor()[0]) for one in sets] == list(SEVERAL_COLOURS[:2])
    for one, mean, spread in zip(sets, (-1.0, 1.0), (0.3, 0.6), strict=True):
        outer = np.asarray(one.get_paths()[0].vertices)
        # 90 % of a normal distribution lie within 2.15 standard deviations.
        assert outer.min(axis=0) == pytest.approx([mean - 2.15 * spread] * 2, abs=0.35 * spread)
        assert outer.max(axis=0) == pytest.approx([mean + 2.15 * spread] * 2, abs=0.35 * spread)


def test_integers_have_the_probability_of_every_value():
    draws = {"one": normal(2.0, 1.0, integer_names=("a",)), "two": normal(4.0, 1.0, integer_names=("a",))}
    figure: Any = plots.pair(draws)
    figure.canvas.draw()
    for steps, one in zip(figure.axes[0].patches, draws.values(), strict=True):
        values, edges, _ = steps.get_data()
        assert values[list(edges).index(1.5)] == np.mean(one.flat[:, 0] == 2)
        assert values.sum() == pytest.approx(1.0)
    # A pair with an integer has points, of which no contour has to be explained.
    assert set(colours(figure)) == {"one", "two"}
    alone: Any = plots.pair(draws, parameters=["a"])
    assert alone.axes[0].get_ylabel() == "probability"


def test_one_parameter_and_chosen_parameters():
    figure: Any = plots.pair(TWO, PRIOR, parameters=["b"])
    assert len(figure.axes) == 1
    assert figure.axes[0].get_xlabel() == "b"
    # Five names, prior and bound below one panel, clear of its label.
    figure = plots.pair({f"patient {k}": normal(0.2 * k, 0.5) for k in range(5)}, PRIOR, parameters=["b"])
    figure.savefig(io.BytesIO())
    legend = figure.legends[0].get_window_extent()
    assert legend.y1 < figure.axes[0].xaxis.label.get_window_extent().y0 + 1


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        ({}, "0 posteriors; a readable picture has 1 to 5"),
        ({str(k): TWO["patient 1"] for k in range(6)}, "6 posteriors; .*plots.stack"),
        ({"x": normal(0.0, 1.0), "y": normal(0.0, 1.0, names=("a", "c"))}, "'y' has the parameters"),
    ],
)
def test_what_cannot_be_compared_is_refused(draws, message):
    with pytest.raises(ValueError, match=message):
        plots.pair(draws)


def test_a_truth_of_another_length_is_refused():
    with pytest.raises(ValueError, match="one value per parameter"):
        plots.pair(TWO, truth=[1.0])


def test_a_ladder_goes_from_light_to_dark() -> None:
    rng = np.random.default_rng(0)
    betas = np.geomspace(1.0, 100.0, 9)
    widths = 1 / np.sqrt(betas)

    def draws(_, j):
        return SimpleNamespace(flat=widths[j] * rng.standard_normal((4000, 2)), names=("a", "b"))

    ladder: Any = object.__new__(Ladder)
    object.__setattr__(ladder, "draws", SimpleNamespace(betas=betas, draws=draws))
    figure: Any = plots.pair(ladder)
    [legend] = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [
        "β = 1",
        "β = 3.16",
        "β = 10",
        "β = 31.6",
        "β = 100",
        "contours: 50, 90 %;\ndensities of one height",
    ]
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 100]
    np.testing.assert_allclose([line.get_ydata().max() for line in curves], 1.0)
    # That of beta 100 is a tenth as wide as that of beta 1.
    areas = np.array([line.get_ydata().sum() for line in curves])
    np.testing.assert_allclose(areas[0] / areas, np.sqrt(betas[::2]), rtol=0.1)
    light = [sum(to_rgb(line.get_color())) for line in curves]
    assert light == sorted(light, reverse=True)
