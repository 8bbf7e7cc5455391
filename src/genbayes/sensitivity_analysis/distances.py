"""Other distances to try on a posterior, each with a beta that makes it comparable.

Betas of different distances have different units. What can be compared is how well a distance tells parameters apart
where the simulator is right: let theta and theta' be two draws of the posterior, and x an output of theta. Then

    R = E[d(x', x)] - E[d(x'', x)],   x' an output of theta', x'' another one of theta,

is what the cost of the wrong parameter exceeds that of the right one by, and beta R the evidence between them. A
variant gets the beta' of beta' R' = beta R. Around a posterior mode the cost is a quadratic form H, and beta R =
tr(beta H C) / 2 for draws whose differences have the covariance C: equal R mean equal widths, averaged over the
directions of the posterior, for an observation that the simulator made. What differs then is due to the observation at
hand. (The number 2 beta^2 Var[cost] of effective parameters is dim for every quadratic cost, whatever beta, and could
not tell.)

Leaving a coordinate out is no change of units: beta stays, and all other coordinates count as before.

Where a failing run counts as a distance, beta times that distance is the same in all variants: what a failure says
against a parameter is no matter of how outputs are compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..costs.cost import Cost
from ..costs.forms import MarginalForm
from ..distances import AdditiveDistance, CappedError, HuberError, MeanAbsoluteError, MeanSquaredError
from ..distances.additive import placed
from ..distances.base import replaced
from ..runtime.compiling import compiled
from ..runtime.named_values import Names

# Up to as many coordinates are looked at one by one; a longer output in parts.
MOST_SINGLE = 12
# Number of outputs that each network draws at a parameter.
_DRAWS = 2
# Thresholds in replicate standard deviations: Huber's estimator has 95 % efficiency under normal noise at the first
# (Huber 1964), and normal noise hardly ever lies beyond the second.
_DELTA, _CAP = 1.345, 5.0


@dataclass(frozen=True)
class Group:
    """A part of the output that is looked at as one: a coordinate, a channel, a stretch of time.

    Attributes:
        name: what to call it.
        members: mask of the output's shape.
    """

    name: str
    members: Bool[np.ndarray, "*x_shape"]


@dataclass(frozen=True)
class Replicates:
    """By how much two runs at the same and at different draws differ in every coordinate, from the marginal networks.

    Attributes:
        same: (coordinates,), expected discrepancy of two runs at one draw.
        excess: (coordinates,), by how much that of runs at two different draws is larger.
    """

    same: Float[np.ndarray, " coordinates"]
    excess: Float[np.ndarray, " coordinates"]

    def evidence(self, weights: Float[np.ndarray, " coordinates"]) -> float:
        """R of the module's text."""
        return float(np.mean(weights * self.excess))


class ReplicateOutputs:
    """Outputs that the networks draw at some parameters of a posterior: the same for every distance to be compared."""

    def __init__(self, cost: Cost, rows: Float[np.ndarray, "m dim"], conditions: Float[Array, " c"], seed: int):
        given = [jnp.asarray(rows, jnp.float32), jnp.broadcast_to(conditions, (len(rows), len(conditions)))]
        self.inputs = cost.in_order(jnp.concatenate(given, axis=1))
        self.x = _draw(marginal_form(cost), self.inputs, jax.random.key(seed))

    def compare(self, cost: Cost) -> Replicates:
        """By the distance of a cost that has the same networks."""
        same, other = _pairs(marginal_form(cost), self.inputs, self.x)
        return Replicates(np.asarray(same, np.float64), np.asarray(other, np.float64) - np.asarray(same, np.float64))


@compiled
def _draw(form: MarginalForm, inputs: Float[Array, "m d"], key: Array) -> Float[Array, "m k coordinates"]:
    keys = jax.random.split(key, (len(inputs), _DRAWS))
    x = jax.vmap(lambda one, some: jax.vmap(lambda k: form.sample(one, k))(some))(inputs, keys)
    return x.reshape(len(inputs), -1, x.shape[-1])


@compiled
def _pairs(
    form: MarginalForm, inputs: Float[Array, "m d"], x: Float[Array, "m k coordinates"]
) -> tuple[Float[Array, " coordinates"], Float[Array, " coordinates"]]:
    """Mean discrepancy of every coordinate over pairs (input, output of it), and (input, output of another one)."""
    m = len(inputs)
    embedded = jax.vmap(jax.vmap(lambda one: form.embed(one.reshape(form.spread.shape))))(x)

    def one(row: tuple[Array, Array]) -> tuple[Array, Array]:
        index, theta = row
        values = jax.vmap(jax.vmap(lambda e: jnp.mean(form.coordinate_values(theta, e), axis=0)))(embedded)
        values = jnp.mean(values, axis=1)
        own = values[index]
        return own, (jnp.sum(values, axis=0) - own) / (m - 1)

    own, other = jax.lax.map(one, (jnp.arange(m), inputs))
    return jnp.mean(own, axis=0), jnp.mean(other, axis=0)


