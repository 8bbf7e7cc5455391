"""Outputs that single precision rounds away are told, from a simulator and from arrays."""

import warnings

import numpy as np
import pytest

import genbayes as gb

PRIOR = gb.Prior.uniform([-1.0], [1.0])


@pytest.mark.parametrize("offset", [1126259462.4, 1e7, 59_000.0])
def test_a_signal_on_top_of_a_large_number_is_told(offset: float) -> None:
    # Steps of single precision at these sizes: 128, 1 and 0.004; the signal has a standard deviation of 0.06 or so.
    def simulator(theta, rng):
        return offset + 0.1 * theta[[0, 0]] * [1.0, 0.01] + 0.001 * rng.standard_normal(2)

    with pytest.warns(
        UserWarning, match=r"single precision, which rounds coordinate \(\d,\) by up to .*subtract a constant"
    ):
        gb.simulate(simulator, PRIOR, 50, seed=0, progress=False)
    x = offset + 0.05 * np.random.default_rng(0).standard_normal((50, 2))
    with pytest.warns(UserWarning, match="What varies is lost: subtract a constant"):
        gb.Simulations.from_arrays(np.linspace(-1, 1, 50)[:, None], x)


def test_what_single_precision_holds_is_not_told() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A constant has no spread to lose, 300 kelvin with a spread of 1 loses 3e-5 of it.
        gb.simulate(lambda theta, rng: np.array([0.1, 300 + rng.standard_normal()]), PRIOR, 50, seed=0, progress=False)
        gb.simulate(lambda theta, rng: np.full(2, 1e-30) * rng.gamma(2, size=2), PRIOR, 50, seed=0, progress=False)
