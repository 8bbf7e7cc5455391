"""`noise_floor`: the smallest beta at which runs are as near to the observation as to one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..distances import Distance
from ..runtime.figure_style import ACCENT, POSTERIOR, PRIOR, SMALL, cost_scale, subplots
from ..runtime.formatting import plain, short_number
from ..runtime.outcome import Outcome
from ..runtime.units import unit_label, unit_of_beta
from ..simulations.executors import Workers
from ..simulations.rows import Simulations
from ..simulations.run_limits import bounded
from ..simulations.simulators import AnySimulator
from .choice import Choice, checked_grid
from .ladders import Ladder
from .likelihood_ratios import Ratios, exact_runs, ratios, stored_runs
from .replicates import (
    LEAST_ROWS,
    NO_NOISE,
    Replicates,
    checked_pairs,
    of_pairs,
    of_rows,
    simulated_pairs,
    some_draws,
    spread_out,
)
from .rules import Question, Rule, RuleOption, register

if TYPE_CHECKING:
    import matplotlib.figure

NAME = "noise_floor"
# Share of the expected cost below which the distance of two runs is a rounding error.
_EXACT = 1e-12
# Share of the simulator's own outputs as far as the observation, below which it looks misspecified.
_RARE = 0.05
ASSUMES = (
    "Assumes that an observation can at best be as near to runs of the simulator as these are to one another, and that "
    "nearer than that is noise."
)
ASSUMES_ERROR = (
    "Assumes that the measurement error is as large as was said: beta follows from it alone, and not from how far the "
    "best fit is from the observation."
)


def noise_floor(
    ladder: Ladder,
    *,
    simulator: AnySimulator | None = None,
    pairs: tuple[Any, Any, Any] | None = None,
    simulations: Simulations | None = None,
    n: int = 200,
    seed: int,
    distance: Distance | None = None,
    workers: Workers = 1,
    timeout: int | float | None = None,
    memory: int | str | None = None,
    progress: bool = True,
) -> Choice:
    """Chooses the smallest beta whose expected cost reaches the replicate distance of its own posterior.

    Where the cost knows a measurement error and the simulator has no noise, both follow from the error, and the
    residuals of one observation would leave the meeting open by a factor: it is found for outputs like the observation
    instead, with errors drawn anew (likelihood_ratios.py).

    The replicate distance, of two runs at one parameter, is measured at some draws of the whole ladder and averaged for
    each beta with the weight that its posterior gives them. One of three sources:

    Args:
        ladder: of the observation.
        simulator: as given to `simulate`; it is run twice at `n` draws.
        pairs: parameters (m, dim) near the posterior and two outputs at each, (m, *x_shape) and (m, *x_shape), that
            exist already; all count alike.
        simulations: stored runs at draws of the prior; none are added. Row i is taken as the observation:
            cost(theta_i, x_i) is, on average over x_i, the distance of two runs at theta_i. Rows that the cost is known
            to have been fitted on are left out where 30 others are there. At large beta few rows lie near the
            posterior; the mean is then taken over the nearest ones that are worth 30.
        n: number of draws to run at, spread over the ladder.
        seed: of the new runs; another one than that of the training simulations.
        distance: needed only for `Cost.exact`, with a simulator or pairs.
        workers: see `simulate`.
        timeout: of one run, in seconds; see `simulate`.
        memory: of one run; see `simulate`.
        progress: show a progress bar.

    Returns:
        The choice. Where the floor is not reached, beta is the one beyond which the expected cost falls by less than 5
        % of the least cost, and `outcome` says whether that means a wrong simulator: it does where fewer than 5 % of
        simulated outputs would themselves cost as much as the observation.

    Raises:
        ValueError: none or several sources, sources of wrong shapes or with NaN, too few runs that succeed, or a
            ladder of one beta; or a deterministic simulator, whose runs at one parameter are all the same.

    Example:
        >>> choice = gb.temperature.noise_floor(ladder, simulator=simulator, seed=1)
        >>> choice.beta, choice.finding
    """
    if sum(source is not None for source in (simulator, pairs, simulations)) != 1:
        raise ValueError("give one source of replicate distances: simulator, pairs or simulations.")
    checked_grid(ladder.betas)
    who = bounded(workers, timeout, memory)
    if ladder.cost.measurement_error is not None and pairs is None:
        if simulations is not None:
            exact = stored_runs(ladder, simulations)
        else:
            assert simulator is not None  # the one source that is left
            theta = some_draws(ladder, n)
            exact = exact_runs(ladder, simulator, theta, seed=seed, workers=who, progress=progress)
        of_error = ratios(ladder, exact, of_prior=simulations is not None, seed=seed)
        if of_error is not None:
            return _chosen_by_ratios(ladder, of_error)
    if simulations is not None:
        found = of_rows(ladder, simulations)
    else:
        distance = ladder.cost.distance if distance is None else distance.fitted(ladder.x_o[None])
        if simulator is not None:
            pairs = simulated_pairs(ladder, simulator, n, seed=seed, workers=who, progress=progress)
        theta, x, again = checked_pairs(ladder, pairs)
        found = of_pairs(ladder, distance, theta, x, again, at_draws=simulator is not None)
    exact = not np.any(found.distance > _EXACT * np.max(ladder.mean_cost))
    silent = simulations is not None and simulations.deterministic and ladder.cost.measurement_error is None
    if exact or silent:
        raise ValueError(NO_NOISE.format(needs="the distance of two runs at one parameter"))
    if len(found.distance) < LEAST_ROWS:
        raise ValueError(
            f"{len(found.distance)} replicate distances are too few to average; give {LEAST_ROWS} or more: a larger n."
        )
    return _chosen(ladder, found)


def _chosen_by_ratios(ladder: Ladder, found: Ratios) -> Choice:
    """Where what draws cost more than the true parameters is what the errors make of it."""
    logs, gap = np.log(ladder.betas), np.log(found.beta / ladder.betas)
    fine = np.linspace(logs[0], logs[-1], 50 * len(logs))
    ends = [np.interp(fine, logs, gap + shift * found.error) for shift in (0, -2, 2)]
    beta, soonest, latest = (_first(np.exp(fine), end) for end in ends)
    messages = list(ladder.outcome.messages)
    if beta is None or beta <= ladder.betas[0]:
        side, end = ("higher", ladder.betas[-1]) if beta is None else ("lower", ladder.betas[0])
        beta = float(found.beta[-1] if beta is None else found.beta[0])
        messages.append(
            f"The error asks for a beta of about {beta:.4g}, beyond the end of the ladder at {end:.4g}: make one with "
            f"a {side} end."
        )
    place = int(np.argmin(np.abs(np.log(ladder.betas / beta))))
    as_far = float(found.as_far[place])
    if as_far < _RARE:
        messages.append(_looks_misspecified(as_far))
    if found.sparse:
        messages.append(
            "Stored runs are draws of the prior, of which few lie near the posterior: runs at draws would measure it "
            "there (simulator=...)."
        )
    relative = float(found.error[place])
    return Choice(
        rule=NAME,
        beta=beta,
        interval=(
            min(beta * np.exp(-2 * relative), beta if soonest is None else soonest),
            max(beta * np.exp(2 * relative), beta if latest is None else latest),
        ),
        finding=(
            f"At beta {beta:.4g} the costs of draws of the posterior differ as logarithms of likelihood ratios do "
            "under the measurement error that the cost knows: by half their variance over the errors."
        ),
        assumes=ASSUMES_ERROR,
        units=ladder.cost.distance.units,
        names=ladder.prior.names,
        evidence={
            "betas": ladder.betas,
            "excess": found.mean,
            "noise": ladder.betas * found.variance / 2,
            "relative_error": found.error,
            "as_far": found.as_far,
        },
        outcome=Outcome(tuple(messages)),
        misspecified=as_far < _RARE,
    )


@dataclass(frozen=True)
class Floor:
    """The replicate distance along the ladder.

    Attributes:
        distance: mean at each beta, weighted by its posterior, (b,).
        error: its Monte Carlo standard error, (b,).
        rows: how many replicate distances of equal weight the mean is worth, (b,).
        as_far: share of simulated outputs that would cost as much as the observation, (b,).
    """

    distance: Float[np.ndarray, " b"]
    error: Float[np.ndarray, " b"]
    rows: Float[np.ndarray, " b"]
    as_far: Float[np.ndarray, " b"]


def _chosen(ladder: Ladder, found: Replicates) -> Choice:
    """Where the curve of the expected cost meets that of the replicate distance."""
    floor = _floor_of(found)
    beta, soonest, latest = _crossings(ladder, floor)
    messages = list(ladder.outcome.messages)
    misspecified = False
    if beta is None and soonest is not None:
        beta = soonest
        messages.append(
            f"The expected cost comes within two standard errors of the replicate distance at beta {beta:.4g}, but "
            "does not go below it: more runs (n) or draws would tell."
        )
    if beta is None:
        beta, place = _knee(ladder, float(floor.distance[-1])), len(ladder) - 1
        as_far = float(floor.as_far[-1])
        misspecified = as_far < _RARE
        messages += _judge_miss(ladder, as_far, float(floor.distance[-1]))
        finding = _told_missed(ladder, floor, beta)
    else:
        place = int(np.argmin(np.abs(np.log(ladder.betas / beta))))
        finding = (
            f"From beta {beta:.4g} on, runs at draws are as near to the observation as to one another: the replicate "
            f"distance there is {floor.distance[place]:.4g} (+- {floor.error[place]:.2g})."
        )
        if beta <= ladder.betas[0]:
            messages.append(
                "The floor is reached at the smallest beta of the ladder already: the simulator's noise is as large as "
                "anything that its parameters do to this distance, or the ladder starts too high."
            )
    return Choice(
        rule=NAME,
        beta=beta,
        interval=(beta if soonest is None else min(soonest, beta), np.inf if latest is None else latest),
        finding=finding,
        assumes=ASSUMES,
        units=ladder.cost.distance.units,
        names=ladder.prior.names,
        evidence=_evidence(ladder, floor),
        outcome=Outcome((*messages, *_judge_source(ladder, found, floor, place))),
        misspecified=misspecified,
    )


def _floor_of(found: Replicates) -> Floor:
    """Means over the replicate distances, with the weight that each beta's posterior gives them."""
    weights = np.stack([spread_out(row) for row in found.log_weights])
    mean = weights @ found.distance
    return Floor(
        mean,
        np.sqrt(np.sum(weights**2 * (found.distance[None] - mean[:, None]) ** 2, axis=1)),
        1 / np.sum(weights**2, axis=1),
        np.sum(weights * (found.own >= found.cost)[None], axis=1),
    )


