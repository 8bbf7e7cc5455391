"""The everyday handles of draws: by name, as numpy, as a table, as a folder."""

import sys
import types

import numpy as np
import pytest

import genbayes as gb
from genbayes import StackedDraws
from genbayes.sampling.draws_files import parameter

RNG = np.random.default_rng(0)
NAMES = ("growth", "mu[0]", "mu[1]")


@pytest.fixture
def draws() -> gb.Draws:
    theta = RNG.normal(size=(2, 5, 3)).astype(np.float32)
    return gb.Draws(theta, theta.sum(axis=-1), NAMES, 3.0, np.zeros(2, np.float32), "SMC", 0)


@pytest.fixture
def stacked() -> StackedDraws:
    theta = RNG.normal(size=(4, 2, 3, 5, 3)).astype(np.float32)
    return StackedDraws(
        theta=theta,
        cost=theta.sum(axis=-1),
        names=NAMES,
        betas=np.array([1.0, 10.0]),
        x_o=np.zeros((4, 2), np.float32),
        log_evidence=np.zeros((4, 2, 3)),
        acceptance=np.ones((4, 2, 3)),
        stages=np.ones((4, 3), int),
        sampler="SMC",
        seed=0,
        seconds={"run": 1.0, "compile": 0.0},
        messages={},
        conditions=np.zeros((4, 0)),
    )


@pytest.fixture
def pandas(monkeypatch):
    """What `to_dataframe` asks of pandas, where it is not installed."""
    fake = types.ModuleType("pandas")
    monkeypatch.setattr(fake, "DataFrame", dict, raising=False)
    monkeypatch.setitem(sys.modules, "pandas", fake)


def test_a_parameter_by_its_name(draws, stacked) -> None:
    np.testing.assert_array_equal(draws["growth"], draws.theta[..., 0])
    np.testing.assert_array_equal(draws["mu[1]"], draws.theta[..., 2])
    np.testing.assert_array_equal(draws["mu"], draws.theta[..., 1:])
    np.testing.assert_array_equal(stacked["growth"], stacked.theta[..., 0])
    assert stacked["mu"].shape == (4, 2, 3, 5, 2)
    np.testing.assert_array_equal(draws["growth"], np.asarray(draws.to_datatree()["posterior"]["growth"]))


def test_names_that_look_like_patterns_are_names() -> None:
    theta = np.arange(3.0)[None]
    assert parameter(theta, ("a.c", "abc[0]", "abc[1]"), "a.c").tolist() == [0.0]
    with pytest.raises(KeyError):
        parameter(theta, ("x", "abc[0]", "abc[1]"), "a.c")


def test_an_unknown_name_is_told_with_the_known_ones(draws, stacked) -> None:
    for one in (draws, stacked):
        with pytest.raises(KeyError, match=r"no parameter 'grwth'; the parameters are growth, mu\[0\], mu\[1\]"):
            one["grwth"]
        with pytest.raises(TypeError, match="not iterable"):
            list(one)


def test_numpy_takes_all_chains_after_one_another(draws) -> None:
    flat = np.asarray(draws)
    assert flat.shape == (10, 3) == (len(draws), 3)
    np.testing.assert_array_equal(flat[7], draws.theta[1, 2])
    assert np.asarray(draws, np.float64).dtype == np.float64
    assert np.shares_memory(np.asarray(draws), draws.theta)
    assert not np.shares_memory(np.array(draws), draws.theta)
    with pytest.raises(ValueError, match="copy"):
        np.array(draws, np.float64, copy=False)
    np.testing.assert_allclose(np.mean(draws, axis=0), draws.theta.mean(axis=(0, 1)), rtol=1e-5)


@pytest.mark.usefixtures("pandas")
def test_a_table_has_one_row_a_draw(draws, stacked) -> None:
    table = draws.to_dataframe()
    assert list(table) == ["chain", "draw", *NAMES, "cost"]
    assert (table["chain"][7], table["draw"][7]) == (1, 2)
    assert table["mu[0]"][7] == draws.theta[1, 2, 1]
    assert table["cost"][7] == draws.cost[1, 2]
    table = stacked.to_dataframe()
    assert list(table) == ["observation", "beta", "chain", "draw", *NAMES, "cost"]
    row = np.ravel_multi_index((3, 1, 2, 4), stacked.cost.shape)
    assert [table[name][row] for name in ("observation", "beta", "chain", "draw")] == [3, 10.0, 2, 4]
    assert table["mu[1]"][row] == stacked.theta[3, 1, 2, 4, 2]


@pytest.mark.usefixtures("pandas")
def test_a_parameter_may_not_bear_the_name_of_a_column(draws) -> None:
    named = gb.Draws(draws.theta, draws.cost, ("cost", "b", "c"), 3.0, draws.x_o, "SMC", 0)
    with pytest.raises(ValueError, match="a parameter is called 'cost'"):
        named.to_dataframe()


def test_without_pandas_the_remedy_is_told(draws, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        draws.to_dataframe()


def test_draws_come_back_from_a_folder(draws, stacked, tmp_path) -> None:
    for one, path in ((draws, tmp_path / "d.zarr"), (stacked, tmp_path / "s.zarr")):
        one.save(path)
        one.save(str(path))
        back = type(one).load(path)
        np.testing.assert_array_equal(back.theta, one.theta)
        np.testing.assert_array_equal(back.cost, one.cost)
        assert back.names == one.names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.zarr", "s.zarr"]
    with pytest.raises(ValueError, match="stack of observations: use StackedDraws"):
        gb.Draws.load(tmp_path / "s.zarr")
    with pytest.raises(ValueError, match=r"use\s+Draws"):
        StackedDraws.load(tmp_path / "d.zarr")


def test_saving_leaves_other_folders_alone(draws, tmp_path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="no Zarr folder"):
        draws.save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").exists()
    with pytest.raises(FileNotFoundError, match="there are no draws at"):
        gb.Draws.load(tmp_path / "gone.zarr")
