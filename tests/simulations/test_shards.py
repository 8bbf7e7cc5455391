"""Shares of the rows, run apart and put together: the same as one run of all."""

import re
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
import zarr

import genbayes as gb
from genbayes.simulations import merging
from genbayes.simulations.rounding import Rounding
from genbayes.simulations.running import simulate_round
from genbayes.simulations.store import SimulationStore
from genbayes.simulations.zarr_folder import ZarrFolder

PRIOR = gb.Prior.uniform([0, -1], [1, 1], names=["rate", "delay"])
PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
CONDITIONS = gb.Prior.uniform(10, 30, names=["temperature"])
N = 100


def fragile(theta, rng):
    """Fails in about a fifth of the rows, in two ways."""
    noise = rng.normal(size=3)
    if theta[0] < 0.1:
        raise ValueError(f"rate below {'a tenth' if theta[1] > 0 else 'a tenth, delay negative'}")
    return np.full(3, np.nan) if theta[0] > 0.9 else theta[0] + noise


def in_jax(key, theta):
    return theta[0] + jax.random.normal(key, (2,))


def far_from_zero(theta, rng):
    """What varies is lost in single precision."""
    return 1e9 + theta


def named(theta, rng):
    return {"peak": theta[0] + rng.normal(), "series": rng.normal(size=2)}


def scalar_of_conditions(theta, rng, conditions):
    return theta[0] * conditions[0]


def run(simulator: Callable, store: Path, shard: tuple[int, int] | None = None, n: int = N, **options):
    return gb.simulate(simulator, PRIOR, n, seed=3, store=store, shard=shard, progress=False, **options)


def run_shares(simulator: Callable, store: Path, count: int, n: int = N, **options) -> None:
    for number in range(1, count + 1):
        run(simulator, store, (number, count), n, **options)


def assert_same(merged: gb.Simulations, whole: gb.Simulations) -> None:
    """Bit by bit, but for the seconds."""
    for name in ("theta", "x", "status", "conditions", "round", "noise_block"):
        first, second = getattr(merged, name), getattr(whole, name)
        assert first.dtype == second.dtype, name
        np.testing.assert_array_equal(first, second, err_msg=name)
    for name in ("reasons", "names", "seed", "prior", "simulator", "condition_names", "conditions_prior", "outputs"):
        assert getattr(merged, name) == getattr(whole, name), name


@pytest.mark.parametrize("simulator", [fragile, in_jax, far_from_zero, named])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_shares_are_one_run(simulator, count, tmp_path):
    whole = run(simulator, tmp_path / "whole.zarr")
    run_shares(simulator, tmp_path / "runs.zarr", count)
    merged = gb.merge_simulations(tmp_path / "runs.zarr")
    assert_same(merged, whole)
    assert merged.x.dtype == (np.float64 if simulator is far_from_zero else np.float32)
    assert merged.n_failed > 10 or simulator is not fragile
    assert_same(gb.Simulations.open(tmp_path / "runs.zarr"), whole)
    # Nothing is left beside, and the shares are as they were.
    assert len(list(tmp_path.iterdir())) == count + 2
    assert merged.deterministic == whole.deterministic or simulator is far_from_zero


@pytest.mark.parametrize(("spread", "kept"), [(11.0, np.float64), (13.0, np.float32)])
def test_the_precision_is_that_of_all_rows_together(spread, kept, tmp_path):
    # Single precision rounds a million by up to 1/32, which is a hundredth of a standard deviation of 3.1; that of the
    # outputs is the spread times 0.27 (of these 100 draws).
    def near_a_million(theta, rng):
        return 1e6 + spread * theta[:1]

    run_shares(near_a_million, tmp_path / "runs.zarr", 7)
    whole = run(near_a_million, tmp_path / "whole.zarr")
    assert whole.x.dtype == kept
    assert_same(gb.merge_simulations(tmp_path / "runs.zarr"), whole)
    # Taken by themselves, the shares would not agree.
    alone = set()
    for number in range(1, 8):
        rounding = Rounding()
        for theta in whole.theta[number - 1 :: 7].astype(np.float64):
            rounding.add(near_a_million(theta, None))
        alone.add(rounding.worst() is None)
    assert alone == {True, False}


def test_known_conditions_and_a_scalar_output(tmp_path):
    whole = run(scalar_of_conditions, tmp_path / "whole.zarr", conditions=CONDITIONS)
    run_shares(scalar_of_conditions, tmp_path / "runs.zarr", 3, conditions=CONDITIONS)
    assert_same(gb.merge_simulations(tmp_path / "runs.zarr"), whole)
    again = run(scalar_of_conditions, tmp_path / "runs.zarr", conditions=CONDITIONS, n=N + 5)
    np.testing.assert_allclose(again.x[:, 0], again.theta[:, 0] * again.conditions[:, 0], rtol=1e-6)


