"""Priors by the names of their distributions: the table of problem.toml, and what stores keep of a prior."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb

TOML = """
[prior]
rate = { distribution = "LogNormal", loc = 0.0, scale = 0.5 }
stages = { distribution = "DiscreteUniform", low = 1, high = 4 }
shares = { distribution = "Normal", loc = [0.0, 1.0], scale = 2.0 }
"""
SAME = gb.Prior(
    {
        "rate": dist.LogNormal(0.0, 0.5),
        "stages": dist.DiscreteUniform(1, 4),
        "shares": dist.Normal(jnp.array([0.0, 1.0]), 2.0),
    }
)


def test_a_table_and_its_text_are_the_prior() -> None:
    table = {
        "rate": {"distribution": "LogNormal", "loc": 0.0, "scale": 0.5},
        "stages": {"distribution": "DiscreteUniform", "low": 1, "high": 4},
        "shares": {"distribution": "Normal", "loc": [0.0, 1.0], "scale": 2.0},
    }
    for given in (table, TOML, TOML.replace("[prior]", "")):
        prior = gb.Prior.from_table(given)
        assert prior == SAME
        assert prior.names == ("rate", "stages", "shares[0]", "shares[1]")
    theta = np.array([[1.2, 3.0, 0.5, 0.5]], np.float32)
    # Normal densities by hand, and a quarter for each number of stages.
    log = -np.log(1.2) - 0.5 * np.log(2 * np.pi * 0.25) - np.log(1.2) ** 2 / 0.5
    log += np.log(1 / 4) - np.log(2 * np.pi * 4) - (0.5**2 + 0.5**2) / 8
    assert float(prior.log_density(theta)[0]) == pytest.approx(log, rel=1e-5)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"a": {"distribution": "Norm"}}, ValueError, "'Norm' is unknown"),
        ({"a": {"distribution": "Normal", "mean": 1.0}}, ValueError, "Normal cannot be made of"),
        ({"a": {"distribution": "Normal", "scale": -1.0}}, ValueError, "Normal cannot be made of"),
        ({"a": {"low": 1.0}}, TypeError, "must be like"),
        ("a = Normal(0, 1)", ValueError, "is no TOML"),
    ],
)
def test_what_is_no_table_is_refused(given: Any, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        gb.Prior.from_table(given)


FAMILIES: dict[str, Any] = {
    "uniform": dist.Uniform(-1.0, 2.5),
    "normal": dist.Normal(0.1, 2.0),
    "log-normal": dist.LogNormal(0.0, 0.3),
    "half-normal": dist.HalfNormal(1.5),
    "gamma": dist.Gamma(2.0, 3.0),
    "inverse gamma": dist.InverseGamma(2.0, 3.0),
    "beta": dist.Beta(2.0, 5.0),
    "Student": dist.StudentT(3.0, 0.5, 2.0),
    "log-uniform": dist.LogUniform(0.1, 10.0),
    "several": dist.Normal(jnp.array([0.0, 1.0]), jnp.array([1.0, 2.0])),
    "multivariate normal": dist.MultivariateNormal(jnp.zeros(2), jnp.array([[1.0, 0.5], [0.5, 2.0]])),
    "whole numbers": dist.DiscreteUniform(0, 5),
    "categorical": dist.Categorical(jnp.array([0.2, 0.3, 0.5])),
    "binomial": dist.Binomial(4, 0.3),
}


@pytest.mark.parametrize("distribution", FAMILIES.values(), ids=FAMILIES)
def test_a_prior_comes_back_from_what_a_store_keeps_of_it(distribution: Any) -> None:
    prior = gb.Prior({"x": distribution})
    again = gb.Prior.from_description(prior.describe())
    assert again == prior
    theta = prior.sample(50, seed=0)
    np.testing.assert_array_equal(again.sample(50, seed=0), theta)
    np.testing.assert_allclose(again.log_density(theta), prior.log_density(theta), rtol=1e-5)


def test_simulations_know_their_prior(tmp_path) -> None:
    runs = gb.simulate(lambda theta, rng: theta + rng.normal(size=4), SAME, 20, seed=0, progress=False)
    assert runs.prior == SAME
    runs.save(tmp_path / "runs.zarr")
    assert gb.Simulations.open(tmp_path / "runs.zarr").prior == SAME
    assert gb.Simulations.from_arrays(np.zeros((9, 1)), np.zeros((9, 2)), ["a"]).prior is None


def test_what_cannot_be_made_again_is_said() -> None:
    mirrored = dist.TransformedDistribution(dist.HalfNormal(1.0), dist.transforms.AffineTransform(0.0, -1.0))
    description = gb.Prior({"x": mirrored}).describe()
    with pytest.raises(ValueError, match=r"'x' cannot be made again from its description.*keep the Prior itself"):
        gb.Prior.from_description(description)
