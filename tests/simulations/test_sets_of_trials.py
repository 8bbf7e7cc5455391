"""Simulators of sets whose number of trials varies: filled up, stored, resumed, merged, joined and read again."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import genbayes as gb
from genbayes.distances.unequal_sets import all_trials, in_front, side_by_side, trials_present

PRIOR = gb.Prior.uniform([1.0], [9.0], ["rate"])
NAN = np.nan


def trials_of(theta, rng):
    """A Poisson number of trials, none of them now and then."""
    return rng.normal(theta[0], 1.0, (rng.poisson(theta[0]), 2))


def in_jax(key, theta):
    """The same with NaN for trials that are none, in any place."""
    of_number, of_values = jax.random.split(key)
    there = jax.random.uniform(of_number, (12, 1)) < theta[0] / 10
    return jnp.where(there, theta[0] + jax.random.normal(of_values, (12, 2)), jnp.nan)


def test_sets_are_filled_up_and_none_is_lost() -> None:
    simulations = gb.simulate(gb.sets_of_trials(trials_of, 12), PRIOR, 300, seed=3, progress=False)
    assert simulations.unequal_sets
    assert simulations.x_shape == (12, 2)
    for row in range(len(simulations)):
        rng = np.random.default_rng(np.random.SeedSequence([3, row, 1]))
        own = trials_of(simulations.theta[row].astype(np.float64), rng)
        if 1 <= len(own) <= 12:
            assert simulations.ok[row]
            seen = trials_present(simulations.x[row])
            assert seen.tolist() == [True] * len(own) + [False] * (12 - len(own))
            assert np.allclose(simulations.x[row][seen], own, rtol=1e-6)
        else:
            assert not simulations.ok[row]
            expected = "no trial in the output" if not len(own) else f"{len(own)} trials in the output, more than"
            assert simulations.reasons[simulations.status[row]].startswith(expected)
    assert simulations.n_failed > 0
    assert "sets of 1 to 12 trials" in simulations.summary()


def test_a_jax_simulator_says_by_nan_what_is_no_trial() -> None:
    simulations = gb.simulate(gb.sets_of_trials(in_jax, 15), PRIOR, 200, seed=0, progress=False)
    plain = gb.simulate(in_jax, PRIOR, 200, seed=0, progress=False)
    # Without the word of the user a run with NaN is one that failed.
    assert not plain.unequal_sets
    assert plain.n_failed > simulations.n_failed
    assert simulations.x_shape == (15, 2)
    sizes = trials_present(simulations.x[simulations.ok]).sum(axis=1)
    # Of 12 trials each is there with the probability theta / 10.
    assert abs(np.mean(sizes) / np.mean(1.2 * simulations.theta[simulations.ok]) - 1) < 0.1
    assert np.all(np.diff(trials_present(simulations.x[simulations.ok]).astype(int), axis=1) <= 0)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (np.zeros((0, 2)), "no trial in the output"),
        (np.full((3, 2), NAN), "no trial in the output"),
        (np.zeros((5, 2)), "5 trials in the output, more than max_trials = 4"),
        (np.array([[1.0, NAN], [2.0, 3.0]]), "NaN in a part of a trial (a trial of NaN alone is none)"),
        (np.array([[1.0, np.inf]]), "infinity in the output (float32)"),
        (np.zeros((2, 2, 2)), "the output has shape (2, 2, 2), expected a set (trials, trial_dim)"),
        (np.float64(3.0), "the output has shape (), expected a set (trials, trial_dim)"),
        ({"a": 1.0}, "the output has names, and a set of trials is an array (trials, trial_dim)"),
    ],
)
def test_what_is_no_set_has_failed(output, reason: str) -> None:
    def simulator(theta, rng):
        return np.ones((2, 2)) if theta[0] < 5 else output

    simulations = gb.simulate(gb.sets_of_trials(simulator, 4), PRIOR, 20, seed=0, progress=False)
    failed = simulations.theta[:, 0] >= 5
    assert (simulations.ok == ~failed).all()
    assert {simulations.reasons[code] for code in simulations.status[failed]} == {reason}


def test_single_numbers_are_trials_of_one_coordinate_and_conditions_arrive() -> None:
    def simulator(theta, rng, conditions):
        return rng.normal(theta[0], conditions[0], rng.integers(1, 5))

    known = gb.Prior.uniform([0.5], [1.0], ["spread"])
    simulations = gb.simulate(gb.sets_of_trials(simulator, 4), PRIOR, 20, seed=0, conditions=known, progress=False)
    assert simulations.x.shape == (20, 4, 1)
    assert simulations.ok.all()
    at = gb.simulate_at(gb.sets_of_trials(trials_of, 40), [[5.0]] * 6, seed=0, progress=False)
    assert at.unequal_sets


def test_errors_of_a_measurement_leave_what_is_no_trial_alone() -> None:
    exact = gb.simulate(gb.sets_of_trials(trials_of, 30), PRIOR, 50, seed=0, progress=False)
    noisy = gb.with_measurement_error(gb.sets_of_trials(trials_of, 30), 0.5)
    measured = gb.simulate(noisy, PRIOR, 50, seed=0, progress=False)
    assert measured.unequal_sets
    assert np.array_equal(np.isnan(measured.x), np.isnan(exact.x))
    # The deviation of some 500 errors is known to 3 %.
    assert abs(np.nanstd(measured.x - exact.x) / 0.5 - 1) < 0.15


def test_stores_resume_merge_and_tell_what_they_hold(tmp_path) -> None:
    sets = gb.sets_of_trials(trials_of, 12)
    whole = gb.simulate(sets, PRIOR, 60, seed=1, progress=False)
    gb.simulate(sets, PRIOR, 20, seed=1, store=tmp_path / "runs.zarr", progress=False)
    resumed = gb.simulate(sets, PRIOR, 60, seed=1, store=tmp_path / "runs.zarr", progress=False)
    again = gb.Simulations.open(tmp_path / "runs.zarr")
    for i in (1, 2):
        gb.simulate(sets, PRIOR, 60, seed=1, store=tmp_path / "part.zarr", shard=(i, 2), progress=False)
    merged = gb.merge_simulations(tmp_path / "part.zarr")
    again.save(tmp_path / "copy.zarr")
    copied = gb.Simulations.open(tmp_path / "copy.zarr")
    for found in (resumed, again, merged, copied):
        assert found.unequal_sets
        assert np.array_equal(found.x, whole.x, equal_nan=True)
        assert np.array_equal(found.ok, whole.ok)
    # Another reader has to know that NaN is no damage: the format of the store is one that earlier versions refuse.
    with xr.open_zarr(tmp_path / "copy.zarr") as data:
        assert data.attrs["format_version"] == 5
        assert data.attrs["unequal_sets"]
    with pytest.raises(ValueError, match="was made with simulator"):
        gb.simulate(trials_of, PRIOR, 60, seed=1, store=tmp_path / "runs.zarr", progress=False)
    with pytest.raises(ValueError, match="unequal_sets False, expected True"):
        whole.joined(gb.Simulations.from_arrays(whole.theta, np.zeros((60, 12, 2)), ["rate"]))


def test_given_arrays_of_any_sizes_and_filled_ones(tmp_path) -> None:
    sets = [np.full((k, 2), float(k)) for k in (2, 5, 1)]
    simulations = gb.Simulations.from_arrays([[0.0], [1.0], [2.0]], sets)
    assert simulations.unequal_sets
    assert simulations.x.shape == (3, 5, 2)
    assert [len(all_trials(one)) for one in simulations.x] == [2, 5, 1]
    filled = np.where(trials_present(simulations.x)[:, :, None], simulations.x, NAN)[:, ::-1]
    given = gb.Simulations.from_arrays([[0.0], [1.0], [2.0]], filled, unequal_sets=True)
    assert np.array_equal(given.x, simulations.x, equal_nan=True)
    # Without it NaN is what it always was: a run that failed.
    assert gb.Simulations.from_arrays([[0.0], [1.0], [2.0]], filled).ok.tolist() == [False, True, False]
    path = tmp_path / "runs.nc"
    data = {"a": ("run", [0.0, 1.0, 2.0]), "x": (("run", "trial", "coordinate"), filled)}
    xr.Dataset(data).to_netcdf(path, engine="scipy")
    read = gb.Simulations.from_netcdf(path, ["a"], unequal_sets=True)
    assert np.array_equal(read.x, simulations.x, equal_nan=True)
    with pytest.raises(ValueError, match=r"must be sets of trials, of shape \(3, trials, trial_dim\), got \(3, 5\)"):
        gb.Simulations.from_arrays([[0.0], [1.0], [2.0]], filled[:, :, 0], unequal_sets=True)
    with pytest.raises(ValueError, match=r"with one trial_dim, got trials of the shapes \(1,\), \(2,\)"):
        gb.Simulations.from_arrays([[0.0], [1.0]], [np.zeros((2, 1)), np.zeros((3, 2))])
    empty = gb.Simulations.from_arrays([[0.0], [1.0]], [np.zeros((0, 2)), np.zeros((3, 2))])
    assert empty.failures() == [(1, "no trial in the output")]


def test_side_by_side_and_in_front() -> None:
    assert np.array_equal(side_by_side([[1.0, 2.0], [3.0]])[:, :, 0], [[1, 2], [3, NAN]], equal_nan=True)
    assert side_by_side([[1.0], [2.0]], 3).shape == (2, 3, 1)
    with pytest.raises(ValueError, match="a set has 2 trials, more than max_trials = 1"):
        side_by_side([[1.0, 2.0]], 1)
    assert np.array_equal(in_front(np.array([[NAN], [1.0], [NAN], [2.0]]))[:2, 0], [1, 2])


def test_what_is_no_simulator_of_sets_is_refused() -> None:
    with pytest.raises(ValueError, match="max_trials must be a whole number of at least 1, got 0"):
        gb.sets_of_trials(trials_of, 0)
    number: Any = 3
    with pytest.raises(TypeError, match="simulator"):
        gb.sets_of_trials(number, 5)
    with pytest.raises(ValueError, match=r"at most max_trials = 5 trials.*the simulator returns \(12, 2\)"):
        gb.simulate(gb.sets_of_trials(in_jax, 5), PRIOR, 5, seed=0, progress=False)
