"""The check of the prior's bounds: does the posterior press against one of them?"""

from .evidence import Evidence
from .finding import Finding
from .registry import register


@register("bounds", place=30)
def judge_bounds(evidence: Evidence) -> list[Finding]:
    """Names the parameters that crowd at a bound of the prior."""
    remedy = "If values there and beyond are possible, widen or move the prior and simulate again."
    return [
        Finding(
            "care",
            f"Prior: {crowded.share:.0%} of the draws of {crowded.name} lie at its {crowded.side} bound "
            f"{crowded.bound:g}.",
            remedy,
            "bounds",
            {f"{crowded.name} {crowded.side}": crowded.share},
        )
        for crowded in evidence.crowded
    ] or [Finding("ok", "Prior: no parameter crowds at a bound.", check="bounds")]
