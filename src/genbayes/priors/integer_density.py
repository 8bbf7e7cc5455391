"""The probabilities of one parameter of whole numbers, and the stair from the reals to it, as traced numbers.

A sampler moves in real numbers. Of an integer parameter it moves u with a standard normal density, and the value is

    k(u) = the least k with P(K <= k) >= Phi(u),

a stair whose steps have the prior's probabilities under the normal density: every function of k keeps its distribution.
The density of u is smooth, and what hangs on k is constant between the edges of the steps.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree
from scipy.special import ndtri

from .family import Structure, put_together, taken_apart


class IntegerDensity(eqx.Module):
    """One parameter of whole numbers; its methods take ONE value, flat (dim,), or one unconstrained vector.

    Attributes:
        numbers: of the distribution, from which values are drawn.
        structure: of the distribution.
        low: the least value that the tables begin with.
        log_mass: log probability of every value, from `low` on.
        edges: of the steps of u, between the values.
        middles: of the steps, by probability.
        below: P(K < k) of every value, and 1.
        above: P(K >= k) of every value, and 0.
        bounds: least and greatest value of every coordinate.
    """

    numbers: PyTree
    structure: Structure = eqx.field(static=True)
    low: Float[Array, ""]
    log_mass: Float[Array, "dim values"]
    edges: Float[Array, "dim edges"]
    middles: Float[Array, "dim values"]
    below: Float[Array, "dim tails"]
    above: Float[Array, "dim tails"]
    bounds: Float[Array, "dim 2"]

    @classmethod
    def of(
        cls,
        distribution: dist.Distribution,
        low: int,
        mass: Float[np.ndarray, "dim values"],
        bounds: Float[np.ndarray, "dim 2"],
    ) -> "IntegerDensity":
        """The tables of a distribution, from the probabilities of `low` and the values after it."""
        structure, numbers = taken_apart(distribution)
        with np.errstate(divide="ignore"):
            log_mass = np.log(mass)
        below, above = _tails(mass)
        # Each tail by its own sum: 1 - 1e-12 is 1 in single precision.
        edges = np.where(below < 0.5, ndtri(below), -ndtri(above))[:, 1:-1]
        before, after = below[:, :-1] + mass / 2, above[:, 1:] + mass / 2
        middle = np.where(before < 0.5, ndtri(np.minimum(before, 1.0)), -ndtri(np.minimum(after, 1.0)))
        # What has no probability has a step of no width; its middle is never asked for.
        middles = np.where(np.isfinite(middle), middle, 0.0)
        tables = (jnp.asarray(table, jnp.float32) for table in (low, log_mass, edges, middles, below, above, bounds))
        return cls(numbers, structure, *tables)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.bounds.shape[0]

    @property
    def unconstrained_dim(self) -> int:
        """Number of unconstrained coordinates."""
        return self.dim

    def sample(self, key: PRNGKeyArray) -> Float[Array, " dim"]:
        """A draw."""
        return jnp.reshape(put_together(self.structure, self.numbers).sample(key), (self.dim,)).astype(float)

    def contains(self, value: Float[Array, " dim"]) -> Bool[Array, ""]:
        """Tell whether every coordinate is a whole number of positive probability."""
        return jnp.all(self._log_mass_of(value) > -jnp.inf)

    def log_density(self, value: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log probability of a value (dim,), -inf outside the support."""
        return jnp.sum(self._log_mass_of(value))

    def to_unconstrained(self, value: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """Map a value (dim,) to the middles of its steps, by probability; NaN outside the support."""
        place, inside = self._place(value)
        return jnp.where(inside, _each(jnp.asarray(self.middles), place), jnp.nan)

    def from_unconstrained(self, u: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """Map a real vector (dim,) to the values of the steps that it stands on."""
        edges = self.edges
        place = jnp.sum(jax.lax.stop_gradient(u)[:, None] > edges, axis=1)
        value = (place + self.low).astype(float)
        # At float edges of steps of hardly any width the count may stop at a value of probability 0 at either end.
        return jnp.clip(value, self.bounds[:, 0], self.bounds[:, 1])

    def log_density_unconstrained(self, u: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log density of the unconstrained coordinates: that of standard normal numbers."""
        finite = jnp.isfinite(u).all()
        safe = jnp.where(finite, u, 0.0)
        return jnp.where(finite, -0.5 * jnp.sum(safe**2) - 0.5 * self.dim * math.log(2 * math.pi), -jnp.inf)

    def draw_unconstrained(self, value: Float[Array, " dim"], key: PRNGKeyArray) -> Float[Array, " dim"]:
        """A draw of u given that its value is the given one (dim,): normal, between the edges of the step."""
        place, _ = self._place(value)
        share = jax.random.uniform(key, (self.dim,))
        below, above = jnp.asarray(self.below), jnp.asarray(self.above)
        low = _each(below[:, :-1], place) * (1 - share) + _each(below[:, 1:], place) * share
        high = _each(above[:, :-1], place) * (1 - share) + _each(above[:, 1:], place) * share
        tiny = float(np.finfo(np.float32).tiny)
        u = jnp.where(low < high, jax.scipy.special.ndtri(low + tiny), -jax.scipy.special.ndtri(high + tiny))
        middle = _each(jnp.asarray(self.middles), place)
        # Rounding may carry a draw over the edge of its step.
        return jnp.where(self.from_unconstrained(u) == value, u, middle)

    def _place(self, value: Float[Array, " dim"]) -> tuple[Array, Bool[Array, " dim"]]:
        """Rows of the table, and whether the values are in it with a probability."""
        size = self.log_mass.shape[1]
        whole = jnp.round(value)
        place = jnp.where(jnp.isfinite(value), whole - self.low, -1.0)
        inside = (place >= 0) & (place < size) & (whole == value)
        place = jnp.clip(place, 0, size - 1).astype(int)
        return place, inside & (_each(jnp.asarray(self.log_mass), place) > -jnp.inf)

    def _log_mass_of(self, value: Float[Array, " dim"]) -> Float[Array, " dim"]:
        place, inside = self._place(value)
        return jnp.where(inside, _each(jnp.asarray(self.log_mass), place), -jnp.inf)


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
