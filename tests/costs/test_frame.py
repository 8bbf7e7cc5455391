"""Where outputs lie and in which units they are measured does not matter, for any distance and kind of cost."""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes import distances as gbd
from genbayes.costs.fitting import Method
from genbayes.costs.frame import Frame
from genbayes.sampling.draws_origin import same_observation

QUICK = gb.FitConfig(members=2, width=16, depth=1, max_epochs=8, patience=8)
PRIOR = gb.Prior.uniform([-2.0, 0.5], [2.0, 1.5], ["place", "size"])
RNG = np.random.default_rng(3)
THETA = np.asarray(PRIOR.sample(600, seed=1))
VECTORS = np.stack([THETA[:, 0], THETA[:, 0] * THETA[:, 1], THETA[:, 1]], 1) + 0.2 * RNG.standard_normal((600, 3))
SETS = THETA[:, None, :1] + THETA[:, None, 1:] * RNG.standard_normal((600, 6, 2))
X_O, SET_O = np.array([0.4, 0.5, 1.1]), 0.3 + 0.9 * RNG.standard_normal((6, 2))
COVARIANCE = np.array([[1.0, 0.3, 0.0], [0.3, 2.0, 0.0], [0.0, 0.0, 0.5]])

# Each as a function of the units: what is stated in data units is multiplied by them. The method, and whether the
# values of the distance are in data units, which beta takes up.
CASES: dict[str, tuple[Any, Method, bool]] = {
    "squared": (lambda u: gbd.MeanSquaredError(0.5 * u), "auto", False),
    "squared, prior": (lambda u: gbd.MeanSquaredError("prior_predictive"), "auto", False),
    "squared, marginal": (lambda u: gbd.MeanSquaredError(0.5 * u), "marginal", False),
    "squared, general": (lambda u: gbd.MeanSquaredError(0.5 * u), "general", False),
    "absolute": (lambda u: gbd.MeanAbsoluteError([0.5 * u, u, u]), "auto", False),
    "absolute, bare": (lambda u: gbd.MeanAbsoluteError(), "auto", True),
    "Huber": (lambda u: gbd.HuberError(1.0, 0.3 * u), "auto", False),
    "capped": (lambda u: gbd.CappedError(1.0, 2, "prior_predictive"), "auto", False),
    "Mahalanobis": (lambda u: gbd.Mahalanobis(u**2 * COVARIANCE), "auto", False),
    "Mahalanobis, prior": (lambda u: gbd.Mahalanobis("prior_predictive"), "auto", False),
    "MMD": (lambda u: gbd.MMD(1.5 * u, max_landmarks=32), "auto", False),
    "MMD, median": (lambda u: gbd.MMD(max_landmarks=32), "auto", False),
    "energy": (lambda u: gbd.EnergyDistance(max_landmarks=32), "auto", True),
    "energy, general": (lambda u: gbd.EnergyDistance(max_landmarks=32), "general", True),
}


def slow(name: str) -> bool:
    """Whether networks are trained, which takes seconds, and amplifies other roundings to per cents."""
    return "general" in name or "marginal" in name or name in ("absolute", "absolute, bare", "Huber", "capped")


@cache
def posterior(
    name: str, units: float = 1.0, away: float = 0.0, config: gb.FitConfig | None = None
) -> gb.GibbsPosterior:
    """Of the outputs in other units, then `away` from where they were."""
    distance, method, in_data_units = CASES[name]
    is_set = distance(1.0).reads_sets
    x, x_o = (SETS, SET_O) if is_set else (VECTORS, X_O)
    simulations = gb.Simulations.from_arrays(THETA, x * units + away, PRIOR.names)
    cost = gb.fit_cost(simulations, distance(units), method=method, config=config or QUICK, progress=False)
    beta = 20.0 / (units if in_data_units else 1.0)
    return gb.GibbsPosterior(PRIOR, cost, x_o * units + away, beta)


