"""The distribution of every output coordinate given the parameters: a mixture of logistic distributions.

A handful of components describe a coordinate at a parameter, however many quantiles one asks of them. On the spike
statistics of a neuron model their cost was nearer to the truth than that of a network of the distribution function at
80 or 100 grid points (docs/hodgkin_huxley.md).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.special import spence

from .layers import ResidualMLP
from .means import RidgeResidual

# Of an integral over one component: Gauss-Legendre nodes in its probability, which serve the widest components too,
# pushed out by 1 % so that they have its variance, pi^2 / 3. What a kink adds is known exactly (`_kink_errors`).
_NODES, _P = ((part + shift) / 2 for part, shift in zip(np.polynomial.legendre.leggauss(16), (1, 0), strict=True))
_Z = np.log(_NODES / (1 - _NODES))
_Z *= np.sqrt(np.pi**2 / 3 / np.sum(_P * _Z**2))
# -Li2(-u) of 0 <= u <= 1, where its nearest singularity is -1: to 1e-7.
_DILOGARITHM = np.polynomial.Chebyshev.interpolate(lambda u: -spence(1 + u), 9, domain=[0, 1]).convert(
    kind=np.polynomial.Polynomial
)
# Kurtosis: a normal distribution has 3, a Laplace distribution 6.
_HEAVY = 6.0


class Components(NamedTuple):
    """Of every coordinate: logarithms of the components' weights, their means and scales in bent units."""

    log_weight: Float[Array, "coordinates components"]
    mean: Float[Array, "coordinates components"]
    scale: Float[Array, "coordinates components"]


