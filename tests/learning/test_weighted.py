"""Regression where noise varies with the parameters, against closed forms and the plain least squares it replaces."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from genbayes.learning.variances import VarianceRegression, fit_variance
from genbayes.learning.weighted import fit_weighted, refitted, varies
from genbayes.learning.weighted_outputs import weighted_outputs

SIZES = {1: 1, 2: 2, 3: 3}
N = 2000


def features(z: np.ndarray) -> np.ndarray:
    return np.stack([z, (3 * z**2 - 1) / 2, (5 * z**3 - 3 * z) / 2], axis=1)


def growth(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means over five decades with noise of half of each: exp(6 z) and gamma noise."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(-1, 1, N)
    mean = np.exp(6 * z)
    return z, mean, mean * rng.gamma(4, 0.25, N)


def test_a_log_link_finds_growth_where_it_is_small() -> None:
    # Noise of half the mean, two coefficients: the error of log mean at z = -1 has standard deviation
    # 0.5 sqrt(1 / n + 3 / n) = 0.022; five of them. Least squares with equal weights is off by the size of the largest.
    z, _, labels = growth(0)
    fit = fit_weighted(features(z), SIZES, labels, log_link=True)
    at = features(np.array([-1.0, -0.5, 0.5]))
    np.testing.assert_allclose(np.log(fit.mean(at)), [-6, -3, 3], atol=0.11)
    # The variance is a quarter of the squared mean; squares of gamma noise have a relative sd of sqrt(3.5).
    np.testing.assert_allclose(np.log(fit.variance(at)), np.log(0.25) + 2 * np.array([-6, -3, 3]), atol=0.5)
    plain = np.polynomial.Polynomial.fit(z, labels, 3)
    assert np.all(np.abs(plain(np.array([-1.0, -0.5])) - np.exp([-6, -3])) > np.exp([-6, -3]))


def test_counts_with_zeros_take_a_log_link() -> None:
    rng = np.random.default_rng(1)
    z = rng.uniform(-1, 1, N)
    labels = rng.poisson(np.exp(1 + 4 * z)).astype(float)
    assert (labels == 0).mean() > 0.2
    fit = fit_weighted(features(z), SIZES, labels, log_link=True)
    # Information of a Poisson regression at z = 0 is the mean rate's: n e sinh(4) / 4 = 37,000 for the level.
    np.testing.assert_allclose(np.log(fit.mean(features(np.array([0.0, 0.5])))), [1, 3], atol=0.05)


def test_weights_are_worth_what_the_theorem_says() -> None:
    # Aitken: at z = -1, where the noise is least, the variance of the weighted line is a fraction of the plain one's.
    errors: dict[str, list[float]] = {"weighted": [], "plain": []}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        z = rng.uniform(-1, 1, 500)
        labels = 1 + 2 * z + np.exp(3 * z) * rng.standard_normal(500)
        fit = fit_weighted(features(z), SIZES, labels, log_link=False)
        errors["weighted"].append(float(fit.mean(features(np.array([-1.0])))[0] + 1))
        errors["plain"].append(float(np.polynomial.Polynomial.fit(z, labels, 1)(-1.0) + 1))
    weighted, plain = (np.mean(np.square(errors[name])) for name in ("weighted", "plain"))
    assert weighted < plain / 20


def test_a_variance_function_is_found() -> None:
    rng = np.random.default_rng(2)
    z = rng.uniform(-1, 1, N)
    fit = fit_variance(features(z), SIZES, (np.exp(1 + 2 * z) * rng.standard_normal(N)) ** 2)
    # Squares of normal numbers: two coefficients of log variance to sqrt(2 / n) sqrt(1 + 3 z^2), four of them at z = 1.
    at = np.array([-1.0, 0.0, 1.0])
    np.testing.assert_allclose(np.log(fit(features(at))), 2 + 4 * at, atol=4 * np.sqrt(2 / N) * 2)


def test_equal_noise_is_left_to_least_squares() -> None:
    """The false-alarm rate: one in a hundred or less, also for heavy tails; the mutant of varying noise is found."""
    alarms, found = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        z = rng.uniform(-1, 1, 400)
        noise = np.stack([rng.standard_normal(400), rng.laplace(size=400), rng.standard_t(3, 400)], axis=1)
        alarms.append(varies(features(z), SIZES, noise))
        found.append(varies(features(z), SIZES, noise * np.exp(1.2 * z)[:, None]))
    assert np.mean(alarms) <= 0.02
    assert np.mean(found) > 0.95


@pytest.mark.parametrize(("log_link", "labels"), [(True, "growth"), (False, "line")])
def test_members_have_the_weights_of_all_and_the_coefficients_of_their_rows(log_link: bool, labels: str) -> None:
    z, _, values = growth(3)
    if labels == "line":
        values = 3 * z + np.exp(z) * np.random.default_rng(3).standard_normal(N)
    fit = fit_weighted(features(z), SIZES, values, log_link=log_link)
    folds = np.arange(N).reshape(4, -1)
    train = np.stack([np.setdiff1d(np.arange(N), fold) for fold in folds])
    at = features(np.linspace(-0.8, 0.8, 9))
    for rows, again in zip(train, refitted(fit, features(z), values, train), strict=True):
        assert (again.degree, again.log_link, again.variance) == (fit.degree, fit.log_link, fit.variance)
        # By scipy: the mean that maximises the normal likelihood of these rows, with the variance of all.
        columns, sd = features(z)[rows, : len(fit.slopes)], np.sqrt(fit.variance(features(z)[rows]))

        def away(p: np.ndarray, columns=columns, sd=sd, rows=rows) -> np.ndarray:
            linear = p[0] + columns @ p[1:]
            return (values[rows] - (np.exp(linear) if log_link else linear)) / sd

        best = least_squares(away, np.r_[fit.intercept, fit.slopes])
        errors = np.sqrt(np.diag(np.linalg.inv(best.jac.T @ best.jac)))
        # The penalty shrinks, by far less than the error of estimation.
        assert np.all(np.abs(np.r_[again.intercept, again.slopes] - best.x) < 0.1 * errors)
    assert np.ptp([one.mean(at)[0] for one in refitted(fit, features(z), values, train)]) > 0


def test_only_outputs_that_gain_are_weighted() -> None:
    z, _, labels = growth(4)
    rng = np.random.default_rng(5)
    both = np.stack([labels, np.exp(2) + z + 0.3 * rng.standard_normal(N)], axis=1)
    folds = np.arange(N).reshape(4, -1)
    train = np.stack([np.setdiff1d(np.arange(N), fold) for fold in folds])
    plain = []
    for rows, fold in zip(train, folds, strict=True):
        lines = [np.polynomial.Polynomial.fit(z[rows], both[rows, j], 3) for j in range(2)]
        plain.append(both[fold] - np.stack([line(z[fold]) for line in lines], axis=1))
    chosen = weighted_outputs(features(z), SIZES, both, train, folds, np.concatenate(plain))
    assert set(chosen.fits) == {0}
    assert chosen.fits[0].log_link
    precision = chosen.precision(features(z), 2)
    assert precision is not None
    np.testing.assert_array_equal(precision[:, 1], 1.0)
    # 1 / sd = 2 exp(-6 z).
    np.testing.assert_allclose(np.log(precision[:, 0]), np.log(2) - 6 * z, atol=0.5)


def test_variances_of_several_outputs_are_those_of_each() -> None:
    rng = np.random.default_rng(7)
    z = rng.uniform(-1, 1, N)
    squares = (np.exp(np.stack([z, 3 * z**2, 0 * z], axis=1)) * rng.standard_normal((N, 3))) ** 2
    together = VarianceRegression.of(features(z), SIZES).fit(squares)
    for one, column in zip(together, squares.T, strict=True):
        alone = fit_variance(features(z), SIZES, column)
        np.testing.assert_allclose(one.slopes, alone.slopes, rtol=1e-9)
        np.testing.assert_allclose(one.intercept, alone.intercept, rtol=1e-9)


def test_of_few_rows_no_parameter_is_left_out_of_the_variance() -> None:
    # 60 rows have no 25 for each of four parameters, of which the last is the noise: log v changes by 4 over its range.
    rng = np.random.default_rng(3)
    z = rng.uniform(-1, 1, (60, 4))
    fit = fit_variance(z, {1: 4}, np.exp(2 * z[:, 3]) * rng.standard_normal(60) ** 2)
    # Logs of squared normals have a standard deviation of 2.2, the slope one of 2.2 / sqrt(60 / 3) = 0.5, and ridge
    # shrinks it.
    assert 0.7 < fit.slopes[3] < 3.5
