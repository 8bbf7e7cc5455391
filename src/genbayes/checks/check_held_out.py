"""The check of the log density: do simulations that the cost has not seen confirm it where the posterior is?"""

import numpy as np

from ..runtime.formatting import number
from .evidence import Evidence
from .finding import REFINE, Finding
from .registry import register

NAME = "held-out simulations"
# Shift of the mean in posterior standard deviations, and error of the log density, beyond which an answer is none.
_HOPELESS_SHIFT, _HOPELESS_NATS = 1.0, 3.0


@register(NAME, place=72)
def judge_held_out(evidence: Evidence) -> list[Finding]:
    """The error of the log density by held-out rows and members; what else speaks against the posterior beforehand."""
    known = [Finding("bad", text, check="posterior") for text in evidence.posterior.known_outcome.messages]
    error = evidence.posterior.log_density_error
    if error is None:
        return known
    numbers = {"shift": error.shift, "shift_error": error.shift_error, "nats": error.nats, "left open": error.left_open}
    # What the draws told when they were made is told here, with its remedy.
    hopeless = (error.shift_sure and error.shift > _HOPELESS_SHIFT) or (error.nats_sure and error.nats > _HOPELESS_NATS)
    # What the members leave open is told of the draws themselves (`resolution`).
    level = "bad" if hopeless else "care"
    told = [Finding(level, text, check=NAME, numbers=numbers) for text in error.contradictions.messages]
    if told:
        return [*known, *told]
    if not np.isfinite(error.shift):
        text = f"Held-out simulations: {error.rows:.0f} of them lie where the posterior is, too few to judge it by."
        return [*known, Finding("note", text, f"Add simulations there ({REFINE}).", NAME, numbers, judged=False)]
    text = "Held-out simulations: those near the posterior do not contradict it; they would show a shift of "
    text += f"{number(4 * error.shift_error)} posterior standard deviations."
    return [*known, Finding("ok", text, check=NAME, numbers=numbers)]
