"""Networks that read an observation, and the network of a parameter and an observation together."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..distances.unequal_sets import all_trials, shares
from .layers import Linear, ResidualMLP, Standardiser


class VectorEmbedding(eqx.Module):
    """A vector output, standardised; the network behind it sees it compressed beyond a few standard deviations.

    Args:
        x: outputs (n, *x_shape) that it is fitted to.
        rng: source of the first weights, of which there are none.
    """

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

    Does not depend on the order of trials and takes any number of them; a row of NaN is no trial.

    Args:
        x: outputs (n, trials, trial_dim) that it is fitted to.
        rng: source of the first weights.
        width: units of a hidden layer.
        out_size: length of the embedding.
    """

    standardise: Standardiser
    layers: tuple[Linear, ...]
    out_size: int = eqx.field(static=True)

    def __init__(self, x: np.ndarray, *, rng: np.random.Generator, width: int = 64, out_size: int = 32):
        self.standardise = Standardiser.fit(all_trials(x))
        sizes = (x.shape[-1], width, width, out_size)
        self.layers = tuple(Linear(sizes[i], sizes[i + 1], rng=rng) for i in range(3))
        self.out_size = out_size

    def __call__(self, x: Float[Array, "trials trial_dim"]) -> Float[Array, " out_size"]:
        """Embeds one set."""
        trials, share = shares(x)
        hidden = jax.vmap(self.layers[0])(jnp.arcsinh(jax.vmap(self.standardise)(trials)))
        for layer in self.layers[1:]:
            hidden = jax.vmap(layer)(jax.nn.silu(hidden))
        return jnp.sum(hidden * share[:, None], axis=0)

    def compressed(self, embedded: Float[Array, " out_size"]) -> Float[Array, " out_size"]:
        """The same: trials were compressed before they were embedded."""
        return embedded


class TimeSeriesEmbedding(eqx.Module):
    """A time series (time, channels): strided convolutions, then means over four stretches of time.

    Args:
        x: outputs (n, time, channels) that it is fitted to.
        rng: source of the first weights.
        width: channels of every convolution.
    """

    standardise: Standardiser
    layers: tuple[eqx.nn.Conv1d, ...]
    out_size: int = eqx.field(static=True)

    stretches = 4

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
        self.out_size = width * self.stretches

    def __call__(self, x: Float[Array, "time channels"]) -> Float[Array, " out_size"]:
        """Embeds one series."""
        hidden = jnp.arcsinh(jax.vmap(self.standardise)(x)).T
        for layer in self.layers:
            hidden = jax.nn.silu(layer(hidden))
        edges = np.linspace(0, hidden.shape[1], self.stretches + 1).astype(int)
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

    Args:
        dim: number of parameters.
        embedding: reads the target.
        width: of the network's hidden layers, and number of squares.
        depth: residual blocks of the network.
        rng: source of the first weights.
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
