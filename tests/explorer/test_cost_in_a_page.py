"""The page's cost is Python's, for every form; and so are densities of the prior."""

import runpy
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.costs.known_parameters import with_known
from genbayes.explorer.costs import export_cost
from genbayes.explorer.numbers import NotExportable
from genbayes.explorer.priors import export_prior

MADE = runpy.run_path(str(Path(__file__).parent / "made_costs.py"))
COSTS, THETA = MADE["costs"](), MADE["THETA"]
# Python computes in single precision, and a cost is a sum of terms of the size of what it is compared with.
RELATIVE = 1e-5

EVALUATE = """([data, theta, x, weights, member, quick]) => {
  const made = lib.kernel.now;
  if (!quick) lib.kernel.now = null;
  const cost = new lib.Cost(data);
  const n = theta.length / data.order.length;
  const values = (m) => Array.from(cost.values(cost.prepare(Float64Array.from(theta), n, m), embedded));
  const embedded = cost.embed(Float64Array.from(x, (value) => value ?? NaN), weights);
  const factors = cost.logFactors(cost.prepare(Float64Array.from(theta), n));
  const result = { cost: values(null), member: values(member), factors: Array.from(factors) };
  lib.kernel.now = made;
  return result;
}"""


def evaluated(programs: Any, data: Any, theta: np.ndarray, x: np.ndarray, **more: Any) -> dict[str, np.ndarray]:
    """What the page's programs make of parameters and an observation."""
    given = [None if np.isnan(value) else float(value) for value in x.reshape(-1)]
    rows = theta.astype(float).reshape(-1).tolist()
    arguments = [data, rows, given, more.get("weights"), more.get("member", 1), more.get("quick", True)]
    return {name: np.array(values, float) for name, values in programs.evaluate(EVALUATE, arguments).items()}


def compare(found: np.ndarray, expected: Any) -> None:
    expected = np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.ptp(expected) > 0.1 * np.abs(expected).mean()  # something is compared
    assert np.max(np.abs(found - expected) / np.maximum(np.abs(expected), 1.0)) < RELATIVE


@pytest.mark.parametrize("name", COSTS)
def test_a_page_computes_the_cost(programs: Any, name: str) -> None:
    cost, x_o = COSTS[name]
    found = evaluated(programs, export_cost(cost, x_o), THETA, x_o)
    compare(found["cost"], cost(THETA, x_o))
    if name in ("networks and links", "capped", "general vector"):
        compare(found["member"], cost.members(THETA, x_o)[:, 1])
    if cost.success is not None:
        assert np.allclose(found["factors"], np.asarray(cost.log_prior_factor(THETA)), atol=1e-5)


def test_another_observation_than_that_which_was_exported(programs: Any) -> None:
    for name in ("directions", "MMD", "absolute", "general series"):
        cost, x_o = COSTS[name]
        other = 1.7 * x_o + 0.3
        compare(evaluated(programs, export_cost(cost, x_o), THETA, other)["cost"], cost(THETA, other))


def test_networks_without_the_quick_kernel(programs: Any) -> None:
    assert programs.evaluate("lib.kernel.now !== null")
    for name in ("networks and links", "general vector"):
        cost, x_o = COSTS[name]
        compare(evaluated(programs, export_cost(cost, x_o), THETA, x_o, quick=False)["cost"], cost(THETA, x_o))


def test_values_left_out_by_hand_are_missing_values(programs: Any) -> None:
    for name in ("polynomial", "directions", "networks and links", "absolute"):
        cost, x_o = COSTS[name]
        weights = [float(j % 3 != 1) for j in range(x_o.size)]
        found = evaluated(programs, export_cost(cost, x_o), THETA, x_o, weights=weights)
        compare(found["cost"], cost(THETA, np.where(np.array(weights) > 0, x_o, np.nan)))


def test_weights_are_those_of_a_distance(programs: Any) -> None:
    cost, x_o = COSTS["absolute"]
    weights = [0.5, 2.0, 1.0, 3.0]
    weighted = cost.with_distance(gb.distances.MeanAbsoluteError("prior_predictive", weights=weights))
    found = evaluated(programs, export_cost(cost, x_o), THETA, x_o, weights=weights)
    compare(found["cost"], weighted(THETA, x_o))


def test_weights_of_squares_are_those_of_their_parts(programs: Any) -> None:
    """The cost with weights is linear in them: the parts are differences of costs with and without a value."""
    for name in ("polynomial", "directions"):
        cost, x_o = COSTS[name]
        k, x_o = x_o.size, np.asarray(x_o)
        alone = []
        for j in range(k):
            alone.append(np.asarray(cost(THETA, np.where(np.arange(k) == j, x_o, np.nan)), np.float64))
        weights = np.linspace(0.5, 2.0, k)
        found = evaluated(programs, export_cost(cost, x_o), THETA, x_o, weights=weights.tolist())
        # A value alone is a mean over one coordinate, of which the whole is the mean over all.
        expected = np.sum(weights[:, None] * np.stack(alone), axis=0) / k
        compare(found["cost"], expected)


