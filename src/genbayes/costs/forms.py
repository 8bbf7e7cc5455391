"""The networks behind a cost: what each computes for ONE parameter and one embedded observation.

`embed` does all that depends on the observation alone; samplers call it once and `member_values` at every step.
Where known conditions vary between observations, they stand behind the parameters in `theta`.
Array leaves of the trained parts have the ensemble members as their leading axis.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..distances import AdditiveDistance, HilbertDistance
from ..distances.additive import Growth, placed
from ..distances.base import require_fitted
from ..distances.blurred import blurred
from ..learning.distributions import Kinks, LogisticMixture
from ..learning.embeddings import PairNetwork
from ..learning.layers import Standardiser
from ..learning.mean_model import MeanModel
from ..learning.reduced_rank import Directions
from ..learning.success import SuccessProbability
from .error_of_values import ErrorOfValues
from .spread_around_mean import Spread, spread_at, spread_of_members
from .spread_shares import ObservedShare, SpreadShares


class CostForm(eqx.Module):
    """E[d(x, x_o) | theta] of one parameter and one observation, by every member of an ensemble."""

    @property
    def reads_gaps(self) -> bool:
        """Whether the cost of an observation with missing values is known, from the same networks."""
        return False

    @abstractmethod
    def embed(self, x_o: Float[Array, "*x_shape"], *, gaps: bool = False) -> PyTree:
        """What the members need to know of an observation.

        Args:
            x_o: the observation, in the frame of the cost.
            gaps: whether values may be missing (NaN), for forms that read gaps: a program of its own.
        """

    @abstractmethod
    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """Each member's cost; their mean is the cost, their spread a measure of network error."""

    def value(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, ""]:
        """The cost."""
        return jnp.mean(self.member_values(theta, embedded))


class Observed(NamedTuple):
    """An observation with gaps, ready for `HilbertForm`.

    Attributes:
        onto: what takes mean features to the observed coordinates: a factor of each (k,), or of directions a matrix
            that keeps lengths (r, r).
        features: of the observation, there.
        rest: what does not depend on the parameters.
        share: of the observed coordinates in the spread.
        each: 1 for an observed coordinate, where the spread is a sum over them; else None.
        factor: number of coordinates over that of the observed ones.
    """

    onto: Float[Array, "..."]
    features: Float[Array, " r"]
    rest: Float[Array, ""]
    share: ObservedShare | None
    each: Float[Array, " k"] | None
    factor: Float[Array, ""]


