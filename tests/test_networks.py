"""Standardisers, networks and the ridge fit against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from genbayes.fit_marginal import _atoms, _linear_start, _weights
from genbayes.networks import ResidualMLP, SetEmbedding, Standardiser, TimeSeriesEmbedding, VectorEmbedding
from genbayes.regression import ridge

RNG = np.random.default_rng(0)
RNG = np.random.default_rng(0)


def test_standardiser_gives_mean_0_and_std_1() -> None:
    rows = RNG.normal([5.0, -1e4, 1e-6], [2.0, 10.0, 1e-7], (500, 3)).astype(np.float32)
    z = np.asarray(jax.vmap(Standardiser.fit(rows))(jnp.asarray(rows)))
    # float32 at 1e4 resolves 1e-3, that is 1e-4 standard deviations.
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=2e-4)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=2e-4)


def test_standardiser_takes_logarithms_of_skewed_positive_coordinates_only() -> None:
    lognormal = np.exp(RNG.normal(0, 1.5, 500))
    rows = np.stack([lognormal, -lognormal, RNG.uniform(1, 2, 500), RNG.exponential(size=500) ** 3], axis=1)
    standardiser = Standardiser.fit(rows)
    np.testing.assert_array_equal(standardiser.logarithmic, [1, 0, 0, 1])
    z = np.asarray(jax.vmap(standardiser)(jnp.asarray(rows, jnp.float32)))
    logs = np.log(lognormal)
    np.testing.assert_allclose(z[:, 0], (logs - logs.mean()) / logs.std(), atol=1e-4)
    assert not np.any(Standardiser.fit(rows, allow_log=False).logarithmic)
    assert np.all(np.isfinite(standardiser(jnp.array([0.0, 0.0, 0.0, -1.0]))))


@pytest.mark.parametrize("constant", [0.0, 0.1, -3.3, 1e-20, 7.0])
def test_a_constant_coordinate_keeps_its_units(constant: float) -> None:
    # Equal numbers may have a float64 standard deviation of 1e-17, and dividing by that turns rounding into 1e9.
    rows = np.stack([np.full(1000, constant, np.float32), RNG.normal(size=1000).astype(np.float32)], axis=1)
    standardiser = Standardiser.fit(rows)
    assert standardiser.std[0] == 1
    assert abs(float(standardiser(jnp.asarray(rows[0]))[0])) < 1e-6
    assert float(standardiser(jnp.asarray(rows[0] + [1, 0], jnp.float32))[0]) == pytest.approx(1, rel=1e-5)


def test_standardisers_are_not_trained() -> None:
    standardiser = Standardiser.fit(RNG.normal(size=(50, 2)))
    gradient = jax.grad(lambda module: jnp.sum(module(jnp.ones(2)) ** 2))(standardiser)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_residual_mlp_starts_at_zero_and_can_leave_it() -> None:
    network = ResidualMLP(3, 2, 16, 2, rng=RNG)
    np.testing.assert_array_equal(network(jnp.array([1.0, -2.0, 30.0])), [0, 0])
    gradient = jax.grad(lambda module: jnp.sum(module(jnp.ones(3))))(network)
    assert float(jnp.max(jnp.abs(gradient.last.weight))) > 0.01


def test_set_embedding_reads_sets_in_any_order_and_number() -> None:
    x = RNG.normal(size=(50, 6, 2)).astype(np.float32)
    embedding = SetEmbedding(x, rng=RNG)
    one = embedding(jnp.asarray(x[0]))
    assert one.shape == (embedding.out_size,)
    np.testing.assert_allclose(embedding(jnp.asarray(x[0][::-1].copy())), one, atol=1e-6)
    np.testing.assert_allclose(embedding(jnp.asarray(np.tile(x[0], (3, 1)))), one, atol=1e-6)
    assert float(jnp.max(jnp.abs(embedding(jnp.asarray(x[1])) - one))) > 0.01


def test_vector_embedding_is_linear_nearby_and_bounded_far_out() -> None:
    x = RNG.normal(3.0, 2.0, (500, 4)).astype(np.float32)
    embedding = VectorEmbedding(x, rng=RNG)
    z = (x[0] - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(embedding(jnp.asarray(x[0])), np.arcsinh(z), atol=1e-4)
    assert np.all(np.abs(embedding(jnp.full(4, 1e9))) < 25)
    assert VectorEmbedding(x.reshape(500, 2, 2), rng=RNG)(jnp.zeros((2, 2))).shape == (4,)


@pytest.mark.parametrize("time", [1, 2, 3, 16, 33, 500])
def test_series_embedding_reads_any_length_and_order_matters(time: int) -> None:
    x = RNG.normal(size=(20, time, 3)).astype(np.float32)
    embedding = TimeSeriesEmbedding(x, rng=RNG)
    one = embedding(jnp.asarray(x[0]))
    assert one.shape == (embedding.out_size,)
    assert np.all(np.isfinite(one))
    if time > 1:
        assert float(jnp.max(jnp.abs(embedding(jnp.asarray(x[0][::-1].copy())) - one))) > 1e-3


def by_gcv(z: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Generalized cross-validation from the hat matrix itself, on the penalties of the implementation."""
    n = len(z)
    centred, best = z - z.mean(axis=0), (np.inf, 0.0)
    for penalty in n * np.logspace(-8, 4, 49):
        inverse = np.linalg.inv(centred.T @ centred + penalty * np.eye(z.shape[1]))
        hat = centred @ inverse @ centred.T + 1 / n
        score = np.sum((y - hat @ y) ** 2) / (n - 1.4 * np.trace(hat)) ** 2
        best = min(best, (float(score), float(penalty)))
    return best[1], Ridge(alpha=best[1]).fit(z, y).coef_, best[0]


