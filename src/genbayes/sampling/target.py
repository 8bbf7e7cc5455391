"""What a sampler is given: the Gibbs posterior of one observation, or of many."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..costs.forms import CostForm
from ..learning.success import SuccessProbability
from ..priors.prior import Prior


class Target(eqx.Module):
    """The Gibbs posterior of one observation in unconstrained coordinates u, for ONE u.

    log p(u) = log prior(u) - beta cost(theta(u), x_o, conditions) + constant, with the Jacobian of theta(u) in the
    prior. The embedded observation, known conditions, beta and the networks are traced arrays: other values compile
    nothing.

    Attributes:
        form: the networks of the cost.
        embedded: what they need to know of the observation.
        conditions: known conditions, (c,); of length 0 for most simulators.
        beta: inverse temperature, 1 / units of the distance.
        prior: over the parameters.
        success: probability that a run succeeds, by which the prior is multiplied; None where that is 1.
    """

    form: CostForm
    embedded: PyTree
    conditions: Float[Array, " c"]
    beta: Float[Array, ""]
    prior: Prior = eqx.field(static=True)
    success: SuccessProbability | None = None

    def log_prior(self, u: Float[Array, " unconstrained_dim"]) -> Float[Array, ""]:
        """Log prior density of u, Jacobian included, given that the simulator succeeds."""
        return self.prior.log_density_unconstrained(u) + self.log_success(u)

    def log_success(self, u: Float[Array, " unconstrained_dim"]) -> Float[Array, ""]:
        """Log probability that a run at theta(u) succeeds."""
        if self.success is None:
            return jnp.zeros(())
        return self.success.log_probability(jnp.concatenate([self.prior.from_unconstrained(u), self.conditions]))

    def cost(self, u: Float[Array, " unconstrained_dim"]) -> Float[Array, ""]:
        """The cost at theta(u)."""
        return self.cost_at(self.prior.from_unconstrained(u))

    def cost_at(self, theta: Float[Array, " dim"]) -> Float[Array, ""]:
        """The cost at theta, under the known conditions."""
        return self.form.value(jnp.concatenate([theta, self.conditions]), self.embedded)

    def log_density(self, u: Float[Array, " unconstrained_dim"]) -> Float[Array, ""]:
        """Unnormalised log posterior density of u."""
        return self.log_prior(u) - self.beta * self.cost(u)

    def start(self, key: PRNGKeyArray) -> Float[Array, " unconstrained_dim"]:
        """A draw from the prior."""
        return self.prior.draw_unconstrained(key)

    def parameters_and_cost(
        self, u: Float[Array, "chain draw unconstrained_dim"]
    ) -> tuple[Float[Array, "chain draw dim"], Float[Array, "chain draw"]]:
        """Parameters and cost of unconstrained draws, as `Sampled` wants them."""
        theta = self.prior.from_unconstrained(u)
        return theta, jax.vmap(jax.vmap(self.cost_at))(theta)


class Targets(eqx.Module):
    """The Gibbs posteriors of m observations at b inverse temperatures, for one prior and cost.

    Attributes:
        form: the networks.
        embedded: what they need to know of each observation; every array has m as its leading axis.
        conditions: known conditions of each.
        betas: ascending.
        prior: over the parameters.
        success: see `Target`.
    """

    form: CostForm
    embedded: PyTree
    conditions: Float[Array, "m c"]
    betas: Float[Array, " b"]
    prior: Prior = eqx.field(static=True)
    success: SuccessProbability | None = None

    def one(self, embedded: PyTree, conditions: Float[Array, " c"]) -> Target:
        """The target of one observation, at the highest beta."""
        return Target(self.form, embedded, conditions, self.betas[-1], self.prior, self.success)

    def start(self, key: PRNGKeyArray) -> Float[Array, " unconstrained_dim"]:
        """A draw from the prior."""
        return self.prior.draw_unconstrained(key)
