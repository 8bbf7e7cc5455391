"""The check of the cost: do new runs at the draws confirm what the network predicted?"""

from ..runtime.formatting import number
from .evidence import LEAST_COMPARED, Evidence
from .finding import REFINE, Finding, not_judged
from .predictive import finite_mean
from .registry import register

# Standard error, as a share of the cost, beyond which an agreement says nothing.
UNRESOLVED = 0.25


def _missing(evidence: Evidence) -> Finding | None:
    if evidence.predictive is not None and evidence.accuracy is None:
        why = f"only {len(evidence.predictive.x)} runs at the draws succeeded, and it takes at least {LEAST_COMPARED}"
        return not_judged("cost", why, "Run the simulator at more draws (genbayes check --resimulate).")
    return None


@register("cost", place=90, missing=_missing)
def judge_cost(evidence: Evidence) -> list[Finding]:
    """Mean predicted cost against the mean distance of new runs."""
    runs, found = evidence.predictive, evidence.accuracy
    if runs is None or found is None:
        text = "Cost: the network's prediction was not compared with new runs at the draws."
        remedy = "Run genbayes check with new runs (--resimulate), or pass check=gb.check_predictive(simulator, "
        remedy += "posterior, draws, seed=...)."
        return [Finding("care", text, remedy, "cost")]
    text = (
        f"Cost: at the draws the predicted mean cost is {number(finite_mean(runs.predicted))}, the re-simulated "
        f"{number(finite_mean(runs.simulated))}: {100 * found.relative:+.1f} % (standard error "
        f"{100 * found.relative_error:.1f} %)."
    )
    numbers = {"relative_error": found.relative, "standard_error": found.relative_error}
    if evidence.agrees and found.relative_error > UNRESOLVED:
        text += " So few runs do not tell a right network from a wrong one."
        enough = number(len(runs.theta) * (found.relative_error / UNRESOLVED) ** 2)
        remedy = f"Run the simulator at about {enough} draws (--resimulate, n)."
        return [Finding("care", text, remedy, "cost", numbers, judged=False)]
    if evidence.agrees:
        return [Finding("ok", text, check="cost", numbers=numbers)]
    text += " The network is inaccurate where the draws are."
    remedy = f"Add simulations at the draws and fit again ({REFINE}); or simulate more, or lower beta."
    return [Finding("care", text, remedy, "cost", numbers)]
