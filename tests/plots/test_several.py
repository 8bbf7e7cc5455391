"""Several posteriors in one picture, by name: each curve is that of its posterior, in the colour of the legend."""

from typing import Any
from unittest.mock import NonCallableMock

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_hex

from genbayes import Cost, Draws, GibbsPosterior, Prior, plots, temperature
from genbayes.checks.coverage import Coverage
from genbayes.checks.position import predictive_position
from genbayes.runtime.figure_style import OBSERVED, SEVERAL_COLOURS, apart
from genbayes.temperature.choice import Choice

PRIOR = Prior.uniform([-4.0, -4.0], [4.0, 4.0], names=["a", "b"])
COST = Cost.exact(
    lambda theta, x: jnp.sum((theta - x) ** 2), names=PRIOR.names, x_shape=(2,), units="squared data units"
)
X = {"one": np.array([-1.0, 0.5]), "two": np.array([1.5, -0.5])}
BLUE, RED = SEVERAL_COLOURS[:2]


def posteriors() -> dict[str, GibbsPosterior]:
    return {name: GibbsPosterior(PRIOR, COST, x_o, 8.0) for name, x_o in X.items()}


def draws_of(x_o: np.ndarray, seed: int, names: tuple[str, ...] = ("a", "b")) -> Draws:
    theta = (x_o + 0.25 * np.random.default_rng(seed).standard_normal((4, 250, 2))).astype(np.float32)
    cost = np.sum((theta - x_o) ** 2, axis=-1)
    ess = np.linspace(900.0, 700.0 + seed, 5)
    statistics = {"beta_ladder": np.geomspace(0.5, 8.0 + seed, 5), "ess": ess, "acceptance": np.full(5, 0.3)}
    return Draws(theta, cost, names, 8.0, x_o, "SMC", 0, statistics)


DRAWS = {name: draws_of(x_o, seed) for seed, (name, x_o) in enumerate(X.items())}


def legend(figure: Any) -> dict[str, str]:
    """Name -> colour."""
    figure.canvas.draw()
    lines = [line for line in figure.legends[0].get_lines() if line.get_linestyle() != "None"]
    return {line.get_label(): to_hex(line.get_color()) for line in lines}


def lines(ax: Any, colour: str) -> list[Any]:
    return [line for line in ax.lines if to_hex(line.get_color()) == colour]


def test_cost_profiles_are_parabolas_about_their_own_observations() -> None:
    figure: Any = plots.cost_profiles(posteriors(), DRAWS)
    assert legend(figure) == {"one": BLUE, "two": RED}
    for (name, x_o), colour in zip(X.items(), (BLUE, RED), strict=True):
        best = DRAWS[name].flat[np.argmin(DRAWS[name].cost.ravel())]
        for j, ax in enumerate(figure.axes[:2]):
            curve, dot = lines(ax, colour)
            x, y = map(np.asarray, curve.get_data())
            np.testing.assert_allclose(y, (x - x_o[j]) ** 2 + (best[1 - j] - x_o[1 - j]) ** 2, rtol=1e-3, atol=1e-4)
            assert dot.get_xdata()[0] == pytest.approx(best[j])
            # Both observations are in sight.
            assert x.min() < -0.9 if j == 0 else x.max() > 0.5
    with pytest.raises(ValueError, match=r"draws must be by the names of posterior, \['one', 'two'\], got \['one'\]"):
        plots.cost_profiles(posteriors(), {"one": DRAWS["one"]})
    with pytest.raises(ValueError, match="there is one posterior"):
        plots.cost_profiles(posteriors()["one"], DRAWS)


def test_ladders_of_several() -> None:
    figure: Any = plots.ladder(DRAWS)
    assert legend(figure) == {"one": BLUE, "two": RED}
    for name, colour in (("one", BLUE), ("two", RED)):
        for ax, key in zip(figure.axes, ("beta_ladder", "ess", "acceptance"), strict=True):
            [curve] = lines(ax, colour)
            np.testing.assert_array_equal(curve.get_ydata(), DRAWS[name].statistics[key])


