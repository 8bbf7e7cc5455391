"""Every colour of a picture is explained in it: sensitivity and stack, from fabricated results."""

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import NonCallableMock

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_hex

from genbayes import Cost, Draws, GibbsPosterior, Prior, plots
from genbayes.checks.stack import StackCheck
from genbayes.runtime.figure_style import ACCENT
from genbayes.runtime.units import unit_of_beta
from genbayes.sensitivity_analysis.result import Sensitivity
from genbayes.sensitivity_analysis.wording import variant_rows
from genbayes.temperature.ladders import Ladder


def legend_texts(figure):
    """The lines of a figure's legend, and the colours of its handles."""
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def sensitivity_of(shift):
    """A result of two variants, two parameters, three parts of the output; the second parameter is in thousands."""
    rng = np.random.default_rng(0)
    draws = rng.uniform([0.0, 300.0], [1.0, 3000.0], (2, 500, 2))
    variants = [SimpleNamespace(name=n, draws=SimpleNamespace(flat=d)) for n, d in zip("ab", draws, strict=True)]
    return cast(
        Any,
        NonCallableMock(
            spec=Sensitivity,
            names=("a", "tau_max"),
            groups=[SimpleNamespace(name=name) for name in ("mean", "spread", "peak")],
            variants=variants,
            mean=draws.mean(axis=1),
            shift=np.array([[0.0, 0.0], [0.1, shift]]),
            shift_error=np.full((2, 2), 0.05),
            share=np.array([0.5, 0.3, 0.2]),
            misfit=np.array([[0.7, 1.3, 2.5], [0.9, 6.0, 20.0]]),
            resimulated=True,
        ),
    )


def test_the_legend_of_a_sensitivity_names_the_colours_it_has():
    moved = "moved by more than half an s.d."
    assert moved in legend_texts(plots.sensitivity(sensitivity_of(0.6)))
    unmoved = legend_texts(plots.sensitivity(sensitivity_of(0.4)))
    assert moved not in unmoved
    assert {"90 % by the given distance", "90 % and mean", "misfit 1 or less", "misfit 6 or more"} <= set(unmoved)


def test_the_legend_of_a_sensitivity_has_the_colours_of_the_map():
    figure: Any = plots.sensitivity(sensitivity_of(0.6))
    image = figure.axes[-1].images[0]
    shown = {
        m: to_hex(image.to_rgba(image.get_array())[cell]) for m, cell in {1: (0, 0), 2.5: (0, 2), 6: (1, 1)}.items()
    }
    patches = {p.get_label(): to_hex(p.get_facecolor()) for p in figure.legends[0].get_patches()}
    assert shown == {1: patches["misfit 1 or less"], 2.5: patches["misfit 2.5"], 6: patches["misfit 6 or more"]}


def test_ticks_of_a_sensitivity_do_not_run_into_one_another():
    figure: Any = plots.sensitivity(sensitivity_of(0.6))
    figure.canvas.draw()
    for ax in figure.axes[1:3]:
        starts = sorted(label.get_window_extent().x0 for label in ax.get_xticklabels() if label.get_visible())
        height = ax.get_xticklabels()[0].get_fontsize() * figure.dpi / 72
        # Lines of text at 45 degrees are apart where their starts are further apart than sqrt(2) heights.
        assert min(np.diff(starts)) > np.sqrt(2) * height


def stack_of(p_value, suspect):
    """A check of four observations and two parameters at one beta, one chain."""
    rng = np.random.default_rng(0)
    theta = rng.normal(0, 0.2, (4, 1, 1, 300, 2))

    class Stacked(SimpleNamespace):
        def __len__(self):
            return 4

    draws = Stacked(theta=theta, names=("a", "b"), suspect=np.array(suspect)[:, None])
    return cast(Any, NonCallableMock(spec=StackCheck, draws=draws, unusual=np.array(p_value) < 0.05))


def test_the_legend_of_a_stack_names_the_colours_it_has():
    prior = Prior.uniform([-1, -1], [1, 1], names=["a", "b"])
    doubtful = "the same, where the observation is unusual or sampling is in doubt"
    fine = legend_texts(plots.stack(stack_of([0.5] * 4, [False] * 4), prior))
    assert fine == ["prior, 90 %", "posterior, median and 90 %"]
    figure: Any = plots.stack(stack_of([0.5, 0.01, 0.5, 0.5], [False] * 4), prior)
    assert legend_texts(figure) == [*fine, doubtful]
    assert figure.legends[0].legend_handles[-1].get_color() == ACCENT
    assert legend_texts(plots.stack(stack_of([0.5] * 4, [True] * 4), prior)) == ["prior, 90 %", doubtful]


