"""Rows whose runs shared their random numbers, and least squares that knows it.

Two runs with the same random numbers differ by their parameters alone where the noise is added to the output, and by
little else where it is not (common random numbers: Glasserman and Yao 1992). A posterior needs differences above all,
so such rows tell it far more than independent ones, if their correlation is known: generalised least squares (Aitken
1935).
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

# Least share of the noise variance that is a row's own: below it the rows of a unit are as good as without noise, and
# float32 ends there.
_LEAST_OWN = 1e-3


@dataclass(frozen=True, eq=False)
class SharedNoise:
    """How the noise of rows hangs together: they come in units of `size` rows, one behind the other.

    The noise of a unit's rows is a part that they share, where the unit is `shared`, plus a part of each row's own.

    Attributes:
        size: rows of a unit.
        shared: (units,), whether the rows of a unit share their random numbers, or merely stand together.
        own: of the noise variance, the share that is a row's own; 1 where nothing is known.
    """

    size: int
    shared: Bool[np.ndarray, " units"]
    own: float = 1.0

    @classmethod
    def independent(cls, n: int) -> "SharedNoise":
        """The noise of n rows that share nothing."""
        return cls(1, np.zeros(n, bool))

    def rows(self, units: Int[np.ndarray, "*members m"]) -> Int[np.ndarray, "*members rows"]:
        """The rows of units, in their order."""
        within = np.asarray(units)[..., None] * self.size + np.arange(self.size)
        return within.reshape(*np.shape(units)[:-1], -1)

    def factors(self, units: Int[np.ndarray, " m"]) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """What deviations from a unit's mean, and the mean, are multiplied by, so that all rows have equal noise.

        The covariance of a unit of m rows is own I + (1 - own) 1 1^T, with the eigenvalue own on deviations from the
        mean and own + m (1 - own) on the mean; the factors are their inverse square roots.
        """
        shared = self.shared[units]
        mean_variance = self.own + self.size * (1 - self.own)
        return np.where(shared, self.own**-0.5, 1.0), np.where(shared, mean_variance**-0.5, 1.0)

    def whitened(
        self, values: Float[np.ndarray, "rows k"], units: Int[np.ndarray, " m"]
    ) -> Float[np.ndarray, "rows k"]:
        """Rows of the given units, linearly changed so that their noise is independent and of equal variance."""
        if self.own == 1.0:
            return values
        return self._scaled(values, *self.factors(units))

    def unwhitened(
        self, values: Float[np.ndarray, "rows k"], units: Int[np.ndarray, " m"]
    ) -> Float[np.ndarray, "rows k"]:
        """The inverse of `whitened`."""
        if self.own == 1.0:
            return values
        within, of_mean = self.factors(units)
        return self._scaled(values, 1 / within, 1 / of_mean)

    def _scaled(
        self, values: Float[np.ndarray, "rows k"], within: Float[np.ndarray, " m"], of_mean: Float[np.ndarray, " m"]
    ) -> Float[np.ndarray, "rows k"]:
        """Rows unit by unit, deviations from the unit's mean and the mean each times its factor."""
        by_unit = values.reshape(len(within), self.size, -1)
        mean = by_unit.mean(axis=1, keepdims=True)
        scaled = within[:, None, None] * (by_unit - mean) + of_mean[:, None, None] * mean
        return scaled.reshape(values.shape)

    def constant(self, units: Int[np.ndarray, " m"]) -> Float[np.ndarray, " rows"]:
        """The constant 1 as a feature of the rows, changed like `whitened` changes them."""
        return np.repeat(self.factors(units)[1], self.size)

    def design(
        self, features: Float[np.ndarray, "rows size"], labels: Float[np.ndarray, "rows k"]
    ) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, "rows size"], Float[np.ndarray, "rows k"]]:
        """The constant, features and labels of all rows, changed so that ordinary least squares is right for them."""
        units = np.arange(len(self.shared))
        return self.constant(units), self.whitened(features, units), self.whitened(labels, units)

    def estimated(self, errors: Float[np.ndarray, "rows k"], units: Int[np.ndarray, " m"]) -> "SharedNoise":
        """The same with the own share that the errors of these units' rows show, if it is less than the one at hand.

        A fit's misfit counts as a row's own part, so every fit gives an upper bound, and the best the nearest. By
        analysis of variance; one number for all outputs, the mean of theirs.

        Args:
            errors: of rows on which the fit was not trained.
            units: whose they are.
        """
        of_unit = errors.reshape(len(units), self.size, -1)[self.shared[units]]
        if len(of_unit) < 2 or self.size < 2:
            return self
        means = of_unit.mean(axis=1)
        within = np.sum((of_unit - means[:, None]) ** 2, axis=(0, 1)) / (len(of_unit) * (self.size - 1))
        between = np.maximum(means.var(axis=0, ddof=1) - within / self.size, 0.0)
        known = within + between > 0
        if not known.any():
            return self
        own = float(np.mean(within[known] / (within + between)[known]))
        return replace(self, own=float(np.clip(own, _LEAST_OWN, self.own)))


def grouped(
    round_of_row: Int[np.ndarray, " n"], block: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " rows"], SharedNoise]:
    """An order of the rows in which those that share random numbers stand together, and what they share.

    Units have the size of a whole block, the largest. Rows of blocks that are not whole (a run failed) and rows with
    numbers of their own fill further units, those of a round by themselves, which share nothing; where there are
    blocks, the few rows that fill no unit are left out.

    Args:
        round_of_row: round of every row.
        block: number of the random numbers within the round; 0 where a row has its own.
    """
    _, which, counts = np.unique(
        np.stack([round_of_row, block], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    count = np.where(block > 0, counts[which.reshape(-1)], 1)
    size = int(count.max(initial=1))
    if size == 1:
        return np.arange(len(round_of_row)), SharedNoise.independent(len(round_of_row))
    whole = np.flatnonzero(count == size)
    whole = whole[np.lexsort((whole, block[whole], round_of_row[whole]))]
    units = []
    for value in np.unique(round_of_row):
        single = np.flatnonzero((round_of_row == value) & (count < size))
        units.append(single[: len(single) // size * size].reshape(-1, size))
    alone = np.concatenate(units)
    shared = np.repeat([False, True], [len(alone), len(whole) // size])
    return np.concatenate([alone.reshape(-1), whole]), SharedNoise(size, shared)