class HilbertForm(CostForm):
    """||g(theta) - features(x_o)||^2 + v(theta) + what the distance holds of x_o beyond its features.

    g regresses E[features(x) | theta]; v regresses E[s(x) - 2 <g, features(x)> + ||g||^2 | theta], the spread of
    outputs around g. Regressing s(x) itself would be right too, but its noise is that of ||x||^2, many times larger.
    v is one function, or the sum of one for each feature where their spreads vary by decades, or follows the means on
    the scales of a Gaussian process. Of many features g is regressed in a few directions, and constant across them.

    With gaps both sums run over the observed coordinates, and are divided by their number instead of all: exact where
    v is a sum of its own functions of the coordinates, else by what share of it each has (`SpreadShares`).
    """

    distance: HilbertDistance
    mean: MeanModel
    spread: Spread
    least_spread: Float[Array, ""]
    directions: Directions | None = None
    shares: SpreadShares | None = None

    @property
    def reads_gaps(self) -> bool:
        """Whether the distance does, and the spread of each coordinate is known."""
        return self.distance.reads_gaps and (self.shares is not None or self._spread_of_each)

    @property
    def _spread_of_each(self) -> bool:
        """Whether the spread is a sum over coordinates."""
        return self.directions is None and self.spread.outputs == self.mean.outputs

    def embed(
        self, x_o: Float[Array, "*x_shape"], *, gaps: bool = False
    ) -> tuple[Float[Array, " r"], Float[Array, ""]] | Observed:
        """Features of the observation along the directions, and what does not depend on the parameters."""
        if gaps:
            return self._embed_observed(x_o)
        features = self.distance.features(x_o)
        rest = self.distance.self_term(x_o) - jnp.sum(features**2)
        if self.directions is None:
            return features, rest
        return self.directions.along(features), rest + self.directions.across(features)

    def _embed_observed(self, x_o: Float[Array, "*x_shape"]) -> Observed:
        """||M (g - y)||^2 as ||R u - t||^2 + rest, with M the observed coordinates, g = c + A u and M A = Q R."""
        seen = ~jnp.isnan(x_o.reshape(-1))
        factor = seen.shape[0] / jnp.sum(seen)
        root = jnp.sqrt(factor)
        y = jnp.where(seen, self.distance.features(x_o), 0.0)
        each = seen.astype(jnp.float32) if self._spread_of_each else None
        share = None if self.shares is None or self._spread_of_each else self.shares.of(seen)
        if self.directions is None:
            onto = jnp.where(seen, root, 0.0)
            return Observed(onto, onto * y, jnp.zeros(()), share, each, factor)
        away = jnp.where(seen, root * (y - self.directions.centre), 0.0)
        turned, onto = jnp.linalg.qr(jnp.where(seen[:, None], root * self.directions.axes, 0.0))
        along = away @ turned
        return Observed(onto, along, jnp.sum((away - turned @ along) ** 2), share, each, factor)

    def _observed_value(
        self, mean: Float[Array, " r"], spread: Float[Array, " parts"], theta: Float[Array, " dim"], observed: Observed
    ) -> Float[Array, ""]:
        """The cost of an observation with gaps, from the mean features and the spread at theta."""
        at = observed.onto * mean if observed.onto.ndim == 1 else observed.onto @ mean
        if observed.each is not None:
            left = jnp.sum(observed.each * spread)
        else:
            share = None if self.shares is None or observed.share is None else self.shares(theta, observed.share)
            assert share is not None  # as `reads_gaps` says
            left = jnp.maximum(jnp.sum(spread), self.least_spread) * share
        return jnp.sum((at - observed.features) ** 2) + observed.factor * left + observed.rest

    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """Each member's cost."""
        means = eqx.filter_vmap(lambda module: module(theta))(self.mean)
        spreads = eqx.filter_vmap(lambda spread, mean: spread_at(spread, theta, mean))(self.spread, means)
        if isinstance(embedded, Observed):
            return jax.vmap(lambda mean, spread: self._observed_value(mean, spread, theta, embedded))(means, spreads)
        features, rest = embedded
        spread = jnp.sum(spreads, axis=1)
        return jnp.sum((means - features[None]) ** 2, axis=1) + jnp.maximum(spread, self.least_spread) + rest

    def value(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, ""]:
        """The cost by the members' mean prediction (the mean of their costs would count their disagreement as cost)."""
        mean = self.mean.mean_of_members(theta)
        spreads = spread_of_members(self.spread, theta, mean)
        if isinstance(embedded, Observed):
            return self._observed_value(mean, spreads, theta, embedded)
        features, rest = embedded
        # No mean lies below the smallest label; a ridge fit may, far out in the prior's tails.
        spread = jnp.maximum(jnp.sum(spreads), self.least_spread)
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
    changes without them. `spread` is the standard deviation of every coordinate over the training simulations. An
    `error` of the measurement, which the distributions have not, is integrated over in closed form.
    """

    distribution: LogisticMixture
    spread: Float[Array, "*x_shape"]
    scale: Float[Array, "*x_shape"]
    weights: Float[Array, "*x_shape"]
    growth: Growth
    error: ErrorOfValues | None = None

    @classmethod
    def of(
        cls,
        distribution: LogisticMixture,
        spread: Float[Array, "*x_shape"],
        distance: AdditiveDistance,
        error: ErrorOfValues | None = None,
    ) -> "MarginalForm":
        """The form of a fitted distance."""
        scale = require_fitted(distance.scale, spread)
        return cls(distribution, spread, scale, placed(distance.weights), distance.growth, error)

    @property
    def reads_gaps(self) -> bool:
        """Each coordinate has a part of its own, and that of a missing one is left out of the mean."""
        return True

    def embed(self, x_o: Float[Array, "*x_shape"], *, gaps: bool = False) -> MarginalTarget:
        """The coordinates, and where the distance to each has kinks."""
        y, scale, weights = (part.reshape(-1) for part in (x_o, self.scale, self.weights))
        n: int | Array = len(y)
        if gaps:
            seen = ~jnp.isnan(y)
            y, weights, n = jnp.where(seen, y, 0.0), jnp.where(seen, weights, 0.0), jnp.sum(seen)
        at, slope, curvature = self.growth.kinks()
        parts = (
            y,
            scale[:, None] * at[None],
            slope[None] / scale[:, None],
            # The square of a scale of 1e-30 would be 0.
            curvature[None] / scale[:, None] / scale[:, None],
        )
        # An error rounds off the kinks.
        blur = None if self.error is None else self.error(y[:, None] + parts[1])
        kinks = eqx.filter_vmap(lambda mixture: mixture.transform.kinks(*parts, blur))(self.distribution)
        return MarginalTarget(y, scale, weights / n, self.growth, kinks)

    def member_values(self, theta: Float[Array, " dim"], embedded: MarginalTarget) -> Float[Array, " members"]:
        """Each member's cost."""
        return jnp.sum(embedded.weight[None] * self.coordinate_values(theta, embedded), axis=1)

    def coordinate_values(
        self, theta: Float[Array, " dim"], embedded: MarginalTarget
    ) -> Float[Array, "members coordinates"]:
        """E[d_j(x_j, x_o_j) | theta] of every coordinate j, not weighted, by each member."""

        def of_member(mixture: LogisticMixture, kinks: Kinks) -> Float[Array, " coordinates"]:
            values = mixture.expectation(theta, lambda x: self._discrepancy(x, embedded), kinks)
            # The mean of a discrepancy is not negative, whatever an approximation says.
            return jnp.maximum(values, 0.0)

        return eqx.filter_vmap(of_member)(self.distribution, embedded.kinks)

    def _discrepancy(self, x: Float[Array, "coordinates m"], embedded: MarginalTarget) -> Float[Array, "coordinates m"]:
        """That of values without an error, in the mean over their errors."""
        scale = embedded.scale[:, None]
        # Both are scaled before they are subtracted: the difference of large numbers would lose what is small.
        residual = x / scale - embedded.y[:, None] / scale
        return (
            embedded.growth(residual)
            if self.error is None
            else blurred(embedded.growth, residual, self.error(x) / scale)
        )

    def sample(self, theta: Float[Array, " dim"], key: PRNGKeyArray) -> Float[Array, "members coordinates"]:
        """One output by each member, with its error: coordinates are drawn independently, for additive distances."""
        keys = jax.random.split(key, self.distribution.residual.shape[0])
        x = eqx.filter_vmap(lambda mixture, member_key: mixture.sample(theta, member_key))(self.distribution, keys)
        if self.error is None:
            return x
        return x + self.error(x.T).T * jax.random.normal(jax.random.fold_in(key, 0), x.shape)


