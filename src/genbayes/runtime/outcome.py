"""How a stage of the work ended: fine, or what is wrong and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """Verdict on a result.

    Attributes:
        messages: one sentence for each thing that is wrong, with its remedy; empty when nothing is.
    """

    messages: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found to be wrong."""
        return not self.messages

    def __str__(self) -> str:
        return "ok" if self.ok else "\n".join(self.messages)

    @classmethod
    def joined(cls, outcomes: "Iterable[Outcome]") -> "Outcome":
        """The messages of several outcomes in one."""
        return cls(tuple(message for outcome in outcomes for message in outcome.messages))
