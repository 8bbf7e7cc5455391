"""Polynomial features against scipy, and which part of a regression is kept, against least squares."""

from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf, eval_legendre

import genbayes as gb
from genbayes.costs import fit_features
from genbayes.learning import means, row_blocks
from genbayes.learning.folds import Folds
from genbayes.learning.last_layer import last_layers_solved
from genbayes.learning.layers import ResidualMLP, Standardiser, stack
from genbayes.learning.means import FittedMean, fit_mean
from genbayes.learning.network_means import _has_lost, networks_fitted
from genbayes.learning.normal_equations import NormalEquations, equations_of_members
from genbayes.learning.polynomial import Polynomial, degrees
from genbayes.learning.ridge import RidgeResidual, fit_polynomials
from genbayes.learning.shared_noise import SharedNoise
from genbayes.learning.training import FitRecord
from genbayes.runtime.outcome import Outcome

RNG = np.random.default_rng(3)


def test_features_are_products_of_legendre_polynomials(monkeypatch) -> None:
    monkeypatch.setattr(row_blocks, "BLOCK", 999)
    z = np.stack([RNG.uniform(-1.7, 1.7, 3000), RNG.normal(size=3000)], axis=1)
    basis = Polynomial.fit(z, 3)
    low, high = z[:, 0].min(), z[:, 0].max()
    one, two = (z[:, 0] - (low + high) / 2) / ((high - low) / 2), erf(z[:, 1] / np.sqrt(2))
    pairs = [(2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)]
    expected = [*z.T, *(eval_legendre(i, one) * eval_legendre(j, two) for i, j in pairs)]
    features = jax.vmap(basis)(jnp.asarray(z, jnp.float32))
    np.testing.assert_allclose(features, np.stack(expected, axis=1), atol=2e-5)


def test_features_beyond_the_rows_go_on_as_a_straight_line() -> None:
    z = RNG.uniform(-1, 1, (1000, 1))
    basis = Polynomial.fit(z, 4)
    at_end, beyond = (basis(jnp.asarray([value], jnp.float32)) for value in (z.max(), 7.0))
    np.testing.assert_allclose(beyond[1:], at_end[1:], atol=1e-6)
    assert float(beyond[0]) == 7.0


@pytest.mark.parametrize(("dim", "n"), [(1, 10_000), (2, 10_000), (2, 300), (10, 10_000), (40, 10_000)])
def test_degrees_are_as_many_as_the_rows_allow(dim: int, n: int) -> None:
    z = RNG.uniform(-1, 1, (50, dim))
    for degree, size in degrees(dim, n).items():
        assert len(Polynomial.fit(z, degree)(jnp.zeros(dim))) == size
        assert degree == 1 or size <= n / 10
    # Where more runs allowed fewer products, more runs were worse.
    assert degrees(dim, 100 * n).items() >= degrees(dim, n).items()


def test_best_degree_is_the_truths() -> None:
    z = RNG.uniform(-1, 1, (5000, 2))
    folds, noise = Folds.make(np.arange(5000), gb.FitConfig(members=1), 0), SharedNoise.independent(5000)

    def degree_of(labels: np.ndarray) -> int:
        return int(fit_polynomials(Standardiser.fit(z), z, labels, folds, noise).degree_of_each[0])

    straight = (z @ [1.0, 2.0])[:, None]
    curved = straight + z[:, :1] ** 2 * z[:, 1:]
    right = [[degree_of(truth + 0.3 * RNG.normal(size=(5000, 1))) for truth in (straight, curved)] for _ in range(20)]
    # The next degree's 3 or 4 useless features are taken where a chi-squared variable passes 2.8 times its mean (5 %),
    # further ones more rarely: 6 of 20 wrong at 8 % each happen once in 300.
    assert np.all(np.sum(np.array(right) == [1, 3], axis=0) > 14)
    assert np.all(np.array(right) >= [1, 3])


def regressed(theta: np.ndarray, labels: np.ndarray, config: gb.FitConfig, *, corners: bool = True) -> FittedMean:
    folds = Folds.make(np.arange(len(theta)), config, 0)
    theta, labels = theta.astype(np.float32), labels.astype(np.float32)
    return fit_mean(
        theta,
        labels,
        folds,
        config,
        standardise=Standardiser.fit(theta),
        noise=SharedNoise.independent(len(theta)),
        rng=np.random.default_rng(0),
        name="test",
        progress=False,
        corners=corners,
    )


