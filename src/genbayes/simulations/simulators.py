"""Kinds of simulators: how a user writes one, and how it runs over many rows.

A kind is one class. `simulate` asks every registered kind whether it takes what the user gave, and lets the one that
does run the rows; nothing else depends on the kind.
"""

import functools
import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar, final

import jax
import jax.numpy as jnp
import numpy as np

from ..runtime.compiling import in_full_precision
from ..runtime.named_values import NamedVector, Names
from ..runtime.seeds import SIMULATOR_STREAM, row_key
from .batch import Batch
from .compiled_batches import compiled_batch
from .executors import Job, run_each
from .traced_simulator import TracedSimulator, traced
from .traced_work import rows_at_once
from .worker import Result

# Rows and bytes of outputs that are handed over together at most, and seconds after which fewer are.
_MOST_TOGETHER, _MOST_BYTES, _MOST_SECONDS = 65_536, 2**26, 1.0


class Simulator(ABC):
    """One kind of simulator, bound to what the user gave.

    To add a kind, write a final subclass in a file of its own. An instance is taken as it is; `registered`, a
    decorator, is for a kind that recognises what users pass, or that errors are to propose:

    - `kind` and `usage` say in errors what it is called and how one is written.
    - `of` recognises what users may pass to `simulate` as it is. A kind that is only ever made by its own class, such
      as a program with its command, leaves it out: instances are always accepted.
    - `name` is what a store remembers; a store made by another name is refused.
    - `run` yields the results of the rows of a `Job` in any order and in lists of any length: arrays, or the
      reason of a failure as text. The random numbers of a row follow from `job.seed` and its entry of `job.numbers`
      alone. `run_each` does all that for a Python function of one row, in any workers.
    - `output_shape` is left out where it cannot be known before running.
    - `check_names` is for a kind that knows parameters by their names, `job.names`.
    - `unequal_sets` is True of a kind whose outputs are sets of trials that are filled up with trials of NaN.

    Attributes:
        kind: what errors call this kind.
        usage: how a user writes one, such as "`def simulator(theta, rng)` in Python".
        unequal_sets: whether outputs are sets of trials in which a trial of NaN is none.
        vectorised: whether runs use all cores by themselves, so that `workers` other than 1 is refused.
        failure_remedy: what to do where all runs fail.
        noise_source: where a run is to draw its random numbers from, in the warning that it does not.
        noise_remedy: what to do about it.
    """

    kind: ClassVar[str]
    usage: ClassVar[str]
    unequal_sets: bool = False
    vectorised: bool = False
    noise_source: str = "`rng` (numpy.random or random without a generator, a library's own state)"
    failure_remedy: str = "Call the simulator once with this theta to see why."
    noise_remedy: str = (
        "Draw all random numbers from `rng`, the third-party code's too (pass it a seed drawn from `rng`)."
    )

    @classmethod
    def of(cls, simulator: Any, conditional: bool) -> "Simulator | None":
        """Return this kind of simulator around what a user passed to `simulate`, None if it is of another kind.

        Args:
            simulator: what the user gave.
            conditional: whether known conditions are given.
        """
        return None

    @property
    @abstractmethod
    def name(self) -> str:
        """The name under which a store remembers the simulator."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    @abstractmethod
    def run(self, job: Job) -> Iterator[Sequence[Result]]:
        """Yield the results of a job's rows as they are finished: lists of pairs, or a `Batch` of arrays.

        On KeyboardInterrupt the finished rows are yielded before it is raised again.
        """

    def check_names(self, names: tuple[str, ...]) -> None:
        """Look whether rows can be run, before the first one and before a store is opened.

        Args:
            names: of the parameters and, after them, of the known conditions.

        Raises:
            ValueError: not with parameters and conditions of these names.
            FileNotFoundError: something that every run needs is not there.
        """
        return

    def output_shape(self, job: Job) -> tuple[int, ...] | None:
        """Return the shape of one output, None where it is known from the first output only.

        Raises:
            TypeError: the simulator returns something else than an array of real numbers.
            ValueError: it cannot run.
        """
        return None

    def output_names(self, job: Job) -> Names | None:
        """Return the names of an output's values where they are known with its shape; asked of kinds that know it."""
        return None

    def is_deterministic(self, job: Job) -> bool:
        """Return whether it is known that no run uses its random numbers; asked of kinds that are vectorised."""
        return False


Kind = TypeVar("Kind", bound=type[Simulator])
# What `simulate` takes as a simulator: a plain function of a registered kind, or an instance of one.
AnySimulator = Callable[..., Any] | Simulator
_kinds: list[type[Simulator]] = []