def _crossings(ladder: Ladder, floor: Floor) -> tuple[float | None, float | None, float | None]:
    """Where the two curves meet, and where they do with two standard errors in favour and against; None if nowhere."""
    logs = np.linspace(np.log(ladder.betas[0]), np.log(ladder.betas[-1]), 50 * len(ladder))
    fine = np.exp(logs)
    gap = ladder.curve(logs) - np.interp(logs, np.log(ladder.betas), floor.distance)
    noise = np.interp(logs, np.log(ladder.betas), np.hypot(floor.error, ladder.cost_error))
    return _first(fine, gap), _first(fine, gap - 2 * noise), _first(fine, gap + 2 * noise)


def _told_missed(ladder: Ladder, floor: Floor, beta: float) -> str:
    return (
        f"The floor is never reached: the expected cost tends to {ladder.least_cost:.4g}, and the replicate "
        f"distance is {floor.distance[-1]:.4g} (+- {floor.error[-1]:.2g}). Beta {beta:.4g} is where the expected cost "
        "comes within 5 % of the least, so that a larger one hardly improves the fit."
    )


def _judge_source(ladder: Ladder, found: Replicates, floor: Floor, place: int) -> list[str]:
    """What the source of the replicate distances lets one doubt at the chosen beta."""
    messages = []
    if found.fitted:
        messages.append(
            "The stored runs are those that the cost was fitted on, so that the replicate distance may come out "
            "somewhat too small, and beta too large: runs at draws would measure it (simulator=...)."
        )
    if found.sparse and floor.rows[place] < 1.05 * LEAST_ROWS:
        messages.append(
            f"At beta {ladder.betas[place]:.4g} the posterior is narrower than the spacing of the simulations, and the "
            f"replicate distance is that of the {LEAST_ROWS} nearest of them: runs at draws would measure it "
            "(simulator=...)."
        )
    return messages


