"""Scales of outputs: there and back, densities, and the mean of what is noisy on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genbayes.learning.warps import LOGARITHM, ROOT, STRAIGHT, Warps

KINDS = np.array([STRAIGHT, ROOT, LOGARITHM])


def test_scales_are_what_they_are_called_and_their_slopes_are_derivatives() -> None:
    labels = np.random.default_rng(0).uniform(0.5, 9.0, (20, 3))
    warps = Warps.of(KINDS, labels)
    np.testing.assert_allclose(
        warps.of_rows(labels), np.stack([labels[:, 0], labels[:, 1] ** 0.5, np.log(labels[:, 2])], 1)
    )
    step = 1e-6
    slope = (warps.of_rows(labels + step) - warps.of_rows(labels - step)) / (2 * step)
    np.testing.assert_allclose(warps.log_slope(labels), np.log(slope), atol=1e-7)


def test_counts_with_zeros_have_a_scale() -> None:
    labels = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [7.0, 7.0, 7.0]])
    warps = Warps.of(KINDS, labels)
    assert np.all(np.isfinite(warps.of_rows(labels)))
    # Half a count before logarithms, three eighths before roots (Anscombe), in units of the least positive value.
    np.testing.assert_allclose(warps.added, [0, 0.375, 0.5])
    np.testing.assert_allclose(Warps.of(KINDS, labels * 1e-20).added, np.array([0, 0.375, 0.5]) * 1e-20)


@pytest.mark.parametrize("noise", ["poisson", "lognormal"])
def test_the_mean_of_noisy_outputs_is_found_again(noise: str) -> None:
    # Known: m and m, or m exp(s^2 / 2). 4,000 rows: the standard error of a mean near g is about 2 % of it.
    rng = np.random.default_rng(1)
    m = np.exp(rng.uniform(np.log(2), np.log(200), 4000))
    x = rng.poisson(m).astype(float) if noise == "poisson" else m * np.exp(0.5 * rng.standard_normal(4000))
    factor = 1.0 if noise == "poisson" else np.exp(0.125)
    labels = np.stack([x, x], axis=1)
    warps = Warps.of(np.array([ROOT, LOGARITHM]), labels)
    mean = np.stack([np.sqrt(m), np.log(m)], axis=1)
    levelled = warps.levelled(labels, mean)
    at = np.array([4.0, 20.0, 120.0])
    found = levelled.mean_of_rows(np.stack([np.sqrt(at), np.log(at)], axis=1))
    np.testing.assert_allclose(found, np.repeat(factor * at[:, None], 2, axis=1), rtol=0.06)
    if noise == "lognormal":
        # The mutant: the inverse of the scale alone is too small by exp(s^2 / 2).
        assert np.all(warps.mean_of_rows(np.stack([np.sqrt(at), np.log(at)], axis=1))[:, 1] < 0.95 * factor * at)


def test_single_precision_and_gradients_are_those_of_double_precision() -> None:
    labels = np.random.default_rng(2).uniform(0.5, 9.0, (50, 3))
    warps = Warps.of(KINDS, labels).levelled(labels, Warps.of(KINDS, labels).of_rows(labels))
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), warps)
    # The last lies beyond all that was simulated: exponentials stay finite, and so do gradients.
    for warped in (np.array([2.0, 1.5, 0.5]), np.array([1e4, 1e4, 1e4])):
        value = single.mean(jnp.asarray(warped, jnp.float32))
        np.testing.assert_allclose(value, warps.mean_of_rows(warped[None])[0], rtol=1e-5)
        assert np.all(np.isfinite(jax.jacobian(single.mean)(jnp.asarray(warped, jnp.float32))))
    assert single.mean(jnp.full(3, 1e4))[2] < 1.5 * labels[:, 2].max()