def registered(kind: Kind) -> Kind:
    """Class decorator: `simulate` asks this kind whether it takes what a user gave."""
    _kinds.append(kind)
    return kind


def simulator_kinds() -> tuple[type[Simulator], ...]:
    """All registered kinds."""
    return tuple(_kinds)


def is_simulator(value: Any) -> bool:
    """Whether a value may be a simulator at all."""
    return isinstance(value, Simulator) or callable(value)


def as_simulator(simulator: Any, *, conditional: bool) -> Simulator:
    """Return what a user gave as a simulator of its kind; an instance of a kind is returned as it is.

    Args:
        simulator: a function, or an instance of a kind.
        conditional: whether known conditions are given.

    Raises:
        TypeError: no kind takes it.
        ValueError: it needs known conditions, and there are none.
    """
    if isinstance(simulator, Simulator):
        return simulator
    for kind in _kinds:
        if (recognised := kind.of(simulator, conditional)) is not None:
            return recognised
    usage = " or ".join(kind.usage for kind in _kinds)
    usage = f"Write either {usage}, with a third parameter `conditions` where known conditions vary."
    try:
        parameters = inspect.signature(simulator).parameters
    except (TypeError, ValueError):
        raise TypeError(f"`simulator` has no readable signature, got {simulator!r}. {usage}") from None
    raise TypeError(f"`simulator` has the parameters ({', '.join(parameters)}). {usage}")


def qualified_name(simulator: Any) -> str:
    """The name under which a store remembers its simulator: module:name, or `name_in_stores` of one that has moved."""
    if isinstance(simulator, Simulator):
        return simulator.name
    while isinstance(simulator, functools.partial):
        simulator = simulator.func
    named = simulator if hasattr(simulator, "__qualname__") else type(simulator)
    if (known := getattr(named, "name_in_stores", None)) is not None:
        return str(known)
    return f"{named.__module__}:{named.__qualname__}"


