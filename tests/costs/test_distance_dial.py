"""One fit, every additive distance: against integrals, exact costs, networks fitted for one distance, and laws."""

import argparse
import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import integrate, stats

import genbayes as gb
from genbayes.cli import main
from genbayes.command_line import sensitivity_command, stages
from genbayes.command_line.folder import Folder, stored_cost
from genbayes.command_line.problem import read_problem
from genbayes.command_line.staleness import stale
from genbayes.costs.fit_marginal import MARGINAL_CONFIG
from genbayes.costs.fitting import default_config
from genbayes.costs.forms import CostForm, FunctionForm, HilbertForm, MarginalForm
from genbayes.distances import AdditiveDistance, CappedError, HuberError, MeanAbsoluteError, MeanSquaredError
from genbayes.learning.distributions import LogisticMixture, TailTransform
from genbayes.learning.layers import ResidualMLP, Standardiser
from genbayes.learning.polynomial import Polynomial
from genbayes.learning.ridge import RidgeResidual
from genbayes.plots.sensitivities import sensitivity as plot_sensitivity
from genbayes.sensitivity_analysis.analysis import Sensitivity, sensitivity
from genbayes.sensitivity_analysis.distances import output_groups

SCALE, WEIGHTS = np.array([1.0, 2.0, 0.5]), np.array([1.0, 0.5, 3.0])


def huber(delta: float) -> Callable[[Any], Any]:
    return lambda r: np.where(np.abs(r) <= delta, r**2 / 2, delta * (np.abs(r) - delta / 2))