def test_temperatures_of_several() -> None:
    betas = np.geomspace(0.5, 8.0, 4)
    found = {name: temperature.ladder(PRIOR, COST, x_o, betas, n=400, seed=0) for name, x_o in X.items()}
    figure: Any = plots.temperature(found)
    assert legend(figure) == {"one": BLUE, "two": RED, "all parameters": "#9a9a9a"}
    for name, colour in (("one", BLUE), ("two", RED)):
        ladder = found[name]
        expected = [
            ladder.mean_cost,
            ladder.effective_parameters,
            np.sqrt(ladder.widths[:, 0] * ladder.widths[:, 1]),
            ladder.log_evidence,
        ]
        for ax, values in zip(figure.axes, expected, strict=True):
            [curve] = lines(ax, colour)
            np.testing.assert_allclose(curve.get_ydata(), values, rtol=1e-6)
    choice: Any = NonCallableMock(spec=Choice)
    with pytest.raises(ValueError, match="choices are of one ladder, and there are 2"):
        plots.temperature(found, [choice])


def test_coverages_of_several() -> None:
    rng = np.random.default_rng(0)

    def covered(power: float, rows: int, names: tuple[str, ...] = ("a",)) -> Coverage:
        ranks, half = rng.beta(power, power, (rows, 1)), np.array([0.5])
        joint = np.abs(2 * ranks[:, 0] - 1)
        return Coverage(8.0, half, half, np.stack([half, half]), half[None], names, rows, joint, ranks)

    found = {"narrow": covered(0.5, 400), "right": covered(1.0, 300)}
    figure: Any = plots.coverage(found)
    assert legend(figure) == {"narrow": BLUE, "right": RED}
    left, right = figure.axes
    for one, colour in zip(found.values(), (BLUE, RED), strict=True):
        [curve] = lines(left, colour)
        level, share = curve.get_data()
        assert one.joint_ranks is not None
        np.testing.assert_allclose(share, [np.mean(one.joint_ranks <= value) for value in level])
        assert len(lines(right, colour)) == 1
    assert "300 held-out simulations or more" in figure.get_suptitle()
    with pytest.raises(ValueError, match="'y' has the parameters"):
        plots.coverage({"x": covered(1.0, 50), "y": covered(1.0, 50, ("b",))})


def test_places_of_several_observations_are_in_the_reach_of_their_runs() -> None:
    runs = np.random.default_rng(1).standard_normal((400, 3)) * [1.0, 10.0, 0.1]
    observed = {"near": np.array([0.0, 5.0, 0.1]), "far": np.array([6.0, -40.0, 0.0])}
    found = {name: predictive_position(runs, x_o) for name, x_o in observed.items()}
    figure: Any = plots.predictive_position(found)
    shown = legend(figure)
    assert (shown["near"], shown["far"]) == (BLUE, RED)
    low, middle, high = np.quantile(runs, [0.05, 0.5, 0.95], axis=0)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    for (name, x_o), colour in zip(observed.items(), (BLUE, RED), strict=True):
        expected = (x_o - middle) / np.where(x_o < middle, middle - low, high - middle)
        dots = np.concatenate([np.column_stack(line.get_data()) for line in lines(figure.axes[0], colour)])
        order = [found[name].names.index(one) for one in names]
        by_row = dots[np.argsort(dots[:, 1]), 0]
        np.testing.assert_allclose(by_row, expected[order], atol=0.02)
        filled = [to_hex(line.get_markerfacecolor()) for line in lines(figure.axes[0], colour) if len(line.get_xdata())]
        assert (colour in filled) == (name == "far")


def test_what_is_missing_in_one_has_a_dot_of_the_other() -> None:
    runs = np.random.default_rng(1).standard_normal((400, 3))
    first, second = np.array([0.5, np.nan, 3.0]), np.array([np.nan, 1.0, -0.5])
    labels = ["a", "b", "c"]
    found = {name: predictive_position(runs, x_o, labels=labels) for name, x_o in (("one", first), ("other", second))}
    ax = plots.predictive_position(found).axes[0]
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert sorted(names) == labels
    for x_o, colour in ((first, BLUE), (second, RED)):
        dots = np.concatenate([np.column_stack(line.get_data()) for line in lines(ax, colour)])
        assert {names[row] for row in np.rint(dots[:, 1]).astype(int)} == {
            n for n, x in zip(labels, x_o, strict=True) if x == x
        }
    with pytest.raises(ValueError, match="'other' has the coordinates"):
        plots.predictive_position({"one": found["one"], "other": predictive_position(runs, second)})


