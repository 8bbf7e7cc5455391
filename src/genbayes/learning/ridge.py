"""Polynomial ridge regression: one penalty and one degree per output, in closed form."""

from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..runtime.compiling import on_device
from .folds import Folds
from .layers import ResidualMLP, Standardiser, stack
from .mean_model import MeanModel
from .normal_equations import MemberEquations, NormalEquations, equations_of_members
from .polynomial import MOST_DEGREE, Polynomial, features_to
from .shared_noise import SharedNoise


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
        return self.of_standardised(self.standardise(theta))

    def of_standardised(self, z: Float[Array, " width"]) -> Float[Array, " k"]:
        """The prediction at one standardised parameter."""
        fit = self.ridge(z)
        return self.linked(fit if self.network is None else fit + jax.lax.stop_gradient(self.scale) * self.network(z))

    def linked(self, predictor: Float[Array, " k"]) -> Float[Array, " k"]:
        """The prediction of a linear predictor."""
        if self.log_link is None:
            return predictor
        # Far out in a prior's tails a polynomial leaves all that was simulated, and exp overflows single precision at
        # 88. The inner choice keeps the gradient of the others free of infinities.
        most = 80.0 if self.log_most is None else jax.lax.stop_gradient(jnp.minimum(self.log_most, 80.0))
        exponent = jnp.where(self.log_link > 0, jnp.minimum(predictor, most), 0.0)
        return jnp.where(self.log_link > 0, jnp.exp(exponent), predictor)

    def ridge(self, z: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The part that is solved for, not trained, at one standardised parameter."""
        basis, intercept, slopes = jax.lax.stop_gradient((self.basis, self.intercept, self.slopes))
        return intercept + basis(z) @ slopes.T


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


class PolynomialFit(NamedTuple):
    """Members without networks, each output of its own degree.

    Attributes:
        ensemble: the members.
        errors: on held-out rows, one member after the other.
        degree_of_each: degree of every output.
        features: of all rows, of the highest degree that the rows allow, in the order of their degrees.
        equations: of these features: of all rows, and of each member's training rows.
    """

    ensemble: RidgeResidual
    errors: Float[np.ndarray, "held_out k"]
    degree_of_each: Int[np.ndarray, " k"]
    features: Float[np.ndarray, "n size"]
    equations: MemberEquations


def fit_polynomials(
    standardise: Standardiser,
    z: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
    noise: SharedNoise,
    equations: MemberEquations | None = None,
) -> PolynomialFit:
    """Fits each output by the degree that predicts it best by generalized cross-validation.

    Args:
        standardise: fitted to the parameters.
        z: standardised parameters.
        labels: to be predicted.
        folds: units of rows of each member.
        noise: which rows share random numbers.
        equations: those of all rows of a store, where the rows are a part of them.
    """
    _, sizes, features = features_to(z, MOST_DEGREE, standardise.groups)
    if equations is None:
        equations = equations_of_rows(features, labels, folds, noise)
    scores = np.stack([equations.total.solved(size)[2] for size in sizes.values()])
    degree_of_each = np.array(list(sizes))[np.argmin(scores, axis=0)]
    degree = int(degree_of_each.max())
    members, k = folds.train.shape[0], labels.shape[1]
    intercept, slopes = np.zeros((members, k)), np.zeros((members, k, sizes[degree]))
    for value in np.unique(degree_of_each):
        which, size = np.flatnonzero(degree_of_each == value), sizes[int(value)]
        for member, of_member in enumerate(equations.members):
            fit = of_member.solved(size)
            intercept[member, which], slopes[member, which, :size] = fit[0][which], fit[1][which]
    errors = [
        labels[rows] - intercept[member] - features[rows, : sizes[degree]] @ slopes[member].T
        for member, rows in enumerate(noise.rows(folds.validation))
    ]
    ensemble = RidgeResidual(
        standardise=stack([standardise] * members),
        basis=stack([Polynomial.fit(z, degree, standardise.groups)] * members),
        intercept=on_device(intercept, np.float32),
        slopes=on_device(slopes, np.float32),
        scale=on_device(np.ones((members, k), np.float32)),
        network=None,
    )
    return PolynomialFit(ensemble, np.concatenate(errors), degree_of_each, features, equations)


def equations_of_rows(
    features: Float[np.ndarray, "n size"], labels: Float[np.ndarray, "n k"], folds: Folds, noise: SharedNoise
) -> MemberEquations:
    """The normal equations of features and labels, whitened where rows share random numbers."""
    ones, columns, outputs = noise.design(features, labels)
    return equations_of_members(
        len(columns), noise.rows(folds.train), lambda rows: NormalEquations.of(columns, outputs, ones, rows)
    )
