"""Distances that are a mean over coordinates, with the scale and the weight of each."""

from typing import ClassVar, Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .base import CostKind, Distance, Framing, replaced, require_fitted

Scale = Literal["prior_predictive"] | float | np.ndarray | list[float] | tuple[float, ...] | jax.Array
Weights = float | np.ndarray | list[float] | tuple[float, ...] | jax.Array
T = TypeVar("T", bound="AdditiveDistance")


class Growth(eqx.Module):
    """How the discrepancy of one coordinate grows with the residual r: as a square, then linearly, then not at all.

    square * min(|r|, knee)^2 + slope * (min(|r|, cap) - min(|r|, knee)), 0 <= knee <= cap. Every additive distance is
    one choice of these four numbers, so that changing it changes numbers and not programs.

    Attributes:
        square: factor of the squared residual up to the knee.
        knee: residual at which the square ends; infinity for a square throughout.
        slope: of the straight part between knee and cap.
        cap: residual beyond which nothing grows any more; infinity where there is none.
    """

    square: Float[Array, "*batch"]
    knee: Float[Array, "*batch"]
    slope: Float[Array, "*batch"]
    cap: Float[Array, "*batch"]

    @classmethod
    def of(cls, *, square: float = 0.0, knee: float = 0.0, slope: float = 0.0, cap: float = np.inf) -> "Growth":
        """The growth of plain numbers; what is not given is left out."""
        return cls(*(jnp.asarray(value, jnp.float32) for value in (square, knee, slope, cap)))

    def __call__(self, residual: Float[Array, "..."]) -> Float[Array, "..."]:
        """The discrepancy, elementwise."""
        size = jnp.abs(residual)
        near = jnp.minimum(size, self.knee)
        return self.square * near**2 + self.slope * (jnp.minimum(size, self.cap) - near)

    def kinks(self) -> tuple[Float[Array, " 4"], Float[Array, " 4"], Float[Array, " 4"]]:
        """Where it is not smooth, and by how much its slope and its curvature jump there.

        Between these places it is a polynomial of degree two or less. Places at infinity are no kinks.

        Returns:
            The residuals -cap, -knee, knee and cap; the jump of the slope at each; the jump of the curvature at each.
        """
        at_knee = self.slope - 2 * self.square * jnp.where(jnp.isinf(self.knee), 0.0, self.knee)
        slope = jnp.stack([-self.slope, at_knee, at_knee, -self.slope])
        curvature = 2 * self.square * jnp.asarray([0.0, 1.0, -1.0, 0.0])
        return jnp.stack([-self.cap, -self.knee, self.knee, self.cap]), slope, curvature


class AdditiveDistance(Distance):
    """d(x, y) = mean over coordinates j of weight_j growth((x_j - y_j) / scale_j).

    The weights are taken as they are: weight 0 leaves a coordinate out, and the others count as before. The expectation
    given theta is a sum of integrals over the marginal distributions of the coordinates; see `MarginalForm` in
    costs/forms.py.

    Attributes:
        scale: one number or one per coordinate; None until `fitted` has taken it from the simulations.
        weights: one number or one per coordinate.
        growth: of the discrepancy with the scaled residual.
    """

    learned_by: ClassVar[tuple[CostKind, ...]] = ("marginal", "general")
    framing: ClassVar[Framing] = "each"

    scale: eqx.AbstractVar[Array | None]
    weights: eqx.AbstractVar[Array]
    growth: eqx.AbstractVar[Growth]

    def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
        """The distance of one output to one target."""
        scale = require_fitted(self.scale, x)
        # Scales come before the difference: outputs in units of 1e-12 have differences whose squares vanish in float32.
        return jnp.mean(self.weights * self.growth(x / scale - x_target / scale))

    def fitted(self: T, x: np.ndarray) -> T:
        """Fills in a prior-predictive scale, and gives every coordinate its own scale and weight; see `with_spread`."""
        return self.with_spread(spread_of(x))

    def in_units(self: T, unit: float | np.ndarray) -> T:
        """The scale in the new units."""
        if self.scale is None:
            return self
        scale = self.scale if np.ndim(unit) == 0 else _per_coordinate("scale", self.scale, np.shape(unit))
        return replaced(self, scale=jnp.asarray(np.asarray(scale, np.float64) / unit, jnp.float32))

    def with_spread(self: T, spread: np.ndarray) -> T:
        """As `fitted`, from the coordinates' standard deviations (x_shape) over the simulations.

        Raises:
            ValueError: scale or weights have another shape than an output; or a prior-predictive scale is 0 where the
                weight is not.
        """
        weights = _per_coordinate("weights", self.weights, spread.shape)
        scale = self.scale
        if scale is None:
            scale = _prior_predictive(spread, np.asarray(weights))
        return replaced(self, scale=_per_coordinate("scale", scale, spread.shape), weights=weights)

    @property
    def _scaled(self) -> bool:
        """Whether the scale takes the data's units out of the distance."""
        return self.scale is None or not np.all(np.asarray(self.scale) == 1)


