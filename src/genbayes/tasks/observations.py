"""Observations of a benchmark: drawn from a task, well-specified and misspecified, or read from a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ..priors.density import PriorDensity
from ..priors.prior import Prior
from ..runtime.compiling import compiled
from ..runtime.counts import checked_count
from ..runtime.damaged_files import load_archive
from ..runtime.seeds import PARAMETER_STREAM, SIMULATOR_STREAM, check_seed, row_key
from .task import Task

KINDS = ("specified", "misspecified")
# Simulations whose range a misspecified observation has to leave.
RANGE_RUNS = 10_000
_MOST_STEPS = 1000
_MOST_FAILURES = 8
_BLOCK = 1024
_SUFFIXES = ("_known", "_unknown", "")


def draw_observations(task: Task, n: int, *, seed: int) -> dict[str, np.ndarray]:
    """Observations that the simulator can produce, and as many that it cannot.

    Specified ones are outputs at draws of the prior. Misspecified ones are made of further such outputs: by
    `task.misspecified` where the task has it, else by `pushed_outside`. A draw whose run fails is replaced by the next.
    The first rows do not depend on n. Nothing is shared with simulations of the same seed: observations of seed 0 are
    not among the training runs of seed 0.

    Args:
        task: with a JAX simulator.
        n: number of observations of each kind.
        seed: integer in [0, 2**32).

    Returns:
        {"specified": (n, *x_shape), "misspecified": (n, *x_shape)}, float32, in data units.

    Raises:
        ValueError: n is not a positive whole number, or seed out of range.
        RuntimeError: seven of eight runs fail, or nothing leaves the range of the simulations.

    Example:
        >>> x_o = draw_observations(tasks.two_moons(), 10, seed=0)["misspecified"][3]
    """
    n = checked_count("n", n)
    runs_seed, wrong_seed = _further_seeds(seed, "observations")
    theta, x = _working_runs(task.prior, task.simulator, 2 * n, runs_seed)
    # Even rows and odd rows, not halves: the first rows stay when n grows.
    other_theta, other = theta[1::2], x[1::2]
    if task.misspecified is None:
        wrong = pushed_outside(task.prior, task.simulator, other, seed=wrong_seed)
    else:
        wrong = np.asarray(task.misspecified(other_theta, other, wrong_seed), np.float32)
    return {"specified": x[::2], "misspecified": wrong}


def pushed_outside(
    prior: Prior,
    simulator: Callable,
    x: Float[np.ndarray, "n ..."],
    *,
    seed: int,
    settle: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Float[np.ndarray, "n ..."]:
    """Adds normal steps to outputs until at least one coordinate is outside the range of 10,000 simulations.

    A step has the prior-predictive standard deviation in every coordinate. The range is from the least to the largest
    value: heavy tails would make it absurd, so a task whose outputs range over orders of magnitude gives logarithms.

    Args:
        prior: of the simulations.
        simulator: `simulator(key, theta)`.
        x: outputs, (n, *x_shape).
        seed: of the simulations and the steps; a row's steps do not depend on the other rows.
        settle: applied to an output (*x_shape) after every step, for example to make whole counts of it.

    Returns:
        float32, (n, *x_shape).

    Raises:
        RuntimeError: a thousand steps do not lead outside.
    """
    runs_seed, steps_seed = _further_seeds(seed, "range")
    simulated = _working_runs(prior, simulator, RANGE_RUNS, runs_seed)[1]
    low, high = simulated.min(axis=0), simulated.max(axis=0)
    std = simulated.std(axis=0, dtype=np.float64)
    rows = []
    for i, row in enumerate(x):
        rng = np.random.default_rng((steps_seed, i))
        value = np.asarray(row, np.float64)
        for _ in range(_MOST_STEPS):
            value = value + std * rng.standard_normal(value.shape)
            value = value if settle is None else settle(value)
            # As it is handed out: rounding to float32 could bring it back to the edge.
            value = value.astype(np.float32).astype(np.float64)
            if np.any((value < low) | (value > high)):
                break
        else:
            raise RuntimeError(
                f"row {i} is still within the range of {RANGE_RUNS} simulations after {_MOST_STEPS} steps. Where "
                "outputs fill all that is possible (bounded, or constant), the task needs its own `misspecified`."
            )
        rows.append(value)
    return np.asarray(rows, np.float32).reshape(x.shape)


def read_observations(path: str | Path, task: Task) -> dict[str, np.ndarray]:
    """Observations of a task from an .npz file, which may hold those of several tasks.

    The arrays are called `TASK/xo_specified` and `TASK/xo_misspecified`, with or without the suffix `_known` or
    `_unknown`; where there are several they are joined, `_known` first, then `_unknown`. Other arrays are left alone.

    Args:
        path: of the file.
        task: whose observations are wanted.

    Returns:
        As `draw_observations`; a kind that the file lacks has no rows.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an .npz file, no observations of this task, or an array of another shape, without rows, with
            NaN or infinity, or without numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}. Expected an .npz file of observations.")
    shape = output_shape(task)
    observations = {}
    arrays = load_archive(path)
    found = sorted(name for name in arrays if name in set(_keys(task.name)))
    if not found:
        there = sorted({name.split("/")[0] for name in arrays if name in _keys(name.split("/")[0])})
        raise ValueError(
            f"{path.name} has no observations of the task {task.name!r}: expected an array "
            f"{task.name}/xo_specified or {task.name}/xo_misspecified (with or without _known, _unknown). Tasks in "
            f"the file: {', '.join(there) or 'none'}."
        )
    for kind in KINDS:
        keys = [f"{task.name}/xo_{kind}{suffix}" for suffix in _SUFFIXES]
        parts = [_checked(arrays, key, path.name, shape) for key in keys if key in found]
        observations[kind] = np.concatenate([np.zeros((0, *shape), np.float32), *parts])
    return observations


