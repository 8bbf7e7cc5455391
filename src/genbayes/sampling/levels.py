"""What a cost knows of the integers of a prior, by the runs at their values; and the shares of values in words."""

import numpy as np
from jaxtyping import Float

from ..costs.cost import Cost
from ..priors.integer_parameter import MOST_LEVELS
from ..priors.prior import Prior
from ..runtime.outcome import Outcome

# Runs at a value below which the cost there is little more than what other values say, and the share of the draws
# beyond which that matters.
_FEW_RUNS, _LEAST_SHARE = 20, 0.02


def check_levels(prior: Prior, cost: Cost) -> None:
    """Refuses a prior over real numbers for a parameter that was simulated at whole numbers alone.

    Raises:
        ValueError: there is such a parameter.
    """
    for name in cost.settings.get("runs_at_levels", {}):
        if name in prior.names and name not in prior.integer_names:
            raise ValueError(
                f"the prior of {name} is over real numbers, but the cost was learned at whole numbers of it alone, and "
                "says nothing between them: use the prior of the simulations, or simulate again under this one."
            )


def judge_prior_levels(prior: Prior, cost: Cost) -> Outcome:
    """A cost that was fitted without knowing an integer smooths over its values."""
    known = cost.settings.get("runs_at_levels", {})
    smooth = [
        name
        for name, values in zip(prior.names, prior.levels, strict=True)
        if values is not None and len(values) <= MOST_LEVELS and name not in known
    ]
    if not smooth:
        return Outcome()
    return Outcome(
        (
            f"The cost was fitted without knowing that {', '.join(smooth)} is an integer, and smooths over its values: "
            "fit again to simulations of this prior (of arrays: Simulations.from_arrays(..., prior=prior)).",
        )
    )


def judge_known_levels(cost: Cost, conditions: Float[np.ndarray, "m c"]) -> Outcome:
    """Integers that are known, as conditions or because they are held, at values where hardly anything was simulated.

    Args:
        cost: whose conditions they are.
        conditions: those of every observation.
    """
    messages = []
    for name, counts in cost.settings.get("runs_at_levels", {}).items():
        if name not in cost.condition_names:
            continue
        known = np.unique(conditions[:, cost.condition_names.index(name)])
        runs = {level: count for level, count in counts if count < _FEW_RUNS and level in known}
        if runs:
            told = ", ".join(f"{name} = {level:g} ({count} runs)" for level, count in runs.items())
            messages.append(
                f"There are fewer than {_FEW_RUNS} runs at {told}, where the cost is all but a guess: simulate more "
                "there."
            )
    return Outcome(tuple(messages))


def judge_levels(cost: Cost, theta: Float[np.ndarray, "n dim"]) -> Outcome:
    """Draws of an integer at values where hardly anything was simulated."""
    messages = []
    for name, counts in cost.settings.get("runs_at_levels", {}).items():
        if name not in cost.names:
            continue
        values = theta[:, cost.names.index(name)]
        runs = {level: count for level, count in counts if count < _FEW_RUNS and np.any(values == level)}
        share = float(np.mean(np.isin(values, list(runs))))
        if share > _LEAST_SHARE:
            told = ", ".join(f"{level:g} ({count} runs)" for level, count in runs.items())
            messages.append(
                f"{share:.0%} of the draws are at values of {name} with fewer than {_FEW_RUNS} runs, where the cost is "
                f"all but a guess: {told}. Refine, or simulate more there."
            )
    return Outcome(tuple(messages))


def shares_in_words(shares: dict[int, float], errors: dict[int, float], most: int = 8) -> str:
    """The values of greatest probability in ascending order with their standard errors, and what is left."""
    chosen = sorted(sorted(shares, key=lambda value: -shares[value])[:most])
    known = {value: f" ± {100 * errors[value]:.1g}" if np.isfinite(errors[value]) else "" for value in chosen}
    parts = [f"{value}: {100 * shares[value]:.3g}{known[value]} %" for value in chosen]
    rest = 1 - sum(shares[value] for value in chosen)
    return ", ".join(parts) + (f"; {len(shares) - most} others: {100 * rest:.2g} %" if len(shares) > most else "")
