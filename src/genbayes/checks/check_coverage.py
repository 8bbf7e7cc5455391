"""The check of the coverage: do credible sets of held-out simulations hold the truth as often as they say?"""

import numpy as np

from .evidence import Evidence
from .finding import Finding
from .registry import register


@register("coverage", place=120)
def judge_coverage(evidence: Evidence) -> list[Finding]:
    """Sets that hold too seldom need care, sets that hold too often are only cautious."""
    found = evidence.coverage
    if found is None:
        return []
    text = f"Coverage: {found.summary().removeprefix('coverage ')}."
    numbers = {f"level {level:g}": float(share) for level, share in zip(found.levels, found.coverage, strict=True)}
    if found.too_narrow:
        remedy = "Lower beta (genbayes temperature finds the calibrated one); if that does not help, simulate more."
        return [Finding("care", text + " The sets are too small.", remedy, "coverage", numbers)]
    if found.too_wide:
        if np.all(found.coverage >= found.levels):
            text += " The sets are larger than they need be: a higher beta would still cover."
        else:
            text += " Some sets are larger than they need be, others are not: no beta makes all of them right."
        return [Finding("note", text, check="coverage", numbers=numbers)]
    return [Finding("ok", text, check="coverage", numbers=numbers)]
