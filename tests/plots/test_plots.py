import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import genbayes as gb
from genbayes import plots
from genbayes.checks.accuracy import accuracy
from genbayes.costs.records import units_of
from genbayes.plots.predictions import rank_of
from genbayes.runtime.figure_style import density, density_2d, window
from genbayes.runtime.formatting import number

make_run = runpy.run_path(str(Path(__file__).parents[1] / "plot_data.py"))["make_run"]


@pytest.fixture(scope="module")
def run():
    return make_run()


def texts(figure):
    """All texts that the figure shows."""
    import matplotlib.text

    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def panels(figure) -> list[Any]:
    """The axes of a figure, untyped: what matplotlib's stubs say of lines and patches is too wide to check."""
    return list(figure.axes)


# --- densities and contours


def test_density_is_the_kernel_density_and_integrates_to_one():
    values = np.random.default_rng(0).standard_normal(4000)
    grid = np.linspace(-5, 5, 1001)
    estimate = density(values, grid)
    assert np.trapezoid(estimate, grid) == pytest.approx(1, abs=1e-3)
    # Silverman at n = 4000: h = 0.17; bias h^2/2 |phi''(0)| = 0.006, standard deviation sqrt(0.28 0.4 / (n h)) = 0.013.
    assert estimate[500] == pytest.approx(1 / np.sqrt(2 * np.pi), abs=0.05)


def test_density_keeps_the_mass_at_a_bound():
    values = np.random.default_rng(0).uniform(0, 1, 4000)
    grid = np.linspace(-0.2, 1.2, 1401)
    estimate = density(values, grid, (0.0, 1.0))
    assert np.trapezoid(estimate, grid) == pytest.approx(1, abs=5e-3)
    assert np.all(estimate[grid < -1e-9] == 0)
    # Without the reflection the density at the bound would be one half; n h = 250, so one s.d. is about 0.05.
    assert estimate[200] == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("correlation", [0.0, 0.95])
def test_contours_hold_the_stated_mass_and_the_area_of_a_gaussian(correlation):
    rng = np.random.default_rng(1)
    x, noise = rng.standard_normal((2, 20_000))
    y = correlation * x + np.sqrt(1 - correlation**2) * noise
    free = (-np.inf, np.inf)
    u, v, smooth, levels = density_2d(x, y, free, free)
    for level, mass in zip(levels, (0.9, 0.5), strict=True):
        area = np.sum(smooth >= level) * (u[1] - u[0]) * (v[1] - v[0])
        exact = -2 * np.pi * np.log(1 - mass) * np.sqrt(1 - correlation**2)
        assert area == pytest.approx(exact, rel=0.12)  # bins: 1 cell in 20 along the rim; kernel: a few per cent
    inside = smooth[np.digitize(y, (v[1:] + v[:-1]) / 2), np.digitize(x, (u[1:] + u[:-1]) / 2)] >= levels[0]
    assert inside.mean() == pytest.approx(0.9, abs=0.01)


def test_window_stays_inside_the_bounds_and_holds_the_truth():
    values = np.random.default_rng(0).uniform(0, 1, 1000)
    low, high = window(values, (0.0, 10.0), include=3.0)
    assert low == 0.0
    assert 3.0 < high < 10.0


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.00"), (0.03413, "0.0341"), (26.83, "26.8"), (12345.6, "12,346"), (1.5e-7, "1.50e-07")]
)
def test_number_is_readable(value, text):
    assert number(value) == text


# --- pair


@pytest.mark.parametrize("dim", [1, 2, 3, 6, 10])
def test_pair_and_profiles_draw_every_number_of_parameters(dim):
    run = make_run(dim, n=400)
    figure = plots.pair(run.draws, run.prior, run.truth)
    assert len(panels(figure)) == dim * (dim + 1) // 2
    figure.canvas.draw()
    profiles = plots.cost_profiles(run.posterior, run.draws, n_grid=10)
    assert len(panels(profiles)) == dim
    profiles.canvas.draw()


def test_pair_states_how_much_narrower_the_posterior_is(run):
    figure = plots.pair(run.draws, run.prior)
    prior, theta = run.prior.sample(20_000, seed=0)[:, 0], run.draws.flat[:, 0]
    ratio = np.ptp(np.quantile(prior, [0.05, 0.95])) / np.ptp(np.quantile(theta, [0.05, 0.95]))
    assert f"{number(ratio, 2)}× narrower" in texts(figure)
    centre = run.draws.flat.mean(axis=0)
    twice = SimpleNamespace(flat=centre + 2 * (run.draws.flat - centre), names=run.draws.names)
    assert f"{number(ratio, 2)}× narrower" not in texts(plots.pair(twice, run.prior))


