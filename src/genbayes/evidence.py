"""All that is measured about one result before it is judged, in a form that the report and `check` share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .diagnostics import PredictiveCheck
from .extrapolation import Extrapolation, extrapolation
from .network_error import MeanErrors, mean_errors
from .output_space import output_kind
from .posterior import GibbsPosterior
from .predictive_position import LEAST_RUNS, PredictivePosition, predictive_position
from .sampling import Draws
from .simulations import Simulations
from .support import LEAST_SIMULATIONS, Support, SupportReference
from .unit_errors import unit_errors


@dataclass(frozen=True)
class Evidence:
    """What was measured; None where what it takes was not given.

    Attributes:
        support: of the observation.
        slips: what would explain an observation far outside, such as other units.
        extrapolation: of the draws.
        means: errors of the posterior means.
        position: of the observation among runs at the draws.
    """

    support: Support | None = None
    slips: tuple[str, ...] = ()
    extrapolation: Extrapolation | None = None
    means: MeanErrors | None = None
    position: PredictivePosition | None = None


def gathered(
    posterior: GibbsPosterior,
    draws: Draws,
    check: PredictiveCheck | None = None,
    simulations: Simulations | None = None,
    *,
    kind: str | None = None,
    labels: Sequence[str] | None = None,
) -> Evidence:
    """Measures all that can be measured; takes seconds.

    Args:
        posterior: whose draws they are.
        draws: its draws.
        check: new runs at them.
        simulations: that the cost was fitted on.
        kind: "coordinates", "series" or "set"; by default as the cost reads outputs.
        labels: names of the output's coordinates or channels.
    """
    form = output_kind(posterior.cost, kind)
    x_o, conditions = posterior.x_o, posterior.conditions or None
    support, slips, far = None, [], None
    if simulations is not None and int(simulations.ok.sum()) >= LEAST_SIMULATIONS:
        origin = getattr(simulations, "origin", None)
        if origin is None or int(np.sum(simulations.ok & (np.asarray(origin) == 0))) >= LEAST_SIMULATIONS:
            reference = SupportReference.of(posterior.cost, simulations, kind=form)
            support = reference.judge(x_o, conditions)
            slips = unit_errors(reference, x_o, conditions)
        known = np.asarray(list(conditions.values()), np.float32) if conditions else None
        far = extrapolation(simulations, np.asarray(draws.flat), known)
    position = None
    if check is not None and len(check.x) >= LEAST_RUNS:
        position = predictive_position(check.x, x_o, form, labels)
    means = mean_errors(posterior, draws, check) if len(draws) >= 10 else None
    return Evidence(support, tuple(slips), far, means, position)
