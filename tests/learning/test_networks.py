"""Standardisers, networks and the ridge fit against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from genbayes.learning.embeddings import PairNetwork, SetEmbedding, TimeSeriesEmbedding, VectorEmbedding
from genbayes.learning.layers import ResidualMLP, Standardiser
from genbayes.learning.normal_equations import NormalEquations

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


def test_half_of_the_units_may_be_ramps() -> None:
    network = ResidualMLP(1, 1, 8, 1, cornered=0.5, rng=RNG)
    plain = ResidualMLP(1, 1, 8, 1, rng=np.random.default_rng(1))

    def unit(h: np.ndarray) -> np.ndarray:
        return np.where(np.arange(8) < 4, h / (1 + np.exp(-h)), np.maximum(h, 0.0))

    value = jnp.asarray([0.7])
    (one, two), first = network.blocks[0], np.asarray(network.first(value))
    inner = np.asarray(one.weight) @ unit(first) + np.asarray(one.bias)
    expected = unit(first + np.asarray(two.weight) @ unit(inner) + np.asarray(two.bias))
    np.testing.assert_allclose(network.hidden(value), expected, rtol=1e-5, atol=1e-6)
    assert (plain.smooth, network.smooth) == (8, 4)


def test_set_embedding_reads_sets_in_any_order_and_number() -> None:
    x = RNG.normal(size=(50, 6, 2)).astype(np.float32)
    embedding = SetEmbedding(x, rng=RNG)
    one = embedding(jnp.asarray(x[0]))
    assert one.shape == (embedding.out_size,)
    np.testing.assert_allclose(embedding(jnp.asarray(x[0][::-1].copy())), one, atol=1e-6)
    np.testing.assert_allclose(embedding(jnp.asarray(np.tile(x[0], (3, 1)))), one, atol=1e-6)
    assert float(jnp.max(jnp.abs(embedding(jnp.asarray(x[1])) - one))) > 0.01


def test_vector_embedding_standardises() -> None:
    x = RNG.normal(3.0, 2.0, (500, 4)).astype(np.float32)
    z = (x[0] - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(VectorEmbedding(x, rng=RNG)(jnp.asarray(x[0])), z, atol=1e-4)
    assert VectorEmbedding(x.reshape(500, 2, 2), rng=RNG)(jnp.zeros((2, 2))).shape == (4,)


def pair_network() -> PairNetwork:
    """Of two parameters and outputs of two coordinates, with weights as after training."""
    network = PairNetwork(2, VectorEmbedding(RNG.normal(size=(500, 2)), rng=RNG), 16, 1, rng=RNG)
    weights = jnp.asarray(RNG.normal(size=(1, 16)), jnp.float32)
    return eqx.tree_at(lambda one: one.network.last.weight, network, weights)


def test_pair_network_is_a_softplus_and_a_mean_of_squares() -> None:
    # The network sees the target compressed, the squares as it is.
    network = pair_network()
    for z, embedded in RNG.normal(size=(5, 2, 2)).astype(np.float32):
        value = network.network(jnp.concatenate([z, jnp.arcsinh(embedded)]))[0]
        linear = np.asarray(network.squares(jnp.concatenate([z, embedded])), np.float64)
        expected = np.log1p(np.exp(float(value))) + np.mean(linear**2)
        assert float(network(jnp.asarray(z), jnp.asarray(embedded))) == pytest.approx(expected, rel=1e-5)


def test_pair_network_takes_the_embedding_of_a_set_as_it_is() -> None:
    network = PairNetwork(2, SetEmbedding(RNG.normal(size=(50, 6, 2)), rng=RNG), 16, 1, rng=RNG)
    weights = jnp.asarray(RNG.normal(size=(1, 16)), jnp.float32)
    network = eqx.tree_at(lambda one: one.network.last.weight, network, weights)
    z, embedded = jnp.ones(2), jnp.asarray(3 * RNG.normal(size=32), jnp.float32)
    both = jnp.concatenate([z, embedded])
    expected = jax.nn.softplus(network.network(both)[0]) + jnp.mean(network.squares(both) ** 2)
    assert float(network(z, embedded)) == pytest.approx(float(expected), rel=1e-5)


def test_pair_network_can_be_a_squared_distance_everywhere() -> None:
    # Maps that are differences of coordinates, 16 in all: mean of squares = 16 / 16 * ||z - y||^2.
    network = pair_network()
    weight = jnp.concatenate([4 * jnp.eye(2, 4) - 4 * jnp.eye(2, 4, 2), jnp.zeros((14, 4))])
    network = eqx.tree_at(lambda one: (one.squares.weight, one.squares.bias), network, (weight, jnp.zeros(16)))
    network = eqx.tree_at(lambda one: one.network.last.weight, network, jnp.zeros((1, 16)))
    for scale in (1.0, 1e4):
        z, embedded = jnp.array([0.3, -1.0]), scale * jnp.array([2.0, 1.0])
        expected = float(jnp.sum((z - embedded) ** 2)) + np.log1p(np.exp(float(network.network.last.bias[0])))
        assert float(network(z, embedded)) == pytest.approx(expected, rel=1e-5)


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


def ridge(z: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Intercept, slopes, residual standard deviation, and the mean squared error expected of new rows."""
    equations = NormalEquations.of(z, labels)
    intercept, slopes, expected = equations.solved(z.shape[1])
    return intercept, slopes, equations.residual(slopes), expected


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