def leading_parameters(function: Any, conditional: bool) -> tuple[str, ...]:
    """The names of the two parameters, or three with conditions, that a function is called with.

    Empty where the signature cannot be read, has fewer, or requires others.

    Raises:
        ValueError: the function needs known conditions, and there are none.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return ()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = {p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    takes = 3 if conditional or names[2:3] == ["conditions"] else 2
    if len(names) < takes or not required <= set(names[:takes]):
        return ()
    if takes == 3 and not conditional and "conditions" in required:
        raise ValueError(
            "`simulator` takes known conditions, and none are given: pass conditions=Prior({...}) to simulate, or "
            "their values to simulate_at."
        )
    return tuple(names[:takes])


@final
@registered
class JaxSimulator(Simulator):
    """`simulator(key, theta)` in JAX, or `simulator(key, theta, conditions)`: one run, vectorised and compiled."""

    kind = "JAX"
    usage = "`def simulator(key, theta)` in JAX (one run; it is vectorised and compiled)"
    vectorised = True

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self._found: dict[tuple[tuple[str, ...], int], TracedSimulator] = {}

    @classmethod
    def of(cls, simulator: Any, conditional: bool) -> "JaxSimulator | None":
        """Take a function whose first parameter is `key`."""
        return cls(simulator) if leading_parameters(simulator, conditional)[:1] == ("key",) else None

    @property
    def name(self) -> str:
        """`module:name` of the function."""
        return qualified_name(self.function)

    def run(self, job: Job) -> Iterator[Sequence[Result]]:
        """Yield the results, many at a time; every batch runs the same compiled program."""
        # Padded to one size, so that nothing is compiled twice; a small job is not padded to a large batch.
        traced_simulator = self._traced(job)
        size = job.batch_size or rows_at_once(traced_simulator.jaxpr, len(job))
        key = jax.random.key(job.seed)
        simulator = traced_simulator.function

        @in_full_precision
        def run(key: jax.Array, batch_numbers: jax.Array, batch_inputs: jax.Array) -> jax.Array:
            def one(number: jax.Array, inputs_row: jax.Array) -> jax.Array:
                return simulator(row_key(key, number, SIMULATOR_STREAM), inputs_row)

            outputs = jax.vmap(one)(batch_numbers, batch_inputs)
            return outputs if outputs.dtype == jnp.float64 else outputs.astype(jnp.float32)

        def batch(start: int) -> tuple[jax.Array, np.ndarray, np.ndarray]:
            rows = slice(start, start + size)
            if start + size > len(job):
                rows = np.minimum(np.arange(start, start + size), len(job) - 1)
            return key, job.numbers[rows], job.inputs[rows]

        if len(job):
            program = compiled_batch(run, *batch(0))
            yield from _together(job, size, lambda start: program(*batch(start)))

    def is_deterministic(self, job: Job) -> bool:
        """Return whether the traced function leaves its key unread."""
        jaxpr = self._traced(job).jaxpr
        key = jaxpr.invars[0]
        return not any(key is read for equation in jaxpr.eqns for read in equation.invars)

    def output_shape(self, job: Job) -> tuple[int, ...]:
        """Return the shape of one output, by tracing the function.

        Raises:
            TypeError: the function returns something else than an array of real numbers.
            ValueError: it cannot be traced, or returns an empty array.
        """
        output = self._traced(job).output
        if not isinstance(output, jax.ShapeDtypeStruct):
            raise TypeError(
                f"`simulator` must return one array or a dictionary of arrays, got {type(output).__name__}: {output}. "
                f"Concatenate the outputs with jnp.concatenate, or name them."
            )
        if not (jnp.issubdtype(output.dtype, jnp.number) or output.dtype == bool) or jnp.iscomplexobj(output):
            raise TypeError(
                f"`simulator` must return real numbers, got dtype {output.dtype}. Return real and imaginary parts."
            )
        if 0 in output.shape:
            raise ValueError(
                f"`simulator` returned an empty array of shape {output.shape}; expected at least one number."
            )
        return output.shape

    def output_names(self, job: Job) -> Names | None:
        """Return the names of the outputs of a function that returns a dictionary, by tracing it."""
        return self._traced(job).names

    def _traced(self, job: Job) -> TracedSimulator:
        """The function as one of a key and of one vector, parameters, then conditions, that returns one array.

        It is given an array, and where it does not take that, the values by their names; which, is found out once.

        Raises:
            ValueError: it takes neither.
        """
        layout = (job.names, job.dim)
        if layout not in self._found:
            self._found[layout] = traced(self.function, job)
        return self._found[layout]


def _together(job: Job, size: int, started: Callable[[int], jax.Array]) -> Iterator[Batch]:
    """The outputs of a job in large batches: one is written in less time than many small ones.

    Args:
        job: whose rows these are.
        size: of the batches that are run.
        started: starts the runs from a row on, and does not wait for them.
    """
    done: list[np.ndarray] = []
    first, since = 0, time.monotonic()

    def batch() -> Batch:
        nonlocal first, since
        rows = job.rows[first : first + len(done) * size]
        outputs = np.concatenate(done)[: len(rows)] if len(done) > 1 else done[0][: len(rows)]
        first, since = first + len(rows), time.monotonic()
        done.clear()
        return Batch(rows, outputs)

    try:
        waiting = started(0)
        for start in range(size, len(job) + size, size):
            # The next ones run while these are taken out.
            following = started(start) if start < len(job) else None
            done.append(np.asarray(waiting))
            waiting = following
            many = len(done) * size >= _MOST_TOGETHER or len(done) * done[0].nbytes >= _MOST_BYTES
            if many or time.monotonic() - since > _MOST_SECONDS:
                yield batch()
    except KeyboardInterrupt:
        if done:
            yield batch()
        raise
    if done:
        yield batch()


@final
@registered
class PythonSimulator(Simulator):
    """`simulator(theta, rng)` in Python, or `simulator(theta, rng, conditions)`: one run; rng: numpy's Generator."""

    kind = "Python"
    usage = "`def simulator(theta, rng)` in Python (rng: numpy.random.Generator)"

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    @classmethod
    def of(cls, simulator: Any, conditional: bool) -> "PythonSimulator | None":
        """Take a function whose second parameter is `rng`; the first may have a name of the user's."""
        return cls(simulator) if leading_parameters(simulator, conditional)[1:2] == ("rng",) else None

    @property
    def name(self) -> str:
        """`module:name` of the function."""
        return qualified_name(self.function)

    def run(self, job: Job) -> Iterator[list[Result]]:
        """Yield the results as the workers finish them."""
        # Functions of functions, no methods: workers receive them whole, and need not import this module and JAX.
        function, dim, named = self.function, job.dim, NamedVector
        names, known = (Names.of_coordinates(part) for part in (job.names[:dim], job.names[dim:]))
        if job.conditional:
            return run_each(
                lambda inputs, rng, row: function(named(inputs[:dim], names), rng, named(inputs[dim:], known)), job
            )
        return run_each(lambda inputs, rng, row: function(named(inputs, names), rng), job)
