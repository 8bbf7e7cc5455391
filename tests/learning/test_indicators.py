"""Integers as indicators: any function of their values is a linear one."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from genbayes.learning.folds import Folds
from genbayes.learning.layers import Standardiser
from genbayes.learning.polynomial import Polynomial, degrees
from genbayes.learning.ridge import fit_polynomials
from genbayes.learning.shared_noise import SharedNoise
from genbayes.learning.success import fit_success
from genbayes.learning.training import FitConfig

RNG = np.random.default_rng(0)
LEVELS = {0: list(range(1, 9)), 2: [0, 1]}
THETA = np.stack([RNG.integers(1, 9, 2000), RNG.uniform(-1, 1, 2000), RNG.integers(0, 2, 2000)], axis=1).astype(
    np.float32
)


def held_out_error(levels: dict) -> float:
    """Of a jagged function of the first integer times a square, in standard deviations of it."""
    jagged = RNG.permutation(8) - 3.5
    labels = jagged[THETA[:, 0].astype(int) - 1] * (1 + THETA[:, 1] ** 2) + THETA[:, 2]
    standardise = Standardiser.fit(THETA, levels=levels)
    z = np.asarray(jax.vmap(standardise)(jnp.asarray(THETA)), np.float64)
    folds = Folds.make(np.arange(2000), FitConfig(members=2), 0)
    noise = SharedNoise.independent(2000)
    errors = fit_polynomials(standardise, z, labels[:, None], folds, noise).errors
    return float(errors.std() / labels.std())


def test_a_jagged_function_is_learned_by_levels_alone():
    # Single precision and the smallest penalty leave 1e-4; products of powers of the number itself, up to degree 10
    # with so many rows, a tenth of it or more.
    assert held_out_error(LEVELS) < 1e-3
    assert held_out_error({}) > 0.1


def test_every_value_of_an_integer_has_a_straight_line_of_its_own():
    """Also along a normal coordinate, which products of its own degrees bend: least squares for each value say so."""
    rng = np.random.default_rng(1)
    theta = np.stack([rng.integers(1, 7, 1200), rng.normal(size=1200)], axis=1).astype(np.float32)
    # A series jumps by the second parameter after the first one: an offset and a slope for each value, and noise.
    means = np.where(np.arange(1, 8) > theta[:, :1], theta[:, 1:], 0.0)
    labels = means + rng.normal(size=means.shape)
    standardise = Standardiser.fit(theta, levels={0: list(range(1, 7))})
    z = standardise.of_rows(theta)
    folds = Folds.make(np.arange(1200), FitConfig(members=4), 0)
    ensemble = fit_polynomials(standardise, z, labels, folds, SharedNoise.independent(1200)).ensemble
    found = np.asarray(jax.vmap(ensemble.mean_of_members)(jnp.asarray(theta)))
    exact = np.zeros_like(means)
    for value in range(1, 7):
        rows = theta[:, 0] == value
        design = np.stack([np.ones(rows.sum()), theta[rows, 1]], axis=1)
        exact[rows] = design @ np.linalg.lstsq(design, labels[rows], rcond=None)[0]
    # What is left of the noise: 12 coefficients of 1,200 rows. Bent lines of a higher degree leave twice as much.
    assert np.mean((found - means) ** 2) < 1.2 * np.mean((exact - means) ** 2)
    basis = Polynomial.fit(z, 3, standardise.groups)
    np.testing.assert_allclose(jax.vmap(basis)(jnp.asarray(z, jnp.float32)), basis.of_rows(z), atol=1e-4)


def test_products_hold_one_column_of_an_integer_at_most():
    standardise = Standardiser.fit(THETA, levels=LEVELS)
    groups = standardise.groups
    # Eight values by a line and six indicators; two values by the line alone.
    assert groups == ((0, 3, 4, 5, 6, 7, 8),)
    z = np.asarray(jax.vmap(standardise)(jnp.asarray(THETA)), np.float64)
    for degree, size in degrees(9, 2000, groups).items():
        basis = Polynomial.fit(z, degree, groups)
        assert len(basis(jnp.zeros(9))) == size
        powers = np.argmax(np.asarray(basis.chosen), axis=1)
        assert (powers[list(groups[0])].sum(axis=0) <= 1).all()
        columns = [tuple(column) for column in powers.T]
        assert len(set(columns)) == len(columns)
    # Enumerated: at most one of the seven columns, the rest free, of total degree 1 to 3.
    free = [(a, b) for a, b in itertools.product(range(4), repeat=2)]
    expected = sum(1 if g == 0 else 7 for g in (0, 1) for a, b in free if 0 < g + a + b <= 3)
    assert degrees(9, 2000, groups)[3] == expected


def test_integers_alone_end():
    z = np.asarray(jax.vmap(Standardiser.fit(THETA[:, :1], levels={0: LEVELS[0]}))(jnp.asarray(THETA[:, :1])))
    assert degrees(z.shape[1], 2000, (tuple(range(7)),)) == {1: 7}


def test_a_value_without_rows_is_what_a_line_says():
    rows = THETA[THETA[:, 0] < 8]
    standardise = Standardiser.fit(rows, levels=LEVELS)
    z = np.asarray([standardise(jnp.array([k, 0.0, 0.0])) for k in (7.0, 8.0, 9.0)])
    # No indicator of 8: all are as at 9, and the line goes on.
    np.testing.assert_allclose(z[1, 3:], z[2, 3:])
    np.testing.assert_allclose(z[2, 0] - z[1, 0], z[1, 0] - z[0, 0], rtol=1e-5)


def test_success_by_levels():
    """Runs fail at 3 and 6 alone, which no smooth function of the number says."""
    works = ~np.isin(THETA[:, 0], [3, 6])
    model, _ = fit_success(THETA, works, seed=0, levels=LEVELS, config=FitConfig(members=2, width=8, max_epochs=2))
    found = np.exp([model.log_probability(jnp.array([k, 0.0, 1.0])) for k in range(1, 9)])
    np.testing.assert_allclose(found, ~np.isin(np.arange(1, 9), [3, 6]), atol=0.05)
