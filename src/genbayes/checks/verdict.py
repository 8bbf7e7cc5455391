"""`check`: can a result be relied on, why not, and what to do."""

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..runtime.notebook import html_table
from ..sampling.draws import Draws
from ..sampling.draws_origin import need_own_draws
from ..sampling.joint import remedy_for_joint
from ..sampling.posterior import GibbsPosterior
from ..simulations.executors import Workers
from ..simulations.rows import Simulations
from ..simulations.run_limits import bounded
from ..simulations.simulators import AnySimulator
from .coverage import Coverage, coverage
from .evidence import Evidence
from .finding import Finding, headline
from .findings import findings
from .predictive import PredictiveCheck, check_predictive
from .support import SupportReference

# `genbayes check` exits with these codes; 1 is an error, 2 a mistake in what was typed.
EXIT_CODES = {"ok": 0, "care": 3, "bad": 4}
_WORDS = {"ok": "fine", "note": "note", "care": "take care", "bad": "problem"}


@dataclass(frozen=True, eq=False, repr=False)
class Check:
    """The verdict on a result.

    Attributes:
        findings: what needs care first, and of it the likelier causes before their effects.
        level: "ok", "care" or "bad".
        headline: the verdict in one sentence.
        evidence: what was measured.
        beta: inverse temperature of the draws.
        predictive: new runs at the draws, or None.
        coverage: of held-out simulations, or None.
    """

    findings: tuple[Finding, ...]
    level: str
    headline: str
    evidence: Evidence
    beta: float
    predictive: PredictiveCheck | None = None
    coverage: Coverage | None = None

    def __repr__(self) -> str:
        return f"Check({self.headline})"

    def _repr_html_(self) -> str:
        rows = [(one.check, _WORDS[one.level] if one.judged else "not judged", one.full) for one in self.findings]
        return html_table(f"{self.headline} (beta {self.beta:g})", ("check", "verdict", "finding"), rows)

    @property
    def exit_code(self) -> int:
        """0 fine, 3 take care, 4 do not rely on it."""
        return EXIT_CODES[self.level]

    @property
    def ok(self) -> bool:
        """Whether nothing needs care."""
        return self.level == "ok"

    def summary(self, width: int = 80, *, everything: bool = False) -> str:
        """The verdict, what needs care with its remedy, by name what is fine or not judged; or everything found."""
        lines = [f"{self.headline}."]
        for finding in self.findings:
            if not everything and finding.level in ("ok", "note"):
                continue
            lines.append("")
            lines += textwrap.wrap(f"[{_WORDS[finding.level]}] {finding.text}", width, subsequent_indent="    ")
            if finding.remedy:
                lines += textwrap.wrap(
                    f"What to do: {finding.remedy}", width, initial_indent="    ", subsequent_indent="    "
                )
        fine = list(dict.fromkeys(one.check for one in self.findings if one.level == "ok"))
        if fine and not everything:
            lines += ["", *textwrap.wrap(f"[fine] {', '.join(fine)}", width, subsequent_indent="    ")]
        unknown = [one.check for one in self.findings if one.level == "note" and not one.judged]
        if unknown and not everything:
            lines += ["", *textwrap.wrap(f"[not judged] {', '.join(unknown)}", width, subsequent_indent="    ")]
        return "\n".join(lines)

    def to_json(self) -> str:
        """All findings with their numbers, for other programs; a number that is not finite is null."""
        content = {
            "verdict": self.level,
            "exit_code": self.exit_code,
            "headline": self.headline,
            "beta": self.beta,
            "findings": [
                {
                    "check": finding.check,
                    "level": finding.level,
                    "text": finding.text,
                    "remedy": finding.remedy,
                    "numbers": {name: _plain(value) for name, value in finding.numbers.items()},
                }
                for finding in self.findings
            ],
            "posterior_means": self._means(),
            "coordinates": self._coordinates(),
            "coverage": self._coverage(),
        }
        return json.dumps(content, indent=2, allow_nan=False)

    def _means(self) -> list[dict[str, Any]]:
        means = self.evidence.means
        if means is None:
            return []
        columns = (means.mean, means.std, means.member_error, means.shift, means.shift_error, means.error)
        keys = ("mean", "std", "member_error", "shift", "shift_error", "error")
        return [
            {"parameter": name, **{key: _plain(value) for key, value in zip(keys, values, strict=True)}}
            for name, *values in zip(means.names, *columns, strict=True)
        ]

    def _coordinates(self) -> list[dict[str, Any]]:
        position = self.evidence.position
        if position is None:
            return []
        return [
            {
                "coordinate": position.names[j],
                "observed": _plain(position.observed[j]),
                "quantiles": [_plain(value) for value in position.quantiles[:, j]],
                "tail_probability": _plain(position.tail[j]),
                "tail_error": _plain(position.tail_error[j]),
                "outside": bool(position.outside[j]),
            }
            for j in position.order
        ]

    def _coverage(self) -> dict[str, Any] | None:
        found = self.coverage
        if found is None:
            return None
        return {
            "rows": found.rows,
            "levels": found.levels.tolist(),
            "coverage": found.coverage.tolist(),
            "band": found.band.tolist(),
        }


