"""A function in JAX as one of a key and of one vector that returns one vector, with the names on both sides."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..runtime.named_values import Names
from .executors import Job


class TracedSimulator:
    """A function in JAX with its inputs and its output as one vector each.

    Attributes:
        function: of a key and of the vector of inputs; one object, by which JAX finds what it has traced.
        output: shape and dtype of its output; what it returned where that is no array and has no names.
        jaxpr: of the function.
        names: of the output, where it returned a dictionary.
    """

    def __init__(self, function: Callable[..., Any], job: Job, *, by_name: bool):
        self._given, self._dim, self._conditional, self._by_name = function, job.dim, job.conditional, by_name
        self._names = [Names.of_coordinates(part) for part in (job.names[: job.dim], job.names[job.dim :])]
        self.function = self._run
        self.output: Any = None
        self.jaxpr: Any = None
        self.names: Names | None = None

    def tried(self, inputs: jax.ShapeDtypeStruct) -> "TracedSimulator":
        """This function, after it has been traced."""
        closed, self.output = jax.make_jaxpr(self.function, return_shape=True)(jax.random.key(0), inputs)
        self.jaxpr = closed.jaxpr
        return self

    def _run(self, key: Any, inputs: Any) -> Any:
        """One run."""
        parts = [inputs[: self._dim], inputs[self._dim :]][: 1 + self._conditional]
        if self._by_name:
            parts = [names.fields(part) for names, part in zip(self._names, parts, strict=False)]
        output = self._given(key, *parts)
        if not isinstance(output, dict):
            return output
        arrays = {str(name): jnp.asarray(value) for name, value in output.items()}
        self.names = Names(tuple((name, value.shape) for name, value in arrays.items()))
        return jnp.concatenate([value.reshape(-1) for value in arrays.values()])


def traced(function: Callable[..., Any], job: Job) -> TracedSimulator:
    """The function, tried with an array of parameters, and then with parameters by name.

    Raises:
        ValueError: it can be traced with neither.
    """
    inputs = jax.ShapeDtypeStruct((job.inputs.shape[1],), jnp.float32)
    try:
        return TracedSimulator(function, job, by_name=False).tried(inputs)
    except Exception as error:
        of_positions = error
    try:
        return TracedSimulator(function, job, by_name=True).tried(inputs)
    except Exception as error:
        # JAX's message about theta["rate"]: the function does mean names.
        told = error if "string indexing" in str(of_positions) else of_positions
    message = str(told).strip().split("\n")[0]
    raise ValueError(
        f"`simulator` was read as a JAX simulator (its first parameter is `key`) but could not be traced: "
        f"{type(told).__name__}: {message} Use jax.numpy and jax.lax only, or write it as simulator(theta, rng)."
    ) from told
