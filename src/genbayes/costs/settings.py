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
    dim = len(simulations.names)
    ranges = [inputs.min(axis=0).tolist(), inputs.max(axis=0).tolist()]
    return {
        "seed": seed,
        "simulations": len(simulations),
        "simulations_prior": int(np.sum(simulations.round == 0)),
        "simulations_failed": simulations.n_failed,
        "rounds": int(simulations.round.max(initial=0)),
        "simulation_seed": simulations.seed,
        "simulator": simulations.simulator,
        "deterministic": simulations.deterministic,
        "prior": simulations.prior_description,
        "theta_range": [limit[:dim] for limit in ranges],
        "conditions_range": [limit[dim:] for limit in ranges],
        "conditions_prior": simulations.conditions_prior,
        "runs_at_levels": _runs_at_levels(simulations),
        "config": asdict(config),
        "form": type(form).__name__,
        "steps": _steps_of(form, (*simulations.names, *simulations.condition_names)),
    }


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
