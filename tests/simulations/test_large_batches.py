"""A million tiny runs: larger batches of what is done in no time, and programs that are compiled once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.simulations import compiled_batches
from genbayes.simulations.traced_work import LEAST_AT_ONCE, rows_at_once

PRIOR = gb.Prior.uniform([0.0, 0.1], [1.0, 1.0], names=["a", "b"])
MILLION = 1_000_000


def tiny(key, theta):
    """Four normal numbers."""
    return theta[0] + theta[1] * jax.random.normal(key, (4,))


def slow(key, theta):
    """A scan of 10,000 steps that keeps nothing."""
    return jax.lax.scan(lambda x, _: (x + theta[0] * jnp.sin(x), None), theta[:1], None, length=10_000)[0]


def unknown(key, theta):
    """A loop whose length is not known before."""
    return jax.lax.while_loop(lambda x: x[0] < 1.0, lambda x: x + 0.1 + theta[0], theta[:1])


def wide(key, theta):
    """An array of 4,000 bytes in every run."""
    return jax.random.normal(key, (1000,))[::100]


def _jaxpr(function):
    return jax.make_jaxpr(function)(jax.random.key(0), jnp.zeros(2)).jaxpr


@pytest.mark.parametrize(
    ("function", "n", "expected"),
    [
        (tiny, MILLION, 8192),
        (tiny, 20_000, 1024),
        (tiny, 100, 128),
        (tiny, 1, 16),
        # Nobody waits for 8192 runs of these, which take ten minutes if one takes a tenth of a second.
        (slow, MILLION, LEAST_AT_ONCE),
        (unknown, MILLION, LEAST_AT_ONCE),
        # Two megabytes are 512 rows of 4 kB; no fewer than always.
        (wide, MILLION, LEAST_AT_ONCE),
    ],
)
def test_batches_are_large_where_runs_take_no_time(function, n, expected):
    """By what is computed for one row, the largest array, and the number of rows."""
    assert rows_at_once(_jaxpr(function), n) == expected


def test_rows_are_the_same_bit_by_bit_in_large_batches():
    """140,000 rows are run 8192 at a time; the last of them is filled up."""
    n = 140_000
    assert rows_at_once(_jaxpr(tiny), n) == 8192
    large = gb.simulate(tiny, PRIOR, n, seed=3, progress=False)
    small = gb.simulate(tiny, PRIOR, n, seed=3, batch_size=1024, progress=False)
    np.testing.assert_array_equal(large.x, small.x)
    np.testing.assert_array_equal(large.theta, small.theta)


def test_a_row_that_fails_in_a_large_batch_is_found():
    """The least and the largest number of a batch tell only that something is wrong; the row is looked for then."""

    def failing(key, theta):
        x = tiny(key, theta)
        return jnp.where(theta[0] > 0.999, x.at[1].set(jnp.nan), jnp.where(theta[0] < 0.001, x.at[2].set(jnp.inf), x))

    runs = gb.simulate(failing, PRIOR, 20_000, seed=0, progress=False)
    first = runs.theta[:, 0]
    reasons = np.array([runs.reasons[code] for code in runs.status])
    assert set(reasons[first > 0.999]) == {"NaN in the output"}
    assert set(reasons[first < 0.001]) == {"infinity in the output (float32)"}
    np.testing.assert_array_equal(runs.ok, (first <= 0.999) & (first >= 0.001))
    assert np.isfinite(runs.x[runs.ok]).all()


def _shifted(shift):
    return lambda key, theta: theta + shift


def test_a_program_is_compiled_once_for_all_seeds():
    """The key is an argument of the program, and its text is what it is known by."""
    compiled_batches._kept.clear()
    for seed in range(3):
        gb.simulate(tiny, PRIOR, 10, seed=seed, progress=False)
    assert len(compiled_batches._kept) == 1


def test_what_a_simulator_reads_is_part_of_its_program():
    """Numbers outside of the function, changed since: as arrays of numpy and of JAX, and as a number."""
    runs = [
        gb.simulate(_shifted(shift), PRIOR, 10, seed=0, progress=False)
        for shift in (np.array([1.0, 2.0]), np.array([1.0, 3.0]), jnp.array([1.0, 4.0]), 5.0)
    ]
    for one, expected in zip(runs, ([1.0, 2.0], [1.0, 3.0], [1.0, 4.0], [5.0, 5.0]), strict=True):
        np.testing.assert_allclose(one.x - one.theta, np.broadcast_to(expected, (10, 2)), atol=1e-6)


def test_a_simulator_that_calls_back_into_python_is_not_kept():
    """Its program names an address, at which another function may be later."""
    compiled_batches._kept.clear()

    def calls(key, theta):
        shape = jax.ShapeDtypeStruct((2,), jnp.float32)
        return jax.pure_callback(lambda one: np.asarray(one) + 1, shape, theta, vmap_method="sequential")

    runs = gb.simulate(calls, PRIOR, 10, seed=0, progress=False)
    np.testing.assert_allclose(runs.x, runs.theta + 1)
    assert not compiled_batches._kept
