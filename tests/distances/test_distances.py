"""Distances against independent implementations in float64, and the laws that every distance obeys.

Outputs are of order 1 and sums have at most some hundred terms, so float32 is off by less than 1e-5 of the summands;
tolerances of 1e-4 (absolute, on values of order 1) hold an order of magnitude of room. Bugs of interest change numbers
by per cents.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import mahalanobis

from genbayes import distances as gbd
from genbayes.distances import AdditiveDistance, Distance, HilbertDistance

RNG = np.random.default_rng(0)
VECTORS = RNG.normal([1.0, -2.0, 30.0], [1.0, 0.1, 5.0], size=(400, 3)).astype(np.float32)
SETS = (RNG.normal(size=(200, 1, 2)) + RNG.normal(size=(200, 6, 2)) * [0.3, 0.6]).astype(np.float32)
LINES = (2 + RNG.normal(size=(200, 1, 1)) + RNG.normal(size=(200, 6, 1))).astype(np.float32)
COVARIANCE = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 0.5]])
GIVEN = [0.5, 2.0, 4.0]

VECTOR_DISTANCES: dict[str, Distance] = {
    "mse": gbd.MeanSquaredError(),
    "mse scalar": gbd.MeanSquaredError(scale=2.5),
    "mse given": gbd.MeanSquaredError(scale=GIVEN),
    "mse predictive": gbd.MeanSquaredError(scale="prior_predictive"),
    "mae": gbd.MeanAbsoluteError(),
    "mae given": gbd.MeanAbsoluteError(scale=GIVEN),
    "mae predictive": gbd.MeanAbsoluteError(scale="prior_predictive"),
    "mahalanobis given": gbd.Mahalanobis(COVARIANCE),
    "mahalanobis predictive": gbd.Mahalanobis("prior_predictive"),
    "user": gbd.UserDistance(lambda x, y: jnp.max(jnp.abs(x - y)), name="largest", units="data units"),
}
SET_DISTANCES: dict[str, Distance] = {
    "mmd": gbd.MMD(bandwidth=0.8),
    "mmd median": gbd.MMD(),
    "mmd unbiased": gbd.MMD(bandwidth=0.8, estimator="unbiased"),
    "energy": gbd.EnergyDistance(),
    "energy unbiased": gbd.EnergyDistance(estimator="unbiased"),
    "sliced wasserstein": gbd.SlicedWasserstein(n_projections=8),
}
FITTED = {name: d.fitted(VECTORS) for name, d in VECTOR_DISTANCES.items()}
FITTED |= {name: d.fitted(SETS) for name, d in SET_DISTANCES.items()}
HILBERT = [name for name, d in FITTED.items() if isinstance(d, HilbertDistance)]


def pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    return (VECTORS[0], VECTORS[1]) if name in VECTOR_DISTANCES else (SETS[0], SETS[1])


def at(distance: Distance, x: np.ndarray, y: np.ndarray) -> Any:
    return distance(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))


def std64(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean((x.astype(np.float64) - x.astype(np.float64).mean(0)) ** 2, axis=0))


@pytest.mark.parametrize(
    ("name", "scale"),
    [("mse", 1.0), ("mse scalar", 2.5), ("mse given", np.array(GIVEN)), ("mse predictive", std64(VECTORS))],
)
def test_mean_squared_error(name: str, scale: Any) -> None:
    x, y = (v.astype(np.float64) for v in pair(name))
    np.testing.assert_allclose(at(FITTED[name], *pair(name)), np.mean(((x - y) / scale) ** 2), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "scale"), [("mae", 1.0), ("mae given", np.array(GIVEN)), ("mae predictive", std64(VECTORS))]
)
def test_mean_absolute_error(name: str, scale: Any) -> None:
    x, y = (v.astype(np.float64) for v in pair(name))
    np.testing.assert_allclose(at(FITTED[name], *pair(name)), np.mean(np.abs(x - y) / scale), rtol=1e-5)


def test_images_and_series_are_averaged_over_all_axes() -> None:
    x, y = RNG.normal(size=(2, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(at(gbd.MeanSquaredError(), x, y), np.mean((x - y) ** 2), rtol=1e-5)
    scale = 1 + RNG.random((4, 5))
    np.testing.assert_allclose(at(gbd.MeanAbsoluteError(scale), x, y), np.mean(np.abs(x - y) / scale), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "covariance"),
    [("mahalanobis given", COVARIANCE), ("mahalanobis predictive", np.cov(VECTORS.T.astype(np.float64), bias=True))],
)
def test_mahalanobis_is_the_square_of_scipys(name: str, covariance: np.ndarray) -> None:
    x, y = pair(name)
    expected = mahalanobis(x.astype(np.float64), y.astype(np.float64), np.linalg.inv(covariance)) ** 2
    np.testing.assert_allclose(at(FITTED[name], x, y), expected, rtol=1e-4)


def double_loop(function: Any, x: np.ndarray, y: np.ndarray, *, drop_equal: bool = False) -> float:
    values = [function(a, b) for i, a in enumerate(x) for j, b in enumerate(y) if not (drop_equal and i == j)]
    return float(np.mean(values))


def by_loops(kernel: Any, x: np.ndarray, y: np.ndarray, *, unbiased: bool) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    within = sum(double_loop(kernel, s, s, drop_equal=unbiased) for s in (x, y))
    return within - 2 * double_loop(kernel, x, y)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("trials", [6, 4])
def test_mmd_against_double_loops(unbiased: bool, trials: int) -> None:
    distance = FITTED["mmd unbiased" if unbiased else "mmd"]
    y = SETS[1][:trials]
    expected = by_loops(lambda a, b: np.exp(-np.sum((a - b) ** 2) / (2 * 0.8**2)), SETS[0], y, unbiased=unbiased)
    np.testing.assert_allclose(at(distance, SETS[0], y), expected, atol=1e-5)


def test_median_bandwidth_is_the_median_distance_of_trials() -> None:
    distance = FITTED["mmd median"]
    assert isinstance(distance, gbd.MMD)
    trials = SETS.reshape(-1, 2).astype(np.float64)
    distances = np.linalg.norm(trials[:, None] - trials, axis=2)[np.triu_indices(len(trials), 1)]
    # From 600 of all pairs: the median's standard error is 0.5 / sqrt(600) in probability; four of them.
    low, high = np.quantile(distances, [0.5 - 0.082, 0.5 + 0.082])
    assert low < float(jnp.asarray(distance.bandwidth)) < high


@pytest.mark.parametrize("unbiased", [False, True])
def test_energy_distance_against_double_loops(unbiased: bool) -> None:
    distance = FITTED["energy unbiased" if unbiased else "energy"]
    expected = by_loops(lambda a, b: -np.linalg.norm(a - b), SETS[0], SETS[1], unbiased=unbiased)
    np.testing.assert_allclose(at(distance, SETS[0], SETS[1]), expected, atol=1e-5)


def test_energy_distance_in_one_dimension_is_the_square_of_scipys() -> None:
    # scipy returns sqrt(2 int (F - G)^2), and 2 int (F - G)^2 is the energy distance of the two empirical laws.
    x, y = LINES[0], LINES[1][:4]
    expected = scipy.stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    for distance in (gbd.EnergyDistance(), gbd.EnergyDistance().fitted(LINES)):
        np.testing.assert_allclose(at(distance, x, y), expected, atol=1e-5)


def test_energy_distance_to_one_trial_is_twice_the_energy_score() -> None:
    x, y = SETS[0].astype(np.float64), SETS[1][0].astype(np.float64)
    score = np.mean(np.linalg.norm(x - y, axis=1)) - np.mean(np.linalg.norm(x[:, None] - x, axis=2)) / 2
    np.testing.assert_allclose(at(FITTED["energy"], SETS[0], SETS[1][:1]), 2 * score, atol=1e-5)


def test_sliced_wasserstein_in_one_dimension_is_that_of_sorted_trials() -> None:
    expected = np.mean((np.sort(LINES[0][:, 0]) - np.sort(LINES[1][:, 0])) ** 2)
    np.testing.assert_allclose(at(gbd.SlicedWasserstein(), LINES[0], LINES[1]), expected, rtol=1e-5)


def test_sliced_wasserstein_is_the_mean_over_directions() -> None:
    # Against 5,000 directions on the half circle; 2,000 random ones have a standard error of about 1 %.
    x, y = SETS[0].astype(np.float64), SETS[1].astype(np.float64)
    angles = np.pi * (np.arange(5000) + 0.5) / 5000
    directions = np.stack([np.cos(angles), np.sin(angles)])
    each = np.mean((np.sort(x @ directions, axis=0) - np.sort(y @ directions, axis=0)) ** 2, axis=0)
    found = at(gbd.SlicedWasserstein(n_projections=2000), SETS[0], SETS[1])
    assert abs(float(found) - each.mean()) < 4 * each.std() / np.sqrt(2000)
    assert at(gbd.SlicedWasserstein(seed=1), SETS[0], SETS[1]) != at(gbd.SlicedWasserstein(seed=2), SETS[0], SETS[1])


@pytest.mark.parametrize("name", FITTED)
def test_symmetric(name: str) -> None:
    x, y = pair(name)
    np.testing.assert_allclose(at(FITTED[name], x, y), at(FITTED[name], y, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in FITTED if "unbiased" not in name])
def test_zero_at_equal_arguments_and_positive_elsewhere(name: str) -> None:
    x, y = pair(name)
    np.testing.assert_allclose(at(FITTED[name], x, x), 0, atol=1e-6)
    assert at(FITTED[name], x, y) > 0.01


@pytest.mark.parametrize("name", FITTED)
def test_gradient_is_finite_at_equal_arguments(name: str) -> None:
    x, _ = pair(name)
    for argument in (0, 1):
        gradient = jax.grad(FITTED[name], argnums=argument)(jnp.asarray(x), jnp.asarray(x))
        assert gradient.shape == x.shape
        assert bool(jnp.all(jnp.isfinite(gradient)))


@pytest.mark.parametrize("name", SET_DISTANCES)
def test_order_of_trials_does_not_matter(name: str) -> None:
    x, y = pair(name)
    shuffled = np.random.default_rng(3).permutation(x)
    np.testing.assert_allclose(at(FITTED[name], shuffled, y), at(FITTED[name], x, y), atol=1e-5)
    np.testing.assert_allclose(at(FITTED[name], y, shuffled), at(FITTED[name], y, x), atol=1e-5)


def feature_error(distance: HilbertDistance, x: Any, y: Any) -> float:
    x, y = jnp.asarray(x), jnp.asarray(y)
    by_features = (
        distance.self_term(x) + distance.self_term(y) - 2 * jnp.dot(distance.features(x), distance.features(y))
    )
    return abs(float(by_features - distance(x, y)))


def feature_bound(distance: Distance, x: np.ndarray, y: np.ndarray) -> float:
    """2 |<mu_x - P mu_x, mu_y>| <= 2 sqrt(tolerance) ||mu_y||: no simulated trial is farther from the landmarks' span.

    Plus float32 for the exact maps (a product of self terms) and for solving with the landmarks' kernel matrix, whose
    smallest pivot is the tolerance: some 1e-7 / sqrt(1e-5) of the kernel's size.
    """
    size = float(np.abs(np.mean(x**2)) + np.abs(np.mean(y**2)))
    if isinstance(distance, gbd.MMD):
        return 2 * np.sqrt(distance.tolerance) + 1e-3
    if isinstance(distance, gbd.EnergyDistance):
        centre = np.asarray(distance.centre)
        own = 2 * np.mean(np.linalg.norm(SETS.reshape(-1, 2) - centre, axis=1))
        far = 2 * np.mean(np.linalg.norm(y - centre, axis=1))
        return 2 * float(np.sqrt(distance.tolerance * own * far)) + 1e-3
    whitened = getattr(distance, "whitening", None)
    return 1e-5 * size * (1 if whitened is None else float(np.linalg.norm(np.asarray(whitened)) ** 2)) + 1e-5


@pytest.mark.parametrize("name", HILBERT)
@pytest.mark.parametrize("far", [0.0, 50.0])
def test_features_give_the_distance_to_any_target(name: str, far: float) -> None:
    distance = FITTED[name]
    assert isinstance(distance, HilbertDistance)
    outputs = VECTORS if name in VECTOR_DISTANCES else SETS
    std = outputs.reshape(-1, outputs.shape[-1]).std(axis=0)
    for i in range(5):
        x, y = outputs[i], outputs[i + 5] + (far * std).astype(np.float32)
        assert feature_error(distance, x, y) < feature_bound(distance, x, y)


def test_too_few_landmarks_miss_the_distance() -> None:
    for make, name in ((gbd.MMD, "mmd"), (gbd.EnergyDistance, "energy")):
        mutant = make(max_landmarks=3).fitted(SETS)
        errors = [feature_error(mutant, SETS[i], SETS[i + 5]) for i in range(5)]
        assert max(errors) > 1.5 * feature_bound(FITTED[name], SETS[0], SETS[5])


def test_landmarks_are_few_and_cover_every_simulated_trial() -> None:
    distance = FITTED["mmd"]
    assert isinstance(distance, gbd.MMD)
    assert distance.landmarks is not None
    assert len(distance.landmarks) < 200
    trials = jnp.asarray(SETS.reshape(-1, 1, 2))
    lengths = jax.vmap(lambda one: jnp.sum(distance.features(one) ** 2))(trials)
    # k(x, x) = 1; what the projection loses is at most the tolerance.
    assert float(jnp.max(jnp.abs(1 - lengths))) < distance.tolerance + 1e-3


def test_user_distance() -> None:
    distance = VECTOR_DISTANCES["user"]
    np.testing.assert_allclose(at(distance, VECTORS[0], VECTORS[1]), np.abs(VECTORS[0] - VECTORS[1]).max(), rtol=1e-6)
    assert distance.fitted(VECTORS) is distance
    with pytest.raises(ValueError, match=r"'each'.*one number.*shape \(3,\).*reduce"):
        at(gbd.UserDistance(lambda x, y: x - y, name="each", units="1"), VECTORS[0], VECTORS[1])
    with pytest.raises(TypeError):
        gbd.UserDistance(3, name="three", units="1")  # pyright: ignore[reportArgumentType]


def test_units() -> None:
    assert gbd.MeanSquaredError().units == "squared data units"
    assert gbd.MeanAbsoluteError().units == "data units"
    for name in ("mse given", "mae given", "mse predictive", "mahalanobis given", "mmd"):
        assert FITTED[name].units.startswith("1 (")
    assert FITTED["energy"].units == "data units"
    assert FITTED["sliced wasserstein"].units == "squared data units"
    assert all(isinstance(d.name, str) and d.name for d in FITTED.values())
    assert all(d.name == {**VECTOR_DISTANCES, **SET_DISTANCES}[n].name for n, d in FITTED.items())


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, [1.0, 0.0, 1.0]])
@pytest.mark.parametrize("make", [gbd.MeanSquaredError, gbd.MeanAbsoluteError])
def test_bad_scales(make: Any, scale: Any) -> None:
    with pytest.raises(ValueError, match="scale must be positive and finite"):
        make(scale)


@pytest.mark.parametrize("make", [gbd.MeanSquaredError, gbd.MeanAbsoluteError])
def test_scale_must_fit_the_outputs(make: Any) -> None:
    with pytest.raises(ValueError, match=r"scale has shape \(2,\).*\(3,\)"):
        make([1.0, 2.0]).fitted(VECTORS)


@pytest.mark.parametrize("constant", [0.0, 0.1, -3.3])
def test_a_constant_coordinate_has_no_prior_predictive_scale(constant: float) -> None:
    # 0.1: the float64 standard deviation of equal numbers is not exactly 0.
    outputs = VECTORS.copy()
    outputs[:, 1] = constant
    for make in (gbd.MeanSquaredError, gbd.MeanAbsoluteError):
        with pytest.raises(ValueError, match="coordinate 1: they do not vary"):
            make("prior_predictive").fitted(outputs)
    with pytest.raises(ValueError, match=r"covariance of shape \(3, 3\).*do not vary"):
        gbd.Mahalanobis("prior_predictive").fitted(outputs)


def test_bad_covariances() -> None:
    repeated = np.concatenate([VECTORS, VECTORS[:, :1] + VECTORS[:, 1:2]], axis=1)
    with pytest.raises(ValueError, match=r"covariance of shape \(4, 4\).*repeat"):
        gbd.Mahalanobis("prior_predictive").fitted(repeated)
    for covariance in ([[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.9], [0.0, 1.0]], [[1.0, 0.0]], [[np.nan, 0.0], [0.0, 1.0]]):
        with pytest.raises(ValueError, match="symmetric positive definite"):
            gbd.Mahalanobis(covariance)
    with pytest.raises(ValueError, match=r"covariance has shape \(2, 2\), expected \(3, 3\)"):
        gbd.Mahalanobis(np.eye(2)).fitted(VECTORS)


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, np.nan, np.inf])
def test_bad_bandwidths(bandwidth: float) -> None:
    with pytest.raises(ValueError, match="bandwidth must be positive"):
        gbd.MMD(bandwidth=bandwidth)


def test_bad_settings_of_set_distances() -> None:
    for make in (gbd.MMD, gbd.EnergyDistance):
        with pytest.raises(ValueError, match="max_landmarks"):
            make(max_landmarks=0)
        with pytest.raises(ValueError, match="tolerance"):
            make(tolerance=0.0)
    with pytest.raises(ValueError, match="n_projections"):
        gbd.SlicedWasserstein(n_projections=0)
    with pytest.raises(ValueError, match=r"median.*0.*give a bandwidth"):
        gbd.MMD().fitted(np.zeros((10, 5, 2), np.float32))


@pytest.mark.parametrize("name", ["mse predictive", "mae predictive", "mahalanobis predictive", "mmd median"])
def test_use_before_fitting(name: str) -> None:
    distance = {**VECTOR_DISTANCES, **SET_DISTANCES}[name]
    with pytest.raises(ValueError, match="fitted"):
        at(distance, *pair(name))


@pytest.mark.parametrize("name", ["mmd", "energy"])
def test_features_need_landmarks(name: str) -> None:
    distance = SET_DISTANCES[name]
    assert isinstance(distance, HilbertDistance)
    with pytest.raises(ValueError, match="fitted"):
        distance.features(jnp.asarray(SETS[0]))


@pytest.mark.parametrize("name", SET_DISTANCES)
def test_set_distances_refuse_vectors(name: str) -> None:
    with pytest.raises(ValueError, match=r"sets of trials.*\(3,\)"):
        FITTED[name].check_target((3,), (3,))
    with pytest.raises(ValueError, match=r"\(6, 3\).*\(6, 2\)"):
        FITTED[name].check_target((6, 2), (6, 3))


def test_number_of_trials() -> None:
    for name in ("mmd", "energy", "mmd unbiased", "energy unbiased"):
        FITTED[name].check_target((6, 2), (3, 2))
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(6, 2\)"):
        FITTED["sliced wasserstein"].check_target((6, 2), (3, 2))
    FITTED["mmd"].check_target((6, 2), (1, 2))
    for name in ("mmd unbiased", "energy unbiased"):
        with pytest.raises(ValueError, match=r"at least 2 trials.*biased"):
            FITTED[name].check_target((6, 2), (1, 2))


def test_kinds() -> None:
    assert isinstance(FITTED["mae"], AdditiveDistance)
    assert set(HILBERT) == {n for n in FITTED if not n.startswith(("mae", "user"))}
