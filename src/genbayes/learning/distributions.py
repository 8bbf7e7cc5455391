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
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .layers import ResidualMLP
from .logistic_rule import NODES, WEIGHTS, kink_errors
from .mean_model import MeanModel
from .ridge import RidgeResidual

# Kurtosis of simulated values above which tails count as heavy: a normal distribution has 3, a Laplace distribution 6.
_HEAVY = 6.0
# In scales of a component: what rounds a kink off by more leaves nothing for nodes to miss, which are 0.4 apart.
_ROUNDED = 0.1


class Components(NamedTuple):
    """Components of every coordinate: logarithms of their weights, their means and scales in transformed units."""

    log_weight: Float[Array, "coordinates components"]
    mean: Float[Array, "coordinates components"]
    scale: Float[Array, "coordinates components"]


class Kinks(NamedTuple):
    """Places where the slope and the curvature of a function of every coordinate jump.

    Attributes:
        at: the places, in transformed units.
        slope: by how much the slope jumps there.
        curvature: by how much the curvature jumps there.
        turn: how quickly the transform itself turns, per transformed unit: 0.001 in a coordinate that stays straight, 1
            in one with heavy tails.
        blur: standard deviation of the normal distribution that rounds each of them off; None for none.
    """

    at: Float[Array, "coordinates kinks"]
    slope: Float[Array, "coordinates kinks"]
    curvature: Float[Array, "coordinates kinks"]
    turn: Float[Array, " coordinates"]
    blur: Float[Array, "coordinates kinks"] | None = None


class TailTransform(eqx.Module):
    """t = width / unit * asinh((x - centre) / width) of every coordinate: logarithmic far out where tails are heavy.

    Single runs far out would otherwise set the scale for all. A coordinate without such tails stays straight, for what
    is linear in the parameters is learnt best as it is.

    Attributes:
        centre: median of the simulated values.
        width: of the straight part around the centre, in own units.
        unit: own units to one transformed unit at the centre.
        low: least simulated value.
        high: greatest simulated value.
    """

    centre: Float[Array, "*members coordinates"]
    width: Float[Array, "*members coordinates"]
    unit: Float[Array, "*members coordinates"]
    low: Float[Array, "*members coordinates"]
    high: Float[Array, "*members coordinates"]

    @classmethod
    def fit(cls, values: Float[np.ndarray, "n coordinates"]) -> "TailTransform":
        """Takes median, half the distance of the quartiles, tails and range of simulated values."""
        values = values.astype(np.float64)
        lower, centre, upper = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        std = values.std(axis=0)
        std = np.where(values.max(axis=0) > values.min(axis=0), std, 1.0)
        kurtosis = np.mean(((values - values.mean(axis=0)) / std) ** 4, axis=0)
        unit = np.where(kurtosis > _HEAVY, np.maximum(_half_width(values, lower, centre, upper), 1e-6 * std), std)
        # Within a thousand standard deviations of the width asinh is straight.
        width = np.where(kurtosis > _HEAVY, unit, 1000 * unit)
        parts = (centre, width, unit, values.min(axis=0), values.max(axis=0))
        return cls(*(jnp.asarray(part, jnp.float32) for part in parts))

    def widened(self, values: Float[np.ndarray, "n coordinates"]) -> "TailTransform":
        """The same transform, with a range that holds further values too."""
        low, high = jnp.asarray(values.min(axis=0)), jnp.asarray(values.max(axis=0))
        low, high = jnp.broadcast_to(low, self.low.shape), jnp.broadcast_to(high, self.high.shape)
        return replace(self, low=jnp.minimum(self.low, low), high=jnp.maximum(self.high, high))

    def __call__(self, x: Float[Array, " coordinates"]) -> Float[Array, " coordinates"]:
        """Transformed values."""
        return self.width / self.unit * jnp.arcsinh((x - self.centre) / self.width)

    def kinks(
        self,
        target: Float[Array, " coordinates"],
        away: Float[Array, "coordinates kinks"],
        slope: Float[Array, "coordinates kinks"],
        curvature: Float[Array, "coordinates kinks"],
        blur: Float[Array, "coordinates kinks"] | None = None,
    ) -> Kinks:
        """The kinks of f(inverse(t)), from places beside a target, on both sides alike, where f has kinks.

        With x = inverse(t), d f / d t = f'(x) x'(t) and d^2 f / d t^2 = f''(x) x'(t)^2 + f'(x) x''(t). Where the
        slope of f jumps by s and its curvature by c, the slope in t jumps by s x' and the curvature by c x'^2 (the jump
        s x'' is left out: it is of the order of the turn of the transform, by which corrections are damped). The slope
        of x = centre + width sinh(unit t / width) is x' = unit sqrt(1 + ((x - centre) / width)^2).

        Args:
            target: in own units.
            away: places less the target, in ascending order; a jump of curvature on one side has its opposite on the
                other.
            slope: by how much the slope of f jumps there.
            curvature: by how much its curvature jumps there.
            blur: standard deviation, in own units, of what rounds them off.
        """
        centre, width, unit = (part[:, None] for part in (self.centre, self.width, self.unit))
        places = target[:, None] + away
        within = self._both_reached(places)
        # A place at infinity has the jump 0, and 0 times infinity would be NaN.
        places = jnp.where(within, places, centre)
        # Both of a pair of curvatures have the slope at the target, so that they cancel where they are close.
        first, middle = (unit * jnp.sqrt(1 + ((x - centre) / width) ** 2) for x in (places, target[:, None]))
        return Kinks(
            width / unit * jnp.arcsinh((places - centre) / width),
            jnp.where(within, slope * first, 0.0),
            jnp.where(within, curvature * middle**2, 0.0),
            self.unit / self.width,
            None if blur is None else blur / first,
        )

    def _both_reached(self, places: Float[Array, "coordinates kinks"]) -> Bool[Array, "coordinates kinks"]:
        """Where outputs reach a place and the one opposite: half a pair of curvatures would not cancel far out."""
        within = (places > self.low[:, None]) & (places < self.high[:, None])
        return within & within[:, ::-1]

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


