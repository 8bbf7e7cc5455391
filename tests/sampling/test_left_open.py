"""What the simulations leave open of an answer: against shifts in closed form, and against what fits get wrong."""

import re
from pathlib import Path

import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import genbayes as gb
from genbayes.costs.evaluated import members_of_each
from genbayes.costs.fitting import Method
from genbayes.sampling.left_open import LeftOpen


def test_tilted_normals_shift_by_their_slopes() -> None:
    # Of a standard normal exp(a t) makes one of mean a; its share above 0 moves by a phi(0), to first order.
    rng = np.random.default_rng(0)
    t, slopes = rng.standard_normal((40_000, 2)), np.array([[0.03, 0.0], [-0.04, 0.1]])
    chosen = np.arange(0, 40_000, 2)
    known = LeftOpen(chosen, t[chosen] @ slopes.T + 7.0, 0.0, 2)
    found = known.error_of_means(np.column_stack([t, t[:, 0] > 0]))
    # The covariance of 20,000 draws has an error of slope / sqrt(10,000) at most.
    expected = [0.05, 0.1, 0.05 * stats.norm.pdf(0)]
    np.testing.assert_allclose(found, expected, rtol=0.05)
    assert known.nats == pytest.approx(np.linalg.norm(slopes), rel=0.05)


def test_what_all_members_miss_shifts_every_parameter_alike() -> None:
    t = np.random.default_rng(0).standard_normal((20_000, 4)) * [1, 10, 0.1, 1]
    known = LeftOpen(np.arange(20_000), np.zeros((20_000, 3)), 0.6, 4)
    np.testing.assert_allclose(known.error_of_means(t), 0.3 * np.array([1, 10, 0.1, 1]), rtol=0.03)
    assert known.nats == pytest.approx(0.6)


def test_parts_of_a_joint_posterior_add_up_as_variances() -> None:
    rng = np.random.default_rng(0)
    draws, t = np.arange(500), rng.standard_normal((500, 1))
    first, second = (LeftOpen(draws, t * [[a, -a]], missed, 1) for a, missed in ((0.3, 0.1), (0.4, 0.0)))
    both = LeftOpen.joined([first, None, second], 1)
    assert both is not None
    separate = [part.error_of_means(t) for part in (first, second)]
    np.testing.assert_allclose(both.error_of_means(t), np.linalg.norm(separate, axis=0))
    assert LeftOpen.joined([None, None], 1) is None


def test_errors_of_few_runs_are_of_the_size_that_is_said(tmp_path: Path) -> None:
    # A line in eight parameters and 20 outputs with noise: the posterior is a normal in closed form.
    dim, sd, beta = 8, 1.0, 10.0
    rng = np.random.default_rng(1)
    line = rng.standard_normal((20, dim)) / 2
    prior = gb.Prior({f"p{j}": dist.Normal(0.0, 1.0) for j in range(dim)})
    simulations = gb.simulate(
        lambda theta, rng: line @ theta + sd * rng.standard_normal(20), prior, 300, seed=0, progress=False
    )
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    precision = np.eye(dim) + 2 * beta / 20 * line.T @ line
    z, alone, x_os = [], [], []
    for seed in range(4):
        x_o = line @ rng.standard_normal(dim) + sd * rng.standard_normal(20)
        draws = gb.GibbsPosterior(prior, cost, x_o, beta).sample(4000, seed=seed)
        exact = np.linalg.solve(precision, 2 * beta / 20 * line.T @ x_o)
        sampling = [draws.standard_error(draws[name]) for name in draws.names]
        z.append((draws.flat.mean(axis=0) - exact) / np.hypot(draws.fit_errors, sampling))
        alone.append(draws.fit_errors)
        x_os.append(x_o)
        # The errors of the fit, not of the number of draws.
        assert np.mean(draws.fit_errors**2) > 2 * np.mean(np.square(sampling))
    # 32 numbers, of variance one if the errors are what is said, that share one fit: of eight independent ones the mean
    # square lies between 0.2 and 2.9 with probability 0.99; the jackknife of four members is known to a factor of 1.5.
    assert 0.2 / 1.5 < np.mean(np.square(z)) < 2.9 * 1.5
    assert "± fit" in draws.summary()
    assert "± fit" in draws._repr_html_()
    draws.save(tmp_path / "draws.zarr")
    assert gb.Draws.load(tmp_path / "draws.zarr").summary() == draws.summary()
    stack = gb.GibbsPosteriors(prior, cost, np.stack(x_os), [beta, 100 * beta]).sample(2000, seed=0, progress=False)
    # By 500 draws of each instead of 1,000: their covariances with eight parameters are known to sqrt(8 / 500).
    np.testing.assert_allclose(stack.fit_errors[:, 0], alone, rtol=0.5)
    assert np.mean(stack.fit_errors[:, 0]) == pytest.approx(np.mean(alone), rel=0.15)
    # All four at the beta that is too large, and perhaps one of the others.
    assert re.search("uncertain in [456] of 8 posteriors", str(stack.outcome))
    assert "uncertain by" not in str(stack.draws(2, 0).outcome)
    assert "uncertain by" in str(stack.draws(2, 1).outcome)
    np.testing.assert_allclose(stack.draws(2, 0).fit_errors, stack.fit_errors[2, 0])
    stack.save(tmp_path / "stack.zarr")
    again = gb.StackedDraws.load(tmp_path / "stack.zarr")
    assert again.summary() == stack.summary()
    np.testing.assert_array_equal(again.first(2).fit_errors, stack.fit_errors[:2])


