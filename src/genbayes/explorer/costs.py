"""A cost as numbers: its form, the frame of outputs, the probability of success and the order of its inputs."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ..costs.cost import Cost
from ..costs.known_parameters import order_of_networks
from ..learning.success import SuccessModel
from .forms import export_form
from .numbers import NotExportable, double
from .regressions import export_success


def export_cost(
    cost: Cost, x_o: Float[np.ndarray, "..."], conditions: Float[np.ndarray, " c"] | None = None
) -> dict[str, Any]:
    """All that a page needs to evaluate a cost, for any observation where the form allows it.

    Args:
        cost: of a posterior.
        x_o: its observation, in data units.
        conditions: its known conditions, parameters held at values among them; none if not given.

    Raises:
        NotExportable: the page has no program for the cost's form or its probability of success.
    """
    success = cost.success
    if success is not None and not isinstance(success, SuccessModel):
        raise NotExportable(f"The probability of success is a {type(success).__name__}, which is no regression.")
    shape = cost.x_shape
    return {
        "form": export_form(cost.form, np.asarray(cost.frame(np.nan_to_num(x_o)))),
        "location": double(np.reshape(cost.frame.location, -1)),
        "unit": double(np.reshape(cost.frame.unit, -1)),
        "transform": cost.frame.transform.name or "none",
        "order": list(order_of_networks(cost)),
        "conditions": double(np.zeros(0) if conditions is None else conditions),
        "success": None if success is None else export_success(success),
        "penalty": cost.penalty,
        "trial_dim": int(shape[-1]) if len(shape) > 1 else 1,
        "is_set": bool(cost.distance.reads_sets),
    }
