"""The check of a scale that the distance took from the simulations: does it leave a coordinate without a say?"""

from .evidence import Evidence
from .finding import Finding
from .registry import register


@register("scale", place=52)
def judge_scale(evidence: Evidence) -> list[Finding]:
    """Scales that a few runs set, or that dwarf the observation; nothing of scales that were given."""
    posterior = evidence.posterior
    messages = [*posterior.cost.scale_outcome.messages, *posterior.scale_outcome.messages]
    # The messages of an outcome hold their remedies.
    return [Finding("care", f"Scale: {text[:1].lower()}{text[1:]}", check="scale") for text in messages]