def test_parameters_held_at_values_stand_among_the_conditions(programs: Any) -> None:
    cost, x_o = COSTS["polynomial"]
    known = with_known(cost, ("size",))
    data = export_cost(known, x_o, np.array([1.3]))
    rest = THETA[:, [0, 2]]
    given = EVALUATE.replace("theta.length / data.order.length", "theta.length / 2")
    found = programs.evaluate(given, [data, rest.astype(float).reshape(-1).tolist(), x_o.tolist(), None, 1, True])
    compare(np.array(found["cost"]), known(rest, x_o, np.full((len(rest), 1), 1.3)))


def test_what_has_no_program_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genbayes.priors.parameter._check_precision", lambda *_: None)
    exact = gb.Cost.exact(lambda theta, x: jnp.sum(theta), names=("a",), x_shape=(1,), units="1")
    with pytest.raises(NotExportable, match="a function in Python"):
        export_cost(exact, np.zeros(1))
    with pytest.raises(NotExportable, match="prior of share is Dirichlet"):
        export_prior(gb.Prior({"share": dist.Dirichlet(jnp.ones(3))}))
    with pytest.raises(NotExportable, match="prior of odd is Weibull"):
        export_prior(gb.Prior({"odd": dist.Weibull(1.0, 2.0)}))


FAMILIES = {
    "uniform": dist.Uniform(-1.0, 3.0),
    "normal": dist.Normal(1.0, 2.0),
    "log-normal": dist.LogNormal(0.5, 0.7),
    "half-normal": dist.HalfNormal(2.0),
    "laplace": dist.Laplace(1.0, 0.5),
    "cauchy": dist.Cauchy(0.3, 2.0),
    "half-Cauchy": dist.HalfCauchy(1.5),
    "logistic": dist.Logistic(-1.0, 0.4),
    "student": dist.StudentT(4.0, 1.0, 0.5),
    "exponential": dist.Exponential(3.0),
    "gamma": dist.Gamma(2.5, 1.5),
    "inverse gamma": dist.InverseGamma(3.0, 2.0),
    "beta": dist.Beta(2.0, 3.5),
    "log-uniform": dist.LogUniform(0.1, 10.0),
    "truncated": dist.TruncatedNormal(0.5, 1.0, low=0.0, high=2.0),
    "from below": dist.TruncatedNormal(0.5, 1.0, low=0.2),
    "from above": dist.TruncatedNormal(0.5, 1.0, high=0.7),
    "vector": dist.Normal(jnp.array([0.0, 3.0]), 2.0),
    "joint": dist.MultivariateNormal(jnp.array([1.0, -1.0]), jnp.array([[2.0, 0.7], [0.7, 0.5]])),
}
DENSITY = """([data, given]) => {
  const prior = new lib.Prior(data);
  const u = Float64Array.from(given);
  const n = u.length / prior.dim;
  const slopes = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < prior.dim; j++) {
      const at = u[i * prior.dim + j];
      const [below, above] = [at - 1e-5, at + 1e-5].map((place) => prior.coordinates[j].value(place));
      slopes[i] += Math.log(Math.abs(above - below) / 2e-5);
    }
  }
  const theta = prior.values(u, n);
  const parts = { theta, back: prior.unconstrained(theta, n), density: prior.logDensities(u, n), slopes };
  return Object.fromEntries(Object.entries(parts).map(([name, values]) => [name, Array.from(values)]));
}"""


@pytest.mark.parametrize("name", FAMILIES)
def test_a_page_has_the_density_of_a_prior(programs: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # Draws by which a prior checks single precision take seconds to compile.
    monkeypatch.setattr("genbayes.priors.parameter._check_precision", lambda *_: None)
    described, given = export_prior(gb.Prior({"a": FAMILIES[name]})), FAMILIES[name]
    size = len(described[0]["at"])
    u = np.random.default_rng(3).normal(size=50 * size)
    found = {part: np.array(values) for part, values in programs.evaluate(DENSITY, [described, u.tolist()]).items()}
    assert np.allclose(found["back"], u, atol=1e-5)
    theta = found["theta"] if size == 1 else found["theta"].reshape(-1, size)
    # One at a time, because numpyro's formulas rely on implicit broadcasting.
    expected = np.asarray(jax.vmap(given.log_prob)(jnp.asarray(theta)), np.float64).reshape(50, -1).sum(axis=1)
    # log p(u) = log p(theta) + log |d theta / d u|, up to a constant.
    assert np.ptp(found["density"] - found["slopes"] - expected) < 2e-4  # of single precision, and of the quotient


def test_integers_are_steps_of_a_normal_number(programs: Any) -> None:
    prior = gb.Prior({"k": dist.Binomial(6, 0.3), "a": dist.Uniform(0.0, 1.0)})
    u = np.random.default_rng(0).standard_normal((400, 2))
    code = "([data, u]) => Array.from(new lib.Prior(data).values(Float64Array.from(u), u.length / 2))"
    found = np.array(programs.evaluate(code, [export_prior(prior), u.reshape(-1).tolist()])).reshape(-1, 2)
    expected = np.asarray(prior.from_unconstrained(u.astype(np.float32)))
    assert np.array_equal(found[:, 0], expected[:, 0])
    assert np.allclose(found[:, 1], expected[:, 1], atol=1e-6)


def test_the_error_function(programs: Any) -> None:
    from scipy.special import erf

    x = np.linspace(-7, 7, 2001)
    assert np.max(np.abs(np.array(programs.evaluate("(x) => x.map(lib.erf)", x.tolist())) - erf(x))) < 1e-10
