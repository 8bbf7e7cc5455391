"""How public objects show themselves: short, without memory addresses, and as HTML that escapes names."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.distances.base import replaced
from genbayes.runtime.notebook import html_table

# One of each public object takes a fit, three samplers and a check.
pytestmark = pytest.mark.slow
NAME = "a<b"
CONFIG = gb.FitConfig(members=2, max_epochs=5, width=8)


def largest(x, x_target):
    return abs(x - x_target).max()


def simulator(key, theta):
    return theta + 0.3 * jax.random.normal(key, (2,))


@pytest.fixture(scope="module")
def objects() -> dict[str, object]:
    """One object of each public class that is worth showing, all of a small job."""
    prior = gb.Prior({NAME: dist.Normal(0.0, 1.0), "c": dist.Normal(0.0, 1.0)})
    simulations = gb.simulate(simulator, prior, 400, seed=0, progress=False)
    held_out = gb.simulate(simulator, prior, 30, seed=1, progress=False)
    distance = gb.distances.MeanSquaredError("prior_predictive")
    cost = gb.fit_cost(simulations, distance, config=CONFIG, method="marginal", progress=False)
    x_o = np.array([0.5, -0.5], np.float32)
    posterior = gb.GibbsPosterior(prior, cost, x_o, beta=5.0)
    posteriors = gb.GibbsPosteriors(prior, cost, np.stack([x_o, -x_o]), beta=[1.0, 5.0])
    sampler = gb.SMC(min_particles=64)
    draws = posterior.sample(64, seed=0, sampler=sampler)
    checked = gb.check(posterior, draws, simulations=simulations, seed=0, progress=False)
    ladder = gb.temperature.ladder(prior, cost, x_o, [1.0, 5.0, 20.0], n=64, seed=0, progress=False)
    return {
        "prior": prior,
        "cost": cost,
        "fit": cost.fit[0],
        "distance": cost.distance,
        "posterior": posterior,
        "posteriors": posteriors,
        "joint": gb.joint({NAME: (cost, x_o, 5.0)}, prior),
        "draws": draws,
        "stacked": posteriors.sample(64, seed=0, sampler=sampler, progress=False),
        "check": checked,
        "coverage": gb.coverage(prior, cost, held_out, 5.0, n=64, seed=0, progress=False),
        "ladder": ladder,
        "choice": gb.temperature.noise_floor(ladder, simulator=simulator, n=40, seed=3, progress=False),
        "sensitivity": gb.sensitivity(posterior, n=64, seed=0, progress=False),
        "task": gb.tasks.two_moons(),
        "sampler": sampler,
        "config": CONFIG,
        "outcome": draws.outcome,
    }


HTML = "cost fit distance posterior posteriors joint draws stacked check coverage ladder choice sensitivity".split()  # noqa: SIM905


@pytest.mark.long
def test_every_object_shows_itself(objects) -> None:
    # One test, because the objects take a minute to make, and each worker would make its own.
    is_short_and_says_what_it_is(objects)
    escapes_names(objects)
    has_the_numbers_of_draws(objects)


def is_short_and_says_what_it_is(objects) -> None:
    for name, one in objects.items():
        text = repr(one)
        assert "object at 0x" not in text, name
        assert " at 0x" not in text, name
        assert text.startswith(type(one).__name__), name
        assert len(text) < 400, name
        assert "\n" not in text or name == "prior", name


def escapes_names(objects) -> None:
    named = {"cost", "posterior", "posteriors", "joint", "draws", "stacked", "sensitivity"}
    for name in HTML:
        text = objects[name]._repr_html_()
        assert NAME not in text, name
        assert " at 0x" not in text, name
        assert text.startswith(("<table>", "<pre>")), name
        assert ("a&lt;b" in text) or name not in named, name
    assert "<script>" not in html_table("<script>", ["<script>"], [["<script>"]], ["<script>"])


def has_the_numbers_of_draws(objects) -> None:
    draws, text = objects["draws"], objects["draws"]._repr_html_()
    for value in draws.quantiles().reshape(-1):
        assert f">{value:.4g}<" in text


@pytest.mark.parametrize(
    ("distance", "text"),
    [
        (gb.distances.MeanSquaredError(2.0), "MeanSquaredError(scale=2, weights=1)"),
        (
            gb.distances.HuberError(1.5, [1.0, 2.0], [0.5, 0.0]),
            "HuberError(delta=1.5, scale=[1, 2], weights=[0.5, 0])",
        ),
        (gb.distances.CappedError(3.0, 2), "CappedError(cap=3, power=2, scale=1, weights=1)"),
        (
            gb.distances.MeanAbsoluteError("prior_predictive"),
            "MeanAbsoluteError(scale='prior_predictive', weights=1)",
        ),
        (
            gb.distances.MeanAbsoluteError("median", transform="log1p"),
            "MeanAbsoluteError(scale='median', weights=1, transform='log1p')",
        ),
        (
            gb.distances.MeanAbsoluteError(np.arange(1.0, 13.0).reshape(6, 2)),
            "MeanAbsoluteError(scale=(6, 2) numbers from 1 to 12, weights=1)",
        ),
        (gb.distances.Mahalanobis([[4.0, 0.0], [0.0, 1.0]]), "Mahalanobis(covariance=[4, 0, 0, 1])"),
        (
            gb.distances.MMD(2.0),
            "MMD(bandwidth=2, estimator='biased', max_landmarks=256, tolerance=1e-05)",
        ),
        (
            gb.distances.UserDistance(largest, name="mine", units="mV"),
            "UserDistance(function=largest, name='mine', units='mV')",
        ),
    ],
)
def test_a_distance_shows_its_arguments(distance, text) -> None:
    assert repr(distance) == text


def test_a_fitted_distance_shows_the_scale_that_it_took() -> None:
    x = np.array([[0.0, 0.0], [2.0, 6.0]], np.float32)
    assert repr(gb.distances.MeanSquaredError("prior_predictive").fitted(x)) == (
        "MeanSquaredError(scale=[1, 3], weights=1)"
    )


def test_a_traced_distance_has_a_representation() -> None:
    distance, seen = gb.distances.Mahalanobis([[1.0]]), []

    def traced(whitening):
        seen.append(repr(replaced(distance, whitening=whitening)))
        return whitening

    jax.jit(traced)(distance.whitening)
    assert seen == ["Mahalanobis(covariance=traced)"]
