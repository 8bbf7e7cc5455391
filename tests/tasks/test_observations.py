"""Observations of the benchmark: laws of the drawn ones, the format of files, every message."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.tasks.linear_gaussian import NOISE_VARIANCE, SHIFT
from genbayes.tasks.observations import RANGE_RUNS, _further_seeds, draw_observations, pushed_outside, read_observations
from genbayes.tasks.task import Task

FILE = Path(__file__).parents[3] / "shared" / "data" / "benchmark_observations.npz"


@pytest.fixture(scope="module")
def task():
    return gb.tasks.linear_gaussian()


@pytest.fixture(scope="module")
def drawn(task):
    return draw_observations(task, 1000, seed=0)


def test_specified_observations_follow_the_prior_predictive(drawn):
    x = drawn["specified"]
    assert x.shape == (1000, 10)
    assert x.dtype == np.float32
    # x ~ N(shift, 1 + variance); 10 means and 10 variances beyond 4.5 standard errors: 1e-4 of all seeds.
    std = np.sqrt(1 + NOISE_VARIANCE)
    np.testing.assert_allclose((x.mean(axis=0) - SHIFT) / std, 0.0, atol=4.5 / np.sqrt(1000))
    np.testing.assert_allclose(x.std(axis=0) / std, 1.0, atol=4.5 / np.sqrt(2000))


def test_misspecified_observations_are_beyond_all_simulations(task, drawn):
    simulated = gb.simulate(task.simulator, task.prior, RANGE_RUNS, seed=123, progress=False).x
    low, high = simulated.min(axis=0), simulated.max(axis=0)
    outside = np.mean(np.any((drawn["misspecified"] < low) | (drawn["misspecified"] > high), axis=1))
    # Beyond 10,000 simulations of their own. The largest of others differs by 0.3 standard deviations (Gumbel's law),
    # about half of what the last step overshoots by, and there are ten coordinates.
    assert outside > 0.7
    # Specified ones: each of 20 edges is passed by one run in 10,000.
    specified = np.mean(np.any((drawn["specified"] < low) | (drawn["specified"] > high), axis=1))
    assert specified < 0.02


def test_pushed_outputs_are_outside_the_range_of_the_very_simulations(task, drawn):
    pushed = pushed_outside(task.prior, task.simulator, drawn["specified"], seed=5)
    seed, _ = _further_seeds(5, "range")
    simulated = gb.simulate(task.simulator, task.prior, RANGE_RUNS, seed=seed, progress=False).x
    # Compiled apart, a simulator may round otherwise.
    low, high = simulated.min(axis=0) + 1e-5, simulated.max(axis=0) - 1e-5
    assert np.all(np.any((pushed < low) | (pushed > high), axis=1))


def test_pushing_stops_at_the_first_step_outside():
    # In one coordinate of N(0, 1) the edge stands near 3.8, and a step is N(0, 1): beyond it by about one step at most.
    prior = gb.Prior({"theta": dist.Normal(0.0, 1.0)})
    x = np.zeros((200, 1), np.float32)
    pushed = pushed_outside(prior, lambda key, theta: theta, x, seed=0)
    size = np.abs(pushed)
    assert size.min() > 3.2
    # The overshoot of a random walk of unit steps has a mean near 0.58 and is above 3 once in thousands.
    assert 0.2 < np.mean(size) - 3.8 < 1.2
    assert np.all(x == 0)
    # Both sides alike: 200 signs within 4.5 standard deviations.
    assert abs(np.sign(pushed).mean()) < 4.5 / np.sqrt(200)


def test_first_rows_stay_and_other_seeds_differ(task):
    few, more, other = (draw_observations(task, n, seed=seed) for n, seed in ((3, 0), (7, 0), (7, 1)))
    for kind in ("specified", "misspecified"):
        np.testing.assert_array_equal(few[kind], more[kind][:3])
        assert not np.any(np.isin(other[kind], more[kind]))


def test_observations_are_not_among_the_simulations_of_the_same_seed(task, drawn):
    simulated = gb.simulate(task.simulator, task.prior, 2000, seed=0, progress=False).x
    assert not np.any(
        np.isin(drawn["specified"][:, 0], simulated[:, 0]) & np.isin(drawn["specified"], simulated).all(1)
    )


def test_failed_runs_are_replaced(task):
    def often_fails(key, theta):
        return jnp.where(jax.random.uniform(key) < 0.6, jnp.nan, task.simulator(key, theta))

    x = draw_observations(dataclasses.replace(task, simulator=often_fails), 20, seed=0)
    assert x["specified"].shape == x["misspecified"].shape == (20, 10)
    assert np.isfinite(x["specified"]).all()
    assert np.isfinite(x["misspecified"]).all()


def test_the_tasks_own_misspecification_gets_its_parameters_and_outputs(task):
    seen = {}

    def misspecified(theta, x, seed):
        seen.update(theta=theta, x=x, seed=seed)
        return x + 100

    x = draw_observations(dataclasses.replace(task, misspecified=misspecified), 500, seed=0)
    np.testing.assert_array_equal(x["misspecified"], seen["x"] + 100)
    assert not np.any(np.isin(seen["x"], x["specified"]))
    # Outputs of just these parameters: noise of the known variance is between them.
    noise = (seen["x"] - seen["theta"] - SHIFT) / np.sqrt(NOISE_VARIANCE)
    assert noise.std() == pytest.approx(1.0, abs=4.5 / np.sqrt(2 * 5000))


@pytest.mark.parametrize("n", [0, -1, True])
def test_numbers_of_observations_that_are_none(task, n):
    with pytest.raises(ValueError, match="n must be a whole number of at least 1, got"):
        draw_observations(task, n, seed=0)


def test_a_simulator_that_always_fails_is_an_error(task):
    broken = dataclasses.replace(task, simulator=lambda key, theta: theta + jnp.nan)
    with pytest.raises(RuntimeError, match="only 0 of .* runs at draws of the prior gave finite outputs, 4 are needed"):
        draw_observations(broken, 2, seed=0)


def test_outputs_that_cannot_leave_their_range_are_an_error():
    prior = gb.Prior({"theta": dist.Normal(0.0, 1.0)})
    with pytest.raises(RuntimeError, match="still within the range of 10000 simulations after 1000 steps"):
        pushed_outside(prior, lambda key, theta: jnp.ones(2), np.ones((1, 2), np.float32), seed=0)


def write(path: Path, **arrays: Any) -> Path:
    named: Any = {name.replace("__", "/"): value for name, value in arrays.items()}
    np.savez(path, **named)
    return path


def test_reading_joins_the_suffixes_known_first(task, tmp_path):
    a, b, c = (np.full((n, 10), value) for n, value in ((2, 1.0), (3, 2.0), (1, 3.0)))
    path = write(
        tmp_path / "x.npz",
        linear_gaussian__xo_specified_unknown=b,
        linear_gaussian__xo_specified_known=a,
        linear_gaussian__xo_misspecified=c,
        linear_gaussian__theta_gt_known=np.zeros((2, 3)),
        two_moons__xo_specified=np.zeros((5, 2)),
    )
    read = read_observations(path, task)
    np.testing.assert_array_equal(read["specified"], np.concatenate([a, b]))
    np.testing.assert_array_equal(read["misspecified"], c)
    assert read["specified"].dtype == np.float32


def test_a_kind_that_the_file_lacks_has_no_rows(task, tmp_path):
    path = write(tmp_path / "x.npz", linear_gaussian__xo_specified=np.zeros((2, 10)))
    assert read_observations(str(path), task)["misspecified"].shape == (0, 10)


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        (
            "xo_specified_known",
            np.zeros((2, 9)),
            r"xo_specified_known has shape \(2, 9\), expected \(n, 10\) with n >= 1",
        ),
        ("xo_specified", np.zeros(10), r"x.npz: linear_gaussian/xo_specified has shape \(10,\), expected \(n, 10\)"),
        ("xo_specified", np.zeros((0, 10)), r"has shape \(0, 10\), expected \(n, 10\) with n >= 1"),
        ("xo_misspecified", np.array([[0.0] * 9 + [np.nan]]), r"has 1 value\(s\) that are NaN .*at index \(0, 9\)"),
        ("xo_specified", np.full((1, 10), 1e300), r"has 10 value\(s\) that are NaN or infinite \(in float32\)"),
        ("xo_specified", np.full((1, 10), "a"), "must hold numbers, got an array of dtype <U1"),
        ("xo_specified", np.full((1, 10), None), "cannot be read as an .npz file .*: Object arrays"),
    ],
)
def test_messages_of_arrays(task, tmp_path, key, values, message):
    path = write(tmp_path / "x.npz", **{f"linear_gaussian__{key}": values})
    with pytest.raises(ValueError, match=message):
        read_observations(path, task)


def test_a_file_of_other_tasks_says_which(task, tmp_path):
    others = {"two_moons__xo_specified": np.zeros((1, 2)), "sir__xo_misspecified_known": np.zeros((1, 10)), "other": 1}
    with pytest.raises(
        ValueError, match=r"x.npz has no observations of the task 'linear_gaussian': .*: sir, two_moons\."
    ):
        read_observations(write(tmp_path / "x.npz", **others), task)
    with pytest.raises(ValueError, match=r"Tasks in the file: none\."):
        read_observations(write(tmp_path / "y.npz", other=1), task)


def test_files_that_are_none(task, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*missing.npz"):
        read_observations(tmp_path / "missing.npz", task)
    for name, content in (("a.npz", b""), ("b.npz", b"nonsense"), ("c.npz", b"PK\x03\x04nonsense")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read as an .npz file"):
            read_observations(tmp_path / name, task)
    np.save(tmp_path / "d.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"d.npy holds a single array; expected an .npz file"):
        read_observations(tmp_path / "d.npy", task)


@pytest.mark.skipif(not FILE.is_file(), reason="needs ../shared/data/benchmark_observations.npz, which is not shipped")
@pytest.mark.parametrize(("name", "shape"), [("two_moons", (2,)), ("linear_gaussian", (10,))])
def test_the_published_observations_are_read(name, shape):
    read = read_observations(FILE, getattr(gb.tasks, name)())
    with np.load(FILE) as arrays:
        for kind in ("specified", "misspecified"):
            assert read[kind].shape == (10, *shape)
            np.testing.assert_array_equal(read[kind], arrays[f"{name}/xo_{kind}_known"])


def test_a_set_of_trials_keeps_its_shape(tmp_path):
    def trials(key, theta):
        return theta[None] + jax.random.normal(key, (5, 2))

    prior = gb.Prior({"theta": dist.Normal(jnp.zeros(2), 1.0)})
    task = Task("trials", prior, trials, gb.distances.MMD())
    x = draw_observations(task, 3, seed=0)
    assert x["misspecified"].shape == (3, 5, 2)
    path = tmp_path / "x.npz"
    write(path, trials__xo_specified=x["specified"], trials__xo_misspecified=x["misspecified"])
    read = read_observations(path, task)
    assert all(np.array_equal(read[kind], x[kind]) for kind in x)
