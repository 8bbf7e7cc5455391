"""How a cost was fitted, as plain values that are stored with it and that posteriors and reports read."""

from dataclasses import asdict
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ..learning.layers import Standardiser
from ..learning.training import FitConfig
from ..simulations.rows import Simulations
from .forms import CostForm


def fit_settings(
    simulations: Simulations, inputs: Float[np.ndarray, "n dim"], config: FitConfig, seed: int, form: CostForm
) -> dict[str, Any]:
    """How the cost was fitted, as plain values that are stored with it."""
    return {
        "seed": seed,
        **rows_told(simulations, inputs),
        "simulation_seed": simulations.seed,
        "simulator": simulations.simulator,
        "deterministic": simulations.deterministic,
        "prior": simulations.prior_description,
        "conditions_prior": simulations.conditions_prior,
        "config": asdict(config),
        "form": type(form).__name__,
        "steps": _steps_of(form, (*simulations.names, *simulations.condition_names)),
    }


def rows_told(simulations: Simulations, inputs: Float[np.ndarray, "n dim"]) -> dict[str, Any]:
    """The part of the settings that counts rows and says where they are; see `rows_joined`."""
    dim = len(simulations.names)
    ranges = [inputs.min(axis=0, initial=np.inf).tolist(), inputs.max(axis=0, initial=-np.inf).tolist()]
    return {
        "simulations": len(simulations),
        "simulations_prior": int(np.sum(simulations.round == 0)),
        "simulations_failed": simulations.n_failed,
        "rounds": int(simulations.round.max(initial=0)),
        "theta_range": [limit[:dim] for limit in ranges],
        "conditions_range": [limit[dim:] for limit in ranges],
        "runs_at_levels": _runs_at_levels(simulations),
    }


def rows_joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What `rows_told` says of the rows of both."""
    both = {name: first[name] + second[name] for name in ("simulations", "simulations_prior", "simulations_failed")}
    both["rounds"] = max(first["rounds"], second["rounds"])
    for name in ("theta_range", "conditions_range"):
        (low, high), (other_low, other_high) = first[name], second[name]
        both[name] = [list(map(min, low, other_low)), list(map(max, high, other_high))]
    both["runs_at_levels"] = {
        name: [
            [value, count + other]
            for (value, count), (_, other) in zip(counts, second["runs_at_levels"][name], strict=True)
        ]
        for name, counts in first["runs_at_levels"].items()
    }
    return both


def _steps_of(form: CostForm, names: tuple[str, ...]) -> dict[str, list[float]]:
    """Where the outputs jump, by the parameter's name, as any of the cost's regressions has found."""
    found: dict[str, list[float]] = {}
    for part in jax.tree.leaves(form, is_leaf=lambda node: isinstance(node, Standardiser)):
        if isinstance(part, Standardiser):
            found |= {names[j]: places for j, places in part.steps.items() if j < len(names)}
    return found


def _runs_at_levels(simulations: Simulations) -> dict[str, list[list[int]]]:
    """Of every integer of few values: each value with the number of runs that succeeded there."""
    names, inputs = (*simulations.names, *simulations.condition_names), simulations.inputs[simulations.ok]
    return {
        names[j]: [[int(value), int(np.sum(inputs[:, j] == value))] for value in values]
        for j, values in simulations.levels.items()
    }
