"""Costs of distances of a user's own through an emulator of the outputs."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import genbayes as gb
from genbayes.costs import fit_emulated
from genbayes.costs.emulated import EmulatedForm
from genbayes.costs.fit_emulated import Emulator, can_be_emulated, fit_emulator, is_emulator_better
from genbayes.costs.fit_general import GENERAL_CONFIG
from genbayes.costs.forms import NetworkForm
from genbayes.costs.spread_around_mean import spread_of_members
from genbayes.distances import UserDistance
from genbayes.learning.coordinates import Coordinates
from genbayes.learning.folds import Folds
from genbayes.learning.layers import Standardiser
from genbayes.refinement.new_fit import refit

SLOPES = np.random.default_rng(0).standard_normal((6, 2))
SQUARE = UserDistance(lambda x, y: jnp.mean((x - y) ** 2), name="square", units="1")
LARGEST = UserDistance(lambda x, y: jnp.max(jnp.abs(x - y)), name="largest", units="1")
OF_LOGARITHMS = UserDistance(lambda x, y: jnp.mean(jnp.abs(jnp.log(x) - jnp.log(y))), name="logarithms", units="1")
AS_THEY_ARE = Coordinates(Standardiser.fit(np.eye(2)), False)
SMALL = replace(GENERAL_CONFIG, members=2, width=16, depth=1, max_epochs=10)


def linear(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Linear outputs with even noise of 0.5."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-2, 2, (n, 2))
    return theta, theta @ SLOPES.T + 0.5 * rng.standard_normal((n, 6))


def emulator(theta: np.ndarray, x: np.ndarray, distance: UserDistance = SQUARE) -> Emulator:
    """Of all rows."""
    return fit_emulator(theta, x, distance, SMALL, rng=np.random.default_rng(0), progress=False)


@functools.cache
def by_largest() -> gb.Cost:
    """Of 200 runs of the linear simulator, by the largest difference."""
    return gb.fit_cost(linear(200), LARGEST, config=SMALL, progress=False)


def without_limits(form: EmulatedForm) -> EmulatedForm:
    """The form whose outputs may be anything."""
    return eqx.tree_at(lambda one: one.range, form, jnp.asarray([[-jnp.inf], [jnp.inf]]) * jnp.ones((2, 6)))


def away_from_moments(form: EmulatedForm) -> float:
    """Largest relative error against ||mean - x_o||^2 + spread, which a squared error has whatever the residuals."""
    x_o, worst = jnp.asarray([3.0, -1, 0, 2, 1, -4]), 0.0
    for theta in jnp.asarray([[0.0, 0.0], [1.5, -1.0], [-2.0, 2.0]]):
        mean = form.mean.mean_of_members(theta)
        variance = jnp.maximum(spread_of_members(form.spread, theta, mean), form.least)
        exact = jnp.sum((form.middle(mean) - x_o / form.unit) ** 2) + jnp.sum(variance)
        # `unit` holds the number of outputs and their scales: equal ones here.
        found = jnp.mean(
            jax.vmap(lambda output: jnp.sum((output / form.unit - x_o / form.unit) ** 2))(outputs(form, theta))
        )
        worst = max(worst, abs(float(found / exact) - 1))
    return worst


def outputs(form: EmulatedForm, theta: Any) -> Any:
    """What is emulated: read off a distance that returns one number of an output."""
    of_each = [replace(form, distance=UserDistance(lambda x, y, j=j: x[j], name="one", units="1")) for j in range(6)]
    mean = form.mean.mean_of_members(theta)
    spread = spread_of_members(form.spread, theta, mean)
    return jnp.stack([one._distances(mean, spread, jnp.zeros(6)) for one in of_each], axis=1)


def test_mean_and_variance_of_emulated_outputs_are_those_of_the_regressions() -> None:
    form = without_limits(emulator(*linear(300)).form)
    # Sums of 64 x 6 numbers in single precision.
    assert away_from_moments(form) < 1e-5
    # Residuals that are not centred, or too long, would show.
    for changed in (form.residuals + 0.05, form.residuals * 1.05):
        assert away_from_moments(replace(form, residuals=changed)) > 1e-3


def test_cost_of_a_linear_simulator_has_the_error_of_least_squares() -> None:
    n, repeats = 300, 4
    theta = np.random.default_rng(5).uniform(-1, 1, (400, 2))
    x_o = SLOPES @ [0.3, -0.2]
    exact = np.mean((theta @ SLOPES.T - x_o) ** 2, axis=1) + 0.25
    errors = []
    for seed in range(repeats):
        cost = gb.fit_cost(linear(n, seed), SQUARE, seed=seed, config=SMALL, progress=False)
        assert isinstance(cost.form, EmulatedForm)
        errors.append(np.std(np.asarray(cost(theta, x_o)) - exact))
    # Least squares with three coefficients: of every output the mean is off by 0.5 sqrt(3 / 300) at a row, so that the
    # cost is off by 2 / 6 |sum_j (m_j - x_j) error_j|: at most 2 sqrt(exact - 0.25) times 0.05 / sqrt(6) in the mean.
    bound = 2 * np.sqrt(np.mean(exact - 0.25)) * 0.5 * np.sqrt(3 / n) / np.sqrt(6)
    # Degrees that are chosen add to it.
    assert np.sqrt(np.mean(np.square(errors))) < 1.5 * bound


def test_held_out_rows_choose() -> None:
    theta, x = linear(400)
    fitted, folds = emulator(theta, x, LARGEST), Folds.make(np.arange(400), SMALL, 3)
    apart = np.arange(400)
    network = gb.fit_cost((theta, x), LARGEST, config=SMALL, method="general", progress=False).form
    assert isinstance(network, NetworkForm)
    assert is_emulator_better(fitted, network, theta, x, folds, apart)
    # Emulators that are wrong: of residuals three times as long, and of means in another order.
    longer = replace(fitted.form, residuals=3 * fitted.form.residuals)
    turned = replace(fitted.form, unit=-fitted.form.unit)
    for wrong in (longer, turned):
        assert not is_emulator_better(fitted._replace(form=wrong), network, theta, x, folds, apart)


@pytest.mark.slow
def test_noise_of_another_form_elsewhere_is_left_to_the_network() -> None:
    # Pairs whose correlation is a parameter: their residuals have it nowhere.
    rng = np.random.default_rng(2)
    theta = rng.uniform([-2, -0.95], [2, 0.95], (600, 2))
    first, second = rng.standard_normal((2, 600, 8))
    r = theta[:, 1:]
    x = np.concatenate([theta[:, :1] + first, r * first + np.sqrt(1 - r**2) * second], axis=1)

    def product(v: Any) -> Any:
        return jnp.mean((v[:8] - jnp.mean(v[:8])) * (v[8:] - jnp.mean(v[8:])))

    distance = UserDistance(lambda x, y: jnp.abs(product(x) - product(y)), name="product", units="1")
    config = replace(GENERAL_CONFIG, members=2, width=32, max_epochs=40)
    assert isinstance(gb.fit_cost((theta, x), distance, config=config, progress=False).form, NetworkForm)


@pytest.mark.parametrize(
    ("function", "numbers", "can"),
    [
        (lambda x, y: jnp.mean((x - y) ** 2), 6, True),
        (lambda x, y: jnp.max(jnp.abs(x - y)), 6, True),
        # Steps have no slope by which a sampler could move.
        (lambda x, y: jnp.mean((x > 0) != (y > 0)), 6, False),
        (lambda x, y: jnp.mean(jnp.round(jnp.abs(x - y))), 6, False),
        (
            lambda x, y: jax.pure_callback(
                lambda a, b: np.float32(np.abs(a - b).mean()), jax.ShapeDtypeStruct((), jnp.float32), x, y,
                vmap_method="sequential",
            ),
            6,
            False,
        ),
        # Every residual is a distance at every step.
        (lambda x, y: jnp.mean((x - y) ** 2), 5000, False),
    ],
)  # fmt: skip
def test_which_distances_are_emulated(function: Any, numbers: int, can: bool) -> None:
    x = np.random.default_rng(0).standard_normal((100, numbers)).astype(np.float32)
    assert can_be_emulated(UserDistance(function, name="mine", units="1"), x) is can


def test_outputs_stay_where_the_distance_is_defined() -> None:
    rng = np.random.default_rng(4)
    theta = rng.uniform(-1, 2, (300, 2))
    x = np.maximum(theta[:, :1] + 1 + 0.5 * rng.standard_normal((300, 5)), 0.1)
    form = emulator(theta, x, OF_LOGARITHMS).form
    assert not form.of_logarithms
    at = on_grid()
    cost = jax.vmap(lambda one: form.value(one, form.embed(jnp.ones(5))))
    assert np.all(np.isfinite(cost(at)))
    assert np.all(np.isfinite(jax.vmap(jax.grad(lambda one: form.value(one, jnp.ones(5))))(at)))
    free = eqx.tree_at(lambda one: one.range, form, jnp.asarray([[-jnp.inf], [jnp.inf]]) * jnp.ones((2, 5)))
    assert np.any(np.isnan(jax.vmap(lambda one: free.value(one, jnp.ones(5)))(at)))


def test_noise_that_multiplies_is_emulated_on_logarithms() -> None:
    rng = np.random.default_rng(4)
    theta = rng.uniform(-1, 2, (200, 2))
    x = np.exp(theta[:, :1] + theta[:, 1:] * np.linspace(-1, 1, 5) + 0.8 * rng.standard_normal((200, 5)))
    fitted = emulator(theta, x, OF_LOGARITHMS)
    assert fitted.form.of_logarithms
    # E|log x - log y| of normal logarithms; mean 0.5 - 0.3 .. 0.5 + 0.3 at (0.5, 0.3).
    at = np.array([0.5, 0.3], np.float32)
    mean = 0.5 + 0.3 * np.linspace(-1, 1, 5)
    exact = np.mean(mean * (1 - 2 * norm.cdf(-mean / 0.8)) + 2 * 0.8 * norm.pdf(mean / 0.8))
    found = float(fitted.form.value(jnp.asarray(at), jnp.ones(5)))
    # Of every mean 0.8 sqrt(3 / 200) is open, with a slope below 1, and so much again of the noise's size.
    assert abs(found - exact) < 2 * 0.8 * np.sqrt(3 / 200)
    # On their own scale the same outputs have a mean that their largest values rule.
    with mock.patch.object(fit_emulated, "best_coordinates", return_value=AS_THEY_ARE):
        straight = emulator(theta, x, OF_LOGARITHMS).form
    assert abs(float(straight.value(jnp.asarray(at), jnp.ones(5))) - exact) > abs(found - exact)


def on_grid() -> jax.Array:
    """Parameters from -1 to 2."""
    return jnp.stack(jnp.meshgrid(*[jnp.linspace(-1, 2, 21)] * 2), axis=-1).reshape(-1, 2)


def test_targets_for_which_a_distance_is_undefined_are_left_out_of_the_network() -> None:
    # Half of the targets are outputs plus noise, and logarithms of negative ones are none.
    rng = np.random.default_rng(4)
    theta = rng.uniform(-1, 2, (300, 2))
    x = np.exp(theta + 0.3 * rng.standard_normal((300, 2)))
    cost = gb.fit_cost((theta, x), OF_LOGARITHMS, config=SMALL, method="general", progress=False)
    assert np.all(np.isfinite(cost.fit[0].validation_loss))
    assert np.all(cost.fit[0].best_epoch > 0)


def test_a_saved_cost_is_the_same(tmp_path: Path) -> None:
    data, cost = linear(200), by_largest()
    assert isinstance(cost.form, EmulatedForm)
    again = gb.load(gb.save(cost, tmp_path / "cost"), distance=LARGEST)
    np.testing.assert_array_equal(again(data[0][:20], data[1][0]), cost(data[0][:20], data[1][0]))
    assert cost.members(data[0][:5], data[1][0]).shape == (5, 2)
    # What is kept as unseen has not been seen by the member that speaks for it.
    assert cost.held_out is not None
    assert len(cost.held_out) < 0.5 * 200


def test_more_simulations_try_both_again() -> None:
    more = refit(by_largest(), gb.Simulations.from_arrays(*linear(300)), seed=0, progress=False)
    assert isinstance(more.form, EmulatedForm)
    assert more.settings["method"] == "auto"
    network = gb.fit_cost(linear(200), LARGEST, config=SMALL, method="general", progress=False)
    assert isinstance(
        refit(network, gb.Simulations.from_arrays(*linear(300)), seed=0, progress=False).form, NetworkForm
    )


def test_posterior_is_that_of_many_runs() -> None:
    # The largest of six absolute differences: exact by 2,000 runs at each of 2,000 draws of the prior.
    rng = np.random.default_rng(7)
    theta = rng.uniform(-2, 2, (2000, 2))
    x_o = SLOPES @ [0.5, 0.5]
    noise = 0.5 * np.random.default_rng(8).standard_normal((2000, 6))
    exact = np.array([np.abs(at - x_o + noise).max(axis=1).mean() for at in theta @ SLOPES.T])
    weight = np.exp(-8 * (exact - exact.min()))
    weight /= weight.sum()
    mean = weight @ theta
    deviation = np.sqrt(weight @ (theta - mean) ** 2)
    prior = gb.Prior.uniform([-2, -2], [2, 2])
    cost = gb.fit_cost(linear(300), LARGEST, config=SMALL, progress=False)
    draws = np.asarray(gb.GibbsPosterior(prior, cost, x_o, 8.0).sample(2000, seed=0))
    # The bar of the cases of users: 0.3 standard deviations, and a factor of 1.33.
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 0.3 * deviation)
    assert np.all(np.abs(np.log(draws.std(axis=0) / deviation)) < np.log(1.33))


def test_a_page_says_why_it_cannot_call_the_distance() -> None:
    posterior = gb.GibbsPosterior(gb.Prior.uniform([-2, -2], [2, 2]), by_largest(), SLOPES @ [0.5, 0.5], 8.0)
    with pytest.raises(ValueError, match=r"'largest', a function in Python.*method='general'"):
        posterior.explore()
