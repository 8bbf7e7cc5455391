"""One recommendation from what several rules chose: the beta to take, or those to report side by side.

The order is that of docs/temperature.md, "What each does when the simulator is wrong".
"""

from collections.abc import Sequence
from typing import NamedTuple

from .choice import Choice

# The rule to follow where several speak and nothing speaks against it; rules of others come after these.
PREFERRED = ("calibrated", "bootstrap", "noise_floor")


class Recommendation(NamedTuple):
    """What to do with the rules' choices.

    Attributes:
        choices: to follow, the smallest beta first; more than one where the answer is to be reported at each.
        reason: why, a plain sentence; empty where nothing has to be said.
    """

    choices: tuple[Choice, ...]
    reason: str = ""

    @property
    def betas(self) -> tuple[float, ...]:
        """To sample at."""
        return tuple(choice.beta for choice in self.choices)

    def take(self) -> str:
        """As "Take --beta 120 (calibrated)"; empty where no rule chose."""
        if not self.choices:
            return ""
        names = ", ".join(choice.rule for choice in self.choices)
        return f"Take --beta {' '.join(f'{beta:.4g}' for beta in self.betas)} ({names})"


def recommend(choices: Sequence[Choice]) -> Recommendation:
    """Which of the choices to follow; no beta is made that no rule chose.

    Args:
        choices: of different rules, in any order.

    Returns:
        All of them where they contradict one another and none is known to be the better; none where there are none.
    """
    ranked = sorted(choices, key=lambda choice: _place(choice.rule))
    if not ranked:
        return Recommendation((), "No beta is recommended, for no rule chose one.")
    first, others = ranked[0], ranked[1:]
    if not others:
        return Recommendation((first,), _caution(first))
    suspects = next((choice for choice in ranked if choice.misspecified), None)
    trials = next((choice for choice in ranked if choice.rule == "bootstrap" and choice.outcome.ok), None)
    if trials is not None and (suspects is not None or _apart(first, trials)):
        doubt = f"{first.rule} says {first.beta:.4g}" if suspects is None else f"{suspects.rule} doubts the simulator"
        reason = f"{doubt}; the width by bootstrap follows the data, be the simulator right or wrong."
        return Recommendation((trials,), reason)
    if suspects is not None:
        return _each(ranked, f"{suspects.rule} finds that the simulator looks misspecified, and then no beta is right")
    far = [choice for choice in others if _apart(first, choice)]
    if not first.outcome.ok and (far or any(choice.outcome.ok for choice in others)):
        return _each(ranked, f"a warning above speaks against {first.rule}")
    if far:
        says = ", ".join(f"{choice.rule} says {choice.beta:.4g}" for choice in far)
        return Recommendation((first,), f"{says}: sample there, too, and where the answers differ report both.")
    return Recommendation((first,), _caution(first))


def _place(rule: str) -> int:
    return PREFERRED.index(rule) if rule in PREFERRED else len(PREFERRED)


def _apart(one: Choice, other: Choice) -> bool:
    """Whether the ranges of two choices have nothing in common."""
    return one.interval[1] < other.interval[0] or other.interval[1] < one.interval[0]


def _each(ranked: list[Choice], reason: str) -> Recommendation:
    by_beta = tuple(sorted(ranked, key=lambda choice: choice.beta))
    return Recommendation(by_beta, f"The rules do not settle on one beta: {reason}. Report the answer at each.")


def _caution(choice: Choice) -> str:
    if choice.misspecified:
        return f"{choice.rule} finds that the simulator looks misspecified: no beta makes a width right."
    return "" if choice.outcome.ok else f"Mind the warning of {choice.rule} above before you rely on its beta."
