"""Runs of an SBML model in libroadrunner.

Nothing here imports this package: worker processes receive these functions whole.
"""

import importlib
import sys
import types
from typing import Any, NamedTuple

import numpy as np


class Plan(NamedTuple):
    """What is run.

    Attributes:
        text: the model, as the file had it.
        inputs: symbols that the parameters and known conditions set, in their order.
        outputs: symbols that are returned, by the outputs' names.
        times: ascending, from 0 on.
        stochastic: whether by Gillespie's algorithm.
        tolerances: relative and absolute one of the solver.
    """

    text: str
    inputs: tuple[str, ...]
    outputs: dict[str, str]
    times: tuple[float, ...]
    stochastic: bool
    tolerances: tuple[float, float]


def run_model(plan: Plan, inputs: np.ndarray, rng: np.random.Generator, row: int) -> dict[str, np.ndarray]:
    """Every output at the times, (times,) each.

    Args:
        plan: what is run.
        inputs: values of the symbols.
        rng: the row's own, of which one seed is drawn for a stochastic run.
        row: not used.
    """
    model = loaded(plan)
    model.resetAll()
    ids = [*model.model.getFloatingSpeciesIds(), *model.model.getBoundarySpeciesIds()]
    species = {*ids, *(f"[{name}]" for name in ids)}
    values = dict(zip(plan.inputs, map(float, inputs), strict=True))
    for symbol in values.keys() - species:
        model[symbol] = values[symbol]
    # Initial assignments follow from parameters; amounts of species come last, for this sets them.
    model.reset()
    for symbol in values.keys() & species:
        model[symbol] = values[symbol]
    if plan.stochastic:
        model.integrator.setValue("seed", int(rng.integers(2**31)))
    # Told to begin later, the model would start there, and not at 0.
    times = [0.0, *plan.times] if plan.times[0] > 0 else list(plan.times)
    found = np.asarray(model.simulate(times=times, selections=list(plan.outputs.values())), float)
    return {name: found[-len(plan.times) :, place].copy() for place, name in enumerate(plan.outputs)}


def loaded(plan: Plan) -> Any:
    """The model in this process, which it takes a fifth of a second to compile."""
    state = sys.modules.setdefault("_genbayes_sbml", types.ModuleType("_genbayes_sbml")).__dict__
    if state.get("plan") != plan:
        roadrunner: Any = importlib.import_module("roadrunner")
        roadrunner.Logger.setLevel(roadrunner.Logger.LOG_CRITICAL)
        model = roadrunner.RoadRunner(plan.text)
        model.setIntegrator("gillespie" if plan.stochastic else "cvode")
        if plan.stochastic:
            model.integrator.setValue("variable_step_size", False)
        else:
            model.integrator.setValue("relative_tolerance", plan.tolerances[0])
            model.integrator.setValue("absolute_tolerance", plan.tolerances[1])
        state.update(plan=plan, model=model)
    return state["model"]
