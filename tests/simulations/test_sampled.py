"""A part of a store that is larger than the memory: which rows it has, what it says of the others, who takes it."""

import shutil

import numpy as np
import pytest

import genbayes as gb
from genbayes.costs.store_rows import StorePart
from genbayes.sampling.held_out import held_out_rows

PRIOR = gb.Prior.uniform([0, 0], [1, 1], names=["rate", "delay"])
N = 900
CONFIG = gb.FitConfig(members=2, width=8, depth=1, max_epochs=3)


def simulator(theta, rng):
    if theta[0] < 0.1:
        raise ValueError(f"rate too low: {theta[0]:.2f}")
    return theta + 0.1 * rng.normal(size=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("sampled") / "runs.zarr"
    gb.simulate(simulator, PRIOR, N, seed=1, store=path, progress=False)
    return path


@pytest.fixture(scope="module")
def whole(store):
    return gb.Simulations.open(store)


@pytest.fixture(scope="module")
def cost(whole):
    return gb.fit_cost(whole, gb.distances.MeanSquaredError(), config=CONFIG, progress=False)


def rows_of(part, whole):
    """The numbers of the rows of a part, by their parameters."""
    numbers = {theta.tobytes(): row for row, theta in enumerate(whole.theta)}
    return np.array([numbers[theta.tobytes()] for theta in part.theta])


def test_a_sample_is_rows_from_all_over_the_store_and_counts_the_others(store, whole) -> None:
    sample = gb.sample_simulations(store, 200)
    rows = rows_of(sample, whole)
    assert 100 < len(sample) <= 200
    np.testing.assert_array_equal(sample.x, whole.x[rows])
    # Eight blocks, the first and the last of the store among them: no ninth part of it is without a row.
    assert rows[0] == 0
    assert rows[-1] == N - 1
    assert len(np.unique(rows * 9 // N)) >= 8
    counts = sample.counts
    assert (counts.rows, counts.succeeded, counts.failed, counts.pending) == (N, whole.ok.sum(), whole.n_failed, 0)
    assert sample.failures() == whole.failures()
    np.testing.assert_array_equal(counts.prior_numbers, rows + 1)
    assert sample.summary().startswith(whole.summary().split(";")[0])
    assert f"a sample of {len(sample)} of them" in sample.summary()
    part = sample.selected(sample.ok)
    np.testing.assert_array_equal(part.counts.prior_numbers, rows[sample.ok] + 1)


def test_a_small_store_is_read_as_a_whole(store, whole) -> None:
    sample = gb.sample_simulations(store, N)
    assert sample.sampled_from is None
    for name in ("theta", "x", "status", "round"):
        np.testing.assert_array_equal(getattr(sample, name), getattr(whole, name))
    assert sample.reasons == whole.reasons
    with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
        gb.sample_simulations(store, 0)
    with pytest.raises(FileNotFoundError):
        gb.sample_simulations(store.with_name("nothing.zarr"))


def test_large_outputs_make_a_sample_smaller(store, monkeypatch) -> None:
    monkeypatch.setattr("genbayes.simulations.sampled._MOST_NUMBERS", 300)
    assert len(gb.sample_simulations(store, 200)) <= 150


def test_rows_that_a_cost_has_seen_are_known_by_their_place_in_the_store(cost, whole, store, tmp_path) -> None:
    """A sample of a store that was extended since: of its rows those are new that were added."""
    longer = tmp_path / "longer.zarr"
    gb.simulate(simulator, PRIOR, N + 300, seed=1, store=longer, progress=False)
    sample, every = gb.sample_simulations(longer, 400), gb.Simulations.open(longer)
    rows, fitted = held_out_rows(cost, sample, 10)
    assert not fitted
    expected = [i for i, row in enumerate(rows_of(sample, every)) if row >= N and sample.ok[i]]
    assert rows.tolist() == expected
    assert len(expected) > 50


def test_a_fit_wants_the_store_itself(store, cost) -> None:
    sample = gb.sample_simulations(store, 200)
    with pytest.raises(ValueError, match=r"simulations are a sample of \d+ of the 900 rows of a store: give fit_cost"):
        gb.fit_cost(sample, gb.distances.MeanSquaredError(), progress=False)
    posterior = gb.GibbsPosterior(PRIOR, cost, np.array([0.5, 0.5]), 10.0)
    with pytest.raises(ValueError, match="simulations are a sample of a store, and refine fits the cost on all"):
        gb.refine(posterior, simulator, sample, 200, rounds=1, seed=1, progress=False)


def test_a_check_of_a_sample_tells_of_all_failures(store, whole, cost) -> None:
    posterior = gb.GibbsPosterior(PRIOR, cost, np.array([0.5, 0.5]), 10.0)
    draws = posterior.sample(200, seed=0)
    found = gb.check(posterior, draws, simulations=gb.sample_simulations(store, 300), seed=1)
    assert found.evidence.support is not None
    [failures] = [one for one in found.findings if one.check == "failures"]
    assert failures.numbers == {"simulations": float(N), "failed": float(whole.n_failed)}


def test_a_store_larger_than_the_memory_is_refined_on_all_its_rows(store, cost, tmp_path) -> None:
    x_o, path = np.array([0.5, 0.5]), shutil.copytree(store, tmp_path / "runs.zarr")
    posterior = gb.GibbsPosterior(PRIOR, cost, x_o, 10.0)
    given = {"rounds": 1, "seed": 3, "progress": False, "rows_in_memory": 400}
    with pytest.raises(ValueError, match="store is .*, and simulations are those in"):
        gb.refine(posterior, simulator, path, 100, store=store, **given)
    refined = gb.refine(posterior, simulator, path, 100, **given)
    counts = refined.simulations.counts
    assert (counts.rows, counts.of_prior) == (N + 100, N)
    assert np.sum(refined.simulations.round == 1) == 100
    assert len(refined.simulations) <= 500
    told = refined.cost.settings
    assert (told["simulations"], told["simulations_prior"], told["rounds"]) == (N + 100, N, 1)
    # E[mean (x - x_o)^2] of outputs with an error of 0.1; of 900 runs it is known to some 5 %.
    theta = np.array([[0.3, 0.4], [0.6, 0.5], [0.8, 0.9]])
    expected = 0.01 + np.mean((theta - x_o) ** 2, axis=1)
    np.testing.assert_allclose(np.asarray(refined.cost(theta, x_o)), expected, rtol=0.15, atol=0.004)
    # A cost that has not seen the round is fitted without it: so a second round, interrupted, is gone on with.
    before = gb.sample_simulations(path, 400, up_to_round=0)
    assert (before.counts.rows, before.round.max()) == (N, 0)
    distance = gb.distances.MeanSquaredError()
    again = gb.fit_cost(StorePart(path, 0), distance, config=CONFIG, rows_in_memory=400, progress=False)
    assert again.settings["simulations"] == N
