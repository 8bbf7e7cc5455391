"""What a sampler is given and what it returns."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..costs.forms import CostForm
from ..priors.prior import Prior
from ..runtime.outcome import Outcome


class Target(eqx.Module):
    """The Gibbs posterior of one observation in unconstrained coordinates u, for ONE u.

    The embedded observation, known conditions, beta and the networks are traced arrays: other values compile nothing.
    """

    form: CostForm
    embedded: PyTree
    conditions: Float[Array, " c"]
    beta: Float[Array, ""]
    prior: Prior = eqx.field(static=True)

    def log_prior(self, u: Float[Array, " unconstrained_dim"]) -> Float[Array, ""]:
        """Log prior density of u, Jacobian included."""
        return self.prior.log_density_unconstrained(u)

    def cost(self, u: Float[Array, " unconstrained_dim"]) -> Float[Array, ""]:
        """The cost at theta(u)."""
        return self.form.value(jnp.concatenate([self.prior.from_unconstrained(u), self.conditions]), self.embedded)

    def log_density(self, u: Float[Array, " unconstrained_dim"]) -> Float[Array, ""]:
        """Unnormalised log posterior density of u."""
        return self.log_prior(u) - self.beta * self.cost(u)


class Targets(eqx.Module):
    """The Gibbs posteriors of m observations at b inverse temperatures, for one prior and cost.

    Attributes:
        form: the networks.
        embedded: what they need to know of each observation; every array has m as its leading axis.
        conditions: known conditions of each.
        betas: ascending.
        prior: over the parameters.
    """

    form: CostForm
    embedded: PyTree
    conditions: Float[Array, "m c"]
    betas: Float[Array, " b"]
    prior: Prior = eqx.field(static=True)

    def one(self, embedded: PyTree, conditions: Float[Array, " c"]) -> Target:
        """The target of one observation, at the highest beta."""
        return Target(self.form, embedded, conditions, self.betas[-1], self.prior)

    def start(self, key: PRNGKeyArray) -> Float[Array, " unconstrained_dim"]:
        """A draw from the prior."""
        return self.prior.to_unconstrained(self.prior.sample_one(key))


@dataclass(frozen=True)
class Sampled:
    """What a sampler returns.

    Attributes:
        theta: (chain, draw, dim).
        cost: (chain, draw).
        statistics: what the sampler reports, by name.
        outcome: what the sampler itself finds wrong.
    """

    theta: np.ndarray
    cost: np.ndarray
    statistics: dict[str, Any]
    outcome: Outcome


@runtime_checkable
class Sampler(Protocol):
    """Anything with a name that turns a target into equal-weight draws."""

    @property
    def name(self) -> str:
        """Of the method, for reports and citations."""
        ...

    def run(self, target: Target, n: int, *, key: PRNGKeyArray) -> Sampled:
        """At least `n` draws (rounded up to a multiple of the number of chains)."""
        ...


def to_parameters(target: Target, u: Float[Array, "chain draw unconstrained_dim"]) -> tuple[Array, Array]:
    """Parameters (chain, draw, dim) and cost (chain, draw) of unconstrained draws."""
    theta = target.prior.from_unconstrained(u)
    cost = eqx.filter_vmap(eqx.filter_vmap(lambda one: target.form.value(one, target.embedded)))(theta)
    return theta, jnp.asarray(cost)
