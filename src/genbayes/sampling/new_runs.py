"""New runs of the simulator at draws, under the known conditions of the observation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..costs.cost import Cost
from ..costs.known_parameters import inputs_of_simulator, rows_as_known
from ..simulations.executors import Workers
from ..simulations.rows import Simulations
from ..simulations.running import simulate_at
from ..simulations.simulators import AnySimulator


@dataclass(frozen=True)
class RunPairs:
    """Two runs at each of some parameters, of which both succeeded.

    Attributes:
        theta: (m, dim), the parameters.
        x: (m, *x_shape), one run at each.
        again: (m, *x_shape), another run at each, with its own noise.
        n_failed: parameters at which a run failed.
        seconds: of simulation.
        summary: what became of all runs, in words.
        runs: all of them, failed ones too: one at every parameter that was asked for, then the others.
    """

    theta: Float[np.ndarray, "m dim"]
    x: Float[np.ndarray, "m *x_shape"]
    again: Float[np.ndarray, "m *x_shape"]
    n_failed: int
    seconds: float
    summary: str
    runs: Simulations


def runs_at(
    simulator: AnySimulator,
    theta: Float[np.ndarray, "m dim"],
    *,
    seed: int,
    cost: Cost,
    conditions: Mapping[str, float] | None = None,
    store: str | Path | None = None,
    workers: Workers = 1,
    progress: bool = True,
) -> Simulations:
    """One run at each parameter, with the parameters that are held at values in their places.

    Args:
        simulator: as given to `simulate`.
        theta: (m, dim), the parameters.
        seed: of the runs; another one than that of the training simulations.
        cost: of the posterior whose draws the parameters are.
        conditions: known conditions of the observation, name -> value, with the values of parameters that are held;
            none if empty.
        store: path of a store in which the runs are kept, see `simulate_at`.
        workers: see `simulate`.
        progress: show a progress bar.
    """
    every, names, own = inputs_of_simulator(cost, theta, conditions)
    known = own or None
    runs = simulate_at(
        simulator, every, seed=seed, names=names, conditions=known, store=store, workers=workers, progress=progress
    )
    return rows_as_known(cost, runs)


def run_pairs_at(
    simulator: AnySimulator,
    theta: Float[np.ndarray, "m dim"],
    *,
    seed: int,
    cost: Cost,
    conditions: Mapping[str, float] | None = None,
    store: str | Path | None = None,
    workers: Workers = 1,
    progress: bool = True,
) -> RunPairs:
    """Two runs at each parameter, each with its own noise; parameters at which one of them fails are left out.

    The arguments are those of `runs_at`.
    """
    runs = runs_at(
        simulator,
        np.concatenate([theta, theta]),
        seed=seed,
        cost=cost,
        conditions=conditions,
        store=store,
        workers=workers,
        progress=progress,
    )
    m = len(theta)
    kept = runs.ok[:m] & runs.ok[m:]
    pairs = (theta[kept], runs.x[:m][kept], runs.x[m:][kept])
    return RunPairs(*pairs, int(np.sum(~kept)), runs.seconds, runs.summary(), runs)
