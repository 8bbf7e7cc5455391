"""The verdict of a report: what is fine, what is not, and the remedy, in plain words and with the numbers."""

from typing import Any, NamedTuple

import numpy as np

from .plot_support import number
from .plots import accuracy, fit_records

EDGE = 0.05  # "at a bound" is within this share of the prior's width


class Finding(NamedTuple):
    """One statement of the verdict: level "ok", "note", "care" or "bad", and its plain text."""

    level: str
    text: str


def findings(posterior: Any, draws: Any, check: Any, simulations: Any, warnings: Any = ()) -> list[Finding]:
    """Returns every finding of a run, the worst first.

    Args:
        posterior: The `GibbsPosterior`.
        draws: Its `Draws`.
        check: The `PredictiveCheck`, or None.
        simulations: The training `Simulations`, or None.
        warnings: Further texts of the caller, shown as points that need care.
    """
    result = [Finding("care", str(text)) for text in warnings]
    result += _sampling(draws)
    result += _fit(posterior.cost)
    result += _failures(simulations)
    result += _agreement(check)
    result += _bounds(posterior.prior, draws)
    order = {"bad": 0, "care": 1, "ok": 2, "note": 3}
    return sorted(result, key=lambda finding: order[finding.level])


def headline(found: list[Finding]) -> tuple[str, str]:
    """Returns the level and the sentence that stands above all findings."""
    levels = [finding.level for finding in found]
    if "bad" in levels:
        return "bad", "Do not rely on this result yet"
    care = levels.count("care")
    if care:
        return "care", f"Usable with care: {care} point{'s' * (care > 1)} to look at"
    return "ok", "No problem found"


def at_bounds(prior: Any, theta: np.ndarray) -> list[tuple[str, str, float, float]]:
    """Finds parameters that crowd at a bound of the prior.

    Args:
        prior: A `Prior` with `bounds` (dim, 2) and `sample`.
        theta: Draws (n, dim).

    Returns:
        (name, "lower" or "upper", bound, share of draws there) where more than 10 % of the draws lie within 5 % of the
        prior's width of the bound, and more than twice as many as of the prior itself.
    """
    before, bounds = np.asarray(prior.sample(4000, seed=0), float), np.asarray(prior.bounds, float)
    found = []
    for j, name in enumerate(prior.names):
        finite = np.isfinite(bounds[j]).all()
        width = np.ptp(bounds[j]) if finite else np.ptp(np.quantile(before[:, j], [0.05, 0.95]))
        for side, bound in zip(("lower", "upper"), bounds[j], strict=True):
            share, usual = (np.mean(np.abs(values[:, j] - bound) <= EDGE * width) for values in (theta, before))
            if np.isfinite(bound) and share > max(0.1, 2 * usual):
                found.append((name, side, float(bound), float(share)))
    return found


def _sampling(draws: Any) -> list[Finding]:
    if not draws.outcome.ok:
        return [Finding("bad", f"Sampling: {text}") for text in draws.outcome.messages or ("it did not succeed.",)]
    rhat, ess = np.max(draws.rhat), np.min(draws.ess_bulk)
    text = f"Sampling: largest R-hat {rhat:.3f}, smallest effective sample size {ess:.0f}."
    return [Finding("ok", text)] + [Finding("note", f"Sampling: {message}") for message in draws.outcome.messages]


def _fit(cost: Any) -> list[Finding]:
    records = fit_records(cost)
    if not records:
        return [Finding("note", "Cost: not fitted by genbayes (exact or given), so there is no training to judge.")]
    bad = [
        Finding("bad", " ".join(filter(None, ["Network", getattr(record, "name", "")])) + f": {text}")
        for record in records
        if not record.outcome.ok
        for text in record.outcome.messages or ("the fit did not succeed; see its losses.",)
    ]
    return bad or [Finding("ok", "Network: the fit reports no problem.")]


def _failures(simulations: Any) -> list[Finding]:
    if simulations is None:
        return []
    n, failed = len(simulations.theta), int(simulations.n_failed)
    if failed == 0:
        return [Finding("ok", f"Simulations: none of {n:,} failed.")]
    status = np.asarray(simulations.status)
    reasons = [f"{reason} ({int((status == k).sum()):,})" for k, reason in enumerate(simulations.reasons) if k >= 2]
    share = failed / n
    text = f"Simulations: {failed:,} of {n:,} failed ({100 * share:.1f} %): {', '.join(reasons)}. "
    text += "The cost is that of the runs that succeed"
    if share <= 0.01:
        return [Finding("note", text + ".")]
    return [Finding("care", text + "; see where in the prior they fail, and whether such parameters are plausible.")]


def _agreement(check: Any) -> list[Finding]:
    if check is None:
        remedy = "pass check=gb.check_predictive(simulator, posterior, draws, seed=...)."
        return [
            Finding("care", f"Cost: the network's prediction was not compared with new runs at the draws; {remedy}")
        ]
    result = accuracy(check.predicted, check.simulated)
    far = abs(result.relative) > 0.1 and abs(result.relative) > 2 * result.relative_error
    text = (
        f"Cost: at the draws the predicted mean cost is {number(_mean(check.predicted))}, the re-simulated "
        f"{number(_mean(check.simulated))}: {100 * result.relative:+.1f} % (standard error "
        f"{100 * result.relative_error:.1f} %)."
    )
    if far:
        text += " The network is inaccurate where the draws are: add simulations at the draws and fit again."
    found = [Finding("care" if far else "ok", text)]
    error = float(getattr(check, "log_density_error", 0.0))
    if error > 0:
        text = f"Resolution: the networks disagree by {error:.2g} in log density between draws"
        more = "; beta is larger than they resolve: lower it, simulate more, or narrow the prior around these draws."
        found.append(Finding("care", text + more) if error > 1 else Finding("ok", text + ", which is little."))
    ratio = _mean(check.simulated) / _mean(check.replicate) if _mean(check.replicate) > 0 else np.nan
    if np.isfinite(ratio):
        text = (
            f"Fit to the data: runs at the draws are {ratio:.2f} times as far from the observation as from each other"
        )
        text += (
            ": the simulator reproduces it to within its own noise."
            if ratio < 1.25
            else "; either a higher beta gets closer, or the simulator cannot reproduce the observation (misspecified)."
        )
        found.append(Finding("note", text))
    if int(check.n_failed):
        found.append(
            Finding("care", f"Check: {check.n_failed} runs at the draws failed and are left out of the numbers.")
        )
    return found


def _bounds(prior: Any, draws: Any) -> list[Finding]:
    found = at_bounds(prior, np.asarray(draws.flat, float))
    text = (
        "Prior: {3:.0%} of the draws of {0} lie at its {1} bound {2:g}; if values beyond are possible, widen the prior "
        "and simulate again."
    )
    return [Finding("care", text.format(*item)) for item in found] or [
        Finding("ok", "Prior: no parameter crowds at a bound.")
    ]


def _mean(values: Any) -> float:
    values = np.asarray(values, float)
    return float(np.mean(values[np.isfinite(values)]))
