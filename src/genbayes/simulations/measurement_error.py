"""The error of a measurement on top of a simulator, such as a deterministic one, which knows none."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .executors import Job
from .simulators import JaxSimulator, PythonSimulator, Simulator, qualified_name
from .worker import Result, reason_of

# The last of the three words of a seed: those of runs end with 1.
_ERRORS = 2
Deviation = float | np.ndarray | list[float] | tuple[float, ...] | Callable[[Any], Any]


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
            jax.numpy for a JAX simulator).

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
        _check_deviation(sd)
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
            return _with_error(np.asarray(output, np.float64), self.sd, rng)
        except Exception as error:
            return reason_of(error)


def _with_error(x: np.ndarray, sd: Deviation, rng: np.random.Generator) -> np.ndarray:
    deviation = np.asarray(sd(x) if callable(sd) else sd, np.float64)
    return x + np.broadcast_to(deviation, x.shape) * rng.standard_normal(x.shape)


def _of_python(simulator: Callable[..., Any], sd: Deviation) -> Any:
    def measured(theta: np.ndarray, rng: np.random.Generator, *conditions: np.ndarray) -> Float[np.ndarray, "..."]:
        return _with_error(np.asarray(simulator(theta, rng, *conditions), np.float64), sd, rng)

    return measured


def _of_jax(simulator: Callable[..., Any], sd: Deviation) -> Any:
    def measured(key: PRNGKeyArray, theta: Array, *conditions: Array) -> Float[Array, "..."]:
        own, of_error = jax.random.split(key)
        x = simulator(own, theta, *conditions)
        deviation = jnp.asarray(sd(x) if callable(sd) else sd, x.dtype)
        return x + jnp.broadcast_to(deviation, x.shape) * jax.random.normal(of_error, x.shape, x.dtype)

    return measured


def _check_deviation(sd: Any) -> None:
    try:
        values = np.asarray(sd, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"sd must be numbers or a function of the output, got {type(sd).__name__}.") from None
    if not (np.all(np.isfinite(values)) and np.all(values >= 0) and np.any(values > 0)):
        raise ValueError(
            f"sd must be finite and at least 0, greater than 0 for at least one coordinate, got {values}: it is the "
            "standard deviation of the measurement error in data units."
        )
