"""The training loop on a small regression whose best epoch can be recomputed."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genbayes.learning import training
from genbayes.learning.folds import Folds
from genbayes.learning.layers import ResidualMLP, stack
from genbayes.learning.training import FitConfig, FitRecord, _has_settled, is_behind, train

CONFIG = FitConfig(
    members=3, width=16, depth=1, max_epochs=25, batch_size=8, patience=3, learning_rate=1e-2, validation_fraction=0.25
)
N = 200
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(N, 2)).astype(np.float32)
LABELS = (np.sin(2 * INPUTS[:, :1]) + 0.3 * RNG.normal(size=(N, 1))).astype(np.float32)


def squared_error(module: Any, rows: jax.Array, data: Any, key: jax.Array) -> jax.Array:
    del key
    inputs, labels = data
    return jnp.mean((jax.vmap(module)(inputs[rows]) - labels[rows]) ** 2)


def fit(
    config: FitConfig,
    labels: np.ndarray = LABELS,
    seed: int = 0,
    rival: FitRecord | None = None,
    inputs: np.ndarray = INPUTS,
) -> tuple[Any, FitRecord, Folds]:
    folds = Folds.make(np.arange(len(inputs)), config, seed)
    rng = np.random.default_rng(seed)
    modules = stack([ResidualMLP(2, 1, config.width, config.depth, rng=rng) for _ in range(config.members)])
    data = (jnp.asarray(inputs), jnp.asarray(labels))
    modules, record = train(
        modules, squared_error, data, folds.train, folds.validation, config,
        rng=rng, name="test", loss_name="squared error", rival=rival,
    )  # fmt: skip
    return modules, record, folds


def validation_losses(modules: Any, folds: Folds, labels: np.ndarray = LABELS) -> np.ndarray:
    weights, static = eqx.partition(modules, eqx.is_array)
    values = []
    for k, rows in enumerate(folds.validation):
        module = eqx.combine(jax.tree.map(lambda leaf, k=k: leaf[k], weights), static)
        predicted = np.asarray(jax.vmap(module)(jnp.asarray(INPUTS[rows])), np.float64)
        values.append(np.mean((predicted - labels[rows]) ** 2))
    return np.array(values)


@pytest.fixture(scope="module")
def fitted() -> tuple[Any, FitRecord, Folds]:
    return fit(CONFIG)


def test_the_best_epochs_weights_are_kept(fitted: tuple[Any, FitRecord, Folds]) -> None:
    modules, record, folds = fitted
    members = np.arange(CONFIG.members)
    np.testing.assert_allclose(
        validation_losses(modules, folds), record.validation_loss[members, record.best_epoch], rtol=1e-4
    )
    np.testing.assert_array_equal(record.best_epoch, np.nanargmin(record.validation_loss, axis=1))
    assert np.all(record.best_epoch > 0)


def test_training_learns(fitted: tuple[Any, FitRecord, Folds]) -> None:
    _, record, folds = fitted
    zero = [np.mean(LABELS[rows] ** 2) for rows in folds.validation]
    # Column 0: before the first step, when the network is zero.
    np.testing.assert_allclose(record.validation_loss[:, 0], zero, rtol=1e-5)
    best = np.nanmin(record.validation_loss, axis=1)
    # The noise's variance is 0.09 and the signal's about 0.5; 50 held-out rows know a mean square to a fifth.
    assert np.all(best < 0.6 * np.array(zero))
    assert best.mean() > 0.09 * 0.5


def test_losses_after_a_member_stopped_are_nan(fitted: tuple[Any, FitRecord, Folds]) -> None:
    _, record, _ = fitted
    assert record.train_loss.shape[1] + 1 == record.validation_loss.shape[1]
    stopped = 0
    for k in range(CONFIG.members):
        last = int(record.best_epoch[k]) + CONFIG.patience
        assert np.all(np.isfinite(record.validation_loss[k, : last + 1]))
        assert np.all(np.isnan(record.validation_loss[k, last + 1 :]))
        assert np.all(np.isnan(record.train_loss[k, last:]))
        stopped += last < record.train_loss.shape[1]
    # Or nothing was tested.
    assert stopped > 0


@pytest.mark.parametrize("epochs", [1, 7, 13])
def test_no_more_epochs_than_asked_for(epochs: int) -> None:
    _, record, _ = fit(replace(CONFIG, members=1, max_epochs=epochs, patience=100))
    assert record.train_loss.shape == (1, epochs)
    assert record.validation_loss.shape == (1, epochs + 1)
    assert np.all(np.isfinite(record.validation_loss))
    assert 0 <= record.best_epoch[0] <= epochs


def test_a_fit_ends_where_it_falls_behind_its_rival(fitted: tuple[Any, FitRecord, Folds]) -> None:
    patient = replace(CONFIG, patience=100)
    whole = fit(patient)[1]
    # Against itself it is behind nowhere, and against one that stopped early in epochs that are not known.
    for rival in (whole, fitted[1], replace(whole, validation_loss=1.04 * whole.validation_loss)):
        np.testing.assert_array_equal(fit(patient, rival=rival)[1].validation_loss, whole.validation_loss)
    ahead = replace(whole, validation_loss=whole.validation_loss / 1.06)
    _, record, _ = fit(patient, rival=ahead)
    # 26 validations in six blocks of five, of which the second one ends at the tenth.
    np.testing.assert_array_equal(record.validation_loss, whole.validation_loss[:, :10])


def test_behind_are_all_members_over_the_last_five_epochs() -> None:
    others = np.ones((3, 30))
    behind = np.full((3, 12), 1.1)
    assert is_behind(behind, others)
    assert not is_behind(behind[:, :9], others)
    assert not is_behind(behind, others[:, :11])
    assert is_behind(behind - 0.07, others)
    assert not is_behind(behind - 0.085, others)
    # What was before the last five does not count; one member that is not behind does, and one that has stopped.
    behind[:, :7] = 0.0
    assert is_behind(behind, others)
    for better in (0.99, np.nan):
        one = behind.copy()
        one[1, 7:] = better
        assert not is_behind(one, others)


@pytest.mark.parametrize(("first", "trains"), [(0, True), (CONFIG.max_epochs - 1, True), (CONFIG.max_epochs, False)])
def test_a_block_trains_nothing_behind_the_last_epoch(first: int, trains: bool) -> None:
    config = replace(CONFIG, patience=100)
    folds, rng = Folds.make(np.arange(N), config, 0), np.random.default_rng(0)
    modules = stack([ResidualMLP(2, 1, CONFIG.width, CONFIG.depth, rng=rng) for _ in range(CONFIG.members)])
    weights, static = eqx.partition(modules, eqx.is_inexact_array)
    before, order = training._start(weights, config), training._order(folds.train, 5, config, rng)
    data, held_out = (jnp.asarray(INPUTS), jnp.asarray(LABELS)), jnp.asarray(folds.validation)
    after, (train_loss, validation_loss) = training._epochs(
        before, weights, static, squared_error, data, order, held_out, jax.random.key(0), jnp.asarray(first), config
    )
    assert np.any(np.asarray(after.weights) != np.asarray(before.weights)) == trains
    # Every epoch is validated, up to the one behind the last.
    epochs = first + np.arange(5)
    np.testing.assert_array_equal(np.isfinite(train_loss[:, 0]), epochs < CONFIG.max_epochs)
    np.testing.assert_array_equal(np.isfinite(validation_loss[:, 0]), epochs <= CONFIG.max_epochs)


def test_equal_seeds_give_equal_fits(fitted: tuple[Any, FitRecord, Folds]) -> None:
    again = fit(CONFIG)[1]
    np.testing.assert_array_equal(again.validation_loss, fitted[1].validation_loss)


def test_outcome_names_what_went_wrong() -> None:
    labels = LABELS.copy()
    labels[:] = np.nan
    record = fit(replace(CONFIG, max_epochs=2), labels)[1]
    assert not record.outcome.ok
    assert "validation loss is not finite" in str(record.outcome)
    steep = replace(CONFIG, max_epochs=3, learning_rate=1e-3)
    assert "raise FitConfig.max_epochs" in str(fit(steep)[1].outcome)


def test_folds_partition_the_rows_and_take_turns() -> None:
    rows = np.arange(100, 200)
    folds = Folds.make(rows, FitConfig(members=12, validation_fraction=0.1), seed=0)
    for train_rows, validation_rows in zip(folds.train, folds.validation, strict=True):
        np.testing.assert_array_equal(np.sort(np.concatenate([train_rows, validation_rows])), rows)
    # Ten members of a tenth each use every row once; the eleventh starts again.
    np.testing.assert_array_equal(np.sort(folds.validation[:10].ravel()), rows)
    np.testing.assert_array_equal(folds.validation[10], folds.validation[0])
    other = Folds.make(rows, FitConfig(validation_fraction=0.1), seed=1)
    assert not np.array_equal(other.validation[0], folds.validation[0])


def test_folds_need_enough_rows() -> None:
    with pytest.raises(ValueError, match=r"more simulations: 3 succeeded, of which 2"):
        Folds.make(np.arange(3), FitConfig(), seed=0)
    assert Folds.make(np.arange(4), FitConfig(members=2), seed=0).train.shape == (2, 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            (name, 0)
            for name in ("members", "width", "depth", "batch_size", "least_steps", "max_epochs", "patience", "targets")
        ),
        ("members", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("noise_scale", -1.0),
        ("noise_targets", -1),
        ("validation_fraction", 0.0),
        ("validation_fraction", 1.0),
        ("validation_fraction", float("nan")),
    ],
)
def test_config_is_checked(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"FitConfig: {field} must .*got {value!r}"):
        FitConfig(**{field: value})


def test_the_rows_decide_how_many_a_step_reads() -> None:
    sizes = {n: FitConfig().batch_of(n) for n in (20, 450, 18_000, 1_000_000)}
    assert sizes == {20: 20, 450: 32, 18_000: 60, 1_000_000: 256}
    assert [FitConfig(batch_size=100).batch_of(n) for n in (20, 450, 1_000_000)] == [20, 100, 100]
    lowered = FitConfig(batch_size=64, least_steps=60)
    assert [lowered.batch_of(n) for n in (12, 270, 2700, 9000)] == [12, 16, 45, 64]


def test_few_rows_are_trained_on_until_the_noise() -> None:
    """Default settings reach the noise of a bent function from 400 rows; a few large batches stop far above it."""
    inputs = np.random.default_rng(1).uniform(-1, 1, (400, 2)).astype(np.float32)
    noise = 0.05
    labels = np.sin(4 * inputs[:, :1] + 2 * inputs[:, 1:]) + noise * np.random.default_rng(2).normal(size=(400, 1))
    labels = labels.astype(np.float32)

    def best(config: FitConfig) -> float:
        record = fit(config, labels, inputs=inputs)[1]
        return float(np.nanmin(record.validation_loss, axis=1).mean())

    # Twice the noise's variance for what 360 rows leave open; the labels' own is 0.5.
    assert best(FitConfig(members=2)) < 2 * noise**2
    assert best(FitConfig(members=2, batch_size=256, learning_rate=2e-3)) > 4 * noise**2


def test_members_settle_together() -> None:
    config = FitConfig(patience=10)
    falling = np.linspace(2.0, 1.0, 21) + np.array([[0.0], [0.1], [0.2]])
    assert not _has_settled(falling, falling.min(axis=1), config)
    # From the tenth epoch on nothing is gained but by one member's chance, in the last one.
    flat = np.maximum(falling, falling[:, 10:11])
    flat[0, 20] -= 0.01
    flat[1:, 11:] += 0.02
    assert np.argmin(flat[0]) == 20
    assert _has_settled(flat, flat.min(axis=1), config)
    assert not _has_settled(flat[:, :20], flat[:, :20].min(axis=1), config)
    # Those that have stopped, or never had a finite loss, stand still.
    stopped = np.where((np.arange(21) > 15) & (np.arange(3) == 1)[:, None], np.nan, falling)
    assert not _has_settled(stopped, np.nanmin(stopped, axis=1), config)
    assert _has_settled(np.full((3, 21), np.nan), np.full(3, np.inf), config)
