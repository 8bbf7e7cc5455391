"""Which rows every member of an ensemble trains on, and which it holds out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from .training import FitConfig


@dataclass(frozen=True)
class Folds:
    """Each ensemble member's training and validation rows, (members, n_train) and (members, n_validation).

    Where rows share random numbers it is whole units of them that are held out.

    Attributes:
        resampled: whether training rows are drawn with replacement, so that members differ by what the rows leave open.
    """

    train: np.ndarray
    validation: np.ndarray
    resampled: bool = False

    @classmethod
    def of_rounds(
        cls, round_of_row: Int[np.ndarray, " n"], config: FitConfig, seed: int, *, resampled: bool = False
    ) -> "Folds":
        """Each round of simulations is divided by itself: what a member held out before, it holds out again."""
        make = cls.resample if resampled else cls.make
        rounds = np.unique(round_of_row) if len(round_of_row) else [0]
        parts = [make(np.flatnonzero(round_of_row == value), config, seed) for value in rounds]
        train = np.concatenate([part.train for part in parts], axis=1)
        validation = np.concatenate([part.validation for part in parts], axis=1)
        return cls(train, validation, all(part.resampled for part in parts))

    @classmethod
    def make(cls, rows: Int[np.ndarray, " n"], config: FitConfig, seed: int | Sequence[int]) -> "Folds":
        """Members hold out successive stretches of one permutation, so no row is held out twice before all are once."""
        held_out = _held_out(rows, config)
        order = np.random.default_rng(seed).permutation(rows)
        train_rows, validation_rows = [], []
        for member in range(config.members):
            rolled = np.roll(order, -member * held_out)
            validation_rows.append(rolled[:held_out])
            train_rows.append(rolled[held_out:])
        return cls(np.stack(train_rows), np.stack(validation_rows))

    @classmethod
    def resample(cls, rows: Int[np.ndarray, " n"], config: FitConfig, seed: int | Sequence[int]) -> "Folds":
        """Members train on bootstrap samples, and validate on rows that theirs has missed.

        Each learns the noise of other rows, and their mean less of it: posterior means by the general network of a bent
        simulator were off by 0.11 instead of 0.16 standard deviations. Their disagreement is of the size of the
        ensemble's error, which that of members that share most rows is not. Over all members every row is drawn equally
        often (the balanced bootstrap of Davison, Hinkley, Schechtman 1986), so that they learn from all alike.
        """
        rng, held_out = np.random.default_rng(seed), _held_out(rows, config)
        drawn = rng.permutation(np.tile(rows, config.members)).reshape(config.members, len(rows))
        missed = [rng.permutation(np.setdiff1d(rows, one)) for one in drawn]
        # Of a few rows a sample may miss hardly one.
        held_out = min(held_out, *map(len, missed))
        if config.members == 1 or held_out < 2:
            return cls.make(rows, config, seed)
        return cls(drawn, np.stack([one[:held_out] for one in missed]), True)

    def unseen(self, rows: int) -> list[Int[np.ndarray, " _"]]:
        """Of 0, 1, ..., rows - 1, those that each member has not trained on."""
        return [np.setdiff1d(np.arange(rows), one) for one in self.train]


def _held_out(rows: Int[np.ndarray, " n"], config: FitConfig) -> int:
    """Number of rows that a member validates on."""
    held_out = max(2, round(config.validation_fraction * len(rows)))
    if len(rows) < held_out + 2:
        raise ValueError(
            f"fit_cost needs more simulations: {len(rows)} succeeded, of which {held_out} would be held out for "
            "validation."
        )
    return held_out
