"""The stages of the command line: each reads what the stage before left in an output folder, and leaves its own."""

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checks.predictive import PredictiveCheck, check_predictive
from ..costs.cost import Cost
from ..costs.files import save
from ..costs.fitting import default_config, fit_cost
from ..reports.markup import Section
from ..reports.page import report
from ..runtime.processes import plain_main
from ..sampling.draws import Draws
from ..sampling.draws_origin import same_observation, shown
from ..sampling.posterior import GibbsPosterior
from ..sampling.sampler import samplers
from ..simulations.rows import Simulations
from ..simulations.running import qualified_name, simulate
from .folder import Folder, command_line, save_draws
from .observations import read_observation
from .problem import Problem


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
    workers: int = 1,
    batch_size: int | None = None,
    retry_failed: bool = False,
    progress: bool = True,
) -> Simulations:
    """Simulates into the folder's store, or continues it; see `simulate`."""
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
            )
    except ValueError as error:
        if not str(error).startswith("`store`"):
            raise
        raise ValueError(
            f"{error} On the command line: name another folder by --out, or remove {folder.simulations} to start anew."
        ) from error


def run_fit(problem: Problem, folder: Folder, simulations: Simulations, *, seed: int, progress: bool = True) -> Cost:
    """Fits the cost and saves it."""
    cost = fit_cost(
        simulations,
        problem.distance,
        seed=seed,
        config=problem.fit,
        method=problem.method,
        embedding=problem.embedding,
        progress=progress,
    )
    cost = replace(cost, settings={**cost.settings, **_fit_settings(problem)})
    save(cost, folder.cost)
    return cost


def stale(problem: Problem, folder: Folder, cost: Cost) -> list[str]:
    """What has changed since the cost was fitted, as warnings."""
    settings, again = cost.settings, f"fit again: {command_line('fit', problem)}"
    name = qualified_name(problem.simulator)
    messages = []
    if settings.get("prior") != problem.prior.describe():
        messages.append(f"The cost was fitted on simulations of another prior: simulate with this one, then {again}")
    if settings.get("conditions_prior", []) != _conditions_prior(problem):
        messages.append(f"The cost was fitted under other conditions: simulate under these, then {again}")
    if settings.get("simulator") != name:
        messages.append(
            f"The cost was fitted on simulations of {settings.get('simulator')}, the problem names {name}: simulate "
            f"with it, then {again}"
        )
    done, stored = folder.stored()
    # Like with like: rows of a refinement are no draws of the prior. Older files have the one number only.
    fitted = settings.get("simulations_prior", settings.get("simulations", 0))
    if fitted < stored and done == stored:
        of_prior = " of the prior" if settings.get("rounds") else ""
        messages.append(f"The cost was fitted on {fitted} simulations{of_prior}, and {stored} are stored now: {again}")
    config = default_config(problem.distance, problem.method) if problem.fit is None else problem.fit
    wanted = {**_fit_settings(problem), "config": asdict(config)}
    if any(settings.get(key) != value for key, value in wanted.items()):
        messages.append(f"The tables [distance] or [fit] have changed since the cost was fitted: {again}")
    return messages


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
    x_o = problem.x_o if x_o is None else x_o
    conditions = problem.x_o_conditions if conditions is None else conditions
    if x_o is None:
        raise ValueError(
            f'{problem.path} has no observation. Add a table [observation] with file = "x_o.csv", or use --observation.'
        )
    posterior = GibbsPosterior(problem.prior, cost, as_output(x_o, cost.x_shape), beta, conditions=conditions)
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
    workers: int = 1,
    warnings: tuple[str, ...] = (),
    figures: Callable[[PredictiveCheck], Mapping[str, Any]] | None = None,
    extra_settings: Mapping[str, Any] | None = None,
    sections: Sequence[Section] = (),
    progress: bool = True,
) -> Reported:
    """Runs the simulator at `resimulate` draws (0: at none) and writes the report.

    `figures` makes further pictures, caption -> Figure, of these runs; `extra_settings` go into the report's table,
    `sections` below its pictures.
    """
    posterior = GibbsPosterior(problem.prior, cost, draws.x_o, draws.beta, conditions=draws.conditions)
    check, seconds = None, {}
    if resimulate:
        seed = resimulation_seed(simulations)
        started = time.perf_counter()
        with plain_main():
            check = check_predictive(
                problem.simulator, posterior, draws, resimulate, seed=seed, workers=workers, progress=progress
            )
        seconds["check"] = time.perf_counter() - started
    settings, axis = problem.report, None
    if settings.axis is not None or settings.axis_values is not None:
        values = np.arange(draws.x_o.shape[0]) if settings.axis_values is None else np.array(settings.axis_values)
        axis = values if settings.axis is None else (values, settings.axis)
    started = time.perf_counter()
    written = report(
        path,
        posterior,
        draws,
        check=check,
        simulations=simulations,
        title=problem.name,
        figures=figures(check) if figures is not None and check is not None else None,
        settings={**({"problem": str(problem.path)} if problem.path else {}), **(extra_settings or {})},
        seconds=dict(seconds),
        warnings=warnings,
        axis=axis,
        labels=settings.labels,
        kind=settings.kind,
        sections=sections,
    )
    return Reported(written, check, {**seconds, "report": time.perf_counter() - started})


