"""The check of predictions: where does the observation fall among runs at the draws?"""

from .evidence import Evidence
from .finding import Finding, not_judged
from .position import LEAST_RUNS, PredictivePosition
from .registry import register


def _missing(evidence: Evidence) -> Finding | None:
    if evidence.predictive is None:
        return not_judged("prediction", "no new runs at the draws were given", level="note")
    if evidence.position is None:
        why = f"only {len(evidence.predictive.x)} runs at the draws succeeded, and it takes at least {LEAST_RUNS}"
        return not_judged("prediction", why, "Run the simulator at more draws (genbayes check --resimulate).")
    return None


def _place(evidence: Evidence) -> int:
    """Where the simulator is at fault, what it misses leads to the fault; else a network's fault comes first."""
    return 40 if evidence.misspecified else 110


@register("prediction", place=_place, missing=_missing)
def judge_prediction(evidence: Evidence) -> list[Finding]:
    """Which parts of the data lie outside the runs, and whether the simulator is to blame, or the network."""
    position = evidence.position
    if position is None:
        return []
    numbers = {"p_value": position.p_value, "outside": float(position.outside.sum())}
    worst = [_place_of(position, int(j)) for j in position.order[:3] if position.outside[j]]
    many = len(position.names)
    if position.inside or not worst:
        text = f"Prediction: the observation is like the runs at the draws (p = {position.p_value:.2g} for "
        text += f"all {many} coordinates)." if many > 1 else "it)."
        return [Finding("ok", text, check="prediction", numbers=numbers)]
    count = int(position.outside.sum())
    text = f"Prediction: the observation lies outside the runs at the draws in {count} of {many} coordinates: "
    text += f"{'; '.join(worst)}{'; ...' if count > len(worst) else '.'}"
    if evidence.agrees or evidence.misspecified:
        remedy = "These parts of the data drive the misfit: check them, and the part of the simulator that makes them; "
        remedy += "or give them less weight in the distance. If the model is right, a larger beta may get closer."
    else:
        remedy = "See to the network first: its inaccurate cost may have led the draws astray."
    return [Finding("care", text, remedy, "prediction", numbers)]


def _place_of(position: PredictivePosition, j: int) -> str:
    """Observed value and 90 % range of one coordinate."""
    low, high = position.quantiles[0, j], position.quantiles[4, j]
    return f"{position.names[j]} is {position.observed[j]:.4g}, 90 % of runs {low:.4g} to {high:.4g}"
