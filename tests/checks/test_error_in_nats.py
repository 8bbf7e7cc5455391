"""Errors of the cost in nats, by new runs at the draws: against errors that were put in, of a Gaussian location model.

Outputs are normal around theta with standard deviation NOISE, the distance is half the sum of squares over NOISE^2: at
beta 1 the posterior is the Bayesian one, normal of standard deviation NOISE, and a run's distance has a chi-squared
scatter of sqrt(dim / 2) around its expectation at the observation's own parameter.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.checks.error_in_nats import ErrorInNats, error_in_nats
from genbayes.checks.evidence import Evidence
from genbayes.checks.findings import findings

NOISE, DIM = 0.2, 2
X_O = np.zeros(DIM, np.float32)
PRIOR = gb.Prior.uniform([-3.0] * DIM, [3.0] * DIM)


def judged(seed: int, error: Callable, *, m: int = 500, beta: float = 1.0, scatter: float = 1.0) -> ErrorInNats:
    """Two runs at each of `m` draws; the predicted cost is the true one plus `error` of whitened parameters."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(m, DIM))
    cost = (np.sum(z**2, axis=1) + DIM) / 2 / beta
    runs = z + scatter * rng.normal(size=(2, m, DIM))
    distances = (np.sum(runs**2, axis=2) / 2 + (1 - scatter**2) * DIM / 2) / beta
    return error_in_nats(NOISE * z, distances, cost + error(z) / beta, beta)


def test_a_right_cost_is_not_accused() -> None:
    # The offset at 3.5 standard errors and beyond 0.7 nats, where these are 0.05; lines at a chance of 5e-4; products
    # at 3.5 standard errors and beyond 0.5 nats: one false alarm in 200 is a chance of some 10 %, two of 1 %.
    found = [judged(seed, lambda z: 0 * z[:, 0]) for seed in range(200)]
    assert sum(not one.right for one in found) <= 1
    assert all(one.resolved for one in found)
    # What is called the standard error of the offset is one: 200 seeds know a standard deviation to 5 %.
    assert np.std([one.offset / one.offset_error for one in found]) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("size", [1.0, 3.0])
def test_a_line_is_measured_in_nats(size: float) -> None:
    found = [judged(seed, lambda z: size * (z[:, 0] - z[:, 1]) / np.sqrt(2)) for seed in range(10)]
    assert all(one.moves for one in found)
    # The slopes are known to their standard error, of 500 draws in a sample whose spread is known to 3 %.
    error = np.mean([one.slope_error for one in found]) / np.sqrt(10)
    assert np.mean([one.slope for one in found]) == pytest.approx(size, abs=4 * error + 0.05 * size)
    assert "which moves the posterior" in found[0].constant


def test_an_error_that_no_line_sees_is_seen_by_two_runs() -> None:
    # z^2 - 1 has mean 0, slope 0 and standard deviation sqrt(2).
    found = [judged(seed, lambda z: 1.5 * (z[:, 0] ** 2 - 1), m=2000) for seed in range(10)]
    assert np.mean([one.varies for one in found]) == pytest.approx(1.5 * np.sqrt(2), rel=0.15)
    assert all(one.varies_sure for one in found)
    assert not any(one.slope_sure for one in found)
    # The mutant: one run at each draw knows nothing of it.
    one_run = error_in_nats(np.ones((50, 1)) * np.arange(50)[:, None], np.ones((1, 50)), np.ones(50), 1.0)
    assert np.isnan(one_run.varies)
    assert not one_run.varies_sure


def test_a_constant_error_is_told_apart_from_what_moves_the_posterior() -> None:
    found = judged(0, lambda z: -46.0 + 0 * z[:, 0])
    assert found.off
    assert not found.moves
    assert found.offset == pytest.approx(-46, abs=4 * found.offset_error)
    assert "alike at all draws" in found.constant