def test_a_share_has_its_rows_alone(tmp_path):
    whole = run(fragile, tmp_path / "whole.zarr")
    share = run(fragile, tmp_path / "runs.zarr", (2, 3))
    np.testing.assert_array_equal(share.theta, whole.theta[1::3])
    np.testing.assert_array_equal(share.ok, whole.ok[1::3])
    stored = gb.Simulations.open(tmp_path / "runs-shard-2-of-3.zarr")
    assert np.flatnonzero(stored.status != 1).tolist() == list(range(1, N, 3))
    assert not (tmp_path / "runs.zarr").exists()


def test_an_interrupted_share_goes_on(tmp_path):
    rows = []

    def interrupted(theta, rng):
        rows.append(1)
        if len(rows) == 20:
            raise KeyboardInterrupt
        return theta + rng.normal(size=2)

    store = tmp_path / "runs.zarr"
    with pytest.raises(KeyboardInterrupt):
        run(interrupted, store, (1, 2), batch_size=5)
    run(interrupted, store, (2, 2))
    done = int((gb.Simulations.open(tmp_path / "runs-shard-1-of-2.zarr").status == 0).sum())
    assert 10 <= done < 50
    with pytest.raises(ValueError, match=rf"share 1 of 2 has {50 - done} of 50 rows to run: .*-1-of-2.*partial=True"):
        gb.merge_simulations(store)
    before = len(rows)
    run(interrupted, store, (1, 2))
    # A stored row is run once more, to see whether the simulator was edited.
    assert len(rows) - before <= 50 - done + 1
    assert_same(gb.merge_simulations(store), run(interrupted, tmp_path / "whole.zarr"))


def test_a_share_that_was_killed_at_its_beginning_goes_on(tmp_path, monkeypatch):
    def killed(self):
        raise KeyboardInterrupt

    store = tmp_path / "runs.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(ZarrFolder, "consolidate", killed)
        with pytest.raises(KeyboardInterrupt):
            run(fragile, store, (1, 1))
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="there is no share"):
        gb.merge_simulations(store)
    run(fragile, store, (1, 1))
    assert_same(gb.merge_simulations(store), run(fragile, tmp_path / "whole.zarr"))


def test_missing_shares_are_named_and_can_be_left_pending(tmp_path):
    store = tmp_path / "runs.zarr"
    for number in (1, 2, 4):
        run(fragile, store, (number, 4))
    with pytest.raises(ValueError, match=r"share 3 of 4 is not there yet: .*runs-shard-3-of-4\.zarr"):
        gb.merge_simulations(store)
    assert not store.exists()
    merged = gb.merge_simulations(store, partial=True)
    assert np.flatnonzero(merged.status == 1).tolist() == list(range(2, N, 4))
    whole = run(fragile, tmp_path / "whole.zarr")
    # Either the share comes later, or the whole is run on: the same rows.
    np.testing.assert_array_equal(merged.x.astype(np.float32)[merged.ok], whole.x[merged.ok])
    run(fragile, store, (3, 4))
    assert_same(gb.merge_simulations(store), whole)
    other = tmp_path / "other.zarr"
    gb.merge_simulations(other, sorted(tmp_path.glob("runs-shard-[124]-*")), partial=True)
    assert_same(run(fragile, other), whole)
    assert_same(gb.merge_simulations(other, sorted(tmp_path.glob("runs-shard-*"))), whole)


def test_more_rows_after_a_merge(tmp_path):
    store, whole = tmp_path / "runs.zarr", run(far_from_zero, tmp_path / "whole.zarr", n=N + 60)
    run_shares(far_from_zero, store, 3)
    gb.merge_simulations(store)
    assert_same(run(far_from_zero, store, n=N + 20), whole.selected(np.arange(N + 20)))
    # What is there stays, although the shares have fewer rows.
    assert len(gb.merge_simulations(store)) == N + 20
    run(far_from_zero, store, (2, 3), n=N + 60)
    with pytest.raises(ValueError, match=r"share 1 of 3 has 14 of 54 rows to run.*share 3 of 3 has 13 of 53 rows"):
        gb.merge_simulations(store)
    run_shares(far_from_zero, store, 3, n=N + 60)
    assert_same(gb.merge_simulations(store), whole)


