"""The laws that every public distance obeys: one table of examples, and every law over all of them.

A distance without an example here fails the first test. Outputs are of order 1, so float32 is off by some 1e-6; bugs of
interest change values by per cents.
"""

import re
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

import genbayes as gb
from genbayes import distances as gbd
from genbayes.distances import AdditiveDistance, Distance, HilbertDistance
from genbayes.distances.base import class_names, distance_classes
from genbayes.reports.citations import ENTRIES

RNG = np.random.default_rng(0)
VECTORS = RNG.normal([1.0, -2.0, 3.0], [1.0, 0.1, 0.5], size=(300, 3)).astype(np.float32)
SETS = (RNG.normal(size=(120, 1, 2)) + RNG.normal(size=(120, 5, 2)) * [0.3, 0.6]).astype(np.float32)
LARGEST = gbd.UserDistance(lambda x, y: jnp.max(jnp.abs(x - y)), name="largest", units="data units")
# Every public class, with the arguments that change its structure.
EXAMPLES: dict[str, Distance] = {
    "MeanSquaredError": gbd.MeanSquaredError(),
    "MeanSquaredError scaled": gbd.MeanSquaredError("prior_predictive", weights=[1.0, 0.0, 2.0]),
    "MeanAbsoluteError": gbd.MeanAbsoluteError([0.5, 2.0, 4.0]),
    "MeanAbsoluteError scaled": gbd.MeanAbsoluteError("prior_predictive"),
    "HuberError": gbd.HuberError(0.7),
    "HuberError scaled": gbd.HuberError(0.7, "prior_predictive"),
    "HuberError scaled by medians": gbd.HuberError(0.7, "median"),
    "MeanSquaredError transformed": gbd.MeanSquaredError("median", [1.0, 0.5, 2.0], "asinh"),
    "MeanAbsoluteError transformed": gbd.MeanAbsoluteError(transform="asinh"),
    "CappedError": gbd.CappedError(1.5),
    "CappedError squared": gbd.CappedError(1.5, power=2, scale="prior_predictive"),
    "Mahalanobis": gbd.Mahalanobis("prior_predictive"),
    "Mahalanobis transformed": gbd.Mahalanobis("prior_predictive", "asinh"),
    "MMD": gbd.MMD(),
    "MMD unbiased": gbd.MMD(0.8, estimator="unbiased"),
    "EnergyDistance": gbd.EnergyDistance(),
    "EnergyDistance unbiased": gbd.EnergyDistance(estimator="unbiased"),
    "SlicedWasserstein": gbd.SlicedWasserstein(8),
    "UserDistance": LARGEST,
}
# Distances that take the data's units from the simulations: each coordinate may be measured in any unit.
SCALE_FREE = [name for name in EXAMPLES if "scaled" in name] + ["CappedError squared", "Mahalanobis"]


def outputs(name: str) -> np.ndarray:
    return SETS if EXAMPLES[name].reads_sets else VECTORS


FITTED = {name: distance.fitted(outputs(name)) for name, distance in EXAMPLES.items()}
HILBERT = [name for name, distance in FITTED.items() if isinstance(distance, HilbertDistance)]
ADDITIVE = [name for name, distance in FITTED.items() if isinstance(distance, AdditiveDistance)]
every = pytest.mark.parametrize("name", EXAMPLES)


def at(distance: Distance, x: Any, y: Any) -> float:
    return float(distance(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)))


def test_every_public_distance_has_an_example() -> None:
    public = {cls for cls in vars(gbd).values() if cls in distance_classes().values()}
    assert {type(distance) for distance in EXAMPLES.values()} == public
    assert "SlicedWasserstein" in class_names(reads_sets=True)
    assert "HilbertDistance" not in distance_classes()


