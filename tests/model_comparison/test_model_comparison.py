"""Evidences of linear models with normal priors: Gibbs evidences by mean squared errors are normal integrals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb

TIMES = np.linspace(-1, 1, 6)
DESIGNS = {"straight": TIMES[:, None], "bent": np.stack([TIMES, TIMES**2], axis=1)}
NOISE, BETA = 0.2, 60.0
X_O = 0.7 * TIMES + 0.25 * TIMES**2 + np.array([0.1, -0.2, 0.1, 0.0, 0.15, -0.1])


def exact_log_evidence(design: np.ndarray, beta: float = BETA, x_o: np.ndarray = X_O) -> float:
    """log of the integral of exp(-beta (|x_o - X theta|^2 / m + s^2)) over a standard normal theta."""
    m, dim = design.shape
    precision = np.eye(dim) + 2 * beta / m * design.T @ design
    right = 2 * beta / m * design.T @ x_o
    quadratic = beta / m * x_o @ x_o - right @ np.linalg.solve(precision, right) / 2
    return -beta * NOISE**2 - quadratic - np.linalg.slogdet(precision)[1] / 2


def prior_of(design: np.ndarray) -> gb.Prior:
    return gb.Prior({f"b{i}": dist.Normal(0.0, 1.0) for i in range(design.shape[1])})


def exact_model(design: np.ndarray) -> tuple[gb.Prior, gb.Cost]:
    def cost(theta, x):
        return jnp.mean((jnp.asarray(design, jnp.float32) @ theta - x) ** 2) + NOISE**2

    prior = prior_of(design)
    return prior, gb.Cost.exact(cost, names=prior.names, x_shape=(6,), units="squared data units")


EXACT = {name: exact_model(design) for name, design in DESIGNS.items()}
TRUTH = {name: exact_log_evidence(design) for name, design in DESIGNS.items()}


def compare(models=None, **options):
    options = {"beta": BETA, "seed": 0, "progress": False, **options}
    return gb.compare_models(EXACT if models is None else models, X_O, **options)


def fitted_model(design: np.ndarray, distance=None, fails=False, **options) -> tuple[gb.Prior, gb.Cost]:
    def simulator(key, theta):
        fail_key, key = jax.random.split(key)
        x = jnp.asarray(design, jnp.float32) @ theta + NOISE * jax.random.normal(key, (6,))
        return jnp.where(fails & (jax.random.uniform(fail_key) < 0.5), jnp.nan, x)

    prior = prior_of(design)
    simulations = gb.simulate(simulator, prior, 1000, seed=1, progress=False)
    config = gb.FitConfig(members=2, width=8, depth=1, max_epochs=10)
    distance = gb.distances.MeanSquaredError() if distance is None else distance
    return prior, gb.fit_cost(simulations, distance, config=config, progress=False, **options)


@pytest.fixture(scope="module")
def fitted():
    return {name: fitted_model(design) for name, design in DESIGNS.items()}


def test_evidences_and_their_errors():
    """Standard errors of 16 populations: z is of Student's t with 15 degrees of freedom, E[z^2] = 15 / 13."""
    z = []
    for seed in range(12):
        found = compare(seed=seed)
        z += [(model.log_evidence - TRUTH[model.name]) / model.error for model in found.models]
        assert all(model.error < 0.1 for model in found.models)
        assert all(model.cost_error == 0 for model in found.models)
    # 24 of them: E 1.15, its standard deviation 0.37 (the kurtosis of t_15 is 3.5); five of them, and none too small.
    assert 0.3 < np.mean(np.square(z)) < 3.0
    assert found.outcome.ok, found.outcome


def test_probabilities_and_factors():
    found = compare(prior_probabilities={"straight": 3, "bent": 1})
    logs = np.array([TRUTH["straight"] + np.log(0.75), TRUTH["bent"] + np.log(0.25)])
    expected = np.exp(logs - np.logaddexp.reduce(logs))
    np.testing.assert_allclose(found.probabilities, expected, atol=0.05)
    factor, error = found.log_bayes_factor("bent", "straight")
    assert abs(factor - (TRUTH["bent"] - TRUTH["straight"])) < 5 * error
    text = found.summary()
    assert "log Bayes factor" in text
    assert "straight" in repr(found)
    assert "<table>" in found._repr_html_()
    with pytest.raises(KeyError, match="none of the models"):
        found["crooked"]


