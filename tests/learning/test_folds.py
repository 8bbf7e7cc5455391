"""Which rows members train on: samples with replacement, balanced over the members."""

import numpy as np
import pytest

from genbayes.learning.folds import Folds
from genbayes.learning.training import FitConfig

CONFIG = FitConfig(members=3)


def test_samples_are_balanced_and_leave_rows_to_validate_on() -> None:
    rows = np.arange(100, 1100)
    folds = Folds.resample(rows, CONFIG, 0)
    assert folds.train.shape == (3, 1000)
    assert folds.validation.shape == (3, 100)
    drawn, times = np.unique(folds.train, return_counts=True)
    np.testing.assert_array_equal(drawn, rows)
    assert np.all(times == 3)
    for train, validation in zip(folds.train, folds.validation, strict=True):
        assert not set(train) & set(validation)
        assert len(set(validation)) == 100
    # Rows that are drawn n times with probabilities 1/n, all but: 1 / e of them never, or (1 - 1/3)^3 with the balance.
    assert np.mean([len(np.unique(train)) / 1000 for train in folds.train]) == pytest.approx(1 - (2 / 3) ** 3, abs=0.03)


def test_the_spread_of_means_is_the_error_of_their_mean() -> None:
    # Means of samples: half of the squared difference of two is the variance of a mean of all, in expectation.
    config, values = FitConfig(members=2), np.random.default_rng(0).standard_normal(400)
    spread = [np.var(values[Folds.resample(np.arange(400), config, s).train].mean(1), ddof=1) for s in range(300)]
    # chi-square of one degree of freedom: a standard deviation of sqrt(2), over 300 seeds.
    assert np.mean(spread) == pytest.approx(values.var() / 400, rel=3 * np.sqrt(2 / 300))
    # The mutant, members that share most rows.
    shared = [np.var(values[Folds.make(np.arange(400), config, s).train].mean(1), ddof=1) for s in range(300)]
    assert np.mean(shared) < 0.3 * values.var() / 400


def test_rounds_are_sampled_by_themselves() -> None:
    first = Folds.of_rounds(np.zeros(100, int), CONFIG, 0, resampled=True)
    both = Folds.of_rounds(np.repeat([0, 1], [100, 40]), CONFIG, 0, resampled=True)
    np.testing.assert_array_equal(both.train[:, :100], first.train)
    assert np.all(both.train[:, 100:] >= 100)
    assert both.resampled
    for unseen, train in zip(both.unseen(140), both.train, strict=True):
        assert set(unseen) | set(train) == set(range(140))
        assert not set(unseen) & set(train)


def test_too_few_rows() -> None:
    with pytest.raises(ValueError, match="fit_cost needs more simulations: 3 succeeded, of which 2"):
        Folds.resample(np.arange(3), CONFIG, 0)
    # Of four a sample may miss none, and the members are divided as others are.
    folds = Folds.resample(np.arange(4), FitConfig(members=2), 0)
    for train, validation in zip(folds.train, folds.validation, strict=True):
        assert not set(train) & set(validation)
