"""A regression over all rows of a store, block by block, is the one over the same rows in memory."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genbayes.learning.folds import Folds
from genbayes.learning.layers import Standardiser
from genbayes.learning.means import fit_mean
from genbayes.learning.normal_equations import NormalEquations
from genbayes.learning.polynomial_means import RegressionData, polynomials_fitted
from genbayes.learning.shared_noise import SharedNoise
from genbayes.learning.streamed_rows import Block, StreamedRows, folds_of_block, joined, training_data
from genbayes.learning.training import FitConfig

CONFIG = FitConfig(members=3, width=8, depth=1, max_epochs=6)
SIZE = 300


def rows(blocks: int, outputs) -> tuple[np.ndarray, np.ndarray, StreamedRows, Folds]:
    """Parameters, labels, all of them as a stream with all blocks in memory, and the folds of all."""
    rng = np.random.default_rng(1)
    theta = rng.uniform(0.2, 1.0, (blocks * SIZE, 2)).astype(np.float32)
    labels = outputs(theta, rng).astype(np.float32)
    made = [folds_of_block(SIZE, CONFIG, 0, number) for number in range(blocks)]
    folds = [one for one in made if one is not None]

    def read(number: int) -> Block:
        part = slice(number * SIZE, (number + 1) * SIZE)
        return Block(theta[part], labels[part], folds[number])

    return theta, labels, StreamedRows(blocks, tuple(range(blocks)), read, seed=0), joined(folds, [SIZE] * blocks)


def smooth(theta, rng):
    return np.stack([theta[:, 0] ** 2, np.sin(3 * theta[:, 1])], axis=1) + 0.1 * rng.normal(size=theta.shape)


def counts(theta, rng):
    return rng.poisson(np.exp(2 + 3 * theta[:, :1]))


def uneven(theta, rng):
    return 5 * theta[:, :1] + np.exp(3 * theta[:, :1] - 3) * rng.normal(size=(len(theta), 1)) - 10


def test_sums_of_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    z, labels, ones = rng.normal(3.0, 1.0, (500, 4)), rng.normal(size=(500, 2)), rng.uniform(0.5, 2.0, 500)
    whole = NormalEquations.of(z, labels, ones)
    parts = [NormalEquations.of(z[part], labels[part], ones[part]) for part in (slice(0, 90), slice(90, 500))]
    for found, wanted in zip(parts[0].joined(parts[1]), whole, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("outputs", "kind"), [(smooth, "plain"), (uneven, "weighted"), (counts, "log link")])
def test_polynomials_of_a_stream_are_those_in_memory(outputs, kind) -> None:
    theta, labels, stream, folds = rows(8, outputs)
    standardise = Standardiser.fit(theta)
    data = RegressionData.of(theta, labels, folds, standardise)
    noise = SharedNoise.independent(len(theta))
    wanted, _ = polynomials_fitted(data, noise, weighted=True)
    found, _ = polynomials_fitted(replace(data, stream=stream), noise, weighted=True)
    assert bool(wanted.weighted) == (kind != "plain")
    np.testing.assert_array_equal(found.degree_of_each, wanted.degree_of_each)
    predicted, expected = (
        np.asarray(jax.vmap(fit.ensemble.mean_of_members)(jnp.asarray(theta)), np.float64) for fit in (found, wanted)
    )
    # Coefficients are kept in single precision. Of a log link the stream takes one more step of an iteration that has
    # come to rest to a thousandth.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(predicted, expected, atol=(1e-3 if kind == "log link" else 2e-6) * scale)


def test_a_stream_is_fitted_better_than_the_part_in_memory() -> None:
    theta, labels, whole, _ = rows(40, smooth)
    kept = (0, 20)
    part = np.concatenate([np.arange(number * SIZE, (number + 1) * SIZE) for number in kept])
    folds = joined([whole.read(number).folds for number in kept], [SIZE] * len(kept))
    truth = smooth(theta, np.random.default_rng(0)) - 0.1 * np.random.default_rng(0).normal(size=theta.shape)
    errors = []
    for stream in (None, replace(whole, of_sample=kept)):
        fitted = fit_mean(
            theta[part],
            labels[part],
            folds,
            CONFIG,
            standardise=Standardiser.fit(theta[part]),
            noise=SharedNoise.independent(len(part)),
            rng=np.random.default_rng(0),
            name="test",
            progress=False,
            stream=stream,
        )
        predicted = jax.vmap(lambda one, fitted=fitted: fitted.ensemble.mean_of_members(one))(theta)
        errors.append(np.sqrt(np.mean((np.asarray(predicted) - truth) ** 2)))
    # Twenty times as many rows: errors 4.5 times smaller where the degree is the same, and half of that at least.
    assert errors[1] < errors[0] / 2.2


def test_networks_see_every_block_before_any_twice_and_never_what_they_hold_out() -> None:
    theta, labels, stream, _ = rows(6, smooth)
    kept = (1, 4)
    stream = replace(stream, of_sample=kept)
    part = np.concatenate([np.arange(number * SIZE, (number + 1) * SIZE) for number in kept])
    folds = joined([stream.read(number).folds for number in kept], [SIZE] * 2)
    made = training_data(lambda theta, labels: theta, theta[part], labels[part], folds, stream)
    held_out = [{tuple(row) for block in stream for row in block.theta[block.folds.validation[k]]} for k in range(3)]
    seen = [set(), set(), set()]
    data, train = made.data, made.train
    assert made.renewed is not None
    for _ in range(3):
        for member in range(3):
            seen[member] |= {tuple(row) for row in data[train[member]]}
            np.testing.assert_array_equal(data[made.validation[member]], theta[part][folds.validation[member]])
        data, train = made.renewed()
    for member in range(3):
        assert not seen[member] & held_out[member]
        assert len(seen[member]) == len(theta) - len(held_out[member])
