"""The distribution of every output coordinate given the parameters: a mixture of logistic distributions.

A handful of components describe a coordinate at a parameter, however many quantiles one asks of them. On the spike
statistics of a neuron model their cost was nearer to the truth than that of a network of the distribution function at
80 or 100 grid points (docs/hodgkin_huxley.md).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .networks import ResidualMLP
from .regression import RidgeResidual

# Of an integral over one component: Gauss-Legendre nodes in its probability.
_NODES, _WEIGHTS = ((part + shift) / 2 for part, shift in zip(np.polynomial.legendre.leggauss(16), (1, 0), strict=True))
_LOGITS = np.log(_NODES / (1 - _NODES))
# Kurtosis: a normal distribution has 3, a Laplace distribution 6.
_HEAVY = 6.0


class Components(NamedTuple):
    """Of every coordinate: logarithms of the components' weights, their means and scales in bent units."""

    log_weight: Float[Array, "coordinates components"]
    mean: Float[Array, "coordinates components"]
    scale: Float[Array, "coordinates components"]


class Bend(eqx.Module):
    """t = width / unit * asinh((x - centre) / width) of every coordinate: logarithmic far out where tails are heavy.

    Single runs far out would otherwise set the scale for all. A coordinate without such tails stays straight, for what
    is linear in the parameters is learnt best as it is.
    """

    centre: Float[Array, "*members coordinates"]
    width: Float[Array, "*members coordinates"]
    unit: Float[Array, "*members coordinates"]
    low: Float[Array, "*members coordinates"]
    high: Float[Array, "*members coordinates"]

    @classmethod
    def fit(cls, values: Float[np.ndarray, "n coordinates"]) -> "Bend":
        """Takes median, half the distance of the quartiles, tails and range of simulated values."""
        values = values.astype(np.float64)
        lower, centre, upper = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        std = values.std(axis=0)
        std = np.where(values.max(axis=0) > values.min(axis=0), std, 1.0)
        kurtosis = np.mean(((values - values.mean(axis=0)) / std) ** 4, axis=0)
        # Where half of all runs give one value the quartiles meet.
        unit = np.where(kurtosis > _HEAVY, np.maximum((upper - lower) / 2, 0.02 * std), std)
        # Of a thousand standard deviations asinh is straight.
        width = np.where(kurtosis > _HEAVY, unit, 1000 * unit)
        parts = (centre, width, unit, values.min(axis=0), values.max(axis=0))
        return cls(*(jnp.asarray(part, jnp.float32) for part in parts))

    def __call__(self, x: Float[Array, " coordinates"]) -> Float[Array, " coordinates"]:
        """Bent values."""
        return self.width / self.unit * jnp.arcsinh((x - self.centre) / self.width)

    def inverse(self, t: Float[Array, "coordinates ..."]) -> Float[Array, "coordinates ..."]:
        """Values in their own units, within the range of the simulations: sinh of a tail would have no mean."""
        centre, width, unit, low, high = (
            jax.lax.stop_gradient(part).reshape(-1, *(1,) * (t.ndim - 1))
            for part in (self.centre, self.width, self.unit, self.low, self.high)
        )
        # Beyond 60 sinh overflows in float32.
        return jnp.clip(centre + width * jnp.sinh(jnp.clip(t * unit / width, -60.0, 60.0)), low, high)


class LogisticMixture(eqx.Module):
    """Components around a polynomial ridge fit; a network says how far from it, how wide and how likely each is."""

    bend: Bend
    location: RidgeResidual
    residual: Float[Array, "*members coordinates"]
    floor: Float[Array, "*members coordinates"]
    network: ResidualMLP

    def __call__(self, theta: Float[Array, " dim"]) -> Components:
        """The components of every coordinate at one parameter."""
        residual, floor = jax.lax.stop_gradient((self.residual, self.floor))
        z = self.location.standardise(theta)
        weights, means, scales = jnp.moveaxis(self.network(z).reshape(len(residual), 3, -1), 1, 0)
        # Components start side by side.
        means = means + jnp.linspace(-1.0, 1.0, means.shape[1])[None]
        return Components(
            jax.nn.log_softmax(weights, axis=1),
            self.location(theta)[:, None] + residual[:, None] * means,
            residual[:, None] * jnp.exp(jnp.minimum(scales - 1.0, 10.0)) + floor[:, None],
        )

    def log_density(self, theta: Float[Array, " dim"], t: Float[Array, " coordinates"]) -> Float[Array, " coordinates"]:
        """Log density of bent values, each coordinate by itself."""
        parts = self(theta)
        away = (t[:, None] - parts.mean) / parts.scale
        each = jax.nn.log_sigmoid(away) + jax.nn.log_sigmoid(-away) - jnp.log(parts.scale)
        return jax.nn.logsumexp(parts.log_weight + each, axis=1)

    def atoms(
        self, theta: Float[Array, " dim"]
    ) -> tuple[Float[Array, "coordinates atoms"], Float[Array, "coordinates atoms"]]:
        """Values of every coordinate and their probabilities, which stand for its distribution in any expectation."""
        parts = self(theta)
        t = parts.mean[:, :, None] + parts.scale[:, :, None] * jnp.asarray(_LOGITS, jnp.float32)[None, None]
        probability = jnp.exp(parts.log_weight)[:, :, None] * jnp.asarray(_WEIGHTS, jnp.float32)[None, None]
        coordinates = t.shape[0]
        return self.bend.inverse(t).reshape(coordinates, -1), probability.reshape(coordinates, -1)