def check(
    posterior: GibbsPosterior,
    draws: Draws,
    simulator: AnySimulator | None = None,
    simulations: Simulations | None = None,
    *,
    n: int = 500,
    seed: int,
    predictive: PredictiveCheck | None = None,
    held_out: Simulations | None = None,
    warnings: Sequence[str] = (),
    kind: str | None = None,
    labels: Sequence[str] | None = None,
    axis: Any = None,
    reference: SupportReference | None = None,
    workers: Workers = 1,
    timeout: int | float | None = None,
    memory: int | str | None = None,
    progress: bool = True,
) -> Check:
    """Judges a result: the observation, the network, the sampler, the prediction.

    Args:
        posterior: that was sampled.
        draws: its draws.
        simulator: to run at the draws, twice at each of `n`; without it the network is judged by its ensemble alone.
        simulations: that the cost was fitted on: is the observation, are the draws, within them?
        n: draws to run.
        seed: of the new runs; another one than that of the simulations.
        predictive: runs at the draws made before, instead of `simulator`.
        held_out: simulations that the cost was not fitted on: coverage at this beta, from a posterior of each (200 take
            a minute).
        warnings: further points that need care, in words.
        kind: kind of output, "coordinates", "series" or "set"; by default as the cost reads it.
        labels: names of the output's coordinates or channels.
        axis: dates, times or names of the observation's steps, by which findings call them, as in `report`; known by
            itself where the posterior was given what `read_observation` returned.
        reference: what the observation is compared with, made by `SupportReference.of` or taken from the evidence of
            another check of the same cost and simulations; it does not depend on beta, and takes most of the time.
        workers: see `simulate`.
        timeout: of one run, in seconds; see `simulate`.
        memory: of one run; see `simulate`.
        progress: show progress bars.

    Raises:
        TypeError: not a posterior and its draws.
        ValueError: all new runs failed; the reference is of another cost; or the draws are not the posterior's: of
            other parameters, another beta, observation or conditions.

    Example:
        >>> verdict = gb.check(posterior, draws, simulator, simulations, seed=1)
        >>> print(verdict.summary())
    """
    if not isinstance(posterior, GibbsPosterior) or not isinstance(draws, Draws):
        got = f"{type(posterior).__name__}, {type(draws).__name__}"
        remedy = remedy_for_joint(posterior)
        raise TypeError(f"check takes (posterior, draws, simulator, simulations), got ({got}, ...).{remedy}")
    need_own_draws(posterior, draws)
    if reference is not None and reference.cost is not posterior.cost:
        raise ValueError(
            f"reference was made for another cost ({reference.cost!r}) than the posterior's ({posterior.cost!r}): make "
            "one by SupportReference.of(posterior.cost, simulations), or leave it out."
        )
    if predictive is None and simulator is not None:
        who = bounded(workers, timeout, memory)
        predictive = check_predictive(simulator, posterior, draws, n, seed=seed, workers=who, progress=progress)
    covered = None
    if held_out is not None:
        prior, cost, beta = posterior.prior, posterior.cost, posterior.beta
        rows, x_o = len(held_out), posterior.x_o
        covered = coverage(prior, cost, held_out, beta, rows=rows, seed=seed, x_o=x_o, progress=progress)
    evidence = Evidence(posterior, draws, predictive, simulations, kind, labels, covered, reference, axis)
    found = findings(evidence, warnings, progress=progress)
    return Check(tuple(found), *headline(found), evidence, posterior.beta, predictive, covered)


def _plain(value: Any) -> float | None:
    number = float(np.asarray(value))
    return number if math.isfinite(number) else None