def _evidence(ladder: Ladder, floor: Floor) -> dict[str, np.ndarray]:
    return {
        "betas": ladder.betas,
        "mean_cost": ladder.mean_cost,
        "cost_error": ladder.cost_error,
        "least_cost": np.asarray(ladder.least_cost),
        "replicate": floor.distance,
        "replicate_error": floor.error,
        "replicate_rows": floor.rows,
        "as_far": floor.as_far,
    }


def _judge_miss(ladder: Ladder, as_far: float, floor: float) -> list[str]:
    """What it means that the floor is never reached."""
    messages = []
    if ladder.mean_cost[-1] - ladder.least_cost > 0.05 * max(ladder.least_cost, floor):
        messages.append(
            f"The expected cost still falls at the top of the ladder, beta {ladder.betas[-1]:.4g}: make one with a "
            "larger top before reading anything into the floor."
        )
    if as_far < _RARE:
        messages.append(_looks_misspecified(as_far))
    else:
        messages.append(
            f"The floor is not reached, but {as_far:.0%} of the simulator's own outputs at these parameters would cost "
            "as much as the observation: no sign of a wrong simulator, only of one noisy observation. Prefer the rule "
            "calibrated."
        )
    return messages


def _looks_misspecified(as_far: float) -> str:
    return (
        f"The simulator looks misspecified: {as_far:.1%} of its own outputs at these parameters would cost as much "
        "as the observation. The posterior is that of the best compromise, and no beta makes it fit: look at the "
        "predictive check, and at what the simulator lacks."
    )