class TransformedMean(MeanModel):
    """The transformed value of a mean output: a place near the mean of transformed values.

    Attributes:
        mean: of outputs in their own units.
        transform: of every coordinate.
    """

    mean: MeanModel
    transform: TailTransform

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.mean.outputs

    @property
    def network_share(self) -> float:
        """Share of the outputs that a network predicts."""
        return self.mean.network_share

    @property
    def is_multiplicative(self) -> bool:
        """Whether some output is regressed on another scale than its own."""
        return self.mean.is_multiplicative

    def __call__(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The prediction at one parameter, by one member."""
        return self.transform(self.mean(theta))

    def mean_of_members(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The mean prediction at one parameter, of stacked members."""
        return jnp.mean(eqx.filter_vmap(lambda member: member(theta))(self), axis=0)


def _half_width(
    values: Float[np.ndarray, "n coordinates"],
    lower: Float[np.ndarray, " coordinates"],
    centre: Float[np.ndarray, " coordinates"],
    upper: Float[np.ndarray, " coordinates"],
) -> Float[np.ndarray, " coordinates"]:
    """Half the distance of the quartiles; where half of all runs give one value, the usual distance of others to it."""
    width = (upper - lower) / 2
    for j in np.flatnonzero(width == 0):
        away = np.abs(values[:, j] - centre[j])
        width[j] = np.median(away[away > 0]) if np.any(away > 0) else 0.0
    return width


class LogisticMixture(eqx.Module):
    """Components around a fit of the mean, as wide as a fit of the spread; a network says how each departs from that.

    p(t_j | theta) = sum_c exp(log_weight_jc) logistic((t_j - mean_jc) / scale_jc) / scale_jc, in transformed units t.

    Attributes:
        transform: of every coordinate, t = transform(x).
        location: fit of the mean of t.
        residual: standard deviation of t around it, over all simulations.
        floor: scale that no component is narrower than.
        network: gives the logarithms of weights, and the means and scales in units of the spread.
        relative_spread: the spread around the location in units of `residual`; None where it is that everywhere, as in
            files of earlier versions.
    """

    transform: TailTransform
    location: MeanModel
    residual: Float[Array, "*members coordinates"]
    floor: Float[Array, "*members coordinates"]
    network: ResidualMLP
    relative_spread: RidgeResidual | None = None

    def __call__(self, theta: Float[Array, " dim"]) -> Components:
        """The components of every coordinate at one parameter."""
        residual, floor = jax.lax.stop_gradient((self.residual, self.floor))
        spread = residual if self.relative_spread is None else residual * self.relative_spread(theta)
        z = self.location.standardise(theta)
        weights, means, scales = jnp.moveaxis(self.network(z).reshape(len(residual), 3, -1), 1, 0)
        # Components start side by side.
        means = means + jnp.linspace(-1.0, 1.0, means.shape[1])[None]
        return Components(
            jax.nn.log_softmax(weights, axis=1),
            jax.lax.stop_gradient(self.location)(theta)[:, None] + spread[:, None] * means,
            spread[:, None] * jnp.exp(jnp.minimum(scales - 1.0, 10.0)) + floor[:, None],
        )

    def log_density(self, theta: Float[Array, " dim"], t: Float[Array, " coordinates"]) -> Float[Array, " coordinates"]:
        """Log density of transformed values, each coordinate by itself."""
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

        The mean over components of sums over nodes, plus what these sums miss of each kink (see logistic_rule.py). That
        makes the expectation of a piecewise quadratic function of a straight coordinate exact.

        Args:
            theta: one parameter.
            function: of values of each coordinate in their own units, elementwise.
            kinks: where `function`, as a function of transformed values, is not smooth.
        """
        parts = self(theta)
        t = _nodes(parts)
        values = function(self.transform.inverse(t).reshape(len(t), -1)).reshape(t.shape)
        each = jnp.sum(values * jnp.asarray(WEIGHTS, jnp.float32)[None, None], axis=2)
        # Between the nodes of a component wider than the straight part nothing is nearly quadratic: no correction.
        damped = 1 / (1 + (parts.scale * kinks.turn[:, None]) ** 4)
        for k in range(kinks.at.shape[1]):
            missed = _missed_at_kink(parts, kinks.at[:, k], kinks.slope[:, k], kinks.curvature[:, k])
            if kinks.blur is not None:
                # What nodes miss swings to and fro between one node and the next, so that little is left of its mean.
                missed *= jnp.exp(-((kinks.blur[:, k, None] / (_ROUNDED * parts.scale)) ** 2) / 2)
            each += damped * missed
        return jnp.sum(jnp.exp(parts.log_weight) * each, axis=1)

    def sample(self, theta: Float[Array, " dim"], key: PRNGKeyArray) -> Float[Array, " coordinates"]:
        """One draw of every coordinate, each by itself: how they depend on each other is not known here."""
        parts = self(theta)
        which_key, where_key = jax.random.split(key)
        which = jax.random.categorical(which_key, parts.log_weight, axis=1)
        mean, scale = (jnp.take_along_axis(part, which[:, None], axis=1)[:, 0] for part in (parts.mean, parts.scale))
        return self.transform.inverse(mean + scale * jax.random.logistic(where_key, mean.shape))

    def atoms(
        self, theta: Float[Array, " dim"]
    ) -> tuple[Float[Array, "coordinates atoms"], Float[Array, "coordinates atoms"]]:
        """Values of every coordinate and their probabilities, which stand for its distribution in smooth averages."""
        parts = self(theta)
        t = _nodes(parts)
        probability = jnp.exp(parts.log_weight)[:, :, None] * jnp.asarray(WEIGHTS, jnp.float32)[None, None]
        coordinates = t.shape[0]
        return self.transform.inverse(t).reshape(coordinates, -1), probability.reshape(coordinates, -1)


def _nodes(parts: Components) -> Float[Array, "coordinates components nodes"]:
    """Places at which functions of the components are evaluated, in transformed units."""
    return parts.mean[:, :, None] + parts.scale[:, :, None] * jnp.asarray(NODES, jnp.float32)[None, None]


def _missed_at_kink(
    parts: Components,
    at: Float[Array, " coordinates"],
    slope: Float[Array, " coordinates"],
    curvature: Float[Array, " coordinates"],
) -> Float[Array, "coordinates components"]:
    """What the nodes of every component miss of slope (t - at)_+ + curvature (t - at)_+^2 / 2."""
    # Farther out than the tails are deep the rule is right already.
    z = jnp.clip((at[:, None] - parts.mean) / parts.scale, -15.0, 15.0)
    from_slope, from_curvature = kink_errors(z)
    return slope[:, None] * parts.scale * from_slope + curvature[:, None] * parts.scale**2 * from_curvature
