"""How wrong a log density is, against errors that were put in."""

from collections.abc import Callable

import numpy as np
import pytest

from genbayes.sampling.log_density_error import LogDensityError, log_density_error, weights_within_reach

BETA = 10.0


def judged(
    seed: int, error: Callable, *, n: int = 1500, dim: int = 2, members: float = 0.0, noise: float = 0.3
) -> LogDensityError:
    """Rows of a normal prior; the cost is |z|^2 / 2 plus an error: the posterior is normal of variance 1 / 11."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, dim))
    true = np.sum(z**2, axis=1) / 2
    cost = true + error(z)
    residual = true + noise * (rng.gamma(2, 1 / 2, n) - 1) - cost
    each = cost[:, None] + members * z[:, :1] * np.array([-1.0, 1.0])
    return log_density_error(z, cost, residual, each, BETA, jackknife=9.0)


def test_a_right_cost_is_not_accused() -> None:
    # 100 judgements at a chance of 5e-4 for the line and less for the products.
    found = [judged(seed, lambda z: 0.2 + 0 * z[:, 0]) for seed in range(100)]
    assert sum(not one.outcome.ok for one in found) <= 1
    assert all(one.left_open == 0 for one in found)


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_a_shift_is_measured(shift: float) -> None:
    # exp(-beta (z^2 / 2 + a z)) has its mean at -a and standard deviation beta^-1/2: a shift of a sqrt(beta).
    found = [judged(seed, lambda z: shift / np.sqrt(BETA) * z[:, 0]) for seed in range(10)]
    assert all(one.shift_sure for one in found)
    errors = np.mean([one.shift_error for one in found])
    assert np.mean([one.shift for one in found]) == pytest.approx(shift, abs=4 * errors / np.sqrt(10) + 0.1 * shift)
    assert "shifts the posterior by about" in str(found[0].outcome)


def test_a_step_is_seen_as_one() -> None:
    # The error is 0 or 0.15 in stripes as wide as the posterior. By the wrong cost, rows of the second kind weigh
    # exp(-1.5) of the others: the error's standard deviation is 1.5 sqrt(0.82 0.18) = 0.58 nats, and shifts nothing.
    # (At 0.4 the posterior by the wrong cost would avoid the second kind, and the error in it could not be seen.)
    stripes = [judged(seed, lambda z: 0.15 * (np.floor(z[:, 0] / 0.3) % 2), n=6000, noise=0.1) for seed in range(5)]
    assert all(one.nats_sure for one in stripes)
    assert np.mean([one.nats for one in stripes]) == pytest.approx(0.58, rel=0.25)
    assert "from place to place, as by a step" in str(stripes[0].outcome)


def test_members_that_disagree_are_told() -> None:
    # Half the difference of two members is 0.5 z: over the posterior a standard deviation of 0.5 beta^-1/2. The
    # unbiased variance between two members is twice its square, the jackknife's 9 times that.
    found = judged(0, lambda z: 0 * z[:, 0], members=0.5)
    assert found.left_open == pytest.approx(BETA * np.sqrt(9 * 2) * 0.5 / np.sqrt(BETA), rel=0.15)
    assert "is uncertain by about" in str(found.outcome)


def test_too_few_rows_say_nothing() -> None:
    few = judged(0, lambda z: 3 * z[:, 0], n=15)
    assert np.isnan(few.shift)
    assert few.outcome.ok
    far = judged(0, lambda z: 3 * z[:, 0], n=60, dim=8)
    assert np.isnan(far.shift)


def test_reach_is_lowered_until_there_are_rows() -> None:
    rng = np.random.default_rng(0)
    cost = np.sum(rng.standard_normal((3000, 3)) ** 2, axis=1) / 2
    near = weights_within_reach(cost, 1.0)
    assert near[2] == 1.0
    far = weights_within_reach(cost, 60.0)
    assert far[2] < 1.0
    assert far[1] >= 100 or far[2] == pytest.approx(1 / 16)