def test_ridge_is_sklearns_at_the_gcv_penalty() -> None:
    z = RNG.normal(size=(60, 8)) @ RNG.normal(size=(8, 8))
    strong = 4 + z @ RNG.normal(size=8) + 0.1 * RNG.normal(size=60)
    weak = -2 + 0.5 * z[:, 0] + 2 * RNG.normal(size=60)
    intercept, slopes, scale, expected = ridge(z, np.stack([strong, weak], axis=1))
    penalties = []
    for k, y in enumerate((strong, weak)):
        penalty, coefficients, score = by_gcv(z, y)
        penalties.append(penalty)
        np.testing.assert_allclose(slopes[k], coefficients, rtol=1e-6, atol=1e-9)
        residual = y - Ridge(alpha=penalty).fit(z, y).predict(z)
        np.testing.assert_allclose(scale[k], residual.std(), rtol=1e-6)
        np.testing.assert_allclose(intercept[k], y.mean() - coefficients @ z.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(expected[k], 60 * score, rtol=1e-6)
    assert penalties[0] < penalties[1]


def test_ridge_of_noise_is_the_mean_and_of_a_constant_is_exact() -> None:
    z = RNG.normal(size=(2000, 3))
    intercept, slopes, scale, _ = ridge(z, np.stack([np.full(2000, 0.1), z[:, 0] * 0 + 5], axis=1))
    np.testing.assert_allclose(intercept, [0.1, 5], rtol=1e-12)
    np.testing.assert_allclose(slopes, 0, atol=1e-12)
    assert np.all(scale > 0)
    _, slopes, scale, _ = ridge(z, RNG.normal(size=(2000, 1)))
    # Least squares would give slopes of 1 / sqrt(2000) each; four of them.
    assert np.max(np.abs(slopes)) < 4 / np.sqrt(2000)
    np.testing.assert_allclose(scale, 1, atol=4 / np.sqrt(4000))


def test_ridge_recovers_a_line_exactly() -> None:
    z = RNG.normal(size=(100, 2))
    intercept, slopes, _, _ = ridge(z, (3 + z @ [2.0, -1.0])[:, None])
    np.testing.assert_allclose(intercept, [3], rtol=1e-6)
    np.testing.assert_allclose(slopes, [[2, -1]], rtol=1e-6)


def quantile_grid(values: np.ndarray, cells: int) -> np.ndarray:
    return np.quantile(values, np.arange(1, cells) / cells, axis=0, method="inverted_cdf").T


def test_atoms_are_quantiles_within_their_cells() -> None:
    values = np.stack([RNG.normal(size=4000), RNG.exponential(size=4000)], axis=1)
    grid = quantile_grid(values, 10)
    atoms = _atoms(values, grid)
    assert atoms.shape == (2, 10, 8)
    for j in range(2):
        for k in range(9):
            assert np.all(atoms[j, k] <= grid[j, k])
            assert np.all(atoms[j, k + 1] > grid[j, k])
    # Cells hold equal numbers, so the atoms' mean is the mean, but for the tails' last sixteenths.
    np.testing.assert_allclose(atoms.mean(axis=(1, 2)), values.mean(axis=0), atol=0.02)


def test_atoms_of_counts_with_ties_are_the_counts() -> None:
    values = np.stack([RNG.poisson(1.0, 4000), np.full(4000, 3)], axis=1).astype(np.float64)
    grid = quantile_grid(values, 40)
    atoms = _atoms(values, grid)
    below = np.stack([(values <= points).mean(axis=0) for points in grid.T], axis=1)
    weights = np.diff(np.concatenate([np.zeros((2, 1)), below, np.ones((2, 1))], axis=1), axis=1)
    # The law that cells and atoms stand for has the mean and mean absolute deviation from 2 of the values.
    np.testing.assert_allclose(np.sum(weights * atoms.mean(axis=2), axis=1), values.mean(axis=0), atol=0.01)
    away = np.sum(weights * np.abs(atoms - 2).mean(axis=2), axis=1)
    np.testing.assert_allclose(away, np.abs(values - 2).mean(axis=0), atol=0.01)
    assert np.all(atoms[1] == 3)


def test_weights_are_the_widths_of_cells() -> None:
    values = np.stack([RNG.uniform(0, 1, 20000), RNG.uniform(0, 50, 20000), np.full(20000, 0.1)], axis=1)
    weights = np.asarray(_weights(values, quantile_grid(values, 20)))
    # Equal cells of two coordinates that differ in units only; none of a constant one.
    np.testing.assert_allclose(weights[:2], 1 / 38, rtol=0.1)
    assert np.all(weights[2] < 1e-6)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)


def test_linear_start_is_the_distribution_function_of_a_gaussian() -> None:
    z = RNG.normal(size=(4000, 2))
    values = (z @ [1.0, -0.5] + 0.5 * RNG.normal(size=4000))[:, None]
    grid = quantile_grid(values, 20)
    intercept, slopes, scale = _linear_start(z, values, grid, np.arange(4000))
    point = np.array([0.7, -0.4])
    found = 1 / (1 + np.exp(-(intercept + slopes @ point)))
    normal = np.array([0.5 * (1 + float(jax.scipy.special.erf((g - 0.9) / 0.5 / np.sqrt(2)))) for g in grid[0]])
    # The logistic function's 0.0095, and the regression's 1 / sqrt(4000) slopes.
    assert np.max(np.abs(found - normal)) < 0.0095 + 0.03
    np.testing.assert_array_equal(scale, 1)
