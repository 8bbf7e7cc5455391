"""The central claim: a fitted cost is the mean distance of fresh simulations at theta to x_o, for every form of cost.

Truth is brute force: 20,000 runs at each of five parameters. The error of a regression of n = 3,000 labels with p
effective weights is sqrt(p / n) of the noise in each feature. Of the cost ||g - f(x_o)||^2 + spread that makes
2 sqrt(p / n spread * cost) plus a relative sqrt(2 p / n) of the spread. p is about 10 for the vectors (a linear fit and
what training adds), which makes 0.12 sqrt(spread * cost) + 0.08 spread, and 20 for the features of sets, which are
strongly curved in theta. All keys are fixed; the allowance is twice that, plus four standard errors of the brute-force
mean. A cost without its spread misses it.
"""

import inspect
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.costs import fit_general
from genbayes.costs.forms import HilbertForm, MarginalForm, NetworkForm
from genbayes.distances import Distance, HilbertDistance, UserDistance
from genbayes.distances.batched import distance_matrix
from genbayes.learning.embeddings import PairNetwork, SetEmbedding, VectorEmbedding

CONFIG = gb.FitConfig(members=2, max_epochs=30)
RNG = np.random.default_rng(0)
N = 3000
RUNS = 20_000
THETAS = np.array([[0.0, 0.0], [0.5, -0.7], [-0.9, 0.4], [0.8, 0.9], [-0.3, -0.6]], np.float32)