# The discrepancy of one scaled residual as its definition says it, and the distance.
KINDS: dict[str, tuple[Callable[[Any], Any], Callable[..., AdditiveDistance]]] = {
    "absolute": (np.abs, MeanAbsoluteError),
    "squared": (np.square, MeanSquaredError),
    "huber": (huber(0.7), lambda **k: HuberError(0.7, **k)),
    "sharp huber": (huber(0.05), lambda **k: HuberError(0.05, **k)),
    "capped": (lambda r: np.minimum(np.abs(r), 0.9), lambda **k: CappedError(0.9, **k)),
    "tightly capped": (lambda r: np.minimum(np.abs(r), 0.1), lambda **k: CappedError(0.1, **k)),
    "capped squared": (lambda r: np.minimum(r**2, 0.81), lambda **k: CappedError(0.9, 2, **k)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_distances_are_weighted_means_of_their_definitions(kind: str) -> None:
    function, make = KINDS[kind]
    x, y = np.random.default_rng(0).normal(size=(2, 40, 3)).astype(np.float32)
    distance = make(scale=SCALE, weights=WEIGHTS)
    expected = np.mean(WEIGHTS * function((x - y) / SCALE), axis=1)
    found = np.asarray(jax.vmap(distance)(jnp.asarray(x), jnp.asarray(y)))
    # To float32's rounding.
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(distance.fitted(x))(jnp.asarray(x), jnp.asarray(y)), found, rtol=1e-6)
    # Mutants: weights that count twice, a cap or bend of the residual before it is scaled.
    assert np.max(np.abs(np.mean(WEIGHTS**2 * function((x - y) / SCALE), axis=1) / expected - 1)) > 0.1
    before = np.mean(WEIGHTS * function(x - y) / SCALE, axis=1)
    # What is nearly the absolute value does not tell them apart.
    assert kind in ("absolute", "sharp huber") or np.max(np.abs(before / expected - 1)) > 0.1


def test_features_of_a_weighted_squared_error_give_the_distance() -> None:
    x, y = (jnp.asarray(v) for v in np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32))
    distance = MeanSquaredError(SCALE, WEIGHTS)
    gap = distance.features(x) - distance.features(y)
    assert float(jnp.sum(gap**2)) == pytest.approx(float(distance(x, y)), rel=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HuberError(0.0), "delta must be one finite number greater than 0"),
        (lambda: HuberError(np.inf), "delta must be one finite"),
        (lambda: CappedError(-1.0), "cap must be one finite number"),
        (lambda: CappedError(1.0, 3), r"power must be 1 .* or 2 .*, got 3"),
        (lambda: MeanAbsoluteError(weights=[0.0, 0.0]), "greater than 0 for at least one"),
        (lambda: MeanAbsoluteError(weights=[-1.0, 1.0]), "weights must be finite numbers of at least 0"),
        (lambda: MeanAbsoluteError(weights=[1.0, 1.0]).fitted(np.zeros((5, 3))), r"weights has shape \(2,\).*\(3,\)"),
        (lambda: MeanAbsoluteError("prior_predictive").fitted(np.zeros((5, 2))), "give them weight 0"),
    ],
)
def test_what_distances_refuse(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_constant_coordinate_may_be_left_out_of_a_prior_predictive_scale() -> None:
    x = np.random.default_rng(2).normal(size=(100, 2)).astype(np.float32)
    x[:, 1] = 4
    distance = MeanAbsoluteError("prior_predictive", weights=[1.0, 0.0]).fitted(x)
    assert float(distance(jnp.zeros(2), jnp.ones(2))) == pytest.approx(0.5 / x[:, 0].std(), rel=1e-5)


def mixture_form(heavy: bool, distance: AdditiveDistance) -> tuple[MarginalForm, np.ndarray]:
    """A mixture with random networks, and the values that its tail transform was fitted to."""
    rng = np.random.default_rng(3)
    values = (rng.standard_t(2, size=(4000, 1)) if heavy else rng.normal(size=(4000, 1))).astype(np.float32)
    z = rng.normal(size=(500, 2))
    location = RidgeResidual(
        Standardiser.fit(z, allow_log=False),
        Polynomial.fit(z, 1),
        jnp.zeros(1),
        jnp.asarray(rng.normal(size=(1, 2)), jnp.float32),
        jnp.ones(1),
        None,
    )
    network = jax.tree.map(jnp.asarray, ResidualMLP(2, 9, 16, 1, rng=rng))
    one = LogisticMixture(TailTransform.fit(values), location, jnp.full(1, 0.5), jnp.full(1, 0.01), network)
    arrays, static = eqx.partition(one, eqx.is_array)
    members = eqx.combine(jax.tree.map(lambda leaf: leaf[None], arrays), static)
    return MarginalForm.of(members, jnp.ones(1), distance.fitted(values)), values


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_expectations_under_the_mixture_are_integrals(kind: str, heavy: bool) -> None:
    function, make = KINDS[kind]
    form, values = mixture_form(heavy, make(scale=1.3))
    one = jax.tree.map(lambda leaf: leaf[0], eqx.filter(form.distribution, eqx.is_array))
    mixture = eqx.combine(one, eqx.filter(form.distribution, eqx.is_array, inverse=True))
    t = np.linspace(-25, 25, 100_001)
    x = np.asarray(mixture.transform.inverse(jnp.asarray(t[None], jnp.float32)))[0].astype(np.float64)
    for theta in ([0.3, -0.8], [-1.1, 0.4]):
        parts = [np.asarray(part[0], np.float64) for part in mixture(jnp.asarray(theta))]
        density = sum(np.exp(w) * stats.logistic.pdf(t, m, s) for w, m, s in zip(*parts, strict=True))
        for y in (-0.6, 0.05, 0.9):
            exact = integrate.trapezoid(density * function((x - y) / 1.3), t)
            found = float(member_value(form, jnp.asarray(theta), form.embed(jnp.asarray([y], jnp.float32))))
            # A straight coordinate is exact to float32, the clip at the range of the outputs and, of the square, the
            # curvature of asinh; a bent one to the rule's error for components as wide as its straight part.
            assert found == pytest.approx(exact, rel=0.04 if heavy and "squared" in kind else 0.02 if heavy else 2e-3)


@eqx.filter_jit
def member_value(form: MarginalForm, theta: jax.Array, target: Any) -> jax.Array:
    return form.member_values(theta, target)[0]


def test_the_rule_without_its_correction_would_show() -> None:
    """What the nodes alone make of a tight cap is off by more than the tolerance of a straight coordinate."""
    form, _ = mixture_form(False, CappedError(0.1, scale=1.3))
    worst = 0.0
    for y in np.linspace(-1, 1, 9):
        target = form.embed(jnp.asarray([y], jnp.float32))
        plain = target._replace(kinks=target.kinks._replace(slope=0 * target.kinks.slope))
        theta = jnp.asarray([0.3, -0.8])
        with_it, without_it = (float(member_value(form, theta, one)) for one in (target, plain))
        worst = max(worst, abs(without_it / with_it - 1))
    assert worst > 2e-3


# One scalar parameter, outputs theta + noise: normal of 0.5, logistic of scale 0.3, normal of 0.5.
NOISES: Any = (stats.norm(0, 0.5), stats.logistic(0, 0.3), stats.norm(0, 0.5))
PRIOR = gb.Prior({"theta": dist.Uniform(-3.0, 3.0)})
FAST = gb.FitConfig(members=1, width=32, depth=1, max_epochs=40, patience=10)
SHORT = gb.FitConfig(members=1, width=16, depth=1, max_epochs=15)


def simulated(n: int = 3000) -> gb.Simulations:
    rng = np.random.default_rng(4)
    theta = rng.uniform(-3, 3, (n, 1))
    noise = np.stack([one.rvs(n, random_state=rng) for one in NOISES], axis=1)
    return gb.Simulations.from_arrays(theta.astype(np.float32), (theta + noise).astype(np.float32), names=("theta",))


@pytest.fixture(scope="module")
def cost() -> gb.Cost:
    made = MeanSquaredError("prior_predictive")
    return gb.fit_cost(simulated(), made, method="marginal", config=FAST, progress=False)


def exact_cost(function: Callable[[Any], Any], theta: float, x_o: np.ndarray, weights: np.ndarray) -> float:
    """By integration over the noise."""
    u = np.linspace(-12, 12, 40_001)
    parts = [
        integrate.trapezoid(noise.pdf(u) * function((theta + u - y) / s), u)
        for noise, y, s in zip(NOISES, x_o, SCALE, strict=True)
    ]
    return float(np.mean(weights * parts))


@pytest.mark.parametrize("kind", KINDS)
def test_a_marginal_cost_by_any_distance_is_the_exact_cost(kind: str, cost: gb.Cost) -> None:
    function, make = KINDS[kind]
    by = cost.with_distance(make(scale=SCALE, weights=WEIGHTS))
    twice, errors = [], []
    for x_o in (np.array([0.3, 0.1, -0.2]), np.array([1.0, -2.0, 4.0])):
        for theta in (-1.5, 0.0, 1.2):
            exact = exact_cost(function, theta, x_o, WEIGHTS)
            # A mean fitted by p = 4 numbers to 2,700 rows is off by 0.5 sqrt(4 / 2700) = 0.02 data units, of which the
            # cost makes its slope; a scale by 1 / sqrt(2 * 2700) = 1.4 %, and a mixture of logistics is no normal
            # distribution: 3 % of the cost at the centre. Three times both.
            step = 1e-3
            slope = abs(exact_cost(function, theta + step, x_o, WEIGHTS) - exact) / step
            allowed = 3 * (0.02 * slope + 0.03 * exact_cost(function, theta, np.full(3, theta), WEIGHTS))
            found = float(by([theta], x_o.astype(np.float32)))
            errors.append(abs(found - exact) / allowed)
            twice.append(abs(exact_cost(function, theta, x_o, WEIGHTS**2) - exact) / allowed)
    assert max(errors) < 1
    # Weights applied twice would be beyond that.
    assert max(twice) > 1.5


def test_squared_errors_by_marginals_and_by_features_agree(cost: gb.Cost) -> None:
    features = gb.fit_cost(simulated(), MeanSquaredError(SCALE, WEIGHTS), config=FAST, progress=False)
    assert isinstance(features.form, HilbertForm)
    by = cost.with_distance(MeanSquaredError(SCALE, WEIGHTS))
    theta = np.linspace(-2, 2, 21)[:, None].astype(np.float32)
    x_o = np.array([0.5, 0.0, -0.5], np.float32)
    one, other = (np.asarray(c(theta, x_o), np.float64) for c in (features, by))
    # Both estimate the same number, with the errors of the test above.
    np.testing.assert_allclose(one, other, rtol=0.06, atol=0.06)
    # A feature of weight 0 is nothing to learn, and no reason to fail.
    left_out = gb.fit_cost(simulated(), MeanSquaredError(SCALE, [1.0, 0.0, 1.0]), config=FAST, progress=False)
    assert float(left_out([0.0], [0.0, 50.0, 0.0])) == pytest.approx((0.25 + 1) / 3, rel=0.1)


def test_a_general_network_of_the_huber_error_agrees(cost: gb.Cost) -> None:
    distance = HuberError(0.7, SCALE)
    config = gb.FitConfig(members=1, width=32, depth=1, max_epochs=40, batch_size=128, targets=8, noise_targets=0)
    general = gb.fit_cost(simulated(2000), distance, method="general", config=config, progress=False)
    theta, x_o = np.linspace(-2, 2, 21)[:, None].astype(np.float32), np.array([0.2, -0.1, 0.1], np.float32)
    exact = np.array([exact_cost(huber(0.7), float(t[0]), x_o, np.ones(3)) for t in theta])
    by, network = (np.asarray(c(theta, x_o), np.float64) for c in (cost.with_distance(distance), general))
    # A network of pairs has a tenth of the range for error; the marginals are nearer to the truth.
    np.testing.assert_allclose(network, by, atol=0.1 * np.ptp(exact))
    assert np.sqrt(np.mean((by - exact) ** 2)) < np.sqrt(np.mean((network - exact) ** 2))


def test_a_prior_predictive_scale_needs_no_simulations(cost: gb.Cost, tmp_path: Path) -> None:
    path = gb.save(cost, tmp_path / "cost.safetensors")
    again = gb.load(path).with_distance(HuberError(1.0, "prior_predictive"))
    fitted = gb.fit_cost(simulated(), HuberError(1.0, "prior_predictive"), method="auto", config=FAST, progress=False)
    theta, x_o = np.zeros((1, 1), np.float32), np.ones(3, np.float32)
    # The same rows, seeds and loss: the same networks, to the file's exactness.
    np.testing.assert_allclose(again(theta, x_o), fitted(theta, x_o), rtol=1e-6)
    np.testing.assert_allclose(scale_of(again), scale_of(fitted), rtol=1e-6)
    saved = gb.load(gb.save(again, tmp_path / "again.safetensors"))
    assert saved.distance.name == "huber_error"
    np.testing.assert_array_equal(saved(theta, x_o), again(theta, x_o))


def scale_of(cost: gb.Cost) -> np.ndarray:
    assert isinstance(cost.distance, AdditiveDistance)
    return np.asarray(cost.distance.scale)


def test_exchanging_distances_compiles_nothing(cost: gb.Cost) -> None:
    traces = 0

    @eqx.filter_jit
    def value(form: CostForm, theta: jax.Array, x_o: jax.Array) -> jax.Array:
        nonlocal traces
        traces += 1
        return form.value(theta, form.embed(x_o))

    theta, x_o = jnp.zeros(1), jnp.ones(3)
    found = set()
    for _, make in KINDS.values():
        for options in ({}, {"scale": SCALE}, {"scale": "prior_predictive", "weights": WEIGHTS}):
            found.add(float(value(cost.with_distance(make(**options)).form, theta, x_o)))
    assert traces == 1
    assert len(found) == 3 * len(KINDS)


def test_what_with_distance_refuses(cost: gb.Cost) -> None:
    with pytest.raises(TypeError, match="must be an additive distance .* got mahalanobis"):
        cost.with_distance(gb.distances.Mahalanobis(np.eye(3)))
    with pytest.raises(ValueError, match=r"scale has shape \(2,\), expected one number or one per coordinate \(3,\)"):
        cost.with_distance(MeanAbsoluteError([1.0, 2.0]))
    exact = gb.Cost.exact(lambda t, x: jnp.sum(t) + jnp.sum(x), names=("theta",), x_shape=(3,), units="1")
    with pytest.raises(ValueError, match=r'FunctionForm.*method="marginal"'):
        exact.with_distance(MeanAbsoluteError())
    with pytest.raises(ValueError, match="method='marginal' takes an additive distance .* mmd is none"):
        gb.fit_cost(simulated(), gb.distances.MMD(), method="marginal")
    assert default_config(MeanSquaredError(), "marginal") == MARGINAL_CONFIG


def test_distances_without_names_are_refused(cost: gb.Cost) -> None:
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, BETA)
    # The function itself, without the annotations that tests check first.
    with pytest.raises(TypeError, match="distances must be a mapping from name to distance, .* got list"):
        inspect.unwrap(sensitivity)(posterior, [MeanAbsoluteError()], seed=0)


