"""One named parameter of whole numbers: a numpyro distribution with finite support, and a stair from the reals to it.

A sampler moves in real numbers. Of an integer parameter it moves u with a standard normal density, and the value is

    k(u) = the least k with P(K <= k) >= Phi(u),

a stair whose steps have the prior's probabilities under the normal density: every function of k keeps its distribution.
The density of u is smooth, and what hangs on k is constant between the edges of the steps.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpyro.distributions import constraints
from scipy.special import ndtri

# Integers up to this many values have a table of their probabilities.
MOST_VALUES = 10_000
# Integers of at most this many values are learned value by value; of more, as a number like any other.
MOST_LEVELS = 30
# Whole numbers beyond it are not all told apart in single precision.
_LARGEST = 2**24
# Distributions whose values are labels: the first and the last are no bounds that data could press against.
_LABELS = (dist.BernoulliProbs, dist.BernoulliLogits, dist.CategoricalProbs, dist.CategoricalLogits)


class IntegerParameter:
    """A named scalar or vector parameter of whole numbers; values have the flat shape (..., dim) and are floats."""

    integer = True

    def __init__(self, name: str, distribution: dist.Distribution):
        """Tabulates the probabilities of all values.

        Args:
            name: of the parameter, checked.
            distribution: over integers, with `batch_shape` () or (k,).

        Raises:
            ValueError: infinitely many values, more than 10,000, or probabilities that do not add up to 1.
        """
        self.name = name
        self.distribution = distribution
        self.event_shape = distribution.event_shape
        self.dim = math.prod(self.event_shape)
        self.unconstrained_dim = self.dim
        self.names = tuple(f"{name}[{i}]" for i in range(self.dim)) if self.event_shape else (name,)
        base: Any = distribution.base_dist if isinstance(distribution, dist.Independent) else distribution
        inner = base.base_dist if isinstance(base, dist.ExpandedDistribution) else base
        self.has_labels = isinstance(inner, _LABELS)
        low, mass = _table(name, base, self.dim)
        self._low = low
        # Values without probability are outside the support.
        self.levels = tuple(low + np.flatnonzero(row > 0) for row in mass)
        self.bounds = np.array([(values[0], values[-1]) for values in self.levels], np.float32)
        with np.errstate(divide="ignore"):
            self._log_mass = np.log(mass).astype(np.float32)
        below, above = _tails(mass)
        # Each tail by its own sum: 1 - 1e-12 is 1 in single precision.
        edges = np.where(below < 0.5, ndtri(below), -ndtri(above))
        self._edges = edges[:, 1:-1].astype(np.float32)
        before, after = below[:, :-1] + mass / 2, above[:, 1:] + mass / 2
        middle = np.where(before < 0.5, ndtri(np.minimum(before, 1.0)), -ndtri(np.minimum(after, 1.0)))
        # What has no probability has a step of no width; its middle is never asked for.
        self._middle = np.where(np.isfinite(middle), middle, 0.0).astype(np.float32)
        self._below, self._above = below.astype(np.float32), above.astype(np.float32)

    def __repr__(self) -> str:
        return f"IntegerParameter({self.name!r}, {type(self.distribution).__name__})"

    # The methods below take ONE value; Prior batches them.

    def contains(self, value: Float[Array, " dim"]) -> Bool[Array, ""]:
        """Tell whether every coordinate is a whole number of positive probability."""
        return jnp.all(self._log_mass_of(value) > -jnp.inf)

    def log_density(self, value: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log probability of a value (dim,), -inf outside the support."""
        return jnp.sum(self._log_mass_of(value))

    def to_unconstrained(self, value: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """Map a value (dim,) to the middles of its steps, by probability; NaN outside the support."""
        place, inside = self._place(value)
        return jnp.where(inside, _each(jnp.asarray(self._middle), place), jnp.nan)

    def from_unconstrained(self, u: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """Map a real vector (dim,) to the values of the steps that it stands on."""
        edges = jnp.asarray(self._edges)
        place = jnp.sum(jax.lax.stop_gradient(u)[:, None] > edges, axis=1)
        value = (place + self._low).astype(float)
        # At float edges of steps of hardly any width the count may stop at a value of probability 0 at either end.
        return jnp.clip(value, jnp.asarray(self.bounds[:, 0]), jnp.asarray(self.bounds[:, 1]))

    def log_density_unconstrained(self, u: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log density of the unconstrained coordinates: that of standard normal numbers."""
        finite = jnp.isfinite(u).all()
        safe = jnp.where(finite, u, 0.0)
        return jnp.where(finite, -0.5 * jnp.sum(safe**2) - 0.5 * self.dim * math.log(2 * math.pi), -jnp.inf)

    def draw_unconstrained(self, value: Float[Array, " dim"], key: PRNGKeyArray) -> Float[Array, " dim"]:
        """A draw of u given that its value is the given one (dim,): normal, between the edges of the step."""
        place, _ = self._place(value)
        share = jax.random.uniform(key, (self.dim,))
        below, above = jnp.asarray(self._below), jnp.asarray(self._above)
        low = _each(below[:, :-1], place) * (1 - share) + _each(below[:, 1:], place) * share
        high = _each(above[:, :-1], place) * (1 - share) + _each(above[:, 1:], place) * share
        tiny = float(np.finfo(np.float32).tiny)
        u = jnp.where(low < high, jax.scipy.special.ndtri(low + tiny), -jax.scipy.special.ndtri(high + tiny))
        middle = _each(jnp.asarray(self._middle), place)
        # Rounding may carry a draw over the edge of its step.
        return jnp.where(self.from_unconstrained(u) == value, u, middle)

    def _place(self, value: Float[Array, " dim"]) -> tuple[Array, Bool[Array, " dim"]]:
        """Rows of the table, and whether the values are in it with a probability."""
        size = self._log_mass.shape[1]
        whole = jnp.round(value)
        place = jnp.where(jnp.isfinite(value), whole - self._low, -1.0)
        inside = (place >= 0) & (place < size) & (whole == value)
        place = jnp.clip(place, 0, size - 1).astype(int)
        return place, inside & (_each(jnp.asarray(self._log_mass), place) > -jnp.inf)

    def _log_mass_of(self, value: Float[Array, " dim"]) -> Float[Array, " dim"]:
        place, inside = self._place(value)
        return jnp.where(inside, _each(jnp.asarray(self._log_mass), place), -jnp.inf)


def _each(table: Float[Array, "dim values"], place: Array) -> Float[Array, " dim"]:
    """One entry of every row."""
    return jnp.take_along_axis(table, place[:, None], axis=1)[:, 0]


def _tails(mass: Float[np.ndarray, "dim values"]) -> tuple[np.ndarray, np.ndarray]:
    """P(K < k) and P(K >= k) of every value and of the one after the last, (dim, values + 1)."""
    start = np.zeros((len(mass), 1))
    below = np.concatenate([start, np.cumsum(mass, axis=1)], axis=1)
    above = np.concatenate([np.cumsum(mass[:, ::-1], axis=1)[:, ::-1], start], axis=1)
    below[:, -1], above[:, 0] = 1.0, 1.0
    return below, above


def _limits(name: str, base: Any, dim: int) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, " dim"]]:
    """The least and the greatest value of every coordinate."""
    support, kind = base.support, _kind(base)
    if base.event_shape:
        raise ValueError(
            f"Parameter {name!r} has the distribution {kind} of vectors of whole numbers that depend on one another; "
            "expected independent ones, such as Binomial(total_count, probs) with arrays of settings."
        )
    if support is constraints.boolean:
        return np.zeros(dim), np.ones(dim)
    if not isinstance(support, type(constraints.integer_interval(0, 1))):
        raise ValueError(  # noqa: TRY004 (a wrong value of the right type)
            f"Parameter {name!r} has the distribution {kind} over infinitely many whole numbers; expected a finite "
            "number of them. State the largest that is possible: numpyro.distributions.Categorical(probs) with the "
            "probabilities of 0, 1, 2, ..., Binomial(total_count, probs) or DiscreteUniform(low, high)."
        )
    both = (np.asarray(part, float).reshape(-1) for part in (support.lower_bound, support.upper_bound))
    low, high = (np.broadcast_to(part, (dim,)) for part in both)
    return low, high


def _kind(base: Any) -> str:
    return type(base.base_dist if isinstance(base, dist.ExpandedDistribution) else base).__name__


def _table(name: str, base: Any, dim: int) -> tuple[int, Float[np.ndarray, "dim values"]]:
    """The least value of all coordinates, and the probabilities of all values from it on."""
    kind, (low, high) = _kind(base), _limits(name, base, dim)
    if not (low <= high).all():
        raise ValueError(
            f"Parameter {name!r} has no room between its limits {low.tolist()} and {high.tolist()}. The lower one "
            "comes first."
        )
    first, last = int(low.min()), int(high.max())
    if max(abs(first), abs(last)) >= _LARGEST:
        raise ValueError(
            f"Parameter {name!r} ({kind}) has values from {first} to {last}, of which single precision, in which "
            f"parameters are computed, does not tell all apart: take the difference from {first} instead, and add that "
            "inside the simulator."
        )
    if last - first >= MOST_VALUES:
        raise ValueError(
            f"Parameter {name!r} ({kind}) has {last - first + 1:,} values from {first} to {last}, and at most "
            f"{MOST_VALUES:,} are tabulated: take a continuous distribution, and round inside the simulator."
        )
    values = np.arange(first, last + 1)
    shape = tuple(base.batch_shape)
    # One at a time, because numpyro's formulas rely on implicit broadcasting.
    log_mass = jax.vmap(lambda value: base.log_prob(jnp.full(shape, value)))(jnp.asarray(values))
    mass = np.exp(np.asarray(log_mass, np.float64)).reshape(len(values), dim).T
    inside = (values >= low[:, None]) & (values <= high[:, None])
    mass = np.where(inside & np.isfinite(mass), mass, 0.0)
    total = mass.sum(axis=1, keepdims=True)
    if not np.all(np.abs(total - 1) < 1e-3):
        raise ValueError(
            f"Parameter {name!r} ({kind}) has probabilities that add up to {np.round(total[:, 0], 6).tolist()}, not to "
            "1: check the settings of the distribution."
        )
    mass /= total
    if not np.all((mass > 0).sum(axis=1) > 1):
        raise ValueError(
            f"Parameter {name!r} ({kind}) has a single value. Leave it out and set it inside the simulator."
        )
    return first, mass
