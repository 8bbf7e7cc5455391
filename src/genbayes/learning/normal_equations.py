"""What least squares needs to know of rows, and ridge regressions by generalized cross-validation from it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from .row_blocks import blocks

# Factor by which generalized cross-validation counts degrees of freedom (Kim and Gu 2004).
_INFLATION = 1.4
# Penalties of ridge regression, per row; the last one is the constant fit.
_PENALTIES = np.array([*np.logspace(-8, 4, 49), np.inf])
# Rows that are taken at a time: with some hundred features they stay in the processor's cache.
_ROWS_AT_A_TIME = 1024
# Eigenvalues and eigenvectors.
Spectrum: TypeAlias = tuple[Float[np.ndarray, " size"], Float[np.ndarray, "size size"]]


class NormalEquations(NamedTuple):
    """What least squares needs to know of rows: the products of centred features and labels.

    Leading features are those of a lower degree: their products are a corner of all.

    Attributes:
        n: number of rows.
        weight: sum of squares of the column that the intercept multiplies; n where that is 1.
        means: of the features.
        label_means: of the labels.
        products: of the features.
        crossed: of features and labels.
        total: squares of the labels.
    """

    n: int
    weight: float
    means: Float[np.ndarray, " size"]
    label_means: Float[np.ndarray, " k"]
    products: Float[np.ndarray, "size size"]
    crossed: Float[np.ndarray, "size k"]
    total: Float[np.ndarray, " k"]

    @classmethod
    def of(
        cls,
        z: Float[np.ndarray, "n size"],
        labels: Float[np.ndarray, "n k"],
        ones: Float[np.ndarray, " n"] | None = None,
        rows: Int[np.ndarray, " m"] | None = None,
    ) -> "NormalEquations":
        """Sums over rows.

        Args:
            z: features, (n, size).
            labels: to be predicted, (n, k).
            ones: the column that the intercept multiplies, where rows were whitened; 1 if not given.
            rows: numbers of the rows that count, all if not given. They are never copied all at once.
        """
        parts = blocks(len(z), rows, at_most=_ROWS_AT_A_TIME)
        return cls.sum(cls._of_block(z[part], labels[part], None if ones is None else ones[part]) for part in parts)

    @classmethod
    def weighted(
        cls,
        z: Float[np.ndarray, "n size"],
        labels: Float[np.ndarray, "n k"],
        roots: Float[np.ndarray, " n"],
        rows: Int[np.ndarray, " m"] | None = None,
    ) -> "NormalEquations":
        """Those of rows times the square roots of their weights, as `of` of some rows."""
        parts = blocks(len(z), rows, at_most=_ROWS_AT_A_TIME)
        by_block = ((roots[part], z[part], labels[part]) for part in parts)
        return cls.sum(cls._of_block(root[:, None] * a, root[:, None] * b, root) for root, a, b in by_block)

    @classmethod
    def _of_block(
        cls,
        z: Float[np.ndarray, "n size"],
        labels: Float[np.ndarray, "n k"],
        ones: Float[np.ndarray, " n"] | None,
    ) -> "NormalEquations":
        ones = np.ones(len(z)) if ones is None else ones
        weight = float(ones @ ones)
        # Means first: what is left of large squares would be nothing.
        means, label_means = ones @ z / weight, ones @ labels / weight
        away, left = z - np.outer(ones, means), labels - np.outer(ones, label_means)
        return cls(len(z), weight, means, label_means, away.T @ away, away.T @ left, np.sum(left**2, axis=0))

    @staticmethod
    def sum(parts: "Iterable[NormalEquations]") -> "NormalEquations":
        """Those of the rows of all parts."""
        return reduce(NormalEquations.joined, parts)

    def of_other_labels(self, z: Float[np.ndarray, "n size"], labels: Float[np.ndarray, "n k"]) -> "NormalEquations":
        """Those of the same features, all rows of weight 1, with other labels: the products are known already."""
        label_means = labels.mean(axis=0)
        left = labels - label_means
        # What is left of labels has the mean 0, and so the means of the features do not matter.
        return self._replace(label_means=label_means, crossed=z.T @ left, total=np.sum(left**2, axis=0))

    def joined(self, other: "NormalEquations") -> "NormalEquations":
        """Those of the rows of both: sums around the joint means (Chan, Golub, LeVeque 1983)."""
        weight = self.weight + other.weight
        away, left = other.means - self.means, other.label_means - self.label_means
        share, between = other.weight / weight, self.weight * other.weight / weight
        return NormalEquations(
            self.n + other.n,
            weight,
            self.means + share * away,
            self.label_means + share * left,
            self.products + other.products + between * np.outer(away, away),
            self.crossed + other.crossed + between * np.outer(away, left),
            self.total + other.total + between * left**2,
        )

    def spectrum(self, size: int) -> Spectrum:
        """Eigenvalues and eigenvectors of the products of the first `size` features."""
        eigenvalues, vectors = np.linalg.eigh(self.products[:size, :size])
        return np.maximum(eigenvalues, 0.0), vectors

    def solved(
        self, size: int, spectrum: Spectrum | None = None
    ) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k size"], Float[np.ndarray, " k"]]:
        """Ridge regression with one penalty per output, by generalized cross-validation (Golub, Heath, Wahba 1979).

        Minimises ||labels - intercept ones - z slopes||^2 + penalty ||slopes||^2. The penalty minimises the criterion
        RSS / (n - 1.4 df)^2 over a grid, df = 1 + sum_i e_i / (e_i + penalty) with the eigenvalues e of z^T z. Degrees
        of freedom count 1.4 times: the criterion itself chooses too many in one sample of ten (Kim and Gu 2004).

        Args:
            size: number of leading features.
            spectrum: of so many, where it is known; it takes most of the time.

        Returns:
            Intercept, slopes, and the mean squared error that generalized cross-validation expects of new rows.
        """
        n = self.n
        eigenvalues, vectors = self.spectrum(size) if spectrum is None else spectrum
        projected = vectors.T @ self.crossed[:size]
        inverse = 1 / (eigenvalues + n * _PENALTIES[:, None])
        left = np.maximum(self.total - (2 * inverse - eigenvalues * inverse**2) @ projected**2, 0.0)
        freedom = _INFLATION * (1 + inverse @ eigenvalues)
        scores = left / np.maximum(n - freedom, 1.0)[:, None] ** 2
        best = np.argmin(scores, axis=0)
        slopes = (vectors @ (inverse[best].T * projected)).T
        return self.label_means - slopes @ self.means[:size], slopes, n * np.min(scores, axis=0)

    def solved_best(
        self, sizes: Sequence[int], spectra: Mapping[int, Spectrum] | None = None
    ) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k most"], Int[np.ndarray, " k"]]:
        """The fit of the number of features that predicts each output best, by generalized cross-validation.

        Args:
            sizes: the numbers of features.
            spectra: of so many, where they are known.

        Returns:
            Intercepts, slopes padded by zeros, and how many slopes there are, for each output.
        """
        fits = [self.solved(size, None if spectra is None else spectra[size]) for size in sizes]
        best = np.argmin(np.stack([score for _, _, score in fits]), axis=0)
        intercept, slopes = np.zeros(len(best)), np.zeros((len(best), max(sizes)))
        for number, (constants, of_size, _) in enumerate(fits):
            chosen = best == number
            intercept[chosen], slopes[chosen, : of_size.shape[1]] = constants[chosen], of_size[chosen]
        return intercept, slopes, np.array(sizes)[best]

    def residual(self, slopes: Float[np.ndarray, "k size"]) -> Float[np.ndarray, " k"]:
        """The standard deviation that the first features with given slopes leave of each label, 1 where it is 0.

        Less than a millionth of the label's own is rounding.
        """
        size = slopes.shape[1]
        fitted = np.sum((slopes @ self.products[:size, :size] - 2 * self.crossed[:size].T) * slopes, axis=1)
        residual, floor = (
            np.sqrt(np.maximum(part, 0.0) / self.n) for part in (self.total + fitted, 1e-12 * self.total)
        )
        return np.where(residual > np.maximum(floor, 1e-30), residual, np.where(floor > 0, floor, 1.0))


class MemberEquations(NamedTuple):
    """Of all rows, and of each member's training rows."""

    total: NormalEquations
    members: tuple[NormalEquations, ...]


def equations_of_members(
    n: int, train_rows: Int[np.ndarray, "members n_train"], equations_of: Callable[[np.ndarray], NormalEquations]
) -> MemberEquations:
    """The normal equations of all rows, and those of each member's training rows; every row is read once.

    Members share most of their rows: those that the same members train on are summed up first.

    Args:
        n: number of rows.
        train_rows: of every member.
        equations_of: the normal equations of some rows, by their numbers.
    """
    trained = np.zeros((len(train_rows), n), bool)
    for own, rows in zip(trained, train_rows, strict=True):
        own[rows] = True
        assert own.sum() == len(rows)  # one that comes twice would count once
    group = np.zeros(n, np.int64)
    for own in trained:
        group = np.unique(2 * group + own, return_inverse=True)[1]
    groups = [np.flatnonzero(group == number) for number in range(int(group.max()) + 1)]
    equations = [equations_of(rows) for rows in groups]
    members = (
        NormalEquations.sum(part for part, rows in zip(equations, groups, strict=True) if own[rows[0]])
        for own in trained
    )
    return MemberEquations(NormalEquations.sum(equations), tuple(members))
