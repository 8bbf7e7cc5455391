"""Gaussian-process regression with one kernel for several outputs, against scikit-learn and against refitting."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from genbayes.learning.kernel_regression import KernelFit, bumps, fit_kernel, solve
from genbayes.learning.shared_noise import SharedNoise

N = 60


def wavy(seed: int, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and two outputs of which the second has four times the noise."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(-1.7, 1.7, (n, 2))
    means = np.stack([np.sin(2 * z[:, 0]) + 0.5 * z[:, 1], z[:, 0] * z[:, 1]], axis=1)
    return z, means + rng.standard_normal((n, 2)) * [0.1, 0.4]


def covariance(fit: KernelFit, z: np.ndarray, other: np.ndarray) -> np.ndarray:
    return bumps(z / fit.lengths, other / fit.lengths) + fit.linear * (1 + z @ other.T)


def every_unit(n: int) -> np.ndarray:
    return np.arange(n)


def predicted(solution, fit: KernelFit, z: np.ndarray) -> np.ndarray:
    near = bumps(z / fit.lengths, solution.centres)
    return solution.intercept + z @ solution.slopes.T + near @ solution.weights


def test_the_posterior_mean_is_that_of_scikit_learn() -> None:
    process = pytest.importorskip("sklearn.gaussian_process")
    kernels = process.kernels
    z, outputs = wavy(0)
    fit = KernelFit(np.array([0.8, 1.3]), 0.5, np.array([0.02, 0.3]))
    solution = solve(fit, z, outputs, SharedNoise.independent(N), every_unit(N), N)
    grid = np.random.default_rng(1).uniform(-2, 2, (50, 2))
    kernel = kernels.RBF(fit.lengths) + fit.linear * kernels.DotProduct(1.0)
    for j in range(2):
        other = process.GaussianProcessRegressor(kernel, alpha=fit.noise[j], optimizer=None).fit(z, outputs[:, j])
        np.testing.assert_allclose(predicted(solution, fit, grid)[:, j], other.predict(grid), atol=1e-5)


def test_errors_of_rows_left_out_are_those_of_refitting() -> None:
    z, outputs = wavy(2)
    fit = KernelFit(np.array([0.8, 1.3]), 0.5, np.array([0.02, 0.3]))
    noise = SharedNoise.independent(N)
    errors = solve(fit, z, outputs, noise, every_unit(N), N).errors
    for left_out in (0, 17, N - 1):
        others = np.delete(every_unit(N), left_out)
        solution = solve(fit, z, outputs, noise, others, N)
        own = outputs[left_out] - predicted(solution, fit, z[left_out : left_out + 1])[0]
        np.testing.assert_allclose(errors[left_out], own, atol=1e-5)


def test_rows_that_share_noise_are_solved_by_generalised_least_squares() -> None:
    # Units of three rows, 70 % of the noise variance theirs in common: the textbook formula with that covariance.
    rng = np.random.default_rng(3)
    z, outputs = wavy(3)
    noise = SharedNoise(3, np.ones(N // 3, bool), own=0.3)
    fit = KernelFit(np.array([0.8, 1.3]), 0.5, np.array([0.05, 0.3]))
    solution = solve(fit, z, outputs, noise, np.arange(N // 3), N)
    together = np.kron(np.eye(N // 3), 0.3 * np.eye(3) + 0.7)
    grid = rng.uniform(-1.5, 1.5, (20, 2))
    for j in range(2):
        matrix = covariance(fit, z, z) + fit.noise[j] * together
        expected = covariance(fit, grid, z) @ np.linalg.solve(matrix, outputs[:, j])
        np.testing.assert_allclose(predicted(solution, fit, grid)[:, j], expected, atol=1e-5)
        # The mutant: rows as if each had noise of its own.
        independent = covariance(fit, grid, z) @ np.linalg.solve(
            covariance(fit, z, z) + fit.noise[j] * np.eye(N), outputs[:, j]
        )
        assert np.max(np.abs(expected - independent)) > 1e-3


def test_hyperparameters_have_the_greatest_marginal_likelihood() -> None:
    # Sampled from the process itself: no other hyperparameters near by may be better by more than the prior on lengths
    # and the search's tolerance explain, and the truth lies within a few nats (half a chi-square with 4 degrees).
    rng = np.random.default_rng(4)
    n, truth = 150, KernelFit(np.array([0.7, 2.0]), 0.3, np.array([0.05]))
    z = rng.uniform(-1.7, 1.7, (n, 2))
    outputs = np.linalg.cholesky(covariance(truth, z, z) + 0.05 * np.eye(n)) @ rng.standard_normal((n, 1))
    outputs -= outputs.mean(axis=0)
    found = fit_kernel(z, outputs, np.array([0.1]))

    def likelihood(fit: KernelFit) -> float:
        matrix = covariance(fit, z, z) + fit.noise[0] * np.eye(n)
        # The signal variance that suits best.
        scale = float(outputs[:, 0] @ np.linalg.solve(matrix, outputs[:, 0])) / n
        return multivariate_normal(np.zeros(n), scale * matrix).logpdf(outputs[:, 0])

    best = likelihood(found)
    assert best > likelihood(truth) - 1.0
    for factor in (0.5, 2.0):
        for j in range(2):
            lengths = found.lengths.copy()
            lengths[j] *= factor
            assert best > likelihood(found._replace(lengths=lengths)) - 0.5
        assert best > likelihood(found._replace(noise=found.noise * factor)) - 0.1
    np.testing.assert_allclose(np.log(found.lengths), np.log(truth.lengths), atol=0.7)


def test_outputs_without_a_signal_do_not_shorten_the_lengths() -> None:
    # Twelve outputs of pure noise beside one smooth one. Started as if there were little noise, the search ended at
    # lengths of a few tenths, with which noise is followed from row to row.
    rng = np.random.default_rng(5)
    z = rng.uniform(-1.7, 1.7, (200, 3))
    outputs = np.concatenate([np.sin(2 * z[:, :1]) + z[:, 1:2] ** 2, rng.standard_normal((200, 12))], axis=1)
    outputs = (outputs - outputs.mean(axis=0)) / outputs.std(axis=0)
    found = fit_kernel(z, outputs, np.clip([0.01, *[0.999] * 12], 1e-3, 0.999))
    assert found.lengths[:2].min() > 0.7
    assert found.noise[1:].min() > 10 * found.noise[0]


def test_fewer_centres_than_rows_lose_little_of_a_smooth_function() -> None:
    z, outputs = wavy(6, 600)
    fit = KernelFit(np.array([1.0, 1.5]), 0.5, np.array([0.02, 0.3]))
    noise = SharedNoise.independent(600)
    grid = np.random.default_rng(7).uniform(-1.5, 1.5, (50, 2))
    whole, some = (predicted(solve(fit, z, outputs, noise, every_unit(600), m), fit, grid) for m in (600, 150))
    # Standard error of the process itself: sqrt(noise x effective parameters (about 40) / rows) = .03 and .1.
    np.testing.assert_array_less(np.abs(whole - some).max(axis=0), [0.01, 0.03])
