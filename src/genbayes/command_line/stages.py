"""The stages of the command line: each reads what the stage before left in an output folder, and leaves its own."""

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checks.predictive import PredictiveCheck, check_predictive
from ..costs.cost import Cost
from ..costs.files import save
from ..costs.fitting import fit_cost
from ..costs.store_rows import ROWS_IN_MEMORY
from ..observations import Observation, as_output, as_stack
from ..reports.markup import Section
from ..reports.page import report
from ..runtime.processes import plain_main
from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from ..sampling.sampler import samplers
from ..simulations.executors import Workers
from ..simulations.rows import Simulations
from ..simulations.running import simulate
from ..simulations.shards import Shard
from .folder import Folder, check_output_names, save_draws
from .problem import Problem
from .problem_options import need_observation, posterior_of
from .staleness import fit_settings


@dataclass(frozen=True)
class Reported:
    """A report, the check that went into it (None: none was asked for), and seconds."""

    path: Path
    check: PredictiveCheck | None
    seconds: dict[str, float] = field(default_factory=dict)


def run_simulations(
    problem: Problem,
    folder: Folder,
    n: int,
    *,
    seed: int,
    workers: Workers = 1,
    batch_size: int | None = None,
    retry_failed: bool = False,
    progress: bool = True,
    shard: Shard | None = None,
) -> Simulations:
    """Simulates into the folder's store, or that of a share, or continues it; see `simulate`."""
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        with plain_main():
            return simulate(
                problem.simulator,
                problem.prior,
                n,
                seed=seed,
                conditions=problem.conditions,
                store=folder.simulations,
                batch_size=batch_size,
                workers=workers,
                progress=progress,
                retry_failed=retry_failed,
                on_shape=lambda shape: _check_observation(problem, shape),
                shard=shard,
            )
    except ValueError as error:
        if not str(error).startswith("`store`"):
            raise
        path = folder.simulations if shard is None else shard.path(folder.simulations)
        told = ValueError(f"{error} On the command line: name another folder by --out, or remove {path} to start anew.")
        for note in getattr(error, "__notes__", ()):
            told.add_note(note)
        raise told from error


def _check_observation(problem: Problem, x_shape: tuple[int, ...]) -> None:
    """ValueError as soon as one run shows that the observation cannot be compared with outputs."""
    if problem.x_o is not None:
        if problem.observation is not None and problem.observation.groups is not None:
            any_size = problem.distance.reads_unequal_sets
            one = as_stack(problem.observation, x_shape, any_size=any_size)[0]
        else:
            one = as_output(problem.x_o, x_shape)
        try:
            problem.distance.check_target(x_shape, one.shape)
        except ValueError as error:
            remedy = "" if problem.observation is None else problem.observation.rows_remedy
            raise ValueError(f"{error}{remedy}") from None