def moments(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nonlinear means, and noise that changes with the parameters; in units of 1, 1 and 10."""
    one, two = theta.T
    mean = np.stack([one + 0.5 * two, np.sin(2 * two), 10 + 5 * one * two], axis=1)
    noise = np.stack([np.full(len(theta), 0.3), 0.1 + 0.4 * np.abs(one), 2 * np.exp(0.5 * two)], axis=1)
    return mean, noise


def simulate_vectors(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    mean, noise = moments(theta)
    return (mean + noise * rng.normal(size=mean.shape)).astype(np.float32)


def simulate_sets(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (theta[:, None] + 0.3 * rng.normal(size=(len(theta), 5, 2))).astype(np.float32)


def make(simulator: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> gb.Simulations:
    rng = np.random.default_rng(0)
    theta = rng.uniform(-1, 1, (N, 2)).astype(np.float32)
    return gb.Simulations.from_arrays(theta, simulator(theta, rng))


SIMULATORS = {"vectors": simulate_vectors, "sets": simulate_sets}
SIMULATIONS = {name: make(simulator) for name, simulator in SIMULATORS.items()}
FAR = {"vectors": np.array([10, -10, 100], np.float32), "sets": np.array([10, -5], np.float32)}
# Two simulations that look usual, one shifted a little off the simulations' range, one far beyond it.
OBSERVATIONS = {
    name: np.stack([s.x[0], s.x[1], s.x[2] + 0.2 * FAR[name], s.x[3] + FAR[name]]) for name, s in SIMULATIONS.items()
}
CASES: dict[str, tuple[str, Distance]] = {
    "mse": ("vectors", gb.distances.MeanSquaredError(scale="prior_predictive")),
    "mahalanobis": ("vectors", gb.distances.Mahalanobis("prior_predictive")),
    "mae": ("vectors", gb.distances.MeanAbsoluteError(scale="prior_predictive")),
    "mmd": ("sets", gb.distances.MMD()),
    "mmd unbiased": ("sets", gb.distances.MMD(bandwidth=0.6, estimator="unbiased")),
    "energy": ("sets", gb.distances.EnergyDistance()),
    "sliced wasserstein": ("sets", gb.distances.SlicedWasserstein(n_projections=8)),
}


def brute_force(distance: Distance, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, their standard errors (theta, observation), and the spread of features (theta, 1)."""
    rng = np.random.default_rng(1)
    observations = jnp.asarray(OBSERVATIONS[kind])

    @jax.jit
    def one_theta(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        away = distance_matrix(distance, x, observations)
        if isinstance(distance, HilbertDistance):
            return away, jnp.sum(jnp.var(jax.vmap(distance.features)(x[:2000]), axis=0))
        # An additive distance is no larger anywhere than its value at the median of the outputs.
        return away, jnp.mean(jax.vmap(distance, in_axes=(0, None))(x, jnp.median(x, axis=0)))

    values, spreads = [], []
    for theta in THETAS:
        away, spread = one_theta(jnp.asarray(SIMULATORS[kind](np.repeat(theta[None], RUNS, axis=0), rng)))
        values.append(np.asarray(away, np.float64))
        spreads.append([float(spread)])
    stacked = np.stack(values)
    return stacked.mean(axis=1), stacked.std(axis=1) / np.sqrt(RUNS), np.array(spreads)


def costs(cost: gb.Cost, observations: np.ndarray) -> np.ndarray:
    return np.asarray(cost(jnp.asarray(THETAS)[:, None], jnp.asarray(observations)[None]))


@pytest.fixture(scope="module")
def fitted() -> Callable[[str], gb.Cost]:
    known: dict[str, gb.Cost] = {}

    def get(name: str) -> gb.Cost:
        if name not in known:
            kind, distance = CASES[name]
            known[name] = gb.fit_cost(SIMULATIONS[kind], distance, seed=3, config=CONFIG, progress=False)
        return known[name]

    return get


def allowance(truth: np.ndarray, error: np.ndarray, spread: np.ndarray, weights: int = 10) -> np.ndarray:
    # The squared distance of means is truth - spread or less; unbiased estimates may lie below zero.
    relative = np.sqrt(weights / N)
    return 4 * error + 2 * relative * (np.sqrt(2) * spread + 2 * np.sqrt(spread * np.maximum(truth, spread)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_cost_is_the_mean_distance_of_fresh_runs(name: str, fitted: Callable[[str], gb.Cost]) -> None:
    kind, _ = CASES[name]
    cost = fitted(name)
    assert isinstance(cost.form, MarginalForm if name == "mae" else HilbertForm)
    assert cost.outcome.ok
    truth, error, spread = brute_force(cost.distance, kind)
    found = costs(cost, OBSERVATIONS[kind])
    assert np.all(np.abs(found - truth) < allowance(truth, error, spread, weights=10 if kind == "vectors" else 20))
    # Far out the error is that of the mean features alone: a few per cent of their distance at most.
    np.testing.assert_allclose(found[:, 3], truth[:, 3], rtol=0.06)


@pytest.mark.slow
def test_squared_error_of_gaussians_in_closed_form(fitted: Callable[[str], gb.Cost]) -> None:
    cost = fitted("mse")
    theta = np.random.default_rng(5).uniform(-0.95, 0.95, (300, 2)).astype(np.float32)
    mean, noise = moments(theta)
    scale = SIMULATIONS["vectors"].x.astype(np.float64).std(axis=0)
    spread = np.mean((noise / scale) ** 2, axis=1)
    for x_o in OBSERVATIONS["vectors"]:
        truth = np.mean(((mean - x_o) ** 2 + noise**2) / scale**2, axis=1)
        errors = np.asarray(cost(theta, x_o)) - truth
        allowed = allowance(truth, np.zeros(300), spread)
        # Single parameters, of 300, may be out by twice as much; their errors' root mean square may not.
        assert np.all(np.abs(errors) < 2 * allowed)
        assert np.sqrt(np.mean((errors / allowed) ** 2)) < 0.6


def test_without_its_spread_the_cost_is_wrong(fitted: Callable[[str], gb.Cost]) -> None:
    cost = fitted("mse")
    assert isinstance(cost.form, HilbertForm)
    spread = cost.form.spread
    zeros = {name: 0 * getattr(spread, name) for name in ("intercept", "slopes", "scale")}
    nothing = replace(spread, **zeros, log_link=None)
    mutant = replace(cost, form=replace(cost.form, spread=nothing, least_spread=jnp.zeros(())))
    truth, error, own = brute_force(cost.distance, "vectors")
    wrong = np.abs(costs(mutant, OBSERVATIONS["vectors"]) - truth) > allowance(truth, error, own)
    assert np.all(wrong[:, :2].any(axis=1))


SMALL = gb.FitConfig(members=2, width=8, depth=1, max_epochs=10, batch_size=64, targets=4)


def small(x: np.ndarray | None = None, distance: Distance | None = None, seed: int = 0, **settings: Any) -> gb.Cost:
    data = gb.Simulations.from_arrays(SIMULATIONS["vectors"].theta[:300], VECTORS if x is None else x)
    distance = gb.distances.MeanSquaredError() if distance is None else distance
    return gb.fit_cost(data, distance, seed=seed, config=SMALL, progress=False, **settings)


VECTORS = SIMULATIONS["vectors"].x[:300]


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1e-12, 1e6])
def test_the_cost_of_other_units_is_the_cost_in_other_units(unit: float) -> None:
    # To float32's rounding, which training amplifies.
    x_o = OBSERVATIONS["vectors"]
    expected = costs(small(), x_o)
    np.testing.assert_allclose(
        costs(small((VECTORS * unit).astype(np.float32)), x_o * unit) / unit / unit, expected, rtol=2e-3
    )
    expected = costs(small(method="general"), x_o[:3])
    found = costs(small((VECTORS * unit).astype(np.float32), method="general"), x_o[:3] * unit) / unit / unit
    np.testing.assert_allclose(found, expected, rtol=2e-2)


def test_outputs_far_from_zero_cost_no_accuracy() -> None:
    # 4096 + x is exact to 2.4e-4, a thousandth of the noise; its square is exact to 1 only, thrice the cost.
    shift = np.float32(4096)
    x_o = OBSERVATIONS["vectors"]
    np.testing.assert_allclose(costs(small(VECTORS + shift), x_o + shift), costs(small(), x_o), rtol=2e-2)


@pytest.mark.parametrize("method", ["auto", "general"])
def test_seeds(method: str) -> None:
    x_o = OBSERVATIONS["vectors"]
    one = costs(small(seed=4, method=method), x_o)
    np.testing.assert_array_equal(costs(small(seed=4, method=method), x_o), one)
    assert not np.allclose(costs(small(seed=5, method=method), x_o), one, rtol=1e-6)
    with pytest.raises(ValueError, match="seed"):
        small(seed=-1)


_compiled: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration_secs, **_: _compiled.append(event) if "backend_compile" in event else None
)


@pytest.mark.parametrize(
    ("distance", "method"),
    [
        (gb.distances.MeanSquaredError(scale="prior_predictive"), "auto"),
        (gb.distances.MeanAbsoluteError(), "auto"),
        (gb.distances.MeanSquaredError(), "general"),
    ],
)
def test_a_second_fit_of_the_same_shapes_compiles_nothing(distance: Distance, method: str) -> None:
    small(distance=distance, method=method)
    before = len(_compiled)
    # The same rows: other ones may choose another polynomial, which has another shape.
    cost = small(distance=distance, seed=9, method=method)
    assert len(_compiled) == before
    # And the listener hears.
    jax.jit(lambda x: x * 3.25 + 1)(jnp.ones(7))
    assert len(_compiled) > before
    assert cost.settings["seed"] == 9


def test_failed_simulations_are_left_out() -> None:
    theta, x = SIMULATIONS["vectors"].theta[:360], SIMULATIONS["vectors"].x[:360].copy()
    x[300:] = np.nan
    data = gb.Simulations.from_arrays(theta, x)
    # A failed row that holds numbers is left out for its status, not for its values.
    data = replace(data, x=np.where(np.isnan(x), np.float32(1e6), x))
    cost = gb.fit_cost(data, gb.distances.MeanSquaredError(), config=SMALL, progress=False)
    np.testing.assert_array_equal(costs(cost, OBSERVATIONS["vectors"]), costs(small(), OBSERVATIONS["vectors"]))
    assert (cost.settings["simulations"], cost.settings["simulations_failed"]) == (360, 60)
    none = replace(data, status=np.full(360, 2, np.int32))
    with pytest.raises(ValueError, match="more simulations: 0 succeeded"):
        gb.fit_cost(none, gb.distances.MeanSquaredError(), config=SMALL, progress=False)


def test_wrong_requests() -> None:
    with pytest.raises(ValueError, match=r"embedding='set' reads outputs of two axes, but they have shape \(3,\)"):
        small(method="general", embedding="set")
    user = UserDistance(lambda x, y: jnp.mean(jnp.abs(x - y)), name="user", units="1")
    with pytest.raises(ValueError, match=r"\(5, 2\).*embedding='set', 'series' or 'vector'"):
        gb.fit_cost(SIMULATIONS["sets"], user, config=SMALL, progress=False)
    with pytest.raises(ValueError, match="batch_size must be at least 2"):
        gb.fit_cost(SIMULATIONS["vectors"], user, config=replace(SMALL, batch_size=1), progress=False)
    with pytest.raises(ValueError, match=r"sets of trials.*\(3,\)"):
        small(distance=gb.distances.MMD())


GENERAL = gb.FitConfig(
    members=1, width=32, depth=1, max_epochs=80, patience=80, batch_size=64, targets=4, noise_targets=4
)
LARGEST = UserDistance(lambda x, y: jnp.sqrt(jnp.mean((x - y) ** 2)), name="root mean square", units="data units")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "distance", "embedding"),
    [
        ("vectors", gb.distances.MeanSquaredError(scale="prior_predictive"), "auto"),
        ("sets", gb.distances.EnergyDistance(), "auto"),
        ("sets", LARGEST, "series"),
        ("sets", LARGEST, "vector"),
    ],
)
def test_general_network_learns(kind: str, distance: Distance, embedding: Any) -> None:
    data = gb.Simulations.from_arrays(SIMULATIONS[kind].theta[:1000], SIMULATIONS[kind].x[:1000])
    cost = gb.fit_cost(data, distance, config=GENERAL, method="general", embedding=embedding, progress=False)
    assert isinstance(cost.form, NetworkForm)
    x = jnp.asarray(data.x)
    pairs = np.asarray(distance_matrix(cost.distance, x[:300], x[300:600]), np.float64)
    # Predicting the mean distance would leave the variance of single distances.
    predicted = np.asarray(cost(np.asarray(data.theta)[:300, None], x[300:600]))
    assert np.mean((predicted - pairs) ** 2) < 0.6 * pairs.var()
    # Targets like the simulations: 1,000 runs and 80 epochs know the cost to a sixth of the mean distance on average.
    truth, error, _ = brute_force(cost.distance, kind)
    found = costs(cost, OBSERVATIONS[kind])
    assert np.all(found > 0)
    assert np.mean(np.abs(found - truth)[:, :2]) < pairs.mean() / 6 + 4 * error[:, :2].mean()