def test_labels_stay_apart_and_where_they_are() -> None:
    places = np.array([3.0, 0.0, 1.0, 0.9, 0.95])
    moved = apart(places, 0.2)
    assert np.all(np.diff(np.sort(moved)) > 0.2 - 1e-12)
    assert list(np.argsort(moved)) == list(np.argsort(places))
    # Three within 0.1 need 0.4: no label moves by more than (0.4 - 0.1) / 2, and one that is free not at all.
    assert np.max(np.abs(moved - places)) <= 0.15 + 1e-12
    assert (moved[0], moved[1]) == (3.0, 0.0)


def test_bands_of_several_with_one_observation_or_one_each() -> None:
    rng = np.random.default_rng(2)
    times = np.linspace(0.0, 1.0, 20)
    runs = {"up": times + 0.1 * rng.standard_normal((300, 20)), "down": -times + 0.3 * rng.standard_normal((300, 20))}
    x_o = np.where(np.arange(20) == 4, np.nan, times)
    figure: Any = plots.predictive(runs, x_o, axis=(times, "time / s"), labels=["height / m"])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["up", "down", "bands: 5-95 % of runs; lines: medians", "observed"]
    [ax] = figure.axes
    for x, colour, band in zip(runs.values(), (BLUE, RED), ax.collections, strict=True):
        [median] = lines(ax, colour)
        np.testing.assert_allclose(median.get_ydata(), np.median(x, axis=0))
        assert to_hex(band.get_facecolor()[0]) == colour
        edge = np.asarray(band.get_paths()[0].vertices)[:, 1]
        assert edge.max() == pytest.approx(np.quantile(x, 0.95, axis=0).max())
    [points] = lines(ax, OBSERVED)
    np.testing.assert_array_equal(points.get_ydata(), x_o)
    own = {"up": times, "down": -times}
    figure = plots.predictive(runs, own)
    [ax] = figure.axes
    assert not lines(ax, OBSERVED)
    for name, colour in (("up", BLUE), ("down", RED)):
        _, points = lines(ax, colour)
        np.testing.assert_array_equal(points.get_ydata(), own[name])
    assert "points: observed" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("kind", ["coordinates", "set"])
@pytest.mark.parametrize("shared", [True, False])
def test_coordinates_and_sets_of_several(kind: str, shared: bool) -> None:
    rng = np.random.default_rng(3)
    shape = (200, 2) if kind == "coordinates" else (200, 30, 2)
    runs = {"one": rng.standard_normal(shape), "two": 2 + rng.standard_normal(shape)}
    x_o = {name: x[0] for name, x in runs.items()}
    figure: Any = plots.predictive(runs, x_o["one"] if shared else x_o, prior_x=rng.normal(0, 4, shape), kind=kind)
    assert len(figure.axes) == 2
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:2] == ["one", "two"]
    assert texts[-1] == "prior"
    assert ("observed" in texts) == shared
    assert bool(lines(figure.axes[0], OBSERVED)) == shared
    if kind == "coordinates":
        for mean, colour in ((0.0, BLUE), (2.0, RED)):
            x, y = max((line.get_data() for line in lines(figure.axes[0], colour)), key=lambda line: len(line[0]))
            # Silverman's kernel of 200 normal draws: mean within three standard errors.
            assert np.sum(np.multiply(x, y)) / np.sum(y) == pytest.approx(mean, abs=0.25)


@pytest.mark.parametrize("draw", [plots.ladder, plots.temperature, plots.coverage, plots.predictive_position])
def test_none_is_refused(draw: Any) -> None:
    with pytest.raises(ValueError, match="0 posteriors; a readable picture has 1 to 5"):
        draw({})


def test_more_than_five_are_refused() -> None:
    with pytest.raises(ValueError, match="6 posteriors; a readable picture has 1 to 5"):
        plots.ladder({str(k): DRAWS["one"] for k in range(6)})


def test_observations_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"different shapes \(p: \(2,\), q: \(3,\)\)"):
        plots.predictive({"p": np.zeros((9, 2)), "q": np.zeros((9, 3))}, {"p": np.zeros(2), "q": np.zeros(3)})
