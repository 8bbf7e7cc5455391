"""The check of extrapolation in the parameters: do the draws lie where there were simulations to learn from?"""

from .evidence import Evidence
from .finding import REFINE, Finding, not_judged
from .registry import register
from .support import LEAST_SIMULATIONS

NAME = "extrapolation in theta"


def _missing(evidence: Evidence) -> Finding | None:
    if evidence.simulations is None:
        return not_judged(NAME, "no simulations were given", level="note")
    if evidence.extrapolation is None:
        why = f"only {evidence.simulated} simulations succeeded, and it takes at least {LEAST_SIMULATIONS}"
        return not_judged(NAME, why, "Simulate more and fit again.")
    return None


@register(NAME, place=80, missing=_missing)
def judge_extrapolation(evidence: Evidence) -> list[Finding]:
    """Whether the draws lie where there were simulations to learn from."""
    far = evidence.extrapolation
    if far is None:
        return []
    numbers = {"p_value": far.p_value, "share": far.share, "distance": far.distance}
    if far.inside:
        text = f"Training: simulated parameters lie around the draws as usual (p = {far.p_value:.2g})."
        return [Finding("ok", text, check=NAME, numbers=numbers)]
    text = f"Extrapolating: few simulations lie where the draws are; these are {far.distance:.2g} times as far from "
    text += f"simulated parameters as those from one another (p = {far.p_value:.2g})."
    if evidence.confirmed:
        text += " New runs at the draws agree with the network's cost, so it holds there."
        return [Finding("note", text, check=NAME, numbers=numbers)]
    remedy = f"Do not trust the network there: add simulations at the draws ({REFINE}), or choose a prior around them."
    return [Finding("care", text, remedy, NAME, numbers)]
