"""Costs with some of their parameters among the known conditions, so that a posterior can hold these at values.

To networks a known condition is one more input, as a parameter is. A parameter that moves to the conditions leaves what
was learned as it is; only its place changes, in every vector of parameters and conditions that anything passes around.
Simulators and stored simulations know it as a parameter: `inputs_of_simulator` and `rows_as_known` go from one layout
to the other.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from ..simulations.rows import Simulations
from .held_out import HeldOutRows

C = TypeVar("C")


# The same cost for the same names: posteriors that share it are refined together, and compile nothing anew.
@functools.lru_cache(maxsize=16)
def with_known(cost: C, names: tuple[str, ...]) -> C:
    """The cost with some of its parameters among the known conditions, behind those that it has.

    Args:
        cost: a `Cost`.
        names: of the parameters, in any order.

    Raises:
        ValueError: the cost has no such parameter, or would be left without any.
    """
    given: Any = cost
    whole = given if given.whole is None else given.whole
    unknown = [name for name in names if name not in given.names]
    if unknown:
        raise ValueError(f"the cost has no parameter {', '.join(unknown)}; it has {', '.join(given.names)}.")
    rest = tuple(name for name in given.names if name not in names)
    if not rest:
        raise ValueError("names are all parameters of the cost: leave at least one that is not known.")
    known = (*whole.condition_names, *(name for name in whole.names if name not in rest))
    settings = _settings(whole.settings, whole, rest, known)
    # Where the inputs of the new layout stand in the old one.
    columns = [(*whole.names, *whole.condition_names).index(name) for name in (*rest, *known)]
    rows: HeldOutRows | None = whole.held_out
    held_out = None if rows is None else replace(rows, inputs=rows.inputs[:, columns])
    return replace(whole, names=rest, condition_names=known, settings=settings, held_out=held_out, whole=whole)


def order_of_networks(cost: Any) -> tuple[int, ...]:
    """The place, in a cost's own parameters and conditions, of each input of its networks."""
    own = (*cost.names, *cost.condition_names)
    whole = cost if cost.whole is None else cost.whole
    return tuple(own.index(name) for name in (*whole.names, *whole.condition_names))


def held_names(cost: Any) -> tuple[str, ...]:
    """Those of the known conditions that are parameters of the simulator."""
    return () if cost.whole is None else tuple(name for name in cost.condition_names if name in cost.whole.names)


def inputs_of_simulator(
    cost: Any, theta: Float[np.ndarray, "m dim"], conditions: Mapping[str, float] | None
) -> tuple[Float[np.ndarray, "m all"], tuple[str, ...], dict[str, float]]:
    """All parameters of the simulator, their names, and its own known conditions.

    Args:
        cost: of the posterior whose parameters theta are.
        theta: parameters of the cost.
        conditions: of the observation, those that are held among them.
    """
    known = dict(conditions or {})
    if cost.whole is None:
        return theta, cost.names, known
    columns = [
        np.full(len(theta), known[name], np.float32) if name in known else theta[:, cost.names.index(name)]
        for name in cost.whole.names
    ]
    own = {name: known[name] for name in cost.whole.condition_names}
    return np.stack(columns, axis=1).astype(np.float32), cost.whole.names, own


def rows_as_known(cost: Any, simulations: Simulations) -> Simulations:
    """Simulations in the layout of a cost: what it knows as conditions are conditions; named outputs in its order.

    Where the cost knows an error of measurement, outputs are as they would have been measured.

    Raises:
        ValueError: the outputs have other names than those that the cost was fitted to, or an error of their own beside
            the one that the cost knows.
    """
    simulations = simulations.in_order(cost.outputs)
    if cost.measurement_error is not None:
        simulations = cost.measurement_error.added_to(simulations)
    held = held_names(cost)
    if not held or simulations.names != cost.whole.names:
        return simulations
    at = {name: i for i, name in enumerate(simulations.names)}
    prior, moved = _split(simulations.prior_description, cost.names, held)
    return replace(
        simulations,
        theta=simulations.theta[:, [at[name] for name in cost.names]],
        names=cost.names,
        conditions=np.concatenate([simulations.conditions, simulations.theta[:, [at[name] for name in held]]], axis=1),
        condition_names=(*simulations.condition_names, *held),
        prior_description=prior,
        conditions_prior=[*simulations.conditions_prior, *moved],
    )


def _settings(settings: Mapping[str, Any], whole: Any, rest: tuple[str, ...], known: tuple[str, ...]) -> dict[str, Any]:
    """How the cost was fitted, with ranges and priors of parameters and conditions in the new layout."""
    made = dict(settings)
    held = [name for name in known if name in whole.names]
    if "theta_range" in settings:
        at = {name: i for i, name in enumerate((*whole.names, *whole.condition_names))}
        parts = zip(settings["theta_range"], settings.get("conditions_range", [[], []]), strict=True)
        limits = [[*theta, *conditions] for theta, conditions in parts]
        made["theta_range"] = [[limit[at[name]] for name in rest] for limit in limits]
        made["conditions_range"] = [[limit[at[name]] for name in known] for limit in limits]
    if settings.get("prior"):
        made["prior"], moved = _split(settings["prior"], rest, held)
        made["conditions_prior"] = [*settings.get("conditions_prior", []), *moved]
    return made


def _split(description: Sequence[dict], rest: Sequence[str], held: Sequence[str]) -> tuple[list[dict], list[dict]]:
    """A prior's description as that of the parameters that are left and that of those which are held."""

    def of(names: Sequence[str]) -> list[dict]:
        return [item for item in description if any(name.split("[")[0] == item["name"] for name in names)]

    return of(rest), of(held)
