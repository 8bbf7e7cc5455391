import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.priors.family import Whole, put_together, taken_apart

# Two members of every family, which differ in numbers alone.
HALVES = jnp.array([0.5, 0.5])
FAMILIES: dict[str, Any] = {
    "Uniform": lambda a: dist.Uniform(a, a + 1),
    "Normal": lambda a: dist.Normal(a, 2.0),
    "LogNormal": lambda a: dist.LogNormal(a, 1.0),
    "Gamma": lambda a: dist.Gamma(a, 3.0),
    "Beta": lambda a: dist.Beta(a, 3.0),
    "InverseGamma": lambda a: dist.InverseGamma(a, 3.0),
    "HalfCauchy": lambda a: dist.HalfCauchy(a),
    "StudentT": lambda a: dist.StudentT(3.0, a, 1.0),
    "TruncatedNormal": lambda a: dist.TruncatedNormal(a, 1.0, low=-a, high=2.0),
    "left TruncatedNormal": lambda a: dist.TruncatedNormal(0.0, 1.0, low=-a),
    "LogUniform": lambda a: dist.LogUniform(a, 10.0),
    "MultivariateNormal": lambda a: dist.MultivariateNormal(jnp.array([a, 0.0]), jnp.eye(2)),
    "Dirichlet": lambda a: dist.Dirichlet(jnp.array([a, 1.0, 2.0])),
    "expanded": lambda a: dist.Normal(a, 1.0).expand([3]).to_event(1),
    "mixture": lambda a: dist.MixtureSameFamily(dist.Categorical(HALVES), dist.Normal(jnp.array([a, -a]), 1.0)),
    "mixture of two": lambda a: dist.MixtureGeneral(
        dist.Categorical(HALVES), [dist.Normal(a, 1.0), dist.StudentT(3.0, -a, 1.0)]
    ),
    "mirrored": lambda a: dist.TransformedDistribution(
        dist.HalfNormal(a), dist.transforms.AffineTransform(1.0, -2.0 * a, domain=dist.constraints.positive)
    ),
}


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_a_distribution_comes_back_and_shares_its_structure(make):
    structure, numbers = taken_apart(make(0.7))
    again = put_together(structure, numbers)
    value = make(0.7).sample(jax.random.key(0))
    np.testing.assert_array_equal(again.sample(jax.random.key(0)), value)
    np.testing.assert_array_equal(again.log_prob(value), make(0.7).log_prob(value))
    other = taken_apart(make(0.9))
    assert other[0] == structure
    assert hash(other[0]) == hash(structure)
    # The numbers are not lost: those of one member in the other's structure are that member.
    np.testing.assert_array_equal(put_together(other[0], numbers).log_prob(value), make(0.7).log_prob(value))


def test_families_and_shapes_differ():
    structures = {taken_apart(make(0.7))[0] for make in FAMILIES.values()}
    structures |= {taken_apart(dist.Uniform(jnp.zeros(n), 1.0))[0] for n in (2, 3)}
    assert len(structures) == len(FAMILIES) + 2


def test_other_numbers_compile_nothing():
    def use(prior: gb.Prior) -> None:
        theta = prior.sample(100, seed=0)
        prior.log_density(theta)
        prior.to_unconstrained(theta)

    use(gb.Prior({"a": dist.Uniform(0.0, 1.0), "b": dist.LogNormal(0.0, 1.0)}))
    compiled = []
    with jax.log_compiles():
        import logging

        handler = logging.Handler()
        handler.emit = lambda record: compiled.append(record.getMessage())
        logger = logging.getLogger("jax")
        logger.addHandler(handler)
        try:
            use(gb.Prior({"growth": dist.Uniform(-3.0, 7.0), "size": dist.LogNormal(2.0, 0.1)}))
            assert not [text for text in compiled if "Finished XLA compilation" in text]
            # The count can fail: another family is another program.
            use(gb.Prior({"a": dist.Uniform(0.0, 1.0), "b": dist.Gamma(2.0, 1.0)}))
            assert [text for text in compiled if "Finished XLA compilation" in text]
        finally:
            logger.removeHandler(handler)


def test_a_mirrored_prior_keeps_its_support():
    """numpyro takes every traced scale for a positive one: the support has to be found before tracing."""
    prior = gb.Prior({"a": FAMILIES["mirrored"](0.5)})
    theta = prior.sample(200, seed=0)
    assert prior.bounds.tolist() == [[-np.inf, 1.0]]
    assert prior.contains(theta).all()
    # 1 - |z| of a normal z with standard deviation 0.5.
    expected = np.log(2) - 0.5 * (1 - np.asarray(theta[:, 0])) ** 2 / 0.25 - np.log(0.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(prior.log_density(theta), expected, atol=1e-5)
    np.testing.assert_allclose(prior.from_unconstrained(prior.to_unconstrained(theta)), theta, atol=1e-5)


class Ramp(dist.Distribution):
    """Density 2 x / high^2 between 0 and high, written by someone who does not know of pytrees."""

    arg_constraints: Any = {}

    def __init__(self, high: float):
        self.high = high
        super().__init__((), ())

    @property
    def support(self) -> Any:
        return dist.constraints.interval(0.0, self.high)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        return self.high * jnp.sqrt(jax.random.uniform(key, sample_shape))

    def log_prob(self, value: Any) -> Any:
        return jnp.log(2 * value / self.high**2)


def test_a_distribution_that_declares_nothing_keeps_its_numbers():
    priors = [gb.Prior({"a": Ramp(high)}) for high in (1.0, 3.0)]
    assert isinstance(priors[0].density.families[0].structure.leaves[0], Whole)
    for prior, high in zip(priors, (1.0, 3.0), strict=True):
        theta = np.asarray(prior.sample(1000, seed=0))
        # Mean 2/3 high, standard deviation high / sqrt(18): five standard errors.
        assert theta.mean() == pytest.approx(2 / 3 * high, abs=5 * high / np.sqrt(18_000))
        np.testing.assert_allclose(prior.log_density(theta), np.log(2 * theta[:, 0] / high**2), rtol=1e-5, atol=1e-6)


def test_the_program_is_the_same_in_every_process():
    """Else it would not be found again on disk: numpyro's order of fields follows the hashes of text."""
    code = (
        "import jax, genbayes as gb, numpyro.distributions as dist\n"
        "from genbayes.priors.prior import _sample_rows\n"
        "truncated = dist.TruncatedNormal(0.0, 1.0, low=-1.0, high=2.0)\n"
        "prior = gb.Prior({'a': truncated, 'b': dist.StudentT(4.0, 1.0, 2.0)})\n"
        "print(_sample_rows.lower(prior.density, 16, jax.random.key(0), 0).as_text())\n"
    )
    programs = set()
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        programs.add(done.stdout)
    assert len(programs) == 1