@pytest.mark.slow
def test_fitted_costs_know_their_error(fitted):
    found = compare(fitted, draws=800)
    # Of the mean spread of 1000 runs of six independent outputs, times beta; that of the means comes on top.
    level = BETA * NOISE**2 * np.sqrt(2 / 6000)
    for model in found.models:
        # Two members know it to a factor of some three. The held-out runs near the posterior by themselves: 8 times.
        assert level / 4 < model.cost_error < 6 * level
        assert abs(model.log_evidence - TRUTH[model.name]) < 3 * model.whole_error


def test_with_gaps_it_is_the_evidence_of_what_was_observed(fitted):
    x_o, beta = X_O.copy(), BETA * 3 / 6
    x_o[[0, 2, 4]] = np.nan
    seen = np.isfinite(x_o)
    found = gb.compare_models(fitted, x_o, beta, draws=800, seed=0, progress=False)
    for name, design in DESIGNS.items():
        expected = exact_log_evidence(design[seen], beta, x_o[seen])
        # Three standard errors of the sampler, and of the level of a cost of 1000 runs, times beta.
        allowed = 3 * found[name].error + 3 * beta * NOISE**2 * np.sqrt(2 / 1000)
        assert abs(found[name].log_evidence - expected) < allowed + 0.05, name


@pytest.mark.slow
def test_a_shifted_cost_is_told(fitted):
    """A constant added to a cost changes no posterior, but its evidence."""
    prior, cost = fitted["bent"]
    spread = cost.form.spread
    form = dataclasses.replace(
        cost.form,
        spread=dataclasses.replace(spread, intercept=spread.intercept + 0.05),
        directions=cost.form.directions,
    )
    found = compare({"straight": fitted["straight"], "shifted": (prior, dataclasses.replace(cost, form=form))})
    assert found["shifted"].cost_error > 0.7 * BETA * 0.05
    assert "refine the costs" in str(found.outcome)


@pytest.mark.long
@pytest.mark.slow
def test_failures_count(fitted):
    """Half of the runs fail, wherever: the evidence is halved."""
    found = compare({"fails": fitted_model(DESIGNS["straight"], fails=True), "never": fitted["straight"]})
    factor, error = found.log_bayes_factor("never", "fails")
    # P(success) is known by 1000 runs to 0.05 in logarithm.
    assert abs(factor - np.log(2)) < 3 * error + 0.15


@pytest.mark.slow
def test_a_penalty_for_failures_is_part_of_the_cost_alone():
    """Half of the runs fail, wherever, at a distance of 0.05: exp(-beta / 2 (E[d] + 0.05)), times no probability."""
    model = fitted_model(DESIGNS["straight"], fails=True, failures=0.05)
    assert model[1].success is not None
    found = compare({"penalised": model, "exact": EXACT["straight"]})
    truth = exact_log_evidence(DESIGNS["straight"], BETA / 2) - BETA / 2 * 0.05
    # P(success) is known by 1000 runs to 0.016, which the distances of up to 0.1 and beta make 0.1 nats.
    assert abs(found["penalised"].log_evidence - truth) < 3 * found["penalised"].whole_error + 0.1
    assert 0.01 < found["penalised"].cost_error < 1.0


def test_refusals():
    prior, cost = EXACT["straight"]

    def other(shape, units):
        return gb.Cost.exact(lambda theta, x: jnp.sum(theta), names=cost.names, x_shape=shape, units=units)

    with pytest.raises(TypeError, match="models"):
        compare([(prior, cost)])
    with pytest.raises(TypeError, match="models"):
        compare({"a": prior, "b": (prior, cost)})
    with pytest.raises(ValueError, match="two or more"):
        compare({"a": (prior, cost)})
    with pytest.raises(ValueError, match="shapes"):
        compare({"a": (prior, cost), "b": (prior, other((5,), cost.distance.units))})
    with pytest.raises(ValueError, match="units"):
        compare({"a": (prior, cost), "b": (prior, other((6,), "volt"))})
    with pytest.raises(ValueError, match="given for every model"):
        compare(prior_probabilities={"straight": 1.0})
    with pytest.raises(ValueError, match="positive numbers"):
        compare(prior_probabilities={"straight": 1.0, "bent": 0.0})


@pytest.mark.slow
def test_two_prior_predictive_scales_are_two_distances():
    scaled = {name: fitted_model(d, gb.distances.MeanSquaredError("prior_predictive")) for name, d in DESIGNS.items()}
    with pytest.raises(ValueError, match="another for every simulator"):
        compare(scaled)
