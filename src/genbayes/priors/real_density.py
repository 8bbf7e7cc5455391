"""The density of one parameter of real numbers, and its bijection to the reals, as functions of traced numbers."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.transforms import Transform

from .family import Structure, put_together, taken_apart

_FLOAT32 = np.finfo(np.float32)
# Images of the edges of a closed support: the outermost values that numpyro's clipped sigmoid tells apart.
_LOWEST_EDGE = math.log(float(_FLOAT32.tiny))
_HIGHEST_EDGE = -math.log(float(_FLOAT32.eps))
SIMPLEX = type(constraints.simplex)


class RealDensity(eqx.Module):
    """One parameter of real numbers; its methods take ONE value, flat (dim,), or one unconstrained vector.

    Attributes:
        numbers: of the distribution and of its support, which cannot be had from traced settings in all families.
        structure: of both.
        bounds: of every coordinate, (dim, 2).
        unconstrained_shape: of one unconstrained value.
    """

    numbers: PyTree
    structure: Structure = eqx.field(static=True)
    bounds: Float[Array, "dim 2"]
    unconstrained_shape: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, distribution: dist.Distribution, bounds: Float[np.ndarray, "dim 2"]) -> "RealDensity":
        """The density of a distribution of scalars or of vectors."""
        structure, numbers = taken_apart((distribution, distribution.support))
        shape = biject_to(distribution.support).inverse_shape(distribution.event_shape)
        return cls(numbers, structure, jnp.asarray(bounds), tuple(shape))

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.bounds.shape[0]

    @property
    def unconstrained_dim(self) -> int:
        """Number of unconstrained coordinates."""
        return math.prod(self.unconstrained_shape)

    def sample(self, key: PRNGKeyArray) -> Float[Array, " dim"]:
        """A draw."""
        distribution, _, _ = self._parts()
        return jnp.reshape(distribution.sample(key), (self.dim,)).astype(float)

    def contains(self, value: Float[Array, " dim"]) -> Bool[Array, ""]:
        """Tell whether a value is finite and inside the support."""
        distribution, support, _ = self._parts()
        finite = jnp.isfinite(value).all()
        if isinstance(support, SIMPLEX):
            # numpyro allows the sum 1e-6 of slack, which float32 rounding alone uses up in high dimension.
            slack = max(1e-6, 4 * self.dim * float(_FLOAT32.eps))
            return finite & (value >= 0).all() & (jnp.abs(value.sum() - 1) <= slack)
        return finite & support(jnp.reshape(value, distribution.event_shape))

    def log_density(self, value: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log density of a value (dim,), -inf outside the support."""
        distribution, _, _ = self._parts()
        inside = self.contains(value)
        # An interior stand-in before the formula, not only a `where` after it: otherwise the gradient is NaN.
        safe = jnp.where(inside, value, self.from_unconstrained(jnp.zeros(self.unconstrained_dim)))
        density = distribution.log_prob(jnp.reshape(safe, distribution.event_shape))
        return jnp.where(inside & ~jnp.isnan(density), density, -jnp.inf)

    def to_unconstrained(self, value: Float[Array, " dim"]) -> Float[Array, " free"]:
        """Map a value (dim,) to (unconstrained_dim,)."""
        distribution, _, bijection = self._parts()
        u = jnp.reshape(bijection.inv(jnp.reshape(value, distribution.event_shape)), (self.unconstrained_dim,))
        edge = jnp.isinf(u) & jnp.isfinite(value).all()
        return jnp.where(edge, jnp.where(u > 0, _HIGHEST_EDGE, _LOWEST_EDGE), u)

    def from_unconstrained(self, u: Float[Array, " free"]) -> Float[Array, " dim"]:
        """Map a real vector (unconstrained_dim,) to a value (dim,)."""
        _, _, bijection = self._parts()
        value = bijection(jnp.reshape(u, self.unconstrained_shape))
        # low + (high - low) * s can round to just above `high`.
        return jnp.clip(jnp.reshape(value, (self.dim,)), self.bounds[:, 0], self.bounds[:, 1])

    def log_density_unconstrained(self, u: Float[Array, " free"]) -> Float[Array, ""]:
        """Log density of the unconstrained coordinates, with the Jacobian; -inf where the value overflows."""
        distribution, _, bijection = self._parts()
        inside = self.contains(self.from_unconstrained(u))
        safe = jnp.where(inside, u, jnp.zeros_like(u))
        value = jnp.reshape(self.from_unconstrained(safe), distribution.event_shape)
        volume = bijection.log_abs_det_jacobian(jnp.reshape(safe, self.unconstrained_shape), value)
        density = distribution.log_prob(value) + volume
        return jnp.where(inside & ~jnp.isnan(density), density, -jnp.inf)

    def draw_unconstrained(self, value: Float[Array, " dim"], key: PRNGKeyArray) -> Float[Array, " free"]:
        """The unconstrained coordinates of a value; nothing is drawn, for there is one place only."""
        del key
        return self.to_unconstrained(value)

    def _parts(self) -> tuple[Any, Any, Transform]:
        """The distribution, its support and the bijection from the reals to it."""
        distribution, support = put_together(self.structure, self.numbers)
        return distribution, support, biject_to(support)