def spread_of(x: np.ndarray) -> np.ndarray:
    """Standard deviation of every coordinate over outputs x (n, *x_shape); 0 where it does not vary."""
    # std == 0 is no test of it: rounding gives a constant coordinate of 0.1 a standard deviation of 1e-17.
    varies = x.max(axis=0) > x.min(axis=0)
    return np.asarray(np.where(varies, x.astype(np.float64).std(axis=0), 0.0), np.float32)


def given_scale(scale: Scale) -> Array | None:
    """The scale as an array; None stands for "prior_predictive", which `fitted` fills in.

    Raises:
        ValueError: scale is another text, or not positive and finite.
    """
    if isinstance(scale, str):
        if scale != "prior_predictive":
            raise ValueError(f"scale must be numbers or 'prior_predictive', got {scale!r}.")
        return None
    values = np.asarray(scale, np.float32)
    if not (np.all(np.isfinite(values)) and np.all(values > 0)):
        raise ValueError(f"scale must be positive and finite, got {values}.")
    return jnp.asarray(values)


def given_weights(weights: Weights) -> Array:
    """The weights as an array.

    Raises:
        ValueError: a weight is negative or not finite, or all are 0.
    """
    values = np.asarray(weights, np.float32)
    if not (np.all(np.isfinite(values)) and np.all(values >= 0)):
        raise ValueError(f"weights must be finite numbers of at least 0, got {values}.")
    if not np.any(values > 0):
        raise ValueError(f"weights must be greater than 0 for at least one coordinate, got {values}.")
    return jnp.asarray(values)


def positive_number(name: str, value: float) -> float:
    """Checks a threshold of the residual.

    Raises:
        ValueError: value is not one finite number greater than 0.
    """
    if isinstance(value, bool) or np.ndim(value) != 0 or not (np.isfinite(value) and value > 0):
        raise ValueError(
            f"{name} must be one finite number greater than 0 (in data units, or in multiples of scale), got {value!r}."
        )
    return float(value)


def _per_coordinate(name: str, values: Array, x_shape: tuple[int, ...]) -> Array:
    if values.shape not in ((), x_shape):
        raise ValueError(f"{name} has shape {values.shape}, expected one number or one per coordinate {x_shape}.")
    return jnp.broadcast_to(values, x_shape)


def _prior_predictive(spread: np.ndarray, weights: np.ndarray) -> Array:
    constant = spread == 0
    if np.any(constant & (weights > 0)):
        where = [tuple(int(i) for i in index) for index in np.argwhere(constant & (weights > 0))]
        raise ValueError(
            f"scale='prior_predictive' is not defined for the output coordinates {where[:5]}: they do not vary "
            "over the training simulations. Leave them out of the output, give them weight 0 (weights=...), or give "
            "the scale of every coordinate."
        )
    return jnp.asarray(np.where(constant, 1.0, spread), jnp.float32)