def test_pair_shows_the_posterior_range_the_truth_and_chosen_parameters(run):
    figure = plots.pair(run.draws, run.prior, run.truth, parameters=["prey_0", "prey_birth"])
    assert {"prey_0", "prey_birth"} <= set(texts(figure))
    assert "predator_0" not in texts(figure)
    low, high = panels(figure)[0].get_xlim()
    values = run.draws.flat[:, 4]
    assert low < np.quantile(values, 0.01) < np.quantile(values, 0.99) < high
    assert high - low < 3 * np.ptp(np.quantile(values, [0.01, 0.99]))
    assert low < run.truth[4] < high


def test_pair_shows_the_prior_bound_when_draws_reach_it(run):
    rng = np.random.default_rng(0)
    draws = SimpleNamespace(flat=np.abs(rng.standard_normal((500, 2))), names=("a", "b"))
    prior = SimpleNamespace(
        bounds=np.array([[0.0, 5.0]] * 2), sample=lambda n, seed: np.random.default_rng(seed).uniform(0, 5, (n, 2))
    )
    figure = plots.pair(draws, prior)
    assert "prior bound" in texts(figure)
    assert any(np.allclose(line.get_xdata(), 0.0) for line in panels(figure)[0].lines)
    assert "prior bound" not in texts(plots.pair(run.draws, run.prior))


def test_pair_of_constant_or_few_draws_does_not_fail():
    plots.pair(SimpleNamespace(flat=np.ones((300, 2)), names=("a", "b"))).canvas.draw()
    plots.pair(SimpleNamespace(flat=np.ones((1, 3)), names=("a", "b", "$c_1^{2$"))).canvas.draw()


def test_pair_refuses_what_it_cannot_show(run):
    with pytest.raises(ValueError, match=r"parameters \['wolves'\] not found"):
        plots.pair(run.draws, parameters=["wolves"])
    with pytest.raises(ValueError, match="20 parameters are too many"):
        plots.pair(make_run(20, n=60).draws)
    with pytest.raises(ValueError, match=r"truth has shape \(2,\)"):
        plots.pair(run.draws, truth=[1.0, 2.0])


# --- cost profiles


def test_cost_profiles_follow_the_cost_in_one_call(run):
    calls = []

    class _Watched(gb.GibbsPosterior):
        def cost_at(self, theta):
            calls.append(np.shape(theta))
            return super().cost_at(theta)

    posterior = _Watched(run.prior, run.posterior.cost, run.x_o, 50.0)
    figure = plots.cost_profiles(posterior, run.draws, n_grid=25)
    assert calls == [(6, 9, 25, 6)]
    best = run.draws.flat[np.argmin(run.draws.cost)]
    for j, ax in enumerate(panels(figure)):
        thick = max(ax.lines, key=lambda line: line.get_linewidth())
        points = np.tile(best, (25, 1))
        points[:, j] = thick.get_xdata()
        exact = 0.3 + 8 * ((np.log(points) - np.log(run.truth)) ** 2).sum(axis=1)
        np.testing.assert_allclose(thick.get_ydata(), exact, rtol=1e-4)  # float32
        assert ax.get_xlabel() == run.draws.names[j]
    assert "predicted cost (squared log counts)" in texts(figure)


def test_a_steep_profile_does_not_hide_the_valley_of_another_parameter():
    """Costs 1000 (a - b)^2 + c^2: along a and b they rise to thousands, while draws, of beta 1, know c within 0.7."""
    prior = gb.Prior.uniform([-4.0] * 3, [4.0] * 3, names=["a", "b", "c"])
    cost = gb.Cost.exact(
        lambda theta, x: 1000 * (theta[0] - theta[1]) ** 2 + (theta[2] - x[0]) ** 2,
        names=prior.names,
        x_shape=(1,),
        units="m",
    )
    rng = np.random.default_rng(0)
    ridge = rng.uniform(-1, 1, (400, 1)) + 0.02 * rng.standard_normal((400, 2))
    theta = np.concatenate([ridge, 0.7 * rng.standard_normal((400, 1))], axis=1).astype(np.float32)
    costs = 1000 * (theta[:, 0] - theta[:, 1]) ** 2 + theta[:, 2] ** 2
    draws = gb.Draws(theta.reshape(4, 100, 3), costs.reshape(4, 100), prior.names, 1.0, np.zeros(1), "SMC", 0)
    ax = panels(plots.cost_profiles(gb.GibbsPosterior(prior, cost, np.zeros(1), 1.0), draws))[2]
    thick = max(ax.lines, key=lambda line: line.get_linewidth())
    low, high = ax.get_ylim()
    assert np.ptp(thick.get_ydata()) > 0.2 * (high - low)
    # All but few draws are in sight.
    assert low < costs.min() < np.quantile(costs, 0.95) < high