def test_seconds_add_up_and_are_counted_once(tmp_path):
    store = tmp_path / "runs.zarr"
    run(fragile, store, (1, 2))
    gb.merge_simulations(store, partial=True)
    run(fragile, store, (2, 2))
    seconds = [gb.Simulations.open(tmp_path / f"runs-shard-{i}-of-2.zarr").seconds for i in (1, 2)]
    assert min(seconds) > 0
    assert gb.merge_simulations(store).seconds == pytest.approx(sum(seconds))
    assert gb.merge_simulations(store).seconds == pytest.approx(sum(seconds))


def test_a_failed_row_that_succeeds_later(tmp_path):
    store, broken = tmp_path / "runs.zarr", [True]

    def mended(theta, rng):
        if broken[0] and theta[0] < 0.3:
            raise OSError("disk full")
        return theta

    run_shares(mended, store, 2)
    assert gb.merge_simulations(store).n_failed > 10
    broken[0] = False
    run_shares(mended, store, 2, retry_failed=True)
    merged = gb.merge_simulations(store)
    assert merged.ok.all()
    np.testing.assert_array_equal(merged.x, merged.theta)


def test_all_rows_of_a_share_may_fail(tmp_path):
    def rarely(theta, rng):
        if rng is None or theta[0] < np.sort(gb.Simulations.open(tmp_path / "theta.zarr").theta[:, 0])[-1]:
            raise ValueError("no")
        return theta

    run(fragile, tmp_path / "theta.zarr")
    whole = run(rarely, tmp_path / "whole.zarr")
    best = int(np.flatnonzero(whole.ok)[0]) % 3 + 1
    for number in (1, 2, 3):
        if number == best:
            run(rarely, tmp_path / "runs.zarr", (number, 3))
        else:
            with pytest.raises(RuntimeError, match=rf"All 3[34] simulations of share {number} of 3 failed: 3[34] x"):
                run(rarely, tmp_path / "runs.zarr", (number, 3))
    merged = gb.merge_simulations(tmp_path / "runs.zarr")
    # One output does not tell how much varies: it is kept as it came in.
    assert_same(merged, whole)


def test_what_is_known_of_noise_is_kept(tmp_path):
    run_shares(far_from_zero, tmp_path / "runs.zarr", 2, n=400)
    assert gb.merge_simulations(tmp_path / "runs.zarr").deterministic
    run_shares(in_jax, tmp_path / "noisy.zarr", 2)
    assert not gb.merge_simulations(tmp_path / "noisy.zarr").deterministic


def test_shares_of_other_runs_are_refused(tmp_path):
    store = tmp_path / "runs.zarr"
    run(fragile, store, (1, 2))
    gb.simulate(fragile, PRIOR, N, seed=4, store=store, shard=(2, 2), progress=False)
    with pytest.raises(ValueError, match=r"share 1 of 2 .* made with seed 3, and share 2 of 2 .* with seed 4"):
        gb.merge_simulations(store)
    run(fragile, tmp_path / "b.zarr", (2, 2))
    pair = [tmp_path / "runs-shard-1-of-2.zarr", tmp_path / "b-shard-2-of-2.zarr"]
    gb.simulate(fragile, PRIOR, N, seed=4, store=tmp_path / "taken.zarr", progress=False)
    before = gb.Simulations.open(tmp_path / "taken.zarr")
    with pytest.raises(ValueError, match=r"seed 3, and the store .*taken\.zarr with seed 4"):
        gb.merge_simulations(tmp_path / "taken.zarr", pair)
    assert_same(gb.Simulations.open(tmp_path / "taken.zarr"), before)
    with pytest.raises(ValueError, match="is a share itself"):
        gb.merge_simulations(pair[0], pair)
    with pytest.raises(ValueError, match="holds no share"):
        gb.merge_simulations(tmp_path / "c.zarr", [*pair, tmp_path / "taken.zarr"])
    with pytest.raises(ValueError, match="are both share 1 of 2"):
        gb.merge_simulations(tmp_path / "c.zarr", [*pair, pair[0]])
    run(fragile, tmp_path / "b.zarr", (3, 3))
    with pytest.raises(ValueError, match="there are shares of 2 and of 3"):
        gb.merge_simulations(tmp_path / "b.zarr")
    with pytest.raises(FileNotFoundError, match="there is no share of"):
        gb.merge_simulations(tmp_path / "c.zarr")
    with pytest.raises(TypeError, match=r"a list of paths.*runs-shard-1"):
        gb.merge_simulations(tmp_path / "c.zarr", str(pair[0]))


