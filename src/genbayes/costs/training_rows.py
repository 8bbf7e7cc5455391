"""The rows that a cost is fitted on, in the order and with the division that its networks need."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ..learning.folds import Folds
from ..learning.shared_noise import SharedNoise, grouped
from ..learning.training import FitConfig
from ..simulations.rows import Simulations


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """What the networks are fitted on.

    Attributes:
        rows: (n,), which simulations these are.
        theta: (n, dim), parameters, with known conditions behind them.
        x: (n, *x_shape), outputs, in data units.
        noise: which rows share random numbers.
        folds: units of rows of each ensemble member.
        x_of_prior: outputs of training rows that are draws of the prior.
    """

    rows: Int[np.ndarray, " n"]
    theta: Float[np.ndarray, "n dim"]
    x: Float[np.ndarray, "n *x_shape"]
    noise: SharedNoise
    folds: Folds
    x_of_prior: Float[np.ndarray, "prior_rows *x_shape"]

    @classmethod
    def of(
        cls,
        simulations: Simulations,
        config: FitConfig,
        seed: int,
        *,
        share_numbers: bool,
        resampled: bool = False,
        folds: Folds | None = None,
    ) -> "TrainingRows":
        """The simulations that succeeded; rows that share random numbers stand together where that is to be used.

        Args:
            simulations: of which these are some.
            config: see `FitConfig`.
            seed: of the folds.
            share_numbers: whether the regression can make something of rows that share random numbers.
            resampled: whether members train on samples of the rows, see `Folds.resample`.
            folds: of the rows that succeeded, where they have been made already: those of a part of a store.
        """
        rows = np.flatnonzero(simulations.ok)
        noise = SharedNoise.independent(len(rows))
        if share_numbers and folds is None:
            order, noise = grouped(simulations.round[rows], simulations.noise_block[rows])
            rows = rows[order]
        theta = np.asarray(simulations.inputs[rows], np.float32)
        x = simulations.x[rows]
        round_of_row = simulations.round[rows]
        if folds is None:
            folds = Folds.of_rounds(round_of_row[:: noise.size], config, seed, resampled=resampled)
        # The scale is that of draws of the prior alone: refinement must not change what a unit of the distance means.
        used = noise.rows(np.unique(folds.train))
        return cls(rows, theta, x, noise, folds, x[used[round_of_row[used] == round_of_row.min()]])

    @property
    def unseen(self) -> Sequence[Int[np.ndarray, " _"]]:
        """The rows that each member has not trained on."""
        if self.folds.resampled:
            return self.folds.unseen(len(self.rows))
        return list(self.noise.rows(self.folds.validation))