# --- predictive


def test_rank_is_the_share_of_outputs_below_the_observation(run):
    x, x_o = run.check.x[:, ::4, 0], run.x_o[::4, 0]
    figure = plots.predictive(x, x_o)
    for j, ax in enumerate(panels(figure)):
        assert ax.get_title() == f"{100 * np.mean(x[:, j] < x_o[j]):.0f} % below observed"
    moved = plots.predictive(x, x_o + 100)
    assert all(ax.get_title() == "100 % below observed" for ax in panels(moved))
    assert panels(moved)[0].get_xlim()[1] > x_o[0] + 100
    np.testing.assert_allclose(rank_of(np.array([[0.0], [1.0], [1.0], [2.0]]), np.array([1.0])), 0.5)


def test_series_bands_are_the_quantiles(run):
    years = 1900 + np.arange(21)
    figure = plots.predictive(run.check, run.x_o, axis=(years, "year"), labels=["hares", "lynx"])
    ax = panels(figure)[1]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("year", "lynx")
    median = next(line for line in ax.lines if line.get_label() == "median")
    np.testing.assert_allclose(median.get_ydata(), np.median(run.check.x[:, :, 1], axis=0))
    observed = next(line for line in ax.lines if line.get_label() == "observed")
    np.testing.assert_array_equal(observed.get_xydata(), np.stack([years, run.x_o[:, 1]], axis=1))
    band = next(patch for patch in ax.collections if patch.get_label() == "re-simulated 5-95 %")
    vertices = band.get_paths()[0].vertices
    low, high = np.quantile(run.check.x[:, 7, 1], [0.05, 0.95])
    np.testing.assert_allclose([vertices[vertices[:, 0] == 1907, 1].min(), vertices[:, 1].max()][0], low, rtol=1e-6)
    np.testing.assert_allclose(vertices[vertices[:, 0] == 1907, 1].max(), high, rtol=1e-6)
    assert "2 failed runs left out" in texts(figure)


def test_predictive_counts_failed_runs_and_shows_the_prior(run):
    x = run.check.x.copy()
    x[:3, 0, 0] = np.nan
    figure = plots.predictive(x, run.x_o, prior_x=run.simulations.x[run.simulations.ok])
    assert {"3 failed runs left out", "prior 5-95 %"} <= set(texts(figure))


def test_sets_show_histograms_of_one_run_each():
    rng = np.random.default_rng(0)
    x, x_o = rng.standard_normal((100, 40, 2)), rng.standard_normal((40, 2))
    figure = plots.predictive(x, x_o, kind="set", prior_x=3 * x)
    assert len(panels(figure)) == 3
    mean = next(patch for patch in panels(figure)[0].patches if patch.get_label() == "mean")
    values, edges, _ = mean.get_data()
    np.testing.assert_allclose(values, np.histogram(x[:, :, 0], edges)[0] / x[:, :, 0].size)
    assert len(panels(plots.predictive(x[:, :, 0], x_o[:, 0], kind="set"))) == 1


@pytest.mark.parametrize("shape", [(), (1,), (5,), (12,), (13,), (200,), (21, 1), (21, 5)])
def test_predictive_takes_every_shape(shape):
    rng = np.random.default_rng(0)
    plots.predictive(rng.standard_normal((30, *shape)), rng.standard_normal(shape)).canvas.draw()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x_o": np.zeros(4)}, r"x has shape \(9, 3\); expected .* x_shape \(4,\)"),
        ({"labels": ["a"]}, "labels has 1 names"),
        ({"kind": "violin"}, "kind is 'violin'"),
        ({"check_or_x": np.full((9, 3), np.nan)}, "no finite output"),
        ({"kind": "series", "axis": np.arange(2)}, r"axis has shape \(2,\)"),
        ({"check_or_x": np.zeros((9, 3, 13)), "x_o": np.zeros((3, 13))}, "13 panels are too many"),
        ({"check_or_x": np.zeros((9, 3, 2, 2)), "x_o": np.zeros((3, 2, 2))}, r"series has shape \(T,\) or \(T, C\)"),
    ],
)
def test_predictive_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.predictive(**{"check_or_x": np.zeros((9, 3)), "x_o": np.zeros(3), **arguments})


