"""One statement of a verdict, the order of several, and the sentence above them."""

from collections.abc import Mapping
from typing import NamedTuple

# The command that adds simulations at the draws, as remedies name it.
REFINE = "genbayes refine"


class Finding(NamedTuple):
    """One statement of the verdict.

    Attributes:
        level: "ok", "note", "care" or "bad".
        text: what was found, with its numbers, in plain words.
        remedy: what to do about it; empty where there is nothing to do.
        check: name of the check.
        numbers: what the finding rests on, name -> number.
        judged: False where the check could not be made; the text says why.
    """

    level: str
    text: str
    remedy: str = ""
    check: str = ""
    numbers: Mapping[str, float] = {}
    judged: bool = True

    @property
    def full(self) -> str:
        """Text and remedy."""
        return f"{self.text} {self.remedy}".strip()


def ordered(found: list[Finding]) -> list[Finding]:
    """What needs care before what is fine before notes; otherwise the order stays: causes before their effects."""
    rank = {"bad": 0, "care": 0, "ok": 1, "note": 2}
    return sorted(found, key=lambda finding: rank[finding.level])


def not_judged(check: str, why: str, remedy: str = "", *, level: str = "care") -> Finding:
    """That a check could not be made: "care" where it was to be, "note" where nothing was given to make it with."""
    text = f"{check[:1].upper()}{check[1:]}: not judged, because {why}."
    return Finding(level, text, remedy, check, judged=False)


def headline(found: list[Finding]) -> tuple[str, str]:
    """Returns the level and the sentence that stands above all findings."""
    levels = [finding.level for finding in found]
    if "bad" in levels:
        return "bad", "Do not rely on this result yet"
    care = levels.count("care")
    if care:
        return "care", f"Usable with care: {care} point{'s' * (care > 1)} to look at"
    return "ok", "No problem found"