def fitted(theta: np.ndarray, labels: np.ndarray) -> tuple[object, np.ndarray, np.ndarray]:
    ensemble = regressed(theta, labels, gb.FitConfig(members=2)).ensemble
    grid = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (2000, theta.shape[1])), jnp.float32)
    return (
        cast(RidgeResidual, ensemble).network,
        np.asarray(grid),
        np.asarray(jax.vmap(lambda one: ensemble.mean_of_members(one))(grid)),
    )


def test_a_smooth_truth_gets_least_squares_and_no_network() -> None:
    theta = RNG.uniform(-1, 1, (4000, 2))
    noise = 0.5 * RNG.normal(size=(4000, 1))
    network, grid, predicted = fitted(theta, (theta[:, :1] * theta[:, 1:]) + noise)
    assert network is None
    # Least squares on the 5 features of degree 2 and a constant has mean squared error 0.25 * 6 / 4000 = 3.75e-4, a
    # scaled chi-squared of 6 degrees of freedom: below 4 times its mean but once in 1e-3 (degree 3: 10 features).
    assert np.mean((predicted[:, 0] - grid[:, 0] * grid[:, 1]) ** 2) < 4 * 3.75e-4


def test_a_kink_keeps_the_network() -> None:
    theta = RNG.uniform(-1, 1, (4000, 2))
    kink = np.abs(theta[:, :1] + theta[:, 1:])
    network, grid, predicted = fitted(theta, kink + 0.02 * RNG.normal(size=(4000, 1)))
    assert network is not None
    error = np.mean((predicted[:, 0] - np.abs(grid.sum(axis=1))) ** 2)
    # What the best polynomial leaves, fitted without noise to the truth itself.
    features = np.asarray(jax.vmap(Polynomial.fit(theta, 14))(jnp.asarray(grid)), np.float64)
    design = np.concatenate([features, np.ones((len(grid), 1))], axis=1)
    truth = np.abs(grid.sum(axis=1))
    left = truth - design @ np.linalg.lstsq(design, truth, rcond=None)[0]
    assert error < 0.5 * np.mean(left**2)


def test_corners_that_lose_change_nothing(monkeypatch) -> None:
    tried = []

    def networks(*arguments, cornered: float, **named):
        tried.append(cornered)
        return networks_fitted(*arguments, cornered=cornered, **named)

    monkeypatch.setattr(means, "networks_fitted", networks)
    theta = np.random.default_rng(5).uniform(-1, 1, (2000, 6))
    labels = np.sin(2 * theta.sum(axis=1, keepdims=True)) + 0.1 * np.random.default_rng(6).normal(size=(2000, 1))
    config = gb.FitConfig(members=2, width=32, depth=1, max_epochs=25)
    both, smooth = (regressed(theta, labels, config, corners=corners) for corners in (True, False))
    assert (both.lost_corners, smooth.lost_corners) == (True, False)
    assert tried == [0.0, 0.5, 0.0]
    assert both.ensemble.network_share == 1.0
    jax.tree.map(np.testing.assert_array_equal, both.ensemble, smooth.ensemble)


@pytest.mark.parametrize("lost", [True, False])
def test_the_spread_tries_no_corners_where_the_means_lost_them(monkeypatch, lost: bool) -> None:
    corners_of = {}

    def known(*arguments, name: str, **named) -> FittedMean:
        corners_of[name] = named.get("corners", True)
        return fit_mean(*arguments, name=name, **named)._replace(lost_corners=lost)

    monkeypatch.setattr(fit_features, "fit_mean", known)
    theta = RNG.uniform(-1, 1, (200, 1))
    simulations = gb.Simulations.from_arrays(theta, theta + 0.1 * RNG.normal(size=(200, 1)), ["a"])
    gb.fit_cost(simulations, gb.distances.MeanSquaredError(), config=gb.FitConfig(max_epochs=1), progress=False)
    assert corners_of == {"mean features": True, "spread": not lost}


def test_members_that_fell_behind_have_lost_unless_their_best_is_better() -> None:
    def record(losses: list[float]) -> FitRecord:
        best = np.array([int(np.argmin(losses))])
        return FitRecord("test", "loss", np.zeros((1, 1)), np.array([losses]), best, {}, Outcome())

    rival = record([1.0] * 5 + [0.5] * 10)
    assert _has_lost(record([1.0] * 5 + [0.6] * 5), rival)
    assert not _has_lost(record([1.0] * 5 + [0.5] * 5), rival)
    assert not _has_lost(record([1.0, 0.4, 1.0, 1.0, 1.0] + [0.6] * 5), rival)


