"""What is found about the observation, the simulator and the prior, in plain words with numbers and remedy."""

from typing import Any

import numpy as np

from ..costs.forms import NetworkForm
from ..runtime.formatting import number
from .evidence import Evidence
from .finding import Finding

EDGE = 0.05  # "at a bound" is within this share of the prior's width


def on_support(evidence: Evidence, posterior: Any, agrees: bool, checked: bool, crowded: list[tuple]) -> list[Finding]:
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


def on_position(evidence: Evidence, simulator: bool) -> list[Finding]:
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


def on_bounds(crowded: list[tuple[str, str, float, float]]) -> list[Finding]:
    """The parameters that `at_bounds` found."""
    text = "Prior: {3:.0%} of the draws of {0} lie at its {1} bound {2:g}"
    remedy = "If values there and beyond are possible, widen or move the prior and simulate again."
    return [
        Finding("care", text.format(*item) + ".", remedy, "bounds", {f"{item[0]} {item[1]}": item[3]})
        for item in crowded
    ] or [Finding("ok", "Prior: no parameter crowds at a bound.", check="bounds")]