def resimulation_seed(simulations: Simulations) -> int:
    """Another seed than that of the training simulations, so that new runs at draws have independent noise."""
    return (simulations.seed + 1) % 2**32


def outdated_draws(cost: Cost, draws: Draws) -> list[str]:
    """A warning where the draws are those of another cost than the given one."""
    theta, before = draws.flat[:20], draws.cost.reshape(-1)[:20]
    if np.allclose(
        np.asarray(cost(theta, draws.x_o, draws.conditions)),
        before,
        rtol=1e-3,
        atol=1e-3 * float(np.abs(before).max()),
    ):
        return []
    return ["The cost was fitted anew after these draws were made: sample again."]


def need_draws_of(problem: Problem, folder: Folder, draws: Draws, observation: Path | None) -> None:
    """Files bear the name of the observation's file only: what it holds now must be what the draws were made for.

    Args:
        problem: whose observation it is where no other is named.
        folder: of the draws.
        draws: that are stored.
        observation: file of another observation than the problem's, or None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the draws were made for another observation.
    """
    x_o = problem.x_o if observation is None else read_observation(observation)
    if x_o is None or same_observation(np.squeeze(x_o), np.squeeze(draws.x_o)):
        return
    where, other = (problem.path, "") if observation is None else (observation, f" --observation {observation}")
    raise ValueError(
        f"the observation in {where} (shape {x_o.shape}, {shown(x_o)}) is not the one that the draws in "
        f"{folder.draws(draws.beta)} were made for (shape {draws.x_o.shape}, {shown(draws.x_o)}). Undo the change, "
        f"or sample again: {command_line('sample', problem)}{other} --beta {draws.beta:g}"
    )


def other_conditions(problem: Problem, draws: Draws, observation: Path | None) -> list[str]:
    """A warning where the draws of the problem's observation were made under other conditions than it names now."""
    known = {name: float(np.float32(value)) for name, value in problem.x_o_conditions.items()}
    # Those of another observation were typed, and stand in no file.
    if observation is not None or draws.conditions == known:
        return []
    return [
        f"The draws were made under the conditions {draws.conditions}, the problem names {known}: if it is right, "
        "sample again."
    ]


def as_output(x_o: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """The observation with the axes of length 1 that tables of numbers do not show; its own shape where it has more."""
    if np.squeeze(x_o).shape == tuple(size for size in x_shape if size != 1):
        return x_o.reshape(x_shape)
    # A column of trials, as many as there are.
    return x_o[:, None] if x_o.ndim == 1 and len(x_shape) == 2 and x_shape[1] == 1 else x_o


def need_plots() -> None:
    """Raises ImportError early where a report could not be drawn after hours of work."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("the report needs matplotlib: pip install 'genbayes[plots]'.")


def _conditions_prior(problem: Problem) -> list[dict]:
    return [] if problem.conditions is None else problem.conditions.describe()


def _fit_settings(problem: Problem) -> dict[str, Any]:
    return {"distance_settings": problem.distance_settings, "method": problem.method, "embedding": problem.embedding}
