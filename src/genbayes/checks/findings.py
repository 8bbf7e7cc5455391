"""The verdict of a report and of `check`: what every registered check finds, causes before their effects."""

from collections.abc import Iterable

from ..runtime.progress import progress_bar
from .evidence import Evidence
from .finding import Finding, ordered
from .registry import CHECKS, checks_for


def findings(evidence: Evidence, warnings: Iterable[str] = (), *, progress: bool = False) -> list[Finding]:
    """Returns every finding of a run: what needs care first, and of it the likelier causes before their effects.

    Args:
        evidence: on the run.
        warnings: further texts of the caller, told first, as points that need care.
        progress: show how many of the checks are made.
    """
    told = [Finding("care", str(text), check="given") for text in warnings]
    not_made = []
    with progress_bar("checking", len(CHECKS.all()), progress) as advance:
        # Their order alone takes seconds: it depends on what the simulator can make.
        for check in checks_for(evidence):
            missing = None if check.missing is None else check.missing(evidence)
            if missing is None:
                told += check.judge(evidence)
            else:
                not_made.append(missing)
            advance()
    return ordered([*told, *not_made])