def test_runs_too_noisy_to_show_an_error_are_not_taken_for_agreement() -> None:
    # A scatter 20 times that of the posterior: its squares have a standard deviation of 400 nats.
    found = judged(0, lambda z: 0 * z[:, 0], scatter=20.0)
    assert found.right
    assert not found.resolved
    assert found.offset_error > found.limit
    # `needed` times as many runs are enough, but for the noise of standard errors of such heavy tails.
    more = judged(1, lambda z: 0 * z[:, 0], scatter=20.0, m=int(1.5 * 500 * found.needed))
    assert more.resolved


def half_squares(extra: float) -> Callable:
    """The expected distance, with `extra` that no parameter changes."""
    return lambda theta, x_o: jnp.sum((theta - x_o) ** 2) / 2 / NOISE**2 + DIM / 2 + extra


def checked(factor: float, extra: float, beta: float) -> tuple[Evidence, gb.PredictiveCheck]:
    """A cost that is `factor` times the true one, at draws of the true posterior."""
    true = half_squares(extra)
    cost = gb.Cost.exact(
        lambda theta, x_o: factor * true(theta, x_o), names=PRIOR.names, x_shape=(DIM,), units="squared data units"
    )
    distance = gb.distances.UserDistance(
        lambda x, y: jnp.sum((x - y) ** 2) / 2 / NOISE**2 + extra, name="half squares", units="1"
    )
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, beta)
    theta = (NOISE / np.sqrt(beta) * np.random.default_rng(1).normal(size=(4, 200, DIM))).clip(-2.9, 2.9).astype("f4")
    values = np.asarray(cost(theta.reshape(-1, DIM), X_O)).reshape(4, 200)
    draws = gb.Draws(theta, values, PRIOR.names, beta, X_O, "exact", 0)
    runs = gb.check_predictive(
        lambda theta, rng: theta + NOISE * rng.normal(size=DIM),
        posterior,
        draws,
        400,
        seed=2,
        distance=distance,
        progress=False,
    )
    return Evidence(posterior, draws, runs), runs


def cost_finding(evidence: Evidence):
    return next(one for one in findings(evidence) if one.check == "cost")


def test_nine_percent_that_are_46_nats_are_told() -> None:
    evidence, runs = checked(0.905, 480.0, 1.0)
    assert abs(runs.relative_error) < 0.1
    assert "-46 nats" in str(runs.outcome)
    assert "-46 +- " not in str(runs.outcome)
    finding = cost_finding(evidence)
    assert finding.level == "care"
    assert "-46 nats" in finding.text
    assert finding.numbers["nats"] == pytest.approx(-0.095 * 483, rel=0.01)
    assert "-46 nats" in runs.summary()


def test_thirty_percent_of_next_to_nothing_do_not_alarm() -> None:
    evidence, runs = checked(1.3, 0.0, 0.1)
    assert runs.relative_error > 0.2
    assert runs.outcome.ok
    assert cost_finding(evidence).level == "ok"


def test_noise_beyond_the_limit_is_not_judged() -> None:
    evidence, runs = checked(1.0, 0.0, 60.0)
    finding = cost_finding(evidence)
    assert not finding.judged
    assert finding.level == "care"
    assert "not judged" in str(runs.outcome)
    assert "--resimulate" in finding.remedy


def test_an_error_draws_particles_to_where_it_favours_them() -> None:
    # Normal errors of s nats over the true posterior: draws of density exp(-e) have a mean error of -s^2.
    rng = np.random.default_rng(0)
    error = 1.2 * rng.normal(size=100_000)
    weight = np.exp(-error) / np.exp(-error).sum()
    assert weight @ error == pytest.approx(-(1.2**2), rel=0.05)
    six = ErrorInNats(-1.4, 0.15, 0.0, 0.3, False, 0.0, 1.0, False, 6)
    assert six.offset_limit == pytest.approx(6 / 4)
    assert six.right
    assert ErrorInNats(-1.6, 0.15, 0.0, 0.3, False, 0.0, 1.0, False, 6).off
