"""The check of the training: what do the fits of the networks say of themselves?"""

from .evidence import Evidence
from .finding import Finding
from .registry import register


@register("fit", place=70)
def judge_fit(evidence: Evidence) -> list[Finding]:
    """Whether training went well."""
    records = evidence.posterior.cost.fit
    if not records:
        text = "Cost: not fitted by genbayes (exact or given), so there is no training to judge."
        return [Finding("note", text, check="fit")]
    bad = [
        # The messages of an outcome hold their remedies.
        Finding("bad", f"{' '.join(filter(None, ['Network', record.name]))}: {text}", check="fit")
        for record in records
        for text in record.outcome.messages
    ]
    return bad or [Finding("ok", "Network: the fit reports no problem.", check="fit")]
