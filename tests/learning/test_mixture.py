"""Mixtures of logistic distributions and the marginal cost against integrals, closed forms and Monte Carlo."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import integrate, stats

import genbayes as gb
from genbayes.costs.fitting import default_config
from genbayes.learning import logistic_rule
from genbayes.learning.distributions import Components, LogisticMixture, TailTransform
from genbayes.learning.layers import ResidualMLP, Standardiser
from genbayes.learning.polynomial import Polynomial
from genbayes.learning.ridge import RidgeResidual

FAST = gb.FitConfig(members=1, width=64, depth=2, max_epochs=60, patience=15)


def made(values: np.ndarray, rng: np.random.Generator, components: int = 3) -> LogisticMixture:
    """A mixture with random networks over outputs such as `values` (n, coordinates), of two parameters."""
    z, coordinates = rng.normal(size=(500, 2)), values.shape[1]
    location = RidgeResidual(
        Standardiser.fit(z, allow_log=False),
        Polynomial.fit(z, 1),
        jnp.zeros(coordinates),
        jnp.asarray(rng.normal(size=(coordinates, 2)), jnp.float32),
        jnp.ones(coordinates),
        None,
    )
    network = ResidualMLP(2, coordinates * 3 * components, 16, 1, rng=rng)
    network = jax.tree.map(jnp.asarray, network)
    return LogisticMixture(
        TailTransform.fit(values), location, jnp.full(coordinates, 0.8), jnp.full(coordinates, 0.01), network
    )


def density(parts: Components, j: int):
    """Of bent values, by scipy."""
    weight, mean, scale = (np.asarray(part[j], np.float64) for part in parts)
    return lambda t: float(np.sum(np.exp(weight) * stats.logistic.pdf(t, mean, scale)))


def test_bent_values_come_back_and_none_beyond_the_simulated_range() -> None:
    rng = np.random.default_rng(0)
    values = np.stack([rng.lognormal(0, 2, 4000), rng.normal(-80, 5, 4000), np.full(4000, 3.0)], axis=1)
    values[:3000, 2] = 0  # half of all runs and more give one value
    transform = TailTransform.fit(values)
    t = jax.vmap(transform)(jnp.asarray(values, jnp.float32))
    np.testing.assert_allclose(jax.vmap(transform.inverse)(t), values, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(transform.inverse(jnp.full(3, 1e6)), values.max(axis=0), rtol=1e-6)
    np.testing.assert_allclose(transform.inverse(jnp.full(3, -1e6)), values.min(axis=0), rtol=1e-6, atol=1e-6)


def test_the_density_is_that_of_a_mixture_of_logistic_distributions() -> None:
    rng = np.random.default_rng(1)
    made_of = made(rng.normal(size=(1000, 2)), rng)
    theta = jnp.asarray([0.3, -1.2])
    parts = made_of(theta)
    np.testing.assert_allclose(np.exp(parts.log_weight).sum(axis=1), 1, rtol=1e-5)
    for t in (-3.0, 0.1, 2.5):
        expected = [np.log(density(parts, j)(t)) for j in range(2)]
        np.testing.assert_allclose(made_of.log_density(theta, jnp.full(2, t)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("target", [-1.5, 0.2, 4.0])
def test_atoms_stand_for_the_distribution(target: float) -> None:
    rng = np.random.default_rng(2)
    made_of = made(rng.normal(size=(4000, 1)), rng)
    theta = jnp.asarray([0.5, 0.7])
    transform, pdf = made_of.transform, density(made_of(theta), 0)
    values, probability = (np.asarray(part)[0] for part in made_of.atoms(theta))
    assert probability.sum() == pytest.approx(1, rel=1e-5)
    for function in (np.cos, lambda x: (x - target) ** 2, lambda x: np.tanh(x - target)):
        exact = integrate.quad(
            lambda t, f=function: float(f(transform.inverse(jnp.full(1, t))[0])) * pdf(t),
            -25,
            25,
            limit=400,
            epsabs=1e-6,
        )[0]
        # Smooth functions, to the push of 1 % that gives the nodes their variance.
        assert float(np.sum(probability * np.vectorize(function)(values))) == pytest.approx(exact, rel=0.01, abs=0.01)
    # The mutant, equal weights, is beyond the tolerance.
    square = np.sum(probability * (values - target) ** 2)
    assert abs(float(np.mean((values - target) ** 2)) - square) > 0.012 * square


def test_gradients_are_finite_far_out() -> None:
    rng = np.random.default_rng(3)
    made_of = made(rng.lognormal(0, 3, size=(1000, 2)), rng)

    def total(theta):
        values, probability = made_of.atoms(theta)
        return jnp.sum(values * probability)

    for theta in ([0.0, 0.0], [50.0, -80.0], [1e4, 1e4]):
        assert np.all(np.isfinite(jax.grad(total)(jnp.asarray(theta))))
        gradient = eqx.filter_grad(lambda m, at=theta: jnp.sum(m.log_density(jnp.asarray(at), jnp.ones(2))))(made_of)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(eqx.filter(gradient, eqx.is_inexact_array)))


def fitted(simulator, prior, n=4000, config=FAST, distance=None):
    simulations = gb.simulate(simulator, prior, n, seed=1, progress=False)
    return gb.fit_cost(simulations, distance or gb.distances.MeanAbsoluteError(), config=config, progress=False)


def test_two_modes_are_two_modes() -> None:
    """X = 2 with probability 1 / (1 + exp(-3 theta)), else -2, plus noise 0.1: E|x - y| of two folded normals."""
    prior = gb.Prior({"theta": dist.Uniform(-1.0, 1.0)})

    def simulator(key, theta):
        side, noise = jax.random.split(key)
        up = jax.random.uniform(side, theta.shape) < jax.nn.sigmoid(3 * theta)
        return jnp.where(up, 2.0, -2.0) + 0.1 * jax.random.normal(noise, theta.shape)

    cost = fitted(simulator, prior)
    theta = np.linspace(-0.9, 0.9, 13)
    share = 1 / (1 + np.exp(-3 * theta))
    for y in (-2.0, 0.5, 2.0):
        away = [stats.foldnorm.mean(abs(m - y) / 0.1, scale=0.1) for m in (2.0, -2.0)]
        exact = share * away[0] + (1 - share) * away[1]
        # The share of +2 errs by sqrt(0.25 * 4 / 4000) = 0.016 where four numbers are fitted to 4,000 runs; times 4.
        np.testing.assert_allclose(cost(theta[:, None], [y]), exact, atol=3 * 0.016 * 4)
        # A normal distribution of the same mean and variance would not do.
        std = np.sqrt(4 * share * (1 - share) * 4 + 0.01)
        mean = 4 * share - 2
        normal = stats.foldnorm.mean(np.abs(mean - y) / std, scale=std)
        assert np.max(np.abs(normal - exact)) > 2 * 3 * 0.016 * 4 or y == 0.5


def test_a_linear_simulator_is_learnt_like_by_least_squares() -> None:
    """X = A theta + 0.5 e in five dimensions: the ridge fit carries it, and the network adds little noise."""
    prior = gb.Prior({"theta": dist.Normal(jnp.zeros(5), jnp.ones(5))})
    mixing = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0].astype(np.float32)

    def simulator(key, theta):
        return jnp.asarray(mixing) @ theta + 0.5 * jax.random.normal(key, (5,))

    cost = fitted(simulator, prior)
    theta = np.random.default_rng(3).normal(size=(300, 5))
    y = np.full(5, 0.7)
    exact = np.mean(stats.foldnorm.mean(np.abs(theta @ mixing.T - y) / 0.5, scale=0.5), axis=1)
    error = np.asarray(cost(theta, y)) - exact
    # Least squares of 6 coefficients on 3,600 rows errs by 0.5 sqrt(6 / 3600) = 0.02 in every coordinate, 0.009 in the
    # mean of five; the network may double it. The spread of the cost itself is 0.35.
    assert np.sqrt(np.mean(error**2)) < 0.03
    assert exact.std() > 0.25


@pytest.mark.slow
def test_counts_zeros_and_a_constant() -> None:
    """A Poisson count, an output that is 0 in half of all runs, and one that never varies."""
    prior = gb.Prior({"rate": dist.Uniform(0.5, 6.0)})

    def simulator(key, theta):
        one, two = jax.random.split(key)
        zero = jax.random.uniform(two) < 0.5
        return jnp.stack([jax.random.poisson(one, theta[0]).astype(float), jnp.where(zero, 0.0, theta[0]), 4.0])

    # A single member may end elsewhere for a difference of rounding: two, as by default.
    cost = fitted(simulator, prior, config=default_config(gb.distances.MeanAbsoluteError()))
    for rate in (1.0, 3.0, 5.0):
        k = np.arange(60)
        exact = (np.sum(stats.poisson.pmf(k, rate) * np.abs(k - 2)) + 0.5 * 1.0 + 0.5 * abs(rate - 1.0) + 0.5) / 3
        assert float(cost([rate], [2.0, 1.0, 4.5])) == pytest.approx(exact, abs=0.06)


def test_nodes_have_the_variance_of_a_logistic_distribution() -> None:
    nodes, weights = logistic_rule.NODES, logistic_rule.WEIGHTS
    assert np.sum(weights) == pytest.approx(1, rel=1e-12)
    assert np.sum(weights * nodes**2) == pytest.approx(np.pi**2 / 3, rel=1e-12)
    # Of smooth functions of the probability they integrate polynomials, so even powers of tanh(z / 2) = 2 p - 1. The
    # push changes these by 1 % of power * E[tanh^(power - 1) (1 - tanh^2) z / 2], 2.2 % at most.
    for power in (2, 4, 6):
        assert np.sum(weights * np.tanh(nodes / 2) ** power) == pytest.approx(1 / (power + 1), rel=0.025)
