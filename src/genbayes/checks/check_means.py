"""The check of the posterior means: by how much may the network's error have moved them?"""

import numpy as np

from ..runtime.formatting import number
from .evidence import LEAST_DRAWS, Evidence
from .finding import REFINE, Finding, not_judged
from .mean_errors import MeanErrors
from .registry import register

# Posterior standard deviations by which the network's error may move a mean before it needs care.
SHIFT_CARE = 0.25
# Posterior standard deviations by which the disagreement of the ensemble may leave a mean uncertain.
MEMBERS_CARE = 0.5
# An error of a mean, in posterior standard deviations, that new runs have to show for it to count as judged.
RESOLVED_CARE = 1.0
_REMEDY = f"Add simulations at the draws and fit again ({REFINE}); or simulate more."


def _missing(evidence: Evidence) -> Finding | None:
    if evidence.means is not None:
        return None
    why = f"there are only {len(evidence.draws)} draws, and it takes at least {LEAST_DRAWS}"
    return not_judged("means", why, "Sample again with more draws (1,000 or more).")


@register("means", place=100, missing=_missing)
def judge_means(evidence: Evidence) -> list[Finding]:
    """Error bars on the posterior means, the worst one told."""
    means = evidence.means
    if means is None:
        return []
    # A parameter without spread has no mean to be wrong about.
    std = np.where(means.std > 0, means.std, np.inf)
    shift, members = np.where(means.significant, means.shift, 0.0) / std, means.member_error / std
    numbers = {"shift": float(np.max(np.abs(shift))), "members": float(np.max(members))}
    worst = int(np.argmax(np.abs(shift)))
    if abs(shift[worst]) > SHIFT_CARE:
        return [_shifted(means, worst, float(shift[worst]), numbers)]
    worst = int(np.argmax(members))
    if members[worst] > MEMBERS_CARE:
        text = f"Means: the ensemble leaves the mean of {means.names[worst]} uncertain by {members[worst]:.2g} "
        text += (
            f"posterior standard deviations ({number(means.mean[worst])} +- {number(means.member_error[worst], 2)})."
        )
        return [Finding("care", text, _REMEDY + " A larger ensemble tells more.", "means", numbers)]
    if not np.any(np.isfinite(means.shift)):
        if not np.any(means.member_error > 0):
            return []
        text = f"Means: the ensemble leaves them uncertain by at most {members[worst]:.2g} standard deviations."
        return [Finding("ok", text, check="means", numbers=numbers)]
    resolved = 3 * float(np.nanmax(np.where(np.isfinite(means.shift_error), means.shift_error, 0.0) / std))
    numbers = {**numbers, "resolved": resolved}
    if not evidence.agrees:
        why = "the network's cost is wrong at the draws, and error bars of a wrong posterior say nothing"
        return [not_judged("means", why, _REMEDY)._replace(numbers=numbers)]
    if resolved > RESOLVED_CARE:
        runs = 0 if evidence.predictive is None else len(evidence.predictive.theta)
        enough = f"{np.ceil(runs * (resolved / RESOLVED_CARE) ** 2):,.0f}"
        why = (
            f"the new runs would show an error of the network only beyond {resolved:.2g} posterior standard deviations"
        )
        remedy = f"Run the simulator at about {enough} draws (--resimulate, n), or sample at a smaller beta."
        return [not_judged("means", why, remedy)._replace(numbers=numbers)]
    text = "Means: no error of the network is seen in the posterior means; new runs would show one of "
    text += f"{resolved:.2g} posterior standard deviations."
    return [Finding("ok", text, check="means", numbers=numbers)]


def _shifted(means: MeanErrors, worst: int, shift: float, numbers: dict[str, float]) -> Finding:
    """Of a mean that is moved for certain, by `shift` posterior standard deviations."""
    name = means.names[worst]
    if abs(shift) > 1:
        # The estimate is of first order: how far beyond one standard deviation cannot be said.
        text = "Means: new runs at the draws contradict the network: its error puts the mean of "
        text += f"{name} too {'low' if shift > 0 else 'high'} by more than a posterior standard deviation."
        return Finding("bad", text, _REMEDY, "means", numbers)
    text = f"Means: new runs put the mean of {name} at {number(means.corrected[worst])} (standard "
    text += f"error {number(means.shift_error[worst], 2)}), not {number(means.mean[worst])}: the network's error "
    text += f"moves it by {abs(shift):.2g} posterior standard deviations."
    return Finding("care", text, _REMEDY, "means", numbers)