@every
def test_it_says_what_the_library_asks(name: str) -> None:
    distance = FITTED[name]
    assert distance.name
    assert distance.units == "data units" or distance.units == "squared data units" or distance.units.startswith("1 (")
    assert distance.name == EXAMPLES[name].name
    assert all(key in ENTRIES or key.startswith("@") for key in distance.citations)
    assert type(distance).__name__ in repr(distance)
    assert distance.outcome.ok
    # What can be learned of it is what it has the structure for, and the general network takes all.
    structure = {"general"}
    structure |= {"features"} if isinstance(distance, HilbertDistance) else set()
    structure |= {"marginal"} if isinstance(distance, AdditiveDistance) else set()
    assert set(distance.learned_by) == structure


@every
def test_it_is_one_finite_number_not_negative_and_zero_at_equal_arguments(name: str) -> None:
    distance, x = FITTED[name], outputs(name)
    values = np.array([at(distance, x[i], x[i + 10]) for i in range(10)])
    assert np.all(np.isfinite(values))
    if "unbiased" in name:
        # Of two equal sets the unbiased estimate is below 0: pairs of a trial with itself count between, not within.
        assert at(distance, x[0], x[0]) < 0
        assert values.max() > 0.01
    else:
        assert values.min() > 0.001
        assert at(distance, x[0], x[0]) == pytest.approx(0, abs=1e-5)
    assert at(distance, x[0], x[10]) == pytest.approx(at(distance, x[10], x[0]), rel=1e-4, abs=1e-6)
    assert np.isfinite(at(distance, x[0], x[10] + 1e4))


@every
def test_observations_of_another_shape_are_refused(name: str) -> None:
    distance, shape = FITTED[name], outputs(name).shape[1:]
    distance.check_target(shape, shape)
    other = (*shape[:-1], shape[-1] + 1)
    with pytest.raises(ValueError, match=f"{re.escape(str(other))}.*{shape[-1]}"):
        distance.check_target(shape, other)
    if distance.reads_sets:
        with pytest.raises(ValueError, match="compares sets of trials"):
            distance.check_target((3,), (3,))


def broken_framing(distance: Distance, x: np.ndarray) -> list[str]:
    """What is not so of what a fitted distance says by `framing`: of outputs that have been transformed."""
    distance = distance.without_transform()
    expected = at(distance, x[0], x[1])
    unit = np.array([4.0, 0.5, 2.0], np.float32)[: x.shape[-1]] if distance.framing == "each" else 4.0
    found = {"place": at(distance, x[0] + 3, x[1] + 3)}
    if distance.framing != "none":
        found["units"] = at(distance.in_units(unit), x[0] / unit, x[1] / unit)
    return [what for what, value in found.items() if value != pytest.approx(expected, rel=1e-3, abs=1e-4)]


@pytest.mark.parametrize("name", [name for name, distance in FITTED.items() if distance.framing != "none"])
def test_what_it_says_of_place_and_units_is_so(name: str) -> None:
    assert broken_framing(FITTED[name], outputs(name)) == []


def test_a_distance_that_depends_on_the_place_is_seen() -> None:
    class Relative(Distance):
        framing = "each"

        name: str = eqx.field(static=True, default="relative")
        units: str = eqx.field(static=True, default="1 (shares)")

        def in_units(self, unit: float | np.ndarray) -> "Relative":
            return self

        def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
            return jnp.mean((x - x_target) ** 2) / jnp.mean(x_target**2)

    assert broken_framing(Relative(), VECTORS) == ["place", "units"]


@pytest.mark.parametrize("name", [name for name in EXAMPLES if EXAMPLES[name].reads_sets])
def test_the_order_of_trials_does_not_matter(name: str) -> None:
    distance = FITTED[name]
    assert at(distance, SETS[0][::-1], SETS[1]) == pytest.approx(at(distance, SETS[0], SETS[1]), abs=1e-5)
    # What compares coordinate by coordinate does see it: the attribute tells them apart.
    plain = gbd.MeanSquaredError().fitted(SETS)
    assert not plain.reads_sets
    assert abs(at(plain, SETS[0][::-1], SETS[1]) - at(plain, SETS[0], SETS[1])) > 0.01


