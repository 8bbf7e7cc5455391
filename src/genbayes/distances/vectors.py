"""Distances of outputs compared coordinate by coordinate: vectors, time series, images."""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .additive import (
    AdditiveDistance,
    CoordinateDistance,
    Growth,
    Scale,
    WeightArrays,
    Weights,
    given_scale,
    given_weights,
    placed,
    positive_number,
    stated_units,
)
from .base import CostKind, Framing, HilbertDistance, replaced, require_fitted
from .spread import ScaleRule
from .transforms import TransformName, given_transform


class MeanSquaredError(HilbertDistance, AdditiveDistance):
    """Mean over coordinates of weight * ((x - x_target) / scale)^2.

    Args:
        scale: one number, one per coordinate (the shape of an output), or a rule by which `fit_cost` takes it from the
            training simulations of the prior, for each coordinate: "prior_predictive", the standard deviation;
            "median", 1.4826 times the median absolute deviation from the median, which a few runs do not move;
            "observation", the same over the 5 % (at least 50) of the simulations nearest to the observation (see
            `spread.scale_near`), which fit_cost(..., x_o=x_o) then takes.
        weights: one number per coordinate, 0 to leave it out; taken as they are, not normalised. Of outputs with names
            also a mapping, {"peak": 2, "series": 0.1}: an array's weight is that of all its values, others have 1.
        transform: "log1p", "sqrt" or "asinh", applied to every number of x and x_target before all else; scales and
            thresholds are then of transformed outputs.
    """

    learned_by: ClassVar[tuple[CostKind, ...]] = ("features", "marginal", "general")
    framing: ClassVar[Framing] = "each"

    scale: Array | None
    weights: WeightArrays
    growth: Growth
    name: str = eqx.field(static=True)
    scale_rule: ScaleRule = eqx.field(static=True)
    transform: TransformName | None = eqx.field(static=True)

    def __init__(self, scale: Scale = 1.0, weights: Weights = 1.0, transform: TransformName | None = None):
        (self.scale, self.scale_rule), self.weights = given_scale(scale), given_weights(weights)
        self.transform = given_transform(transform)
        self.growth = Growth.of(square=1.0, knee=np.inf)
        self.name = "mean_squared_error"

    @property
    def units(self) -> str:
        """Units of the distance."""
        return stated_units(self.transform, squared=True, scaled=self._scaled)

    @property
    def is_linear(self) -> bool:
        """Unless outputs are transformed."""
        return self.transform is None

    def features(self, x: Float[Array, "*shape"]) -> Float[Array, " k"]:
        """The scaled coordinates times the root of their weights over the root of their number."""
        seen = self.output_transform.of_jax(x)
        return (jnp.sqrt(placed(self.weights)) * (seen / require_fitted(self.scale, x))).reshape(-1) / np.sqrt(x.size)

    def self_term(self, x: Float[Array, "*shape"]) -> Float[Array, ""]:
        """Squared length of the features."""
        return jnp.sum(self.features(x) ** 2)


class Mahalanobis(HilbertDistance, CoordinateDistance):
    """Squared Mahalanobis distance (x - x_target)^T C^-1 (x - x_target) of vector outputs.

    Args:
        covariance: C, of shape (D, D), or "prior_predictive": the covariance of the training simulations.
        transform: as in `MeanSquaredError`; C is then that of transformed outputs.
    """

    framing: ClassVar[Framing] = "each"

    whitening: Float[Array, "d d"] | None
    scale_rule: ScaleRule = eqx.field(static=True)
    transform: TransformName | None = eqx.field(static=True)
    name: str = eqx.field(static=True)
    units: str = eqx.field(static=True)

    def __init__(
        self,
        covariance: Literal["prior_predictive"] | np.ndarray | list[list[float]] | jax.Array,
        transform: TransformName | None = None,
    ):
        self.whitening = None if isinstance(covariance, str) else _whitening(np.asarray(covariance, np.float64))
        if isinstance(covariance, str) and covariance != "prior_predictive":
            raise ValueError(f"covariance must be a (D, D) array or 'prior_predictive', got {covariance!r}.")
        self.scale_rule = "prior_predictive" if isinstance(covariance, str) else "given"
        self.transform = given_transform(transform)
        self.name = "mahalanobis"
        of = "" if transform is None else f" of {transform}(x)"
        self.units = f"1 (squared standard deviations{of}, summed over coordinates)"

    @property
    def covariance(self) -> Float[Array, "d d"] | None:
        """C; None where it has yet to be taken from the simulations."""
        if self.whitening is None:
            return None
        factor = jnp.linalg.inv(self.whitening)
        return factor @ factor.T

    def fitted(self, x: np.ndarray) -> "Mahalanobis":
        """Fills in the prior-predictive covariance."""
        rows = self.output_transform(x).reshape(len(x), -1)
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

    def in_units(self, unit: float | np.ndarray) -> "Mahalanobis":
        """L^-1 in the new units."""
        if self.whitening is None:
            return self
        whitening = np.asarray(self.whitening, np.float64) * np.broadcast_to(np.ravel(unit), len(self.whitening))
        return replaced(self, whitening=jnp.asarray(whitening, jnp.float32))

    @property
    def is_linear(self) -> bool:
        """Unless outputs are transformed."""
        return self.transform is None

    def features(self, x: Float[Array, "*shape"]) -> Float[Array, " k"]:
        """L^-1 x, where C = L L^T."""
        return require_fitted(self.whitening, x) @ self.output_transform.of_jax(x).reshape(-1)

    def self_term(self, x: Float[Array, "*shape"]) -> Float[Array, ""]:
        """Squared length of the features."""
        return jnp.sum(self.features(x) ** 2)

    def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
        """The distance of one output to one target."""
        transform = self.output_transform.of_jax
        return jnp.sum((require_fitted(self.whitening, x) @ (transform(x) - transform(x_target)).reshape(-1)) ** 2)


