"""Networks written for ONE example (batch with `jax.vmap`) and the standardisers that stand before them."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

T = TypeVar("T")


class Standardiser(eqx.Module):
    """Maps each coordinate to mean 0 and standard deviation 1 over the rows that it was fitted on.

    A positive coordinate whose logarithm is less skewed than itself (a rate under a log-normal prior) is taken as
    its logarithm first; otherwise a few rows far out in the tail would set the scale for all others.
    """

    mean: Float[Array, " dim"]
    std: Float[Array, " dim"]
    logarithmic: Float[Array, " dim"]

    @classmethod
    def fit(cls, rows: np.ndarray, *, allow_log: bool = True) -> "Standardiser":
        """Fits to `rows` of shape (n, dim); a constant coordinate keeps its own units."""
        rows = np.asarray(rows, np.float64)
        logarithmic = np.zeros(rows.shape[1])
        if allow_log:
            for j in np.flatnonzero(rows.min(0) > 0):
                logarithmic[j] = abs(_skewness(np.log(rows[:, j]))) < abs(_skewness(rows[:, j])) - 0.5
        values = np.where(logarithmic > 0, np.log(np.where(logarithmic > 0, rows, 1.0)), rows)
        # Not std > 0: rounding gives a constant column of 0.1 a standard deviation of 1e-17.
        std = np.where(values.max(0) > values.min(0), values.std(0), 1.0)
        return cls(*(_f32(a) for a in (values.mean(0), std, logarithmic)))

    def __call__(self, value: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """The standardised value; a non-positive value of a logarithmic coordinate is treated as tiny."""
        # Never trained: a step of Adam is of the size of a weight, not of the data's units.
        mean, std = jax.lax.stop_gradient((self.mean, self.std))
        logs = jnp.log(jnp.maximum(jnp.where(self.logarithmic > 0, value, 1.0), 1e-30))
        return (jnp.where(self.logarithmic > 0, logs, value) - mean) / std


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
        return jnp.asarray(self.weight) @ value + jnp.asarray(self.bias)


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
        for one, two in self.blocks:
            hidden = hidden + two(self._units(one(self._units(hidden))))
        return self._units(hidden)

    def _units(self, hidden: Float[Array, " width"]) -> Float[Array, " width"]:
        if self.smooth == len(hidden):
            return jax.nn.silu(hidden)
        return jnp.concatenate([jax.nn.silu(hidden[: self.smooth]), jax.nn.relu(hidden[self.smooth :])])


class VectorEmbedding(eqx.Module):
    """A vector output, standardised; the network behind it sees it compressed beyond a few standard deviations."""

    standardise: Standardiser
    out_size: int = eqx.field(static=True)

    def __init__(self, x: np.ndarray, *, rng: np.random.Generator):
        del rng  # nothing here is random; embeddings share one signature
        self.standardise = Standardiser.fit(x.reshape(len(x), -1))
        self.out_size = int(np.prod(x.shape[1:]))

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, " out_size"]:
        """Embeds one output of any shape as the vector of its coordinates."""
        return self.standardise(x.reshape(-1))

    def compressed(self, embedded: Float[Array, " out_size"]) -> Float[Array, " out_size"]:
        """asinh, linear near the simulations and logarithmic far out, where a network knows nothing."""
        return jnp.arcsinh(embedded)


class SetEmbedding(eqx.Module):
    """A set of i.i.d. trials (trials, trial_dim): mean over trials of a per-trial network (Zaheer et al. 2017).

    Does not depend on the order of trials and takes any number of them.
    """

    standardise: Standardiser
    layers: tuple[Linear, ...]
    out_size: int = eqx.field(static=True)

    def __init__(self, x: np.ndarray, *, rng: np.random.Generator, width: int = 64, out_size: int = 32):
        trials = x.reshape(-1, x.shape[-1])
        self.standardise = Standardiser.fit(trials)
        sizes = (x.shape[-1], width, width, out_size)
        self.layers = tuple(Linear(sizes[i], sizes[i + 1], rng=rng) for i in range(3))
        self.out_size = out_size

    def __call__(self, x: Float[Array, "trials trial_dim"]) -> Float[Array, " out_size"]:
        """Embeds one set."""
        hidden = jax.vmap(self.layers[0])(jnp.arcsinh(jax.vmap(self.standardise)(x)))
        for layer in self.layers[1:]:
            hidden = jax.vmap(layer)(jax.nn.silu(hidden))
        return jnp.mean(hidden, axis=0)

    def compressed(self, embedded: Float[Array, " out_size"]) -> Float[Array, " out_size"]:
        """The same: trials were compressed before they were embedded."""
        return embedded


class TimeSeriesEmbedding(eqx.Module):
    """A time series (time, channels): strided convolutions, then means over four stretches of time."""

    standardise: Standardiser
    layers: tuple[eqx.nn.Conv1d, ...]
    out_size: int = eqx.field(static=True)

    _stretches = 4

    def __init__(self, x: np.ndarray, *, rng: np.random.Generator, width: int = 16):
        time, channels = x.shape[1:]
        self.standardise = Standardiser.fit(x.reshape(-1, channels))
        # Halve the series until some 16 steps are left: enough for four stretches, few enough to be quick.
        n_layers = max(1, int(np.ceil(np.log2(max(time, 2) / 16))))
        keys = [jax.random.key(int(seed)) for seed in rng.integers(2**31, size=n_layers)]
        self.layers = tuple(
            eqx.nn.Conv1d(channels if i == 0 else width, width, 5, stride=2, padding=2, key=keys[i])
            for i in range(n_layers)
        )
        self.out_size = width * self._stretches

    def __call__(self, x: Float[Array, "time channels"]) -> Float[Array, " out_size"]:
        """Embeds one series."""
        hidden = jnp.arcsinh(jax.vmap(self.standardise)(x)).T
        for layer in self.layers:
            hidden = jax.nn.silu(layer(hidden))
        edges = np.linspace(0, hidden.shape[1], self._stretches + 1).astype(int)
        parts = [
            hidden[:, low : max(high, low + 1)].mean(axis=1) for low, high in zip(edges[:-1], edges[1:], strict=True)
        ]
        return jnp.concatenate(parts)

    def compressed(self, embedded: Float[Array, " out_size"]) -> Float[Array, " out_size"]:
        """The same: values were compressed before they were embedded."""
        return embedded


Embedding = VectorEmbedding | SetEmbedding | TimeSeriesEmbedding


class PairNetwork(eqx.Module):
    """A positive function of a parameter and a target: softplus of a network, plus a mean of squares of linear maps.

    Distances grow without bound as parameter and target part, many of them as a square. A network has to learn that
    piece by piece and stops where the simulations do; the squares know it, also far beyond them. Where a distance is
    nothing of the kind they cost little: on two moons errors are the same without them.
    """

    embedding: Embedding
    network: ResidualMLP
    squares: Linear

    def __init__(self, dim: int, embedding: Embedding, width: int, depth: int, *, rng: np.random.Generator):
        in_size = dim + embedding.out_size
        self.embedding = embedding
        self.network = ResidualMLP(in_size, 1, width, depth, rng=rng)
        self.squares = Linear(in_size, width, rng=rng)

    def __call__(self, z: Float[Array, " dim"], embedded: Float[Array, " out_size"]) -> Float[Array, ""]:
        """The value for one standardised parameter and one embedded target."""
        seen = jnp.concatenate([z, self.embedding.compressed(embedded)])
        return jax.nn.softplus(self.network(seen)[0]) + jnp.mean(self.squares(jnp.concatenate([z, embedded])) ** 2)


def stack(members: list[T]) -> T:
    """Modules of one structure as one, the members along a leading axis of every array."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *members)


def _skewness(values: np.ndarray) -> float:
    std = values.std()
    return 0.0 if values.max() == values.min() else float(np.mean(((values - values.mean()) / std) ** 3))


def _f32(values: np.ndarray) -> Array:
    return jnp.asarray(values, jnp.float32)