def costs(one: gb.GibbsPosterior, in_data_units: bool, units: float) -> np.ndarray:
    return np.asarray(one.cost_at(THETA[:100]), np.float64) / (units if in_data_units else 1.0)


# Their fits take longest.
KERNELS = ("MMD", "MMD, median", "energy")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in KERNELS else ()) for name in CASES]
)
def test_units_do_not_matter(name: str) -> None:
    in_data_units = CASES[name][2]
    known = posterior(name)
    # A power of two changes no digit; 1e30 rounds in another place, which the training of networks amplifies.
    for units, tolerance in [(2.0**-100, 1e-6), (1e30, 2e-2)][: 1 if slow(name) else 2]:
        other = posterior(name, units)
        expected, found = costs(known, in_data_units, 1.0), costs(other, in_data_units, units)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * expected.std())


@pytest.mark.slow
@pytest.mark.long
def test_draws_are_the_same_in_other_units() -> None:
    for name in ("squared", "energy"):
        draws = [posterior(name, units).sample(200, seed=0).flat for units in (1.0, 2.0**-100)]
        np.testing.assert_allclose(draws[1], draws[0], rtol=1e-4)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if slow(name) else ()) for name in CASES])
def test_the_place_does_not_matter(name: str) -> None:
    # Double precision has steps of 2e-7 there, of a spread of 0.6; medians are taken off, which moves every rounding.
    known, other = posterior(name), posterior(name, away=1126259462.4)
    expected, found = costs(known, False, 1.0), costs(other, False, 1.0)
    tolerance = 0.1 if slow(name) else 2e-3
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * expected.std())
    assert other.x_o.dtype == np.float64


def test_an_observation_far_from_zero_is_right_by_every_way_in(tmp_path: Path) -> None:
    """The exact posterior of a linear model in seconds since an epoch; its mean within 0.15 standard deviations.

    1,000 runs leave the cost's slope uncertain by 0.1 posterior standard deviations or so.
    """
    t = np.linspace(0, 1, 6)
    a = np.stack([np.sin(6 * t), np.cos(6 * t)], 1)
    away, prior = 1126259462.4, gb.Prior.uniform([-2, -2], [2, 2])
    x_o = away + a @ [0.7, -0.4] + 0.3 * np.random.default_rng(1).standard_normal(6)
    exact = np.linalg.solve(a.T @ a, a.T @ (x_o - away)), np.sqrt(np.diag(np.linalg.inv(2 * 50.0 / 6 * a.T @ a)))
    simulate = gb.simulate(
        lambda theta, rng: away + a @ theta + 0.3 * rng.standard_normal(6),
        prior,
        1000,
        seed=2,
        store=tmp_path / "runs",
        progress=False,
    )
    ways = {
        "simulate": simulate,
        "a store": gb.Simulations.open(tmp_path / "runs"),
        "arrays": gb.Simulations.from_arrays(simulate.theta, simulate.x, simulate.names),
    }
    for way, simulations in ways.items():
        cost = gb.fit_cost(simulations, gbd.MeanSquaredError(), progress=False)
        gb.save(cost, tmp_path / "cost.safetensors")
        read = gb.load(tmp_path / "cost.safetensors")
        np.testing.assert_array_equal(read(THETA[:5], x_o), cost(THETA[:5], x_o))
        draws = gb.GibbsPosterior(prior, read, x_o, 50.0).sample(2000, seed=3)
        away_by = np.abs(draws.flat.mean(0) - exact[0]) / exact[1]
        assert np.all(away_by < 0.15), (way, away_by)
        np.testing.assert_allclose(draws.flat.std(0), exact[1], rtol=0.12)
        draws.save(tmp_path / "draws.nc")
        np.testing.assert_array_equal(gb.Draws.load(tmp_path / "draws.nc").x_o, x_o)
    stack = gb.GibbsPosteriors(prior, cost, np.stack([x_o, x_o + 0.1]), 50.0).sample(1000, seed=3)
    np.testing.assert_allclose(stack.draws(0).flat.mean(0), exact[0], atol=0.2 * exact[1].max())


