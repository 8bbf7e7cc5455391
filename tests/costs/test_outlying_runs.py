"""Runs that are garbage are told of, and nothing that a simulator may well do is."""

import numpy as np
import pytest

import genbayes as gb
from genbayes.costs.outlying_runs import outlying_runs
from genbayes.distances import CappedError, MeanAbsoluteError, MeanSquaredError

N = 2000


def runs(seed: int = 0) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-2, 2, (N, 2))
    return rng, theta, theta @ rng.standard_normal((2, 3)) + 0.3 * rng.standard_normal((N, 3))


def test_a_run_in_a_hundred_that_is_garbage_is_told() -> None:
    rng, theta, x = runs()
    garbage = rng.random(N) < 0.01
    x[garbage] += 1e6
    message = outlying_runs(MeanAbsoluteError(), theta, x, ["a", "b", "c"]).messages[0]
    found = int(message.split()[0])
    # Of those without another one among their 20 neighbours, four of five, all are found.
    assert garbage.sum() / 2 < found <= garbage.sum()
    assert "output a of one is 1e+06" in message
    assert "NaN" in message
    assert not outlying_runs(CappedError(2.0), theta, x).messages


def test_a_number_that_stands_for_a_failure_is_told() -> None:
    _, theta, x = runs()
    failed = theta.sum(axis=1) > 1
    x[failed] = -9999.0
    message = outlying_runs(MeanSquaredError(), theta, x).messages[0]
    assert f"{failed.sum()} of 2,000 runs have the value -9999 in all outputs" in message


@pytest.mark.parametrize("seed", range(3))
def test_wild_outputs_are_no_garbage(seed: int) -> None:
    """Growth over sixteen decades, t noise of 3 degrees, seldom rain, populations that die out, counts."""
    rng, theta, x = runs(seed)
    wild = {
        "growth": np.exp(np.outer(9 * theta[:, 0], [1, 2]) + 0.2 * rng.standard_normal((N, 2))),
        "t noise": x + rng.standard_t(3, x.shape),
        "rain": np.where(rng.random(x.shape) < 0.8, 0.0, rng.gamma(0.5, 20, x.shape)),
        "extinct": np.where(theta[:, :1] < 0, 0.0, np.exp(3 + x)),
        "counts": rng.poisson(np.exp(np.minimum(3 * x, 20))).astype(float),
        "log normal": np.exp(theta[:, :1] + 2 * rng.standard_normal(x.shape)),
        "overdispersed": rng.poisson(np.exp(np.minimum(6 * x[:, :2], 20)) * rng.gamma(0.3, 1, (N, 2))).astype(float),
        "constant": np.tile([7.0, 7.0], (N, 1)),
    }
    for name, outputs in wild.items():
        assert not outlying_runs(MeanSquaredError(), theta, outputs).messages, name


def test_the_cost_says_so() -> None:
    _, theta, x = runs()
    x[::100] = 1e30
    with pytest.raises(ValueError, match="single precision"):
        gb.fit_cost((theta, x), MeanSquaredError(), progress=False)
    x[::100] = -1e6
    config = gb.FitConfig(max_epochs=1)
    cost = gb.fit_cost((theta[:300], x[:300]), MeanSquaredError(scale=1.0), config=config, progress=False)
    assert any("let the simulator return NaN" in message for message in cost.outcome.messages)
