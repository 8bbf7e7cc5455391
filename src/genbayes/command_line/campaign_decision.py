"""What a campaign does next, from what its rounds have found: refine, look closer, or end, each by a rule that is told.

The rules in their order:

1. No problem was found at any beta: the campaign ends, "ok".
2. What needs care is nothing that more runs cure (a simulator that cannot make the observation, the sampler, ...): it
   ends, "no help".
3. All that more runs could cure is not judged yet, for too few runs at the draws: it looks closer, with twice as many.
   Where all draws are run already, it ends, "no help".
4. The error of the cost did not fall by a third in the last two refinements, although the runs at draws have at least
   tripled by them: it ends, "no help".
5. It refines, with as many new runs as all refinements before together (the first with a number that was given).
6. Where the budget does not hold what is to be done, less is refined, and it ends, "budget", below a least number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

# Checks whose findings more runs at the draws may cure: they judge what was learned, and where. The others judge the
# observation, the simulator, the prior, the sampler.
CURED_BY_RUNS = frozenset({"held-out simulations", "extrapolation in theta", "cost", "resolution", "means"})
# Share by which the error has to fall in two refinements. Noise alone falls by more than a half where runs quadruple.
LEAST_GAIN = 1 / 3
# Factor by which the runs at draws have to have grown in two refinements for rule 4.
GROWN = 3
# New runs below which a refinement is not worth a fit.
LEAST_RUNS = 40

Step = Literal["simulate", "refine", "look closer", "end"]
Ending = Literal["", "ok", "no help", "budget"]


@dataclass(frozen=True)
class Point:
    """One thing that needs care.

    Attributes:
        check: name of the check that found it.
        level: "care" or "bad".
        judged: False where the check could not be made.
        text: what was found.
    """

    check: str
    level: str
    judged: bool
    text: str

    @property
    def cured_by_runs(self) -> bool:
        """Whether more runs may do away with it."""
        return self.check in CURED_BY_RUNS


@dataclass(frozen=True)
class Judged:
    """What a round's check has found at one inverse temperature.

    Attributes:
        beta: inverse temperature.
        level: of the verdict, "ok", "care" or "bad".
        headline: the verdict in one sentence.
        points: what needs care.
        error: of the log density by new runs and by the ensemble, in multiples of what would matter; 1 is what the
            checks warn of.
        nats: the same errors in nats, each by its name.
        runs: of the simulator that the check has taken.
    """

    beta: float
    level: str
    headline: str
    points: tuple[Point, ...]
    error: float
    nats: dict[str, float]
    runs: int


@dataclass(frozen=True)
class Round:
    """What was done in one round of a campaign, and what it has led to.

    Attributes:
        number: from 0.
        step: "simulate" (the first one), "refine", or "look closer": the same draws, with more runs at them.
        prior_runs: simulations of draws of the prior, so far.
        refined_runs: simulations of refinements, so far.
        draws_run: draws at which the simulator was run, twice, for each beta.
        judged: one for each beta.
    """

    number: int
    step: Step
    prior_runs: int
    refined_runs: int
    draws_run: int
    judged: tuple[Judged, ...]

    @property
    def error(self) -> float:
        """The largest of all inverse temperatures, in multiples of what would matter."""
        return max(one.error for one in self.judged)

    @property
    def level(self) -> str:
        """Of the worst verdict."""
        return max((one.level for one in self.judged), key=("ok", "care", "bad").index)


@dataclass(frozen=True)
class Plan:
    """What bounds a campaign.

    Attributes:
        budget: most runs of the simulator, those of the checks included.
        first: runs of the first refinement.
        most_draws: draws that there are at each beta.
    """

    budget: int
    first: int
    most_draws: int


@dataclass(frozen=True)
class Decision:
    """What to do next.

    Attributes:
        step: "refine", "look closer" or "end".
        why: the reason, in a sentence or two.
        runs: new ones of a refinement.
        draws_run: draws to run at each beta, in the check of the next round.
        ending: how the campaign has ended; empty while it goes on.
    """

    step: Step
    why: str
    runs: int = 0
    draws_run: int = 0
    ending: Ending = ""


def spent(rounds: Sequence[Round]) -> int:
    """Runs of the simulator in all rounds, those of the checks included."""
    if not rounds:
        return 0
    return rounds[-1].prior_runs + rounds[-1].refined_runs + sum(one.runs for row in rounds for one in row.judged)


def decide(rounds: Sequence[Round], plan: Plan) -> Decision:
    """What to do after these rounds; see the text of this module for the rules.

    Args:
        rounds: all that are done, at least one.
        plan: what bounds the campaign.
    """
    last = rounds[-1]
    if last.level == "ok":
        return Decision("end", "No problem was found at any beta.", ending="ok")
    points = [point for one in last.judged for point in one.points]
    curable = [point for point in points if point.cured_by_runs]
    if not curable:
        text = f"What needs care ({_named(points)}) is nothing that more runs cure: read the report for what to do."
        return Decision("end", text, ending="no help")
    left = plan.budget - spent(rounds)
    if not any(point.judged for point in curable):
        return _closer(last, curable, left, plan)
    if (text := _stalled(rounds)) is not None:
        return Decision("end", text, ending="no help")
    return _refined(last, curable, left, plan)


def _closer(last: Round, curable: list[Point], left: int, plan: Plan) -> Decision:
    """More runs at the same draws, where these have left open what they were to judge."""
    draws_run = min(2 * last.draws_run, plan.most_draws)
    named = _named(curable)
    if draws_run == last.draws_run:
        text = f"Runs at all {last.draws_run} draws leave open whether the cost is right ({named}): sample more draws "
        return Decision("end", text + "(-n), or take a smaller beta.", ending="no help")
    cost = 2 * draws_run * len(last.judged)
    if cost > left:
        return Decision("end", f"To judge {named}, {cost} runs at the draws are needed. {_left(left)}", ending="budget")
    text = f"{named} cannot be judged by runs at {last.draws_run} draws: they are made at {draws_run}."
    return Decision("look closer", text[:1].upper() + text[1:], draws_run=draws_run)


def _refined(last: Round, curable: list[Point], left: int, plan: Plan) -> Decision:
    """More runs where the posterior is, as the budget allows."""
    wanted = last.refined_runs or plan.first
    check = 2 * last.draws_run * len(last.judged)
    runs = min(wanted, left - check)
    named = _named(curable)
    if runs < LEAST_RUNS:
        text = f"A refinement for {named} takes at least {LEAST_RUNS} runs, and its check {check}. {_left(left)}"
        return Decision("end", text, ending="budget")
    text = f"More runs at the draws may cure what needs care ({named}): {runs} new ones"
    text += "." if runs == wanted else f", for the budget allows no more ({wanted} were the rule)."
    return Decision("refine", text, runs=runs, draws_run=last.draws_run)


def _stalled(rounds: Sequence[Round]) -> str | None:
    """Why more runs no longer help; None where they may."""
    # Of rounds with the same simulations the last one looked closest.
    latest = {row.refined_runs: row for row in rounds if row.refined_runs}
    if len(latest) < 3:
        return None
    before, _, now = list(latest.values())[-3:]
    grown = now.refined_runs / before.refined_runs
    if grown < GROWN or now.error <= (1 - LEAST_GAIN) * before.error:
        return None
    return (
        f"More runs no longer help: from {before.refined_runs} to {now.refined_runs} runs at draws the error of the "
        f"cost went from {before.error:.2g} to {now.error:.2g} times what would matter, and has not fallen by a third."
    )


def _named(points: Sequence[Point]) -> str:
    return ", ".join(dict.fromkeys(point.check for point in points))


def _left(left: int) -> str:
    return f"Of the budget {max(left, 0)} runs are left."


def error_in_multiples(nats: dict[str, float], limit: float, offset_limit: float) -> float:
    """The largest of several errors of a log density, each over what would matter of it; 0 where none is known.

    Args:
        nats: "offset" and others, by name; NaN where one is not known.
        limit: nats of what varies over the draws that would matter.
        offset_limit: nats of the offset.
    """
    each = [abs(value) / (offset_limit if name == "offset" else limit) for name, value in nats.items()]
    return float(max((value for value in each if np.isfinite(value)), default=0.0))
