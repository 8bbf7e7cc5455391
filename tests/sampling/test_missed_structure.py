"""Structure that all members of an ensemble miss, against structure that was put in."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.sampling.missed_structure import missed_nats, missed_structure, polynomial_kernels, powers


def hermite(u: np.ndarray) -> list[np.ndarray]:
    return [
        np.ones_like(u),
        u,
        (u**2 - 1) / np.sqrt(2),
        (u**3 - 3 * u) / np.sqrt(6),
        (u**4 - 6 * u**2 + 3) / np.sqrt(24),
    ]


def test_kernels_are_sums_over_orthonormal_products() -> None:
    u = np.random.default_rng(0).standard_normal((5, 3))
    h = hermite(u)
    for degree, kernel in enumerate(polynomial_kernels(u), 1):
        terms = [power for power in product(range(degree + 1), repeat=3) if sum(power) == degree]
        columns = [np.prod([h[power[j]][:, j] for j in range(3)], axis=0) for power in terms]
        np.testing.assert_allclose(kernel, sum(np.outer(column, column) for column in columns), atol=1e-12)


@pytest.mark.parametrize("degree", [2, 3])
def test_power_is_measured(degree: int) -> None:
    # 40 outputs with noise of variance 1, each of which misses one of the p products of a degree, of power 0.3. With
    # their covariance C and that of the residuals S = 1 + C the mean over products is tr(C S) / tr(S) / p.
    n, outputs, dim, power = 800, 40, 6, 0.3
    p = {2: 21, 3: 56}[degree]
    found, expected = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        u = rng.standard_normal((n, dim))
        columns = np.sort([rng.choice(dim, degree, replace=False) for _ in range(outputs)], axis=1)
        missed = np.sqrt(power) * np.prod(u[:, columns], axis=2)
        found.append(powers(u, missed + rng.standard_normal((n, outputs))))
        covariance = power * np.all(columns[:, None] == columns[None], axis=2)
        whole = np.eye(outputs) + covariance
        expected.append(np.trace(covariance @ whole) / np.trace(whole) / p)
    # The variance of products of pairs is 1 / 40 by noise, that of the structure itself, whose squares have heavy
    # tails, some (3^degree - 1) / n of its square.
    error = np.hypot(np.sqrt(2 / (p * outputs)) / n, np.mean(expected) * np.sqrt((3**degree - 1) / n))
    mean = np.mean(found, axis=0)
    assert mean[degree - 1] == pytest.approx(np.mean(expected), abs=4 * error / np.sqrt(6))
    assert np.all(np.delete(mean, degree - 1) < 0.1 * mean[degree - 1])


def test_noise_alone_has_no_power() -> None:
    # 4 powers of 50 samples at 3.5 standard errors, with noise that depends on the parameters, correlated and skewed.
    accused = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        u = rng.standard_normal((200, 5))
        noise = (rng.gamma(1.0, 1.0, (200, 8)) - 1.0) @ rng.standard_normal((8, 20)) * np.exp(0.5 * u[:, :1])
        accused += np.any(powers(u, noise) > 0)
    assert accused <= 2


def test_two_values_and_no_noise_are_no_obstacle() -> None:
    rng = np.random.default_rng(0)
    u = np.where(rng.random((200, 1)) < 0.5, -0.67, 0.67)
    assert not powers(u, np.zeros((200, 3))).any()
    # A line through two values, as far as the sum of the four degrees can tell them apart.
    found = powers(u, u + 0.1 * rng.standard_normal((200, 3)))
    assert np.isfinite(found).all()
    assert found.any()


def test_what_changes_from_value_to_value_of_an_integer_is_measured() -> None:
    # 40 values with an effect of variance 0.3 each, in 10 outputs with noise of variance 1.
    rng = np.random.default_rng(0)
    k = rng.integers(0, 40, 1000)
    residual = np.sqrt(0.3) * rng.standard_normal((40, 10))[k] + rng.standard_normal((1000, 10))
    same = (k[:, None] == k[None]).astype(float)
    found = powers((k[:, None] - 19.5) / 11.5, residual, [same])
    # The mean square of 400 effects, four standard deviations; weights by output make fewer of them.
    assert found[4] == pytest.approx(0.3, rel=4 * np.sqrt(2 / 300))
    assert np.all(found[:4] < 0.1 * found[4])


@pytest.mark.parametrize(("odd", "told"), [(0.0, False), (1.0, True)])
def test_an_integer_that_is_learned_as_a_number_says_where_it_is_none(odd: float, told: bool) -> None:
    prior = gb.Prior({"k": dist.DiscreteUniform(1, 40), "g": dist.Uniform(0.5, 1.5)})

    def simulator(theta, rng):
        k, g = theta
        return np.array([np.sqrt(k) * g, k / 10 + odd * (k % 3 == 0), g]) + 0.3 * rng.normal(size=3)

    simulations = gb.simulate(simulator, prior, 1000, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    x_o = [3.2, 2.1 + odd, 0.7]
    draws = gb.GibbsPosterior(prior, cost, x_o, 3 / (2 * 0.3**2)).sample(1000, seed=1)
    assert any("is uncertain by about" in text for text in draws.outcome.messages) == told


@pytest.mark.parametrize(("bent", "told"), [(0.0, False), (2.0, True)])
def test_a_fit_that_misses_products_of_parameters_says_so(bent: float, told: bool) -> None:
    # A line and waves of twelve parameters in 60 outputs: a thousand runs teach the line alone.
    dim, outputs = 12, 50
    rng = np.random.default_rng(3)
    line, waves = (jnp.asarray(rng.standard_normal((outputs, dim)) / np.sqrt(dim), jnp.float32) for _ in range(2))

    def mean(theta: jax.Array) -> jax.Array:
        return line @ theta + bent * jnp.sin(waves @ theta)

    def exact(theta: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.mean((mean(theta) - x) ** 2) + 1.0

    prior = gb.Prior({f"p{j}": dist.Normal(0.0, 1.0) for j in range(dim)})
    simulator = lambda key, theta: mean(theta) + jax.random.normal(key, (outputs,))  # noqa: E731
    simulations = gb.simulate(simulator, prior, 1000, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    x_o = np.asarray(mean(jnp.asarray(rng.standard_normal(dim), jnp.float32))) + rng.standard_normal(outputs)
    posterior = gb.GibbsPosterior(prior, cost, x_o, outputs / 2)
    draws = posterior.sample(500, seed=0)
    theta = draws.flat
    true = jax.vmap(exact, (0, None))(jnp.asarray(theta), jnp.asarray(x_o))
    error = outputs / 2 * np.std(np.asarray(cost(theta, x_o)) - np.asarray(true))
    assert any("is uncertain by about" in text for text in draws.outcome.messages) == told
    assert 0.5 < posterior.uncertainty_at(theta) / error < 2.0
    # It is told before there are draws, too.
    assert any("is uncertain by about" in text for text in posterior.outcome.messages) == told
    missed = missed_structure(cost)
    if told:
        assert missed is not None
        # Members that share what they miss do not see it.
        alone = missed_nats(missed, cost, posterior.x_o, theta, posterior.beta)
        assert alone > 0.5 * error
    else:
        assert missed is None