class WithoutSquares(PairNetwork):
    """The mutant whose squares of linear maps are zero."""

    def __call__(self, z: Any, embedded: Any) -> Any:
        return PairNetwork.__call__(without_squares(self), z, embedded)


def without_squares(network: PairNetwork) -> PairNetwork:
    return eqx.tree_at(lambda one: one.squares, network, jax.tree.map(jnp.zeros_like, network.squares))


def pair_loss(module: Any, targets: int) -> tuple[float, np.ndarray]:
    """The loss of a network that is constant, and the distances of all pairs of its rows."""
    x, count = jnp.asarray(VECTORS[:40]), 40
    distance = gb.distances.MeanSquaredError().fitted(VECTORS)
    key, rng = jax.random.key(0), np.random.default_rng(0)
    member = without_squares(PairNetwork(2, VectorEmbedding(VECTORS, rng=rng), 8, 1, rng=rng))
    rows = jnp.arange(count)[::-1]
    data = (jnp.zeros((count, 2)), x, jnp.arange(count), distance, jnp.ones(3), jnp.asarray(1.0))
    loss = eqx.filter_jit(module._PairLoss(targets, 0))(member, rows, data, key)
    return float(loss), np.asarray(distance_matrix(distance, x[rows], x[rows]), np.float64)


