"""`gb.joint`: several data sets that share parameters.

The law: cost_a = ||A (t0, t1) - x_a||^2, cost_b = ||B (t2, t1) - x_b||^2, and a normal prior. The Gibbs posterior is
normal with precision P = 1 / s^2 + 2 beta_a A'A + 2 beta_b B'B, each in its own coordinates, and mean P^-1 (2 beta_a
A'x_a + 2 beta_b B'x_b).
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.sampling.joint import remedy_for_joint

A = np.array([[1.0, 0.5], [0.0, 1.0], [0.3, -0.4]])
B = np.array([[1.0, -1.0], [0.5, 0.8]])
X_A, X_B = np.array([1.0, -0.5, 0.2]), np.array([0.7, 1.3])
BETA_A, BETA_B = 1.5, 4.0
SD = np.array([1.0, 2.0, 1.5])
PRIOR = gb.Prior({f"t{i}": dist.Normal(0.0, sd) for i, sd in enumerate(SD)})


def cost_of_a(theta, x):
    return jnp.sum((jnp.asarray(A, jnp.float32) @ theta - x) ** 2)


def cost_of_b(theta, x):
    return jnp.sum((jnp.asarray(B, jnp.float32) @ theta - x) ** 2)


COST_A = gb.Cost.exact(cost_of_a, names=("t0", "t1"), x_shape=(3,), units="mV^2")
COST_B = gb.Cost.exact(cost_of_b, names=("t2", "t1"), x_shape=(2,), units="mV^2")
DATA = {"a": (COST_A, X_A, BETA_A), "b": (COST_B, X_B, BETA_B)}


def answer(beta_a=BETA_A, beta_b=BETA_B, columns_b=(2, 1)):
    """Mean and covariance of the law."""
    matrices = np.zeros((2, 3, 3))
    matrices[0][:, [0, 1]], matrices[1][:2, list(columns_b)] = A, B
    betas, x = (beta_a, beta_b), (X_A, np.r_[X_B, 0.0])
    precision = np.diag(1 / SD**2) + sum(2 * b * m.T @ m for b, m in zip(betas, matrices, strict=True))
    covariance = np.linalg.inv(precision)
    return covariance @ sum(2 * b * m.T @ y for b, m, y in zip(betas, matrices, x, strict=True)), covariance


def agrees(draws, mean, covariance):
    """Whether mean and covariance of draws are those of the law, within five standard errors of each number.

    Of n independent normal draws a mean has the variance C_ii / n, a covariance (C_ii C_jj + C_ij^2) / n; n is the
    least effective size. Of nine numbers one lies beyond five standard errors in 5e-6 of all seeds.
    """
    flat, n = np.asarray(draws, np.float64), float(draws.ess_bulk.min())
    variance = np.diag(covariance)
    off_mean = np.abs(flat.mean(axis=0) - mean) / np.sqrt(variance / n)
    off_covariance = np.abs(np.cov(flat.T) - covariance) / np.sqrt((np.outer(variance, variance) + covariance**2) / n)
    return bool(max(off_mean.max(), off_covariance.max()) < 5)


@pytest.fixture(scope="module")
def draws():
    return gb.joint(DATA, PRIOR).sample(8000, seed=0)


def test_mean_and_covariance_are_those_of_the_law(draws):
    assert draws.outcome.ok
    assert draws.names == ("t0", "t1", "t2")
    assert agrees(draws, *answer())


@pytest.mark.parametrize(
    "wrong", [{"beta_b": 1e-9}, {"beta_b": 1.0}, {"beta_a": 2 * BETA_A}, {"columns_b": (1, 2)}], ids=str
)
def test_the_comparison_tells_wrong_laws_apart(draws, wrong):
    assert not agrees(draws, *answer(**wrong))


@pytest.mark.long
@pytest.mark.slow
def test_nuts_samples_the_same(draws):
    nuts = gb.joint(DATA, PRIOR).sample(3000, seed=1, sampler=gb.NUTS())
    assert agrees(nuts, *answer())


def test_the_cost_is_the_sum_in_nats_and_each_data_set_has_its_own(draws):
    posterior = gb.joint(DATA, PRIOR)
    theta = np.asarray(draws)[:50].astype(np.float64)
    a = np.sum((theta[:, [0, 1]] @ A.T - X_A) ** 2, axis=1)
    b = np.sum((theta[:, [2, 1]] @ B.T - X_B) ** 2, axis=1)
    np.testing.assert_allclose(draws.cost.reshape(-1)[:50], BETA_A * a + BETA_B * b, rtol=1e-4)
    np.testing.assert_allclose(posterior.cost_at(theta), BETA_A * a + BETA_B * b, rtol=1e-4)
    log_prior = np.sum(-0.5 * (theta / SD) ** 2 - np.log(SD * np.sqrt(2 * np.pi)), axis=1)
    np.testing.assert_allclose(posterior.log_density(theta), log_prior - BETA_A * a - BETA_B * b, rtol=1e-4, atol=1e-4)
    own = posterior.draws_of("b", draws)
    assert (own.names, own.beta, own.theta.shape) == (("t2", "t1"), BETA_B, (*draws.cost.shape, 2))
    np.testing.assert_allclose(own.cost.reshape(-1)[:50], b, rtol=1e-4)
    np.testing.assert_array_equal(own["t1"], draws["t1"])


def test_the_evidence_is_that_of_the_law(draws):
    mean, covariance = answer()
    least = float(gb.joint(DATA, PRIOR).cost_at(mean) + 0.5 * np.sum((mean / SD) ** 2))
    expected = 0.5 * np.linalg.slogdet(covariance)[1] - np.log(SD).sum() - least
    each = np.asarray(draws.statistics["log_evidence_per_population"])
    # Four populations: five standard errors, and a hundredth for the bias of a logarithm.
    assert abs(draws.statistics["log_evidence"] - expected) < 5 * each.std(ddof=1) / 2 + 0.01


def test_one_data_set_alone_is_its_gibbs_posterior():
    prior = PRIOR.select(["t2", "t1"])
    joint = gb.joint([(COST_B, X_B, BETA_B)], prior).sample(1000, seed=3)
    alone = gb.GibbsPosterior(prior, COST_B, X_B, BETA_B).sample(1000, seed=3)
    # Draw by draw, but for rounding; that may turn a decision, and then one of four populations goes another way.
    same = np.isclose(joint.theta, alone.theta, rtol=1e-4, atol=1e-4).all(axis=(1, 2))
    assert same.sum() >= 3
    np.testing.assert_allclose(joint.cost[same], BETA_B * alone.cost[same], rtol=1e-3, atol=1e-3)
    assert joint.statistics["log_evidence"] == pytest.approx(alone.statistics["log_evidence"], abs=1e-2)


def test_the_same_data_twice_count_twice():
    prior = PRIOR.select(["t2", "t1"])
    twice = gb.joint([(COST_B, X_B, 2.0)] * 2, prior)
    theta = np.array([[0.3, -0.2], [1.0, 2.0]])
    np.testing.assert_allclose(
        twice.log_density(theta), gb.GibbsPosterior(prior, COST_B, X_B, 4.0).log_density(theta), rtol=1e-5
    )


def test_it_says_what_it_is(draws):
    posterior = gb.joint(DATA, PRIOR)
    assert repr(posterior) == "JointPosterior(parameters t0, t1, t2; data sets a (beta 1.5), b (beta 4))"
    assert "mV^2" in posterior._repr_html_()
    assert "4000" not in repr(draws)
    assert list(gb.joint(list(DATA.values()), PRIOR).parts) == ["data set 1", "data set 2"]


NAMED_C = gb.Cost.exact(cost_of_b, names=("t2", "k"), x_shape=(2,), units="mV^2")
VECTOR = gb.Prior({"t": dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2)), "t1": dist.Normal(0.0, 1.0)})
COORDINATE = gb.Cost.exact(cost_of_b, names=("t[0]", "t1"), x_shape=(2,), units="mV^2")


@pytest.mark.parametrize(
    ("data", "prior", "error", "message"),
    [
        ({"c": (NAMED_C, X_B, 1.0)}, PRIOR, ValueError, r"c: its cost has the parameters \(t2, k\).* lacks k"),
        ({"b": (COST_B, X_B, 1.0)}, PRIOR, ValueError, r"the prior has t0, which no data set's cost knows.*leave it"),
        ({"a": (COST_A, X_B, 1.0)}, PRIOR, ValueError, r"a: x_o has shape \(2,\)"),
        ({"a": (COST_A, X_A, -1.0)}, PRIOR, ValueError, "a: beta must be a finite number greater than 0"),
        ({"a": (COST_A, X_A, None)}, PRIOR, TypeError, "a: beta is missing"),
        ({"a": (COST_A, X_A)}, PRIOR, TypeError, r"a must be \(cost, x_o, beta\).*got 2 items"),
        ({"a": (COST_A, X_A, 1.0, {"dose": 1.0})}, PRIOR, ValueError, r"a: conditions has the names \['dose'\]"),
        ({"a": ("cost", X_A, 1.0)}, PRIOR, TypeError, "a: "),
        ({"v": (COORDINATE, X_B, 1.0)}, VECTOR, ValueError, r"v: `names` is \(t\[0\], t1\).*parameters come whole"),
        ({}, PRIOR, ValueError, "data_sets is empty"),
        ("ab", PRIOR, TypeError, "data_sets must be a list or a mapping"),
        (DATA, "prior", TypeError, "prior"),
    ],
)
def test_what_cannot_be_joined(data, prior, error, message):
    with pytest.raises(error, match=message):
        gb.joint(data, prior)


def test_what_looks_at_one_data_set_refuses_the_joint_posterior(draws):
    posterior = gb.joint(DATA, PRIOR)
    with pytest.raises(TypeError, match="JointPosterior"):
        gb.check(posterior, draws, seed=0)  # pyright: ignore
    assert "posterior.parts[name]" in remedy_for_joint(posterior)
    assert not remedy_for_joint(posterior.parts["a"])
    with pytest.raises(AttributeError, match=r"posterior.parts\[name\].cost.*draws_of"):
        posterior.cost  # noqa: B018
    with pytest.raises(KeyError, match="no data set 'c'; the data sets are a, b"):
        posterior.draws_of("c", draws)
    with pytest.raises(ValueError, match="not this posterior's"):
        posterior.draws_of("a", posterior.draws_of("b", draws))
    one, other = (posterior.fix({"t1": value}) for value in (0.1, 0.2))
    with pytest.raises(ValueError, match=r"t1 = 0.1\) of the parameters t0, t2, the posterior is .*t1 = 0.2"):
        other.draws_of("a", one.sample(100, seed=0))


def test_held_parameters_are_held_in_all_data_sets(draws):
    posterior = gb.joint(DATA, PRIOR)
    fixed = posterior.fix({"t1": 0.4})
    theta = np.array([[0.3, -0.2], [1.0, 2.0]])
    whole = np.insert(theta, 1, 0.4, axis=1)
    difference = np.asarray(fixed.log_density(theta)) - np.asarray(posterior.log_density(whole))
    # They differ by the prior density of the value.
    np.testing.assert_allclose(difference, difference[0], rtol=1e-4)
    assert fixed.prior.names == ("t0", "t2")
    assert fixed.held == {"t1": np.float32(0.4)}
    mean, covariance = answer()
    # The conditional of a normal distribution.
    slope = covariance[[0, 2], 1] / covariance[1, 1]
    expected = mean[[0, 2]] + slope * (0.4 - mean[1])
    rest = covariance[np.ix_([0, 2], [0, 2])] - np.outer(slope, covariance[1, [0, 2]])
    found = fixed.sample(4000, seed=2)
    assert agrees(found, expected, rest)
    assert found.conditions == {"t1": np.float32(0.4)}
    with pytest.raises(ValueError, match="all parameters of the data set a"):
        posterior.fix({"t0": 0.0, "t1": 0.0})


def test_a_posterior_with_a_held_parameter_is_a_data_set():
    wide = gb.Prior.uniform([-9.0] * 2, [9.0] * 2, ["t2", "k"])
    known = gb.GibbsPosterior(wide, NAMED_C, X_B, BETA_B).fix({"k": 0.4})
    posterior = gb.joint({"a": (COST_A, X_A, BETA_A), "c": known}, PRIOR)
    held = gb.joint(DATA, PRIOR).fix({"t1": 0.4})
    theta = np.array([[0.3, 0.4, -0.2], [1.0, 0.4, 2.0]])
    np.testing.assert_allclose(posterior.cost_at(theta), held.cost_at(theta[:, [0, 2]]), rtol=1e-5)
    other = gb.GibbsPosterior(wide, NAMED_C, X_B, BETA_B).fix({"k": 0.5})
    with pytest.raises(ValueError, match="holds k at 0.5, and another data set at 0.4"):
        gb.joint({"c": known, "d": other}, PRIOR.select(["t2"]))
    both = gb.Prior({"t0": dist.Normal(), "t1": dist.Normal(), "t2": dist.Normal(), "k": dist.Normal()})
    with pytest.raises(ValueError, match="c knows k = 0.4, but the prior has it as a parameter"):
        gb.joint({"a": (COST_A, X_A, BETA_A), "b": (NAMED_C, X_B, 1.0), "c": known}, both)


# The whole path with fitted costs: known conditions, gaps, and runs that fail.
SHARED = gb.Prior({"level": dist.Uniform(0.0, 2.0), "slope": dist.Uniform(-1.0, 1.0)})
GAINS = gb.Prior({"gain": dist.Uniform(0.5, 2.0)})


def simulate_levels(key, theta, conditions):
    return conditions[0] * theta[0] * jnp.ones(3) + 0.3 * jax.random.normal(key, (3,))


def simulate_line(key, theta):
    x = theta[1] + theta[0] * jnp.arange(2) + 0.3 * jax.random.normal(key, (2,))
    # Some runs fail at high levels: P(success) falls from 1 to about a half there.
    fails = (theta[1] > 1.0) & (jax.random.uniform(jax.random.fold_in(key, 1)) < 0.5 * (theta[1] - 1.0))
    return jnp.where(fails, jnp.nan, x)


@pytest.fixture(scope="module")
def fitted():
    first = gb.simulate(simulate_levels, SHARED.select(["level"]), 2000, seed=0, conditions=GAINS, progress=False)
    second = gb.simulate(simulate_line, SHARED.select(["slope", "level"]), 2000, seed=1, progress=False)
    error = gb.distances.MeanSquaredError()
    return gb.fit_cost(first, error, progress=False), gb.fit_cost(second, error, progress=False)


@pytest.mark.long
@pytest.mark.slow
def test_fitted_costs_with_conditions_gaps_and_failures(fitted):
    levels, line = fitted
    x_a, x_b = np.array([1.5, np.nan, 1.7]), np.array([1.0, 1.2])
    posterior = gb.joint({"levels": (levels, x_a, 10.0, {"gain": 1.5}), "line": (line, x_b, 8.0)}, SHARED)
    draws = posterior.sample(4000, seed=0)
    assert draws.conditions == {"gain": 1.5}
    # On a grid: the means of squares plus the noise's variance, the probability of success, a flat prior.
    level, slope = np.meshgrid(np.linspace(0, 2, 401), np.linspace(-1, 1, 401), indexing="ij")
    log = -10.0 * ((1.5 * level - 1.5) ** 2 + (1.5 * level - 1.7) ** 2) / 2
    log += -8.0 * ((level - 1.0) ** 2 + (level + slope - 1.2) ** 2) / 2
    without = np.exp(log - log.max())
    weights = without * (1 - 0.5 * np.clip(level - 1.0, 0, 1))
    for weight, name, axis in ((weights, "level", level), (weights, "slope", slope)):
        mean = np.sum(weight * axis) / weight.sum()
        sd = np.sqrt(np.sum(weight * (axis - mean) ** 2) / weight.sum())
        # A tenth of the posterior's width for what 2000 runs leave open, and five standard errors of the draws.
        assert abs(draws[name].mean() - mean) < 0.1 * sd + 5 * sd / np.sqrt(draws.ess_bulk.min())
        assert draws[name].std() == pytest.approx(sd, rel=0.1)
    theta = np.array([[1.8, 0.1], [0.5, 0.1]])
    expected = posterior.prior.log_density(theta) - posterior.cost_at(theta) + line.log_success(theta[:, [1, 0]])
    np.testing.assert_allclose(posterior.log_density(theta), expected, rtol=1e-5)
    target = posterior._target
    u = posterior.prior.to_unconstrained(theta)
    np.testing.assert_allclose(jax.vmap(target.log_success)(u), line.log_success(theta[:, [1, 0]]), rtol=1e-4)
    assert float(line.log_success(np.array([0.1, 1.8]))) < -0.3


@pytest.mark.slow
def test_each_data_set_is_checked_by_itself(fitted):
    levels, line = fitted
    x_a, x_b = np.array([1.5, np.nan, 1.7]), np.array([1.0, 1.2])
    posterior = gb.joint({"levels": (levels, x_a, 10.0, {"gain": 1.5}), "line": (line, x_b, 8.0)}, SHARED)
    draws = posterior.sample(400, seed=0)
    for name, simulator in (("levels", simulate_levels), ("line", simulate_line)):
        part, own = posterior.parts[name], posterior.draws_of(name, draws)
        found = gb.check_predictive(simulator, part, own, 200, seed=5, progress=False)
        assert abs(found.relative_error) < 5 * found.standard_error + 0.05


def test_messages_name_their_data_set(fitted):
    levels, line = fitted
    wide = gb.Prior({"level": dist.Uniform(0.0, 4.0), "slope": dist.Uniform(-1.0, 1.0)})
    data = {"levels": (levels, np.ones(3), 10.0, {"gain": 2.5}), "line": (line, np.ones(2), 8.0)}
    messages = gb.joint(data, wide).outcome.messages
    assert any(m.startswith("levels: ") and "of the prior lies outside the range" in m for m in messages)
    assert any(m.startswith("line: ") and "of the prior lies outside the range" in m for m in messages)
    assert any(m.startswith("levels: The condition gain = 2.5 lies outside") for m in messages)