def marginal_form(cost: Cost) -> MarginalForm:
    """The networks of a marginal cost, or an error that says how to get one."""
    if not isinstance(cost.form, MarginalForm):
        raise ValueError(  # noqa: TRY004 (how the cost was fitted, not what was passed)
            f"sensitivity needs the distribution of every output coordinate, and the cost is a "
            f"{type(cost.form).__name__} of the distance {cost.distance.name}. Fit it as fit_cost(simulations, "
            'distance, method="marginal") with an additive distance (MeanAbsoluteError, MeanSquaredError, HuberError, '
            'CappedError); in problem.toml: [fit] method = "marginal".'
        )
    return cost.form


def output_spread(cost: Cost) -> Float[np.ndarray, "*x_shape"]:
    """Standard deviation of every output coordinate over the training simulations, after the transform, if any."""
    return np.asarray(marginal_form(cost).spread, np.float64) * cost.frame.unit


def standard_distances(cost: Cost, noise: Float[np.ndarray, "*x_shape"]) -> dict[str, AdditiveDistance]:
    """The kinds of growth with the scale at hand, and the kind at hand with other scales.

    Args:
        cost: a marginal cost.
        noise: standard deviation of every coordinate at one parameter, after the transform.
    """
    given, spread = cost.distance, output_spread(cost)
    assert isinstance(given, AdditiveDistance)
    scale, weights = np.asarray(given.scale), np.asarray(given.weights)
    used = weights > 0
    typical = float(np.median((noise / scale)[used]))
    delta, cap = (float(f"{factor * typical:.2g}") for factor in (_DELTA, _CAP))
    kinds: list[tuple[str, AdditiveDistance]] = [
        ("absolute", MeanAbsoluteError(scale, weights, given.transform)),
        ("squared", MeanSquaredError(scale, weights, given.transform)),
        (f"Huber, delta {delta:g}", HuberError(delta, scale, weights, given.transform)),
        (f"capped at {cap:g}", CappedError(cap, 1, scale, weights, given.transform)),
    ]
    found = {name: distance for name, distance in kinds if type(distance) is not type(given)}
    scales = {"prior-predictive scale": spread, "replicate-noise scale": noise}
    for name, values in scales.items():
        # One scale for all is another unit of the distance, which beta takes up.
        ratio = (values / scale)[used]
        if np.all(values[used] > 0) and np.ptp(ratio) > 0.02 * ratio.max():
            found[name] = replaced(
                given, scale=jnp.asarray(np.where(used, values, scale), jnp.float32), scale_rule="given"
            )
    return found


def without(distance: AdditiveDistance, group: Group) -> AdditiveDistance:
    """The distance with the weight of a part of the output set to 0."""
    return replaced(distance, weights=jnp.where(jnp.asarray(group.members), 0.0, placed(distance.weights)))


def output_groups(x_shape: tuple[int, ...], labels: Sequence[str] | None = None) -> list[Group]:
    """Every coordinate where there are few; else the channels (last axis) and stretches of the first axis.

    Args:
        x_shape: of one output.
        labels: of the coordinates (or, of a longer output, its channels).
    """
    size, index = int(np.prod(x_shape)), np.arange(int(np.prod(x_shape))).reshape(x_shape)
    if size <= MOST_SINGLE:
        names = _names(labels, size, "coordinate")
        return [Group(name, index == i) for i, name in enumerate(names)]
    groups = []
    channels = x_shape[-1] if len(x_shape) > 1 else 1
    if 1 < channels <= MOST_SINGLE:
        where = np.broadcast_to(np.arange(channels), x_shape)
        groups = [Group(name, where == i) for i, name in enumerate(_names(labels, channels, "channel"))]
    length = x_shape[0] if x_shape else 1
    steps = np.broadcast_to(np.arange(length).reshape(-1, *(1,) * (len(x_shape) - 1)), x_shape)
    for part in np.array_split(np.arange(length), min(6, length)):
        groups.append(Group(f"steps {part[0] + 1} to {part[-1] + 1}", (steps >= part[0]) & (steps <= part[-1])))
    return groups


def groups_by_name(outputs: Names) -> dict[str, Any] | None:
    """Every named output a group, where there are several and not too many; else None."""
    parts = list(outputs.slices())
    if not 1 < len(parts) <= MOST_SINGLE:
        return None
    return {name: np.arange(place.start, place.stop) for name, _, place in parts}


def _names(labels: Sequence[str] | None, count: int, kind: str) -> list[str]:
    if labels is None or len(labels) != count:
        if labels is not None and len(labels):
            raise ValueError(f"labels has {len(labels)} names {list(labels)}; expected {count}, one per {kind}.")
        return [f"{kind} {i + 1}" for i in range(count)]
    return [str(label) for label in labels]


def given_groups(groups: Mapping[str, Any], x_shape: tuple[int, ...]) -> list[Group]:
    """Groups from a mapping of names to masks or indices of the output."""
    found = []
    for name, where in groups.items():
        mask = np.zeros(x_shape, bool)
        try:
            mask[where if isinstance(where, tuple) else np.asarray(where)] = True
        except IndexError as error:
            raise ValueError(f"groups[{name!r}] does not index outputs of shape {x_shape}: {error}.") from error
        if not mask.any():
            raise ValueError(f"groups[{name!r}] is empty: give a mask of shape {x_shape}, or indices.")
        found.append(Group(str(name), mask))
    return found
