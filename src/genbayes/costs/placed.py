"""Forms and probabilities of success that take their inputs from places of another vector, and sums of such forms.

A parameter that is held at a value stands among the known conditions, behind the parameters, and not where the networks
expect it; and several costs that share parameters each take theirs from one vector of all.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..learning.success import SuccessProbability
from .forms import CostForm, FormAroundForm


class Places(eqx.Module):
    """Where a form finds its inputs: in the vector that it is given, followed by numbers that are known.

    Attributes:
        order: the place of each input in the vector and, behind it, `known`.
        known: numbers of its own, such as the known conditions of one data set; a traced array.
    """

    order: tuple[int, ...] = eqx.field(static=True)
    known: Float[Array, " c"]

    def __call__(self, inputs: Float[Array, " inputs"]) -> Float[Array, " own"]:
        """The form's own inputs."""
        return jnp.concatenate([inputs, self.known])[jnp.asarray(self.order)]


class PlacedForm(FormAroundForm):
    """A form whose inputs stand in other places."""

    places: Places

    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """Each member's cost."""
        return self.form.member_values(self.places(theta), embedded)

    def value(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, ""]:
        """The form's own value."""
        return self.form.value(self.places(theta), embedded)


class PlacedSuccess(SuccessProbability):
    """A probability of success whose inputs stand in other places."""

    success: SuccessProbability
    places: Places

    def log_probability(self, theta: Float[Array, " inputs"]) -> Float[Array, ""]:
        """Log of the probability of success."""
        return self.success.log_probability(self.places(theta))

    def probabilities(self, theta: Float[Array, " inputs"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The probabilities of success and of failure."""
        return self.success.probabilities(self.places(theta))


class WeightedSum(CostForm):
    """sum_i weight_i form_i: the costs of several data sets, each times its inverse temperature.

    What it is given as embedded is a tuple of what each form needs to know of its own observation. Weights are a traced
    array: others compile nothing.
    """

    forms: tuple[CostForm, ...]
    weights: Float[Array, " forms"]

    def embed(self, x_o: Float[Array, "*x_shape"], *, gaps: bool = False) -> PyTree:
        """Refused, for every form has an observation of its own."""
        del x_o, gaps
        raise NotImplementedError("a sum of forms has no one observation: embed that of each form by itself.")

    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """The sum as a single member: members of different costs have nothing to do with one another."""
        return self.value(theta, embedded)[None]

    def value(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, ""]:
        """The sum of the forms' values."""
        values = [form.value(theta, own) for form, own in zip(self.forms, embedded, strict=True)]
        return jnp.sum(self.weights * jnp.stack(values))


class ProductOfSuccesses(SuccessProbability):
    """The probability that runs for several data sets, which fail independently, all succeed."""

    parts: tuple[SuccessProbability, ...]

    def log_probability(self, theta: Float[Array, " inputs"]) -> Float[Array, ""]:
        """Log of the product."""
        return jnp.sum(jnp.stack([part.log_probability(theta) for part in self.parts]))

    def probabilities(self, theta: Float[Array, " inputs"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The product, and what it leaves to 1."""
        log_success = self.log_probability(theta)
        return jnp.exp(log_success), -jnp.expm1(log_success)
