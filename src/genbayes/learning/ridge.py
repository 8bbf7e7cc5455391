"""Polynomial ridge regression: one penalty and one degree per output, in closed form."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..runtime.compiling import on_device
from .folds import Folds
from .layers import ResidualMLP, Standardiser, stack
from .mean_model import MeanModel
from .polynomial import MOST_DEGREE, Groups, Polynomial, degrees, features_to
from .row_blocks import blocks
from .shared_noise import SharedNoise

# Factor by which generalized cross-validation counts degrees of freedom (Kim and Gu 2004).
_INFLATION = 1.4
# Penalties of ridge regression, per row; the last one is the constant fit.
_PENALTIES = np.array([*np.logspace(-8, 4, 49), np.inf])
# Eigenvalues and eigenvectors.
Spectrum: TypeAlias = tuple[Float[np.ndarray, " size"], Float[np.ndarray, "size size"]]


class RidgeResidual(MeanModel):
    """intercept + slopes . basis(z(theta)) + scale * network(z(theta)); z standardises. Only the network is trained.

    There is no network where no output is worth one; an output that is not has scale 0. Of an output with a log link
    the prediction is the exponential of this.

    Attributes:
        standardise: z(theta).
        basis: features of z.
        intercept: of every output.
        slopes: of every output, one number for each feature.
        scale: what the network's outputs are multiplied by: the residual standard deviation of the ridge fit.
        network: function of z, or None.
        log_link: 1 for an output with a log link, 0 for the others; None where there is none.
        log_most: logarithm of the largest value that an output with a log link was fitted to, and may predict.
    """

    basis: Polynomial
    intercept: Float[Array, "*members k"]
    slopes: Float[Array, "*members k size"]
    scale: Float[Array, "*members k"]
    network: ResidualMLP | None
    log_link: Float[Array, "*members k"] | None = None
    log_most: Float[Array, "*members k"] | None = None

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.intercept.shape[-1]

    @property
    def network_share(self) -> float:
        """Share of the outputs that a network predicts."""
        return 0.0 if self.network is None else float(np.mean(np.asarray(self.scale) > 0))

    @property
    def is_multiplicative(self) -> bool:
        """Whether outputs may have a log link."""
        return self.log_link is not None

    def mean_of_members(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The members' mean prediction at one parameter.

        Their ridge fits are merged: members share a basis, and the mean of linear functions costs as much as one.
        """
        merged = replace(self, network=None).merged()
        z = merged.standardise(theta)
        ridge = merged.ridge(z)
        if self.network is None:
            return merged.linked(ridge)
        networks = eqx.filter_vmap(lambda network, scale: scale * network(z))(self.network, self.scale)
        return merged.linked(ridge + jnp.mean(networks, axis=0))

    def __call__(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The prediction at one parameter."""
        z = self.standardise(theta)
        fit = self.ridge(z)
        return self.linked(fit if self.network is None else fit + jax.lax.stop_gradient(self.scale) * self.network(z))

    def linked(self, predictor: Float[Array, " k"]) -> Float[Array, " k"]:
        """The prediction of a linear predictor."""
        if self.log_link is None:
            return predictor
        # Far out in a prior's tails a polynomial leaves all that was simulated, and exp overflows single precision at
        # 88. The inner choice keeps the gradient of the others free of infinities.
        most = 80.0 if self.log_most is None else jnp.minimum(self.log_most, 80.0)
        exponent = jnp.where(self.log_link > 0, jnp.minimum(predictor, most), 0.0)
        return jnp.where(self.log_link > 0, jnp.exp(exponent), predictor)

    def ridge(self, z: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The part that is solved for, not trained, at one standardised parameter."""
        basis, intercept, slopes = jax.lax.stop_gradient((self.basis, self.intercept, self.slopes))
        return intercept + slopes @ basis(z)


def log_linear_ensemble(
    standardise: Standardiser,
    basis: Polynomial,
    intercept: Float[np.ndarray, "members k"],
    slopes: Float[np.ndarray, "members k size"],
    log_most: Float[Array, " k"],
) -> RidgeResidual:
    """Members that predict exp(intercept + slopes . basis(z)), such as variances.

    Args:
        standardise: z(theta), the same for all members.
        basis: features of z, the same for all members.
        intercept: of every member and output.
        slopes: of every member and output.
        log_most: logarithm of the largest value that each output may have.
    """
    members, k = intercept.shape
    return RidgeResidual(
        standardise=stack([standardise] * members),
        basis=stack([basis] * members),
        intercept=on_device(intercept, np.float32),
        slopes=on_device(slopes, np.float32),
        scale=on_device(np.ones((members, k), np.float32)),
        network=None,
        log_link=on_device(np.ones((members, k), np.float32)),
        log_most=on_device(np.tile(log_most, (members, 1))),
    )


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
        """See `ridge`; of some rows, where they are given, which are never copied all at once."""
        ones = np.ones(len(z)) if ones is None else ones
        parts = blocks(len(z), rows)
        size, k = z.shape[1], labels.shape[1]
        # Means first: what is left of large squares would be nothing.
        weight, means, label_means = 0.0, np.zeros(size), np.zeros(k)
        for part in parts:
            column = ones[part]
            weight += column @ column
            means += column @ z[part]
            label_means += column @ labels[part]
        means, label_means = means / weight, label_means / weight
        products, crossed, total = np.zeros((size, size)), np.zeros((size, k)), np.zeros(k)
        for part in parts:
            away, left = z[part] - np.outer(ones[part], means), labels[part] - np.outer(ones[part], label_means)
            products += away.T @ away
            crossed += away.T @ left
            total += np.sum(left**2, axis=0)
        return cls(len(z) if rows is None else len(rows), float(weight), means, label_means, products, crossed, total)

    def of_other_labels(self, z: Float[np.ndarray, "n size"], labels: Float[np.ndarray, "n k"]) -> "NormalEquations":
        """Those of the same features, all rows of weight 1, with other labels: the products are known already."""
        parts = blocks(len(z), None)
        label_means = sum((np.ones(len(labels[part])) @ labels[part] for part in parts), np.zeros(labels.shape[1]))
        label_means = label_means / self.weight
        crossed, total = np.zeros((z.shape[1], labels.shape[1])), np.zeros(labels.shape[1])
        for part in parts:
            left = labels[part] - label_means
            crossed += (z[part] - self.means).T @ left
            total += np.sum(left**2, axis=0)
        return self._replace(label_means=label_means, crossed=crossed, total=total)

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
        """Intercept, slopes of the first `size` features, and the mean squared error expected of new rows.

        Args:
            size: number of features.
            spectrum: of so many, where it is known; it takes most of the time.
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


def ridge(
    z: Float[np.ndarray, "n size"],
    labels: Float[np.ndarray, "n k"],
    ones: Float[np.ndarray, " n"] | None = None,
    rows: Int[np.ndarray, " m"] | None = None,
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k size"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Ridge regression with one penalty per output, by generalized cross-validation (Golub, Heath, Wahba 1979).

    Minimises ||labels - intercept ones - z slopes||^2 + penalty ||slopes||^2. The penalty minimises the criterion
    RSS / (n - 1.4 df)^2 over a grid, df = 1 + sum_i e_i / (e_i + penalty) with the eigenvalues e of z^T z. Degrees of
    freedom count 1.4 times: the criterion itself chooses too many in one sample of ten (Kim and Gu 2004).

    Args:
        z: features, (n, size).
        labels: to be predicted, (n, k).
        ones: the column that the intercept multiplies, where rows were whitened; 1 if not given.
        rows: numbers of the rows that are fitted, of all if not given.

    Returns:
        Intercept, slopes, the residual standard deviation of each output (1 where it is 0), and the mean squared error
        that generalized cross-validation expects of new rows.
    """
    ones = np.ones(len(z)) if ones is None else ones
    equations = NormalEquations.of(z, labels, ones, rows)
    intercept, slopes, expected = equations.solved(z.shape[1])
    squares = np.zeros(labels.shape[1])
    for part in blocks(len(z), rows):
        squares += np.sum((labels[part] - np.outer(ones[part], intercept) - z[part] @ slopes.T) ** 2, axis=0)
    residual = np.sqrt(squares / equations.n)
    floor = 1e-6 * np.sqrt(equations.total / equations.n)
    scale = np.where(residual > np.maximum(floor, 1e-30), residual, np.where(floor > 0, floor, 1.0))
    return intercept, slopes, scale, expected


def best_degrees(
    z: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    noise: SharedNoise,
    groups: Groups = (),
    equations: NormalEquations | None = None,
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "n size"]]:
    """The degree that predicts each output best by generalized cross-validation, and the features of all rows.

    The features are those of the highest degree that the rows allow, in the order of their degrees. Where the rows are
    a part of those of a store, the normal equations of all decide.
    """
    _, sizes, features = features_to(z, MOST_DEGREE, groups)
    if equations is None:
        ones, columns, outputs = noise.design(features, labels)
        equations = NormalEquations.of(columns, outputs, ones)
    scores = np.stack([equations.solved(size)[2] for size in sizes.values()])
    return np.array(list(sizes))[np.argmin(scores, axis=0)], features


