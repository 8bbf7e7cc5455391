"""Runs of the neuron: summary statistics accumulated while simulating, and whole traces for plots."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from ..runtime.seeds import SIMULATOR_STREAM, check_seed, row_key
from .arithmetic import standard_normal
from .model import BOUNDS, State, Stimulus, start, step
from .statistics import Moments, Spikes, Windows, spike_distance

# Steps for which noise is drawn and voltages are kept at a time: with 1024 runs a block is 256 KiB and stays in the
# second-level cache.
BLOCK = 64


class HodgkinHuxley:
    """The simulator `simulator(key, theta)` for `genbayes.simulate`: one run to the seven statistics `STATISTICS`.

    It simulates to the end of the stimulus; what comes after enters no statistic.

    Args:
        stimulus: injected current and initial voltage.

    Example:
        >>> simulator = HodgkinHuxley(Stimulus.of(recording))
        >>> simulations = genbayes.simulate(simulator, prior(), 10_000, seed=0)
    """

    # Stores remember their simulator by name, and older ones remember it where it stood then.
    name_in_stores = "genbayes.tasks.hodgkin_huxley.simulator:HodgkinHuxley"

    def __init__(self, stimulus: Stimulus) -> None:
        if not isinstance(stimulus, Stimulus):
            raise TypeError(
                f"`stimulus` must be a Stimulus, got {type(stimulus).__name__}. Stimulus.of(recording) makes one."
            )
        self.stimulus = stimulus

    def __call__(self, key: PRNGKeyArray, theta: Float[Array, " 8"]) -> Float[Array, " 7"]:
        """One run: statistics in mV and powers of it, see `STATISTICS`."""
        voltage = jnp.asarray(self.stimulus.initial_voltage, theta.dtype)
        return run(words_of(key), theta, jnp.ones_like(voltage), voltage, self.stimulus)

    def __repr__(self) -> str:
        return f"HodgkinHuxley({self.stimulus!r})"


def run(
    words: UInt32[Array, " 2"],
    theta: Float[Array, " 8"],
    current_scale: Float[Array, ""],
    initial_voltage: Float[Array, ""],
    stimulus: Stimulus,
) -> Float[Array, " 7"]:
    """Statistics of one run; under `vmap` all runs go step by step together, time first in memory.

    Args:
        words: two 32-bit words of a random key.
        theta: parameters in the order of `BOUNDS`.
        current_scale: factor of the stimulus' current density.
        initial_voltage: mV.
        stimulus: current, windows and time step; its own initial voltage is not used.
    """

    @jax.custom_batching.custom_vmap
    def one(*inputs: Array) -> Array:
        return _run_batch(*(part[..., None] for part in inputs), stimulus=stimulus)[:, 0]

    @one.def_vmap
    def batch(axis_size: int, in_batched: list[bool], *inputs: Array) -> tuple[Array, bool]:
        # The batch comes last: a column of one step's noise or voltage is contiguous.
        last = [
            jnp.moveaxis(part, 0, -1) if batched else jnp.broadcast_to(part[..., None], (*part.shape, axis_size))
            for part, batched in zip(inputs, in_batched, strict=True)
        ]
        return _run_batch(*last, stimulus=stimulus).T, True

    return one(words, theta, current_scale, initial_voltage)


def _run_batch(
    words: UInt32[Array, "2 n"],
    theta: Float[Array, "8 n"],
    current_scale: Float[Array, " n"],
    initial_voltage: Float[Array, " n"],
    stimulus: Stimulus,
) -> Float[Array, "7 n"]:
    def noise(first: Array) -> Array:
        counter = first.astype(jnp.uint32) + jnp.arange(BLOCK, dtype=jnp.uint32)
        return standard_normal(words[:, None, :], counter[:, None])

    return statistics(noise, theta, current_scale, initial_voltage, stimulus)


class _Running(NamedTuple):
    state: State
    spikes: Spikes
    block: Array


class _Totals(NamedTuple):
    rest: Moments
    tail: Moments
    stimulus: Moments


def statistics(
    noise: Callable[[Array], Array],
    theta: Float[Array, "8 n"],
    current_scale: Float[Array, " n"],
    initial_voltage: Float[Array, " n"],
    stimulus: Stimulus,
) -> Float[Array, "7 n"]:
    """Statistics of n runs, in one compiled scan that keeps the voltages of one block of steps.

    Args:
        noise: function from the index of a step to standard normal numbers (BLOCK, n) for it and those that follow.
        theta: parameters in the order of `BOUNDS`.
        current_scale: factors of the stimulus' current density.
        initial_voltage: mV.
        stimulus: current, windows and time step; its own initial voltage is not used.
    """
    windows = Windows.of(stimulus.dt, stimulus.on, stimulus.off)
    distance = spike_distance(stimulus.dt)
    current = jnp.asarray(stimulus.current_density, theta.dtype)

    def one_block(carry: tuple[_Running, _Totals], plan: Int[Array, " 3"]) -> tuple[tuple[_Running, _Totals], None]:
        first, length, window = plan
        normals = noise(first)

        def one_step(i: Array, running: _Running) -> _Running:
            old = running.state
            new = step(old, theta, current_scale * current[first + i], normals[i], stimulus.dt)
            spikes = running.spikes.add(old.voltage, new.voltage, first + i + 1, windows.stimulus, distance)
            block = jax.lax.dynamic_update_index_in_dim(running.block, new.voltage, i, 0)
            return _Running(new, spikes, block)

        running, totals = carry
        # Blocks of every length share one compiled body.
        running = jax.lax.fori_loop(0, length, one_step, running)
        inside = jnp.arange(BLOCK) < length
        # The last branch is for samples of no window.
        branches = [partial(_added, name) for name in _Totals._fields] + [lambda totals, block, inside: totals]
        return (running, jax.lax.switch(window, branches, totals, running.block, inside)), None

    none = Moments.none(initial_voltage)
    resting = none.add(initial_voltage[None], jnp.ones(1, bool))
    running = _Running(
        start(initial_voltage, theta),
        Spikes.none(initial_voltage, distance),
        jnp.zeros((BLOCK, *initial_voltage.shape), initial_voltage.dtype),
    )
    (running, totals), _ = jax.lax.scan(one_block, (running, _Totals(resting, none, none)), jnp.asarray(_plan(windows)))
    during = totals.stimulus
    return jnp.stack(
        [
            running.spikes.count.astype(theta.dtype),
            totals.rest.merge(totals.tail).absolute_mean(),
            jnp.sqrt(totals.tail.variance()),
            during.absolute_mean(),
            during.variance(),
            during.skewness(),
            during.kurtosis(),
        ]
    )


def _added(name: str, totals: _Totals, block: Array, inside: Array) -> _Totals:
    return totals._replace(**{name: getattr(totals, name).add(block, inside)})


def _plan(windows: Windows) -> Int[np.ndarray, "blocks 3"]:
    """First step, number of steps and window of each block; a window begins with a block. Step i makes sample i + 1.

    The last block is the one sample by which a peak in the last two samples of the window is seen to be one.
    """
    tail, onset, end = windows.tail[0], windows.rest[1], windows.stimulus[1]
    # The initial sample, which no step makes, is counted apart.
    edges = [
        (1, tail, 0),
        (tail, onset, 1),
        (onset, windows.stimulus[0], 3),
        (windows.stimulus[0], end, 2),
        (end, end + 1, 3),
    ]
    plan = [
        (first - 1, min(BLOCK, stop - first), window)
        for begin, stop, window in edges
        for first in range(begin, stop, BLOCK)
    ]
    return np.array(plan, np.int32)


def traces(
    theta: Any,
    stimulus: Stimulus,
    *,
    seed: int | None = None,
    rows: Any = None,
    noise: Any = None,
) -> Float[Array, "n steps"]:
    """Voltage traces in mV, for plots and checks; the first sample is the initial voltage.

    Args:
        theta: parameters (n, 8) in the order of `prior()`.
        stimulus: current, initial voltage and time step.
        seed: seed of the noise; row i is the very run that `simulate_at(HodgkinHuxley(stimulus), theta, seed=seed)`
            summarises in its row i.
        rows: with a seed, (n,): take the noise of these rows instead of 0, 1, ..., n - 1.
        noise: instead of a seed, standard normal numbers (n, steps); number i acts between samples i and i + 1.

    Returns:
        float32; float64 where `theta` is and JAX has `jax_enable_x64` on.

    Raises:
        ValueError: wrong shapes, or not exactly one of `seed` and `noise`.
    """
    parameters = jnp.asarray(theta)
    if parameters.ndim != 2 or parameters.shape[1] != len(BOUNDS):
        raise ValueError(f"`theta` must have shape (n, {len(BOUNDS)}), one run per row, got {parameters.shape}.")
    if (seed is None) == (noise is None):
        raise ValueError("give either `seed` or `noise`: the one draws the noise, the other is the noise.")
    n = len(parameters)
    if rows is not None and (seed is None or np.shape(rows) != (n,)):
        raise ValueError(f"`rows` goes with `seed` and must have shape ({n},), one per run, got {np.shape(rows)}.")
    if noise is None:
        rows = jnp.arange(n) if rows is None else jnp.asarray(rows)
        key = jax.random.key(check_seed(cast(int, seed)))
        words = jax.vmap(lambda row: words_of(row_key(key, row, SIMULATOR_STREAM)))(rows).T
        return _traces(parameters.T, words, None, stimulus)
    normals = jnp.asarray(noise, parameters.dtype)
    if normals.shape != (n, stimulus.steps):
        raise ValueError(f"`noise` must have shape (n, steps) = {(n, stimulus.steps)}, got {normals.shape}.")
    return _traces(parameters.T, None, normals.T, stimulus)


def _traces(
    theta: Float[Array, "8 n"],
    words: UInt32[Array, "2 n"] | None,
    normals: Float[Array, "steps n"] | None,
    stimulus: Stimulus,
) -> Float[Array, "n steps"]:
    @jax.jit
    def simulate(theta: Array, words: Array | None, normals: Array | None, current: Array) -> Array:
        def one(state: State, inputs: tuple[Array, Array, Array | None]) -> tuple[State, Array]:
            i, now, given = inputs
            normal = given if words is None else standard_normal(words, i).astype(theta.dtype)
            return step(state, theta, now, cast(Array, normal), stimulus.dt), state.voltage

        initial = start(jnp.full(theta.shape[1:], stimulus.initial_voltage, theta.dtype), theta)
        steps = jnp.arange(stimulus.steps, dtype=jnp.uint32)
        return jax.lax.scan(one, initial, (steps, current, normals))[1].T

    return simulate(theta, words, normals, jnp.asarray(stimulus.current_density, theta.dtype))


def words_of(key: PRNGKeyArray) -> UInt32[Array, " 2"]:
    """Two 32-bit words of a key, for `run`."""
    data = jax.random.key_data(key)
    # Threefry's key is two words; other generators' keys are longer, and give two random ones.
    return data if data.shape == (2,) else jax.random.bits(key, (2,), jnp.uint32)
