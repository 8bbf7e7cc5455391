"""All that is measured about one result before it is judged, in a form that the report and `check` share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from ..simulations.rows import Simulations
from .extrapolation import Extrapolation, extrapolation
from .finding import Finding, not_judged
from .mean_errors import MeanErrors, mean_errors
from .output_space import output_kind
from .position import LEAST_RUNS, PredictivePosition, predictive_position
from .predictive import PredictiveCheck
from .support import LEAST_SIMULATIONS, Support, SupportReference
from .unit_errors import unit_errors

# Fewer draws give no covariance of parameters and errors of the cost.
LEAST_DRAWS = 10


@dataclass(frozen=True)
class Evidence:
    """What was measured; None where what it takes was not given.

    Attributes:
        support: of the observation.
        slips: what would explain an observation far outside, such as other units.
        extrapolation: of the draws.
        means: errors of the posterior means.
        position: of the observation among runs at the draws.
        missing: what could not be measured, and why.
    """

    support: Support | None = None
    slips: tuple[str, ...] = ()
    extrapolation: Extrapolation | None = None
    means: MeanErrors | None = None
    position: PredictivePosition | None = None
    missing: tuple[Finding, ...] = ()


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
    missing = _missing(draws, check, simulations)
    lacking = {one.check for one in missing}
    if simulations is not None:
        if "support" not in lacking:
            reference = SupportReference.of(posterior.cost, simulations, kind=form)
            support = reference.judge(x_o, conditions)
            slips = unit_errors(reference, x_o, conditions)
        if "extrapolation in theta" not in lacking:
            known = np.asarray(list(conditions.values()), np.float32) if conditions else None
            far = extrapolation(simulations, np.asarray(draws.flat), known)
    position = None
    if check is not None and "prediction" not in lacking:
        position = predictive_position(check.x, x_o, form, labels)
    means = mean_errors(posterior, draws, check) if "means" not in lacking else None
    return Evidence(support, tuple(slips), far, means, position, missing)


def _missing(draws: Draws, check: PredictiveCheck | None, simulations: Simulations | None) -> tuple[Finding, ...]:
    """What cannot be measured: a note where nothing was given to measure it with, care where it was too little."""
    found = []
    if simulations is None:
        why = "no simulations were given"
        found += [not_judged(name, why, level="note") for name in ("support", "extrapolation in theta")]
    else:
        origin, ok = getattr(simulations, "origin", None), np.asarray(simulations.ok)
        of_prior = ok if origin is None else ok & (np.asarray(origin) == 0)
        for name, rows, which in (("support", of_prior, " of the prior"), ("extrapolation in theta", ok, "")):
            if (n := int(rows.sum())) < LEAST_SIMULATIONS:
                why = f"only {n} simulations{which} succeeded, and it takes at least {LEAST_SIMULATIONS}"
                found.append(not_judged(name, why, "Simulate more and fit again."))
    if check is None:
        found.append(not_judged("prediction", "no new runs at the draws were given", level="note"))
    elif len(check.x) < LEAST_RUNS:
        why = f"only {len(check.x)} runs at the draws succeeded, and it takes at least {LEAST_RUNS}"
        found.append(not_judged("prediction", why, "Run the simulator at more draws (genbayes check --resimulate)."))
    if len(draws) < LEAST_DRAWS:
        why = f"there are only {len(draws)} draws, and it takes at least {LEAST_DRAWS}"
        found.append(not_judged("means", why, "Sample again with more draws (1,000 or more)."))
    return tuple(found)
