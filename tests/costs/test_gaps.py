"""Observations with missing values: costs and posteriors in closed form, for every form and any pattern of gaps."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.checks.support import SupportReference
from genbayes.costs.forms import HilbertForm, Observed
from genbayes.distances import HuberError, Mahalanobis, MeanAbsoluteError, MeanSquaredError
from genbayes.distances.gaps import gaps_told, with_gaps

NAN = np.nan
PRIOR = gb.Prior({"level": dist.Normal(0, 1), "slope": dist.Normal(0, 1)})
QUICK = {"config": gb.FitConfig(members=2, width=16, depth=1, max_epochs=15), "progress": False}


def line(size: int, growth: float):
    """A line seen at `size` places, with noise that differs between them and grows with the slope."""
    t = jnp.linspace(0.0, 1.0, size)

    def deviation(theta):
        return 0.1 + 0.5 * t * jnp.exp(growth * theta[1])

    def simulator(key, theta):
        return theta[0] + theta[1] * t + deviation(theta) * jax.random.normal(key, (size,))

    def expected(theta, x_o):
        seen = ~np.isnan(x_o)
        mean, std = np.asarray(theta[0] + theta[1] * t), np.asarray(deviation(theta))
        return np.mean((mean - x_o)[seen] ** 2 + std[seen] ** 2)

    return simulator, expected


def patterns(x_o: np.ndarray, seed: int) -> list[np.ndarray]:
    """The observation whole, and with a few or most of its values missing."""
    rng = np.random.default_rng(seed)
    # Of a series that ends early the last part is missing, where there is most noise.
    early = np.where(np.arange(len(x_o)) < len(x_o) // 2, x_o, NAN)
    return [x_o, early, *(np.where(rng.uniform(size=x_o.shape) < share, NAN, x_o) for share in (0.2, 0.5, 0.7))]


# Few outputs are regressed one by one, thirty with equal noise in a few directions, others with log links.
@pytest.fixture(scope="module", params=[(5, 0.3), (30, 0.0), (30, 0.5)], ids=["few", "directions", "uneven"])
def fitted(request):
    simulator, expected = line(*request.param)
    simulations = gb.simulate(simulator, PRIOR, 3000, seed=0, progress=False)
    cost = gb.fit_cost(simulations, MeanSquaredError(), progress=False)
    return simulator, expected, simulations, cost


def relative_errors(cost: gb.Cost, expected, simulations: gb.Simulations) -> np.ndarray:
    """Errors of the cost at twenty parameters and several patterns of gaps, relative to the cost itself."""
    rng = np.random.default_rng(1)
    found = []
    for seed, theta in enumerate(rng.normal(size=(20, 2)) * 0.8):
        for x_o in patterns(np.asarray(simulations.x[seed], float), seed):
            if not np.isnan(x_o).all():
                found.append(float(cost(theta, x_o)) / expected(theta, x_o) - 1)
    return np.array(found)


def test_the_cost_is_that_of_what_was_observed(fitted):
    _, expected, simulations, cost = fitted
    errors = relative_errors(cost, expected, simulations)
    # 3,000 runs leave the variance of each of five coordinates open by sqrt(2 / 3,000), 2.6 %, at a mean parameter.
    assert np.sqrt(np.mean(errors**2)) < 0.05, errors


def test_without_the_shares_of_coordinates_it_is_wrong(fitted):
    """The mutant takes the mean spread of all coordinates for that of those observed."""
    _, expected, simulations, cost = fitted
    form = cost.form
    if form.shares is None:
        pytest.skip("the spread is a sum of functions of single coordinates")
    equal = replace(
        form.shares, intercept=jnp.ones_like(form.shares.intercept), slopes=jnp.zeros_like(form.shares.slopes)
    )
    mutant = replace(cost, form=replace(form, shares=equal))
    assert np.sqrt(np.mean(relative_errors(mutant, expected, simulations) ** 2)) > 0.1


def test_the_marginal_cost_is_that_of_what_was_observed():
    simulator, expected = line(5, 0.3)
    simulations = gb.simulate(simulator, PRIOR, 3000, seed=0, progress=False)
    cost = gb.fit_cost(simulations, MeanSquaredError(), method="marginal", **QUICK)
    assert np.sqrt(np.mean(relative_errors(cost, expected, simulations) ** 2)) < 0.1
    x_o = np.array([0.3, NAN, 0.2, 0.5, NAN])
    robust = cost.with_distance(HuberError(0.5))
    one_by_one = [float(robust([0.1, 0.2], np.where(np.arange(5) == j, x_o, NAN))) for j in (0, 2, 3)]
    assert np.isclose(float(robust([0.1, 0.2], x_o)), np.mean(one_by_one), rtol=1e-5)


def gaussian_posterior(x_o: np.ndarray, t: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviations of the Gibbs posterior of a line with noise that is the same everywhere."""
    seen = ~np.isnan(x_o)
    design = np.stack([np.ones(len(t)), t], axis=1)[seen]
    precision = np.eye(2) + 2 * beta / seen.sum() * design.T @ design
    mean = np.linalg.solve(precision, 2 * beta / seen.sum() * design.T @ x_o[seen])
    return mean, np.sqrt(np.diag(np.linalg.inv(precision)))


