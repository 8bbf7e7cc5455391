from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import genbayes as gb
from genbayes.priors.parameter import described_levels

PRIOR = gb.Prior(
    {
        "k": dist.DiscreteUniform(1, 8),
        "g": dist.Normal(0.0, 1.0),
        "n": dist.Binomial(20, 0.3),
        "c": dist.Categorical(probs=jnp.array([0.2, 0.0, 0.8])),
        "b": dist.Bernoulli(0.25).expand([2]),
    }
)
BINOMIAL: Any = stats.binom(20, 0.3)


def test_the_stair_has_the_prior_s_probabilities():
    """P(K <= k) = Phi(edge of k): the value changes exactly there."""
    u = np.zeros((2000, 6), np.float32)
    u[:, 2] = np.linspace(-3, 3, 2000)
    n = np.asarray(PRIOR.from_unconstrained(u))[:, 2]
    # The quantile function of scipy, off the edges by more than rounding.
    probability = stats.norm.cdf(u[:, 2].astype(np.float64))
    near = np.abs(probability - BINOMIAL.cdf(BINOMIAL.ppf(probability))) < 1e-6
    near |= np.abs(probability - BINOMIAL.cdf(BINOMIAL.ppf(probability) - 1)) < 1e-6
    np.testing.assert_array_equal(n[~near], BINOMIAL.ppf(probability)[~near])
    assert near.mean() < 0.02


def test_draws_of_the_unconstrained_are_normal_and_stand_on_their_value():
    keys = jax.random.split(jax.random.key(0), 4000)
    u = jax.jit(jax.vmap(PRIOR.draw_unconstrained))(keys)
    theta = jax.jit(jax.vmap(PRIOR.sample_one))(keys)
    np.testing.assert_allclose(PRIOR.from_unconstrained(u), theta, rtol=1e-6)
    # Six tests at 1e-4 together: a false alarm in 6 of 10,000 keys. Middles of steps would fail with p = 0.
    assert min(stats.kstest(column, "norm").pvalue for column in np.asarray(u, np.float64).T) > 1e-4


def test_round_trip_density_and_support():
    theta = np.asarray(PRIOR.sample(200, seed=0))
    np.testing.assert_allclose(PRIOR.from_unconstrained(PRIOR.to_unconstrained(theta)), theta, rtol=1e-6)
    assert PRIOR.contains(theta).all()
    whole = [stats.randint(1, 9), stats.norm(), BINOMIAL, None, stats.bernoulli(0.25), stats.bernoulli(0.25)]
    expected = np.log(np.where(theta[:, 3] == 0, 0.2, 0.8))
    for column, one in zip(theta.T, whole, strict=True):
        if one is not None:
            expected += one.logpdf(column) if column is theta.T[1] or one is whole[1] else one.logpmf(column)
    # Sums of six terms up to 20 in single precision.
    np.testing.assert_allclose(PRIOR.log_density(theta), expected, atol=1e-4)
    for wrong in ([0, 0, 3, 0, 0, 0], [1.5, 0, 3, 0, 0, 0], [1, 0, 3, 1, 0, 0], [1, 0, np.nan, 0, 0, 0]):
        assert not PRIOR.contains(np.array(wrong)), wrong
        assert PRIOR.log_density(np.array(wrong)) == -np.inf
        assert np.isnan(PRIOR.to_unconstrained(np.array(wrong))).any()


def test_values_far_out_and_gradients():
    u = jnp.array([[30.0, 0, 30, 30, 30, 30], [-30.0, 0, -30, -30, -30, -30]])
    np.testing.assert_array_equal(PRIOR.from_unconstrained(u), [[8, 0, 20, 2, 1, 1], [1, 0, 0, 0, 0, 0]])
    # P(N = 20) is 3e-11: its step stands where a single-precision distribution function is 1.
    edge = stats.norm.isf(BINOMIAL.pmf(20))
    both = PRIOR.from_unconstrained(jnp.array([[0, 0, edge + s, 0, 0, 0] for s in (-1e-3, 1e-3)]))
    np.testing.assert_array_equal(both[:, 2], [19, 20])
    slope = jax.vmap(jax.grad(PRIOR.log_density_unconstrained))(u)
    np.testing.assert_allclose(slope, -u, rtol=1e-6)
    assert not np.any(jax.vmap(jax.grad(lambda v: PRIOR.from_unconstrained(v)[0]))(u))


def test_levels_names_and_description():
    assert PRIOR.integer_names == ("k", "n", "c", "b[0]", "b[1]")
    assert PRIOR.label_names == ("c", "b[0]", "b[1]")
    assert PRIOR.levels[1] is None
    np.testing.assert_array_equal(PRIOR.levels[3], [0, 2])
    np.testing.assert_array_equal(PRIOR.bounds[[0, 2]], [[1, 8], [0, 20]])
    found = described_levels(PRIOR.describe(), PRIOR.names)
    assert found == {0: list(range(1, 9)), 2: list(range(21)), 3: [0, 2], 4: [0, 1], 5: [0, 1]}
    many = gb.Prior({"m": dist.DiscreteUniform(0, 100)})
    assert described_levels(many.describe(), many.names) == {}
    assert "1, ..., 8" in PRIOR._repr_html_()


@pytest.mark.parametrize(
    ("distribution", "message"),
    [
        (dist.Geometric(0.3), "infinitely many"),
        (dist.ZeroInflatedPoisson(0.5, 2.0), "infinitely many"),
        (dist.Multinomial(5, jnp.array([0.5, 0.5])), "depend on one another"),
        (dist.DiscreteUniform(0, 20_000), "20,001 values"),
        (dist.DiscreteUniform(2**25, 2**25 + 3), "single precision"),
        (dist.DiscreteUniform(3, 3), "single value"),
        (dist.Binomial(jnp.array([[2, 3]]), 0.5), r"values of shape \(1, 2\)"),
    ],
)
def test_refused(distribution, message):
    with pytest.raises(ValueError, match=message):
        gb.Prior({"k": distribution})


def test_outside_is_told():
    with pytest.raises(ValueError, match="k = 2.5, which is none of its whole numbers"):
        gb.Prior({"k": dist.DiscreteUniform(1, 8)}).check_inside(np.array([[2.5]]))


def test_from_torch():
    torch = pytest.importorskip("torch")
    t = torch.distributions
    items = [t.Binomial(5, torch.tensor([0.2, 0.7])), t.Bernoulli(0.3), t.Categorical(torch.tensor([0.1, 0.9]))]
    prior = gb.Prior.from_torch(items)
    assert prior.integer_names == prior.names
    expected = stats.binom.logpmf(1, 5, 0.2) + stats.binom.logpmf(4, 5, 0.7) + np.log(0.3) + np.log(0.9)
    assert float(prior.log_density(np.array([1, 4, 1, 1]))) == pytest.approx(expected, abs=1e-5)
