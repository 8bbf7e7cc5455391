"""Gaussian processes in `fit_mean`: where rows are few they are taken, and only where they predict better."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.learning.coordinates import best_coordinates
from genbayes.learning.folds import Folds
from genbayes.learning.kernel_regression import bumps
from genbayes.learning.means import FittedMean, _is_process_better, fit_mean
from genbayes.learning.polynomial_means import RegressionData
from genbayes.learning.process_means import ProcessMean, processes_fitted
from genbayes.learning.ridge import RidgeResidual
from genbayes.learning.shared_noise import SharedNoise

TIMES = np.linspace(0, 6, 25)


def oscillation(theta: np.ndarray) -> np.ndarray:
    """A damped oscillation of unknown frequency: no polynomial of a degree that 200 rows allow."""
    frequency, damping = theta[:, 0, None], theta[:, 1, None]
    return 2 * np.exp(-damping * TIMES) * np.cos(frequency * TIMES)


def fitted(theta: np.ndarray, labels: np.ndarray, *, processes: bool = False) -> FittedMean:
    config = gb.FitConfig(max_epochs=20)
    theta, labels = theta.astype(np.float32), labels.astype(np.float32)
    return fit_mean(
        theta,
        labels,
        Folds.make(np.arange(len(theta)), config, 0),
        config,
        standardise=best_coordinates(theta, labels).standardise,
        noise=SharedNoise.independent(len(theta)),
        rng=np.random.default_rng(0),
        name="test",
        progress=False,
        for_processes=labels if processes else None,
    )


def error(fit: FittedMean, low: list[float], high: list[float], truth) -> float:
    grid = np.random.default_rng(9).uniform(low, high, (1000, len(low)))
    predicted = jax.jit(jax.vmap(fit.ensemble.mean_of_members))(jnp.asarray(grid, jnp.float32))
    return float(np.sqrt(np.mean((np.asarray(predicted) - truth(grid)) ** 2)))


def test_an_oscillation_of_unknown_frequency_is_learned_from_200_runs() -> None:
    low, high = [0.5, 0.05], [3.0, 1.0]
    rng = np.random.default_rng(0)
    theta = rng.uniform(low, high, (200, 2))
    labels = oscillation(theta) + 0.1 * rng.standard_normal((200, 25))
    with_process, without = fitted(theta, labels, processes=True), fitted(theta, labels)
    assert isinstance(with_process.ensemble, ProcessMean)
    assert isinstance(without.ensemble, RidgeResidual)
    # Noise of 0.1 in 200 rows of some 40 effective parameters leaves 0.1 sqrt(40 / 200) = 0.045; twice that.
    assert error(with_process, low, high, oscillation) < 0.09
    assert error(without, low, high, oscillation) > 1.5 * error(with_process, low, high, oscillation)
    # Rows left out show the noise and no less, where the process itself follows its rows.
    assert with_process.left_out is not None
    deviation = np.std(labels - with_process.left_out)
    assert 0.1 < deviation < 0.17


def test_means_of_almost_exact_runs_are_rounded_by_little() -> None:
    """The weights of 600 rows almost without noise cancel in their sum: in single precision that must not show.

    With a jitter of 1e-9 rounding made 6e-4 standard deviations of the outputs; one as large as the least noise, which
    their projection on 512 centres has, leaves 1.4e-4.
    """
    rng = np.random.default_rng(3)
    theta = np.column_stack([rng.uniform(0.2, 2.0, 600), rng.lognormal(0, 0.5, 600), rng.integers(0, 4, 600)])
    outputs = theta[:, 1:2] * np.exp(-theta[:, :1] * TIMES[:9]) * (1 + 0.3 * theta[:, 2:])
    labels = outputs + 1e-3 * rng.standard_normal(outputs.shape)
    coordinates = best_coordinates(theta.astype(np.float32), labels.astype(np.float32)).standardise
    folds = Folds.make(np.arange(600), gb.FitConfig(members=2), 0)
    data = RegressionData.of(theta, labels, folds, coordinates)
    made = processes_fitted(data, SharedNoise.independent(600))
    assert made is not None
    one = made.ensemble.merged()
    double = {name: np.asarray(getattr(one, name), np.float64) for name in ("centres", "lengths", "weights", "slopes")}
    z = np.asarray(jax.vmap(one.standardise)(jnp.asarray(theta, jnp.float32)), np.float64)
    near = bumps(z / double["lengths"], double["centres"])
    latent = np.asarray(one.intercept, np.float64) + z @ double["slopes"].T + near @ double["weights"]
    warps = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), one.warps)
    exact = warps.mean_of_rows(np.asarray(one.middle, np.float64) + latent @ np.asarray(one.axes, np.float64).T)
    rounded = np.asarray(jax.vmap(one)(jnp.asarray(theta, jnp.float32)), np.float64)
    share = np.sqrt(np.mean((rounded - exact) ** 2, axis=0)) / labels.std(axis=0)
    assert np.max(share) < 2.5e-4


def test_a_straight_line_needs_no_process() -> None:
    rng = np.random.default_rng(1)
    theta = rng.uniform(-1, 1, (300, 3))
    labels = theta @ rng.standard_normal((3, 5)) + 0.3 * rng.standard_normal((300, 5))
    fit = fitted(theta, labels, processes=True)
    assert isinstance(fit.ensemble, RidgeResidual)
    assert fit.left_out is None


def test_members_do_not_see_the_rows_that_they_hold_out() -> None:
    rng = np.random.default_rng(2)
    theta = rng.uniform([0.5, 0.05], [3.0, 1.0], (150, 2))
    labels = oscillation(theta) + 0.1 * rng.standard_normal((150, 25))
    ensemble = fitted(theta, labels, processes=True).ensemble
    squares: dict[str, list[np.floating]] = {"seen": [], "held out": []}
    for member, held_out in enumerate(Folds.make(np.arange(150), gb.FitConfig(), 0).validation):
        module = jax.tree.map(lambda leaf, member=member: leaf[member], ensemble)
        left = labels - np.asarray(jax.vmap(module)(jnp.asarray(theta, jnp.float32)))
        squares["held out"].append(np.mean(left[held_out] ** 2))
        squares["seen"].append(np.mean(np.delete(left, held_out, axis=0) ** 2))
    # Some 20 effective parameters in 135 rows: 1 - 20 / 135 of the noise is left of rows seen, 1 + 20 / 135 of others.
    assert np.mean(squares["held out"]) > 1.1 * np.mean(squares["seen"])


def test_counts_of_an_epidemic_are_regressed_where_their_noise_is_even() -> None:
    rng = np.random.default_rng(5)
    low, high = [0.5, 20.0], [3.0, 200.0]
    theta = rng.uniform(low, high, (200, 2))

    def wave(values: np.ndarray) -> np.ndarray:
        return values[:, 1, None] * np.exp(-((TIMES - values[:, 0, None] * 2) ** 2))

    labels = rng.poisson(wave(theta)).astype(float)
    fit = fitted(theta, labels, processes=True)
    assert isinstance(fit.ensemble, ProcessMean)
    assert fit.ensemble.is_multiplicative
    # The noise of a count of up to 200 is up to 14, on average over rows and times 4.5.
    assert error(fit, low, high, wave) < 4.5
    assert error(fitted(theta, labels), low, high, wave) > 4.5


def test_outputs_that_never_change_and_integer_parameters_are_no_obstacle() -> None:
    # A count that is 0 in every run, and parameters of which many runs share the value.
    rng = np.random.default_rng(4)
    theta = np.stack([rng.integers(0, 6, 200), rng.integers(0, 5, 200)], axis=1).astype(float)
    labels = rng.poisson(np.exp(np.sin(2 * theta[:, :1]) + np.cos(2 * theta[:, 1:] + np.arange(6)) + 1)).astype(float)
    labels[:, 2] = 0.0
    fit = fitted(theta, labels, processes=True)
    predicted = np.asarray(jax.vmap(fit.ensemble.mean_of_members)(jnp.asarray(theta, jnp.float32)))
    assert np.all(np.isfinite(predicted))
    np.testing.assert_allclose(predicted[:, 2], 0.0, atol=1e-6)
    process = processes_fitted(
        RegressionData.of(
            theta.astype(np.float32),
            labels,
            Folds.make(np.arange(200), gb.FitConfig(), 0),
            best_coordinates(theta.astype(np.float32), labels).standardise,
        ),
        SharedNoise.independent(200),
    )
    assert process is not None
    assert np.all(np.isfinite(process.errors))


@pytest.mark.parametrize("certain", [True, False])
def test_certainty_is_asked_of_many_rows_alone(certain: bool) -> None:
    rng = np.random.default_rng(6)
    theta, labels = (rng.standard_normal((300, 1)).astype(np.float32) for _ in range(2))
    folds = Folds.make(np.arange(300), gb.FitConfig(), 0)
    data = RegressionData.of(theta, labels, folds, best_coordinates(theta, labels).standardise)
    m = len(data.held_out)
    # Logarithms of squared errors that are smaller by one standard error of their mean.
    gains = np.resize([1.0, -1.0], m) + 1 / np.sqrt(m)
    errors, others = np.exp(-gains / 2)[:, None], np.ones((m, 1))
    assert _is_process_better(errors, others, labels, data, SharedNoise.independent(300), certain) != certain


def test_a_process_of_all_outputs_races_what_the_others_leave_of_all() -> None:
    rng = np.random.default_rng(7)
    theta = rng.standard_normal((200, 1)).astype(np.float32)
    # The labels are the first of two orthonormal directions; the signal of the second is left to the process.
    outputs = np.stack([theta[:, 0], 3 * np.sin(5 * theta[:, 0])], axis=1)
    folds = Folds.make(np.arange(200), gb.FitConfig(), 0)
    data = RegressionData.of(theta, outputs[:, :1], folds, best_coordinates(theta, outputs).standardise)
    rows = folds.validation.reshape(-1)
    others = 0.1 * rng.standard_normal((len(rows), 1))
    noise = SharedNoise.independent(200)
    # Of the two outputs it leaves 0.2 each, others 0.1 of the first and 2 of the second.
    assert _is_process_better(0.2 * rng.standard_normal((len(rows), 2)), others, outputs, data, noise, True)
    assert not _is_process_better(np.full((len(rows), 2), 6.0), others, outputs, data, noise, True)
