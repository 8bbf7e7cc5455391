"""Run a simulator on draws of the prior, or on given parameters, into Simulations."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..priors.prior import Prior
from ..runtime.counts import checked_count
from ..runtime.program_memory import make_room
from ..runtime.progress import progress_bar
from ..runtime.seeds import CONDITION_STREAM, check_seed
from .checked_calls import checked_call, checked_conditions, checked_share
from .damage import not_finite
from .executors import Job, Workers
from .opening import opened_store
from .recorder import Recorder
from .repeats import LEAST_ROWS, Repeats
from .rows import Simulations
from .run_limits import bounded, unbounded
from .simulators import AnySimulator, Simulator
from .store import SimulationStore, make_header
from .writer_lock import only_writer


def simulate(
    simulator: AnySimulator,
    prior: Prior,
    n: int,
    *,
    seed: int,
    conditions: Prior | None = None,
    store: str | Path | None = None,
    batch_size: int | None = None,
    workers: Workers = 1,
    timeout: int | float | None = None,
    memory: int | str | None = None,
    progress: bool = True,
    retry_failed: bool = False,
    on_shape: Callable[[tuple[int, ...]], None] | None = None,
    shard: tuple[int, int] | None = None,
) -> Simulations:
    """Simulate n draws of the prior; every row depends on (seed, row) alone.

    Args:
        simulator: `simulator(key, theta)` in JAX, or `simulator(theta, rng)` in Python; theta (dim,), one run. With
            `conditions`: `simulator(key, theta, conditions)` or `simulator(theta, rng, conditions)`. Or an instance of
            another kind of `Simulator`.
        prior: what the parameters are drawn from.
        n: number of simulations in all, those in the store included.
        seed: integer in [0, 2**32).
        conditions: distribution of known inputs that vary between observations and are not inferred (a stimulus'
            strength, a temperature); the simulator gets a draw of them as its third argument, `conditions`. It should
            cover the conditions of all observations.
        store: path of a Zarr store that is written batch by batch; calling again resumes or extends it.
        batch_size: most runs at a time, per worker for a Python simulator.
        workers: number of processes for a Python simulator, number of programs at a time for an `ExternalProgram`, or
            any `concurrent.futures.Executor`: threads, loky, Dask's `client.get_executor()`, `mpi4py.futures`, Parsl.
            It runs the rows and stays open.
        timeout: seconds that one run may take: it is ended then, and has failed ("no answer within 60 s"). A Python
            simulator runs in processes of its own for it, with workers=1 in one. A simulator in JAX has no such limit.
        memory: bytes that the process of one run may take, or a text like "2 GB" (Linux only). A Python simulator's
            worker is ended above it, and the row run again in a fresh one; if that takes more as well, it has failed
            ("took more than 2 GB of memory"). Of an `ExternalProgram` it bounds the address space of each process.
        progress: show progress on stderr.
        retry_failed: run the failed rows of the store again.
        on_shape: called with the shape of one output as soon as it is known, after the first run; what it raises stops
            the simulations. To compare it with an observation's before all runs are paid for.
        shard: (i, N): run the i-th of N shares alone, rows i - 1, i - 1 + N, ..., from i = 1; for the jobs of an array,
            which know nothing of each other. Each has a store of its own beside `store`, such as
            "runs-shard-3-of-8.zarr"; `merge_simulations(store)` puts them together.

    Returns:
        Simulations (n rows, or those of the share); failed runs are kept, with the reason.

    Raises:
        TypeError: an argument of the wrong type, or a simulator of no known kind or without an array as output.
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
    make_room()
    workers = bounded(workers, timeout, memory)
    n, seed = checked_count("`n`", n), check_seed(seed)
    simulator, batch_size = checked_call(simulator, batch_size, workers, conditional=conditions is not None)
    share = None if shard is None else checked_share(shard, n, store)
    inputs = np.asarray(prior.sample(n, seed=seed))
    header = make_header(prior.names, seed, prior.describe(), simulator.name, unequal_sets=simulator.unequal_sets)
    if conditions is not None:
        inputs = np.concatenate([inputs, conditions.sample(n, seed=seed, stream=CONDITION_STREAM)], axis=1)
        header |= {"condition_names": list(conditions.names), "conditions_prior": conditions.describe()}
    simulator.check_names(_names_of(header))
    if share is not None and store is not None:
        store, header = share.path(store), header | {"shard": list(share)}
    with only_writer(store):
        opened = opened_store(store, header, inputs) if store is not None else None
        recorder = Recorder(header, inputs, opened, retry_failed, on_shape=on_shape, shard=share)
        simulations = _run(simulator, recorder, batch_size, workers, progress)
    return simulations if share is None else simulations.selected(recorder.of_share)


