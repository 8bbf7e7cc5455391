"""Distances of outputs compared coordinate by coordinate: vectors, time series, images."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .base import AdditiveDistance, HilbertDistance, need, replaced

Scale = Literal["prior_predictive"] | float | np.ndarray | list[float] | tuple[float, ...] | jax.Array


class MeanSquaredError(HilbertDistance):
    """Mean over coordinates of ((x - x_target) / scale)^2.

    Args:
        scale: one number, one per coordinate (the shape of an output), or "prior_predictive": the standard deviation
            of each coordinate over the training simulations.
    """

    scale: Array | None
    name: str = eqx.field(static=True)
    units: str = eqx.field(static=True)

    def __init__(self, scale: Scale = 1.0):
        self.scale, unit = _given_scale(scale)
        self.name = "mean_squared_error"
        self.units = "squared data units" if unit else "1 (squared multiples of the scale)"

    def fitted(self, x: np.ndarray) -> "MeanSquaredError":
        """Fills in a prior-predictive scale."""
        return replaced(self, scale=_fitted_scale(self.scale, x))

    def features(self, x: Float[Array, "*shape"]) -> Float[Array, " k"]:
        """The scaled coordinates over the root of their number."""
        return (x / need(self.scale, x)).reshape(-1) / np.sqrt(x.size)

    def self_term(self, x: Float[Array, "*shape"]) -> Float[Array, ""]:
        """Squared length of the features."""
        return jnp.sum(self.features(x) ** 2)

    def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
        """The distance of one output to one target."""
        return jnp.sum((self.features(x) - self.features(x_target)) ** 2)


class Mahalanobis(HilbertDistance):
    """Squared Mahalanobis distance (x - x_target)^T C^-1 (x - x_target) of vector outputs.

    Args:
        covariance: C, of shape (D, D), or "prior_predictive": the covariance of the training simulations.
    """

    whitening: Float[Array, "d d"] | None
    name: str = eqx.field(static=True, default="mahalanobis")
    units: str = eqx.field(static=True, default="1 (squared standard deviations, summed over coordinates)")

    def __init__(self, covariance: Literal["prior_predictive"] | np.ndarray | list[list[float]] | jax.Array):
        self.whitening = None if isinstance(covariance, str) else _whitening(np.asarray(covariance, np.float64))
        if isinstance(covariance, str) and covariance != "prior_predictive":
            raise ValueError(f"covariance must be a (D, D) array or 'prior_predictive', got {covariance!r}.")
        self.name = "mahalanobis"
        self.units = "1 (squared standard deviations, summed over coordinates)"

    def fitted(self, x: np.ndarray) -> "Mahalanobis":
        """Fills in the prior-predictive covariance."""
        rows = x.reshape(len(x), -1).astype(np.float64)
        if self.whitening is None:
            # A constant coordinate's variance may be 1e-34 by rounding: to a Cholesky factor that is positive.
            varies = rows.max(axis=0) > rows.min(axis=0)
            return replaced(self, whitening=_whitening(np.cov(rows.T, ddof=0) * varies))
        if self.whitening.shape[0] != rows.shape[1]:
            raise ValueError(
                f"covariance has shape {self.whitening.shape}, expected {(rows.shape[1],) * 2} for outputs of shape "
                f"{x.shape[1:]}."
            )
        return self

    def features(self, x: Float[Array, "*shape"]) -> Float[Array, " k"]:
        """L^-1 x, where C = L L^T."""
        return need(self.whitening, x) @ x.reshape(-1)

    def self_term(self, x: Float[Array, "*shape"]) -> Float[Array, ""]:
        """Squared length of the features."""
        return jnp.sum(self.features(x) ** 2)

    def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
        """The distance of one output to one target."""
        return jnp.sum((need(self.whitening, x) @ (x - x_target).reshape(-1)) ** 2)


class MeanAbsoluteError(AdditiveDistance):
    """Mean over coordinates of |x - x_target| / scale.

    Args:
        scale: as in `MeanSquaredError`.
    """

    scale: Array | None
    name: str = eqx.field(static=True)
    units: str = eqx.field(static=True)

    def __init__(self, scale: Scale = 1.0):
        self.scale, unit = _given_scale(scale)
        self.name = "mean_absolute_error"
        self.units = "data units" if unit else "1 (multiples of the scale)"

    def fitted(self, x: np.ndarray) -> "MeanAbsoluteError":
        """Fills in a prior-predictive scale."""
        return replaced(self, scale=_fitted_scale(self.scale, x))

    def per_coordinate(self, x: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
        """Absolute difference."""
        return jnp.abs(x - y)

    def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
        """The distance of one output to one target."""
        scale = need(self.scale, x)
        return jnp.mean(self.per_coordinate(x / scale, x_target / scale))


def _given_scale(scale: Scale) -> tuple[Array | None, bool]:
    """The scale as an array (None: to be fitted), and whether it is 1."""
    if isinstance(scale, str):
        if scale != "prior_predictive":
            raise ValueError(f"scale must be numbers or 'prior_predictive', got {scale!r}.")
        return None, False
    values = np.asarray(scale, np.float32)
    if not (np.all(np.isfinite(values)) and np.all(values > 0)):
        raise ValueError(f"scale must be positive and finite, got {values}.")
    return jnp.asarray(values), bool(values.ndim == 0 and values == 1)


def _fitted_scale(scale: Array | None, x: np.ndarray) -> Array:
    if scale is None:
        std = x.astype(np.float64).std(axis=0)
        # Not std == 0: rounding gives a constant coordinate of 0.1 a standard deviation of 1e-17.
        constant = x.max(axis=0) == x.min(axis=0)
        if np.any(constant):
            where = [tuple(int(i) for i in index) for index in np.argwhere(constant)]
            raise ValueError(
                f"scale='prior_predictive' is not defined for the output coordinates {where[:5]}: they do not vary "
                "over the training simulations. Leave them out of the output, or give the scale of every coordinate."
            )
        return jnp.asarray(std, jnp.float32)
    if scale.shape not in ((), x.shape[1:]):
        raise ValueError(f"scale has shape {scale.shape}, expected one number or one per coordinate {x.shape[1:]}.")
    return jnp.broadcast_to(scale, x.shape[1:])


def _whitening(covariance: np.ndarray) -> Array:
    covariance = np.atleast_2d(covariance)
    problem = ValueError(
        f"covariance of shape {covariance.shape} must be a symmetric positive definite (D, D) matrix; for coordinates "
        "that do not vary or repeat each other use MeanSquaredError with a scale."
    )
    # Checked here, for numpy's Cholesky factor reads one triangle only.
    if covariance.shape != covariance.shape[::-1] or covariance.ndim != 2 or not np.allclose(covariance, covariance.T):
        raise problem
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise problem from error
    # A coordinate that repeats others leaves a variance of rounding size, with either sign.
    if np.any(np.diag(factor) ** 2 <= 1e-12 * np.diag(covariance)):
        raise problem
    return jnp.asarray(np.linalg.inv(factor), jnp.float32)