def _first(betas: Float[np.ndarray, " k"], gap: Float[np.ndarray, " k"]) -> float | None:
    """The smallest of many betas at which the gap is closed."""
    closed = gap <= 0
    return float(betas[np.argmax(closed)]) if np.any(closed) else None


def _knee(ladder: Ladder, floor: float) -> float:
    """Where the expected cost comes within 5 % of the least; the top of the ladder if nowhere."""
    logs = np.linspace(np.log(ladder.betas[0]), np.log(ladder.betas[-1]), 50 * len(ladder))
    near = _first(np.exp(logs), ladder.curve(logs) - ladder.least_cost - 0.05 * max(ladder.least_cost, floor))
    return float(ladder.betas[-1]) if near is None else near


def choose(question: Question) -> Choice:
    """By runs at draws, or by stored runs where none are to be made."""
    n = question.options["resimulate"]
    if not n or question.simulator is None:
        return noise_floor(question.ladder, simulations=question.simulations, seed=question.run_seed)
    return noise_floor(
        question.ladder,
        simulator=question.simulator,
        n=n,
        seed=question.run_seed,
        workers=question.workers,
        progress=question.progress,
    )


def draw(chosen: Choice) -> matplotlib.figure.Figure:
    """Expected cost and replicate distance with two standard errors; they meet at the chosen beta."""
    e = chosen.evidence
    figure, axes = subplots(1, 1, (5.4, 3.9))
    ax = axes[0, 0]
    if "excess" in e:
        curves = [
            (e["excess"], e["relative_error"] * e["excess"], POSTERIOR, "draws cost more than the truth"),
            (e["noise"], e["relative_error"] * e["noise"], PRIOR, "what the error makes of it"),
        ]
    else:
        curves = [
            (e["mean_cost"], e["cost_error"], POSTERIOR, "expected cost: draws to the observation"),
            (e["replicate"], e["replicate_error"], PRIOR, "replicate distance: two runs at a draw"),
        ]
    for mean, error, colour, label in curves:
        ax.plot(e["betas"], mean, color=colour, linewidth=1.5, label=label)
        ax.fill_between(e["betas"], mean - 2 * error, mean + 2 * error, color=colour, alpha=0.25, linewidth=0)
    ax.axvline(chosen.beta, color=ACCENT, linewidth=1.2, label=f"β = {short_number(chosen.beta)}")
    ax.set_xscale("log")
    cost_scale(ax, np.concatenate([curve[0] for curve in curves]))
    ax.set_xlabel(plain(f"inverse temperature β, {unit_of_beta(chosen.units)}", 60))
    ax.set_ylabel(plain(unit_label(chosen.units), 40))
    figure.legend(frameon=False, fontsize=SMALL, loc="outside lower center")
    return figure


register(
    Rule(
        NAME,
        choose,
        "runs the simulator at draws (--resimulate 0: takes stored runs instead)",
        "noise_floor: beta is where the expected cost meets the replicate distance (bands: two errors).",
        draw,
        (RuleOption("--resimulate", 200, "draws to run the simulator at, twice each, for noise_floor (default: 200)"),),
        place=10,
    )
)