def test_known_conditions_stay(cost: gb.Cost) -> None:
    rng = np.random.default_rng(6)
    theta, c = rng.uniform(-1, 1, (2, 800, 1)).astype(np.float32)
    x = (theta + c + 0.3 * rng.normal(size=(800, 1))).astype(np.float32)
    data = replace(gb.Simulations.from_arrays(theta, x, names=("theta",)), conditions=c, condition_names=("c",))
    made = gb.fit_cost(data, MeanSquaredError(), method="marginal", config=SHORT, progress=False)
    by = made.with_distance(MeanAbsoluteError())
    # E|0.3 e| at the truth, and a mean that is 1 off; errors as above.
    assert float(by([0.5], [1.0], {"c": 0.5})) == pytest.approx(0.3 * np.sqrt(2 / np.pi), rel=0.15)
    assert float(by([0.5], [1.0], {"c": -0.5})) == pytest.approx(1.0, rel=0.1)


X_O = np.array([0.4, 0.2, 2.8], np.float32)
BETA = 20.0
SMALL = gb.SMC(min_particles=100)


@pytest.fixture(scope="module")
def found(cost: gb.Cost) -> Sensitivity:
    """The third coordinate is 5 standard deviations away from what the first two ask for."""
    unit = cost.with_distance(MeanSquaredError())
    posterior = gb.GibbsPosterior(PRIOR, unit, X_O, BETA)
    return sensitivity(posterior, seed=0, n=400, sampler=SMALL, progress=False)