def test_each_output_gets_what_suits_it() -> None:
    theta = RNG.uniform(-1, 1, (4000, 2))
    truths = [5 * np.abs(theta.sum(axis=1)), theta @ [1.0, -1.0], theta[:, 0] ** 2]
    network, grid, predicted = fitted(theta, np.stack(truths, axis=1) + 0.02 * RNG.normal(size=(4000, 3)))
    assert network is not None
    # Least squares with 3 and with 6 coefficients (a higher degree by chance: 10); a network's noise would be several
    # times that.
    mean_error = np.mean((predicted[:, 1:] - np.stack([grid @ [1.0, -1.0], grid[:, 0] ** 2], axis=1)) ** 2, axis=0)
    assert np.all(mean_error < 2.5 * 0.02**2 * np.array([6, 10]) / 4000)


@pytest.mark.parametrize("whitened", [False, True])
def test_least_squares_in_blocks_is_that_of_all_rows_at_once(monkeypatch, whitened) -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(1000, 6)) + 50.0
    labels = z @ rng.normal(size=(6, 3)) + rng.normal(size=(1000, 3))
    ones = rng.uniform(0.5, 2.0, 1000) if whitened else None
    rows = rng.permutation(1000)[:700]
    at_once = NormalEquations.of(z[rows], labels[rows], None if ones is None else ones[rows])
    by_roots = None if ones is None else NormalEquations.weighted(z / ones[:, None], labels / ones[:, None], ones, rows)
    monkeypatch.setattr(row_blocks, "BLOCK", 64)
    in_blocks = NormalEquations.of(z, labels, ones, rows)
    for other in (in_blocks, in_blocks if by_roots is None else by_roots):
        for one, part in zip((*at_once.solved(6), *at_once[:-1]), (*other.solved(6), *other[:-1]), strict=True):
            np.testing.assert_allclose(part, one, rtol=1e-8)
    equations = NormalEquations.of(z, labels)
    # By numpy: covariances times n - 1.
    both = np.cov(np.concatenate([z, labels], axis=1).T) * 999
    np.testing.assert_allclose(equations.products, both[:6, :6], rtol=1e-10)
    np.testing.assert_allclose(equations.crossed, both[:6, 6:], rtol=1e-9)
    np.testing.assert_allclose(equations.total, np.diag(both)[6:], rtol=1e-10)


def test_members_and_all_rows_have_the_equations_of_their_rows() -> None:
    rng = np.random.default_rng(4)
    z, labels = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    # Of three members that hold out two fifths each, some rows are held out by two.
    train = Folds.make(np.arange(200), gb.FitConfig(members=3, validation_fraction=0.4), 0).train
    read = []

    def of_rows(rows: np.ndarray) -> NormalEquations:
        read.extend(rows)
        return NormalEquations.of(z, labels, rows=rows)

    found = equations_of_members(200, train, of_rows)
    assert sorted(read) == list(range(200))
    for rows, own in zip((np.arange(200), *train), (found.total, *found.members), strict=True):
        for part, expected in zip(own, NormalEquations.of(z[rows], labels[rows]), strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-10, atol=1e-12)


def test_last_layers_in_blocks_of_rows_are_those_of_all_at_once(monkeypatch) -> None:
    rng = np.random.default_rng(5)
    theta = rng.uniform(-1, 1, (700, 2)).astype(np.float32)
    labels = np.abs(theta) + 0.1 * rng.normal(size=(700, 2))
    standardise = Standardiser.fit(theta)
    networks = [ResidualMLP(2, 2, 8, 1, cornered=0.0, rng=rng) for _ in range(2)]
    ensemble = RidgeResidual(
        stack([standardise] * 2),
        stack([Polynomial.fit(standardise.of_rows(theta), 1)] * 2),
        jnp.zeros((2, 2)),
        jnp.zeros((2, 2, 2)),
        jnp.ones((2, 2)),
        stack(networks),
    )
    folds = Folds.make(np.arange(700), gb.FitConfig(members=2), 0)
    noise, alone = SharedNoise.independent(700), np.array([False, False])
    at_once, errors = last_layers_solved(ensemble, theta, labels, folds, noise, left_alone=alone)
    monkeypatch.setattr(row_blocks, "BLOCK", 128)
    in_blocks, errors_in_blocks = last_layers_solved(ensemble, theta, labels, folds, noise, left_alone=alone)
    one, other = at_once.network, in_blocks.network
    assert one is not None
    assert other is not None
    assert np.abs(np.asarray(one.last.weight)).max() > 0.1
    np.testing.assert_allclose(other.last.weight, one.last.weight, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(other.last.bias, one.last.bias, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(errors_in_blocks, errors, atol=1e-4)
