"""The laws that every registered sampler obeys.

Tolerances are of Monte Carlo error at the effective sample size that the draws themselves report: mean within 5
standard errors (a false alarm in two million), standard deviations and correlations within 5 of theirs: 1 / sqrt(2 ESS)
of a standard deviation and (1 - r^2) / sqrt(ESS) of a correlation r.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.costs.forms import FunctionForm
from genbayes.distances import UserDistance
from genbayes.reports.citations import ENTRIES
from genbayes.runtime.outcome import Outcome
from genbayes.sampling.sampler import Advice, Sampled, advice_of, samplers

# Of the library alone: other tests may register their own.
OWN = {name: sampler for name, sampler in samplers().items() if type(sampler).__module__.startswith("genbayes.")}
every = pytest.mark.parametrize("name", OWN)
# Compiling NUTS takes long: in CI it is held to the law of a Gaussian, in `make test-slow` to all.
LONG = [pytest.mark.slow, pytest.mark.long]
quick = pytest.mark.parametrize("name", [pytest.param(name, marks=LONG * (name == "nuts")) for name in OWN])

# Gaussian target: cost (theta - x_o)^T P (theta - x_o) / 2 at beta 1 under a prior so wide that it does not matter.
STD = np.array([0.5, 2.0])
CORRELATION = 0.9
COVARIANCE = np.outer(STD, STD) * [[1.0, CORRELATION], [CORRELATION, 1.0]]
PRECISION = jnp.asarray(np.linalg.inv(COVARIANCE), jnp.float32)
X_O = np.array([1.0, -3.0], np.float32)
PRIOR = gb.Prior({"a": dist.Normal(0.0, 100.0), "b": dist.Normal(0.0, 100.0)})


def gaussian_cost(theta: Any, x_o: Any) -> Any:
    away = theta - x_o
    return away @ PRECISION @ away / 2


def exact(function: Callable[[Any, Any], Any], names: tuple[str, ...], x_shape: tuple[int, ...]) -> gb.Cost:
    return gb.Cost.exact(function, names=names, x_shape=x_shape, units="1")


GAUSSIAN = exact(gaussian_cost, ("a", "b"), (2,))
CONDITIONED = gb.Cost(
    FunctionForm(lambda inputs, x_o: jnp.sum((inputs[0] * inputs[1] - x_o) ** 2)),
    UserDistance(lambda x, y: jnp.sum((x - y) ** 2), name="square", units="1"),
    ("a",),
    (1,),
    condition_names=("gain",),
)
ONE = gb.Prior({"a": dist.Normal(0.0, 10.0)})


def test_the_library_has_these_samplers() -> None:
    assert {"smc", "nuts"} <= set(OWN)
    assert OWN["smc"] == gb.SMC()


@every
def test_it_says_what_the_library_asks(name: str) -> None:
    sampler = OWN[name]
    assert isinstance(sampler, gb.Sampler)
    assert sampler.name.lower() == name
    assert all(key in ENTRIES or key.startswith("@") for key in sampler.citations)
    assert advice_of(sampler.name) == sampler.advice
    # The advice names a setting that there is.
    setting = sampler.advice.few_independent.split("(")[1].split("=")[0]
    assert hasattr(sampler, setting)


@every
def test_a_correlated_gaussian(name: str) -> None:
    draws = gb.GibbsPosterior(PRIOR, GAUSSIAN, X_O, 1.0).sample(4000, seed=0, sampler=OWN[name])
    assert len(draws) >= 4000
    size = draws.ess_bulk.min()
    assert size > 400
    flat = draws.flat.astype(np.float64)
    np.testing.assert_array_less(np.abs(flat.mean(axis=0) - X_O) / STD, 5 / np.sqrt(size))
    np.testing.assert_array_less(np.abs(np.std(flat, axis=0) / STD - 1), 5 / np.sqrt(2 * size))
    assert float(np.asarray(np.corrcoef(flat.T))[0, 1]) == pytest.approx(
        CORRELATION, abs=5 * (1 - CORRELATION**2) / np.sqrt(size)
    )
    # The law has power: draws at twice the temperature, or without the correlation, would be told from these.
    assert np.sqrt(2) - 1 > 5 / np.sqrt(2 * size)
    assert 5 / np.sqrt(size) < CORRELATION


@quick
def test_the_cost_of_a_draw_is_that_under_the_conditions(name: str) -> None:
    posterior = gb.GibbsPosterior(ONE, CONDITIONED, [1.0], 20.0, conditions={"gain": 2.5})
    draws = posterior.sample(400, seed=0, sampler=OWN[name])
    # theta = x_o / gain is the mode: 0.4, and not 1.
    assert draws.flat.mean() == pytest.approx(0.4, abs=0.05)
    expected = np.asarray(CONDITIONED(draws.theta, np.array([1.0]), {"gain": 2.5}))
    np.testing.assert_allclose(draws.cost, expected, rtol=1e-4, atol=1e-6)
    other = np.asarray(CONDITIONED(draws.theta, np.array([1.0]), {"gain": 1.0}))
    assert np.abs(draws.cost - other).mean() > 0.1


# Far from normal in the unconstrained coordinates: a density without its Jacobian has another mean there.
BOUNDED = gb.Prior({"a": dist.Uniform(0.0, 4.0), "b": dist.LogNormal(0.0, 0.5)})
# theta . x_o, so that exp(-beta cost) tilts the uniform parameter and leaves the other its prior.
TILT = exact(lambda theta, x_o: jnp.sum(theta * x_o), ("a", "b"), (2,))


@quick
def test_parameters_with_bounds(name: str) -> None:
    draws = gb.GibbsPosterior(BOUNDED, TILT, np.array([1.0, 0.0], np.float32), 1.0).sample(
        4000, seed=0, sampler=OWN[name]
    )
    flat, size = draws.flat.astype(np.float64), draws.ess_bulk.min()
    assert size > 400
    # exp(-a) between 0 and 4: mean 1 - 4 / (e^4 - 1) = 0.925, variance 1 - 16 e^4 / (e^4 - 1)^2 = 0.696.
    end = np.exp(4.0)
    mean = np.array([1 - 4 / (end - 1), np.exp(0.125)])
    std = np.sqrt([1 - 16 * end / (end - 1) ** 2, (np.exp(0.25) - 1) * np.exp(0.25)])
    np.testing.assert_array_less(np.abs(flat.mean(axis=0) - mean) / std, 5 / np.sqrt(size))
    # The law has power: without the Jacobian, by quadrature over a, the mean is far from this.
    a = np.linspace(0, 4, 100_001)[1:-1]
    wrong = np.exp(-a) / (a * (4 - a))
    assert abs((a * wrong).sum() / wrong.sum() - mean[0]) / std[0] > 10 / np.sqrt(size)


@every
def test_a_seed_gives_the_same_draws(name: str) -> None:
    posterior = gb.GibbsPosterior(PRIOR, GAUSSIAN, X_O, 1.0)
    first, again, other = (posterior.sample(200, seed=seed, sampler=OWN[name]) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.theta, again.theta)
    np.testing.assert_array_equal(first.cost, again.cost)
    assert not np.any(first.theta == other.theta)


@quick
def test_two_far_modes_are_both_kept(name: str) -> None:
    # (t^2 - 1)^2 at beta 200: modes at -1 and 1 of standard deviation 1 / sqrt(2 * 200 * 4) = 0.025, nothing between.
    prior = gb.Prior.uniform([-2.0], [2.0], ["t"])
    cost = exact(lambda theta, x_o: jnp.sum((theta**2 - 1) ** 2) + 0 * jnp.sum(x_o), ("t",), (1,))
    draws = gb.GibbsPosterior(prior, cost, [0.0], 200.0).sample(4000, seed=0, sampler=OWN[name])
    assert np.all(np.abs(np.abs(draws.flat) - 1) < 0.25)
    # Of equal modes: NUTS has 16 chains, each in the mode that its start drew, so a share of 1/2 +- 0.125; three of it.
    # SMC's four populations of 1,000 particles are nearer.
    assert 0.12 < np.mean(draws.flat > 0) < 0.88


def of(sampler: str, theta: np.ndarray) -> gb.Draws:
    return gb.Draws(theta, np.zeros(theta.shape[:2]), ("a",), 1.0, np.zeros(1), sampler, 0)


@pytest.mark.parametrize(
    ("sampler", "setting"),
    [("SMC", r"SMC\(final_moves=...\)"), ("NUTS", r"NUTS\(warmup=...\)"), ("another", "more steps between the draws")],
)
def test_draws_that_were_read_know_the_advice_of_their_sampler(sampler: str, setting: str) -> None:
    slow = np.cumsum(np.random.default_rng(0).normal(size=(4, 200, 1)), axis=1)
    draws = gb.Draws.from_datatree(of(sampler, slow).to_datatree())
    assert "Chains disagree" in draws.outcome.messages[0]
    assert re.search(f"ask for more draws, or .*{setting}", str(draws.outcome))


@dataclass(frozen=True)
class Prepared:
    """All that a registered sampler has."""

    name: str = "Prepared"
    advice: ClassVar[Advice] = Advice()
    citations: ClassVar[tuple[str, ...]] = ()

    def run(self, target: gb.Target, n: int, *, key: Any) -> Sampled:
        return Sampled(np.zeros((1, n, 1)), np.zeros((1, n)), {}, Outcome())


def test_a_sampler_that_lacks_something_is_told() -> None:
    class Mute(Prepared):
        advice = None  # pyright: ignore

    class Idle:
        advice: ClassVar[Advice] = Advice()
        citations: ClassVar[tuple[str, ...]] = ()
        name = "Idle"

    class Another(Prepared):
        name: str = "SMC"

    with pytest.raises(TypeError, match="Mute has no class attribute advice of type Advice"):
        gb.register_sampler(Mute)
    with pytest.raises(TypeError, match="Idle lacks the attribute name or the method run"):
        gb.register_sampler(Idle)  # pyright: ignore
    with pytest.raises(ValueError, match=r"there is a sampler SMC already, genbayes.sampling.smc.SMC"):
        gb.register_sampler(dataclass(frozen=True)(Another))
    assert not {"prepared", "idle"} & set(samplers())
    assert samplers()["smc"] == gb.SMC()
