"""The check of the fit to the data: are runs at the draws as near to the observation as to each other?"""

from .evidence import Evidence
from .finding import Finding
from .predictive import finite_mean
from .registry import register

# Ratio up to which the simulator reproduces the observation to within its own noise.
REPRODUCES = 1.25


@register("fit to the data", place=94)
def judge_data_fit(evidence: Evidence) -> list[Finding]:
    """Mean distance to the observation over the replicate distance; nothing of a deterministic simulator."""
    runs = evidence.predictive
    if runs is None or not finite_mean(runs.replicate) > 0:
        return []
    ratio = finite_mean(runs.simulated) / finite_mean(runs.replicate)
    text = f"Fit to the data: runs at the draws are {ratio:.2f} times as far from the observation as from each other"
    if ratio < REPRODUCES:
        text += ": the simulator reproduces it to within its own noise."
    else:
        text += "; either a higher beta gets closer, or the simulator cannot reproduce the observation (misspecified)."
    return [Finding("note", text, check="fit to the data", numbers={"ratio": ratio})]
