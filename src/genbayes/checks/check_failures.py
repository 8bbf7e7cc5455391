"""The check of the training simulations: how many of them failed, and why?"""

from ..costs.failing_runs import failures_told
from .evidence import Evidence
from .finding import Finding
from .registry import register

# Share of failed simulations that is nothing to act on.
FEW = 0.01


@register("failures", place=50)
def judge_failures(evidence: Evidence) -> list[Finding]:
    """Counts failed simulations by reason: the cost is that of the runs that succeed."""
    simulations = evidence.simulations
    if simulations is None:
        return []
    n, failed = simulations.counts.rows, simulations.counts.failed
    numbers = {"simulations": float(n), "failed": float(failed)}
    if failed == 0:
        return [Finding("ok", f"Simulations: none of {n:,} failed.", check="failures", numbers=numbers)]
    reasons = [f"{count:,} x {what}" for count, what in simulations.failures()]
    cost = evidence.posterior.cost
    listed = "; ".join(reasons[:5]) + ("; ..." if len(reasons) > 5 else "")
    told = failures_told(cost)
    text = f"Simulations: {failed:,} of {n:,} failed ({100 * failed / n:.1f} %): {listed}. "
    text += f"{told[:1].upper()}{told[1:]}."
    runs = evidence.predictive
    elsewhere = runs is not None and runs.n_failed <= FEW * runs.total
    if elsewhere and failed / n > FEW:
        text += " At the draws hardly any new run fails: the failures lie elsewhere in the prior."
    counted = cost.penalty is not None and cost.success is not None
    if failed / n <= FEW or elsewhere or counted:
        return [Finding("note", text, check="failures", numbers=numbers)]
    remedy = "See where in the prior they fail, and whether such parameters are plausible."
    return [Finding("care", text, remedy, "failures", numbers)]
