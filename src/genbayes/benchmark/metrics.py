"""What is measured of the draws of one posterior: one row of the benchmark."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..distances import Distance
from ..runtime.compiling import compiled
from ..runtime.counts import evenly_spaced
from ..runtime.seeds import SIMULATOR_STREAM, row_key
from ..runtime.statistics import mean_and_error
from ..tasks import Task
from ..tasks.monte_carlo import expected_distance

# A cost that is not known is estimated by Monte Carlo, from so many draws and runs at each. Between draws the cost
# varies more than an estimate from 100 runs errs, so that more runs would gain less than more draws.
MONTE_CARLO_DRAWS = 1000
MONTE_CARLO_RUNS = 100
GRID = 1000


@dataclass(frozen=True)
class Judge:
    """Knows the exact answers of one task.

    Attributes:
        task: with its exact cost and reference draws, where they are known.
        grid: parameters (GRID, dim), prior draws at which predicted and exact cost are compared.
    """

    task: Task
    grid: Float[np.ndarray, "m dim"]

    @classmethod
    def of(cls, task: Task) -> "Judge":
        """The judge of a task; the grid is the same for all methods and seeds."""
        return cls(task, np.asarray(task.prior.sample(GRID, seed=seed_of(task.name, "grid")), np.float32))

    def draws(
        self, theta: Float[np.ndarray, "n dim"], x_o: Float[np.ndarray, "..."], resimulate: int, seed: int
    ) -> dict[str, float | None]:
        """Mean exact cost of draws and mean distance of new runs at some of them, each with its standard error.

        Where the task has no exact cost, both cost columns are Monte Carlo estimates by MONTE_CARLO_RUNS runs at each
        of MONTE_CARLO_DRAWS draws; their error counts both the scatter between draws and that of the runs.

        Args:
            theta: draws.
            x_o: the observation, of the shape of an output.
            resimulate: number of draws that are run once more, at most all; 0 leaves the distance blank.
            seed: of the new runs.

        Raises:
            ValueError: draws that are not finite.
        """
        if theta.ndim != 2 or len(theta) < 2 or not np.isfinite(theta).all():
            raise ValueError(f"the draws must be finite and of shape (n >= 2, dim), got {theta.shape}.")
        if self.task.cost is not None:
            costs = np.asarray(self.task.cost(theta, x_o), np.float64)
        else:
            rows = _spread(theta, MONTE_CARLO_DRAWS)
            costs, _ = expected_distance(self.task, rows, x_o, MONTE_CARLO_RUNS, seed=seed_of(seed, "cost"))
        cost, cost_error = _measured(costs)
        distance, distance_error = None, None
        if resimulate:
            rows = _spread(theta, resimulate)
            key = jax.random.key(seed_of(seed, "resimulate"))
            values = _distances_of_new_runs(self.task.simulator, self.task.distance, key, rows, x_o)
            distance, distance_error = _measured(np.asarray(values))
        return {
            "cost_true_mean": cost,
            "cost_true_error": cost_error,
            "distance_simulated_mean": distance,
            "distance_simulated_error": distance_error,
        }

    def exact(self, x_o: Float[np.ndarray, "..."]) -> Float[np.ndarray, " m"]:
        """The exact cost on the grid, or its Monte Carlo estimate."""
        if self.task.cost is not None:
            return np.asarray(self.task.cost(self.grid, x_o), np.float64)
        return expected_distance(self.task, self.grid, x_o, MONTE_CARLO_RUNS, seed=seed_of(self.task.name, "exact"))[0]

    def reference(self, x_o: Float[np.ndarray, "..."], beta: float, draws: int, seed: int) -> Any:
        """Exact draws (draws, dim) for C2ST, independent of those of any method; None where the task has none."""
        if self.task.reference is None:
            return None
        return np.asarray(self.task.reference(x_o, beta, draws, seed_of(seed, "reference", f"{beta:.7g}")), np.float32)


@compiled
def _distances_of_new_runs(
    simulator: Callable, distance: Distance, key: Key[Array, ""], theta: Array | np.ndarray, x_o: Array | np.ndarray
) -> Array:
    """Distance (n,) of one run at each parameter; NaN where it fails. One program for all posteriors of a task."""
    target = jnp.asarray(x_o)

    def one(row: tuple[Array, Array]) -> Array:
        return distance(simulator(row_key(key, row[0], SIMULATOR_STREAM), row[1]), target)

    return jax.lax.map(one, (jnp.arange(len(theta)), jnp.asarray(theta)), batch_size=1024)


def agreement(predicted: Float[np.ndarray, " m"], exact: Float[np.ndarray, " m"]) -> dict[str, float | None]:
    """Pearson's correlation, and mean squared error in squared units of the distance, of predicted and exact costs."""
    ok = np.isfinite(predicted) & np.isfinite(exact)
    predicted, exact = predicted[ok], exact[ok]
    if len(exact) < 2:
        return {"cost_correlation": None, "cost_mse": None}
    varies = predicted.std() > 0 and exact.std() > 0
    correlation = float(np.corrcoef(predicted, exact)[0, 1]) if varies else None
    return {"cost_correlation": correlation, "cost_mse": float(np.mean((predicted - exact) ** 2))}


def seed_of(*words: str | int) -> int:
    """A seed for one purpose, so that nothing here shares random numbers with what it measures."""
    return int(np.random.SeedSequence([zlib.crc32(str(word).encode()) for word in words]).generate_state(1)[0])


def _spread(theta: np.ndarray, n: int) -> np.ndarray:
    """At most n draws, evenly spread."""
    return theta[evenly_spaced(len(theta), n)]


def _measured(values: np.ndarray) -> tuple[float | None, float | None]:
    """Mean and standard error, None of fewer than two values."""
    mean, error = mean_and_error(values)
    return (None, None) if np.isnan(error) else (mean, error)
