"""Networks written for ONE example (batch with `jax.vmap`) and the standardisers that stand before them."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..runtime.compiling import on_device

T = TypeVar("T")


# Rows of a value of an integer without which it has no indicator of its own: a line through the others has to do.
_LEAST_ROWS = 5
# Least standard deviation by which an indicator is divided: those of rare values would be far out.
_LEAST_STD = 0.2


class Indicators(eqx.Module):
    """One number for each of some intervals of coordinates: 1 inside, else 0, less its mean, over `std`.

    The intervals are the values of integers, and what lies beyond a step in the outputs.

    Attributes:
        low: lower end of each interval.
        high: upper end; infinity beyond a step.
        mean: share of the rows that lie inside.
        std: what it is divided by.
        column: coordinate of each.
    """

    low: Float[Array, " indicators"]
    high: Float[Array, " indicators"]
    mean: Float[Array, " indicators"]
    std: Float[Array, " indicators"]
    column: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def fit(
        cls,
        rows: Float[np.ndarray, "n dim"],
        levels: Mapping[int, Sequence[int]],
        steps: Mapping[int, Sequence[float]],
    ) -> "Indicators | None":
        """Of all values but the two most frequent ones, which a line through the integer itself tells apart.

        Args:
            rows: (n, dim).
            levels: the values of every integer coordinate, by its number.
            steps: where the outputs jump, by the coordinate's number.
        """
        intervals = []
        for j, values in levels.items():
            counts = np.array([np.sum(rows[:, j] == level) for level in values])
            order = np.argsort(-counts, kind="stable")
            chosen = np.sort([k for k in order[2:] if counts[k] >= _LEAST_ROWS]).astype(int)
            intervals += [(j, float(values[k]) - 0.5, float(values[k]) + 0.5) for k in chosen]
        intervals += [(j, edge, np.inf) for j, edges in steps.items() for edge in edges]
        if not intervals:
            return None
        column, low, high = zip(*intervals, strict=True)
        mean = np.array([np.mean((rows[:, j] > a) & (rows[:, j] < b)) for j, a, b in intervals])
        std = np.maximum(np.sqrt(mean * (1 - mean)), _LEAST_STD)
        return cls(_f32(np.array(low)), _f32(np.array(high)), _f32(mean), _f32(std), tuple(column))

    def __call__(self, value: Float[Array, " dim"]) -> Float[Array, " indicators"]:
        """The indicators of one parameter."""
        low, high, mean, std = jax.lax.stop_gradient((self.low, self.high, self.mean, self.std))
        at = value[np.array(self.column)]
        return (jnp.where((at > low) & (at < high), 1.0, 0.0) - mean) / std

    def of_rows(self, rows: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n indicators"]:
        """The indicators of many parameters, for the solvers."""
        low, high, mean, std = (np.asarray(part, np.float64) for part in (self.low, self.high, self.mean, self.std))
        at = rows[:, np.array(self.column)]
        return (((at > low) & (at < high)) - mean) / std


class Standardiser(eqx.Module):
    """Maps each coordinate to mean 0 and standard deviation 1 over the rows that it was fitted on.

    A positive coordinate whose logarithm is less skewed than itself (a rate under a log-normal prior) is taken as
    its logarithm first; otherwise a few rows far out in the tail would set the scale for all others.

    Behind the coordinates stand the indicators of integers, with which a linear function of the result is any function
    of an integer (treatment contrasts), and those of steps. Of an integer's value with too few rows it is what a line
    through the integer says.
    """

    mean: Float[Array, " dim"]
    std: Float[Array, " dim"]
    logarithmic: Float[Array, " dim"]
    indicators: Indicators | None = None

    @classmethod
    def fit(
        cls,
        rows: np.ndarray,
        *,
        allow_log: bool = True,
        levels: Mapping[int, Sequence[int]] | None = None,
        steps: Mapping[int, Sequence[float]] | None = None,
    ) -> "Standardiser":
        """Fits to `rows` of shape (n, dim); a constant coordinate keeps its own units.

        Args:
            rows: (n, dim).
            allow_log: whether coordinates may be taken as their logarithms.
            levels: the values of the coordinates that are integers, by their numbers.
            steps: where the outputs jump, by the coordinate's number, see `find_steps`.
        """
        rows = np.asarray(rows, np.float64)
        logarithmic = np.zeros(rows.shape[1])
        if allow_log:
            for j in np.flatnonzero(rows.min(0) > 0):
                logarithmic[j] = abs(_skewness(np.log(rows[:, j]))) < abs(_skewness(rows[:, j])) - 0.5
        values = np.where(logarithmic > 0, np.log(np.where(logarithmic > 0, rows, 1.0)), rows)
        # std > 0 is no test of it: rounding gives a constant column of 0.1 a standard deviation of 1e-17.
        std = np.where(values.max(0) > values.min(0), values.std(0), 1.0)
        return cls(_f32(values.mean(0)), _f32(std), _f32(logarithmic), Indicators.fit(rows, levels or {}, steps or {}))

    @property
    def steps(self) -> dict[int, list[float]]:
        """Where outputs jump, by the coordinate's number."""
        if self.indicators is None:
            return {}
        low, high = (
            np.asarray(part).reshape(-1, part.shape[-1])[0] for part in (self.indicators.low, self.indicators.high)
        )
        beyond = np.flatnonzero(np.isinf(high))
        column = np.array(self.indicators.column)
        return {int(j): low[beyond[column[beyond] == j]].tolist() for j in np.unique(column[beyond])}

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Columns of the result that belong together: an integer and its indicators; the steps along a coordinate.

        Of such columns a product of two is a sum of the same columns, and so is every power of one.
        """
        if self.indicators is None:
            return ()
        column, dim = np.array(self.indicators.column), self.mean.shape[-1]
        found = []
        for j in np.unique(column):
            own = np.flatnonzero(column == j)
            is_integer = bool(np.isfinite(np.asarray(self.indicators.high).reshape(-1, len(column))[0, own]).all())
            found.append((*([int(j)] * is_integer), *(dim + own).tolist()))
        return tuple(found)

    def __call__(self, value: Float[Array, " dim"]) -> Float[Array, " width"]:
        """The standardised value; a non-positive value of a logarithmic coordinate is treated as tiny."""
        # Never trained: a step of Adam is of the size of a weight, not of the data's units.
        mean, std = jax.lax.stop_gradient((self.mean, self.std))
        logs = jnp.log(jnp.maximum(jnp.where(self.logarithmic > 0, value, 1.0), 1e-37))
        z = (jnp.where(self.logarithmic > 0, logs, value) - mean) / std
        return z if self.indicators is None else jnp.concatenate([z, self.indicators(value)])

    def of_rows(self, rows: np.ndarray) -> Float[np.ndarray, "n width"]:
        """The same of many values (n, dim) in numpy: solvers work in double precision, and nothing is compiled."""
        # Indicators and samplers see parameters in single precision.
        rows = np.asarray(rows, np.float32).astype(np.float64)
        mean, std, logarithmic = (np.asarray(part, np.float64) for part in (self.mean, self.std, self.logarithmic))
        logs = np.log(np.maximum(np.where(logarithmic > 0, rows, 1.0), 1e-37))
        z = (np.where(logarithmic > 0, logs, rows) - mean) / std
        return z if self.indicators is None else np.concatenate([z, self.indicators.of_rows(rows)], axis=1)


class Linear(eqx.Module):
    """weight @ value + bias, drawn by numpy: drawing by JAX would compile a program for every shape."""

    weight: Float[Array | np.ndarray, "out_size in_size"]
    bias: Float[Array | np.ndarray, " out_size"]

    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator):
        limit = 1 / np.sqrt(in_size)
        self.weight = rng.uniform(-limit, limit, (out_size, in_size)).astype(np.float32)
        self.bias = rng.uniform(-limit, limit, out_size).astype(np.float32)

    def __call__(self, value: Float[Array, " in_size"]) -> Float[Array, " out_size"]:
        """The affine map of one value."""
        # The value first: batched, the rows then stay the leading axis. Behind the outputs they would be put in front
        # again in every layer, forth and back, which took a fifth of the time of a step of training.
        return value @ jnp.asarray(self.weight).T + jnp.asarray(self.bias)


class ResidualMLP(eqx.Module):
    """A multi-layer perceptron of residual blocks with a smooth activation (samplers take its gradient).

    Units are SiLU; some may be ReLU, and so bend as sharply as a corner. The output layer starts at zero: what it is
    added to is the fit before the first step.

    Args:
        in_size: of the input.
        out_size: of the output.
        width: of hidden layers.
        depth: number of residual blocks.
        cornered: share of the units that are ReLU.
        rng: source of the first weights.
    """

    first: Linear
    blocks: tuple[tuple[Linear, Linear], ...]
    last: Linear
    smooth: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        width: int,
        depth: int,
        *,
        cornered: float = 0.0,
        rng: np.random.Generator,
    ):
        self.first = Linear(in_size, width, rng=rng)
        self.blocks = tuple((Linear(width, width, rng=rng), Linear(width, width, rng=rng)) for _ in range(depth))
        self.last = jax.tree.map(np.zeros_like, Linear(width, out_size, rng=rng))
        self.smooth = width - round(cornered * width)

    def __call__(self, value: Float[Array, " in_size"]) -> Float[Array, " out_size"]:
        """One forward pass."""
        return self.last(self.hidden(value))

    def hidden(self, value: Float[Array, " in_size"]) -> Float[Array, " width"]:
        """What enters the last layer."""
        hidden = self.first(value)
        for inner, outer in self.blocks:
            hidden = hidden + outer(self._units(inner(self._units(hidden))))
        return self._units(hidden)

    def _units(self, hidden: Float[Array, " width"]) -> Float[Array, " width"]:
        if self.smooth == len(hidden):
            return jax.nn.silu(hidden)
        # Both of every unit: to cut the units apart and to join them took longer, above all in gradients.
        is_smooth = np.arange(len(hidden)) < self.smooth
        return jnp.where(is_smooth, jax.nn.silu(hidden), jax.nn.relu(hidden))


def stack(members: list[T]) -> T:
    """Modules of one structure as one, the members along a leading axis of every array."""
    return jax.tree.map(lambda *leaves: on_device(np.stack(leaves)), *members)


def first_of(stacked: T) -> T:
    """The first of stacked modules, without a program; of a part that is the same for all members, the part itself."""
    return jax.tree.map(lambda leaf: on_device(np.asarray(leaf)[0]), stacked)


def _skewness(values: np.ndarray) -> float:
    std = values.std()
    return 0.0 if values.max() == values.min() else float(np.mean(((values - values.mean()) / std) ** 3))


def _f32(values: np.ndarray) -> Array:
    return on_device(values, np.float32)
