"""Run a simulator on draws of the prior, or on given parameters, into Simulations."""

import functools
import inspect
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ..priors.prior import Prior
from ..runtime.progress import progress_bar
from ..runtime.seeds import CONDITION_STREAM, SIMULATOR_STREAM, check_seed, row_key
from .executors import Result, run_in_workers, run_row, run_serially
from .recorder import Recorder
from .rows import Simulations, make_header
from .store import SimulationStore

_FORMS = (
    "Write either `def simulator(key, theta)` in JAX (one run; it is vectorised and compiled) or "
    "`def simulator(theta, rng)` in Python (rng: numpy.random.Generator), with a third parameter `conditions` where "
    "known conditions vary"
)
_JAX_BATCH = 1024
_PYTHON_BATCH = 32


def simulate(
    simulator: Callable[..., Any],
    prior: Prior,
    n: int,
    *,
    seed: int,
    conditions: Prior | None = None,
    store: str | Path | None = None,
    batch_size: int | None = None,
    workers: int = 1,
    progress: bool = True,
    retry_failed: bool = False,
) -> Simulations:
    """Simulate n draws of the prior; every row depends on (seed, row) alone.

    Args:
        simulator: `simulator(key, theta)` in JAX, or `simulator(theta, rng)` in Python; theta (dim,), one run. With
            `conditions`: `simulator(key, theta, conditions)` or `simulator(theta, rng, conditions)`.
        prior: what the parameters are drawn from.
        n: number of simulations in all, those in the store included.
        seed: integer in [0, 2**32).
        conditions: distribution of known inputs that vary between observations and are not inferred (a stimulus'
            strength, a temperature); the simulator gets a draw of them as its third argument, `conditions`. It should
            cover the conditions of all observations.
        store: path of a Zarr store that is written batch by batch; calling again resumes or extends it.
        batch_size: most runs at a time, per worker for a Python simulator.
        workers: number of processes for a Python simulator.
        progress: show progress on stderr.
        retry_failed: run the failed rows of the store again.

    Returns:
        Simulations (n rows); failed runs are kept, with the reason.

    Raises:
        TypeError: an argument of the wrong type, or a simulator of neither form or without an array as output.
        ValueError: an argument out of range, a store made by something else, or a JAX simulator that cannot be traced.
        RuntimeError: all simulations failed.

    Example:
        >>> simulations = simulate(simulator, prior, 10_000, seed=0, store="runs.zarr")
    """
    if not isinstance(prior, Prior):
        raise TypeError(f"`prior` must be a genbayes.Prior, got {type(prior).__name__}. Prior.from_torch converts.")
    if not isinstance(conditions, Prior | None):
        raise TypeError(
            f"`conditions` must be a genbayes.Prior over the known conditions, got {type(conditions).__name__}."
        )
    form = _check_call(simulator, n, batch_size, workers, conditional=conditions is not None)
    seed = check_seed(seed)
    inputs = np.asarray(prior.sample(n, seed=seed))
    header = make_header(prior.names, seed, prior.describe(), qualified_name(simulator))
    if conditions is not None:
        inputs = np.concatenate([inputs, conditions.sample(n, seed=seed, stream=CONDITION_STREAM)], axis=1)
        header |= {"condition_names": list(conditions.names), "conditions_prior": conditions.describe()}
    opened = _open_store(store, header, inputs) if store is not None else None
    recorder = Recorder(header, inputs, opened, retry_failed)
    return _run(_of_inputs(simulator, form, recorder), form, recorder, batch_size, workers, progress)


