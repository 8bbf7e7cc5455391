"""The networks behind a cost: what each computes for ONE parameter and one embedded observation.

`embed` does all that depends on the observation alone; samplers call it once and `member_values` at every step.
Where known conditions vary between observations, they stand behind the parameters in `theta`.
Array leaves of the trained parts have the ensemble members as their leading axis.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..distances import AdditiveDistance, HilbertDistance
from ..distances.additive import Growth
from ..distances.base import require_fitted
from ..learning.distributions import Kinks, LogisticMixture
from ..learning.embeddings import PairNetwork
from ..learning.layers import Standardiser
from ..learning.reduced_rank import Directions
from ..learning.ridge import RidgeResidual
from ..learning.success import SuccessModel


class CostForm(eqx.Module):
    """E[d(x, x_o) | theta] of one parameter and one observation, by every member of an ensemble."""

    @abstractmethod
    def embed(self, x_o: Float[Array, "*x_shape"]) -> PyTree:
        """What the members need to know of an observation."""

    @abstractmethod
    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """Each member's cost; their mean is the cost, their spread a measure of network error."""

    def value(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, ""]:
        """The cost."""
        return jnp.mean(self.member_values(theta, embedded))


class HilbertForm(CostForm):
    """||g(theta) - features(x_o)||^2 + v(theta) + what the distance holds of x_o beyond its features.

    g regresses E[features(x) | theta]; v regresses E[s(x) - 2 <g, features(x)> + ||g||^2 | theta], the spread of
    outputs around g. Regressing s(x) itself would be right too, but its noise is that of ||x||^2, many times larger.
    v is one function, or the sum of one for each feature where their spreads vary by decades. Of many features g is
    regressed in a few directions, and constant across them.
    """

    distance: HilbertDistance
    mean: RidgeResidual
    spread: RidgeResidual
    least_spread: Float[Array, ""]
    directions: Directions | None = None

    def embed(self, x_o: Float[Array, "*x_shape"]) -> tuple[Float[Array, " r"], Float[Array, ""]]:
        """Features of the observation along the directions, and what does not depend on the parameters."""
        features = self.distance.features(x_o)
        rest = self.distance.self_term(x_o) - jnp.sum(features**2)
        if self.directions is None:
            return features, rest
        return self.directions.along(features), rest + self.directions.across(features)

    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """Each member's cost."""
        features, rest = embedded
        means = eqx.filter_vmap(lambda module: module(theta))(self.mean)
        spread = jnp.sum(eqx.filter_vmap(lambda module: module(theta))(self.spread), axis=1)
        return jnp.sum((means - features[None]) ** 2, axis=1) + jnp.maximum(spread, self.least_spread) + rest

    def value(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, ""]:
        """The cost by the members' mean prediction (the mean of their costs would count their disagreement as cost)."""
        features, rest = embedded
        mean = mean_prediction(self.mean, theta)
        # No mean lies below the smallest label; a ridge fit may, far out in the prior's tails.
        spread = jnp.maximum(jnp.sum(mean_prediction(self.spread, theta)), self.least_spread)
        return jnp.sum((mean - features) ** 2) + spread + rest


class MarginalTarget(NamedTuple):
    """An observation and a distance, ready for `MarginalForm`: all that changes with either, and no network."""

    y: Float[Array, " coordinates"]
    scale: Float[Array, " coordinates"]
    weight: Float[Array, " coordinates"]
    growth: Growth
    kinks: Kinks


