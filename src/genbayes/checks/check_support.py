"""The check of the support: could the simulator have made the observation?"""

from ..runtime.formatting import number
from .evidence import Evidence
from .finding import Finding, not_judged
from .registry import register
from .support import LEAST_SIMULATIONS, Support


def _missing(evidence: Evidence) -> Finding | None:
    if evidence.simulations is None:
        return not_judged("support", "no simulations were given", level="note")
    if evidence.reference is None:
        why = f"only {evidence.simulated_of_prior} simulations of the prior succeeded, and it takes at least "
        return not_judged("support", f"{why}{LEAST_SIMULATIONS}", "Simulate more and fit again.")
    return None


@register("support", place=20, missing=_missing)
def judge_support(evidence: Evidence) -> list[Finding]:
    """Whether the simulator could have made the observation."""
    support = evidence.support
    if support is None:
        return []
    numbers = support_numbers(support)
    usual = f"p = {support.p_value:.2g} against {support.held_out} held-out simulations"
    if support.inside:
        text = f"Support: the observation is like outputs of the simulator ({usual})."
        return [Finding("ok", text, check="support", numbers=numbers)]
    certain = support.p_value <= 0.01
    text = "Misspecified: hardly any simulation is" if certain else "Perhaps misspecified: few simulations are"
    text += f" like the observation ({usual}): {_why(support)}."
    if support.hopeless:
        text += " That is too far for a compromise: the data, the prior or the simulator is wrong."
    else:
        text += " The answer is a best compromise, not a parameter that explains the data."
    if not certain:
        text += " (One in twenty outputs of a right simulator is as unusual.)"
    return [Finding("bad" if support.hopeless else "care", text, _remedy(evidence, support), "support", numbers)]


def support_numbers(support: Support) -> dict[str, float]:
    """What findings about the support rest on."""
    return {
        "p_value": support.p_value,
        "isolation": support.isolation,
        "least_cost": support.least_cost,
        "least_cost_value": support.cost,
        "usual_least_cost": support.usual_cost[0],
    }


def _why(support: Support) -> str:
    """Which of the two scores is the more unusual, with the least cost."""
    usual = f"{number(support.usual_cost[0])} is usual, {number(support.usual_cost[1])} at the 95 % limit"
    cost = f"the least expected distance over parameters is {number(support.cost)} ({usual})"
    if support.isolation < support.least_cost:
        return f"it lies apart from the simulated outputs; {cost}"
    return f"no parameter comes near it; {cost}"


def _remedy(evidence: Evidence, support: Support) -> str:
    """The likeliest suspect first: a slip in the data, a prior that excludes the truth, then data and simulator."""
    names = ", ".join(f"{crowded.name} at its {crowded.side} bound" for crowded in evidence.crowded[:4])
    if names and not support.hopeless:
        remedy = f"First widen or move the prior, if such values are possible ({names}), and simulate again; then look "
        remedy += "for a mistake in the simulator."
    else:
        remedy = "Check the data (units, order, outliers) and the simulator (a sign, a unit, a missing process); see "
        remedy += "below which parts of the data it misses."
        if evidence.deterministic:
            remedy = "The simulator is deterministic, and no observation with a measurement error is an output of it. "
            remedy += (
                "First fit with that error (fit_cost(..., measurement_error=sd), or [fit] measurement_error = sd in "
                "the problem file), or add it to the runs (genbayes.with_measurement_error(simulator, sd)); then see "
                "below which parts of the data it misses by more than the error."
            )
        if names:
            remedy += f" Widen or move the prior, if such values are possible ({names})."
        if not support.hopeless:
            remedy += " If both are right, choose a distance and a beta that forgive what the simulator cannot do."
    if evidence.slips and not support.hopeless:
        slips = f"it would be an ordinary output after {'; or '.join(evidence.slips)}"
        remedy = f"First rule out a slip in the data: {slips}. {remedy.replace('First widen', 'Then widen', 1)}"
    return remedy
