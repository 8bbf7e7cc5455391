"""The verdict of a report: what is fine, what is not, and the remedy, in plain words and with the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .cost_forms import NetworkForm
from .diagnostics import PredictiveCheck, inaccurate
from .evidence import Evidence, gathered
from .plot_support import number
from .plots import accuracy, fit_records
from .posterior import GibbsPosterior
from .sampling import Draws
from .simulations import Simulations

EDGE = 0.05  # "at a bound" is within this share of the prior's width
# Posterior standard deviations by which the network's error may move a mean before it needs care.
MEAN_CARE = 0.25
REFINE = "genbayes refine"


class Finding(NamedTuple):
    """One statement of the verdict.

    Attributes:
        level: "ok", "note", "care" or "bad".
        text: what was found, with its numbers, in plain words.
        remedy: what to do about it; empty where there is nothing to do.
        check: name of the check.
        numbers: what the finding rests on, name -> number.
    """

    level: str
    text: str
    remedy: str = ""
    check: str = ""
    numbers: Mapping[str, float] = {}

    @property
    def full(self) -> str:
        """Text and remedy."""
        return f"{self.text} {self.remedy}".strip()


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
    agreement = _agreement(check)
    agrees = check is not None and not any(one.check == "cost" and one.level in ("care", "bad") for one in agreement)
    result = [Finding("care", str(text), check="given") for text in warnings]
    result += _support(evidence, posterior, agrees, check is not None, crowded)
    misspecified = evidence.support is not None and not evidence.support.inside
    position = _position(evidence, agrees or check is None or misspecified)
    # Where the simulator is at fault, what it misses leads to the fault; where the network is, that is its consequence.
    result += [*_bounds(crowded), *(position if misspecified else []), *_failures(simulations), *_sampling(draws)]
    result += [*_fit(posterior.cost), *_extrapolation(evidence, agrees), *agreement, *_means(evidence)]
    result += [] if misspecified else position
    return ordered(result)


def ordered(found: list[Finding]) -> list[Finding]:
    """What needs care before what is fine before notes; otherwise the order stays: causes before their effects."""
    rank = {"bad": 0, "care": 0, "ok": 1, "note": 2}
    return sorted(found, key=lambda finding: rank[finding.level])


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


def _support(evidence: Evidence, posterior: Any, agrees: bool, checked: bool, crowded: list[tuple]) -> list[Finding]:
    """Whether the simulator could have made the observation, and whether the network knows the like of it."""
    support = evidence.support
    if support is None:
        return []
    numbers = {
        "p_value": support.p_value,
        "isolation": support.isolation,
        "least_cost": support.least_cost,
        "least_cost_value": support.cost,
        "usual_least_cost": support.usual_cost[0],
    }
    level = "bad" if support.hopeless else "care"
    found = []
    slips = f"it would be an ordinary output after {'; or '.join(evidence.slips)}"
    if evidence.slips and support.hopeless:
        text = f"Units: the observation is far from everything that the simulator makes, and {slips}."
        remedy = "Check the units, logarithms and order of the observation's values against the simulator's."
        found.append(Finding(level, text, remedy, "units", numbers))
    usual = f"p = {support.p_value:.2g} against {support.held_out} held-out simulations"
    if support.inside:
        text = f"Support: the observation is like outputs of the simulator ({usual})."
        return [Finding("ok", text, check="support", numbers=numbers)]
    why = _why(support)
    certain = support.p_value <= 0.01
    text = "Misspecified: hardly any simulation is" if certain else "Perhaps misspecified: few simulations are"
    text += f" like the observation ({usual}): {why}."
    if level == "care":
        text += " The answer is a best compromise, not a parameter that explains the data."
    else:
        text += " That is too far for a compromise: the data, the prior or the simulator is wrong."
    if not certain:
        text += " (One in twenty outputs of a right simulator is as unusual.)"
    names = ", ".join(f"{item[0]} at its {item[1]} bound" for item in crowded[:4])
    if crowded and not support.hopeless:
        remedy = f"First widen or move the prior, if such values are possible ({names}), and simulate again; then look "
        remedy += "for a mistake in the simulator."
    else:
        remedy = (
            "Check the data (units, order, outliers) and the simulator (a sign, a unit, a missing process); see below "
        )
        remedy += "which parts of the data it misses."
        if crowded:
            remedy += f" Widen or move the prior, if such values are possible ({names})."
        if not support.hopeless:
            remedy += " If both are right, choose a distance and a beta that forgive what the simulator cannot do."
    if evidence.slips and not support.hopeless:
        remedy = f"First rule out a slip in the data: {slips}. {remedy.replace('First widen', 'Then widen', 1)}"
    found.append(Finding(level, text, remedy, "support", numbers))
    if support.training is not None and support.training <= 0.01 and isinstance(posterior.cost.form, NetworkForm):
        found.append(_extrapolating(support.training, agrees, checked))
    return found


def _why(support: Any) -> str:
    usual = f"{number(support.usual_cost[0])} is usual, {number(support.usual_cost[1])} at the 95 % limit"
    cost = f"the least expected distance over parameters is {number(support.cost)} ({usual})"
    if support.isolation < support.least_cost:
        return f"it lies apart from the simulated outputs; {cost}"
    return f"no parameter comes near it; {cost}"


def _extrapolating(training: float, agrees: bool, checked: bool) -> Finding:
    """Of a general network, in the observation."""
    text = "Extrapolating: the general network was trained on targets near the simulations, and the observation lies "
    text += f"farther out than {1 - training:.1%} of them."
    numbers = {"training": training}
    if agrees:
        text += " New runs at the draws agree with its cost, so it can be used here."
        return Finding("note", text, check="extrapolation in x", numbers=numbers)
    if checked:
        text += " New runs at the draws contradict its cost: do not trust it here."
    else:
        text += " No new runs have confirmed its cost."
    remedy = "Use a distance with a feature map or an additive one, whose cost holds for any observation; or refine."
    return Finding("bad" if checked else "care", text, remedy, "extrapolation in x", numbers)


def _extrapolation(evidence: Evidence, agrees: bool) -> list[Finding]:
    """In the parameters."""
    far = evidence.extrapolation
    if far is None:
        return []
    numbers = {"p_value": far.p_value, "share": far.share, "distance": far.distance}
    if far.inside:
        text = f"Training: simulated parameters lie around the draws as usual (p = {far.p_value:.2g})."
        return [Finding("ok", text, check="extrapolation in theta", numbers=numbers)]
    text = f"Extrapolating: few simulations lie where the draws are; these are {far.distance:.2g} times as far from "
    text += f"simulated parameters as those from one another (p = {far.p_value:.2g})."
    if agrees:
        text += " New runs at the draws agree with the network's cost, so it holds there."
        return [Finding("note", text, check="extrapolation in theta", numbers=numbers)]
    remedy = f"Do not trust the network there: add simulations at the draws ({REFINE}), or choose a prior around them."
    return [Finding("care", text, remedy, "extrapolation in theta", numbers)]


def _sampling(draws: Any) -> list[Finding]:
    rhat, ess = float(np.max(draws.rhat)), float(np.min(draws.ess_bulk))
    numbers = {"rhat": rhat, "ess_bulk": ess}
    if "divergences" in getattr(draws, "statistics", {}):
        numbers["divergences"] = float(np.sum(draws.statistics["divergences"]))
    if not draws.outcome.ok:
        messages = draws.outcome.messages or ("it did not succeed.",)
        return [Finding("bad", f"Sampling: {text}", check="sampling", numbers=numbers) for text in messages]
    text = f"Sampling: largest R-hat {rhat:.3f}, smallest effective sample size {ess:.0f}."
    return [Finding("ok", text, check="sampling", numbers=numbers)]


def _fit(cost: Any) -> list[Finding]:
    records = fit_records(cost)
    if not records:
        text = "Cost: not fitted by genbayes (exact or given), so there is no training to judge."
        return [Finding("note", text, check="fit")]
    bad = [
        Finding("bad", " ".join(filter(None, ["Network", getattr(record, "name", "")])) + f": {text}", check="fit")
        for record in records
        if not record.outcome.ok
        for text in record.outcome.messages or ("the fit did not succeed; see its losses.",)
    ]
    return bad or [Finding("ok", "Network: the fit reports no problem.", check="fit")]


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


def _agreement(check: Any) -> list[Finding]:
    if check is None:
        text = "Cost: the network's prediction was not compared with new runs at the draws."
        remedy = "Run genbayes check with new runs (--resimulate), or pass check=gb.check_predictive(simulator, "
        remedy += "posterior, draws, seed=...)."
        return [Finding("care", text, remedy, "cost")]
    result = accuracy(check.predicted, check.simulated)
    far = inaccurate(result.relative, result.relative_error)
    text = (
        f"Cost: at the draws the predicted mean cost is {number(_mean(check.predicted))}, the re-simulated "
        f"{number(_mean(check.simulated))}: {100 * result.relative:+.1f} % (standard error "
        f"{100 * result.relative_error:.1f} %)."
    )
    remedy = ""
    if far:
        text += " The network is inaccurate where the draws are."
        remedy = f"Add simulations at the draws and fit again ({REFINE}); or simulate more, or lower beta."
    numbers = {"relative_error": result.relative, "standard_error": result.relative_error}
    found = [Finding("care" if far else "ok", text, remedy, "cost", numbers)]
    error = float(getattr(check, "log_density_error", 0.0))
    if error > 0:
        text = f"Resolution: the networks disagree by {error:.2g} in log density between draws"
        numbers = {"log_density_error": error}
        if error > 1:
            text += "; beta is larger than they resolve."
            remedy = f"Lower beta, simulate more, add simulations at the draws ({REFINE}), or fit a larger ensemble."
            found.append(Finding("care", text, remedy, "resolution", numbers))
        else:
            found.append(Finding("ok", text + ", which is little.", check="resolution", numbers=numbers))
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
        found.append(Finding("note", text, check="fit to the data", numbers={"ratio": float(ratio)}))
    if int(check.n_failed):
        text = f"Check: {check.n_failed} runs at the draws failed and are left out of the numbers."
        found.append(Finding("care", text, check="failures at the draws", numbers={"failed": float(check.n_failed)}))
    return found


def _means(evidence: Evidence) -> list[Finding]:
    """Error bars on the posterior means."""
    means = evidence.means
    if means is None:
        return []
    # A parameter without spread has no mean to be wrong about.
    std = np.where(means.std > 0, means.std, np.inf)
    shift, members = np.where(means.significant, means.shift, 0.0) / std, means.member_error / std
    numbers = {"shift": float(np.max(np.abs(shift))), "members": float(np.max(members))}
    worst = int(np.argmax(np.abs(shift)))
    remedy = f"Add simulations at the draws and fit again ({REFINE}); or simulate more."
    if abs(shift[worst]) > MEAN_CARE:
        if abs(shift[worst]) > 1:
            # An estimate to first order: how far beyond cannot be said.
            text = "Means: new runs at the draws contradict the network: its error puts the mean of "
            side = "low" if shift[worst] > 0 else "high"
            text += f"{means.names[worst]} too {side} by more than a posterior standard deviation."
            return [Finding("bad", text, remedy, "means", numbers)]
        text = f"Means: new runs put the mean of {means.names[worst]} at {number(means.corrected[worst])} (standard "
        text += f"error {number(means.shift_error[worst], 2)}), not {number(means.mean[worst])}: the network's error "
        text += f"moves it by {abs(shift[worst]):.2g} posterior standard deviations."
        return [Finding("care", text, remedy, "means", numbers)]
    worst = int(np.argmax(members))
    if members[worst] > 0.5:
        text = (
            f"Means: the ensemble leaves the mean of {means.names[worst]} uncertain by {members[worst]:.2g} posterior "
        )
        text += f"standard deviations ({number(means.mean[worst])} +- {number(means.member_error[worst], 2)})."
        return [Finding("care", text, remedy + " A larger ensemble tells more.", "means", numbers)]
    least = np.nanmax(np.where(np.isfinite(means.shift_error), means.shift_error, 0.0) / std)
    if not np.any(np.isfinite(means.shift)):
        if not np.any(means.member_error > 0):
            return []
        text = f"Means: the ensemble leaves them uncertain by at most {members[worst]:.2g} standard deviations."
        return [Finding("ok", text, check="means", numbers=numbers)]
    text = "Means: no error of the network is seen in the posterior means; new runs would show one of "
    text += f"{3 * least:.2g} posterior standard deviations."
    return [Finding("ok", text, check="means", numbers={**numbers, "resolved": float(3 * least)})]


def _position(evidence: Evidence, simulator: bool) -> list[Finding]:
    """Where the observation falls among runs at the draws, and whether the simulator is to blame, or the network."""
    position = evidence.position
    if position is None:
        return []
    numbers = {"p_value": position.p_value, "outside": float(position.outside.sum())}
    worst = [_place(position, int(j)) for j in position.order[:3] if position.outside[j]]
    if position.inside or not worst:
        text = f"Prediction: the observation is like the runs at the draws (p = {position.p_value:.2g} for "
        many = len(position.names)
        return [Finding("ok", text + (f"all {many} coordinates)." if many > 1 else "it)."), "", "prediction", numbers)]
    count, many = int(position.outside.sum()), len(position.names)
    text = f"Prediction: the observation lies outside the runs at the draws in {count} of {many} coordinates: "
    text += f"{'; '.join(worst)}{'; ...' if count > len(worst) else '.'}"
    remedy = "These parts of the data drive the misfit: check them, and the part of the simulator that makes them; or "
    remedy += "give them less weight in the distance. If the model is right, a larger beta may get closer."
    if not simulator:
        remedy = "See to the network first: its inaccurate cost may have led the draws astray."
    return [Finding("care", text, remedy, "prediction", numbers)]


def _place(position: Any, j: int) -> str:
    low, high = position.quantiles[0, j], position.quantiles[4, j]
    return f"{position.names[j]} is {position.observed[j]:.4g}, 90 % of runs {low:.4g} to {high:.4g}"


def _bounds(crowded: list[tuple[str, str, float, float]]) -> list[Finding]:
    text = "Prior: {3:.0%} of the draws of {0} lie at its {1} bound {2:g}"
    remedy = "If values there and beyond are possible, widen or move the prior and simulate again."
    return [
        Finding("care", text.format(*item) + ".", remedy, "bounds", {f"{item[0]} {item[1]}": item[3]})
        for item in crowded
    ] or [Finding("ok", "Prior: no parameter crowds at a bound.", check="bounds")]


def _mean(values: Any) -> float:
    values = np.asarray(values, float)
    return float(np.mean(values[np.isfinite(values)]))