def expected_pair_loss(labels: np.ndarray, targets: int) -> float:
    """Row i meets the rows after it; a network that is zero predicts softplus(0) = log 2; gamma deviance."""
    n, predicted = len(labels), np.log(2) + 1e-3
    pairs = [labels[i, (i + k) % n] + 1e-3 for i in range(n) for k in range(1, min(targets, n - 1) + 1)]
    return float(np.log(predicted) + np.mean(pairs) / predicted)


def test_deviance_is_least_at_the_mean() -> None:
    labels = jnp.asarray(np.random.default_rng(0).gamma(0.5, 2.0, 500), jnp.float32)
    grid = jnp.linspace(0.5, 2, 3001)
    loss = jax.vmap(lambda p: jnp.mean(jax.vmap(lambda y: fit_general.gamma_deviance(p, y))(labels)))(grid)
    assert float(grid[jnp.argmin(loss)]) == pytest.approx(float(labels.mean()), abs=5e-3)


@pytest.mark.parametrize("targets", [1, 7, 39, 60])
def test_pairs_are_of_different_rows(targets: int) -> None:
    found, labels = pair_loss(fit_general, targets)
    assert found == pytest.approx(expected_pair_loss(labels, targets), rel=1e-4)


def mutated(*changes: tuple[str, str]) -> types.ModuleType:
    """The module of the general network with some lines changed."""
    source = inspect.getsource(fit_general)
    for line, by in changes:
        assert source.count(line) == 1
        source = source.replace(line, by)
    mutant = types.ModuleType("genbayes.costs.mutant")
    mutant.__package__ = "genbayes.costs"
    # Where dataclasses look annotations up.
    sys.modules["genbayes.costs.mutant"] = mutant
    try:
        exec(compile(source, "mutant", "exec"), mutant.__dict__)
    finally:
        del sys.modules["genbayes.costs.mutant"]
    return mutant