def test_shifts_of_a_quadratic_cost_are_in_closed_form(found: Sensitivity) -> None:
    """exp(-beta mean_j (theta - y_j)^2) is normal with mean of the y_j that count and variance 3 / (2 beta count)."""
    std = np.sqrt(1 / (2 * BETA))
    rows = {variant.name: i for i, variant in enumerate(found.variants)}
    # Sampling leaves 1 / sqrt(400) = 0.05 of a standard deviation, the fit 0.02 / 0.16 = 0.13: together 0.14; thrice.
    assert found.mean[0, 0] == pytest.approx(X_O.mean(), abs=3 * 0.14 * std)
    for j in range(3):
        i = rows[f"without coordinate {j + 1}"]
        assert found.variants[i].beta == BETA
        shift = (np.delete(X_O, j).mean() - X_O.mean()) / std
        assert found.shift[i, 0] == pytest.approx(shift, abs=3 * 0.14 * np.sqrt(2) + 0.1 * abs(shift))
        assert found.width_ratio[i, 0] == pytest.approx(np.sqrt(1.5), rel=0.15)
    # The mutant that normalises weights would leave the width where it was: more than 15 % off.
    assert np.sqrt(1.5) > 1.2


def test_the_driver_of_the_misfit_is_named(found: Sensitivity) -> None:
    assert int(np.argmax(found.distance_to_observation[0])) == int(np.argmax(found.share)) == 2
    assert found.share.sum() == pytest.approx(1, rel=1e-5)
    assert found.guidance[0].startswith("coordinate 3 makes")
    assert "moves theta by -" in found.guidance[0]
    # E|x - y| of the third coordinate over that of two runs alike, 2 * 0.5 / sqrt(pi), both in closed form.
    mean, std = X_O.mean(), np.sqrt(0.25 + 1 / (2 * BETA))
    expected = stats.foldnorm.mean(abs(mean - X_O[2]) / std, scale=std) / (1 / np.sqrt(np.pi))
    assert found.distance_to_observation[0, 2] == pytest.approx(expected, rel=0.1)
    # A cap gives it up and goes with the other two.
    i = next(i for i, variant in enumerate(found.variants) if variant.name.startswith("capped"))
    assert found.mean[i, 0] < found.mean[0, 0] - 1.5 * found.std[0, 0]
    assert any("gives up coordinate 3" in sentence for sentence in found.guidance)


