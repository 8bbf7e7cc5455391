"""`check_stack`: which of many posteriors can be relied on, at a glance: support of each observation, and sampling."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from jaxtyping import Bool, Float

from ..distances.unequal_sets import in_front, trials_present
from ..runtime.counts import evenly_spaced
from ..sampling.draws_origin import same_observation
from ..sampling.stack import GibbsPosteriors
from ..sampling.stacked import StackedDraws
from ..simulations.rows import Simulations
from .finding import Finding, headline, not_judged, ordered
from .output_space import same_trials
from .support import LEAST_SIMULATIONS, LEVEL, SupportReference
from .verdict import EXIT_CODES

_MOST_NAMED = 8
# Patterns of missing values among the observations; outputs are read, and least costs found, for each anew.
_MOST_PATTERNS = 12
# Observations whose log density is judged; each takes as long as a few thousand values of the cost.
_MOST_JUDGED = 200


@dataclass(frozen=True, eq=False, repr=False)
class StackCheck:
    """What is known of every observation of a stack.

    Attributes:
        findings: what needs care, what is fine, what was not judged.
        draws: that were judged.
        names: of the observations, by which findings call them; their numbers from 0 if there are none.
        p_value: of each observation's support (m,), see `Support`; NaN where there were too few simulations, and of
            observations with rare patterns of missing values beyond the first dozen.
    """

    findings: tuple[Finding, ...]
    draws: StackedDraws
    p_value: Float[np.ndarray, " m"]
    names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"StackCheck({headline(list(self.findings))[1]})"

    @property
    def level(self) -> str:
        """The worst of the findings: "ok" or "care"."""
        return headline(list(self.findings))[0]

    @property
    def exit_code(self) -> int:
        """0 fine, 3 take care."""
        return EXIT_CODES[self.level]

    @property
    def unusual(self) -> Bool[np.ndarray, " m"]:
        """Which observations the simulator hardly makes, one in twenty of them by chance."""
        return _unusual(self.p_value)

    @property
    def rows(self) -> list[tuple[int | str, float, float, float, int, float, bool]]:
        """Name or number of the observation, p-value, beta, mean cost, least ESS, largest R-hat, whether in doubt."""
        draws = self.draws
        size, rhat = draws.ess_bulk.min(axis=2), draws.rhat.max(axis=2)
        return [
            (
                self.names[i] if self.names else i,
                float(self.p_value[i]),
                float(draws.betas[j]),
                float(draws.cost[i, j].mean()),
                int(np.nan_to_num(size[i, j])),
                float(rhat[i, j]),
                bool(draws.suspect[i, j]),
            )
            for i, j in np.ndindex(len(draws), len(draws.betas))
        ]

    def summary(self, width: int = 80) -> str:
        """The verdict in plain lines."""
        words = {"ok": "fine", "note": "note", "care": "take care"}
        lines = [f"{headline(list(self.findings))[1]}."]
        for one in self.findings:
            lines += textwrap.wrap(f"[{words[one.level]}] {one.full}", width, subsequent_indent="    ")
        return "\n".join(lines)

    def to_json(self) -> str:
        """All numbers, for other programs; one that is not finite is null."""
        keys = ("observation", "support_p_value", "beta", "mean_cost", "least_ess", "largest_rhat", "suspect")
        content = {
            "verdict": self.level,
            "exit_code": self.exit_code,
            "findings": [
                {"check": f.check, "level": f.level, "text": f.text, "remedy": f.remedy} for f in self.findings
            ],
            "posteriors": [{key: _plain(value) for key, value in zip(keys, row, strict=True)} for row in self.rows],
        }
        return json.dumps(content, indent=1, allow_nan=False)


def check_stack(
    stack: GibbsPosteriors,
    draws: StackedDraws,
    simulations: Simulations | None = None,
    *,
    names: Sequence[str] | None = None,
) -> StackCheck:
    """Judges every posterior of a stack by what needs no new runs; `check` looks closer at one of them.

    Args:
        stack: what was sampled.
        draws: of it.
        simulations: of the training, for the support of the observations.
        names: of the observations, such as patients; known by itself where the stack was given what
            `read_observation` returned. Without names they are numbers from 0.

    Raises:
        ValueError: draws of other observations or betas, or another number of names.

    Example:
        >>> found = gb.check_stack(stack, stack.sample(2000, seed=0), simulations)
        >>> print(found.summary())
    """
    if not same_observation(draws.x_o, stack.x_o) or not np.array_equal(draws.betas, stack.betas):
        raise ValueError(
            f"the draws are not this stack's: they are of observations of shape {draws.x_o.shape} at beta "
            f"{draws.betas.tolist()}, the stack has {stack.x_o.shape} at {stack.betas.tolist()}, or other values. "
            "Sample it again."
        )
    given = (stack.names or ()) if names is None else tuple(names)
    if given and len(given) != len(stack):
        raise ValueError(f"names must be those of {len(stack)} observations, got {len(given)}.")
    called: list[str] = list(given) if given else [f"number {i}" for i in range(len(stack))]
    p_value, found = np.full(len(stack), np.nan), [_on_sampling(draws)]
    of_prior = 0 if simulations is None else int(np.sum(simulations.ok & (simulations.round == 0)))
    if simulations is None or of_prior < LEAST_SIMULATIONS:
        why = "no simulations were given" if simulations is None else f"{of_prior} simulations of the prior are too few"
        level = "note" if simulations is None else "care"
        found.append(not_judged("support", why, f"Give at least {LEAST_SIMULATIONS}.", level=level))
    else:
        p_value = _support(stack, simulations)
        found.append(_on_support(p_value, called))
    found.append(_on_held_out(stack, called))
    why = "a stack is judged without new runs"
    found.append(not_judged("the cost at the draws", why, "Check some observations by themselves.", level="note"))
    return StackCheck(tuple(ordered(found)), draws, p_value, given)


def _support(stack: GibbsPosteriors, simulations: Simulations) -> Float[np.ndarray, " m"]:
    """The p-value of every observation, among outputs with the same values missing."""
    missing = np.isnan(stack.x_o).reshape(len(stack), -1)
    if stack.cost.distance.reads_unequal_sets:
        return _support_of_sets(stack, simulations)
    _, first, pattern, count = np.unique(missing, axis=0, return_index=True, return_inverse=True, return_counts=True)
    p_value = np.full(len(stack), np.nan)
    for which in np.argsort(-count, kind="stable")[:_MOST_PATTERNS]:
        rows = np.flatnonzero(pattern.reshape(-1) == which)
        reference = SupportReference.of(stack.cost, simulations, x_o=stack.x_o[first[which]])
        p_value[rows] = reference.p_values(stack.x_o[rows], stack.conditions[rows])[:, 0]
    return p_value


def _support_of_sets(stack: GibbsPosteriors, simulations: Simulations) -> Float[np.ndarray, " m"]:
    """The p-value of every set, among outputs of half as many trials or more, cut to those of the least such set."""
    count = trials_present(stack.x_o).sum(axis=1)
    size = np.floor(np.log2(count)).astype(int)
    p_value = np.full(len(stack), np.nan)
    for which in np.unique(size):
        rows = np.flatnonzero(size == which)
        least = stack.x_o[rows[np.argmin(count[rows])]]
        reference = SupportReference.of(stack.cost, simulations, x_o=least)
        # A set of more trials than the simulated ones is judged in parts, as by `SupportReference.judge`.
        parts = [same_trials(in_front(stack.x_o[i])[: count[i]], reference.trials) for i in rows]
        numbers = np.array([len(one) for one in parts])
        known = np.repeat(stack.conditions[rows], numbers, axis=0)
        found = reference.p_values(np.stack([part for one in parts for part in one]), known)[:, 0]
        least_of_each = np.minimum.reduceat(found, np.cumsum(numbers) - numbers)
        p_value[rows] = np.minimum(1.0, numbers * least_of_each)
    return p_value


def _on_sampling(draws: StackedDraws) -> Finding:
    unknown = int(np.sum(~np.all(np.isfinite(draws.rhat), axis=2)))
    if unknown:
        return not_judged("sampling", f"R-hat of {unknown} posteriors is not finite", "Ask for more draws (-n).")
    if draws.suspect.any():
        return Finding("care", "Sampling: " + " ".join(draws.outcome.messages), check="sampling")
    text = f"Sampling: all {draws.suspect.size} posteriors are well sampled (largest R-hat {draws.rhat.max():.3f})."
    return Finding("ok", text, check="sampling")


def _on_held_out(stack: GibbsPosteriors, called: Sequence[str]) -> Finding:
    """What simulations that the cost has not seen say of posteriors at the highest beta."""
    if stack.cost.held_out is None:
        return not_judged("the log density", "the cost holds no simulations that it has not seen", level="note")
    rows = evenly_spaced(len(stack), _MOST_JUDGED)
    errors = {int(i): stack.posterior(int(i)).log_density_error for i in rows}
    told = {i: error.outcome.messages for i, error in errors.items() if error is not None and not error.outcome.ok}
    of = f"{len(rows)}" + (f" (of {len(stack)})" if len(rows) < len(stack) else "")
    numbers = {"judged": float(len(rows)), "contradicted": float(len(told))}
    if not told:
        text = f"Held-out simulations: they contradict none of {of} posteriors at beta {stack.betas[-1]:g}."
        return Finding("ok", text, check="the log density", numbers=numbers)
    first = _listed([called[i] for i in told])
    text = f"Held-out simulations: {len(told)} of {of} posteriors at beta {stack.betas[-1]:g} cannot be relied on: "
    text += f"{first}. Of the first: {next(iter(told.values()))[0]}"
    return Finding("care", text, check="the log density", numbers=numbers)


def _unusual(p_value: Float[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
    """Which observations stand out, at a false discovery rate of 5 % (Benjamini and Hochberg 1995).

    For p-values against one set of held-out outputs, too (Bates et al. 2023).
    """
    known = np.where(np.isfinite(p_value), p_value, 1.0)
    return scipy.stats.false_discovery_control(known) <= LEVEL


def _listed(names: Sequence[str]) -> str:
    """The first of some observations' names; "number" is said once."""
    shown = [name if i == 0 else name.removeprefix("number ") for i, name in enumerate(names[:_MOST_NAMED])]
    return ", ".join(shown) + (", ..." if len(names) > _MOST_NAMED else "")


def _on_support(p_value: Float[np.ndarray, " m"], called: Sequence[str]) -> Finding:
    judged, unusual = np.isfinite(p_value), np.flatnonzero(_unusual(p_value))
    m = f"{int(judged.sum())}" + ("" if judged.all() else f" (of {len(p_value)}, those with the commonest gaps)")
    numbers = {"unusual": float(len(unusual)), "below_level": float(np.sum(p_value <= LEVEL))}
    if not len(unusual):
        text = f"Support: none of {m} observations stands out from the outputs of the simulator (least p = "
        return Finding("ok", f"{text}{np.nanmin(p_value):.2g}).", check="support", numbers=numbers)
    first = _listed([called[int(i)] for i in unusual[np.argsort(p_value[unusual], kind="stable")]])
    return Finding(
        "care",
        f"Misspecified: {len(unusual)} of {m} observations are unlike outputs of the simulator (one in twenty of those "
        f"named would be so by chance): {first}. Their answers are a best compromise.",
        "Check one by itself (--observation): which parts of the data does the simulator miss, are the units right?",
        "support",
        numbers,
    )


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