# --- training, accuracy, ladder


def test_training_marks_the_epoch_that_was_kept(run):
    figure = plots.training(run.posterior.cost)
    record = run.posterior.cost.fit[0]
    dots = [line.get_xydata()[0] for line in panels(figure)[0].lines if len(line.get_xdata()) == 1]
    np.testing.assert_allclose(dots, [[25, record.validation_loss[k, 25]] for k in range(3)])
    train = next(line for line in panels(figure)[0].lines if line.get_label() == "training")
    np.testing.assert_array_equal(train.get_xydata(), np.stack([np.arange(1, 41), record.train_loss[0]], axis=1))
    assert panels(figure)[0].get_yscale() == "log"
    assert "mean, 3 networks" in texts(figure)
    negative = replace(record, validation_loss=record.validation_loss - 1)
    assert panels(plots.training(replace(run.posterior.cost, fit=(negative,))))[0].get_yscale() == "linear"
    with pytest.raises(ValueError, match="no record of a fit"):
        plots.training(replace(run.posterior.cost, fit=()))


def test_accuracy_is_computed_right():
    predicted = np.arange(1.0, 101.0)
    simulated = 2 * predicted + np.tile([1.0, -1.0], 50)
    result = accuracy(predicted[::-1], simulated[::-1])
    np.testing.assert_allclose(result.centres, 5.5 + 10 * np.arange(10))
    np.testing.assert_allclose(result.means, 2 * (5.5 + 10 * np.arange(10)))
    np.testing.assert_allclose(result.errors[0], np.std(simulated[:10], ddof=1) / np.sqrt(10))
    assert result.relative == pytest.approx(-0.5)
    error = np.std(predicted - simulated, ddof=1) / 10 / simulated.mean()
    assert result.relative_error == pytest.approx(error)
    assert result.correlation == pytest.approx(np.corrcoef(predicted, simulated)[0, 1])


def test_cost_accuracy_draws_identity_means_and_noise_floor(run):
    check = run.check
    figure = plots.cost_accuracy(check.predicted, check.simulated, check.replicate, units="mV²")
    lines = {line.get_label(): line for line in panels(figure)[0].lines}
    np.testing.assert_array_equal(*lines["equal"].get_data())
    floor = next(line for label, line in lines.items() if str(label).startswith("distance of two"))
    np.testing.assert_allclose(floor.get_ydata(), check.replicate.mean())
    result = accuracy(check.predicted, check.simulated)
    title = panels(figure)[0].get_title()
    assert f"{100 * result.relative:+.1f} % (± {100 * result.relative_error:.1f})" in title
    assert f"correlation {result.correlation:.2f}" in title
    doubled = panels(plots.cost_accuracy(2 * check.predicted, check.simulated))[0].get_title()
    assert f"{100 * (2 * check.predicted.mean() / check.simulated.mean() - 1):+.1f} %" in doubled
    assert panels(figure)[0].get_xlabel() == "predicted cost (mV²)"


def test_accuracy_refuses_what_it_cannot_compare():
    with pytest.raises(ValueError, match=r"shapes \(3,\), \(4,\)"):
        accuracy(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="only 1 of 3 runs"):
        accuracy(np.ones(3), [1.0, np.nan, np.nan])


def test_ladder_shows_each_stage(run):
    figure = plots.ladder(run.draws)
    np.testing.assert_allclose(panels(figure)[0].lines[0].get_ydata(), run.draws.statistics["beta_ladder"])
    assert len(panels(figure)) == 3
    with pytest.raises(ValueError, match="draws of NUTS have no 'beta_ladder'"):
        plots.ladder(replace(run.draws, statistics={"divergences": np.zeros(4)}, sampler="NUTS"))


def test_without_matplotlib_the_remedy_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install genbayes\[plots\]"):
        plots.pair(run.draws)


def test_no_figure_is_left_in_pyplot(run):
    import matplotlib.pyplot as plt

    plots.ladder(run.draws)
    plots.training(run.posterior.cost)
    assert plt.get_fignums() == []


def test_genbayes_imports_without_matplotlib():
    code = "import sys; sys.modules['matplotlib'] = None; import genbayes.plots, genbayes.reports.page"
    source = str(Path(plots.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize(
    ("units", "label"),
    [("1 (squared multiples of the scale)", "squared multiples of the scale"), ("mV", "mV"), ("1", "dimensionless")],
)
def test_units_read_as_a_label(units, label):
    assert units_of(SimpleNamespace(distance=SimpleNamespace(units=units))) == label
