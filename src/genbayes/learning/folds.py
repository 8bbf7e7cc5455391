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
    """

    train: np.ndarray
    validation: np.ndarray

    @classmethod
    def of_rounds(cls, round_of_row: Int[np.ndarray, " n"], config: FitConfig, seed: int) -> "Folds":
        """Each round of simulations is divided by itself: what a member held out before, it holds out again."""
        rounds = np.unique(round_of_row) if len(round_of_row) else [0]
        parts = [cls.make(np.flatnonzero(round_of_row == value), config, seed) for value in rounds]
        train = np.concatenate([part.train for part in parts], axis=1)
        return cls(train, np.concatenate([part.validation for part in parts], axis=1))

    @classmethod
    def make(cls, rows: Int[np.ndarray, " n"], config: FitConfig, seed: int | Sequence[int]) -> "Folds":
        """Members hold out successive stretches of one permutation, so no row is held out twice before all are once."""
        n = len(rows)
        held_out = max(2, round(config.validation_fraction * n))
        if n < held_out + 2:
            raise ValueError(
                f"fit_cost needs more simulations: {n} succeeded, of which {held_out} would be held out for validation."
            )
        order = np.random.default_rng(seed).permutation(rows)
        train_rows, validation_rows = [], []
        for member in range(config.members):
            rolled = np.roll(order, -member * held_out)
            validation_rows.append(rolled[:held_out])
            train_rows.append(rolled[held_out:])
        return cls(np.stack(train_rows), np.stack(validation_rows))