class Kinks(NamedTuple):
    """Of a function of every coordinate: bent places where its slope and its curvature jump, and by how much.

    `turn` is how quickly the bend itself turns, per bent unit: 0.001 in a straight coordinate, 1 in a bent one.
    """

    at: Float[Array, "coordinates kinks"]
    slope: Float[Array, "coordinates kinks"]
    curvature: Float[Array, "coordinates kinks"]
    turn: Float[Array, " coordinates"]


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

    def widened(self, values: Float[np.ndarray, "n coordinates"]) -> "Bend":
        """The same bend, with a range that holds further values too."""
        low, high = jnp.asarray(values.min(axis=0)), jnp.asarray(values.max(axis=0))
        low, high = jnp.broadcast_to(low, self.low.shape), jnp.broadcast_to(high, self.high.shape)
        return replace(self, low=jnp.minimum(self.low, low), high=jnp.maximum(self.high, high))

    def __call__(self, x: Float[Array, " coordinates"]) -> Float[Array, " coordinates"]:
        """Bent values."""
        return self.width / self.unit * jnp.arcsinh((x - self.centre) / self.width)

    def kinks(
        self,
        target: Float[Array, " coordinates"],
        away: Float[Array, "coordinates kinks"],
        slope: Float[Array, "coordinates kinks"],
        curvature: Float[Array, "coordinates kinks"],
    ) -> Kinks:
        """The kinks of f(inverse(t)), from places beside a target, on both sides alike, where f has kinks.

        Args:
            target: in own units.
            away: places less the target, in ascending order; a jump of curvature on one side has its opposite on the
                other.
            slope: by how much the slope of f jumps there.
            curvature: by how much its curvature jumps there.
        """
        centre, width, unit, low, high = (
            part[:, None] for part in (self.centre, self.width, self.unit, self.low, self.high)
        )
        at = target[:, None] + away
        # What no output reaches is none; infinity is, and would make a NaN of 0. Half a pair would not cancel far out.
        within = (at > low) & (at < high)
        within = within & within[:, ::-1]
        at = jnp.where(within, at, centre)
        # The slope of the inverse; one for both of a pair of curvatures, so that they cancel where they are close.
        first, middle = (unit * jnp.sqrt(1 + ((x - centre) / width) ** 2) for x in (at, target[:, None]))
        return Kinks(
            width / unit * jnp.arcsinh((at - centre) / width),
            jnp.where(within, slope * first, 0.0),
            jnp.where(within, curvature * middle**2, 0.0),
            self.unit / self.width,
        )

    def inverse(self, t: Float[Array, "coordinates ..."]) -> Float[Array, "coordinates ..."]:
        """Values in their own units, within the range of the simulations: sinh of a tail would have no mean."""
        centre, width, unit, low, high = (
            jax.lax.stop_gradient(part).reshape(-1, *(1,) * (t.ndim - 1))
            for part in (self.centre, self.width, self.unit, self.low, self.high)
        )
        # sinh from exp takes half the time, but loses what is nearly straight; 1 / e^2, its slope, overflows beyond 44.
        e = jnp.exp(jnp.clip(t * unit / width, -40.0, 40.0))
        away = jnp.where(width > 100 * unit, unit * t, width * (e - 1 / e) / 2)
        return jnp.clip(centre + away, low, high)


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

    def expectation(
        self,
        theta: Float[Array, " dim"],
        function: Callable[[Float[Array, "coordinates m"]], Float[Array, "coordinates m"]],
        kinks: Kinks,
    ) -> Float[Array, " coordinates"]:
        """E[function(x_j) | theta] of every coordinate j.

        A rule of nodes is right for smooth functions only. What it makes of (t - kink)_+ and of half its square is
        known, and so are their expectations under a logistic distribution: the difference is added. That makes the
        expectation of a piecewise quadratic function of a straight coordinate exact.

        Args:
            theta: one parameter.
            function: of values of each coordinate in their own units, elementwise.
            kinks: where `function`, as a function of bent values, is not smooth.
        """
        parts = self(theta)
        t = parts.mean[:, :, None] + parts.scale[:, :, None] * jnp.asarray(_Z, jnp.float32)[None, None]
        values = function(self.bend.inverse(t).reshape(len(t), -1)).reshape(t.shape)
        each = jnp.sum(values * jnp.asarray(_P, jnp.float32)[None, None], axis=2)
        # Between the nodes of a component wider than the bend nothing is nearly quadratic: the rule is left alone.
        damped = 1 / (1 + (parts.scale * kinks.turn[:, None]) ** 4)
        for at, slope, curvature in zip(*(jnp.moveaxis(part, 1, 0) for part in kinks[:3]), strict=True):
            # Farther out than the tails are deep the rule is right already.
            z = jnp.clip((at[:, None] - parts.mean) / parts.scale, -15.0, 15.0)
            from_slope, from_curvature = _kink_errors(z)
            added = slope[:, None] * parts.scale * from_slope + curvature[:, None] * parts.scale**2 * from_curvature
            each += damped * added
        return jnp.sum(jnp.exp(parts.log_weight) * each, axis=1)

    def sample(self, theta: Float[Array, " dim"], key: PRNGKeyArray) -> Float[Array, " coordinates"]:
        """One draw of every coordinate, each by itself: how they depend on each other is not known here."""
        parts = self(theta)
        which_key, where_key = jax.random.split(key)
        which = jax.random.categorical(which_key, parts.log_weight, axis=1)
        mean, scale = (jnp.take_along_axis(part, which[:, None], axis=1)[:, 0] for part in (parts.mean, parts.scale))
        return self.bend.inverse(mean + scale * jax.random.logistic(where_key, mean.shape))

    def atoms(
        self, theta: Float[Array, " dim"]
    ) -> tuple[Float[Array, "coordinates atoms"], Float[Array, "coordinates atoms"]]:
        """Values of every coordinate and their probabilities, which stand for its distribution in smooth averages."""
        parts = self(theta)
        t = parts.mean[:, :, None] + parts.scale[:, :, None] * jnp.asarray(_Z, jnp.float32)[None, None]
        probability = jnp.exp(parts.log_weight)[:, :, None] * jnp.asarray(_P, jnp.float32)[None, None]
        coordinates = t.shape[0]
        return self.bend.inverse(t).reshape(coordinates, -1), probability.reshape(coordinates, -1)


@jax.custom_jvp
def _kink_errors(z: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """E[(Z - z)_+] and E[(Z - z)_+^2] / 2 of a standard logistic Z, less what the nodes make of them.

    The expectations are log(1 + exp(-z)) and -Li2(-exp(-z)).
    """
    p, pz, pzz = _sums_beyond(z)
    u = jnp.exp(-jnp.abs(z))
    slope = jnp.log1p(u) + jnp.maximum(-z, 0.0) - (pz - z * p)
    near = jnp.polyval(jnp.asarray(_DILOGARITHM.coef[::-1], jnp.float32), u)
    curvature = jnp.where(z < 0, np.pi**2 / 6 + z**2 / 2 - near, near) - (pzz - 2 * z * pz + z**2 * p) / 2
    return slope, curvature


@_kink_errors.defjvp
def _kink_errors_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (z,), (dz,) = primals, tangents
    slope, curvature = _kink_errors(z)
    return (slope, curvature), ((_sums_beyond(z)[0] - jax.nn.sigmoid(-z)) * dz, -slope * dz)


def _sums_beyond(z: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
    """Sums of p, p node and p node^2 over the nodes beyond z."""
    sums = [jnp.zeros_like(z)] * 3
    # One comparison after the other is a third of the time of a table's.
    for node, weight in zip(_Z, _P, strict=True):
        beyond = jnp.where(node > z, jnp.float32(weight), 0.0)
        sums = [total + node**k * beyond for k, total in enumerate(sums)]
    return sums[0], sums[1], sums[2]