def test_comparable_betas_are_in_closed_form(found: Sensitivity, cost: gb.Cost) -> None:
    """R of the squared error is E(theta - theta')^2 = 2 Var; of the absolute one a difference of folded normals."""
    given = found.variants[0].draws.flat[:, 0].astype(np.float64)
    gap = np.subtract.outer(given[::4], given[::4])
    squared = np.mean(gap**2)
    absolute = 0.0
    for noise in NOISES:
        if isinstance(noise.dist, type(stats.norm)):
            std = noise.std() * np.sqrt(2)
            absolute += np.mean(stats.foldnorm.mean(np.abs(gap) / std, scale=std) - std * np.sqrt(2 / np.pi)) / 3
        else:
            u = np.linspace(-8, 8, 2001)
            lag = integrate.trapezoid(noise.pdf(u)[:, None] * noise.pdf(u[:, None] - u[None]), u, axis=0)
            grid = [integrate.trapezoid(lag * (np.abs(g + u) - np.abs(u)), u) for g in np.linspace(0, 2, 81)]
            absolute += np.mean(np.interp(np.abs(gap).ravel(), np.linspace(0, 2, 81), grid)) / 3
    beta = next(v.beta for v in found.variants if v.name == "absolute")
    # 64 draws with four outputs each: the ratio of two correlated means, to a tenth.
    assert beta == pytest.approx(BETA * squared / absolute, rel=0.2)


