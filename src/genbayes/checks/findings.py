"""The verdict of a report and of `check`: what every registered check finds, causes before their effects."""

from collections.abc import Iterable

from .evidence import Evidence
from .finding import Finding, ordered
from .registry import checks_for


def findings(evidence: Evidence, warnings: Iterable[str] = ()) -> list[Finding]:
    """Returns every finding of a run: what needs care first, and of it the likelier causes before their effects.

    Args:
        evidence: on the run.
        warnings: further texts of the caller, told first, as points that need care.
    """
    told = [Finding("care", str(text), check="given") for text in warnings]
    not_made = []
    for check in checks_for(evidence):
        missing = None if check.missing is None else check.missing(evidence)
        if missing is None:
            told += check.judge(evidence)
        else:
            not_made.append(missing)
    return ordered([*told, *not_made])