def polynomial_ensemble(
    standardise: Standardiser,
    z: Float[np.ndarray, "n dim"],
    features: Float[np.ndarray, "n size"],
    degree_of_each: Int[np.ndarray, " k"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
    noise: SharedNoise,
    equations: Sequence[NormalEquations] | None = None,
) -> tuple[RidgeResidual, Float[np.ndarray, "held_out k"]]:
    """Members without networks, each output of its own degree, and their errors on held-out rows.

    Args:
        standardise: fitted to the parameters.
        z: standardised parameters.
        features: of all rows, from `best_degrees`.
        degree_of_each: degree of every output, from `best_degrees`.
        labels: to be predicted.
        folds: units of rows of each member.
        noise: which rows share random numbers.
        equations: of each member's training rows of a store, where the rows are a part of them.
    """
    sizes, degree = degrees(z.shape[1], len(z), standardise.groups), int(degree_of_each.max())
    features = features[:, : sizes[degree]]
    ones, columns, outputs = noise.design(features, labels)
    members, k = folds.train.shape[0], labels.shape[1]
    intercept, slopes = np.zeros((members, k)), np.zeros((members, k, features.shape[1]))
    for value in np.unique(degree_of_each):
        which, size = np.flatnonzero(degree_of_each == value), sizes[int(value)]
        for member, rows in enumerate(noise.rows(folds.train)):
            if equations is None:
                fit = ridge(columns[:, :size], outputs if len(which) == k else outputs[:, which], ones, rows)
            else:
                fit = [part[which] for part in equations[member].solved(size)]
            intercept[member, which], slopes[member, which, :size] = fit[0], fit[1]
    errors = [
        labels[rows] - intercept[member] - features[rows] @ slopes[member].T
        for member, rows in enumerate(noise.rows(folds.validation))
    ]
    solved = RidgeResidual(
        standardise=stack([standardise] * members),
        basis=stack([Polynomial.fit(z, degree, standardise.groups)] * members),
        intercept=on_device(intercept, np.float32),
        slopes=on_device(slopes, np.float32),
        scale=on_device(np.ones((members, k), np.float32)),
        network=None,
    )
    return solved, np.concatenate(errors)
