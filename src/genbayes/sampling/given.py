"""What a posterior is given: inverse temperature and conditions are checked, prior and conditions judged."""

import functools

import numpy as np
from jaxtyping import Array, Float

from ..costs.cost import Conditions, Cost
from ..priors.prior import Prior
from ..runtime.outcome import Outcome
from ..runtime.units import unit_of_beta
from .levels import judge_prior_levels


# Many observations share one prior and cost; the answer is the same for all.
@functools.lru_cache(maxsize=8)
def judge_prior(prior: Prior, cost: Cost) -> Outcome:
    """A prior that reaches beyond the simulated parameters asks the network about places that it has not seen."""
    simulated = cost.settings.get("theta_range")
    if simulated is None:
        return Outcome()
    numeric = judge_prior_levels(prior, cost)
    low, high = np.asarray(simulated)
    theta = np.asarray(prior.sample(1000, seed=0))
    outside = float(np.mean(np.any((theta < low) | (theta > high), axis=1)))
    # n simulations of the same prior leave about 2 dim / n of it outside their range.
    if outside < 0.05 + 4 * prior.dim / cost.settings["simulations"]:
        return numeric
    return Outcome(
        (
            *numeric.messages,
            f"{outside:.0%} of the prior lies outside the range of the simulated parameters, where the cost is a "
            "guess: use the prior of the simulations, or simulate again under this one.",
        )
    )


def checked_conditions(cost: Cost, conditions: Conditions) -> Float[Array, " c"]:
    """The known conditions of one observation, or ValueError."""
    values = cost.check_conditions(conditions)
    if values.ndim != 1 or not np.all(np.isfinite(values)):
        raise ValueError(
            f"conditions must be {len(cost.condition_names)} finite number(s), those of the one observation, got "
            f"{np.asarray(values).tolist()}."
        )
    return values


def judge_conditions(cost: Cost, conditions: Float[Array | np.ndarray, "*m c"]) -> Outcome:
    """Which known conditions, of one observation or of each of m, lie beyond those that were simulated."""
    known = np.atleast_2d(np.asarray(conditions))
    low, high = np.reshape(np.asarray(cost.settings.get("conditions_range", [[], []])), (2, -1))
    if len(low) != known.shape[1]:
        return Outcome()
    messages = []
    for name, values, a, b in zip(cost.condition_names, known.T, low, high, strict=True):
        outside = np.flatnonzero((values < a) | (values > b))
        if not len(outside):
            continue
        subject, first = f"The condition {name} = {values[outside[0]]:.6g}", ""
        if np.ndim(conditions) > 1:
            subject = f"The condition {name} of {len(outside)} of {len(known)} observations"
            first = f" (the first is number {outside[0]}, {name} = {values[outside[0]]:.6g})"
        messages.append(
            f"{subject} lies outside the simulated range {a:.6g} to {b:.6g}, where the cost is a guess{first}: "
            f"simulate again under conditions that cover {'them' if first else 'it'}."
        )
    return Outcome(tuple(messages))


def checked_beta(beta: float | None, units: str) -> float:
    """The inverse temperature as a number, or TypeError or ValueError that says what it weighs."""
    if beta is None:
        raise TypeError(
            "beta is missing, and has no default: it says how strongly the cost speaks against the prior "
            f"({unit_of_beta(units)}). Try a ladder such as 1, 10, 100, and compare the cost of the draws with the "
            "replicate distance of check_predictive: beyond the smallest beta at which they meet, a larger one gains "
            "little."
        )
    if isinstance(beta, bool | str) or np.ndim(beta) != 0:
        raise TypeError(f"beta must be one number, got {beta!r}; make one GibbsPosterior for each beta.")
    value = float(np.asarray(beta))
    if not (np.isfinite(value) and value > 0):
        raise ValueError(
            f"beta must be a finite number greater than 0, got {value!r}. It weighs the cost against the prior "
            f"({unit_of_beta(units)}); beta = 0 would be the prior: prior.sample(n, seed=...)."
        )
    # Below the least normal number the arithmetic may round to 0.
    limits = np.finfo(np.float32)
    if not float(limits.tiny) <= value <= float(limits.max):
        raise ValueError(
            f"beta must lie between {limits.tiny:.2g} and {limits.max:.2g}, for densities are computed in float32, got "
            f"{value!r} ({unit_of_beta(units)}): measure the outputs in other units, or scale the distance."
        )
    return value
