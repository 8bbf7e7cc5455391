"""Transforms of outputs: the same as transforming simulations and observations by hand, in every class and stage."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes import distances as gbd
from genbayes.costs.frame import Frame
from genbayes.distances.additive import CoordinateDistance
from genbayes.distances.batched import distances_to, paired_distances
from genbayes.distances.transforms import TRANSFORMS, TransformName

RNG = np.random.default_rng(5)
FUNCTIONS = {"log1p": np.log1p, "sqrt": np.sqrt, "asinh": np.arcsinh}
PRIOR = gb.Prior.uniform([0.0, 1.0], [2.0, 3.0], ["a", "b"])
THETA = np.asarray(PRIOR.sample(600, seed=1), np.float64)
X = np.expm1(np.stack([THETA[:, 0], THETA.sum(1), THETA[:, 1]], 1) + np.abs(0.3 * RNG.standard_normal((600, 3))))
X_O = np.array([2.0, 14.0, 5.0])
COVARIANCE = np.array([[1.0, 0.3, 0.0], [0.3, 2.0, 0.0], [0.0, 0.0, 0.5]])
MADE: dict[str, Any] = {
    "squared": lambda t: gbd.MeanSquaredError(0.5, [1.0, 0.5, 2.0], t),
    "squared, prior": lambda t: gbd.MeanSquaredError("prior_predictive", transform=t),
    "absolute": lambda t: gbd.MeanAbsoluteError("median", transform=t),
    "Huber": lambda t: gbd.HuberError(0.7, "observation", transform=t),
    "capped": lambda t: gbd.CappedError(1.5, 2, 0.3, transform=t),
    "Mahalanobis": lambda t: gbd.Mahalanobis(COVARIANCE, t),
    "Mahalanobis, prior": lambda t: gbd.Mahalanobis("prior_predictive", t),
}
QUICK = gb.FitConfig(members=2, width=16, depth=1, max_epochs=8, patience=8)


def simulations(x: np.ndarray) -> gb.Simulations:
    return gb.Simulations.from_arrays(THETA, x, PRIOR.names)


def fitted(distance: CoordinateDistance, x: np.ndarray, x_o: np.ndarray) -> gb.distances.Distance:
    return distance.fitted(x, x_o) if isinstance(distance, gbd.AdditiveDistance) else distance.fitted(x)


def test_every_class_that_takes_a_transform_is_looked_at() -> None:
    classes = {cls for cls in vars(gbd).values() if isinstance(cls, type) and issubclass(cls, CoordinateDistance)}
    assert {type(make(None)) for make in MADE.values()} == classes - {gbd.AdditiveDistance}


@pytest.mark.parametrize("transform", FUNCTIONS)
@pytest.mark.parametrize("name", MADE)
def test_it_is_the_distance_of_transformed_outputs(name: str, transform: TransformName) -> None:
    function = FUNCTIONS[transform]
    seen, target = function(X), function(X_O)
    one, other = fitted(MADE[name](transform), X, X_O), fitted(MADE[name](None), seen, target)
    expected = distances_to(other, seen, target)
    np.testing.assert_allclose(distances_to(one, X, X_O), expected, rtol=1e-5)
    np.testing.assert_allclose(
        paired_distances(one, X[:300], X[300:]), paired_distances(other, seen[:300], seen[300:]), rtol=1e-5
    )
    # One by one, in single precision; also through features.
    x, y = jnp.asarray(X[0], jnp.float32), jnp.asarray(X_O, jnp.float32)
    assert float(one(x, y)) == pytest.approx(expected[0], rel=1e-4)
    if isinstance(one, gbd.HilbertDistance):
        assert float(jnp.sum((one.features(x) - one.features(y)) ** 2)) == pytest.approx(expected[0], rel=1e-4)
    # Mutant: without the transform distances are others.
    plain = distances_to(fitted(MADE[name](None), X, X_O), X, X_O)
    assert np.median(np.abs(plain / expected - 1)) > 0.03
    assert transform in one.units or one.units in ("data units", "square roots of data units")
    assert f"transform='{transform}'" in repr(one)
    assert "transform" not in repr(other)


def test_transforms_are_taken_in_double_precision() -> None:
    """Squares of 1e5 + e differ by 2e5 e in 1e10; single precision rounds these to 1e3, so e to 5e-3."""
    e = 1e-3 * RNG.standard_normal((600, 3)) + np.array([1e-3, 2e-3, 0.0]) * THETA[:, :1]
    x, x_o = (1e5 + e) ** 2, (1e5 + np.array([1e-3, 2e-3, 1e-3])) ** 2
    distance = gbd.MeanSquaredError(1e-3, transform="sqrt")
    expected = np.mean(((e - [1e-3, 2e-3, 1e-3]) / 1e-3) ** 2, axis=1)
    np.testing.assert_allclose(distances_to(distance, x, x_o), expected, rtol=1e-3, atol=1e-3)
    # Networks read the same numbers about their middle.
    frame = Frame.of(x, "nothing", TRANSFORMS["sqrt"])
    np.testing.assert_allclose(frame(x) * frame.unit + frame.location, 1e5 + e, rtol=0, atol=1e-6)
    # Mutant: in single precision the root has steps of 0.005.
    rounded = np.sqrt(x.astype(np.float32)).astype(np.float64) - np.sqrt(x_o.astype(np.float32))
    assert np.median(np.abs(np.mean((rounded / 1e-3) ** 2, axis=1) / expected - 1)) > 0.5


def by_network(name: str) -> bool:
    return name in ("absolute", "Huber", "capped")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name != "squared" else ()) for name in MADE]
)
def test_costs_and_draws_are_those_of_transformed_outputs(name: str, tmp_path: Path) -> None:
    costs = []
    for transform in ("log1p", None):
        x, x_o = (X, X_O) if transform else (np.log1p(X), np.log1p(X_O))
        distance = MADE[name](transform)
        near = x_o if distance.needs_observation else None
        cost = gb.fit_cost(simulations(x), distance, config=QUICK, progress=False, x_o=near)
        again = gb.load(gb.save(cost, tmp_path / "cost"))
        np.testing.assert_array_equal(again(THETA[:50], x_o), cost(THETA[:50], x_o))
        assert repr(again.distance) == repr(cost.distance)
        assert (again.outcome, again.judge_scale(x_o)) == (cost.outcome, cost.judge_scale(x_o))
        costs.append(gb.GibbsPosterior(PRIOR, again, x_o, 20.0))
    # Outputs are rounded to single precision before or after the logarithm; networks amplify that.
    one, other = (np.asarray(posterior.cost_at(THETA), np.float64) for posterior in costs)
    tolerance = 0.05 if by_network(name) else 1e-4
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * other.std())
    if name == "squared, prior":
        draws = [posterior.sample(200, seed=0).flat for posterior in costs]
        # Moves along trajectories amplify the rounding.
        np.testing.assert_allclose(draws[0], draws[1], rtol=0.02)
    if name == "squared":
        stack = gb.GibbsPosteriors(PRIOR, costs[0].cost, np.stack([X_O, X_O + 1]), 20.0)
        np.testing.assert_allclose(stack.posterior(0).cost_at(THETA), one, rtol=1e-5)


@pytest.mark.slow
def test_the_posterior_of_log_normal_outputs_is_the_exact_one() -> None:
    """x = expm1(A theta + noise): in log1p(x) a linear model, whose expected squared error is known.

    1,000 runs leave the slope of the cost uncertain by 0.1 posterior standard deviations or so.
    """
    a, sd, beta = np.array([[1.0, 0.5], [-0.5, 1.0], [1.0, 1.0], [0.3, -1.0]]), 0.3, 60.0
    prior = gb.Prior.uniform([-3, -3], [3, 3])
    theta = np.asarray(prior.sample(1000, seed=3), np.float64)
    x = np.expm1(theta @ a.T + sd * RNG.standard_normal((1000, 4)))
    x_o = np.expm1(a @ [2.0, -1.0] + [0.2, -0.1, 0.0, 0.3])
    y = np.log1p(x_o)
    cost = gb.fit_cost(gb.Simulations.from_arrays(theta, x), gbd.MeanSquaredError(transform="log1p"), progress=False)
    exact = np.mean((theta @ a.T - y) ** 2, axis=1) + sd**2
    # Noise leaves a cost of this size uncertain by less than a hundredth.
    np.testing.assert_allclose(cost(theta, x_o), exact, rtol=0.05, atol=0.02)
    draws = gb.GibbsPosterior(prior, cost, x_o, beta).sample(2000, seed=4)
    mean = np.linalg.solve(a.T @ a, a.T @ y)
    std = np.sqrt(np.diag(np.linalg.inv(2 * beta / 4 * a.T @ a)))
    assert np.all(np.abs(draws.flat.mean(0) - mean) / std < 0.2)
    np.testing.assert_allclose(draws.flat.std(0), std, rtol=0.12)
    # In the gradient, too: the chain rule through log1p.
    slope = jax.grad(lambda one: cost(jnp.asarray(theta[0]), one))(jnp.asarray(x_o, jnp.float32))
    step = 1e-2 * (1 + x_o)
    found = [(cost(theta[0], x_o + d) - cost(theta[0], x_o - d)) / (2 * d[i]) for i, d in enumerate(np.diag(step))]
    np.testing.assert_allclose(slope, found, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize(("transform", "least"), [("log1p", -1.0), ("sqrt", -1e-6)])
def test_numbers_outside_the_domain_are_refused(transform: TransformName, least: float) -> None:
    x = X.copy()
    x[[7, 30], 2] = least
    distance = gbd.MeanSquaredError(transform=transform)
    match = rf"simulations must be .* for transform='{transform}', .* output coordinate 2 \(2 of 600 rows, the"
    with pytest.raises(ValueError, match=match + r" first is row 7, with -1"):
        gb.fit_cost(simulations(x), distance, config=QUICK, progress=False)
    with pytest.raises(ValueError, match="outputs must be"):
        gbd.MeanSquaredError("median", transform=transform).fitted(x)
    with pytest.raises(ValueError, match="outputs must be"):
        distances_to(distance, x, X_O)
    # An observation is refused whatever the cost is.
    frame = Frame(np.zeros(3), np.ones(3), TRANSFORMS[transform])
    known = gb.Cost.exact(lambda theta, y: jnp.sum(y) + theta[0], names=PRIOR.names, x_shape=(3,), units="1")
    cost, bad = replace(known, frame=frame), np.array([1.0, -2.0, 3.0])
    for ask in (
        lambda: gb.GibbsPosterior(PRIOR, cost, bad, 1.0),
        lambda: cost(THETA[:3], bad),
        lambda: gb.GibbsPosteriors(PRIOR, cost, np.stack([X_O, bad]), 1.0),
    ):
        with pytest.raises(ValueError, match=r"must be .* the output coordinate 1 .*-2.*asinh"):
            ask()
    assert float(cost(THETA[0], X_O)) == pytest.approx(np.sum(FUNCTIONS[transform](X_O)) + THETA[0, 0], rel=1e-5)
    everywhere = replace(known, frame=replace(frame, transform=TRANSFORMS["asinh"]))
    assert float(everywhere(THETA[0], bad)) == pytest.approx(np.sum(np.arcsinh(bad)) + THETA[0, 0], rel=1e-5)


def test_a_transform_that_there_is_not() -> None:
    # While testing, types are checked before the class can say what there is.
    with pytest.raises((ValueError, TypeError), match="log1p"):
        gbd.MeanSquaredError(transform="log")  # pyright: ignore[reportArgumentType]
