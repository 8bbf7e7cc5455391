"""The expected distance by running the simulator: a reference with its error, for tasks without an exact cost."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from numpy.typing import ArrayLike

from ..distances import Distance
from ..runtime.compiling import compiled
from ..runtime.counts import checked_count
from ..runtime.seeds import SIMULATOR_STREAM, check_seed, row_key
from .observations import output_shape
from .task import Task

# Most runs of one parameter, and most numbers in the outputs, of one compiled call: 8 MiB, a few times over.
_MOST_RUNS = 1024
_MOST_NUMBERS = 2**21


def expected_distance(
    task: Task, theta: ArrayLike, x_o: ArrayLike, runs: int, *, seed: int
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Monte Carlo estimates of E[d(x, x_o) | theta] from `runs` outputs of each parameter.

    Run k of row i depends on (seed, i, k) alone, so that more runs or rows repeat those of fewer, and rows have
    independent errors. Failed runs (NaN or infinity in the output) are left out: E[d | theta, success]. What depends on
    theta alone, such as the solution of a differential equation, is computed once for up to 1024 runs.

    Args:
        task: with a JAX simulator and a distance that needs no fitting, or is fitted.
        theta: parameters (m, dim), in the prior's units.
        x_o: the observation, of the shape of an output.
        runs: of each parameter, at least 2.
        seed: integer in [0, 2**32).

    Returns:
        Mean and standard error of every row, float64, in units of the distance; NaN where more than half of the runs
        failed. The error is that of the runs made: where a rare outcome has not come up, it is too small, and float32
        leaves 1e-6 of the mean.

    Raises:
        ValueError: an argument of the wrong shape or out of range, or a parameter outside the prior's support.

    Example:
        >>> mean, error = expected_distance(task, theta, x_o, 10_000, seed=0)
    """
    parameters = np.asarray(theta, np.float32)
    if parameters.ndim != 2 or parameters.shape[1] != task.prior.dim or len(parameters) == 0:
        raise ValueError(
            f"theta must have shape (m, {task.prior.dim}), m >= 1: {', '.join(task.prior.names)}; got "
            f"{parameters.shape}."
        )
    task.prior.check_inside(parameters)
    shape = output_shape(task)
    observation = np.asarray(x_o, np.float32)
    task.distance.check_target(shape, observation.shape)
    if not np.isfinite(observation).all():
        raise ValueError(f"x_o has {int((~np.isfinite(observation)).sum())} value(s) that are NaN or infinite.")
    runs = checked_count("runs", runs, least=2, remedy="; a single run has no standard error")
    key = jax.random.key(check_seed(seed))
    many_runs = min(_power_of_two(runs), _MOST_RUNS)
    most_rows = max(1, _MOST_NUMBERS // (many_runs * max(1, int(np.prod(shape)))))
    many_rows = min(_power_of_two(len(parameters)), 1 << (most_rows.bit_length() - 1))
    target = jnp.asarray(observation)
    moments = []
    for start in range(0, len(parameters), many_rows):
        rows = np.arange(start, start + many_rows)
        block = jnp.asarray(parameters[np.minimum(rows, len(parameters) - 1)])
        total = np.zeros((3, many_rows))
        for first in range(0, int(runs), many_runs):
            numbers = jnp.arange(first, first + many_runs)
            part = _block(
                task.simulator, task.distance, key, jnp.asarray(rows), numbers, block, target, jnp.asarray(runs)
            )
            total = _joined(total, np.asarray(part, np.float64))
        moments.append(total)
    count, mean, squares = np.concatenate(moments, axis=1)[:, : len(parameters)]
    enough = (2 * count >= runs) & (count >= 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(squares / (count - 1) / count)
    return np.where(enough, mean, np.nan), np.where(enough, error, np.nan)


@compiled
def _block(
    simulator: Callable,
    distance: Distance,
    key: Key[Array, ""],
    rows: Int[Array, " m"],
    numbers: Int[Array, " k"],
    theta: Float[Array, "m dim"],
    x_o: Float[Array, "..."],
    runs: Int[Array, ""],
) -> Float[Array, "3 m"]:
    """Number of runs that worked, mean distance and sum of squared deviations of every row."""

    def one_row(row: Array, parameter: Array) -> Array:
        row_of_keys = row_key(key, row, SIMULATOR_STREAM)

        def one_run(number: Array) -> tuple[Array, Array]:
            # The parameter is not mapped over runs: what depends on it alone is computed once.
            x = jnp.asarray(simulator(jax.random.fold_in(row_of_keys, number), parameter), jnp.float32)
            good = jnp.isfinite(x).all() & (number < runs)
            return good, distance(jnp.where(good, x, x_o), x_o)

        good, values = jax.vmap(one_run)(numbers)
        count = good.sum()
        mean = jnp.sum(jnp.where(good, values, 0.0)) / jnp.maximum(count, 1)
        return jnp.stack([count.astype(jnp.float32), mean, jnp.sum(jnp.where(good, (values - mean) ** 2, 0.0))])

    return jax.vmap(one_row, out_axes=1)(rows, theta)


def _joined(a: Float[np.ndarray, "3 m"], b: Float[np.ndarray, "3 m"]) -> Float[np.ndarray, "3 m"]:
    """Moments of two groups together (Chan, Golub, LeVeque 1983): no squares of large numbers are subtracted."""
    count = a[0] + b[0]
    share = b[0] / np.maximum(count, 1)
    away = b[1] - a[1]
    return np.stack([count, a[1] + away * share, a[2] + b[2] + away**2 * a[0] * share])


def _power_of_two(n: int) -> int:
    """The smallest that is not below n: few lengths, so few compilations."""
    return 1 << (n - 1).bit_length()
