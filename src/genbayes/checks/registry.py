"""The registry of checks: a check is one function, in a file of its own, that judges the evidence on a result.

How to add a check: write `checks/check_NAME.py` (every file of that prefix is found) or, in a script of yours,

    @register("name", place=55)
    def judge_name(evidence: Evidence) -> list[Finding]:
        ...

It is then told by `gb.check`, `gb.report` and their commands. Findings are told in the order of `place`, causes before
their effects: 10 to 29 the observation and what the simulator can make, 30 to 39 the prior, 40 to 49 what the simulator
misses, 50 to 59 the simulations, 60 to 69 the sampling, 70 to 99 the network, from its training to its cost at the
draws, 100 and more what all that does to the answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..runtime.registry import Registry
from .evidence import Evidence
from .finding import Finding

Judge = Callable[[Evidence], list[Finding]]
# Why a check cannot be made with this evidence; None where it can.
Missing = Callable[[Evidence], Finding | None]


@dataclass(frozen=True)
class RegisteredCheck:
    """A check and its place in the verdict.

    Attributes:
        name: of the check, as its findings bear it.
        judge: evidence -> findings; each has a level, a text and, where something is to be done, a remedy.
        place: in the order in which findings are told, or a function of the evidence that says it.
        missing: what the check lacks (see `not_judged`), asked before `judge`; None where it can judge anything.
    """

    name: str
    judge: Judge
    place: int | float | Callable[[Evidence], int | float]
    missing: Missing | None = None

    def place_for(self, evidence: Evidence) -> int | float:
        """The place of its findings on this evidence."""
        return self.place(evidence) if callable(self.place) else self.place


CHECKS: Registry[RegisteredCheck] = Registry("check", "genbayes.checks", "check_")


def register(
    name: str, *, place: int | float | Callable[[Evidence], int | float], missing: Missing | None = None
) -> Callable[[Judge], Judge]:
    """Registers a check; a decorator of the function that judges.

    Args:
        name: of the check, such as "support".
        place: in the order in which findings are told; see the text of this module.
        missing: says why the check cannot be made, by `not_judged`, or None; `judge` is not asked where it does.

    Raises:
        ValueError: another module has registered a check of this name.

    Example:
        >>> @register("many draws", place=65)
        ... def judge_many_draws(evidence):
        ...     return [Finding("ok", f"Draws: {len(evidence.draws):,}.", check="many draws")]
    """

    def decorated(judge: Judge) -> Judge:
        CHECKS.add(name, RegisteredCheck(name, judge, place, missing), judge.__module__)
        return judge

    return decorated


def checks_for(evidence: Evidence) -> list[RegisteredCheck]:
    """All registered checks in the order in which their findings on this evidence are told."""
    return sorted(CHECKS.all(), key=lambda check: check.place_for(evidence))
