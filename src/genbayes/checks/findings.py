"""The verdict of a report and of `check`: all findings of a run, causes before their effects."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from ..simulations.rows import Simulations
from .evidence import Evidence, gathered
from .finding import Finding, not_judged, ordered
from .on_network import on_agreement, on_extrapolation, on_fit, on_means
from .on_observation import at_bounds, on_bounds, on_position, on_support
from .predictive import PredictiveCheck


def findings(
    posterior: Any,
    draws: Any,
    check: Any,
    simulations: Any,
    warnings: Any = (),
    *,
    evidence: Evidence | None = None,
    kind: str | None = None,
    labels: Sequence[str] | None = None,
) -> list[Finding]:
    """Returns every finding of a run: what needs care first, and of it the likelier causes before their effects.

    Args:
        posterior: The `GibbsPosterior`.
        draws: Its `Draws`.
        check: The `PredictiveCheck`, or None.
        simulations: The training `Simulations`, or None.
        warnings: Further texts of the caller, shown as points that need care.
        evidence: Of `gathered`, where it was called already.
        kind: Kind of output, as in `plots.predictive`.
        labels: Names of the output's coordinates or channels.
    """
    if evidence is None and isinstance(posterior, GibbsPosterior) and isinstance(draws, Draws):
        known = check if isinstance(check, PredictiveCheck) else None
        runs = simulations if isinstance(simulations, Simulations) else None
        evidence = gathered(posterior, draws, known, runs, kind=kind, labels=labels)
    evidence = Evidence() if evidence is None else evidence
    crowded = at_bounds(posterior.prior, np.asarray(draws.flat, float))
    agreement = on_agreement(check)
    agrees = check is not None and not any(one.check == "cost" and one.level in ("care", "bad") for one in agreement)
    result = [Finding("care", str(text), check="given") for text in warnings]
    result += on_support(evidence, posterior, agrees, check is not None, crowded)
    misspecified = evidence.support is not None and not evidence.support.inside
    position = on_position(evidence, agrees or check is None or misspecified)
    # Where the simulator is at fault, what it misses leads to the fault; where the network is, that is its consequence.
    result += [*on_bounds(crowded), *(position if misspecified else []), *_failures(simulations), *_sampling(draws)]
    result += [*on_fit(posterior.cost), *on_extrapolation(evidence, agrees), *agreement, *on_means(evidence)]
    result += [] if misspecified else position
    return ordered([*result, *evidence.missing])


def _failures(simulations: Any) -> list[Finding]:
    if simulations is None:
        return []
    n, failed = len(simulations.theta), int(simulations.n_failed)
    numbers = {"simulations": float(n), "failed": float(failed)}
    if failed == 0:
        return [Finding("ok", f"Simulations: none of {n:,} failed.", check="failures", numbers=numbers)]
    status = np.asarray(simulations.status)
    reasons = [f"{reason} ({int((status == k).sum()):,})" for k, reason in enumerate(simulations.reasons) if k >= 2]
    share = failed / n
    text = f"Simulations: {failed:,} of {n:,} failed ({100 * share:.1f} %): {', '.join(reasons)}. "
    text += "The cost is that of the runs that succeed."
    if share <= 0.01:
        return [Finding("note", text, check="failures", numbers=numbers)]
    remedy = "See where in the prior they fail, and whether such parameters are plausible."
    return [Finding("care", text, remedy, "failures", numbers)]


def _sampling(draws: Any) -> list[Finding]:
    rhat, ess = float(np.max(draws.rhat)), float(np.min(draws.ess_bulk))
    numbers = {"rhat": rhat, "ess_bulk": ess}
    if "divergences" in getattr(draws, "statistics", {}):
        numbers["divergences"] = float(np.sum(draws.statistics["divergences"]))
    unknown = []
    if np.isnan(rhat) or np.isnan(ess):
        chains, each = np.shape(draws.theta)[:2]
        why = f"R-hat and the effective sample size take at least 4 draws a chain (too few draws: {each} a chain)"
        remedy = f"Sample again with at least {max(1000, 4 * chains):,} draws."
        unknown = [not_judged("sampling", why, remedy)._replace(numbers=numbers)]
    if not draws.outcome.ok:
        messages = draws.outcome.messages or ("it did not succeed.",)
        wrong = [Finding("bad", f"Sampling: {text}", check="sampling", numbers=numbers) for text in messages]
        return wrong + unknown
    if unknown:
        return unknown
    text = f"Sampling: largest R-hat {rhat:.3f}, smallest effective sample size {ess:.0f}."
    return [Finding("ok", text, check="sampling", numbers=numbers)]