@pytest.fixture(scope="module")
def straight():
    """A line with equal noise, whose Gibbs posteriors are Gaussian, and three observations with their own gaps."""
    t = np.linspace(0, 1, 20)

    def simulator(key, theta):
        return theta[0] + theta[1] * jnp.asarray(t, jnp.float32) + 0.2 * jax.random.normal(key, (20,))

    simulations = gb.simulate(simulator, PRIOR, 2000, seed=0, progress=False)
    cost = gb.fit_cost(simulations, MeanSquaredError(), progress=False)
    whole = 0.5 - 0.4 * t + 0.2 * np.random.default_rng(4).normal(size=20)
    late, scattered = whole.copy(), whole.copy()
    late[12:] = NAN
    scattered[[1, 5, 6, 18]] = NAN
    return simulator, simulations, cost, t, np.stack([whole, late, scattered])


def test_posteriors_of_a_stack_with_different_gaps_are_in_closed_form(straight):
    _, simulations, cost, t, observed = straight
    stack = gb.GibbsPosteriors(PRIOR, cost, observed, 250.0)
    draws = stack.sample(4000, seed=0, progress=False)
    for i, x_o in enumerate(observed):
        mean, std = gaussian_posterior(x_o, t, 250.0)
        flat = draws.theta[i, 0].reshape(-1, 2)
        # 4,000 draws leave the mean open by .016 standard deviations, the regression by some .05.
        assert np.all(np.abs(flat.mean(axis=0) - mean) < 0.15 * std), (i, (flat.mean(axis=0) - mean) / std)
        assert np.all(np.abs(flat.std(axis=0) / std - 1) < 0.08), (i, flat.std(axis=0) / std)
        place = np.array([0.5, -0.4])
        alone = gb.GibbsPosterior(PRIOR, cost, x_o, 250.0)
        assert np.isclose(alone.cost_at(place), stack.posterior(i).cost_at(place))
    found = gb.check_stack(stack, draws, simulations)
    # None is unusual; of three p-values of the simulator's own outputs one is below .01 in 3 % of all seeds.
    assert np.min(found.p_value) > 0.01, found.p_value


def test_checks_reports_and_pictures_leave_gaps_open(straight, tmp_path):
    simulator, simulations, cost, _, observed = straight
    posterior = gb.GibbsPosterior(PRIOR, cost, observed[1], 250.0)
    assert "8 of 20 values missing (at 12, 13, 14, 15, 16, ...)" in repr(posterior)
    draws = posterior.sample(1000, seed=0)
    draws.save(tmp_path / "draws.zarr")
    again = gb.Draws.load(tmp_path / "draws.zarr")
    verdict = gb.check(posterior, again, simulator, simulations, n=200, seed=1, progress=False)
    evidence = verdict.evidence
    assert verdict.level != "bad", verdict.summary()
    assert evidence.support is not None
    assert evidence.support.inside
    assert evidence.position is not None
    assert len(evidence.position.names) == 12
    runs = verdict.predictive
    assert runs is not None
    # Of the observed coordinates two runs differ by 2 sd^2 in the mean.
    assert abs(runs.replicate.mean() / (2 * 0.2**2) - 1) < 0.1
    figure = gb.plots.predictive(runs, posterior.x_o)
    line_of_observation = next(one for one in figure.axes[0].lines if one.get_label() == "observed")
    assert np.isnan(line_of_observation.get_ydata()).sum() == 8
    plt.close(figure)
    page = gb.report(tmp_path / "report.html", posterior, draws, check=verdict, simulations=simulations)
    assert "8 of 20 values missing" in page.read_text("utf-8")


def test_an_observation_far_off_is_told_by_what_was_observed(straight):
    _, simulations, cost, _, observed = straight
    far = observed[1] + 100.0
    reference = SupportReference.of(cost, simulations, x_o=far)
    assert not reference.judge(far).inside
    assert reference.judge(observed[1]).inside
    with pytest.raises(ValueError, match="other missing values"):
        reference.judge(observed[2])


