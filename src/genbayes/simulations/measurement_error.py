"""The error of a measurement on top of a simulator, such as a deterministic one, which knows none."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..runtime.named_values import fields_of, of_each
from .simulators import qualified_name

Deviation = float | np.ndarray | list[float] | tuple[float, ...] | Mapping[str, Any] | Callable[[Any], Any]


def with_measurement_error(simulator: Callable[..., Any], sd: Deviation) -> Callable[..., Any]:
    """The simulator with independent normal errors added to its outputs: what an instrument would have read.

    A deterministic simulator gives one output for a parameter, and no observation with an error is one of its outputs:
    the rules for beta, the support of the observation and predictive checks then compare it with something that cannot
    be observed. They need the error of the data, which this adds to every run.

    Args:
        simulator: `simulator(theta, rng)` or `simulator(key, theta)`, with `conditions` as a third argument or without.
        sd: standard deviation of the errors, in data units: one number, one per coordinate (the shape of an output), or
            a function of the output that returns one of these, such as `lambda x: 0.1 * x` (10 % of the value; of
            jax.numpy for a JAX simulator). Of outputs with names a mapping, {"peak": 0.1}; others have no error then.

    Returns:
        A simulator of the same kind, under the same name in stores with "+ error".

    Raises:
        TypeError: sd is something else, or the simulator is no function.
        ValueError: sd is negative, not finite, or 0 throughout.

    Example:
        >>> noisy = gb.with_measurement_error(simulator, 0.3)
        >>> simulations = gb.simulate(noisy, prior, 2000, seed=0)
    """
    if not callable(simulator):
        raise TypeError(f"simulator must be a function, got {type(simulator).__name__}.")
    if not callable(sd):
        _check_deviation(sd)
    is_jax = next(iter(inspect.signature(simulator).parameters), "") == "key"
    make = _of_jax if is_jax else _of_python
    wrapped = make(simulator, sd)
    # The wrapper has the signature of the simulator, by which its kind is recognised.
    functools.update_wrapper(wrapped, simulator)
    wrapped.name_in_stores = f"{qualified_name(simulator)} + error"
    return wrapped


def _of_python(simulator: Callable[..., Any], sd: Deviation) -> Any:
    def measured(theta: Any, rng: np.random.Generator, *conditions: Any) -> Any:
        output = simulator(theta, rng, *conditions)
        fields = fields_of(output)
        if fields is None:
            x = np.asarray(output, np.float64)
            deviation = np.asarray(sd(x) if callable(sd) else sd, np.float64)
            return x + np.broadcast_to(deviation, x.shape) * rng.standard_normal(x.shape)
        each = of_each(sd(fields) if callable(sd) else sd, list(fields))
        return {name: value + each[name] * rng.standard_normal(value.shape) for name, value in fields.items()}

    return measured


def _of_jax(simulator: Callable[..., Any], sd: Deviation) -> Any:
    def measured(key: PRNGKeyArray, theta: Any, *conditions: Any) -> Any:
        own, of_error = jax.random.split(key)
        x = simulator(own, theta, *conditions)
        deviation = sd(x) if callable(sd) else sd
        if not isinstance(x, dict):
            deviation = jnp.broadcast_to(jnp.asarray(deviation, x.dtype), x.shape)
            return x + deviation * jax.random.normal(of_error, x.shape, x.dtype)
        each, keys = of_each(deviation, list(x)), jax.random.split(of_error, len(x))
        return {
            name: value + each[name] * jax.random.normal(keys[i], jnp.shape(value))
            for i, (name, value) in enumerate(x.items())
        }

    return measured


def _check_deviation(sd: Any) -> None:
    try:
        values = np.concatenate([np.ravel(one) for one in sd.values()]) if isinstance(sd, Mapping) else sd
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"sd must be numbers or a function of the output, got {type(sd).__name__}.") from None
    if not (np.all(np.isfinite(values)) and np.all(values >= 0) and np.any(values > 0)):
        raise ValueError(
            f"sd must be finite and at least 0, greater than 0 for at least one coordinate, got {values}: it is the "
            "standard deviation of the measurement error in data units."
        )
