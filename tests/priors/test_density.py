"""Parameters of one family are computed together: the same numbers as of each by itself, in the order of the prior."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import genbayes as gb

# Families apart from one another and in turn, scalars and vectors, of real and of whole numbers.
MIXED = {
    "a": dist.LogNormal(0.0, 1.0),
    "b": dist.Uniform(0.0, 1.0),
    "k": dist.DiscreteUniform(1, 8),
    "c": dist.LogNormal(1.0, 0.5),
    "simplex": dist.Dirichlet(np.array([1.0, 2.0, 3.0])),
    "v": dist.Normal(0.0, 1.0).expand([2]),
    "w": dist.Normal(3.0, 2.0).expand([2]),
    "d": dist.LogNormal(-1.0, 2.0),
    "e": dist.Uniform(-3.0, 5.0),
    "j": dist.DiscreteUniform(4, 11),
}


def test_families_in_any_order_are_as_each_parameter_by_itself():
    prior = gb.Prior(MIXED)
    assert prior.density.members == ((0, 3, 7), (1, 8), (2, 9), (4,), (5, 6))
    alone = [parameter.density for parameter in prior.parameters]
    key = jax.random.key(5)
    theta = np.asarray(prior.sample_one(key))
    keys = jax.random.split(key, len(alone))
    apart = [np.asarray(density.sample(keys[i])) for i, density in enumerate(alone)]
    np.testing.assert_allclose(theta, np.concatenate(apart), rtol=1e-6)
    u = np.concatenate(
        [density.to_unconstrained(jnp.asarray(part)) for density, part in zip(alone, apart, strict=True)]
    )
    np.testing.assert_allclose(prior.to_unconstrained(theta), u, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prior.from_unconstrained(u), theta, rtol=1e-5, atol=1e-6)
    free = np.split(u, np.cumsum([density.unconstrained_dim for density in alone])[:-1])
    # Sums of ten numbers below 10 in size, each rounded to 1e-6 of that.
    density = sum(float(one.log_density(jnp.asarray(part))) for one, part in zip(alone, apart, strict=True))
    np.testing.assert_allclose(prior.log_density(theta), density, atol=1e-4)
    density = sum(
        float(one.log_density_unconstrained(jnp.asarray(part))) for one, part in zip(alone, free, strict=True)
    )
    np.testing.assert_allclose(prior.log_density_unconstrained(u), density, atol=1e-4)
    places = np.asarray(prior.draw_unconstrained(key))
    np.testing.assert_allclose(prior.from_unconstrained(places), theta, rtol=1e-5, atol=1e-6)
    # One value outside of its support is enough, whichever it is.
    for i in range(prior.dim):
        outside = theta.copy()
        outside[i] = -50.0 if prior.names[i][0] not in "vw" else np.nan
        assert not prior.contains(outside)
        assert prior.log_density(outside) == -np.inf
    assert prior.contains(theta)


def test_a_program_does_not_grow_with_the_parameters_of_a_family():
    def size(dim: int) -> int:
        prior = gb.Prior.uniform(np.zeros(dim), np.arange(1, dim + 1))
        return len(str(jax.make_jaxpr(jax.grad(prior.log_density_unconstrained))(jnp.zeros(dim))).splitlines())

    assert size(40) <= 1.1 * size(4)