def simulate_at(
    simulator: AnySimulator,
    theta: Any,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    conditions: Any = None,
    store: str | Path | None = None,
    batch_size: int | None = None,
    workers: Workers = 1,
    timeout: int | float | None = None,
    memory: int | str | None = None,
    progress: bool = True,
) -> Simulations:
    """Simulate given parameters, such as draws of a posterior.

    Row i of two calls with one seed shares its random numbers: use another seed for independent noise.

    Args:
        simulator: see `simulate`.
        theta: parameters (n, dim), in the simulator's units.
        seed: integer in [0, 2**32).
        names: one name per parameter; `theta_0`, `theta_1`, ... if not given.
        conditions: known conditions, (c,) for all rows or (n, c), where the simulator takes them; or name -> a value
            for all rows or (n,) values, in the simulator's order. Without names they are `condition_0`, ...
        store: path of a Zarr store of these runs, which is written batch by batch; an interrupted call with the same
            parameters goes on where it stopped.
        batch_size: see `simulate`.
        workers: see `simulate`.
        timeout: see `simulate`.
        memory: see `simulate`.
        progress: show progress on stderr.

    Raises:
        TypeError: a simulator of no known kind or without an array as output.
        ValueError: `theta` is not (n, dim) or not finite, another argument is out of range, or the store holds runs at
            other parameters.
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
    workers = bounded(workers, timeout, memory)
    simulator, batch_size = checked_call(simulator, batch_size, workers, conditional=conditions is not None)
    header = make_header(names, check_seed(seed), [], simulator.name, unequal_sets=simulator.unequal_sets)
    if conditions is not None:
        known, given = checked_conditions(conditions, len(parameters))
        parameters = np.concatenate([parameters, given], axis=1)
        header |= {"condition_names": known}
    simulator.check_names(_names_of(header))
    with only_writer(store):
        opened = opened_store(store, header, parameters) if store is not None else None
        recorder = Recorder(header, parameters, opened, False)
        return _run(simulator, recorder, batch_size, workers, progress)


def simulate_round(
    simulator: AnySimulator,
    simulations: Simulations,
    propose: Callable[[], np.ndarray],
    number: int,
    *,
    seed: int,
    noise_block: np.ndarray | None = None,
    store: str | Path | None = None,
    batch_size: int | None = None,
    workers: Workers = 1,
    timeout: int | float | None = None,
    memory: int | str | None = None,
    progress: bool = True,
) -> Simulations:
    """Simulate a round of refinement; an interrupted one in the store goes on with the parameters that it had.

    Args:
        simulator: see `simulate`.
        simulations: what the round is added to.
        propose: gives parameters and conditions (n, dim + c); not called where the store has the round's already.
        number: of the round, from 1.
        seed: of the round's runs.
        noise_block: (n,), rows of one positive number share their random numbers; none do if not given.
        store: path of the store of `simulations`, which gets the rows.
        batch_size: see `simulate`.
        workers: see `simulate`.
        timeout: see `simulate`.
        memory: see `simulate`.
        progress: show progress on stderr.

    Returns:
        The round's rows alone.
    """
    workers = bounded(workers, timeout, memory)
    is_conditional = bool(simulations.condition_names)
    simulator, batch_size = checked_call(simulator, batch_size, workers, conditional=is_conditional)
    of_runs = (simulations.names, seed, simulations.prior_description, simulations.simulator)
    header = make_header(*of_runs, unequal_sets=simulator.unequal_sets)
    if simulations.condition_names:
        given = {"condition_names": list(simulations.condition_names), "conditions_prior": simulations.conditions_prior}
        header |= given
    simulator.check_names(_names_of(header))
    with only_writer(store):
        opened = None if store is None else SimulationStore.open(store, writable=True, round=number)
        if opened is not None and "shard" in opened.attributes:
            raise ValueError(
                f"`store`: {store} holds one share of the simulations, and a refinement goes on from all of them. Put "
                "the shares together first (merge_simulations), and give the store that comes of it."
            )
        if opened is not None and len(opened):
            record = opened.read()
            inputs, shared = record["inputs"], record["noise_block"]
            if (lost := not_finite(inputs)).any():
                # A damaged store: the same parameters again, as long as cost and seed are the same.
                inputs[lost] = propose()[lost]
        else:
            inputs = propose()
            shared = np.zeros(len(inputs), np.int32) if noise_block is None else np.asarray(noise_block, np.int32)
            if opened is not None:
                opened.append(inputs, shared)
        recorder = Recorder(header, inputs, opened, False, numbers=_first_of_block(shared))
        rows = _run(simulator, recorder, batch_size, workers, progress)
    return replace(rows, round=np.full(len(rows), number, np.int32), noise_block=shared)


def _first_of_block(block: np.ndarray) -> np.ndarray:
    """The number of every row's random numbers: that of the first row of its block."""
    _, first, which = np.unique(block, return_index=True, return_inverse=True)
    return np.where(block > 0, first[which], np.arange(len(block)))


