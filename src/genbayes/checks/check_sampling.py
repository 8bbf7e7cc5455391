"""The check of the sampling: would other draws of the same posterior say the same?"""

import numpy as np

from ..sampling.log_density_error import UNCERTAIN
from .evidence import Evidence
from .finding import Finding, not_judged
from .registry import register

# Fewer draws have neither R-hat nor an effective sample size.
LEAST_A_CHAIN = 4


@register("sampling", place=60)
def judge_sampling(evidence: Evidence) -> list[Finding]:
    """What the draws and their sampler say of themselves; R-hat and effective sample size."""
    draws = evidence.draws
    rhat, ess = float(np.max(draws.rhat)), float(np.min(draws.ess_bulk))
    numbers = {"rhat": rhat, "ess_bulk": ess}
    if "divergences" in draws.statistics:
        numbers["divergences"] = float(np.sum(draws.statistics["divergences"]))
    unknown = []
    if np.isnan(rhat) or np.isnan(ess):
        chains, each = draws.theta.shape[:2]
        if each < LEAST_A_CHAIN:
            why = f"R-hat and the effective sample size take at least {LEAST_A_CHAIN} draws a chain "
            why += f"(too few draws: {each} a chain)"
            remedy = f"Sample again with at least {max(1000, 4 * chains):,} draws."
        else:
            why = "R-hat and the effective sample size are not defined where all draws of a parameter are the same"
            remedy = "Sample again with another sampler, or with settings that let it move."
        unknown = [not_judged("sampling", why, remedy)._replace(numbers=numbers)]
    # What speaks against the posterior itself is told by other checks.
    before = evidence.posterior.outcome.messages
    messages = [text for text in draws.outcome.messages if text not in before and not text.startswith(UNCERTAIN)]
    if messages:
        # The messages of an outcome hold their remedies.
        return [Finding("bad", f"Sampling: {text}", check="sampling", numbers=numbers) for text in messages] + unknown
    if unknown:
        return unknown
    text = f"Sampling: largest R-hat {rhat:.3f}, smallest effective sample size {ess:.0f}."
    return [Finding("ok", text, check="sampling", numbers=numbers)]