class MeanAbsoluteError(AdditiveDistance):
    """Mean over coordinates of weight * |x - x_target| / scale.

    Args:
        scale: as in `MeanSquaredError`.
        weights: as in `MeanSquaredError`.
        transform: as in `MeanSquaredError`.
    """

    scale: Array | None
    weights: WeightArrays
    growth: Growth
    name: str = eqx.field(static=True)
    scale_rule: ScaleRule = eqx.field(static=True)
    transform: TransformName | None = eqx.field(static=True)

    def __init__(self, scale: Scale = 1.0, weights: Weights = 1.0, transform: TransformName | None = None):
        (self.scale, self.scale_rule), self.weights = given_scale(scale), given_weights(weights)
        self.transform = given_transform(transform)
        self.growth = Growth.of(slope=1.0)
        self.name = "mean_absolute_error"

    @property
    def units(self) -> str:
        """Units of the distance."""
        return stated_units(self.transform, squared=False, scaled=self._scaled)


class HuberError(AdditiveDistance):
    """Mean over coordinates of weight * h(r), r = (x - x_target) / scale: r^2 / 2 to delta, then straight (Huber 1964).

    h(r) = r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2): small residuals count as in half the squared error,
    a large one pulls no more than one of size delta.

    Args:
        delta: where the square ends, in multiples of the scale (in data units without one).
        scale: as in `MeanSquaredError`.
        weights: as in `MeanSquaredError`.
        transform: as in `MeanSquaredError`.
    """

    scale: Array | None
    weights: WeightArrays
    growth: Growth
    name: str = eqx.field(static=True)
    scale_rule: ScaleRule = eqx.field(static=True)
    transform: TransformName | None = eqx.field(static=True)

    def __init__(
        self, delta: float, scale: Scale = 1.0, weights: Weights = 1.0, transform: TransformName | None = None
    ):
        delta = positive_number("delta", delta)
        (self.scale, self.scale_rule), self.weights = given_scale(scale), given_weights(weights)
        self.transform = given_transform(transform)
        self.growth = Growth.of(square=0.5, knee=delta, slope=delta)
        self.name = "huber_error"

    @property
    def delta(self) -> Array:
        """Where the square ends."""
        return self.growth.knee

    @property
    def units(self) -> str:
        """Units of the distance."""
        return stated_units(self.transform, squared=True, scaled=self._scaled)


class CappedError(AdditiveDistance):
    """Mean over coordinates of weight * min(|x - x_target| / scale, cap)^power.

    A coordinate that is off by more than the cap is given up: it costs the same however far off, and pulls at nothing.

    Args:
        cap: the largest residual that counts, in multiples of the scale (in data units without one).
        power: 1 or 2.
        scale: as in `MeanSquaredError`.
        weights: as in `MeanSquaredError`.
        transform: as in `MeanSquaredError`.
    """

    scale: Array | None
    weights: WeightArrays
    growth: Growth
    name: str = eqx.field(static=True)
    scale_rule: ScaleRule = eqx.field(static=True)
    transform: TransformName | None = eqx.field(static=True)

    def __init__(
        self,
        cap: float,
        power: int = 1,
        scale: Scale = 1.0,
        weights: Weights = 1.0,
        transform: TransformName | None = None,
    ):
        cap = positive_number("cap", cap)
        if isinstance(power, bool) or power not in (1, 2):
            raise ValueError(f"power must be 1 (capped absolute error) or 2 (capped squared error), got {power!r}.")
        (self.scale, self.scale_rule), self.weights = given_scale(scale), given_weights(weights)
        self.transform = given_transform(transform)
        self.growth = Growth.of(slope=1.0, cap=cap) if power == 1 else Growth.of(square=1.0, knee=cap, cap=cap)
        self.name = "capped_error" if power == 1 else "capped_squared_error"

    @property
    def cap(self) -> Array:
        """The largest residual that counts."""
        return self.growth.cap

    @property
    def power(self) -> int:
        """1 for the absolute, 2 for the squared error."""
        return 2 if self.name == "capped_squared_error" else 1

    @property
    def units(self) -> str:
        """Units of the distance."""
        return stated_units(self.transform, squared=self.power == 2, scaled=self._scaled)


def _whitening(covariance: np.ndarray) -> Array:
    covariance = np.atleast_2d(covariance)
    problem = ValueError(
        f"covariance of shape {covariance.shape} must be a symmetric positive definite (D, D) matrix; for coordinates "
        "that do not vary or repeat each other use MeanSquaredError with a scale."
    )
    # Symmetry is checked here, because numpy's Cholesky factor reads one triangle only.
    if (
        covariance.shape != covariance.shape[::-1]
        or covariance.ndim != 2
        or np.any(~(np.abs(covariance - covariance.T) <= 1e-5 * np.abs(covariance).max()))
    ):
        raise problem
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise problem from error
    # A coordinate that repeats others leaves a variance of rounding size, with either sign.
    if np.any(np.diag(factor) ** 2 <= 1e-12 * np.diag(covariance)):
        raise problem
    return jnp.asarray(np.linalg.inv(factor), jnp.float32)