def test_rows_of_a_sensitivity_are_cut_in_lines_of_text_only():
    found = sensitivity_of(0.6)
    found.groups[2].name = "coordinates 12 to 15"
    found.width_ratio = np.ones((2, 2))
    for variant in found.variants:
        variant.beta = 2.0
    assert variant_rows(found)[1] == ("b", "2", "tau_max +0.60", "1.00-1.00", "20.00 coordinates 12 to 15")
    assert variant_rows(found, short=True)[1][-1] == "20.00 coordina…"


def test_the_best_draw_of_a_profile_lies_on_its_curve_and_all_is_explained():
    prior = Prior.uniform([0.0], [10.0], names=["a"])
    cost = Cost.exact(lambda theta, x: jnp.square(theta[..., 0] - 5.0), names=["a"], x_shape=[1], units="mV")
    posterior = GibbsPosterior(prior, cost, np.zeros(1), 1.0)
    # Ten thousand draws near the bound, and one, the best, far from all of them.
    theta = np.append(np.random.default_rng(0).uniform(0.0, 1.0, 9999), 4.0)
    draws = SimpleNamespace(flat=theta[:, None], cost=(theta - 5.0) ** 2, names=("a",))
    figure: Any = plots.cost_profiles(posterior, NonCallableMock(spec=Draws, **vars(draws)))
    (ax,) = figure.axes
    (dot,) = [line for line in ax.lines if line.get_color() == ACCENT]
    curve = max(ax.lines, key=lambda line: line.get_linewidth())
    assert dot.get_xdata() == [4.0]
    assert np.interp(4.0, *curve.get_data(), left=np.nan, right=np.nan) == pytest.approx(1.0, abs=0.01)
    explained = ["the others at the best draw", "at other draws", "best draw", "draws", "prior bound"]
    assert legend_texts(figure) == explained


@pytest.mark.parametrize(
    ("units", "beta"),
    [("mV²", "in 1 / (mV²)"), ("1", "dimensionless"), ("1 (squared multiples of the scale)", "dimensionless")],
)
def test_the_unit_of_beta_reads_as_a_person_writes_it(units, beta):
    cost = Cost.exact(lambda theta, x: theta[..., 0] ** 2, names=("a",), x_shape=(1,), units=units)
    prior = Prior.uniform([0.0], [1.0], names=["a"])
    assert unit_of_beta(units) == beta
    assert f"2, {beta}<" in GibbsPosterior(prior, cost, np.zeros(1), 2.0)._repr_html_()


def test_the_cost_of_a_ladder_has_its_units():
    prior = Prior.uniform([0.0], [1.0], names=["a"])
    values = np.linspace(0.2, 0.8, 40).reshape(2, 20)
    for units, shown, label in (
        ("mV²", "mV²", "in 1 / (mV²)"),
        ("1 (squared multiples)", "squared multiples", "dimensionless"),
    ):
        cost = Cost.exact(lambda theta, x: theta[..., 0] ** 2, names=("a",), x_shape=(1,), units=units)
        found = NonCallableMock(
            spec=Ladder,
            prior=prior,
            cost=cost,
            betas=np.array([1.0, 2.0]),
            costs=values,
            mean_cost=values.mean(axis=1),
            cost_variance=values.var(axis=1),
            effective_parameters=np.ones(2),
            widths=np.ones((2, 1)),
            log_evidence=np.array([-1.0, -2.0]),
        )
        figure: Any = plots.temperature(found)
        assert figure.axes[0].get_ylabel() == shown
        # The band is that of the draws, as the legend says: 5 % and 95 % of 20 evenly spread values.
        [band] = figure.axes[0].collections
        assert band.get_label() == "90 % of the draws"
        lowest, highest = values[0, 0], values[0, -1]
        ends = [lowest + share * (highest - lowest) for share in (0.05, 0.95)]
        of_first = [y for x, y in band.get_paths()[0].vertices if x == 1.0]
        np.testing.assert_allclose(sorted(set(np.round(of_first, 9))), ends)
        assert figure.axes[2].get_xlabel() == f"inverse temperature β, {label}"
