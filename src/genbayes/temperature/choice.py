"""`Choice`: an inverse temperature with the evidence for it, and what one has to believe to take it."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from ..runtime.notebook import html_properties
from ..runtime.outcome import Outcome
from ..runtime.units import unit_of_beta

NO_RESCUE = (
    "No rule rescues a wrong distance: beta says how strongly the distance speaks, not whether it measures what "
    "matters."
)


def checked_grid(betas: Sequence[float] | np.ndarray) -> Float[np.ndarray, " b"]:
    """Betas between which a rule can choose, or ValueError."""
    grid = np.atleast_1d(np.asarray(betas, float))
    if grid.size < 2:
        got = f"{grid.size} ({grid[0]:g})" if grid.size else "0"
        raise ValueError(
            f"a rule needs at least two betas, got {got}: give a grid, or on the command line leave --beta out or use "
            "--rule none."
        )
    return grid


@dataclass(frozen=True, eq=False, repr=False)
class Choice:
    """What a rule chose.

    Attributes:
        rule: its name.
        beta: inverse temperature, 1 / units of the distance.
        interval: 95 % range of beta by the Monte Carlo error of the rule; not an uncertainty of the rule itself.
        finding: what the numbers say, a plain sentence.
        assumes: what has to hold for the rule to mean something, a plain sentence.
        units: of the distance.
        evidence: the arrays behind it, by name; `plots.choice` draws them.
        names: of the parameters.
        outcome: what speaks against the choice: the rule could not be met, or only just.
        misspecified: whether the rule found that the simulator does not reproduce the observation at any beta.
    """

    rule: str
    beta: float
    interval: tuple[float, float]
    finding: str
    assumes: str
    units: str
    names: tuple[str, ...]
    evidence: dict[str, np.ndarray] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)
    misspecified: bool = False

    def __repr__(self) -> str:
        return f"Choice({self.line()})"

    def _repr_html_(self) -> str:
        properties = {
            "beta": self._beta_told().removeprefix("beta "),
            "finding": self.finding,
            "assumes": self.assumes,
        }
        return html_properties(f"Inverse temperature by {self.rule}", properties, self.outcome.messages)

    def line(self) -> str:
        """Rule, beta and its range."""
        return f"{self.rule}: {self._beta_told()}"

    def _beta_told(self) -> str:
        """Beta, its range and its unit."""
        low, high = map(_three_digits, self.interval)
        return f"beta {self.beta:.4g} ({low} to {high}), {unit_of_beta(self.units)}"

    def sentences(self) -> tuple[str, ...]:
        """What was found, what is assumed, and what no rule can do."""
        return (self.finding, self.assumes, NO_RESCUE)

    def summary(self) -> str:
        """All of it as plain text of 80 columns."""
        parts = [self.line(), *self.sentences(), *(f"warning: {message}" for message in self.outcome.messages)]
        return "\n".join(map(wrapped, parts))

    def numbers(self) -> dict[str, Any]:
        """Plain values for a JSON file; arrays as lists where they are short; None for a range without an upper end."""
        short = {name: value for name, value in self.evidence.items() if value.size <= 2000}
        return {
            "rule": self.rule,
            "beta": self.beta,
            "interval": [end if np.isfinite(end) else None for end in self.interval],
            "units": self.units,
            "finding": self.finding,
            "assumes": self.assumes,
            "warnings": list(self.outcome.messages),
            "misspecified": self.misspecified,
            "evidence": {name: np.asarray(value, float).tolist() for name, value in short.items()},
        }


def wrapped(text: str) -> str:
    """In lines of at most 80 columns."""
    return textwrap.fill(text, 80, break_long_words=False, break_on_hyphens=False)


def _three_digits(value: float) -> str:
    """Three digits, without an exponent for everyday sizes: 1210, not 1.21e+03."""
    text = f"{value:.3g}"
    return f"{float(text):.0f}" if 1e3 <= value < 1e6 else text
