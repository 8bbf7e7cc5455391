"""What a distance is, and the structure that makes its expectation easy to learn.

A `HilbertDistance` is d(x, y) = s(x) + s(y) - 2 <features(x), features(y)>: regressing the features alone gives the
expected distance to every y. An `AdditiveDistance` (additive.py) is a mean over coordinates: the marginal distributions
of x give its expectation. Any other distance is a `UserDistance`, learned by the general network.
"""

import inspect
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from ..runtime.notebook import html_properties

T = TypeVar("T", bound=eqx.Module)


class Distance(eqx.Module):
    """A non-negative discrepancy of one output and one target; call it as `distance(x, x_target)`."""

    name: eqx.AbstractVar[str]
    units: eqx.AbstractVar[str]

    @abstractmethod
    def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
        """The distance of one output to one target."""

    def __repr__(self) -> str:
        """The class with its arguments, as they are now: a scale that was taken from simulations in numbers."""
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self._settings().items())})"

    def _repr_html_(self) -> str:
        return html_properties(type(self).__name__, {**self._settings(), "units": str(self.units)})

    def _settings(self) -> dict[str, str]:
        """The arguments of the class that it keeps under their names, as short texts."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: short_text(getattr(self, name)) for name in names if hasattr(self, name)}

    def fitted(self, x: np.ndarray) -> "Distance":
        """The same distance with what it takes from the simulations filled in, from training outputs `x` (n, ...)."""
        del x
        return self

    def check_target(self, x_shape: tuple[int, ...], target_shape: tuple[int, ...]) -> None:
        """Raises ValueError where an observation of `target_shape` cannot be compared to outputs of `x_shape`."""
        if target_shape != x_shape:
            same = np.prod(target_shape, dtype=int) == np.prod(x_shape, dtype=int)
            remedy = f"Write x_o.reshape({x_shape})." if same else "Bring the observation into the simulator's form."
            raise ValueError(
                f"x_o has shape {target_shape}, but the simulator's outputs have shape {x_shape}. {remedy}"
            )


class HilbertDistance(Distance):
    """d(x, y) = self_term(x) + self_term(y) - 2 <features(x), features(y)>."""

    @abstractmethod
    def features(self, x: Float[Array, "*shape"]) -> Float[Array, " k"]:
        """The feature map of one output."""

    @abstractmethod
    def self_term(self, x: Float[Array, "*shape"]) -> Float[Array, ""]:
        """What the distance holds of one argument alone; ||features(x)||^2 where the feature map is exact."""


class UserDistance(Distance):
    """Any function of one output and one target, written with jax.numpy.

    Args:
        function: `function(x, x_target) -> scalar`; not negative, differentiable or not.
        name: identifies the function when a cost is saved and loaded.
        units: of the distance.
    """

    function: Callable[[Array, Array], Array] = eqx.field(static=True)
    name: str = eqx.field(static=True)
    units: str = eqx.field(static=True)

    def __init__(self, function: Callable[[Array, Array], Array], *, name: str, units: str):
        if not callable(function):
            raise TypeError(f"function must take (x, x_target) and return a scalar, got {type(function).__name__}.")
        self.function, self.name, self.units = function, name, units

    def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
        """The distance of one output to one target."""
        value = jnp.asarray(self.function(x, x_target))
        if value.shape != ():
            raise ValueError(
                f"the distance {self.name!r} must return one number for one output and one target, but for outputs of "
                f"shape {x.shape} it returned shape {value.shape}; reduce it, for example by jnp.mean."
            )
        return value.astype(jnp.float32)


def short_text(value: Any) -> str:
    """An argument of a distance for a reader: numbers as they are where they are few, else their shape and range."""
    if value is None:
        return "from the simulations"
    if isinstance(value, Tracer):
        return "traced"
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    if not isinstance(value, np.ndarray | jax.Array):
        return repr(value)
    values = np.asarray(value)
    if values.size and np.all(values == values.flat[0]):
        return f"{values.flat[0]:.4g}"
    if values.size <= 4:
        return f"[{', '.join(f'{item:.4g}' for item in values.reshape(-1))}]"
    return f"{values.shape} numbers from {values.min():.4g} to {values.max():.4g}"


def need(value: Array | None, x: Array) -> Array:
    """The fitted value, or an error that says how to get it."""
    if value is None:
        raise ValueError(
            f"this distance takes its scale from the training simulations, which it has not seen (output {x.shape}): "
            "call distance.fitted(x) first, or let fit_cost do it."
        )
    return value


def replaced(module: T, **fields: object) -> T:
    """A copy of an equinox module with some fields replaced, None or not."""
    names = list(fields)
    return eqx.tree_at(
        lambda m: [getattr(m, name) for name in names],
        module,
        [fields[name] for name in names],
        is_leaf=lambda leaf: leaf is None,
    )
