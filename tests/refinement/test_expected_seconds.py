"""Draws of a round by what their runs take, against the law of optimal shares."""

from dataclasses import replace

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import zarr

import genbayes as gb
from genbayes.refinement.expected_seconds import ExpectedSeconds, expected_seconds
from genbayes.refinement.proposals import TEMPERS, proposals, shares

SD, BETA = 0.5, 20.0
PRIOR = gb.Prior({"a": dist.Normal(0.0, 1.0), "b": dist.Normal(0.0, 1.0)})
X_O = np.array([1.0, -0.5], np.float32)
QUICK = gb.FitConfig(members=2, width=16, depth=1, max_epochs=10)


def simulator(key, theta):
    return theta + SD * jax.random.normal(key, (2,))


def with_seconds(n: int, slope: float, noise: float = 0.1) -> gb.Simulations:
    """Runs whose seconds follow the first parameter, but for a tenth that a busy machine has kept a hundred times."""
    rng = np.random.default_rng(5)
    simulations = gb.simulate(simulator, PRIOR, n, seed=0, progress=False)
    log_seconds = np.log(0.5) + slope * simulations.theta[:, 0] + noise * rng.normal(size=n)
    log_seconds[::10] += np.log(100)
    return replace(simulations, run_seconds=np.exp(log_seconds).astype(np.float32))


def test_what_runs_take_is_learned_in_spite_of_stalled_ones():
    found = expected_seconds(with_seconds(300, 1.2))
    assert found is not None
    at = np.array([[-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 0.0]])
    # The loss grows linearly: a tenth of stalled runs shifts all alike by some .02. Coefficients of 270 others, with a
    # noise of .1, have standard errors of .1 / sqrt(270) = .006; least squares are off by log(100) / 10 = .46.
    log_error = np.log(found(at)) - np.log(0.5) - 1.2 * at[:, 0]
    assert np.abs(log_error).max() < 0.1
    few = expected_seconds(with_seconds(50, 1.2))
    assert few is not None
    assert np.abs(np.log(few(at)) - np.log(0.5) - 1.2 * at[:, 0]).max() < 0.3


def test_nothing_is_chosen_where_seconds_are_not_known_or_not_told_by_parameters():
    runs = with_seconds(300, 1.2)
    assert expected_seconds(runs) is not None
    # Not known, of too few runs, of fast ones, of equal ones, and of those that only differ by chance.
    assert expected_seconds(gb.simulate(simulator, PRIOR, 300, seed=0, progress=False)) is None
    assert expected_seconds(runs.selected(np.arange(39))) is None
    assert expected_seconds(replace(runs, run_seconds=runs.run_seconds / 1000)) is None
    assert expected_seconds(replace(runs, run_seconds=np.full(300, 2, np.float32))) is None
    for n in (40, 60, 300):
        assert expected_seconds(with_seconds(n, 0.0, noise=1.0)) is None


def test_draws_are_chosen_by_the_inverse_root_of_their_seconds():
    """An exponential tilt of a normal posterior: exp(-s u / 2) moves its mean by -s / 2 standard deviations."""
    cost = gb.Cost.exact(
        lambda theta, x_o: ((theta - x_o) ** 2).mean() + SD**2, names=PRIOR.names, x_shape=(2,), units="1"
    )
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    n = 1200
    share = shares(n, 1)[1]
    for temper in set(TEMPERS):
        precision = 1 + BETA * temper
        mean, std = X_O[0] * BETA * temper / precision, precision**-0.5
        seconds = ExpectedSeconds(np.array([mean, 0.0]), np.array([std, 1.0]), np.array([0.0, 1.0, 0.0]), 1)
        chosen = (proposals(PRIOR, cost, [posterior], n, 3, False, seconds)[share == temper, 0] - mean) / std
        # Without replacement from three draws a row, shifts are a tenth smaller, by simulation; of the 200 draws of
        # the wider posteriors the standard error is .07, of the 800 at beta .035.
        assert abs(chosen.mean() + 0.5) < 0.06 + 4 / np.sqrt(len(chosen)), temper
    alike = proposals(PRIOR, cost, [posterior], n, 3, False)
    np.testing.assert_array_equal(alike, proposals(PRIOR, cost, [posterior], n, 3, False, None))


def test_no_draw_is_left_out():
    steep = ExpectedSeconds(np.zeros(1), np.ones(1), np.array([0.0, 30.0]), 1)
    chances = steep.chances(np.linspace(-1, 1, 101)[:, None])
    assert chances.max() / np.median(chances) == pytest.approx(5)
    assert np.median(chances) / chances.min() == pytest.approx(5)
    assert chances.sum() == pytest.approx(1)


def test_a_round_is_told_and_comes_out_of_its_store_again(tmp_path):
    runs = with_seconds(200, 1.2)
    cost = gb.fit_cost(runs, gb.distances.MeanSquaredError(), config=QUICK, progress=False)
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    options = {"n": 120, "rounds": 1, "seed": 1, "progress": False}

    def new(refined: gb.Refined) -> np.ndarray:
        return refined.simulations.theta[200:]

    refined = gb.refine(posterior, simulator, runs, store=tmp_path / "runs.zarr", **options)
    [told] = refined.seconds
    expected = expected_seconds(runs)
    assert expected is not None
    assert told.expected == pytest.approx(expected(new(refined)).mean(), rel=1e-5)
    assert (told.round, told.measured) == (1, None)
    assert f"round 1: draws whose runs take less were chosen more often, for {told.expected:.3g} s" in refined.summary()
    # As after an interruption that has left no parameters: they are drawn by the same seconds, out of the store.
    theta = zarr.open_group(str(tmp_path / "runs.zarr"), mode="r+", use_consolidated=False)["theta"]
    assert isinstance(theta, zarr.Array)
    theta[200:] = np.nan
    with pytest.warns(UserWarning, match="parameters that are not finite"):
        again = gb.refine(posterior, simulator, tmp_path / "runs.zarr", **options)
    np.testing.assert_array_equal(new(again), new(refined))
    off = gb.refine(posterior, simulator, runs, by_seconds=False, **options)
    assert off.seconds == ()
    assert expected(new(off)).mean() > told.expected