@pytest.mark.slow
@pytest.mark.long
def test_parameters_in_other_units_give_the_same_draws() -> None:
    def draws(units: float) -> np.ndarray:
        prior = gb.Prior({"a": dist.Uniform(-2 * units, 2 * units), "b": dist.LogNormal(float(np.log(units)), 0.5)})
        theta = np.asarray(prior.sample(500, seed=0), np.float64)
        x = theta / units + 0.1 * np.random.default_rng(1).standard_normal((500, 2))
        simulations = gb.Simulations.from_arrays(theta, x, prior.names)
        cost = gb.fit_cost(simulations, gbd.MeanSquaredError(0.1), progress=False)
        return gb.GibbsPosterior(prior, cost, [0.5, 1.2], 2.0).sample(2000, seed=1).flat.astype(np.float64) / units

    known = draws(1.0)
    for units in (1e-30, 1e30):
        other = draws(units)
        # Other roundings, the same law: moments to a tenth of their Monte Carlo errors of 1 / sqrt(2000).
        np.testing.assert_allclose(other.mean(0), known.mean(0), atol=0.1 * known.std(0).max())
        np.testing.assert_allclose(other.std(0), known.std(0), rtol=0.05)


def test_what_a_distance_needs_in_single_precision_is_refused() -> None:
    x = 1e9 + VECTORS
    simulations = gb.Simulations.from_arrays(THETA, x, PRIOR.names)
    largest = gbd.UserDistance(lambda x, y: jnp.max(jnp.abs(x - y)), name="largest", units="data units")
    with pytest.raises(ValueError, match="'largest' is computed in single precision .* Subtract a constant"):
        gb.fit_cost(simulations, largest, config=QUICK, progress=False)
    for units, distance, x in [
        (1e-30, gbd.MeanSquaredError(), VECTORS),
        (1e-30, gbd.SlicedWasserstein(), SETS),
        (1e25, gbd.MeanSquaredError(), VECTORS),
    ]:
        simulations = gb.Simulations.from_arrays(THETA, x * units, PRIOR.names)
        with pytest.raises(ValueError, match="does not hold: it needs 1e-32 to 1e\\+32. Give the distance a scale"):
            gb.fit_cost(simulations, distance, config=QUICK, progress=False)


def test_a_frame_is_exact_and_leaves_gradients() -> None:
    x = np.stack([1e9 + RNG.standard_normal(200), 5 + RNG.standard_normal(200), np.full(200, 7.0)], 1)
    frame = Frame.of(x, "nothing")
    np.testing.assert_array_equal(frame.location[[1]], 0.0)  # near 0 nothing is taken off
    np.testing.assert_allclose(frame.location[0], 1e9, atol=1)
    assert np.all(np.log2(frame.unit) % 1 == 0)
    np.testing.assert_allclose(frame(x) * frame.unit + frame.location, x, rtol=0, atol=1e-6)
    shared = Frame.of(SETS + 1e9, "units")
    assert shared.location.shape == (2,)
    assert shared.unit.shape == ()
    known = posterior("squared", config=gb.FitConfig(members=1, width=8, depth=1, max_epochs=2))
    gradient = jax.grad(lambda y: known.cost(jnp.asarray(THETA[0]), y))(jnp.asarray(X_O, jnp.float32))
    step = 1e-2 * np.eye(3)
    slopes = [(known.cost(THETA[0], X_O + one) - known.cost(THETA[0], X_O - one)) / 2e-2 for one in step]
    np.testing.assert_allclose(gradient, np.array(slopes), rtol=2e-2, atol=1e-3)


def test_observations_a_second_apart_on_a_thousand_million_are_two() -> None:
    x_o = 1126259462.4 + np.arange(3.0)
    assert same_observation(x_o, x_o.copy())
    assert not same_observation(x_o, x_o + 1.0)
    # In single precision, as files of earlier versions and users may have them.
    assert same_observation(np.array([0.2, -0.3]), np.array([0.2, -0.3], np.float32))
