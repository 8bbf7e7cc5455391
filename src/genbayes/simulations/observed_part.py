"""A simulator without the outputs that are never observed, which it may leave as NaN: cells of land, days of no survey.

A run with NaN is a run that failed, and that stays so wherever something is observed. What is never observed is left
out before anything is stored, so that nothing later has to know of it.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..runtime.named_values import fields_of, without_mask
from .simulators import qualified_name


def where_observed(simulator: Callable[..., Any], x_o: Any) -> tuple[Callable[..., Any], Any]:
    """The simulator and an observation, both as the vector of those values that are observed.

    Args:
        simulator: `simulator(theta, rng)` or `simulator(key, theta)`, with `conditions` as a third argument or without;
            NaN in its outputs where x_o has NaN is no failure.
        x_o: the observation, in the form of one output; NaN marks what is never observed. Of outputs by name a mapping
            with all of them: what is observed of each keeps its name.

    Returns:
        A simulator of the same kind, under the same name in stores with "where observed", for `simulate`, checks and
        refinement; and the observed values, in the order of an output's values (the last axis runs fastest), or by
        name.

    Raises:
        TypeError: the simulator is no function, or x_o holds no numbers.
        ValueError: x_o has infinite values, none that is observed, or no missing ones; a run whose output has another
            shape than x_o fails for this reason.

    Example:
        >>> sea, x_sea = gb.where_observed(simulator, x_o)
        >>> simulations = gb.simulate(sea, prior, 10_000, seed=0)
    """
    if not callable(simulator):
        raise TypeError(f"simulator must be a function, got {type(simulator).__name__}.")
    fields = fields_of(x_o)
    if fields is not None:
        return _by_name(simulator, {name: np.asarray(part, np.float64) for name, part in fields.items()})
    values = np.asarray(without_mask(x_o))
    if values.dtype.kind not in "fiub":
        raise TypeError(f"x_o must hold numbers, got an array of dtype {values.dtype}.")
    values = values.astype(np.float64)
    seen = np.flatnonzero(~np.isnan(values))
    if np.isinf(values).any() or not len(seen):
        what = "infinite values" if len(seen) else "no value that is observed: all are missing (NaN)"
        raise ValueError(f"x_o has {what}; NaN marks what is never observed, all else is a finite number.")
    if len(seen) == values.size:
        raise ValueError("x_o has no missing values (NaN), so that there is nothing to leave out: use the simulator.")
    is_jax = _is_jax(simulator)
    wrapped = (_of_jax if is_jax else _of_python)(simulator, seen, values.shape)
    return _named(wrapped, simulator), values.reshape(-1)[seen]


def _is_jax(simulator: Callable[..., Any]) -> bool:
    return next(iter(inspect.signature(simulator).parameters), "") == "key"


def _named(wrapped: Any, simulator: Callable[..., Any]) -> Any:
    # The wrapper has the signature of the simulator, by which its kind is recognised.
    functools.update_wrapper(wrapped, simulator)
    wrapped.name_in_stores = f"{qualified_name(simulator)} where observed"
    return wrapped


def _by_name(
    simulator: Callable[..., Any], x_o: dict[str, Float[np.ndarray, "..."]]
) -> tuple[Callable[..., Any], dict[str, np.ndarray]]:
    """The same of outputs by name: what is never observed of one is left out, and one that never is, altogether."""
    wrong = [name for name, values in x_o.items() if np.isinf(values).any()]
    missing = {name: np.isnan(values) for name, values in x_o.items()}
    if wrong or all(part.all() for part in missing.values()):
        what = f"infinite values ({', '.join(wrong)})" if wrong else "no value that is observed: all are missing (NaN)"
        raise ValueError(f"x_o has {what}; NaN marks what is never observed, all else is a finite number.")
    if not any(part.any() for part in missing.values()):
        raise ValueError("x_o has no missing values (NaN), so that there is nothing to leave out: use the simulator.")

    def observed_of(fields: dict[str, Any]) -> dict[str, Any]:
        if set(fields) != set(x_o):
            raise ValueError(f"the output has the names {', '.join(fields)}, the observation {', '.join(x_o)}")
        found = {}
        for name, values in fields.items():
            if values.shape != x_o[name].shape:
                raise ValueError(f"the output {name} has shape {values.shape}, the observation {x_o[name].shape}")
            if not missing[name].all():
                seen = np.flatnonzero(~missing[name])
                found[name] = values.reshape(-1)[seen] if missing[name].any() else values
        return found

    def in_jax(key: PRNGKeyArray, theta: Any, *conditions: Any) -> dict[str, Any]:
        output = simulator(key, theta, *conditions)
        if not isinstance(output, dict):
            raise TypeError("the output has no names, and the observation has")
        return observed_of({name: jnp.asarray(values) for name, values in output.items()})

    def in_python(theta: Any, rng: np.random.Generator, *conditions: Any) -> dict[str, Any]:
        fields = fields_of(simulator(theta, rng, *conditions))
        if fields is None:
            raise TypeError("the output has no names, and the observation has")
        return observed_of({name: np.asarray(values) for name, values in fields.items()})

    wrapped = in_jax if _is_jax(simulator) else in_python
    return _named(wrapped, simulator), observed_of(x_o)


def _of_python(simulator: Callable[..., Any], seen: Int[np.ndarray, " observed"], shape: tuple[int, ...]) -> Any:
    def observed(theta: np.ndarray, rng: np.random.Generator, *conditions: np.ndarray) -> np.ndarray:
        x = np.asarray(simulator(theta, rng, *conditions))
        if x.shape != shape:
            raise ValueError(f"the output has shape {x.shape}, the observation {shape}")
        return x.reshape(-1)[seen]

    return observed


def _of_jax(simulator: Callable[..., Any], seen: Int[np.ndarray, " observed"], shape: tuple[int, ...]) -> Any:
    def observed(key: PRNGKeyArray, theta: Array, *conditions: Array) -> Array:
        x = jnp.asarray(simulator(key, theta, *conditions))
        if x.shape != shape:
            raise ValueError(f"the output has shape {x.shape}, the observation {shape}")
        return x.reshape(-1)[seen]

    return observed
