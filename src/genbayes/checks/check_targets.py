"""The check of a general network's training targets: did they reach as far out as the observation?"""

from ..costs.forms import NetworkForm
from .evidence import Evidence
from .finding import Finding
from .registry import register

NAME = "extrapolation in x"
# Share of training targets that reach at least as far out, up to which a network extrapolates.
SHARE = 0.01


@register(NAME, place=25)
def judge_targets(evidence: Evidence) -> list[Finding]:
    """Whether a general network knows the like of the observation; other costs hold for any observation."""
    support = evidence.support
    if support is None or support.inside or support.training is None or support.training > SHARE:
        return []
    if not isinstance(evidence.posterior.cost.form, NetworkForm):
        return []
    text = "Extrapolating: the general network was trained on targets near the simulations, and the observation lies "
    text += f"farther out than {1 - support.training:.1%} of them."
    numbers = {"training": support.training}
    if evidence.confirmed:
        text += " New runs at the draws agree with its cost, so it can be used here."
        return [Finding("note", text, check=NAME, numbers=numbers)]
    checked = evidence.predictive is not None
    contradicted = checked and not evidence.agrees
    if contradicted:
        text += " New runs at the draws contradict its cost: do not trust it here."
    elif checked:
        text += " New runs at the draws would not show an error of its cost that matters: they are too few."
    else:
        text += " No new runs have confirmed its cost."
    remedy = "Use a distance with a feature map or an additive one, whose cost holds for any observation; or refine."
    return [Finding("bad" if contradicted else "care", text, remedy, NAME, numbers)]