def run_fit(
    problem: Problem,
    folder: Folder,
    simulations: Simulations,
    *,
    seed: int,
    progress: bool = True,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> Cost:
    """Fits the cost and saves it.

    Args:
        problem: whose cost it is.
        folder: where it is saved.
        simulations: of the folder, or a sample of them.
        seed: of the fit.
        progress: show progress bars.
        rows_in_memory: of a folder with more simulations so many are fitted in memory, and all in blocks.
    """
    check_output_names(problem, simulations.outputs)
    # A fit with an error of measurement is one in memory, if that is possible.
    alone = problem.measurement_error is not None
    whole = simulations.sampled_from is None and (alone or folder.rows() <= rows_in_memory)
    cost = fit_cost(
        simulations if whole else folder.simulations,
        problem.distance,
        seed=seed,
        config=problem.fit,
        method=problem.method,
        embedding=problem.embedding,
        failures=problem.failures,
        measurement_error=problem.measurement_error,
        progress=progress,
        x_o=_scale_observation(problem, simulations.x_shape),
        rows_in_memory=rows_in_memory,
    )
    cost = replace(cost, settings={**cost.settings, **fit_settings(problem)})
    save(cost, folder.cost)
    return cost


def _scale_observation(problem: Problem, x_shape: tuple[int, ...]) -> np.ndarray | None:
    """The observation that the scale is to suit, where the distance takes its scale from one."""
    if not problem.distance.needs_observation:
        return None
    return as_output(need_observation(problem, problem.x_o, option=False), x_shape)


def run_sampling(
    problem: Problem,
    folder: Folder,
    cost: Cost,
    beta: float,
    *,
    n: int,
    seed: int,
    sampler: str,
    x_o: np.ndarray | None = None,
    conditions: Mapping[str, float] | None = None,
) -> Draws:
    """Samples at one inverse temperature, under the observation's known conditions if any, and stores the draws.

    Without `x_o` it is the problem's observation; `conditions` not given are the problem's.

    Raises:
        ValueError: there is no observation, or it does not fit the cost.
    """
    x_o = need_observation(problem, problem.x_o if x_o is None else x_o)
    conditions = dict(problem.x_o_conditions if conditions is None else conditions)
    posterior = posterior_of(problem, cost, x_o, beta, conditions)
    draws = posterior.sample(n, seed=seed, sampler=samplers()[sampler])
    save_draws(draws, folder)
    return draws


def run_report(
    problem: Problem,
    path: Path,
    cost: Cost,
    draws: Draws,
    simulations: Simulations,
    *,
    resimulate: int = 500,
    check: PredictiveCheck | None = None,
    workers: Workers = 1,
    warnings: tuple[str, ...] = (),
    observation: Observation | None = None,
    figures: Callable[[PredictiveCheck], Mapping[str, Any]] | None = None,
    extra_settings: Mapping[str, Any] | None = None,
    sections: Sequence[Section] = (),
    progress: bool = True,
) -> Reported:
    """Runs the simulator at `resimulate` draws (0: at none) and writes the report.

    With `check` nothing is run: these are the runs.
    `observation` is what was read of the draws' observation: its index is the axis of a series where the problem gives
    no values for it, and its names are the labels.
    `figures` makes further pictures, caption -> Figure, of these runs; `extra_settings` go into the report's table,
    `sections` below its pictures.
    """
    posterior = GibbsPosterior(problem.prior, cost, draws.x_o, draws.beta, conditions=draws.conditions)
    seconds = {}
    if resimulate and check is None:
        seed = resimulation_seed(simulations)
        started = time.perf_counter()
        with plain_main():
            check = check_predictive(
                problem.simulator, posterior, draws, resimulate, seed=seed, workers=workers, progress=progress
            )
        seconds["check"] = time.perf_counter() - started
    settings = problem.report
    read = {} if observation is None else {"observation read": f"{observation.source}: {observation.summary}"}
    started = time.perf_counter()
    written = report(
        path,
        posterior,
        draws,
        check=check,
        simulations=simulations,
        title=problem.name,
        figures=figures(check) if figures is not None and check is not None else None,
        settings={**({"problem": str(problem.path)} if problem.path else {}), **read, **(extra_settings or {})},
        seconds=dict(seconds),
        warnings=warnings,
        axis=axis_of(problem, draws, observation),
        labels=settings.labels,
        kind=settings.kind,
        sections=sections,
        progress=progress,
    )
    return Reported(written, check, {**seconds, "report": time.perf_counter() - started})


def axis_of(problem: Problem, draws: Draws, observation: Observation | None) -> Observation | None:
    """The observation with the index that the problem gives, if any, or else its own; None where nothing is known."""
    settings, shown = problem.report, observation or Observation(draws.x_o)
    if settings.axis_values is not None:
        return replace(shown, index=np.array(settings.axis_values), index_name=settings.axis or "time")
    if settings.axis is None:
        return observation
    if shown.index is not None:
        return replace(shown, index_name=settings.axis)
    # A label of hours below numbers of steps would be a wrong picture.
    label = f"step (no axis_values for {settings.axis})"
    return replace(shown, index=np.arange(draws.x_o.shape[0], dtype=float), index_name=label)


def resimulation_seed(simulations: Simulations) -> int:
    """Another seed than that of the training simulations, so that new runs at draws have independent noise."""
    return (simulations.seed + 1) % 2**32


def need_plots() -> None:
    """Raises ImportError early where a report could not be drawn after hours of work."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("the report needs matplotlib: pip install 'genbayes[plots]'.")
