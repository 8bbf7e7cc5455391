"""The check of the resolution: does beta ask for finer differences of cost than the networks agree about?"""

from ..sampling.log_density_error import UNCERTAIN
from .evidence import Evidence
from .finding import REFINE, Finding
from .registry import register


@register("resolution", place=92)
def judge_resolution(evidence: Evidence) -> list[Finding]:
    """What the ensemble leaves open at the draws, in units of log density; nothing of a single network."""
    # What the draws were told when they were made holds its remedy.
    told = [text for text in evidence.draws.outcome.messages if text.startswith(UNCERTAIN)]
    runs = evidence.predictive
    if told and (runs is None or not runs.unresolved):
        return [Finding("care", f"Resolution: {text[:1].lower()}{text[1:]}", check="resolution") for text in told]
    if runs is None or not runs.log_density_error > 0:
        return []
    text = f"Resolution: the fit leaves the log density open by {runs.log_density_error:.2g} between draws"
    numbers = {"log_density_error": runs.log_density_error}
    if not runs.unresolved:
        return [Finding("ok", text + ", which is little.", check="resolution", numbers=numbers)]
    text += "; beta is larger than it resolves."
    remedy = f"Lower beta, simulate more, add simulations at the draws ({REFINE}), or fit a larger ensemble."
    return [Finding("care", text, remedy, "resolution", numbers)]