def test_pairs_of_a_row_with_itself_would_show() -> None:
    # Partners that start at the row itself: one label in `targets` is 0, so that labels, and the cost with them, are
    # low by that share. Rows that share random numbers are left out, which would hide it.
    mutant = mutated(
        ("(jnp.arange(n)[:, None] + 1 + ", "(jnp.arange(n)[:, None] + "),
        ("noise_id[:, None] != noise_id[partners]", "partners >= 0"),
    )
    for targets in (1, 7):
        found, labels = pair_loss(mutant, targets)
        assert abs(found / expected_pair_loss(labels, targets) - 1) > 0.03


SETS = SIMULATIONS["sets"].x


def shares_trials(module: Any, rows: int, noise_targets: int) -> bool:
    """Whether a row meets a contaminated set that holds one of its own trials."""
    distance = UserDistance(lambda x, y: jnp.any(x[:, None] == y[None]).astype(x.dtype), name="shared", units="1")
    network = without_squares(PairNetwork(2, SetEmbedding(SETS, rng=np.random.default_rng(0)), 8, 1, rng=RNG))
    # Without displacement, so that a trial of another set is known by its numbers.
    noise_id = jnp.arange(rows)
    data = (jnp.zeros((rows, 2)), jnp.asarray(SETS[:rows]), noise_id, distance, jnp.zeros((5, 2)), jnp.asarray(1.0))
    loss = eqx.filter_jit(module._PairLoss(1, noise_targets))(network, jnp.arange(rows), data, jax.random.key(0))
    predicted = np.log(2) + 1e-3
    return abs(float(loss) - (np.log(predicted) + 1e-3 / predicted)) > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("rows", [2, 3, 40, 41])
