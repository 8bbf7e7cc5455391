"""Runs that share random numbers: the law of their noise, and generalised least squares by an independent formula."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.costs.fit_general import _PairLoss
from genbayes.learning.embeddings import PairNetwork, VectorEmbedding
from genbayes.learning.folds import Folds
from genbayes.learning.layers import Standardiser
from genbayes.learning.means import fit_mean
from genbayes.learning.normal_equations import NormalEquations
from genbayes.learning.shared_noise import SharedNoise, grouped
from genbayes.simulations.running import simulate_round

OWN, SIZE = 0.2, 4


def covariance(shared: np.ndarray, own: float) -> np.ndarray:
    """Of the noise of all rows: 1 on the diagonal, 1 - own between rows of a shared unit."""
    block = own * np.eye(SIZE) + (1 - own) * np.ones((SIZE, SIZE))
    whole = np.zeros((len(shared) * SIZE,) * 2)
    for unit, one in enumerate(shared):
        rows = slice(unit * SIZE, (unit + 1) * SIZE)
        whole[rows, rows] = block if one else np.eye(SIZE)
    return whole


def test_whitened_noise_is_independent() -> None:
    shared = np.array([True, False, True])
    noise, units = SharedNoise(SIZE, shared, OWN), np.arange(3)
    matrix = noise.whitened(np.eye(3 * SIZE), units)
    np.testing.assert_allclose(matrix @ covariance(shared, OWN) @ matrix.T, np.eye(3 * SIZE), atol=1e-12)
    np.testing.assert_allclose(noise.constant(units), matrix @ np.ones(3 * SIZE), atol=1e-12)
    # The mutant: another share.
    other = noise.whitened(np.eye(3 * SIZE), units) @ covariance(shared, 0.3) @ matrix.T
    assert np.abs(other - np.eye(3 * SIZE)).max() > 0.1


def test_the_own_share_is_estimated() -> None:
    rng = np.random.default_rng(0)
    shared = np.repeat([True, False], 500)
    common = rng.normal(size=(1000, 1, 2)) * np.where(shared, np.sqrt(1 - OWN), 0)[:, None, None]
    own = rng.normal(size=(1000, SIZE, 2)) * np.where(shared, np.sqrt(OWN), 1)[:, None, None]
    noise = SharedNoise(SIZE, shared)
    found = noise.estimated((common + own).reshape(-1, 2), np.arange(1000))
    # Relative error of a variance of 1500 and one of 500 degrees of freedom, of two outputs: sqrt(2/3000 + 2/1000) =
    # 5 %, times 0.8; four times that.
    assert found.own == pytest.approx(OWN, rel=0.17)
    assert noise.estimated((common + own).reshape(-1, 2)[2000:], np.arange(500, 1000)).own == 1.0
    # The better fit is believed.
    assert replace(noise, own=0.05).estimated((common + own).reshape(-1, 2), np.arange(1000)).own == 0.05


def test_rows_that_share_numbers_stand_together() -> None:
    origin = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2])
    block = np.array([0, 0, 0, 0, 0, 2, 1, 2, 1, 3, 1, 1])
    order, noise = grouped(origin, block)
    assert noise.size == 2
    # Of the prior's five rows one fills no unit; block 3 of round 1 is not whole, and so alone.
    assert order.tolist() == [0, 1, 2, 3, 6, 8, 5, 7, 10, 11]
    assert noise.shared.tolist() == [False, False, True, True, True]
    order, noise = grouped(origin, np.zeros(12, int))
    assert (order.tolist(), noise.size) == (list(range(12)), 1)


def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, SharedNoise]:
    """Two outputs of a line and of a kink, 400 rows alone and 400 in blocks."""
    theta = rng.uniform(-1, 1, (800, 2)).astype(np.float32)
    shared = np.repeat([False, True], 100)
    noise = rng.normal(size=(200, SIZE, 2))
    noise[shared] = np.sqrt(OWN) * noise[shared] + np.sqrt(1 - OWN) * rng.normal(size=(100, 1, 2))
    truth = np.stack([theta @ [1.0, -2.0], np.abs(theta.sum(axis=1))], axis=1)
    return theta, (truth + 0.3 * noise.reshape(-1, 2)).astype(np.float32), SharedNoise(SIZE, shared)


def test_ridge_of_whitened_rows_is_generalised_least_squares() -> None:
    theta, labels, noise = data(np.random.default_rng(1))
    noise = replace(noise, own=OWN)
    ones, features, outputs = noise.design(theta.astype(np.float64), labels.astype(np.float64))
    intercept, slopes, _ = NormalEquations.of(features, outputs, ones).solved(features.shape[1])
    design = np.concatenate([np.ones((800, 1)), theta], axis=1).astype(np.float64)
    inverse = np.linalg.inv(covariance(noise.shared, OWN))
    expected = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse @ labels)
    # Of the line; the slopes of the kink are nearly zero, and shrunk. Up to the penalty that cross-validation chooses.
    np.testing.assert_allclose([intercept[0], *slopes[0]], expected[:, 0], atol=1e-3)
    ordinary = np.linalg.lstsq(design, labels, rcond=None)[0]
    assert np.abs(expected - ordinary)[:, 0].min() > 5e-3


@pytest.mark.slow
def test_a_regression_finds_and_uses_what_rows_share() -> None:
    """A line in 2-d: differences have a tenth of the error of one that takes the rows as independent."""
    theta = np.random.default_rng(2).uniform(-1, 1, (800, 2)).astype(np.float32)
    rng = np.random.default_rng(3)
    shared = np.repeat([False, True], 100)
    common = 0.5 * rng.normal(size=(200, 1)) * shared[:, None]
    alone = np.where(shared[:, None], 0.01, 0.5) * rng.normal(size=(200, SIZE))
    labels = ((theta @ [1.0, -2.0]).reshape(200, SIZE) + common + alone).reshape(-1, 1).astype(np.float32)
    config = gb.FitConfig(members=2, width=16, depth=1, max_epochs=10)
    folds = Folds.make(np.arange(200), config, 0)
    grid = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (500, 2)), jnp.float32)

    def error(noise: SharedNoise, folds: Folds) -> float:
        options = {"standardise": Standardiser.fit(theta), "rng": np.random.default_rng(0), "name": "test"}
        ensemble = fit_mean(theta, labels, folds, config, noise=noise, progress=False, **options).ensemble
        found = np.asarray(jax.vmap(lambda one: ensemble.mean_of_members(one))(grid))[:, 0]
        return float(np.std(found - np.asarray(grid) @ [1.0, -2.0]))

    # Slopes of the 300 differences within blocks: 0.01 / sqrt(300 / 3) each, times sqrt(2 / 3); three times that. The
    # mutant knows them to 0.5 / sqrt(800 / 3).
    assert error(SharedNoise(SIZE, shared), folds) < 3 * 0.01 / np.sqrt(100) * np.sqrt(2 / 3)
    assert error(SharedNoise.independent(800), Folds.make(np.arange(800), config, 0)) > 0.008


def added(key: jax.Array, theta: jax.Array) -> jax.Array:
    return theta + jax.random.normal(key, (2,))


def added_by_numpy(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return theta + rng.normal(size=2)


PRIOR = gb.Prior({"a": dist.Normal(0.0, 1.0), "b": dist.Normal(0.0, 1.0)})


@pytest.mark.slow
@pytest.mark.parametrize(("simulator", "workers"), [(added, 1), (added_by_numpy, 1), (added_by_numpy, 2)])
def test_blocks_of_a_round_share_their_random_numbers(simulator, workers, tmp_path) -> None:
    path = tmp_path / "runs.zarr"
    first = gb.simulate(simulator, PRIOR, 20, seed=3, store=path, progress=False)
    theta = np.random.default_rng(0).normal(size=(13, 2)).astype(np.float32)
    block = np.array([1, 2, 1, 2, 1, 2, 3, 3, 3, 4, 4, 4, 0])
    options = {"seed": 9, "workers": workers, "progress": False}
    made = simulate_round(simulator, first, lambda: theta, 1, noise_block=block, **options)
    noise = made.x - theta
    for number in (1, 2, 3, 4):
        np.testing.assert_allclose(noise[block == number], noise[block == number][:1].repeat(3, axis=0), atol=1e-6)
    assert len(np.unique(np.round(noise, 4), axis=0)) == 5
    # From a store, interrupted after its parameters were written, the same.
    simulate_round(simulator, first, lambda: theta, 1, noise_block=block, store=path, **options)
    again = simulate_round(simulator, first, lambda: theta[:0], 1, store=path, **options)
    np.testing.assert_allclose(again.x, made.x, atol=1e-6)
    np.testing.assert_array_equal(again.noise_block, block)
    whole = gb.Simulations.open(path)
    assert whole.noise_block.tolist() == [0] * 20 + block.tolist()
    whole.save(tmp_path / "copy.zarr")
    assert gb.Simulations.open(tmp_path / "copy.zarr").noise_block.tolist() == whole.noise_block.tolist()
    assert whole.to_xarray().block.values.tolist() == whole.noise_block.tolist()


def test_joined_blocks_stay_apart() -> None:
    rows = gb.Simulations.from_arrays(np.zeros((4, 1)), np.zeros((4, 1)))
    one = replace(rows, round=np.ones(4, np.int32), noise_block=np.array([1, 1, 2, 2], np.int32))
    both = rows.joined(one).joined(one)
    assert both.noise_block.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    numbers = both.noise_id
    assert len(np.unique(numbers)) == 8
    assert numbers[4] == numbers[5] != numbers[6]


@pytest.mark.slow
def test_rows_that_share_numbers_are_never_a_pair() -> None:
    """The loss of a network that is log 2 + (z - target)^2 against the mean over the pairs that may be."""
    x = np.random.default_rng(0).normal(size=(6, 1)).astype(np.float32)
    network = PairNetwork(1, VectorEmbedding(x, rng=np.random.default_rng(0)), 1, 1, rng=np.random.default_rng(0))
    plain = (jnp.zeros(1), jnp.ones(1), jnp.zeros(1), jnp.array([[1.0, -1.0]]), jnp.zeros(1))

    def parts(one: PairNetwork) -> tuple:
        scale = one.embedding.standardise
        return scale.mean, scale.std, scale.logarithmic, one.squares.weight, one.squares.bias

    network = eqx.tree_at(parts, network, plain)

    def distance(one: jax.Array, other: jax.Array) -> jax.Array:
        return jnp.sum(jnp.abs(one - other))

    def loss(noise_id: list[int]) -> float:
        data = (jnp.asarray(x), jnp.asarray(x), jnp.asarray(noise_id), distance, jnp.ones(1), jnp.asarray(1.0))
        return float(eqx.filter_jit(_PairLoss(5, 0))(network, jnp.arange(6), data, jax.random.key(0)))

    def expected(noise_id: list[int]) -> float:
        apart = np.not_equal.outer(noise_id, noise_id)
        d = np.abs(x - x.T)[apart]
        predicted = np.log(2) + d**2 + 1e-3
        return float(np.mean(np.log(predicted) + (d + 1e-3) / predicted))

    for numbers in ([0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 2]):
        assert loss(numbers) == pytest.approx(expected(numbers), rel=1e-5)
    # The mutant pairs all rows.
    assert abs(expected([0, 1, 2, 3, 4, 5]) - expected([0, 0, 0, 1, 1, 2])) > 0.01