@pytest.mark.parametrize("name", SCALE_FREE)
def test_units_of_coordinates_do_not_matter(name: str) -> None:
    units = np.array([1e3, 1e-2, 7.0], np.float32)
    scaled = EXAMPLES[name].fitted(VECTORS * units)
    expected = at(FITTED[name], VECTORS[0], VECTORS[1])
    assert at(scaled, VECTORS[0] * units, VECTORS[1] * units) == pytest.approx(expected, rel=1e-3)
    assert scaled.units.startswith("1 (")
    plain = gbd.MeanSquaredError().fitted(VECTORS)
    assert at(plain, VECTORS[0] * units, VECTORS[1] * units) > 100 * at(plain, VECTORS[0], VECTORS[1])


@pytest.mark.parametrize("name", [name for name in EXAMPLES if "transformed" in name])
def test_a_transform_is_that_of_both_outputs(name: str) -> None:
    distance = FITTED[name]
    inner = distance.without_transform()
    assert inner.output_transform.name is None
    x, y = VECTORS[0], VECTORS[1]
    assert at(distance, x, y) == pytest.approx(at(inner, np.arcsinh(x), np.arcsinh(y)), rel=1e-5)
    assert abs(at(distance, x, y) / at(inner, x, y) - 1) > 0.1


@every
def test_without_a_transform_outputs_are_taken_as_they_are(name: str) -> None:
    distance = FITTED[name]
    assert ("transformed" in name) == (distance.output_transform.name is not None)
    np.testing.assert_array_equal(gbd.MeanSquaredError().output_transform(VECTORS), VECTORS.astype(np.float64))


@pytest.mark.parametrize("name", HILBERT)
def test_features_and_self_terms_give_the_distance(name: str) -> None:
    distance = FITTED[name]
    assert isinstance(distance, HilbertDistance)
    # Of the landmarks' projection a simulated trial may be off by the root of their tolerance (Nystroem).
    tolerance = 1e-4 if getattr(distance, "tolerance", None) is None else 0.15
    for i in range(5):
        x, y = (jnp.asarray(outputs(name)[k]) for k in (i, i + 10))
        made = distance.self_term(x) + distance.self_term(y) - 2 * jnp.dot(distance.features(x), distance.features(y))
        assert float(made) == pytest.approx(at(distance, x, y), rel=1e-3, abs=tolerance)


@pytest.mark.parametrize("name", ADDITIVE)
def test_the_kinks_of_an_additive_distance_are_all_of_them(name: str) -> None:
    """From the slope at the left end, the jumps of slope and curvature rebuild the growth everywhere."""
    distance = FITTED[name]
    assert isinstance(distance, AdditiveDistance)
    growth = distance.growth
    places, slopes, curvatures = (np.asarray(part, np.float64) for part in growth.kinks())
    within = np.isfinite(places)
    left = -5.0
    start, slope = float(growth(jnp.asarray(left))), float(jax.grad(growth)(jnp.asarray(left)))
    curvature = 2 * float(growth.square) if not np.isfinite(float(growth.knee)) else 0.0
    r = np.linspace(left, 5.0, 201)
    rebuilt = start + slope * (r - left) + curvature * (r - left) ** 2 / 2
    for place, jump, bend in zip(places[within], slopes[within], curvatures[within], strict=True):
        beyond = np.maximum(r - place, 0.0)
        rebuilt += jump * beyond + bend * beyond**2 / 2
    np.testing.assert_allclose(np.asarray(growth(jnp.asarray(r, jnp.float32))), rebuilt, atol=1e-4)


