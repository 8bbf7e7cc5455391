"""Where outputs are for the networks: a place and units in which single precision holds what varies in them."""

from dataclasses import dataclass, field
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..distances.additive import CoordinateDistance
from ..distances.base import Distance, replaced
from ..distances.transforms import IDENTITY, Transform
from ..distances.unequal_sets import all_trials

D = TypeVar("D", bound=Distance)

# Medians beyond so many spreads are taken off: single precision would keep less than five digits of what varies.
_FAR = 100.0


@dataclass(frozen=True, eq=False)
class Frame:
    """Outputs x as (t(x) - location) / unit, computed in double precision and then kept in single.

    Units are powers of two: they change the range of numbers, and no digit of them.

    Attributes:
        location: one number for each coordinate of an output; 0 where outputs are not far from it. Of sets of trials,
            which may have any number of them, one for each of a trial's.
        unit: one number for each coordinate, or one for all.
        transform: t, that of the distance; what it is not defined for becomes NaN.
    """

    location: Float[np.ndarray, "..."]
    unit: Float[np.ndarray, "..."]
    transform: Transform = field(default=IDENTITY)

    @classmethod
    def none(cls) -> "Frame":
        """Outputs as they are."""
        return cls(np.zeros(()), np.ones(()))

    @classmethod
    def of(
        cls,
        x: Float[np.ndarray, "n ..."],
        shared: Literal["nothing", "place", "units"],
        transform: Transform = IDENTITY,
    ) -> "Frame":
        """Median and spread of every coordinate over simulated outputs.

        Args:
            x: outputs (n, *x_shape).
            shared: "place": by all of the first axis of an output, because it is read as a set or a series; "units":
                these by all coordinates, too.
            transform: applied to outputs first.
        """
        x, x_shape = transform(x), x.shape[1:]
        if shared != "nothing" and np.isnan(x).any():
            # Sets of unequal size: rows of NaN are no trials.
            x = all_trials(x)[:, None]
        axes = (0,) if shared == "nothing" else tuple(range(max(x.ndim - 1, 1)))
        low, median, high = np.quantile(x, [0.25, 0.5, 0.75], axis=axes)
        # Quartiles meet where half of all runs give one value.
        deviation = np.where(x.max(axis=axes) > x.min(axis=axes), x.std(axis=axes), 0.0)
        spread = np.where(high > low, (high - low) / 1.349, deviation)
        location = np.where(np.abs(median) > _FAR * spread, median, 0.0)
        if shared == "units":
            spread = spread.max()
        unit = np.exp2(np.round(np.log2(np.where(spread > 0, spread, 1.0))))
        if shared == "place":
            location, unit = (np.broadcast_to(part, x_shape) for part in (location, unit))
        return cls(np.array(location), np.array(unit), transform)

    def __call__(self, x: np.ndarray) -> Float[np.ndarray, "..."]:
        """Outputs or observations (..., *x_shape) as networks read them, in single precision."""
        with np.errstate(over="ignore"):
            return ((self.transform(x) - self.location) / self.unit).astype(np.float32)

    def moved(self, distance: D) -> D:
        """The distance, or an unfitted one, of outputs in the frame."""
        inner = distance.without_transform()
        return inner if inner.framing == "none" else inner.in_units(self.unit)

    def moved_back(self, distance: D) -> D:
        """The distance of outputs as they are, from that of outputs in the frame."""
        if distance.framing == "none":
            return distance
        inner = distance.in_units(1 / self.unit)
        return replaced(inner, transform=self.transform.name) if isinstance(inner, CoordinateDistance) else inner

    def of_traced(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The same of an array of JAX, for its gradient; in the precision that it has."""
        location, unit = (jnp.asarray(part, jnp.float32) for part in (self.location, self.unit))
        location, unit = (part.reshape((1,) * (x.ndim - part.ndim) + part.shape) for part in (location, unit))
        return (self.transform.of_jax(x) - location) / unit


def is_of_jax(values: object) -> bool:
    """Whether there are arrays of JAX in (nested) values, whose gradient may be asked for."""
    return any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(values))