@pytest.mark.parametrize(("method", "distance"), [("marginal", "absolute"), ("general", "squared")])
def test_networks_know_their_error(method: Method, distance: str) -> None:
    # A curve of two parameters with normal noise: E|x - y| and E(x - y)^2 have closed forms.
    prior, sd, beta = gb.Prior.uniform([-1, -1], [1, 1]), 0.3, 20.0

    def simulator(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return curve(theta) + sd * rng.standard_normal(3)

    def curve(theta: np.ndarray) -> np.ndarray:
        a, b = theta[..., 0], theta[..., 1]
        return np.stack([a + b**2, np.exp(a), a * b], -1)

    simulations = gb.simulate(simulator, prior, 600, seed=0, progress=False)
    made = gb.distances.MeanAbsoluteError() if distance == "absolute" else gb.distances.MeanSquaredError()
    cost = gb.fit_cost(simulations, made, method=method, progress=False)
    ratios = []
    for a, b in [(0.5, 0.5), (-0.5, 0.3), (0.0, -0.6)]:
        x_o = curve(np.array([a, b]))
        posterior = gb.GibbsPosterior(prior, cost, x_o, beta)
        theta = np.asarray(posterior.sample(500, seed=0).flat, np.float32)
        away = np.abs(curve(theta.astype(float)) - x_o) / sd
        absolute = sd * (away * (2 * stats.norm.cdf(away) - 1) + 2 * stats.norm.pdf(away))
        exact = (absolute if distance == "absolute" else sd**2 * (away**2 + 1)).mean(axis=1)
        ratios.append(posterior.uncertainty_at(theta) / (beta * np.std(np.asarray(cost(theta, x_o)) - exact)))
    # The mutants, a factor of 1 / members as for networks of features, say 0.5 and 0.6 of it.
    assert 0.7 < np.exp(np.mean(np.log(ratios))) < 3.0


def test_an_exact_cost_leaves_nothing_to_say() -> None:
    prior = gb.Prior({"m": dist.Normal(0.0, 1.0)})
    cost = gb.Cost.exact(lambda theta, x: (theta[0] - x[0]) ** 2, names=("m",), x_shape=(1,), units="1")
    draws = gb.GibbsPosterior(prior, cost, [0.5], 2.0).sample(200, seed=0)
    assert np.isnan(draws.fit_error(draws["m"]))
    assert "± fit" not in draws.summary()


def test_members_of_many_observations_are_asked_together() -> None:
    # The first sixteen in one call, the others one by one; with known conditions and a missing value.
    def simulator(theta, rng, conditions):
        return conditions[0] * theta + rng.standard_normal(2)

    prior = gb.Prior.uniform([-1.0, -1.0], [1.0, 1.0], ["a", "b"])
    doses = gb.Prior.uniform([0.5], [2.0], ["dose"])
    simulations = gb.simulate(simulator, prior, 300, seed=0, conditions=doses, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    rng = np.random.default_rng(0)
    x_o, known = rng.standard_normal((18, 2)), rng.uniform(0.5, 2.0, (18, 1))
    x_o[3, 1] = np.nan
    theta = rng.uniform(-1, 1, (18, 40, 2)).astype(np.float32)
    found = members_of_each(cost, theta, x_o, known, gaps=True)
    for i in (0, 3, 15, 17):
        np.testing.assert_allclose(found[i], cost.members(theta[i], x_o[i], known[i]), rtol=1e-4, atol=1e-5)