@pytest.mark.parametrize("noise_targets", [2, 60])
def test_no_row_meets_its_own_trials_in_a_contaminated_set(rows: int, noise_targets: int) -> None:
    assert not shares_trials(fit_general, rows, noise_targets)


@pytest.mark.parametrize("rows", [40, 41])
def test_own_trials_in_a_contaminated_set_would_show(rows: int) -> None:
    assert shares_trials(mutated(("min(self.noise_targets, n // 2 - 1)", "min(self.noise_targets, n // 2)")), rows, 60)


def test_contaminated_sets_hold_trials_of_two_sets_displaced_together() -> None:
    n, std = 3000, jnp.asarray([[1.0, 10.0]] * 5)
    x = jnp.asarray(SETS[:n])
    found = np.asarray(fit_general.contaminated(x, std, jax.random.key(3)), np.float64)
    own = np.all(found == SETS[:n], axis=2)
    # A uniform share makes every number of foreign trials of 0 to 5 equally likely: 500 sets each, and the standard
    # deviation of that count is 20.
    counts = np.bincount(5 - own.sum(axis=1), minlength=6)
    assert np.all(np.abs(counts - n / 6) < 5 * 20)
    displaced = found - np.roll(SETS[:n], n // 2, axis=0)
    shifts = []
    for set_displaced, set_own in zip(displaced, own, strict=True):
        if not set_own.all():
            # To the rounding of float32.
            assert np.ptp(set_displaced[~set_own], axis=0).max() < 1e-4
            shifts.append(set_displaced[~set_own][0])
    # Of mean square 1.5^2 / 3 std^2; that of 2,500 products of a uniform and a normal number is known to 4 %.
    np.testing.assert_allclose(np.mean(np.square(shifts), axis=0), [0.75, 75], rtol=0.2)
    # Sizes differ between sets: of one size the kurtosis would be 3, here it is 27 / 5.
    kurtosis = np.mean(np.power(shifts, 4), axis=0) / np.mean(np.square(shifts), axis=0) ** 2
    assert np.all((kurtosis > 4.2) & (kurtosis < 7))


@pytest.mark.slow
def test_a_squared_distance_is_learned_beyond_the_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    # The last observation lies more than ten standard deviations off, the simulations end after three. Eighty
    # epochs on 1,000 rows find the distance there to 25 %; the network alone, which sees a logarithm, finds 6 % of it.
    data = gb.Simulations.from_arrays(SIMULATIONS["vectors"].theta[:1000], SIMULATIONS["vectors"].x[:1000])
    distance = gb.distances.MeanSquaredError(scale="prior_predictive")

    def far_ratio() -> np.ndarray:
        cost = gb.fit_cost(data, distance, config=GENERAL, method="general", progress=False)
        return costs(cost, OBSERVATIONS["vectors"])[:, 3] / brute_force(cost.distance, "vectors")[0][:, 3]

    assert np.all(np.abs(far_ratio() - 1) < 0.4)
    # A class of its own, so that nothing compiled for the other is used.
    monkeypatch.setattr(fit_general, "PairNetwork", WithoutSquares)
    assert np.all(far_ratio() < 0.1)


def test_too_few_landmarks_are_told() -> None:
    few = gb.distances.MMD(bandwidth=0.05, max_landmarks=4)
    cost = gb.fit_cost(SIMULATIONS["sets"], few, config=replace(CONFIG, max_epochs=1), progress=False)
    assert "The 4 landmarks of the distance mmd miss" in str(cost.outcome)
