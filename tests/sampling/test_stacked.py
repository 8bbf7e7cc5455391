"""Many observations and betas in one program.

The law: prior N(0, I) of dim 2, cost |theta - x|^2. The Gibbs posterior is normal with mean 2 beta x / (1 + 2 beta)
and variance 1 / (1 + 2 beta); Z(beta) / Z(0) is the product over coordinates of
(1 + 2 beta)^-1/2 exp(-beta x^2 / (1 + 2 beta)).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import genbayes as gb
from genbayes.checks.stack import _unusual
from genbayes.sampling import smc, tempering

PRIOR = gb.Prior({"a": dist.Normal(0.0, 1.0), "b": dist.Normal(0.0, 1.0)})
BETAS = np.array([0.5, 5.0, 50.0])
X = np.random.default_rng(0).normal(0.0, 1.5, (12, 2))


def squared(theta, x):
    return jnp.sum((theta - x) ** 2)


COST = gb.Cost.exact(squared, names=PRIOR.names, x_shape=(2,), units="1")


def stack(x: Any = X, beta: Any = BETAS, cost: gb.Cost = COST) -> gb.GibbsPosteriors:
    return gb.GibbsPosteriors(PRIOR, cost, x, beta)


@pytest.fixture(scope="module")
def draws():
    return stack().sample(2000, seed=3, progress=False)


def test_shapes(draws):
    assert draws.theta.shape == (12, 3, 4, 500, 2)
    assert draws.cost.shape == (12, 3, 4, 500)
    assert draws.rhat.shape == draws.ess_bulk.shape == (12, 3, 2)
    assert "12 observations" in repr(draws)


def test_every_posterior_is_that_of_the_closed_form(draws):
    values = draws.theta.reshape(12, 3, 2000, 2)
    precision = (1 + 2 * BETAS)[None, :, None]
    mean = 2 * BETAS[None, :, None] * X[:, None] / precision
    # 72 z-scores of means, with the draws' own effective size of at least a quarter of their number (below): all lie
    # within 4.5 standard errors, and their root mean square within 1.5.
    z = (values.mean(axis=2) - mean) * np.sqrt(precision * 500)
    assert draws.ess_bulk.min() > 500
    assert np.abs(z).max() < 4.5
    assert np.sqrt(np.mean(z**2)) < 1.5
    # A variance has the relative standard error sqrt(2 / size).
    ratio = values.var(axis=2, ddof=1) * precision
    np.testing.assert_allclose(ratio, 1.0, atol=4.5 * np.sqrt(2 / 500))
    assert abs(np.mean(ratio) - 1) < 4.5 * np.sqrt(2 / 500 / 72) + 0.005
    cost = np.sum((draws.theta - X[:, None, None, None]) ** 2, axis=-1)
    np.testing.assert_allclose(draws.cost, cost, rtol=1e-3, atol=1e-5)


def test_evidence_of_the_whole_grid(draws):
    exact = np.sum(
        -0.5 * np.log1p(2 * BETAS)[None, :, None]
        - BETAS[None, :, None] * X[:, None] ** 2 / (1 + 2 * BETAS)[None, :, None],
        axis=2,
    )
    error = draws.log_evidence.std(axis=2, ddof=1) / 2
    z = (draws.log_evidence.mean(axis=2) - exact) / error
    # Student's t of three degrees of freedom: 36 of them, of median absolute value 0.76.
    assert np.median(np.abs(z)) < 1.6
    # The error itself, from the ESS of half at each of some ten stages with 2,000 particles in all.
    assert np.abs(draws.log_evidence.mean(axis=2) - exact).max() < 0.25


@pytest.mark.parametrize("wrong", ["one temperature for all", "one observation for all"])
def test_the_closed_form_sees_mixed_up_posteriors(draws, wrong):
    theta = np.roll(draws.theta, 1, axis=1 if wrong == "one temperature for all" else 0)
    precision = (1 + 2 * BETAS)[None, :, None]
    z = (theta.mean(axis=(2, 3)) - 2 * BETAS[None, :, None] * X[:, None] / precision) * np.sqrt(precision * 500)
    assert np.abs(z).max() > 20


@pytest.mark.long
@pytest.mark.slow
def test_an_observation_does_not_depend_on_its_companions(draws):
    def share_that_differs(others, theta):
        return np.mean(np.abs(others.theta - theta) > 1e-2)

    # Chunks of one, of five (with a last one that is filled up), and of all. Other shapes round otherwise, and what
    # was rounded decides, now and then, which particle is resampled: a few draws differ, not all.
    for at_once in (2000, 10_000):
        others = stack().sample(2000, seed=3, at_once=at_once, progress=False)
        assert share_that_differs(others, draws.theta) < 0.2
    assert share_that_differs(stack(X[:4]).sample(2000, seed=3, progress=False), draws.theta[:4]) < 0.2
    assert share_that_differs(stack().sample(2000, seed=4, progress=False), draws.theta) > 0.9


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other backends evaluate all observations at once")
def test_observations_that_only_fill_up_a_chunk_are_not_evaluated():
    evaluated = []

    def counted(theta, x):
        jax.debug.callback(lambda value: evaluated.append(float(value)), x[0])
        return jnp.sum((theta - x) ** 2)

    cost = gb.Cost.exact(counted, names=PRIOR.names, x_shape=(2,), units="1")
    sampler = gb.SMC(populations=2, min_particles=50)
    # Observations near and far: the far ones need more stages.
    x = np.array([[0.1, 0.0], [0.2, 0.0], [20.0, 20.0]])
    posteriors = gb.GibbsPosteriors(PRIOR, cost, np.concatenate([x, x[-1:]]), 20.0)
    targets, key = posteriors._targets(np.arange(4)), jax.random.key(0)
    wanted = sampler.run_ladders(targets, 100, key=key, first=0, count=3)
    jax.effects_barrier()
    shares = {value: evaluated.count(np.float32(value)) / evaluated.count(np.float32(0.1)) for value in x[:, 0]}
    assert wanted.theta.shape[0] == 3
    stages = wanted.stages.max(axis=1)
    assert stages[2] > stages[0] + 2
    # Evaluations follow the stages of each observation (leapfrog steps of a stage vary: 2 to 8 in two moves); the
    # fourth observation, a copy of the third, would double the third's.
    assert 0.5 * stages[2] / stages[0] < shares[20.0] < 1.5 * stages[2] / stages[0]
    everything = sampler.run_ladders(targets, 100, key=key, first=0)
    np.testing.assert_array_equal(everything.theta[:3], wanted.theta)


def test_observations_have_independent_noise():
    same = stack(np.tile(X[:1], (8, 1)), 5.0).sample(2000, seed=0, progress=False)
    means = same.theta.mean(axis=(1, 2, 3))
    assert len(np.unique(means[:, 0])) == 8
    # Means of independent runs scatter by the standard error of 2,000 draws, not by nothing.
    error = 1 / np.sqrt((1 + 10.0) * 2000)
    assert 0.4 * error < means.std(axis=0).mean() < 3 * error


def test_new_observations_and_betas_compile_nothing(monkeypatch):
    traces = []
    original = tempering._stage
    monkeypatch.setattr(tempering, "_stage", lambda *arguments: traces.append(1) or original(*arguments))
    cost = gb.Cost.exact(lambda theta, x: jnp.sum(jnp.abs(theta - x)), names=PRIOR.names, x_shape=(2,), units="1")
    stack(X, BETAS, cost).sample(200, seed=0, progress=False)
    assert traces
    traces.clear()
    stack(X + 1, 2 * BETAS, cost).sample(200, seed=1, progress=False)
    assert not traces
    stack(X[:5], BETAS, cost).sample(200, seed=1, progress=False)
    assert traces  # another number of observations in a chunk is another program: the count does count


def test_two_modes_keep_their_weights():
    # |theta_a| enters: both signs are equally good.
    cost = gb.Cost.exact(
        lambda theta, x: (jnp.abs(theta[0]) - x[0]) ** 2 + theta[1] ** 2, names=PRIOR.names, x_shape=(2,), units="1"
    )
    draws = stack(np.tile([[1.2, 0.0]], (6, 1)), 40.0, cost).sample(2000, seed=0, progress=False)
    share = np.mean(draws.theta[..., 0] > 0, axis=(1, 2, 3))
    # Four populations of 500 resampled some eight times: each resampling adds p (1 - p) / 500.
    np.testing.assert_allclose(share, 0.5, atol=4 * 0.5 * np.sqrt(9 / 2000))


@pytest.mark.long
@pytest.mark.slow
def test_ten_thousand_observations_within_the_bound():
    prior = gb.Prior({"a": dist.Normal(0.0, 1.0)})
    cost = gb.Cost.exact(lambda theta, x: jnp.sum((theta - x) ** 2), names=prior.names, x_shape=(1,), units="1")
    x = np.random.default_rng(1).normal(size=(10_000, 1))
    sizes = []
    sampler = gb.SMC(populations=2, min_particles=50)
    original = smc.SMC.run_ladders

    def watched(self, targets, n, **settings):
        sizes.append(targets.conditions.shape[0] * self.populations * max(n // self.populations, self.min_particles))
        return original(self, targets, n, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smc.SMC, "run_ladders", watched)
        draws = gb.GibbsPosteriors(prior, cost, x, 10.0).sample(100, seed=0, sampler=sampler, progress=False)
    assert len(draws) == 10_000
    assert set(sizes) == {16_300}  # 163 observations of 100 particles: as many as fit into 16,384
    mean = draws.theta.mean(axis=(1, 2, 3, 4))
    z = (mean - 20 / 21 * x[:, 0]) * np.sqrt(21 * 100)
    assert 0.9 < z.std() < 1.4
    assert abs(z.mean()) < 0.05
    assert draws.suspect.mean() < 0.25  # the diagnostics of 100 draws are noisy themselves
    np.testing.assert_array_equal(draws.first(2).suspect, draws.suspect[:2])


def test_single_posteriors_and_their_files(draws, tmp_path):
    one = draws.draws(7, 1)
    assert isinstance(one, gb.Draws)
    assert one.beta == 5.0
    np.testing.assert_array_equal(one.theta, draws.theta[7, 1])
    np.testing.assert_allclose(one.rhat, draws.rhat[7, 1], rtol=1e-5)
    np.testing.assert_allclose(one.ess_bulk, draws.ess_bulk[7, 1], rtol=1e-5)
    assert one.outcome.ok
    assert draws.draws(-1).beta == 50.0
    draws.to_datatree().to_zarr(tmp_path / "draws.zarr", consolidated=False)
    with xr.open_datatree(tmp_path / "draws.zarr", engine="zarr", consolidated=False) as tree:
        back = gb.StackedDraws.from_datatree(tree)
        with pytest.raises(ValueError, match="StackedDraws"):
            gb.StackedDraws.from_datatree(one.to_datatree())
    for name in ("theta", "cost", "betas", "x_o", "log_evidence", "acceptance", "conditions"):
        np.testing.assert_array_equal(getattr(back, name), getattr(draws, name))
    assert (back.names, back.seed, back.messages) == (draws.names, draws.seed, draws.messages)
    assert draws.summary().count("\n") == 11
    assert max(map(len, draws.summary().split("\n"))) <= 80


def test_known_conditions():
    form_cost = gb.Cost.exact(
        lambda theta, x: squared(theta[:2], x) * theta[2], names=PRIOR.names, x_shape=(2,), units="1"
    )
    cost = gb.Cost(form_cost.form, form_cost.distance, PRIOR.names, (2,), condition_names=("precision",))
    known = np.array([1.0, 4.0, 16.0], np.float32)
    stacked = gb.GibbsPosteriors(PRIOR, cost, X[:3], 2.0, conditions={"precision": known})
    draws = stacked.sample(2000, seed=0, progress=False)
    np.testing.assert_allclose(
        draws.theta.var(axis=(1, 2, 3)) * (1 + 4 * known)[:, None], 1.0, atol=4.5 * np.sqrt(2 / 500)
    )
    assert draws.draws(2).conditions == {"precision": 16.0}
    with pytest.raises(ValueError, match=r"of shape \(3, 1\), got shape \(1, 1\)"):
        gb.GibbsPosteriors(PRIOR, cost, X[:3], 2.0, conditions=known[:1, None])


def test_what_is_badly_sampled_is_said():
    draws = stack().sample(200, seed=0, sampler=gb.SMC(max_stages=2), progress=False)
    assert draws.suspect[:, -1].all()
    assert "posteriors are not well sampled (observation 0" in str(draws.outcome)
    assert "stopped after 2 temperatures" in str(draws.draws(0).outcome)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[0], 1.0), r"x_o has shape \(2,\), expected a stack of observations \(m, 2\)"),
        ((X, [5.0, 1.0]), "beta must ascend"),
        ((X, []), "beta is empty"),
        ((X, [0.0, 1.0]), "greater than 0"),
        ((np.where(np.arange(12)[:, None] == 4, np.nan, X), 1.0), "observation number 4: x_o has 2 value"),
        ((X[:, :1], 1.0), "shape"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        stack(*arguments)


def test_bad_settings():
    with pytest.raises(TypeError, match="beta is missing"):
        stack(X, None)
    with pytest.raises(TypeError, match=r"sampler must be genbayes.SMC"):
        stack().sample(10, seed=0, sampler=gb.NUTS())
    with pytest.raises(ValueError, match="n must be a whole number"):
        stack().sample(0, seed=0)


def test_a_stack_of_a_right_simulator_seldom_stands_out():
    """The law of the false discovery rate, and its power: uniform p-values, and a fifth that are far out."""
    rng = np.random.default_rng(0)
    # All null: any found in 5 % of stacks; four standard errors of 500.
    alarms = np.mean([_unusual(rng.uniform(size=40)).any() for _ in range(500)])
    assert alarms < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 500)
    found = [_unusual(np.concatenate([rng.uniform(size=32), np.full(8, 0.001)])) for _ in range(500)]
    assert all(one[32:].all() for one in found)
    # One in twenty of those named, times the share of the null ones; the mutant, all below 0.05, has 1.6 in 9.6.
    assert np.mean([one[:32].sum() / one.sum() for one in found]) < 0.05
    assert not _unusual(np.full(3, np.nan)).any()
