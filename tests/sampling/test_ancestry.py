"""How well SMC's draws know the shares of modes, by the draws of the prior that they descend from."""

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.sampling.ancestry import ancestral_size, effective_size
from genbayes.sampling.convergence import bulk_size

SHARE, STD, AT = 0.3, 0.2, 1.5


def mixture(dim: int) -> gb.GibbsPosterior:
    """Two normal modes at -AT and AT of all parameters, 15 standard deviations apart, with shares 0.3 and 0.7."""

    def cost(theta, x_o):
        low, high = (jnp.sum((theta - at) ** 2) / 2 / STD**2 for at in (-AT, AT))
        return -jnp.logaddexp(jnp.log(SHARE) - low, jnp.log(1 - SHARE) - high) + 0 * x_o[0]

    prior = gb.Prior.uniform([-3.0] * dim, [3.0] * dim)
    exact = gb.Cost.exact(cost, names=prior.names, x_shape=(1,), units="1")
    return gb.GibbsPosterior(prior, exact, [0.0], 1.0)


def test_families_that_share_a_value_count_as_one() -> None:
    rng = np.random.default_rng(0)
    ancestor = np.repeat(np.arange(50), 10)[None] * np.ones((4, 1), int)
    together = np.repeat(rng.normal(size=(200, 400)), 10, axis=0)
    apart = rng.normal(size=(2000, 400))
    # 200 families know a variance to 10 %, and 400 functions the mean of its inverse to 0.5 %, with a bias of 1 %.
    assert effective_size(together, ancestor).mean() == pytest.approx(200, rel=0.03)
    # Here what would be more than all draws counts as all: of an error of 10 % the half above is lost, 4 %.
    assert effective_size(apart, ancestor).mean() == pytest.approx(0.96 * 2000, rel=0.02)
    # Ancestors of two chains are others, though they bear one number.
    one = np.zeros((2, 500), int)
    sizes = effective_size(rng.normal(size=(1000, 400)) + np.repeat([0.0, 1.0], 500)[:, None], one)
    assert np.all(sizes < 20)
    assert np.isnan(effective_size(np.ones((10, 1)), np.zeros((1, 10), int)))[0]


def spread_and_error(dim: int, seeds: int) -> tuple[float, float, float, float]:
    """Standard deviation of a mode's share between seeds; mean standard errors: stated, by `ess_bulk`, by chains."""
    posterior = mixture(dim)
    shares, errors = [], []
    for seed in range(seeds):
        draws = posterior.sample(2000, seed=seed)
        left = draws.theta[..., 0] < 0
        sizes = [np.min(draws.ess_bulk), np.min(bulk_size(draws.theta))]
        shares.append(left.mean())
        errors.append([draws.standard_error(left), *(left.std() / np.sqrt(sizes))])
    assert np.mean(shares) == pytest.approx(SHARE, abs=4 * np.std(shares) / np.sqrt(seeds))
    return float(np.std(shares, ddof=1)), *np.mean(errors, axis=0).tolist()


@pytest.mark.parametrize("dim", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_the_share_of_a_mode_is_known_as_well_as_is_said(dim: int) -> None:
    spread, stated, by_size, by_chains = spread_and_error(dim, 40)
    # 40 seeds know a standard deviation to 11 %; the least of several effective sizes errs to the cautious side.
    assert 0.7 < spread / stated < 1.35
    assert 0.65 < spread / by_size < 1.35
    # The mutant: what chains say by themselves.
    assert by_chains < 0.8 * stated


def test_one_mode_is_worth_its_draws() -> None:
    prior = gb.Prior.uniform([-3.0] * 3, [3.0] * 3)
    cost = gb.Cost.exact(lambda theta, x_o: jnp.sum((theta - x_o) ** 2), names=prior.names, x_shape=(3,), units="1")
    draws = gb.GibbsPosterior(prior, cost, np.zeros(3), 50.0).sample(2000, seed=0)
    # Moves carry particles through the one mode, so that relatives are independent; the least of ten sizes is lower.
    assert draws.ess_ancestral.min() > 1000
    assert draws.outcome.ok


def test_few_ancestors_are_told() -> None:
    rng = np.random.default_rng(3)
    ancestor = np.repeat(np.arange(8), 63)[None, :500] * np.ones((4, 1), int)
    # Every family is in one of two modes, and each chain has as many families in one as every other.
    side = np.stack([rng.permutation(np.repeat([-1.0, 1.0], 4)) for _ in range(4)])
    theta = np.take_along_axis(side, ancestor, axis=1)[..., None] + 0.01 * rng.normal(size=(4, 500, 1))
    shuffled = rng.permuted(np.broadcast_to(np.arange(500), (4, 500)), axis=1)
    theta = np.take_along_axis(theta, shuffled[..., None], axis=1).astype(np.float32)
    relatives = np.take_along_axis(ancestor, shuffled, axis=1)
    draws = gb.Draws(theta, np.zeros((4, 500), np.float32), ("a",), 1.0, np.zeros(1), "SMC", 0, {"ancestor": relatives})
    assert draws.ess_bulk[0] < 60
    told = str(draws.outcome)
    assert "shares of the draws along a are uncertain" in told
    assert "min_particles" in told
    # Without the ancestors nothing shows it.
    unaware = replace(draws, statistics={})
    assert unaware.outcome.ok
    assert unaware.ess_bulk[0] > 1000
    with pytest.raises(ValueError, match=r"values has shape \(4, 9\), expected one number a draw: \(4, 500\)"):
        draws.standard_error(np.zeros((4, 9)))


def test_stacks_and_files_keep_the_ancestors(tmp_path: Path) -> None:
    posterior = mixture(2)
    stack = gb.GibbsPosteriors(posterior.prior, posterior.cost, np.zeros((2, 1)), [0.1, 1.0])
    draws = stack.sample(400, seed=1, progress=False)
    one = draws.draws(1, 0)
    np.testing.assert_array_equal(draws.ess_bulk[1, 0], one.ess_bulk)
    np.testing.assert_array_equal(one.ess_ancestral, ancestral_size(one.theta, np.asarray(one.statistics["ancestor"])))
    draws.save(tmp_path / "stack.zarr")
    np.testing.assert_array_equal(gb.StackedDraws.load(tmp_path / "stack.zarr").ess_bulk, draws.ess_bulk)
    one.save(tmp_path / "one.zarr")
    np.testing.assert_array_equal(gb.Draws.load(tmp_path / "one.zarr").ess_bulk, one.ess_bulk)