def _run(
    simulator: Simulator, recorder: Recorder, batch_size: int | None, workers: Workers, progress: bool
) -> Simulations:
    started = time.perf_counter()
    job = _job(recorder, recorder.rows, batch_size, workers)
    if len(job) and (output_shape := simulator.output_shape(job)) is not None:
        recorder.expect(output_shape, simulator.output_names(job))
    if len(job):
        _compare_with_store(simulator, recorder, unbounded(workers)._replace(workers=1))
    repeats = Repeats(job) if len(job) >= LEAST_ROWS and not simulator.vectorised else None
    try:
        with progress_bar("simulating", len(job), progress and len(job) > 0) as advance:
            if len(job):
                recorder.run_seconds = job.run_seconds
                for results in simulator.run(job if repeats is None else repeats.job):
                    results = results if repeats is None else repeats.without(list(results))
                    recorder.add(results)
                    advance(len(results), note=f"{recorder.n_failed} failed" if recorder.n_failed else "")
        recorder.finish()
    finally:
        recorder.close(time.perf_counter() - started)
    if repeats is not None:
        function = getattr(simulator, "function", None)
        repeats.warn(simulator, function)
        recorder.note_deterministic(repeats.is_deterministic(function))
    elif len(job) and simulator.vectorised:
        recorder.note_deterministic(simulator.is_deterministic(job))
    return recorder.result(simulator.failure_remedy)


def _job(recorder: Recorder, rows: np.ndarray, batch_size: int | None = None, workers: Workers = 1) -> Job:
    who, timeout, memory = unbounded(workers)
    return Job(
        seed=recorder.header["seed"],
        rows=rows,
        numbers=recorder.numbers[rows],
        inputs=recorder.inputs[rows],
        dim=len(recorder.header["names"]),
        batch_size=batch_size,
        workers=who,
        timeout=timeout,
        memory=memory,
        names=_names_of(recorder.header),
    )


def _names_of(header: dict[str, Any]) -> tuple[str, ...]:
    """The names of the parameters and, after them, of the known conditions."""
    return (*header["names"], *header.get("condition_names", ()))


def _compare_with_store(simulator: Simulator, recorder: Recorder, workers: Workers) -> None:
    """Runs one stored row again: a store knows its simulator by name only, and the function may have been edited."""
    done = recorder.one_done()
    if done is None:
        return
    row, stored = done
    job = _job(recorder, np.array([row]), None, workers)
    again = recorder.as_stored(next(output for results in simulator.run(job) for _, output in results))
    if not isinstance(again, str) and again.size != stored.size:
        return  # another output shape is an error of its own, when the rows come in
    # Compiled for one row rather than for a batch, a JAX simulator may round otherwise.
    if isinstance(again, str) or not np.allclose(
        np.ravel(again), np.ravel(stored), rtol=1e-3, atol=1e-6, equal_nan=True
    ):
        warnings.warn(
            f"simulation {row} of the store, run again, gives another output than the stored one: the simulator was "
            "edited since, or draws random numbers from elsewhere than its key or rng. If it was edited, the store now "
            "mixes two simulators: delete it and simulate anew.",
            stacklevel=4,
        )