def output_shape(task: Task) -> tuple[int, ...]:
    """Shape of one output of the task's JAX simulator, which is not run."""
    return jax.eval_shape(task.simulator, jax.random.key(0), jnp.zeros(task.prior.dim)).shape


def _further_seeds(seed: int, purpose: str) -> tuple[int, int]:
    """Two seeds of one purpose that no user would choose, so that nothing is shared with runs of the seed itself."""
    words = np.random.SeedSequence([check_seed(seed), *purpose.encode()]).generate_state(2)
    return int(words[0]), int(words[1])


def _working_runs(prior: Prior, simulator: Callable, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and outputs of the first n runs that work: the rows of `simulate` with this seed.

    Not by `simulate`, which compiles in every call: a task's simulator takes seconds to compile.
    """
    key = jax.random.key(seed)
    kept_theta, kept_x, kept = [], [], 0
    most = _MOST_FAILURES * n + _BLOCK
    for start in range(0, most, _BLOCK):
        theta, x = map(np.asarray, _run_block(prior.density, simulator, key, jnp.arange(start, start + _BLOCK)))
        good = np.isfinite(x.reshape(_BLOCK, -1)).all(axis=1)
        kept_theta.append(theta[good])
        kept_x.append(x[good])
        kept += int(good.sum())
        if kept >= n:
            return np.concatenate(kept_theta)[:n], np.concatenate(kept_x)[:n]
    raise RuntimeError(
        f"only {kept} of {most} runs at draws of the prior gave finite outputs, {n} are needed: mend the simulator, or "
        "choose a prior under which it works."
    )


@compiled
def _run_block(
    prior: PriorDensity, simulator: Callable, key: Key[Array, ""], rows: Int[Array, " n"]
) -> tuple[Float[Array, "n dim"], Float[Array, "n ..."]]:
    def one(row: Array) -> tuple[Array, Array]:
        theta = prior.sample_one(row_key(key, row, PARAMETER_STREAM))
        x = simulator(row_key(key, row, SIMULATOR_STREAM), theta)
        return theta, jnp.asarray(x, jnp.float32)

    return jax.vmap(one)(rows)


def _keys(name: str) -> list[str]:
    return [f"{name}/xo_{kind}{suffix}" for kind in KINDS for suffix in _SUFFIXES]


def _checked(arrays: Any, key: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    values = arrays[key]
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{name}: {key} must hold numbers, got an array of dtype {values.dtype}.")
    if values.ndim == 0 or values.shape[1:] != shape or len(values) == 0:
        expected = ", ".join(["n", *map(str, shape)])
        raise ValueError(
            f"{name}: {key} has shape {values.shape}, expected ({expected}) with n >= 1: one output of the simulator "
            "per row."
        )
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name}: {key} has {len(bad)} value(s) that are NaN or infinite (in float32), the first at index {where}. "
            "Leave these observations out, or fill the gaps."
        )
    return values