def test_other_outputs_are_refused(tmp_path):
    sizes = [2]

    def sized(theta, rng):
        return np.zeros(sizes[0])

    run(sized, tmp_path / "runs.zarr", (1, 2))
    sizes[0] = 3
    run(sized, tmp_path / "runs.zarr", (2, 2))
    with pytest.raises(ValueError, match=r"share 1 of 2 .* have the shape \(2,\), and those in share 2 .* \(3,\)"):
        gb.merge_simulations(tmp_path / "runs.zarr")


def test_other_parameters_are_refused(tmp_path):
    run_shares(fragile, tmp_path / "runs.zarr", 2)
    group = zarr.open_group(str(tmp_path / "runs-shard-2-of-2.zarr"), mode="r+", use_consolidated=False)
    group["theta"][7] = 0.5  # pyright: ignore
    with pytest.raises(ValueError, match="the parameters in share 2 of 2"):
        gb.merge_simulations(tmp_path / "runs.zarr")


def test_names_may_come_in_another_order(tmp_path):
    turned = [False]

    def either(theta, rng):
        both = {"a": theta[0], "b": theta[1]}
        return dict(reversed(both.items())) if turned[0] else both

    run(either, tmp_path / "runs.zarr", (1, 2))
    turned[0] = True
    run(either, tmp_path / "runs.zarr", (2, 2))
    merged = gb.merge_simulations(tmp_path / "runs.zarr")
    np.testing.assert_array_equal(merged.x, merged.theta)


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (True, 3)])
def test_a_share_that_there_is_not(shard, tmp_path):
    with pytest.raises(ValueError, match=r"`shard` must be two whole numbers \(i, N\) with 1 <= i <= N"):
        run(fragile, tmp_path / "runs.zarr", shard)


def test_what_does_not_go_with_a_share(tmp_path):
    store, share = tmp_path / "runs.zarr", tmp_path / "runs-shard-1-of-2.zarr"
    with pytest.raises(ValueError, match="2 simulations cannot be shared out among 3"):
        run(fragile, store, (1, 3), n=2)
    with pytest.raises(ValueError, match="Give the path of the whole as `store`"):
        gb.simulate(fragile, PRIOR, N, seed=3, shard=(1, 2), progress=False)
    simulations = run(fragile, store, (1, 2))
    with pytest.raises(ValueError, match=r"made with shard \[1, 2\], this call has shard None"):
        run(fragile, share)
    with pytest.raises(ValueError, match=r"holds one share .* Put the shares together first"):
        simulate_round(fragile, simulations, lambda: simulations.theta, 1, seed=4, store=share, progress=False)


def test_rows_of_a_refinement_stay(tmp_path):
    store = tmp_path / "runs.zarr"
    run_shares(named, store, 2)
    merged = gb.merge_simulations(store)
    simulate_round(named, merged, lambda: merged.theta[:30], 1, seed=4, store=store, progress=False)
    refined = gb.Simulations.open(store)
    run_shares(named, store, 2, n=N + 10)
    again = gb.merge_simulations(store)
    assert len(again) == N + 40
    assert_same(again.of_prior, run(named, tmp_path / "whole.zarr", n=N + 10))
    np.testing.assert_array_equal(again.x[again.round == 1], refined.x[refined.round == 1])


@pytest.mark.parametrize("fresh", [True, False])
def test_an_interrupted_merge_leaves_no_half_store(fresh, tmp_path, monkeypatch):
    store = tmp_path / "runs.zarr"
    run(fragile, store, (1, 2))
    if not fresh:
        gb.merge_simulations(store, partial=True)
    run(fragile, store, (2, 2))
    calls, write = [], SimulationStore.write

    def stops(self, *args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(merging, "_BLOCK", 10)
        patch.setattr(SimulationStore, "write", stops)
        with pytest.raises(KeyboardInterrupt):
            gb.merge_simulations(store)
    assert store.exists() != fresh
    whole = run(fragile, tmp_path / "whole.zarr")
    if not fresh:
        half = gb.Simulations.open(store)
        assert (half.status == 1).sum() == 30
        np.testing.assert_array_equal(half.x.astype(np.float32)[half.ok], whole.x[half.ok])
    assert_same(gb.merge_simulations(store), whole)


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [section] = re.findall(r"(?s)\n## A job array from Python\n(.*?)\n## ", PAGE.read_text())
    [code] = re.findall(r"(?s)```python\n(.*?)```", section)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})
    assert len(gb.Simulations.open(tmp_path / "runs.zarr")) == 200
