"""One named parameter of whole numbers: a numpyro distribution with finite support, as a table of probabilities."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Float
from numpyro.distributions import constraints

from .integer_density import IntegerDensity

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
        # Values without probability are outside the support.
        self.levels = tuple(low + np.flatnonzero(row > 0) for row in mass)
        self.bounds = np.array([(values[0], values[-1]) for values in self.levels], np.float32)
        self.density = IntegerDensity.of(distribution, low, mass, self.bounds)

    def __repr__(self) -> str:
        return f"IntegerParameter({self.name!r}, {type(self.distribution).__name__})"


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