@every
@pytest.mark.slow
def test_a_fitted_cost_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    x = outputs(name)
    theta = RNG.uniform(-1, 1, (len(x), 1)).astype(np.float32)
    config = gb.FitConfig(members=1, width=4, depth=1, max_epochs=1, targets=1, batch_size=32)
    embedding = "set" if EXAMPLES[name].reads_sets else "vector"
    cost = gb.fit_cost(
        gb.Simulations.from_arrays(theta, x), EXAMPLES[name], config=config, embedding=embedding, progress=False
    )
    again = gb.load(
        gb.save(cost, tmp_path / "cost"), distance=LARGEST if isinstance(cost.distance, gbd.UserDistance) else None
    )
    np.testing.assert_array_equal(again(theta[:5], x[0]), cost(theta[:5], x[0]))
    assert at(again.distance, x[0], x[1]) == at(cost.distance, x[0], x[1])


class OddDistance(Distance):
    """A distance from outside the library, with a field of each kind that is stored."""

    factor: Array
    power: int = eqx.field(static=True)
    name: str = eqx.field(static=True)
    units: str = eqx.field(static=True)

    citations: ClassVar[tuple[str, ...]] = ("@misc{odd2026, title = {An odd distance}}",)

    def __init__(self, factor: float = 1.0, power: int = 3):
        self.factor, self.power = jnp.asarray(factor), power
        self.name, self.units = "odd_distance", "cubed data units"

    def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
        """The distance."""
        return self.factor * jnp.mean(jnp.abs(x - x_target) ** self.power)


def test_a_distance_of_ones_own_is_stored_by_its_class(tmp_path: Path) -> None:
    assert distance_classes()["OddDistance"] is OddDistance
    theta = RNG.uniform(-1, 1, (100, 1)).astype(np.float32)
    simulations = gb.Simulations.from_arrays(theta, VECTORS[:100])
    config = gb.FitConfig(members=1, width=4, depth=1, max_epochs=1, targets=1, batch_size=32)
    cost = gb.fit_cost(simulations, OddDistance(2.0), config=config, progress=False)
    path = gb.save(cost, tmp_path / "cost")
    again = gb.load(path)
    assert isinstance(again.distance, OddDistance)
    np.testing.assert_array_equal(again(theta[:5], VECTORS[0]), cost(theta[:5], VECTORS[0]))


def test_no_class_takes_the_name_of_a_distance_of_the_library() -> None:
    with pytest.raises(TypeError, match=r"has the name of a distance of genbayes.*another name"):
        type("HuberError", (UserSubclass,), {"__module__": "elsewhere"})
    assert distance_classes()["HuberError"] is gbd.HuberError


class UserSubclass(gbd.UserDistance):
    """Only to be derived from."""


def test_landmarks_that_miss_too_much_say_so() -> None:
    trials = np.random.default_rng(1).normal(size=(100, 5, 8)).astype(np.float32)
    few = gbd.MMD(1.0, max_landmarks=5).fitted(trials)
    assert "The 5 landmarks of the distance mmd miss" in str(few.outcome)


@pytest.mark.parametrize("name", EXAMPLES)
def test_missing_values_are_as_if_outputs_had_never_had_them(name):
    distance, x, y = FITTED[name], jnp.asarray(outputs(name)[0]), jnp.asarray(outputs(name)[1])
    if not isinstance(distance, AdditiveDistance):
        assert not distance.reads_gaps
        y = y.at[(0,) * y.ndim].set(jnp.nan)
        assert jnp.isnan(distance(x, y)), "it neither says that it reads gaps nor shows the missing value"
        return
    y = y.at[1].set(jnp.nan)
    seen = np.array([True, False, True])
    parts = [jnp.broadcast_to(jnp.asarray(part), (3,))[seen] for part in (distance.scale, distance.weights)]
    without = eqx.tree_at(lambda d: (d.scale, d.weights), distance, tuple(parts))
    assert np.isclose(distance(x, y), without(x[seen], y[seen]), rtol=1e-5)
    # What the output has there does not matter, nor whether it is finite.
    assert distance(jnp.where(seen, x, jnp.nan), y) == distance(x, y)