def test_text_is_80_columns_and_numbers_are_plain(found: Sensitivity) -> None:
    text = found.summary()
    assert max(map(len, text.split("\n"))) <= 80
    assert "without coordinate 3" in text
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert again["variants"][0]["name"] == "as given"
    assert plot_sensitivity(found).axes


def test_new_runs_replace_predictions(cost: gb.Cost) -> None:
    def simulator(key: jax.Array, theta: jax.Array) -> jax.Array:
        one, two = jax.random.split(key)
        noise = 0.5 * jax.random.normal(one, (3,))
        return theta + noise.at[1].set(0.3 * jax.random.logistic(two))

    posterior = gb.GibbsPosterior(PRIOR, cost.with_distance(MeanSquaredError()), X_O, BETA)
    mine = {"mine": (CappedError(1.0), 30.0)}
    options: dict[str, Any] = {
        "n": 400,
        "seed": 0,
        "sampler": SMALL,
        "groups": {"first two": [0, 1], "last": [2]},
        "progress": False,
    }
    runs = sensitivity(posterior, mine, simulator=simulator, resimulate=300, **options)
    predicted = sensitivity(posterior, mine, **options)
    assert [v.name for v in runs.variants] == ["as given", "mine", "without first two", "without last"]
    assert runs.variants[1].beta == 30.0
    # Means of 300 absolute errors and 300 replicate distances: 1 / sqrt(300) = 6 % each at most; thrice their sum.
    np.testing.assert_allclose(runs.distance_to_observation, predicted.distance_to_observation, rtol=0.25)


