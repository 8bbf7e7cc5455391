"""The compiled programs that evaluate a cost, and how rows of parameters and observations are laid out for them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..distances.gaps import has_gaps
from ..runtime.compiling import compiled, in_full_precision, is_traced, on_device, over_rows
from ..runtime.named_values import fields_of
from .checked_inputs import Conditions, Numbers, Observed, check_whole_numbers, checked_conditions
from .forms import CostForm
from .frame import Frame, is_of_jax
from .named_observations import as_vector

# Observations whose members are asked in one call.
_OBSERVATIONS_TOGETHER = 16


def values_of_rows(cost: Any, theta: Numbers, x: Observed, conditions: Conditions, *, members: bool) -> Array:
    """What a call of a cost returns, or that of each of its members; see `Cost.__call__`."""
    theta = jnp.asarray(theta, jnp.float32) if is_traced(theta) else np.asarray(theta, np.float32)
    named = fields_of(x) is not None
    x = jnp.asarray(x) if not named and is_of_jax(x) else np.asarray(as_vector(x, cost.outputs), np.float64)
    frame: Frame = cost.frame
    rank = len(cost.x_shape)
    if theta.ndim == 0 or theta.shape[-1] != cost.dim:
        raise ValueError(f"theta has shape {theta.shape}, expected (..., {cost.dim}): {', '.join(cost.names)}.")
    check_whole_numbers(cost, "theta", theta, cost.names)
    if x.ndim < rank:
        raise ValueError(f"x has shape {x.shape}, expected (..., {', '.join(map(str, cost.x_shape))}).")
    batch_x, shape_x = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    cost.distance.check_target(cost.x_shape, shape_x)
    # Of traced values it is not known whether they are NaN.
    gaps = isinstance(x, np.ndarray) and cost.reads_gaps and has_gaps(x)
    if isinstance(x, np.ndarray):
        frame.transform.check(x.reshape(-1, *shape_x), "x")
        x = frame(x)
    else:
        x = frame.of_traced(x.astype(jnp.float32))
    known = checked_conditions(cost, conditions)
    batch = jnp.broadcast_shapes(theta.shape[:-1], batch_x, known.shape[:-1])
    # In numpy where that can be: every operation of JAX outside a program is a program of its own.
    xp = jnp if is_traced(theta, known, x) else np
    parts = [xp.broadcast_to(part, (*batch, part.shape[-1])) for part in (theta, known)]
    inputs = xp.concatenate(parts, axis=-1).reshape(-1, cost.dim + len(cost.condition_names))
    # An observation that all parameters share is embedded once.
    one_observation = all(length == 1 for length in batch_x)
    x = x.reshape(shape_x) if one_observation else xp.broadcast_to(x, (*batch, *shape_x)).reshape(-1, *shape_x)
    if xp is jnp:
        values = _values(cost.expectation, jnp.asarray(inputs), jnp.asarray(x), one_observation, members, gaps)
    elif one_observation:
        of_all = on_device(x)
        values = over_rows(lambda rows: _values(cost.expectation, rows, of_all, True, members, gaps), inputs)
    else:
        values = over_rows(lambda rows, own: _values(cost.expectation, rows, own, False, members, gaps), inputs, x)
    return values.reshape(*batch, *values.shape[1:])


def members_of_each(cost: Any, theta: np.ndarray, x_o: np.ndarray, conditions: np.ndarray, *, gaps: bool) -> np.ndarray:
    """The cost by each member, of each of many checked observations at parameters of its own.

    Args:
        cost: whose members are asked.
        theta: (m, k, dim).
        x_o: (m, *x_shape).
        conditions: (m, c).
        gaps: whether any observation has missing values.

    Returns:
        (m, k, members).
    """
    known = np.broadcast_to(conditions[:, None], (*theta.shape[:2], conditions.shape[1]))
    inputs = np.concatenate([theta, known], axis=2)
    # One call of many observations, since a call takes longer than a few hundred cheap rows; of one length, since each
    # is compiled.
    together = len(theta) // _OBSERVATIONS_TOGETHER * _OBSERVATIONS_TOGETHER
    blocks = [slice(k, k + _OBSERVATIONS_TOGETHER) for k in range(0, together, _OBSERVATIONS_TOGETHER)]
    blocks += [slice(k, k + 1) for k in range(together, len(theta))]
    x = cost.frame(x_o)
    parts = [_members_of_each(cost.expectation, on_device(inputs[b]), on_device(x[b]), gaps) for b in blocks]
    return np.concatenate(list(map(np.asarray, parts)))


@compiled
def _members_of_each(form: CostForm, inputs: Array, x: Array, gaps: bool) -> Array:
    def of_one(observation: tuple[Array, Array]) -> Array:
        rows, target = observation
        embedded = form.embed(target, gaps=gaps)
        return jax.vmap(lambda parameter: form.member_values(parameter, embedded))(rows)

    # One after the other on a processor, whose caches do not hold more.
    return jax.lax.map(of_one, (inputs, x), batch_size=None if jax.default_backend() == "cpu" else len(x))


# This is plain `filter_jit`, because the compiler settings of `compiled` are refused inside a jit of the user's.
@eqx.filter_jit
@in_full_precision
def _values(form: CostForm, inputs: Array, x: Array, one_observation: bool, members: bool, gaps: bool) -> Array:
    function = form.member_values if members else form.value
    if one_observation:
        embedded = form.embed(x, gaps=gaps)
        return jax.vmap(lambda parameter: function(parameter, embedded))(inputs)
    return jax.vmap(lambda parameter, target: function(parameter, form.embed(target, gaps=gaps)))(inputs, x)


@compiled
def embed_one(form: CostForm, x_o: Array, gaps: bool) -> Any:
    """What a form needs to know of one observation."""
    return form.embed(x_o, gaps=gaps)


@compiled
def embed_each(form: CostForm, x_o: Array, gaps: bool) -> Any:
    """The same of many observations, along the leading axis of every array."""
    return jax.vmap(lambda one: form.embed(one, gaps=gaps))(x_o)
