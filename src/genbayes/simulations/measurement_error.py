"""The error of a measurement on top of a simulator, such as a deterministic one, which knows none."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..runtime.named_values import Names, fields_of, of_each, structured
from .executors import Job
from .simulators import JaxSimulator, PythonSimulator, Simulator, qualified_name
from .worker import Result, reason_of

# The last of the three words of a seed: those of runs end with 1.
_ERRORS = 2
Deviation = float | np.ndarray | list[float] | tuple[float, ...] | Mapping[str, Any] | Callable[[Any], Any]


def with_measurement_error(simulator: Callable[..., Any] | Simulator, sd: Deviation) -> Any:
    """The simulator with independent normal errors added to its outputs: what an instrument would have read.

    A deterministic simulator gives one output for a parameter, and no observation with an error is one of its outputs:
    the rules for beta, the support of the observation and predictive checks then compare it with something that cannot
    be observed. They need the error of the data, which this adds to every run.

    Args:
        simulator: `simulator(theta, rng)` or `simulator(key, theta)`, with `conditions` as a third argument or without;
            or an instance of a kind, such as an `ExternalProgram`.
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
    if isinstance(simulator, JaxSimulator | PythonSimulator):
        simulator = simulator.function
    if not callable(sd):
        check_deviation(sd)
    if isinstance(simulator, Simulator):
        return Measured(simulator, sd)
    if not callable(simulator):
        raise TypeError(f"simulator must be a function or a genbayes.Simulator, got {type(simulator).__name__}.")
    is_jax = next(iter(inspect.signature(simulator).parameters), "") == "key"
    make = _of_jax if is_jax else _of_python
    wrapped = make(simulator, sd)
    # The wrapper has the signature of the simulator, by which its kind is recognised.
    functools.update_wrapper(wrapped, simulator)
    wrapped.name_in_stores = f"{qualified_name(simulator)} + error"
    return wrapped


@final
class Measured(Simulator):
    """A simulator of any kind with errors added to what comes back from it.

    Attributes:
        simulator: whose outputs are measured.
        sd: see `with_measurement_error`.
    """

    kind: ClassVar[str] = "measured"
    usage: ClassVar[str] = "with_measurement_error(simulator, sd)"

    def __init__(self, simulator: Simulator, sd: Deviation):
        self.simulator, self.sd = simulator, sd
        self.unequal_sets, self.vectorised = simulator.unequal_sets, simulator.vectorised
        self.failure_remedy = simulator.failure_remedy
        self.noise_source, self.noise_remedy = simulator.noise_source, simulator.noise_remedy

    @property
    def name(self) -> str:
        """The name of the simulator, with "+ error"."""
        return f"{self.simulator.name} + error"

    def check_names(self, names: tuple[str, ...]) -> None:
        """See the simulator's."""
        self.simulator.check_names(names)

    def output_shape(self, job: Job) -> tuple[int, ...] | None:
        """The shape of one of its outputs."""
        return self.simulator.output_shape(job)

    def output_names(self, job: Job) -> Names | None:
        """The names of its outputs."""
        return self.simulator.output_names(job)

    def run(self, job: Job) -> Iterator[list[Result]]:
        """Yield its results with errors, whose random numbers are others than those of the run."""
        numbers = dict(zip(job.rows.tolist(), job.numbers.tolist(), strict=True))
        for results in self.simulator.run(job):
            yield [(row, self._measured(output, job.seed, numbers[row])) for row, output in results]

    def _measured(self, output: np.ndarray | str, seed: int, number: int) -> np.ndarray | str:
        if isinstance(output, str):
            return output
        rng = np.random.default_rng(np.random.SeedSequence([seed, number, _ERRORS]))
        try:
            measured = _with_error(output, self.sd, rng)
            return structured(measured) if isinstance(measured, dict) else measured
        except Exception as error:
            return reason_of(error)


def _with_error(output: Any, sd: Deviation, rng: np.random.Generator) -> Any:
    fields = fields_of(output)
    if fields is None:
        x = np.asarray(output, np.float64)
        deviation = np.asarray(sd(x) if callable(sd) else sd, np.float64)
        return x + np.broadcast_to(deviation, x.shape) * rng.standard_normal(x.shape)
    each = of_each(sd(fields) if callable(sd) else sd, list(fields))
    return {name: value + each[name] * rng.standard_normal(value.shape) for name, value in fields.items()}


def _of_python(simulator: Callable[..., Any], sd: Deviation) -> Any:
    def measured(theta: Any, rng: np.random.Generator, *conditions: Any) -> Any:
        return _with_error(simulator(theta, rng, *conditions), sd, rng)

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


def check_deviation(sd: Any, name: str = "sd") -> None:
    """ValueError or TypeError unless standard deviations are numbers, not negative, and one of them is positive."""
    try:
        values = np.concatenate([np.ravel(one) for one in sd.values()]) if isinstance(sd, Mapping) else sd
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers or a function of the output, got {type(sd).__name__}.") from None
    if not (np.all(np.isfinite(values)) and np.all(values >= 0) and np.any(values > 0)):
        raise ValueError(
            f"{name} must be finite and at least 0, greater than 0 for at least one coordinate, got {values}: it is "
            "the standard deviation of the measurement error in data units."
        )
