"""Sets of unequal size: distances pair by pair without any filling up, and costs and posteriors in closed form.

A run has K trials, normal with mean m and deviation 1, where K - 1 is Poisson with mean r. Of the biased distances,
whose means within a set count pairs of a trial with itself, the number of trials is a part: E[1 / K] is
(1 - exp(-r)) / r.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import norm

import genbayes as gb
from genbayes.checks.output_space import as_vectors
from genbayes.checks.support import SupportReference
from genbayes.costs.fit_general import contaminated
from genbayes.distances import MMD, Distance, EnergyDistance, MeanSquaredError, SlicedWasserstein
from genbayes.distances.batched import distances_to, paired_distances
from genbayes.distances.unequal_sets import all_trials, side_by_side, trials_present
from genbayes.learning.embeddings import SetEmbedding

MOST = 30
PRIOR = gb.Prior.uniform([-3.0, 1.0], [3.0, 12.0], ["mean", "rate"])
QUICK = gb.FitConfig(members=1, width=32, depth=1, max_epochs=25, targets=2, noise_targets=2)


def trials_of(theta, rng):
    return rng.normal(theta["mean"], 1.0, (1 + rng.poisson(theta["rate"]), 1))


SIMULATOR = gb.sets_of_trials(trials_of, MOST)
BANDWIDTH = 1.5


def expected_energy(mean, rate, x_o: np.ndarray) -> np.ndarray:
    """E[2 E|x - y| - (1 - 1/K) E|x - x'|] - mean |y - y'|, of folded normal distributions."""
    away = mean[..., None] - x_o[:, 0]
    between = np.sqrt(2 / np.pi) * np.exp(-(away**2) / 2) + away * (1 - 2 * norm.cdf(-away))
    one_over = (1 - np.exp(-rate)) / rate
    own = np.abs(x_o - x_o.T).mean()
    return 2 * between.mean(axis=-1) - (1 - one_over) * 2 / np.sqrt(np.pi) - own


def expected_mmd(mean, rate, x_o: np.ndarray) -> np.ndarray:
    """The same of a Gaussian kernel: expectations of it over normal trials are Gaussian, too."""
    h = BANDWIDTH**2
    between = np.sqrt(h / (h + 1)) * np.exp(-((mean[..., None] - x_o[:, 0]) ** 2) / (2 * (h + 1)))
    one_over = (1 - np.exp(-rate)) / rate
    own = np.exp(-((x_o - x_o.T) ** 2) / (2 * h)).mean()
    return one_over + (1 - one_over) * np.sqrt(h / (h + 2)) - 2 * between.mean(axis=-1) + own


CASES = {"energy": (EnergyDistance(), expected_energy, 12.0), "mmd": (MMD(BANDWIDTH), expected_mmd, 40.0)}


@pytest.fixture(scope="module")
def simulations():
    return gb.simulate(SIMULATOR, PRIOR, 3000, seed=0, progress=False)


@pytest.fixture(scope="module", params=CASES)
def fitted(request, simulations):
    distance, expected, beta = CASES[request.param]
    return gb.fit_cost(simulations, distance, progress=False), expected, beta


@pytest.fixture(scope="module")
def observations():
    """Sets of 1, 4, 9 and 45 trials: fewer and more than any simulated one has, too."""
    rng = np.random.default_rng(1)
    return [rng.normal(place, 1.0, (k, 1)) for place, k in ((0.5, 1), (-1.0, 4), (0.8, 9), (0.8, 45))]


def by_loops(name: str, x: np.ndarray, y: np.ndarray, *, unbiased: bool) -> float:
    """A distance of two sets as they are, pair by pair."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        size = np.linalg.norm(a - b)
        return float(-size if name == "energy" else np.exp(-(size**2) / (2 * BANDWIDTH**2)))

    def within(one: np.ndarray) -> float:
        pairs = [kernel(a, b) for i, a in enumerate(one) for j, b in enumerate(one) if not (unbiased and i == j)]
        return float(np.mean(pairs))

    return within(x) + within(y) - 2 * float(np.mean([kernel(a, b) for a in x for b in y]))


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_each_pair_is_as_if_it_stood_by_itself(name: str, unbiased: bool) -> None:
    rng = np.random.default_rng(0)
    sets = [rng.normal(rng.normal(), 1.0, (k, 2)) for k in (2, 3, 8, 5, 13, 2)]
    filled = side_by_side(sets)
    estimator = "unbiased" if unbiased else "biased"
    distance = (EnergyDistance(estimator) if name == "energy" else MMD(BANDWIDTH, estimator)).fitted(filled)
    wanted = np.array([[by_loops(name, x, y, unbiased=unbiased) for y in sets] for x in sets])
    # Sums of at most 169 pairs of order 1, in single precision.
    found = np.array([[float(distance(jnp.asarray(x), jnp.asarray(y))) for y in filled] for x in filled])
    assert np.allclose(found, wanted, atol=3e-5)
    to_first = distances_to(distance, filled, sets[2])
    assert np.allclose(to_first, wanted[:, 2], atol=3e-5)
    assert np.allclose(paired_distances(distance, filled, filled[::-1]), wanted[range(6), range(5, -1, -1)], atol=3e-5)
    # By features and self terms, of which costs are made, and whatever the order of trials and of what is none.
    mixed = filled[:, rng.permutation(filled.shape[1])]
    features = np.array([distance.features(jnp.asarray(x)) for x in mixed])
    own = np.array([distance.self_term(jnp.asarray(x)) for x in filled])
    # Landmarks miss trials of two coordinates by the tolerance of the distance.
    assert np.allclose(own[:, None] + own[None] - 2 * features @ features.T, wanted, atol=5e-3)


def test_nan_in_a_part_of_a_trial_is_never_silent() -> None:
    distance = EnergyDistance().fitted(np.random.default_rng(0).normal(size=(5, 4, 2)))
    broken = jnp.asarray([[0.0, jnp.nan], [1.0, 2.0]])
    assert np.isnan(distance(broken, jnp.zeros((2, 2))))
    assert np.isnan(distance(jnp.full((2, 2), jnp.nan), jnp.zeros((2, 2))))


def test_the_cost_is_the_expectation_over_sets_of_any_size(fitted, observations) -> None:
    cost, expected, _ = fitted
    grid = np.stack(np.meshgrid(np.linspace(-2.5, 2.5, 9), np.linspace(2, 11, 7), indexing="ij"), axis=-1)
    for x_o in observations:
        wanted = expected(grid[..., 0], grid[..., 1], x_o)
        found = np.asarray(cost(grid, x_o))
        # 3,000 runs leave a mean distance open by some per cent of its spread over the prior.
        assert np.max(np.abs(found - wanted)) < 0.06 * np.ptp(wanted) + 0.02, np.max(np.abs(found - wanted))
        # What it is filled up with says nothing.
        filled = np.concatenate([np.full((3, 1), np.nan), x_o, np.full((50, 1), np.nan)])
        assert np.allclose(found, cost(grid, filled), atol=1e-5)
        # Without E[1/K], as if all sets were large, the number of trials would not count.
        assert np.max(np.abs(found - expected(grid[..., 0], 1e6 * np.ones_like(grid[..., 1]), x_o))) > 0.05


def grid_moments(expected, x_o: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of both parameters by quadrature of the exact Gibbs posterior."""
    axes = np.linspace(-3, 3, 401), np.linspace(1, 12, 201)
    mean, rate = np.meshgrid(*axes, indexing="ij")
    weight = np.exp(-beta * (expected(mean, rate, x_o) - expected(mean, rate, x_o).min()))
    weight /= weight.sum()
    middle = np.array([np.sum(weight * one) for one in (mean, rate)])
    spread = np.sqrt([np.sum(weight * (one - at) ** 2) for one, at in zip((mean, rate), middle, strict=True)])
    return middle, spread


def test_posteriors_of_a_stack_are_those_of_quadrature(fitted, simulations, observations) -> None:
    cost, expected, beta = fitted
    stack = gb.GibbsPosteriors(PRIOR, cost, observations, beta)
    assert stack.x_o.shape == (4, 45, 1)
    draws = stack.sample(3000, seed=0, progress=False)
    for i, x_o in enumerate(observations):
        middle, spread = grid_moments(expected, x_o, beta)
        flat = draws.theta[i, 0].reshape(-1, 2)
        # 3,000 draws leave a mean open by .02 deviations, the regression by some .1.
        assert np.all(np.abs(flat.mean(axis=0) - middle) < 0.2 * spread), (i, flat.mean(axis=0), middle, spread)
        assert np.all(np.abs(flat.std(axis=0) / spread - 1) < 0.12), (i, flat.std(axis=0), spread)
        alone = gb.GibbsPosterior(PRIOR, cost, x_o, beta)
        place = np.array([0.5, 4.0])
        assert np.isclose(alone.cost_at(place), stack.posterior(i).cost_at(place), atol=1e-5)
        assert stack.posterior(i).x_o.shape == x_o.shape
    # Each is judged among sets of its own size: a single trial scatters more than any set.
    found = gb.check_stack(stack, draws, simulations)
    assert np.min(found.p_value) > 0.01, found.p_value


def test_the_general_network_reads_sets_by_their_trials(simulations, observations) -> None:
    cost = gb.fit_cost(simulations, EnergyDistance(), method="general", config=QUICK, progress=False)
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 5), np.linspace(3, 10, 4), indexing="ij"), axis=-1)
    for x_o in observations[2:]:
        wanted, found = expected_energy(grid[..., 0], grid[..., 1], x_o), np.asarray(cost(grid, x_o))
        # A small network after 25 epochs; without the mask of what is no trial it would be NaN.
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.97
        filled = np.concatenate([x_o, np.full((7, 1), np.nan)])
        assert np.allclose(found, cost(grid, filled), rtol=1e-5)


def test_the_embedding_is_that_of_the_trials_alone() -> None:
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(k, 2)) for k in (3, 7, 1)]
    filled = side_by_side(sets)
    embedding = SetEmbedding(filled, rng=rng)
    for one, with_nan in zip(sets, filled, strict=True):
        alone = embedding(jnp.asarray(one, jnp.float32))
        assert np.allclose(alone, embedding(jnp.asarray(with_nan[::-1], jnp.float32)), atol=1e-6)
    assert np.allclose(embedding.standardise.mean, np.concatenate(sets).mean(axis=0), atol=1e-6)


def test_contaminated_sets_keep_their_number_of_trials() -> None:
    sets = side_by_side([np.full((k, 1), float(i)) for i, k in enumerate((2, 5, 3, 4))])
    found = np.asarray(contaminated(jnp.asarray(sets, jnp.float32), jnp.zeros((5, 1)), jax.random.key(0)))
    assert np.array_equal(np.isnan(found), np.isnan(sets))
    assert not np.array_equal(found, sets, equal_nan=True)


def test_statistics_of_a_set_are_those_of_its_trials() -> None:
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(k, 2)) for k in (3, 7, 1)]
    found = as_vectors(side_by_side(sets), "set")
    for row, one in zip(found, sets, strict=True):
        cross = np.mean((one - one.mean(axis=0)).prod(axis=1))
        quantiles = np.quantile(one, [0, 0.25, 0.5, 0.75, 1], axis=0).ravel()
        wanted = [*one.mean(axis=0), *one.std(axis=0), *quantiles, np.sign(cross) * np.sqrt(abs(cross))]
        assert np.allclose(row, wanted)


def test_a_set_is_judged_among_sets_of_its_size(fitted, simulations) -> None:
    """False alarms about sets of three trials, where simulations have 7.5 in the mean: 5 %, not more."""
    cost = fitted[0]
    rng = np.random.default_rng(2)
    theta = np.asarray(PRIOR.sample(300, seed=9))
    sets = [rng.normal(mean, 1.0, (3, 1)) for mean in theta[:, 0]]
    reference = SupportReference.of(cost, simulations, x_o=sets[0])
    assert reference.trials == 3
    p_values = reference.p_values(np.stack(sets))[:, 0]
    # Of 300 with a share of 5 % more than 9 % are seen in 1 of 500 cases.
    assert np.mean(p_values <= 0.05) < 0.09
    assert not reference.suits(sets[0][:2])
    with pytest.raises(ValueError, match="fewer trials|other missing values"):
        reference.judge(sets[0][:2])
    assert not reference.judge(sets[0] + 30.0).inside


@pytest.mark.slow
@pytest.mark.long
def test_files_checks_reports_pictures_and_rules(simulations, observations, tmp_path) -> None:
    cost, x_o = gb.fit_cost(simulations, MMD(BANDWIDTH), progress=False), observations[2]
    gb.save(cost, tmp_path / "cost.safetensors")
    loaded = gb.load(tmp_path / "cost.safetensors")
    place = np.array([0.3, 5.0])
    assert float(loaded(place, x_o)) == float(cost(place, x_o))
    assert loaded.held_out is not None
    assert cost.held_out is not None
    assert np.array_equal(loaded.held_out.x, cost.held_out.x, equal_nan=True)
    posterior = gb.GibbsPosterior(PRIOR, loaded, x_o, 40.0)
    draws = posterior.sample(500, seed=0)
    draws.save(tmp_path / "draws.zarr")
    draws = gb.Draws.load(tmp_path / "draws.zarr")
    verdict = gb.check(posterior, draws, SIMULATOR, simulations, n=200, seed=1, progress=False)
    # The rate is hardly known: of the draws many lie at its upper bound, which is told.
    told = [finding.check for finding in verdict.findings if finding.level in ("care", "bad")]
    assert set(told) <= {"bounds", "prior"}, verdict.summary()
    runs = verdict.predictive
    assert runs is not None
    # New runs at the draws are sets of any size, and their distances those of sets that stand by themselves.
    sizes = trials_present(runs.x).sum(axis=1)
    assert sizes.min() < 5 < 10 < sizes.max()
    wanted = [by_loops("mmd", all_trials(run), x_o, unbiased=False) for run in runs.x[:20]]
    assert np.allclose(runs.simulated[:20], wanted, atol=1e-4)
    figure = gb.plots.predictive(runs, x_o, kind="set", prior_x=simulations.x[:100])
    steps: Any = next(patch for patch in figure.axes[0].patches if patch.get_label() == "observed")
    assert np.isclose(steps.get_data().values.sum(), 1)
    plt.close(figure)
    page = gb.report(tmp_path / "report.html", posterior, draws, check=verdict, simulations=simulations)
    assert page.stat().st_size > 10_000
    held_out = gb.simulate(SIMULATOR, PRIOR, 60, seed=5, progress=False)
    grid = {"betas": [5.0, 50.0], "rows": 25, "n": 100}
    choice = gb.temperature.calibrated(PRIOR, cost, held_out, seed=0, progress=False, **grid)
    assert choice.beta > 0
    ladder = gb.temperature.ladder(PRIOR, cost, x_o, [1.0, 10.0, 100.0], n=100, seed=0)
    floor = gb.temperature.noise_floor(ladder, simulator=SIMULATOR, n=100, seed=3, progress=False)
    assert floor.beta > 0
    pairs = (runs.theta[:100], runs.x[:100], runs.x[100:200])
    assert gb.temperature.noise_floor(ladder, pairs=pairs, seed=0).beta > 0


@pytest.mark.slow
@pytest.mark.long
def test_refinement_adds_sets_to_the_store(observations, tmp_path) -> None:
    store = tmp_path / "runs.zarr"
    first = gb.simulate(SIMULATOR, PRIOR, 300, seed=0, store=store, progress=False)
    cost = gb.fit_cost(first, EnergyDistance(), config=QUICK, progress=False)
    posterior = gb.GibbsPosterior(PRIOR, cost, observations[2], 12.0)
    gb.refine(posterior, SIMULATOR, first, n=100, rounds=1, seed=4, store=store, progress=False)
    again = gb.Simulations.open(store)
    assert again.unequal_sets
    assert (again.round == 1).sum() == 100
    assert again.ok.all()


class MedianDistance(Distance):
    """Of the medians of two sets: one's own, and says that it reads sets of any size."""

    reads_sets = True
    reads_unequal_sets = True

    name: str = eqx.field(static=True, default="median")
    units: str = eqx.field(static=True, default="data units")

    def __call__(self, x, x_target):
        return jnp.sum(jnp.abs(jnp.nanmedian(x, axis=0) - jnp.nanmedian(x_target, axis=0)))

    def check_target(self, x_shape, target_shape) -> None:
        if len(target_shape) != 2 or target_shape[1] != x_shape[1]:
            raise ValueError("expected sets")


def test_a_distance_of_ones_own_may_read_them(simulations, observations) -> None:
    cost = gb.fit_cost(simulations, MedianDistance(), config=QUICK, progress=False)
    found = np.asarray(cost([[-1.0, 11.0], [1.0, 11.0], [3.0, 11.0]], observations[3]))
    assert found.argmin() == 1


@pytest.mark.parametrize(
    ("distance", "settings", "message"),
    [
        (MeanSquaredError(), {}, "sets of unequal size, and the distance .* take one of EnergyDistance, MMD"),
        (SlicedWasserstein(), {}, "take one of EnergyDistance, MMD"),
        (EnergyDistance(estimator="unbiased"), {}, "at least 2 trials in each set, and .* have a single one"),
        (EnergyDistance(), {"method": "general", "embedding": "vector"}, "write embedding='set'"),
    ],
)
def test_what_cannot_be_learned_of_them_is_refused(simulations, distance, settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gb.fit_cost(simulations, distance, progress=False, **settings)


def test_a_missing_trial_of_a_distance_between_sets_of_one_size_is_refused() -> None:
    rng = np.random.default_rng(0)
    simulations = gb.Simulations.from_arrays(rng.normal(size=(100, 1)), rng.normal(size=(100, 5, 2)))
    cost = gb.fit_cost(simulations, SlicedWasserstein(), progress=False)
    x_o = np.where(np.arange(5)[:, None] == 2, np.nan, rng.normal(size=(5, 2)))
    with pytest.raises(ValueError, match="1 missing trials .* of 5, .* Take one of EnergyDistance, MMD"):
        cost.check_observation(x_o)


def test_an_observation_without_a_trial_is_refused(fitted) -> None:
    with pytest.raises(ValueError, match="no value that was observed"):
        gb.GibbsPosterior(PRIOR, fitted[0], np.full((3, 1), np.nan), 5.0)


def test_the_unbiased_cost_has_no_offset_against_explicit_pairs():
    """Sets of 2 to 8 trials that no parameter moves: the cost is the mean over all runs, pair by pair."""
    rng = np.random.default_rng(0)
    x_o, *sets = [rng.normal(size=(size, 2)) for size in rng.integers(2, 9, size=1001)]
    simulations = gb.Simulations.from_arrays(rng.normal(size=(1000, 1)), sets)
    cost = gb.fit_cost(simulations, MMD(BANDWIDTH, estimator="unbiased"), progress=False)

    def kernel(x, y):
        return np.exp(-np.sum((x[:, None] - y) ** 2, axis=-1) / (2 * BANDWIDTH**2))

    def within(x):
        return (kernel(x, x).sum() - len(x)) / (len(x) * (len(x) - 1))

    pairs = [within(x) + within(x_o) - 2 * kernel(x, x_o).mean() for x in sets]
    # At the mean parameter a regression has the error of a mean: four of them.
    found = float(cost(simulations.theta.mean(axis=0), x_o))
    assert found == pytest.approx(np.mean(pairs), abs=4 * np.std(pairs) / np.sqrt(len(sets)))
