"""Priors from scipy: the density of each family against scipy's own, in double precision."""

from typing import Any

import jax
import numpy as np
import pytest
import scipy.stats
from scipy import stats

import genbayes as gb
from genbayes.priors.from_scipy import _SCALAR, convert_scipy_prior

FROZEN: list[Any] = [
    stats.uniform(-1.0, 3.0),
    stats.norm(1.0, 2.0),
    stats.lognorm(0.5, scale=3.0),
    stats.lognorm(0.5, loc=1.0, scale=3.0),
    stats.expon(scale=2.0),
    stats.expon(loc=-1.0),
    stats.gamma(2.0, scale=3.0),
    stats.gamma(2.0, loc=2.0),
    stats.chi2(3.0, scale=2.0),
    stats.invgamma(3.0, scale=2.0),
    stats.beta(2.0, 3.0),
    stats.beta(2.0, 3.0, loc=-1.0, scale=4.0),
    stats.halfnorm(scale=2.0),
    stats.halfcauchy(scale=0.5),
    stats.weibull_min(1.5, scale=2.0),
    stats.pareto(2.5, scale=2.0),
    stats.t(4.0, 1.0, 2.0),
    stats.cauchy(1.0, 0.5),
    stats.laplace(1.0, 0.5),
    stats.logistic(1.0, 0.5),
    stats.gumbel_r(1.0, 0.5),
    stats.loguniform(0.1, 10.0),
    stats.truncnorm(-1.0, 2.0, loc=3.0, scale=0.5),
    stats.randint(1, 5),
    stats.bernoulli(0.3),
    stats.binom(6, 0.4),
]


@pytest.mark.slow
def test_every_family_has_the_density_of_scipy() -> None:
    assert {one.dist.name for one in FROZEN} | {"reciprocal", "loguniform"} >= set(_SCALAR)
    for i, one in enumerate(FROZEN):
        [converted] = convert_scipy_prior(one)
        draws = one.rvs(size=20, random_state=np.random.default_rng(i))
        expected = one.logpmf(draws) if converted.is_discrete else one.logpdf(draws)
        # Single precision of draws, which scipy has in double precision.
        found = jax.vmap(converted.log_prob)(draws.astype(np.int32 if converted.is_discrete else np.float32))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=one.dist.name)


def test_places_and_integers() -> None:
    places = [stats.beta(2.0, 3.0, loc=-1.0, scale=4.0), stats.expon(loc=-1.0), stats.randint(1, 5)]
    prior = gb.Prior.from_scipy(places)
    np.testing.assert_allclose(prior.bounds, [[-1.0, 3.0], [-1.0, np.inf], [1.0, 4.0]])
    assert prior.integer_names == ("theta_2",)


def test_vectors_and_names() -> None:
    stats: Any = scipy.stats
    normal = stats.multivariate_normal([1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]])
    student = stats.multivariate_t([1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]], df=5)
    simplex = stats.dirichlet([1.0, 2.0, 3.0])
    prior = gb.Prior.from_scipy({"mu": normal, "nu": student, "share": simplex})
    assert prior.names == ("mu[0]", "mu[1]", "nu[0]", "nu[1]", "share[0]", "share[1]", "share[2]")
    theta = np.array([0.0, 1.0, 3.0, -1.0, 0.2, 0.3, 0.5])
    expected = normal.logpdf(theta[:2]) + student.logpdf(theta[2:4]) + simplex.logpdf(theta[4:])
    np.testing.assert_allclose(prior.log_density(theta), expected, rtol=1e-5)
    several = gb.Prior.from_scipy(stats.norm([0.0, 1.0], [1.0, 2.0]), names=["a", "b"])
    assert several.names == ("a", "b")
    np.testing.assert_allclose(several.log_density(np.array([0.0, 1.0])), np.log(0.5 / (2 * np.pi)), rtol=1e-5)


def test_what_cannot_be_converted_is_refused() -> None:
    with pytest.raises(TypeError, match="scipy.stats.triang, which has no conversion. Known are bernoulli, beta"):
        gb.Prior.from_scipy([stats.triang(0.5)])
    with pytest.raises(
        TypeError, match=r"such as scipy.stats.gamma\(2.0, scale=3.0\), or a list of them, got scipy.*norm_gen"
    ):
        gb.Prior.from_scipy(stats.norm)
    with pytest.raises(TypeError, match=r"loc=1; expected 0"):
        gb.Prior.from_scipy(stats.binom(3, 0.5, loc=1))
    with pytest.raises(TypeError, match="or a list of them, got builtins.float"):
        gb.Prior.from_scipy(1.0)
    with pytest.raises(TypeError, match="a mapping, which has names of its own"):
        gb.Prior.from_scipy({"a": stats.norm()}, names=["b"])
    with pytest.raises(ValueError, match="one entry per parameter: got 1"):
        gb.Prior.from_scipy([stats.norm(), stats.norm()], names=["a"])


def test_another_density_under_the_name_is_refused() -> None:
    frozen: Any = stats.norm(0.0, 1.0)
    frozen.logpdf = lambda x: stats.norm.logpdf(x, 0.0, 2.0)
    with pytest.raises(TypeError, match="a subclass that changes its parent"):
        gb.Prior.from_scipy(frozen)
