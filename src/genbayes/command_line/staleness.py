"""Whether stored artefacts are still those of the problem: what has changed is warned of, or refused."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..costs.cost import Cost
from ..costs.fitting import default_config
from ..priors.wording import changes_told
from ..sampling.draws import Draws
from ..sampling.draws_origin import same_observation, shown
from ..simulations.simulators import qualified_name
from .folder import Folder, command_line
from .problem import Problem
from .problem_options import other_observation


def fit_settings(problem: Problem) -> dict[str, Any]:
    """What a cost records of how the problem wanted it to be fitted."""
    names = ("distance_settings", "method", "embedding", "failures", "measurement_error")
    return {name: getattr(problem, name) for name in names}


def stale(problem: Problem, folder: Folder, cost: Cost) -> list[str]:
    """What has changed since the cost was fitted, as warnings."""
    settings, again = cost.settings, f"fit again: {command_line('fit', problem)}"
    name = qualified_name(problem.simulator)
    messages = []
    if settings.get("prior") != problem.prior.describe():
        changes = changes_told(settings.get("prior", []), problem.prior.describe())
        messages.append(
            f"The cost was fitted on simulations of another prior: simulate with this one, then {again}\n{changes}"
        )
    if settings.get("conditions_prior", []) != _conditions_prior(problem):
        messages.append(f"The cost was fitted under other conditions: simulate under these, then {again}")
    if settings.get("simulator") != name:
        messages.append(
            f"The cost was fitted on simulations of {settings.get('simulator')}, the problem names {name}: simulate "
            f"with it, then {again}"
        )
    done, stored = folder.stored()
    # Only draws of the prior are counted: rows of a refinement are none. Older files have the one number only.
    fitted = settings.get("simulations_prior", settings.get("simulations", 0))
    if fitted < stored and done == stored:
        of_prior = " of the prior" if settings.get("rounds") else ""
        messages.append(f"The cost was fitted on {fitted} simulations{of_prior}, and {stored} are stored now: {again}")
    config = default_config(problem.distance, problem.method) if problem.fit is None else problem.fit
    wanted = {**fit_settings(problem), "config": asdict(config)}
    if any(settings.get(key) != value for key, value in wanted.items()):
        messages.append(f"The tables [distance] or [fit] have changed since the cost was fitted: {again}")
    # The distance of a problem is as it was read, with its scale yet to be taken.
    scaled_by = (
        problem.x_o.reshape(-1).tolist() if problem.distance.needs_observation and problem.x_o is not None else None
    )
    if scaled_by is not None and not np.array_equal(
        settings.get("scale_observation", scaled_by), scaled_by, equal_nan=True
    ):
        messages.append(f"The cost has the scale of another observation than the problem's: {again}")
    return messages


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
    x_o = problem.x_o if observation is None else other_observation(problem, observation).values
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
    # The conditions of another observation were typed, and stand in no file.
    if observation is not None or draws.conditions == known:
        return []
    return [
        f"The draws were made under the conditions {draws.conditions}, the problem names {known}: if it is right, "
        "sample again."
    ]


def _conditions_prior(problem: Problem) -> list[dict]:
    return [] if problem.conditions is None else problem.conditions.describe()
