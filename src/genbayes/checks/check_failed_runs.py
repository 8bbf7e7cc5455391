"""The check of the new runs at the draws: how many of them failed?"""

from .evidence import Evidence
from .finding import Finding
from .registry import register


@register("failures at the draws", place=96)
def judge_failed_runs(evidence: Evidence) -> list[Finding]:
    """Counts draws whose new runs failed."""
    runs = evidence.predictive
    if runs is None or not runs.n_failed:
        return []
    text = f"Check: {runs.n_failed} runs at the draws failed and are left out of the numbers."
    return [Finding("care", text, check="failures at the draws", numbers={"failed": float(runs.n_failed)})]
