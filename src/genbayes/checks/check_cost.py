"""The check of the cost: do new runs at the draws confirm what the network predicted?"""

import numpy as np

from ..runtime.formatting import number
from ..sampling.log_density_error import SURE
from .evidence import LEAST_COMPARED, Evidence
from .finding import REFINE, Finding, not_judged
from .predictive import finite_mean, more_runs
from .registry import register


def _missing(evidence: Evidence) -> Finding | None:
    if evidence.predictive is not None and evidence.accuracy is None:
        why = (
            f"only {len(evidence.predictive.theta)} runs at the draws succeeded, and it takes at least {LEAST_COMPARED}"
        )
        return not_judged("cost", why, "Run the simulator at more draws (genbayes check --resimulate).")
    return None


@register("cost", place=90, missing=_missing)
def judge_cost(evidence: Evidence) -> list[Finding]:
    """Predicted cost against the distances of new runs, in units of the log density."""
    runs, found = evidence.predictive, evidence.accuracy
    if runs is None or found is None:
        text = "Cost: the network's prediction was not compared with new runs at the draws."
        remedy = "Run genbayes check with new runs (--resimulate), or pass check=gb.check_predictive(simulator, "
        remedy += "posterior, draws, seed=...)."
        return [Finding("care", text, remedy, "cost")]
    error = runs.error
    percent = f"{100 * found.relative:+.1f} %" if np.isfinite(found.relative) else "not a multiple of 0"
    text = (
        f"Cost: at the draws the predicted mean cost is {number(finite_mean(runs.predicted))}, the re-simulated "
        f"{number(finite_mean(runs.simulated))} ({percent}): off by {error.text}"
    )
    numbers = {
        "nats": error.offset,
        "nats_error": error.offset_error,
        "slope_nats": error.slope,
        "slope_error": error.slope_error,
        "varying_nats": error.varies,
        "relative_error": found.relative,
        "standard_error": found.relative_error,
    }
    if not error.right:
        text += f"; {error.constant}. The network is inaccurate where the draws are."
        remedy = f"Add simulations at the draws and fit again ({REFINE}); or simulate more, or lower beta."
        return [Finding("care", text, remedy, "cost", numbers)]
    if not error.resolved:
        text += f", where {error.limit:.2g} would matter: not judged, for so few runs do not tell a right network from "
        text += "a wrong one."
        return [Finding("care", text, more_runs(error, runs.total), "cost", numbers, judged=False)]
    text += (
        f", which is little; what varies over the draws would show from {number(SURE * error.slope_error, 2)} nats on."
    )
    return [Finding("ok", text, check="cost", numbers=numbers)]