def test_long_outputs_are_looked_at_in_parts() -> None:
    groups = output_groups((21, 2), ("hare", "lynx"))
    assert [group.name for group in groups[:3]] == ["hare", "lynx", "steps 1 to 4"]
    assert sum(group.members.sum() for group in groups[:2]) == 42 == sum(group.members.sum() for group in groups[2:])
    with pytest.raises(ValueError, match="labels has 2 names"):
        output_groups((3,), ("a", "b"))


MODULE = """
import jax, jax.numpy as jnp

def simulate(key, theta):
    return theta + 0.5 * jax.random.normal(key, (2,))
"""
PROBLEM = """
simulator = "dial_model:simulate"
[prior]
rate = { distribution = "Uniform", low = -3.0, high = 3.0 }
[distance]
name = "HuberError"
delta = 1.5
scale = [0.5, 0.5]
weights = [1.0, 2.0]
[observation]
values = [0.3, 1.4]
[fit]
method = "marginal"
members = 1
width = 16
depth = 1
max_epochs = 15
"""


@pytest.mark.long
@pytest.mark.slow
def test_the_command_works_on_the_stored_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dial_model.py").write_text(MODULE)
    path = tmp_path / "dial.toml"
    path.write_text(PROBLEM)
    problem = read_problem(path)
    assert isinstance(problem.distance, HuberError)
    assert problem.method == "marginal"
    out = tmp_path / "out"
    folder = Folder(out)
    simulations = stages.run_simulations(problem, folder, 800, seed=0, progress=False)
    cost = stages.run_fit(problem, folder, simulations, seed=0, progress=False)
    typed = ["sensitivity", str(path), "--beta", "10", "--out", str(out)]
    assert main([*typed, "--distance", "absolute", "capped:3", "-n", "400"]) == 0
    printed = capsys.readouterr().out
    assert "without coordinate 2" in printed
    assert max(map(len, printed.replace(str(tmp_path), "").split("\n"))) <= 80
    stored = json.loads((out / "sensitivity-beta-10.json").read_text())
    assert [v["name"] for v in stored["variants"]][:3] == ["as given", "absolute", "capped:3"]
    assert (out / "section-sensitivity-beta-10.json").exists()
    # A new distance in the file needs no new fit.
    path.write_text(PROBLEM.replace("delta = 1.5", "delta = 1.0"))
    problem = read_problem(path)
    assert stale(problem, folder, cost)
    turned = stored_cost(problem, folder)
    assert not stale(problem, folder, turned)
    assert float(turned([0.4], [0.3, 1.4])) == float(cost.with_distance(problem.distance)([0.4], [0.3, 1.4]))
    assert float(turned([0.4], [0.3, 1.4])) < float(cost([0.4], [0.3, 1.4]))
    monkeypatch.setattr(
        sensitivity_command, "stored_cost", lambda *_: replace(cost, form=FunctionForm(lambda theta, x: theta[0]))
    )
    assert main([*typed, "--quiet"]) == 1
    assert 'method = "marginal"' in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("text", ["cubic", "huber", "huber:-1", "absolute:3", "capped:"])
def test_words_that_are_no_distance(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected"):
        sensitivity_command.named_distance(text)