def simulate_at(
    simulator: Callable[..., Any],
    theta: Any,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    conditions: Any = None,
    batch_size: int | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Simulations:
    """Simulate given parameters, such as draws of a posterior.

    Row i of two calls with one seed shares its random numbers: use another seed for independent noise.

    Args:
        simulator: see `simulate`.
        theta: parameters (n, dim), in the simulator's units.
        seed: integer in [0, 2**32).
        names: one name per parameter; `theta_0`, `theta_1`, ... if not given.
        conditions: known conditions, (c,) for all rows or (n, c), where the simulator takes them.
        batch_size: see `simulate`.
        workers: see `simulate`.
        progress: show progress on stderr.

    Raises:
        TypeError: a simulator of neither form or without an array as output.
        ValueError: `theta` is not (n, dim) or not finite, or another argument out of range.
        RuntimeError: all simulations failed.
    """
    parameters = np.array(theta, np.float32)
    if parameters.ndim != 2 or 0 in parameters.shape:
        raise ValueError(f"`theta` must have shape (n, dim) with n, dim >= 1, got {parameters.shape}.")
    if not np.isfinite(parameters).all():
        raise ValueError("`theta` has NaN or infinite entries. Remove these rows first.")
    names = [f"theta_{i}" for i in range(parameters.shape[1])] if names is None else list(names)
    if len(names) != parameters.shape[1]:
        raise ValueError(f"`names` must have {parameters.shape[1]} entries, one per column of `theta`, got {names}.")
    form = _check_call(simulator, len(parameters), batch_size, workers, conditional=conditions is not None)
    header = make_header(names, check_seed(seed), [], qualified_name(simulator))
    if conditions is not None:
        given = _checked_conditions(conditions, len(parameters))
        parameters = np.concatenate([parameters, given], axis=1)
        header |= {"condition_names": [f"condition_{i}" for i in range(given.shape[1])]}
    recorder = Recorder(header, parameters, None, False)
    return _run(_of_inputs(simulator, form, recorder), form, recorder, batch_size, workers, progress)


def simulate_round(
    simulator: Callable[..., Any],
    simulations: Simulations,
    propose: Callable[[], np.ndarray],
    origin: int,
    *,
    seed: int,
    block: np.ndarray | None = None,
    store: str | Path | None = None,
    batch_size: int | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Simulations:
    """Simulate a round of refinement; an interrupted one in the store goes on with the parameters that it had.

    Args:
        simulator: see `simulate`.
        simulations: what the round is added to.
        propose: gives parameters and conditions (n, dim + c); not called where the store has the round's already.
        origin: number of the round, from 1.
        seed: of the round's runs.
        block: (n,), rows of one positive number share their random numbers; none do if not given.
        store: path of the store of `simulations`, which gets the rows.
        batch_size: see `simulate`.
        workers: see `simulate`.
        progress: show progress on stderr.

    Returns:
        The round's rows alone.
    """
    form = _check_call(simulator, 1, batch_size, workers, conditional=bool(simulations.condition_names))
    header = make_header(simulations.names, seed, simulations.prior, simulations.simulator)
    if simulations.condition_names:
        given = {"condition_names": list(simulations.condition_names), "conditions_prior": simulations.conditions_prior}
        header |= given
    opened = None if store is None else SimulationStore.open(store, writable=True, origin=origin)
    if opened is not None and len(opened):
        record = opened.read()
        inputs, shared = record["inputs"], record["block"]
    else:
        inputs = propose()
        shared = np.zeros(len(inputs), np.int32) if block is None else np.asarray(block, np.int32)
        if opened is not None:
            opened.append(inputs, shared)
    recorder = Recorder(header, inputs, opened, False, numbers=_first_of_block(shared))
    rows = _run(_of_inputs(simulator, form, recorder), form, recorder, batch_size, workers, progress)
    return replace(rows, origin=np.full(len(rows), origin, np.int32), block=shared)


def _first_of_block(block: np.ndarray) -> np.ndarray:
    """The number of every row's random numbers: that of the first row of its block."""
    _, first, which = np.unique(block, return_index=True, return_inverse=True)
    return np.where(block > 0, first[which], np.arange(len(block)))


def _checked_conditions(conditions: Any, n: int) -> np.ndarray:
    values = np.atleast_1d(np.array(conditions, np.float32))
    if values.ndim > 2 or 0 in values.shape or (values.ndim == 2 and len(values) != n):
        raise ValueError(f"`conditions` must have shape (c,) or ({n}, c), one row per parameter, got {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("`conditions` has NaN or infinite entries.")
    return np.broadcast_to(values, (n, values.shape[-1]))


def _of_inputs(simulator: Callable, form: Literal["jax", "python"], recorder: Recorder) -> Callable:
    """The simulator as a function of its inputs in one vector: parameters, then conditions."""
    dim = len(recorder.header["names"])
    if recorder.inputs.shape[1] == dim:
        return simulator
    if form == "jax":
        return lambda key, inputs: simulator(key, inputs[:dim], inputs[dim:])
    return lambda inputs, rng: simulator(inputs[:dim], rng, inputs[dim:])


def _run(
    simulator: Callable,
    form: Literal["jax", "python"],
    recorder: Recorder,
    batch_size: int | None,
    workers: int,
    progress: bool,
) -> Simulations:
    rows = recorder.rows
    seed, numbers = recorder.header["seed"], recorder.numbers
    started = time.perf_counter()
    if len(rows):
        _compare_with_store(simulator, form, recorder)
    try:
        with progress_bar("simulating", len(rows), progress and len(rows) > 0) as advance:
            if not len(rows):
                batches: Iterator[list[Result]] = iter(())
            elif form == "jax":
                recorder.expect(_jax_output_shape(simulator, recorder.inputs.shape[1]))
                batches = _run_jax(simulator, seed, rows, numbers, recorder.inputs, batch_size)
            elif workers == 1:
                batch = batch_size or _PYTHON_BATCH
                batches = run_serially(simulator, seed, rows, numbers[rows], recorder.inputs[rows], batch)
            else:
                batch = batch_size or _PYTHON_BATCH
                batches = run_in_workers(simulator, seed, rows, numbers[rows], recorder.inputs[rows], batch, workers)
            for results in batches:
                recorder.add(results)
                advance(len(results), note=f"{recorder.n_failed} failed" if recorder.n_failed else "")
        recorder.finish()
    finally:
        recorder.close(time.perf_counter() - started)
    return recorder.result()


def _compare_with_store(simulator: Callable, form: Literal["jax", "python"], recorder: Recorder) -> None:
    """Runs one stored row again: a store knows its simulator by name only, and the function may have been edited."""
    done = recorder.one_done()
    if done is None:
        return
    row, stored = done
    seed = recorder.header["seed"]
    if form == "jax":
        again = next(_run_jax(simulator, seed, np.array([row]), recorder.numbers, recorder.inputs, None))[0][1]
    else:
        again = run_row(simulator, seed, int(recorder.numbers[row]), recorder.inputs[row])
    if not isinstance(again, str) and again.size != stored.size:
        return  # another output shape is an error of its own, when the rows come in
    # Compiled for one row rather than for a batch, a JAX simulator may round otherwise.
    if isinstance(again, str) or not np.allclose(np.ravel(again), np.ravel(stored), rtol=1e-3, atol=1e-6):
        warnings.warn(
            f"simulation {row} of the store, run again, gives another output than the stored one: the simulator was "
            "edited since, or draws random numbers from elsewhere than its key or rng. If it was edited, the store now "
            "mixes two simulators: delete it and simulate anew.",
            stacklevel=4,
        )


def _run_jax(
    simulator: Callable, seed: int, rows: np.ndarray, numbers: np.ndarray, inputs: np.ndarray, batch_size: int | None
) -> Iterator[list[Result]]:
    # Padded to one size, so that nothing is compiled twice; a small job is not padded to a large batch.
    size = batch_size or min(_JAX_BATCH, max(16, 1 << (len(rows) - 1).bit_length()))
    key = jax.random.key(seed)

    @jax.jit
    def run(batch_numbers: jax.Array, batch_inputs: jax.Array) -> jax.Array:
        def one(number: jax.Array, inputs_row: jax.Array) -> jax.Array:
            return simulator(row_key(key, number, SIMULATOR_STREAM), inputs_row)

        return jax.vmap(one)(batch_numbers, batch_inputs).astype(jnp.float32)

    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        padded = np.pad(batch, (0, size - len(batch)), mode="edge")
        outputs = np.asarray(run(jnp.asarray(numbers[padded]), jnp.asarray(inputs[padded])))
        # As arrays: iterating over scalar outputs would give numpy scalars.
        yield [(int(row), np.asarray(output)) for row, output in zip(batch, outputs, strict=False)]


def _jax_output_shape(simulator: Callable, dim: int) -> tuple[int, ...]:
    try:
        output = jax.eval_shape(simulator, jax.random.key(0), jax.ShapeDtypeStruct((dim,), jnp.float32))
    except Exception as error:
        message = str(error).strip().split("\n")[0]
        raise ValueError(
            f"`simulator` was read as a JAX simulator (its first parameter is `key`) but could not be traced: "
            f"{type(error).__name__}: {message} Use jax.numpy and jax.lax only, or write it as simulator(theta, rng)."
        ) from error
    if not isinstance(output, jax.ShapeDtypeStruct):
        raise TypeError(
            f"`simulator` must return one array, got {type(output).__name__}: {output}. Concatenate the outputs with "
            f"jnp.concatenate."
        )
    if not (jnp.issubdtype(output.dtype, jnp.number) or output.dtype == bool) or jnp.iscomplexobj(output):
        raise TypeError(
            f"`simulator` must return real numbers, got dtype {output.dtype}. Return real and imaginary parts."
        )
    if 0 in output.shape:
        raise ValueError(f"`simulator` returned an empty array of shape {output.shape}; expected at least one number.")
    return output.shape


def _check_call(
    simulator: Callable, n: int, batch_size: int | None, workers: int, *, conditional: bool
) -> Literal["jax", "python"]:
    for argument, value in (("n", n), ("batch_size", batch_size), ("workers", workers)):
        if value is not None and value < 1:
            raise ValueError(f"`{argument}` must be at least 1, got {value}.")
    form = _form(simulator, conditional)
    if form == "jax" and workers > 1:
        raise ValueError(
            f"`workers` must be 1 for a JAX simulator, got {workers}: its runs are vectorised and use all cores "
            f"already. Raise `batch_size` instead."
        )
    return form


def _form(simulator: Callable, conditional: bool) -> Literal["jax", "python"]:
    try:
        parameters = list(inspect.signature(simulator).parameters.values())
    except (TypeError, ValueError):
        raise TypeError(f"`simulator` has no readable signature, got {simulator!r}. {_FORMS}.") from None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [p.name for p in positional]
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    takes = 3 if conditional or names[2:3] == ["conditions"] else 2
    fits = len(names) >= takes and set(required) <= set(names[:takes])
    if fits and takes == 3 and not conditional and "conditions" in required:
        raise ValueError(
            "`simulator` takes known conditions, and none are given: pass conditions=Prior({...}) to simulate, or "
            "their values to simulate_at."
        )
    if fits and names[0] == "key":
        return "jax"
    if fits and names[0] == "theta" and names[1] == "rng":
        return "python"
    raise TypeError(f"`simulator` has the parameters ({', '.join(p.name for p in parameters)}). {_FORMS}.")


def qualified_name(simulator: Any) -> str:
    """The name under which a store remembers its simulator: module:name, or `name_in_stores` of one that has moved."""
    while isinstance(simulator, functools.partial):
        simulator = simulator.func
    named = simulator if hasattr(simulator, "__qualname__") else type(simulator)
    if (known := getattr(named, "name_in_stores", None)) is not None:
        return str(known)
    return f"{named.__module__}:{named.__qualname__}"


def _open_store(path: str | Path, header: dict[str, Any], inputs: np.ndarray) -> SimulationStore:
    if not Path(path).exists():
        return SimulationStore.create(path, header, inputs)
    # The rows of a refinement lie between and behind the draws of the prior, and are none of this job's.
    opened = SimulationStore.open(path, writable=True, origin=0)
    opened.check_header(header)
    if len(inputs) > len(opened):
        opened.append(inputs[len(opened) :])
    return opened
