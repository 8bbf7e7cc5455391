"""Distances that are a mean over coordinates, with the scale and the weight of each."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..runtime.named_values import Names
from .base import CostKind, Distance, Framing, replaced, require_fitted
from .spread import OutputSpread, ScaleRule, scale_near
from .transforms import Transform, TransformName, transform_of

Scale = (
    Literal["prior_predictive", "median", "observation"]
    | float
    | np.ndarray
    | list[float]
    | tuple[float, ...]
    | jax.Array
)
Weights = float | np.ndarray | list[float] | tuple[float, ...] | jax.Array | Mapping[str, float]
# As a distance keeps them: by name until the order of the outputs is known.
WeightArrays = Array | dict[str, Array]
T = TypeVar("T", bound="AdditiveDistance")
C = TypeVar("C", bound="CoordinateDistance")


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


class CoordinateDistance(Distance):
    """A distance of outputs with named places, which may transform their numbers and take a scale from simulations.

    Attributes:
        transform: name of the function that is applied to every number of both outputs before all else; None for none.
        scale_rule: how the scale was, or is to be, taken from simulations; "given" for numbers.
    """

    framing: ClassVar[Framing] = "each"

    transform: eqx.AbstractVar[TransformName | None]
    scale_rule: eqx.AbstractVar[ScaleRule]

    @property
    def output_transform(self) -> Transform:
        """The transform as a function."""
        return transform_of(self.transform)

    def without_transform(self: C) -> C:
        """The distance of outputs that have been transformed."""
        return replaced(self, transform=None)

    def used(self, x_shape: tuple[int, ...]) -> np.ndarray:
        """Which coordinates the distance looks at."""
        return np.ones(x_shape, bool)

    def _settings(self) -> dict[str, str]:
        return {name: text for name, text in super()._settings().items() if name != "transform" or self.transform}


class AdditiveDistance(CoordinateDistance):
    """d(x, y) = mean over coordinates j of weight_j growth((t(x_j) - t(y_j)) / scale_j), with a transform t or without.

    The weights are taken as they are: weight 0 leaves a coordinate out, and the others count as before. NaN in y is a
    missing value: the mean is then over the coordinates that were observed, so that beta keeps its meaning for each of
    them (the ordinary posterior's beta is proportional to their number). The expectation
    given theta is a sum of integrals over the marginal distributions of the coordinates; see `MarginalForm` in
    costs/forms.py.

    Attributes:
        scale: one number or one per coordinate, of transformed outputs; None until `fitted` has taken it from the
            simulations by `scale_rule`.
        weights: one number or one per coordinate; by the names of outputs until `with_outputs` has found their places.
        growth: of the discrepancy with the scaled residual.
    """

    learned_by: ClassVar[tuple[CostKind, ...]] = ("marginal", "general")
    reads_gaps: ClassVar[bool] = True

    scale: eqx.AbstractVar[Array | None]
    weights: eqx.AbstractVar[WeightArrays]
    growth: eqx.AbstractVar[Growth]

    def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
        """The distance of one output to one target."""
        scale, transform = require_fitted(self.scale, x), self.output_transform.of_jax
        # Scales come before the difference: outputs in units of 1e-12 have differences whose squares vanish in float32.
        missing = jnp.isnan(x_target)
        residual = transform(x) / scale - transform(x_target) / scale
        parts = placed(self.weights) * self.growth(jnp.where(missing, 0.0, residual))
        return jnp.sum(jnp.where(missing, 0.0, parts)) / jnp.sum(~missing)

    @property
    def needs_observation(self) -> bool:
        """Whether `fitted` takes the observation, too."""
        return self.scale is None and self.scale_rule == "observation"

    def used(self, x_shape: tuple[int, ...]) -> np.ndarray:
        """The coordinates with a weight."""
        return np.asarray(_per_coordinate("weights", self.weights, x_shape)) > 0

    def fitted(self: T, x: np.ndarray, x_o: np.ndarray | None = None, names: Sequence[str] | None = None) -> T:
        """Fills in a scale that is given as a rule, and gives every coordinate its own scale and weight.

        Args:
            x: simulations of the prior that succeeded, (n, *x_shape).
            x_o: one observation, for scale="observation".
            names: of the coordinates, for messages.

        Raises:
            ValueError: scale or weights have another shape than an output; or the scale is 0 or not defined for a
                coordinate with a weight; or x_o is missing.

        Example:
            >>> distance = gb.distances.HuberError(1.0, "observation").fitted(simulations.x[simulations.ok], x_o)
        """
        used, transform = self.used(x.shape[1:]), self.output_transform
        if self.scale is None:
            transform.check(x, "outputs", names=names)
            _check_finite(x)
        if self.needs_observation:
            scale = scale_near(transform(x), transform(one_observation(x_o, x.shape[1:], transform)), used, names)
        else:
            known = self.scale is not None
            scale = self.scale if known else OutputSpread.of(transform(x)).scale(self.scale_rule, used, names)
        return self._with_scale(scale, x.shape[1:])

    def with_spread(self: T, spread: OutputSpread) -> T:
        """As `fitted`, from the spread of (transformed) simulations.

        Raises:
            ValueError: as `fitted`; or the spread does not tell of simulations near an observation.
        """
        if self.needs_observation:
            raise ValueError(
                "scale='observation' has to be taken from the simulations themselves: give distance.fitted(x, x_o), "
                "with the outputs x of draws of the prior that succeeded (simulations.of_prior)."
            )
        x_shape = spread.deviation.shape
        scale = spread.scale(self.scale_rule, self.used(x_shape)) if self.scale is None else self.scale
        return self._with_scale(scale, x_shape)

    def with_outputs(self: T, outputs: Names | None) -> T:
        """With the places of weights that were given by the names of outputs; `fit_cost` does it.

        Args:
            outputs: of the simulations, None where their values have no names.

        Raises:
            ValueError: weights of names that the outputs do not have.
        """
        if not isinstance(self.weights, dict):
            return self
        if outputs is None:
            raise ValueError(
                f"weights are given by name ({', '.join(self.weights)}), but the values of the simulations' outputs "
                "have no names: let the simulator return a dictionary, or give weights as a list."
            )
        return replaced(self, weights=_by_place(self.weights, outputs))

    def _with_scale(self: T, scale: Array | np.ndarray, x_shape: tuple[int, ...]) -> T:
        """With a scale and a weight for every coordinate."""
        scale = _per_coordinate("scale", jnp.asarray(scale, jnp.float32), x_shape)
        return replaced(self, scale=scale, weights=_per_coordinate("weights", self.weights, x_shape))

    def in_units(self: T, unit: float | np.ndarray) -> T:
        """The scale in the new units."""
        if self.scale is None:
            return self
        scale = self.scale if np.ndim(unit) == 0 else _per_coordinate("scale", self.scale, np.shape(unit))
        return replaced(self, scale=jnp.asarray(np.asarray(scale, np.float64) / unit, jnp.float32))

    def _settings(self) -> dict[str, str]:
        settings = super()._settings()
        return settings if self.scale is not None else {**settings, "scale": repr(self.scale_rule)}

    @property
    def _scaled(self) -> bool:
        """Whether the scale takes the data's units out of the distance."""
        return self.scale is None or not np.all(np.asarray(self.scale) == 1)


def given_scale(scale: Scale) -> tuple[Array | None, ScaleRule]:
    """The scale as an array, None where `fitted` fills it in, and the rule.

    Raises:
        ValueError: scale is another text, or not positive and finite.
    """
    if isinstance(scale, str):
        if scale not in ("prior_predictive", "median", "observation"):
            raise ValueError(f"scale must be numbers or 'prior_predictive', 'median' or 'observation', got {scale!r}.")
        return None, scale
    values = np.asarray(scale, np.float32)
    if not (np.all(np.isfinite(values)) and np.all(values > 0)):
        raise ValueError(f"scale must be positive and finite, got {values}.")
    return jnp.asarray(values), "given"


def stated_units(transform: TransformName | None, *, squared: bool, scaled: bool) -> str:
    """Units of a mean of discrepancies, which are squares or absolute values."""
    of = "" if transform is None else f" of {transform}(x)"
    if scaled:
        return f"1 ({'squared ' if squared else ''}multiples of the scale{of})"
    if transform is None:
        return "squared data units" if squared else "data units"
    if transform == "sqrt":
        return "data units" if squared else "square roots of data units"
    return f"1 ({'squared ' if squared else ''}differences{of})"


def given_weights(weights: Weights) -> WeightArrays:
    """The weights as an array, or as numbers by name.

    Raises:
        ValueError: a weight is negative or not finite, or all are 0.
    """
    if isinstance(weights, Mapping):
        values = np.asarray(list(weights.values()), np.float32)
        if not len(weights) or values.ndim != 1 or not (np.all(np.isfinite(values)) and np.all(values >= 0)):
            raise ValueError(
                f"weights by name must be finite numbers of at least 0, such as {{'peak': 2}}, got {dict(weights)}."
            )
        return {str(name): jnp.asarray(value) for name, value in zip(weights, values, strict=True)}
    values = np.asarray(weights, np.float32)
    if not (np.all(np.isfinite(values)) and np.all(values >= 0)):
        raise ValueError(f"weights must be finite numbers of at least 0, got {values}.")
    if not np.any(values > 0):
        raise ValueError(f"weights must be greater than 0 for at least one coordinate, got {values}.")
    return jnp.asarray(values)


def placed(weights: WeightArrays) -> Array:
    """The weights by place, or a ValueError where they still go by name."""
    if isinstance(weights, dict):
        raise ValueError(  # noqa: TRY004 (a distance that lacks a step, not one of the wrong type)
            f"this distance has weights by name ({', '.join(weights)}), whose places in an output it does not know: "
            "let fit_cost find them in the simulations, or call distance.with_outputs(simulations.outputs)."
        )
    return weights


def _by_place(weights: Mapping[str, Array], outputs: Names) -> Array:
    """One weight for each number of an output: that of its own name, else that of the array it is in, else 1."""
    coordinates, found = outputs.coordinates, np.ones(outputs.size, np.float32)
    unknown = [name for name in weights if name not in coordinates and name not in dict(outputs.parts)]
    if unknown:
        raise ValueError(f"weights has {', '.join(unknown)}, which is no output; they are {outputs.in_words}.")
    for name, _, place in outputs.slices():
        if name in weights:
            found[place] = float(weights[name])
    for i, name in enumerate(coordinates):
        if name in weights:
            found[i] = float(weights[name])
    if not np.any(found > 0):
        raise ValueError("weights must be greater than 0 for at least one output, got 0 for all of them.")
    return jnp.asarray(found)


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


def _per_coordinate(name: str, values: WeightArrays, x_shape: tuple[int, ...]) -> Array:
    values = placed(values)
    if values.shape not in ((), x_shape):
        raise ValueError(f"{name} has shape {values.shape}, expected one number or one per coordinate {x_shape}.")
    return jnp.broadcast_to(values, x_shape)


def _check_finite(x: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))
    if len(bad):
        raise ValueError(
            f"x has NaN or infinite values in {len(bad)} of {len(x)} rows, the first is row {bad[0]}, and a scale is "
            "to be taken from it: leave failed runs out, such as by simulations.x[simulations.ok]."
        )


def one_observation(x_o: np.ndarray | None, x_shape: tuple[int, ...], transform: Transform) -> np.ndarray:
    """The observation near which a scale is taken, or ValueError."""
    if x_o is None:
        raise ValueError(
            "scale='observation' takes the observation: fit_cost(simulations, distance, x_o=x_o), or "
            "distance.fitted(x, x_o) with outputs x of the prior."
        )
    values = np.asarray(x_o)
    if values.ndim == 0 and x_shape == (1,):
        values = values.reshape(1)
    if values.shape != x_shape:
        raise ValueError(
            f"x_o has shape {values.shape}, but scale='observation' takes one observation of shape {x_shape}, for a "
            "cost has one scale for all observations. Of several give the one that the scale is to suit, such as their "
            "median, or take scale='median', which does not depend on an observation."
        )
    if not np.all(np.isfinite(values)):
        raise ValueError("x_o has values that are NaN or infinite: scale='observation' takes one without gaps.")
    transform.check(values[None], "x_o")
    return values