@pytest.mark.long
@pytest.mark.slow
def test_rules_for_beta_take_the_gaps_into_account(straight):
    simulator, simulations, cost, _, observed = straight
    held_out = gb.simulate(simulator, PRIOR, 300, seed=5, progress=False)
    # The ordinary posterior of n values has beta n / (2 sd^2): of 12 values 150, of 20 250.
    for x_o, beta in ((observed[0], 250.0), (observed[1], 150.0)):
        found = gb.temperature.calibrated(PRIOR, cost, held_out, seed=0, x_o=x_o, progress=False)
        assert found.interval[0] < beta < found.interval[1], (beta, found)


@pytest.mark.long
@pytest.mark.slow
def test_sensitivity_is_of_what_was_observed():
    simulator, _ = line(5, 0.3)
    simulations = gb.simulate(simulator, PRIOR, 1000, seed=0, progress=False)
    cost = gb.fit_cost(simulations, MeanSquaredError(), method="marginal", **QUICK)
    x_o = np.array([0.3, NAN, 0.2, 0.5, 0.1])
    distances = {"absolute": MeanAbsoluteError()}
    found = gb.sensitivity(gb.GibbsPosterior(PRIOR, cost, x_o, 20.0), distances, n=500, seed=0, progress=False)
    assert len(found.groups) == 4
    assert np.isclose(found.share.sum(), 1)
    assert np.isfinite(found.misfit).all()


def test_gaps_are_saved_and_older_files_say_what_to_do(fitted, tmp_path):
    _, _, simulations, cost = fitted
    x_o = np.asarray(simulations.x[0], float)
    x_o[1] = NAN
    again = gb.load(gb.save(cost, tmp_path / "cost.safetensors"))
    assert float(again([0.1, 0.2], x_o)) == float(cost([0.1, 0.2], x_o))
    assert isinstance(cost.form, HilbertForm)
    assert isinstance(cost.embed(x_o), Observed)
    if cost.form.shares is not None:
        old = replace(cost, form=replace(cost.form, shares=None))
        with pytest.raises(ValueError, match="at index \\(1,\\).*fit it again"):
            gb.GibbsPosterior(PRIOR, old, x_o, 1.0)


@pytest.mark.slow
def test_what_cannot_leave_values_out_says_so(straight):
    _, simulations, _, _, observed = straight
    config = gb.FitConfig(members=2, max_epochs=2)
    whole = gb.fit_cost(simulations, Mahalanobis("prior_predictive"), config=config, progress=False)
    general = gb.fit_cost(simulations, MeanSquaredError(), method="general", config=config, progress=False)
    for cost, remedy in ((whole, "take an additive one"), (general, "method='auto' or 'marginal'")):
        with pytest.raises(ValueError, match=f"8 value\\(s\\) that are NaN.*{remedy}"):
            gb.GibbsPosterior(PRIOR, cost, observed[1], 1.0)
        with pytest.raises(ValueError, match=f"observation number 1: .*{remedy}"):
            gb.GibbsPosteriors(PRIOR, cost, observed, 1.0)


def test_nothing_observed_and_infinities_are_refused(straight):
    *_, cost, _, observed = straight
    with pytest.raises(ValueError, match="no value that was observed"):
        gb.GibbsPosterior(PRIOR, cost, np.full(20, NAN), 1.0)
    with pytest.raises(ValueError, match="takes finite numbers"):
        gb.GibbsPosterior(PRIOR, cost, np.where(np.arange(20) == 3, np.inf, observed[0]), 1.0)


def test_missing_trials_of_a_set_are_left_out():
    cost = gb.Cost.exact(lambda theta, x: jnp.sum(theta), names=PRIOR.names, x_shape=(6, 2), units="1")
    cost = replace(cost, distance=gb.distances.EnergyDistance())
    trials = np.arange(12.0).reshape(6, 2)
    trials[2] = NAN
    assert cost.check_observation(trials).tolist() == np.delete(np.arange(12.0).reshape(6, 2), 2, axis=0).tolist()
    trials[3, 0] = NAN
    with pytest.raises(ValueError, match="the first is trial 3"):
        cost.check_observation(trials)


def test_words():
    assert gaps_told(np.ones(3)) == ""
    assert gaps_told(np.array([[1.0, NAN], [2.0, 3.0]])) == ", 1 of 4 values missing (at (0, 1))"
    x = np.ones((2, 3))
    assert with_gaps(x, np.zeros(3)) is x
    assert np.isnan(with_gaps(x, np.array([0.0, NAN, 0.0]))).sum(axis=0).tolist() == [0, 2, 0]
