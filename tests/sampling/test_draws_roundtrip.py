import numpy as np
import pytest
import xarray as xr

import genbayes as gb
from genbayes.runtime.outcome import Outcome


def make_draws(messages=("Only 2 % of the last moves were accepted: lower beta.",)):
    rng = np.random.default_rng(0)
    return gb.Draws(
        # Not in alphabetical order, and three distinct columns: a reader that sorts the variables is caught.
        theta=rng.normal(size=(2, 5, 3)).astype(np.float32),
        cost=rng.exponential(size=(2, 5)).astype(np.float32),
        names=("zeta", "mu[1]", "alpha"),
        beta=0.1 + 0.2,
        x_o=rng.normal(size=(4, 2)).astype(np.float32),
        sampler="SMC",
        seed=2**32 - 1,
        statistics={
            "beta_ladder": np.array([0.1, np.nan, 0.3]),
            "log_evidence": -1.0 / 3.0,
            "particles": 2000,
            "per_chain": np.arange(6).reshape(2, 3),
        },
        seconds={"compile": 0.1, "run": 1.0 / 7.0},
        sampler_outcome=Outcome(tuple(messages)),
    )


@pytest.mark.parametrize("messages", [(), ("one;\ntwo", "3 %")])
@pytest.mark.parametrize("on_disk", [False, True])
def test_draws_survive_the_round_trip_bit_by_bit(tmp_path, messages, on_disk):
    draws = make_draws(messages)
    tree = draws.to_datatree()
    if on_disk:
        tree.to_zarr(tmp_path / "draws.zarr", mode="w", consolidated=False)
        tree = xr.open_datatree(tmp_path / "draws.zarr", engine="zarr", consolidated=False)
    back = gb.Draws.from_datatree(tree)
    for name in ("names", "beta", "sampler", "seed", "seconds", "sampler_outcome"):
        assert getattr(back, name) == getattr(draws, name), name
    for name in ("theta", "cost", "x_o"):
        value, expected = getattr(back, name), getattr(draws, name)
        assert value.dtype == expected.dtype
        np.testing.assert_array_equal(value, expected)
    assert back.statistics.keys() == draws.statistics.keys()
    for name, expected in draws.statistics.items():
        assert type(back.statistics[name]) is type(expected)
        np.testing.assert_array_equal(back.statistics[name], expected)


def test_scalar_observation_survives():
    draws = make_draws()
    scalar = gb.Draws(draws.theta, draws.cost, draws.names, 1.0, np.asarray(2.5, np.float32), "NUTS", 0)
    back = gb.Draws.from_datatree(scalar.to_datatree())
    assert back.x_o.shape == ()
    assert back.x_o == 2.5
    assert back.statistics == {}


def test_a_tree_of_another_program_is_refused():
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"a": (("chain", "draw"), np.zeros((1, 2)))})})
    with pytest.raises(ValueError, match="not written by Draws.to_datatree"):
        gb.Draws.from_datatree(tree)