class NetworkForm(CostForm):
    """The general cost: scale * network(theta, embedding of x_o)."""

    standardise: Standardiser
    network: PairNetwork
    scale: Float[Array, " members"]

    def embed(self, x_o: Float[Array, "*x_shape"], *, gaps: bool = False) -> Float[Array, "members width"]:
        """Each member's embedding of the observation."""
        del gaps
        return eqx.filter_vmap(lambda network: network.embedding(x_o))(self.network)

    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """Each member's cost."""

        def of_member(
            standardise: Standardiser, network: PairNetwork, target: Float[Array, " width"]
        ) -> Float[Array, ""]:
            return network(standardise(theta), target)

        return self.scale * eqx.filter_vmap(of_member)(self.standardise, self.network, embedded)


class FormAroundForm(CostForm):
    """A form that asks another one, which knows the observation."""

    form: CostForm

    @property
    def reads_gaps(self) -> bool:
        """As the inner form."""
        return self.form.reads_gaps

    def embed(self, x_o: Float[Array, "*x_shape"], *, gaps: bool = False) -> PyTree:
        """What the inner form needs to know of the observation."""
        return self.form.embed(x_o, gaps=gaps)


class PenalisedForm(FormAroundForm):
    """P(success | theta) E[d | theta, success] + (1 - P(success | theta)) penalty: a failing run is a run far away.

    The penalty is a traced array: another one compiles nothing.
    """

    success: SuccessProbability
    penalty: Float[Array, ""]

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

    def embed(self, x_o: Float[Array, "*x_shape"], *, gaps: bool = False) -> Float[Array, "*x_shape"]:
        """The observation itself."""
        del gaps
        return x_o

    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """The function's value."""
        return self.function(theta, embedded)[None]
