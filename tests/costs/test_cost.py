"""`Cost` as a function: broadcasting, gradients, members and what it refuses."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.costs.forms import HilbertForm

RNG = np.random.default_rng(0)
N = 400
THETA = RNG.uniform(-1, 1, (N, 2)).astype(np.float32)
# Nonlinear, so that the networks are kept and gradients pass through them.
MEANS = np.stack([np.sin(3 * THETA[:, 0]), THETA[:, 1] ** 2, THETA[:, 0] * THETA[:, 1]], axis=1)
VECTORS = (MEANS + 0.05 * RNG.normal(size=(N, 3))).astype(np.float32)
SETS = (THETA[:, None] + 0.3 * RNG.normal(size=(N, 4, 2))).astype(np.float32)
CONFIG = gb.FitConfig(members=2, width=16, depth=1, max_epochs=20, batch_size=32, targets=2)
NAMES = ("rate", "gain")
D = gb.distances
CASES: dict[str, tuple[np.ndarray, D.Distance, Any]] = {
    "mse": (VECTORS, D.MeanSquaredError(), "auto"),
    "mae": (VECTORS, D.MeanAbsoluteError(), "auto"),
    "energy": (SETS, D.EnergyDistance(max_landmarks=20), "auto"),
    "general": (VECTORS, D.MeanSquaredError(), "general"),
}
COSTS: dict[str, gb.Cost] = {}


def cost_of(name: str) -> gb.Cost:
    if name == "exact":
        return gb.Cost.exact(
            lambda theta, x: jnp.sum((theta[0] - x) ** 2) + theta[1], names=NAMES, x_shape=(3,), units="squared metres"
        )
    if name not in COSTS:
        x, distance, method = CASES[name]
        data = gb.Simulations.from_arrays(THETA, x, names=NAMES)
        COSTS[name] = gb.fit_cost(data, distance, config=CONFIG, method=method, progress=False)
    return COSTS[name]


def outputs(name: str) -> np.ndarray:
    return VECTORS if name == "exact" else CASES[name][0]


@pytest.mark.parametrize("name", [*CASES, "exact"])
@pytest.mark.parametrize(
    ("batch_theta", "batch_x"), [((), ()), ((5,), ()), ((), (4,)), ((4,), (4,)), ((2, 1), (1, 3)), ((3,), (1,))]
)
def test_broadcasts_like_numpy(name: str, batch_theta: tuple, batch_x: tuple) -> None:
    cost, x_all = cost_of(name), outputs(name)
    theta = THETA[: int(np.prod(batch_theta, dtype=int))].reshape(*batch_theta, 2)
    x = x_all[50 : 50 + int(np.prod(batch_x, dtype=int))].reshape(*batch_x, *cost.x_shape)
    found = np.asarray(cost(theta, x))
    batch = np.broadcast_shapes(batch_theta, batch_x)
    assert found.shape == batch
    members = np.asarray(cost.members(theta, x))
    assert members.shape == (*batch, 1 if name == "exact" else 2)
    flat_theta = np.broadcast_to(theta, (*batch, 2)).reshape(-1, 2)
    flat_x = np.broadcast_to(x, (*batch, *cost.x_shape)).reshape(-1, *cost.x_shape)
    one_by_one = [
        cost.form.value(jnp.asarray(t), cost.embed(y)) for t, y in zip(flat_theta[:3], flat_x[:3], strict=True)
    ]
    np.testing.assert_allclose(found.reshape(-1)[:3], one_by_one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("of", ["theta", "x"])
def test_gradients_are_finite_differences(name: str, of: str) -> None:
    cost = cost_of(name)
    theta, x = jnp.asarray(THETA[7]), jnp.asarray(outputs(name)[9])

    def function(value: jax.Array) -> jax.Array:
        return cost(value, x) if of == "theta" else cost(theta, value)

    start = theta if of == "theta" else x
    direction = jnp.asarray(np.random.default_rng(1).normal(size=start.shape), jnp.float32)
    slope = float(jnp.sum(jax.grad(function)(start) * direction))
    # Step 1e-2: float32's rounding gives 1e-7 / 1e-2 of the cost, and the third derivative 1e-4; kinks of the absolute
    # value, met through the atoms of a cell, 1e-2 of the slope.
    step = 1e-2
    difference = float(function(start + step * direction) - function(start - step * direction)) / (2 * step)
    assert abs(slope - difference) < 0.03 * abs(difference) + 2e-3
    assert abs(difference) > 1e-3


def test_the_cost_is_the_members_mean_where_they_are_costs() -> None:
    for name in ("mae", "general"):
        members = cost_of(name).members(THETA[:20], outputs(name)[:20])
        np.testing.assert_allclose(cost_of(name)(THETA[:20], outputs(name)[:20]), members.mean(axis=-1), rtol=1e-5)


def test_disagreement_of_means_is_not_cost() -> None:
    # mean_m ||g_m - f||^2 = ||mean g - f||^2 + mean_m ||g_m - mean g||^2: the last is the
    # members' excess over the cost.
    cost = cost_of("mse")
    assert isinstance(cost.form, HilbertForm)
    theta, ensemble = jnp.asarray(THETA[:20]), cost.form.mean
    means = jax.vmap(lambda one: jax.vmap(lambda member: member(one))(ensemble))(theta)
    excess = jnp.mean(jnp.sum((means - means.mean(axis=1, keepdims=True)) ** 2, axis=2), axis=1)
    found = cost.members(theta, VECTORS[:20]).mean(axis=-1) - cost(theta, VECTORS[:20])
    np.testing.assert_allclose(found, excess, rtol=1e-3, atol=1e-6)
    assert float(excess.min()) > 1e-8


def test_arrays_are_fitted_as_their_simulations() -> None:
    x, distance, _ = CASES["mse"]
    cost = gb.fit_cost((THETA, x), distance, config=CONFIG, progress=False)
    assert cost.names == ("theta_0", "theta_1")
    np.testing.assert_array_equal(cost(THETA[:9], x[:9]), cost_of("mse")(THETA[:9], x[:9]))
    # Without the tests' own look at types, which would be first.
    fit, wrong = inspect.unwrap(gb.fit_cost), (THETA, x, NAMES)
    with pytest.raises(TypeError, match=r"a pair \(theta, x\), got 3 of them"):
        fit(wrong, distance)
    with pytest.raises(TypeError, match=r"got list as simulations: give Simulations, arrays \(theta, x\)"):
        fit(list(wrong), distance)


def test_exact_cost() -> None:
    cost = cost_of("exact")
    np.testing.assert_allclose(cost(np.array([2.0, 0.5], np.float32), np.array([1.0, 2.0, 4.0], np.float32)), 5.5)
    assert (cost.dim, cost.names, cost.x_shape, cost.distance.units) == (2, NAMES, (3,), "squared metres")
    assert cost.fit == ()
    assert cost.outcome.ok
    with pytest.raises(ValueError, match="knows the expected distance only"):
        cost.distance(jnp.zeros(3), jnp.zeros(3))


@pytest.mark.parametrize(
    ("theta", "x", "message"),
    [
        ((3,), (3,), r"theta has shape \(3,\), expected \(\.\.\., 2\): rate, gain"),
        ((), (3,), r"theta has shape \(\)"),
        ((2,), (2,), r"x_o has shape \(2,\).*shape \(3,\)"),
        ((2,), (), r"x has shape \(\), expected \(\.\.\., 3\)"),
    ],
)
def test_wrong_shapes(theta: tuple, x: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cost_of("exact")(np.zeros(theta, np.float32), np.zeros(x, np.float32))


def test_batches_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"broadcast"):
        cost_of("exact")(np.zeros((4, 2), np.float32), np.zeros((5, 3), np.float32))


def test_sets_of_another_number_of_trials() -> None:
    cost = cost_of("energy")
    assert np.isfinite(cost(THETA[0], SETS[:3].reshape(-1, 2)))
    with pytest.raises(ValueError, match=r"\(4, 3\).*\(any number of trials, 2\)"):
        cost(THETA[0], np.zeros((4, 3), np.float32))


@pytest.mark.parametrize(
    ("x_o", "error", "message"),
    [
        (
            np.array([0, np.nan, np.nan], np.float32),
            ValueError,
            r"2 value\(s\) that are NaN or infinite.* index \(1,\)",
        ),
        (np.array([0, 1, -np.inf], np.float32), ValueError, r"1 value\(s\).*index \(2,\)"),
        (np.array([1e300, 0.0, 0.0]), ValueError, r"1 value\(s\).*index \(0,\)"),
        (np.zeros(4), ValueError, r"x_o has shape \(4,\).*\(3,\)"),
        (np.zeros((1, 3)), ValueError, r"x_o has shape \(1, 3\)"),
        (np.array(["a", "b", "c"]), TypeError, r"x_o must hold numbers, got an array of dtype <U1"),
        (np.array([1j, 0, 0]), TypeError, "complex128"),
        (np.array([None, 0, 0]), TypeError, "object"),
    ],
)
def test_observations_are_checked(x_o: Any, error: type[Exception], message: str) -> None:
    for method in (cost_of("exact").check_observation, cost_of("exact").embed):
        with pytest.raises(error, match=message):
            method(x_o)


@pytest.mark.parametrize("x_o", [[1, 2, 3], np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0]), jnp.array([1, 2, 3])])
def test_observations_of_any_number_type_are_taken(x_o: Any) -> None:
    found = cost_of("exact").check_observation(x_o)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1, 2, 3])
    np.testing.assert_allclose(cost_of("exact")([2, 0], x_o), 1 + 0 + 1)
