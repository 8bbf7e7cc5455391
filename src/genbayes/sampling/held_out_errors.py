"""Errors of a cost at simulations that it has not seen, and of its members by their disagreement."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, PyTree

from ..costs.cost import Cost
from ..costs.emulated import EmulatedForm
from ..costs.failing_runs import labels
from ..costs.forms import HilbertForm, MarginalForm, NetworkForm


class HeldOutErrors(NamedTuple):
    """What a cost says of simulations that it has not seen, of those whose cost and distance are finite.

    Attributes:
        theta: parameters of the rows.
        cost: for the observation, by the ensemble; raised where a row ran under other conditions than the observation.
        residual: the row's own distance to the observation less the cost by a member that did not see it.
        members: the cost by every member.
    """

    theta: Float[np.ndarray, "m dim"]
    cost: Float[np.ndarray, " m"]
    residual: Float[np.ndarray, " m"]
    members: Float[np.ndarray, "m members"]


def held_out_errors(
    cost: Cost,
    x_o: np.ndarray,
    embedded: PyTree,
    conditions: Float[np.ndarray, " c"],
    dim: int,
    beta: float,
) -> HeldOutErrors | None:
    """Of the rows that were kept with the cost.

    None for a cost without such rows: an exact one, or one of a file of an earlier version.

    Args:
        cost: fitted.
        x_o: the observation.
        embedded: the same, as the cost's form takes it.
        conditions: under which it was made.
        dim: number of parameters, which stand before the conditions in a row.
        beta: inverse temperature.
    """
    rows = cost.held_out
    if rows is None or not len(rows):
        return None
    distances = labels(cost.distance, rows.x, rows.ok, x_o, cost.penalty)
    predicted, residual, members = rows.residuals(cost.expectation, embedded, distances)
    if dim < rows.inputs.shape[1]:
        # Rows ran under conditions of their own: those near the observation's speak for it.
        predicted = predicted + _condition_penalty(rows.inputs[:, dim:], conditions) / beta
    usable = np.isfinite(predicted) & np.isfinite(residual)
    return HeldOutErrors(rows.inputs[usable, :dim], predicted[usable], residual[usable], members[usable])


def _condition_penalty(rows: Float[np.ndarray, "m c"], conditions: Float[np.ndarray, " c"]) -> Float[np.ndarray, " m"]:
    """Half the squared distance of rows' conditions from the observation's, in fifths of their standard deviation."""
    std = np.maximum(rows.std(axis=0), 1e-37)
    return 0.5 * np.sum(((rows - conditions) / (0.2 * std)) ** 2, axis=1)


def jackknife_factor(cost: Cost, members: int) -> float:
    """Factor from the variance between members to that of the cost's error.

    Members of polynomials and processes differ by the rows that each holds out, a share f: (1 - f) / f by the delete-d
    jackknife for the variance of their mean. They share its bias: of a smoother that is tuned for the least error the
    square of it is of the same size, which makes the factor 2.
    So do those of emulators.
    Networks of features differ by their first weights too, of which the ensemble's mean has 1 / members. Where some
    outputs have a network and others none, the factor lies between by their numbers.
    Of marginal distributions two thirds of the jackknife's factor, and of general networks 1, as they are trained on
    samples of the rows: errors of posterior means on problems with exact answers, over the errors that are said, have
    then about the median of a normal distribution's size, 0.67 (docs/trust.md).
    """
    held_out = float(cost.settings.get("config", {}).get("validation_fraction", 0.5))
    deleted = (1 - held_out) / held_out
    if isinstance(cost.form, HilbertForm | EmulatedForm):
        networks = cost.form.mean.network_share
        return (1 - networks) * 2 * deleted + networks / members
    if isinstance(cost.form, MarginalForm):
        return 2 / 3 * deleted
    return 1.0 if isinstance(cost.form, NetworkForm) else 1 / members


def by_members(
    cost: Cost, members: Float[np.ndarray, "... k members"], beta: float | Float[np.ndarray, "..."]
) -> Float[np.ndarray, "... k members"]:
    """What `LeftOpen.log_density` is, of each member's cost at draws of the posterior.

    Args:
        cost: of which these are the members.
        members: the cost by every member.
        beta: inverse temperature, one or of the leading axes.
    """
    k = members.shape[-1]
    scale = np.asarray(beta)[..., None, None] * np.sqrt(jackknife_factor(cost, k) / max(k - 1, 1))
    return scale * (members.mean(axis=-1, keepdims=True) - members)
