"""The check of the new runs at the draws: how many of them failed?"""

import numpy as np

from ..sampling.weights import some_draws
from .evidence import Evidence
from .finding import Finding
from .registry import register

NAME = "failures at the draws"


@register(NAME, place=96)
def judge_failed_runs(evidence: Evidence) -> list[Finding]:
    """Counts draws whose new runs failed."""
    runs = evidence.predictive
    if runs is None or not runs.n_failed:
        return []
    total = runs.total
    text = f"Check: {runs.n_failed} of {total} draws have runs that failed; "
    counted = "" if runs.penalty is None else f"each counts as distance {runs.penalty:g}."
    text += counted or "they are left out of the numbers."
    numbers = {"failed": float(runs.n_failed), "expected": _expected(evidence, total)}
    # Draws are of parameters that may succeed, and some of these fail now and then; two runs were made at each.
    if runs.n_failed <= numbers["expected"] + 3 * np.sqrt(numbers["expected"]) + 1:
        return [Finding("note", f"{text} As many were to be expected.", check=NAME, numbers=numbers)]
    return [Finding("care", text, "See where they fail, and simulate more there.", NAME, numbers)]


def _expected(evidence: Evidence, total: int) -> float:
    """How many draws have a failing run among two, by the learned probability of success; 0 where none is."""
    cost = evidence.posterior.cost
    if cost.success is None:
        return 0.0
    theta = some_draws(evidence.draws, 500)
    success = np.exp(np.asarray(cost.log_success(theta, evidence.posterior.conditions or None), np.float64))
    return float(total * np.mean(1 - success**2))
