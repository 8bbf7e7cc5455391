"""The check of the observation's units, where it is hopelessly far from all that the simulator makes."""

from .check_support import support_numbers
from .evidence import Evidence
from .finding import Finding
from .registry import register


@register("units", place=10)
def judge_units(evidence: Evidence) -> list[Finding]:
    """Names slips, such as other units, that would explain an observation far from all that the simulator makes."""
    support = evidence.support
    if support is None or support.inside or not support.hopeless or not evidence.slips:
        return []
    text = "Units: the observation is far from everything that the simulator makes, and it would be an ordinary output "
    text += f"after {'; or '.join(evidence.slips)}."
    remedy = "Check the units, logarithms and order of the observation's values against the simulator's."
    return [Finding("bad", text, remedy, "units", support_numbers(support))]