class MarginalForm(CostForm):
    """The mean over coordinates j of E[d_j(x_j, x_o_j) | theta]: any additive distance.

    The networks give the distribution of every output coordinate; the distance is in a few numbers beside them, and
    changes without them. `spread` is the standard deviation of every coordinate over the training simulations.
    """

    distribution: LogisticMixture
    spread: Float[Array, "*x_shape"]
    scale: Float[Array, "*x_shape"]
    weights: Float[Array, "*x_shape"]
    growth: Growth

    @classmethod
    def of(
        cls, distribution: LogisticMixture, spread: Float[Array, "*x_shape"], distance: AdditiveDistance
    ) -> "MarginalForm":
        """The form of a fitted distance."""
        return cls(distribution, spread, require_fitted(distance.scale, spread), distance.weights, distance.growth)

    def embed(self, x_o: Float[Array, "*x_shape"]) -> MarginalTarget:
        """The coordinates, and where the distance to each has kinks."""
        y, scale, weights = (part.reshape(-1) for part in (x_o, self.scale, self.weights))
        at, slope, curvature = self.growth.kinks()
        parts = (
            y,
            scale[:, None] * at[None],
            slope[None] / scale[:, None],
            # The square of a scale of 1e-30 would be 0.
            curvature[None] / scale[:, None] / scale[:, None],
        )
        kinks = eqx.filter_vmap(lambda mixture: mixture.transform.kinks(*parts))(self.distribution)
        return MarginalTarget(y, scale, weights / len(y), self.growth, kinks)

    def member_values(self, theta: Float[Array, " dim"], embedded: MarginalTarget) -> Float[Array, " members"]:
        """Each member's cost."""
        return jnp.sum(embedded.weight[None] * self.coordinate_values(theta, embedded), axis=1)

    def coordinate_values(
        self, theta: Float[Array, " dim"], embedded: MarginalTarget
    ) -> Float[Array, "members coordinates"]:
        """E[d_j(x_j, x_o_j) | theta] of every coordinate j, not weighted, by each member."""

        def of_member(mixture: LogisticMixture, kinks: Kinks) -> Float[Array, " coordinates"]:
            values = mixture.expectation(
                theta,
                # Both are scaled before they are subtracted: the difference of large numbers would lose what is small.
                lambda x: embedded.growth(x / embedded.scale[:, None] - (embedded.y / embedded.scale)[:, None]),
                kinks,
            )
            # The mean of a discrepancy is not negative, whatever an approximation says.
            return jnp.maximum(values, 0.0)

        return eqx.filter_vmap(of_member)(self.distribution, embedded.kinks)

    def sample(self, theta: Float[Array, " dim"], key: PRNGKeyArray) -> Float[Array, "members coordinates"]:
        """One output by each member: its coordinates are drawn independently, which additive distances do not see."""
        keys = jax.random.split(key, self.distribution.residual.shape[0])
        return eqx.filter_vmap(lambda mixture, member_key: mixture.sample(theta, member_key))(self.distribution, keys)


class NetworkForm(CostForm):
    """The general cost: scale * network(theta, embedding of x_o)."""

    standardise: Standardiser
    network: PairNetwork
    scale: Float[Array, " members"]

    def embed(self, x_o: Float[Array, "*x_shape"]) -> Float[Array, "members width"]:
        """Each member's embedding of the observation."""
        return eqx.filter_vmap(lambda network: network.embedding(x_o))(self.network)

    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """Each member's cost."""

        def of_member(
            standardise: Standardiser, network: PairNetwork, target: Float[Array, " width"]
        ) -> Float[Array, ""]:
            return network(standardise(theta), target)

        return self.scale * eqx.filter_vmap(of_member)(self.standardise, self.network, embedded)


class PenalisedForm(CostForm):
    """P(success | theta) E[d | theta, success] + (1 - P(success | theta)) penalty: a failing run is a run far away.

    The penalty is a traced array: another one compiles nothing.
    """

    form: CostForm
    success: SuccessModel
    penalty: Float[Array, ""]

    def embed(self, x_o: Float[Array, "*x_shape"]) -> PyTree:
        """What the form of the runs that succeed needs to know."""
        return self.form.embed(x_o)

    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """Each member's cost, by the one probability of success."""
        return self.over_all_runs(theta, self.form.member_values(theta, embedded))

    def value(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, ""]:
        """The cost by the mean prediction of the form of the runs that succeed."""
        return self.over_all_runs(theta, self.form.value(theta, embedded))

    def over_all_runs(self, theta: Float[Array, " dim"], values: Float[Array, "*k"]) -> Float[Array, "*k"]:
        """The expectation over all runs at theta of what has these expectations over those that succeed."""
        success, failure = self.success.probabilities(theta)
        return success * values + failure * self.penalty


class FunctionForm(CostForm):
    """A cost that is known: stands in for a network wherever the two are to be told apart."""

    function: Callable[[Array, Array], Array] = eqx.field(static=True)

    def embed(self, x_o: Float[Array, "*x_shape"]) -> Float[Array, "*x_shape"]:
        """The observation itself."""
        return x_o

    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """The function's value."""
        return self.function(theta, embedded)[None]


def mean_prediction(ensemble: RidgeResidual, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
    """The members' mean prediction at one parameter.

    Their ridge fits are merged: members share a basis, and the mean of linear functions costs as much as one.
    """
    merged = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), replace(ensemble, network=None))
    z = merged.standardise(theta)
    ridge = merged.ridge(z)
    if ensemble.network is None:
        return merged.linked(ridge)
    networks = eqx.filter_vmap(lambda network, scale: scale * network(z))(ensemble.network, ensemble.scale)
    return merged.linked(ridge + jnp.mean(networks, axis=0))
