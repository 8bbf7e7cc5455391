"""`calibrated`: the beta whose credible sets hold the parameters of held-out simulations at their nominal rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from ..costs.cost import Cost, Observed
from ..priors.prior import Prior
from ..runtime.counts import checked_count
from ..runtime.figure_style import ACCENT, LEVEL_COLOURS, OBSERVED, POSTERIOR, PRIOR, SMALL, free_corner, subplots
from ..runtime.formatting import plain, short_number
from ..runtime.outcome import Outcome
from ..runtime.units import unit_of_beta
from ..sampling.ranks import HeldOut, Ranks, band, checked_levels, ranks_of_truth
from ..sampling.smc import SMC
from ..simulations.rows import Simulations
from ..simulations.running import simulate
from .choice import Choice, checked_grid
from .replicates import NO_NOISE
from .rules import Question, Rule, RuleOption, register

if TYPE_CHECKING:
    import matplotlib.figure

NAME = "calibrated"
ASSUMES = (
    "Assumes that the observation is like the simulations: the sets are right on average over simulated outputs of the "
    "whole prior, and nothing is known of an observation that the simulator could not have made."
)
LEVELS = (0.5, 0.8, 0.9)
BETAS = 16
# Levels of the coverage curve at the chosen beta.
CURVE = np.linspace(0.05, 0.95, 19)
_RESAMPLED = 400
# Errors of each held-out run where the cost knows that of the measurement: 200 runs with one error each leave beta of
# one parameter open by 12 %, with four by 6 %; of two parameters by 8 and, with two errors, by 6 %.
_ERRORS_OF_ONE, _ERRORS = 4, 2
# Of draws of the prior beside held-out rows: those are often simulated with seed 0, and would meet themselves.
_SEED_OF_OTHERS = 2**31 + 7


def calibrated(
    prior: Prior,
    cost: Cost,
    simulations: Simulations,
    betas: Sequence[float] | np.ndarray | None = None,
    *,
    levels: Sequence[float] = LEVELS,
    rows: int = 200,
    n: int = 400,
    seed: int,
    sampler: SMC | None = None,
    x_o: Observed | None = None,
    progress: bool = True,
) -> Choice:
    """Chooses the largest beta whose credible sets still cover held-out parameters at their nominal rate.

    Each held-out output is taken as an observation, whose parameter is known, and its posteriors are sampled at the
    whole grid. The set of level q holds the share q of the draws with the highest density; it covers where the true
    parameter's density is among them. From small to large beta the sets first cover by the prior alone (which is
    calibrated, and useless), then too often, then, past the calibrated beta, too seldom. Among the betas beyond the
    largest excess, the one with the smallest mean over levels of (coverage - q)^2 / (q (1 - q)) is chosen (Syring and
    Martin 2019 calibrate one level for one data set by the bootstrap; here many simulated data sets take its place).

    Where the cost knows the error of the measurement, each held-out run is measured twice, that of a single parameter
    four times, which costs no run.

    Args:
        prior: that the simulations were drawn from.
        cost: from a fit on OTHER simulations; coverage of rows that it was fitted on is too good.
        simulations: held-out ones, such as `simulate(simulator, prior, 200, seed=...)` with a seed of their own, or a
            part that was left out of the fit. Rows that the cost is known to have been fitted on are left out.
        betas: ascending grid, in 1 / units of the distance; if not given, geometric, of 16 betas around what
            independent normal noise in every coordinate would need.
        levels: of the credible sets, between 0 and 1.
        rows: most held-out simulations to use.
        n: draws from each posterior.
        seed: of rows and draws.
        sampler: few particles and moves, if not given, for only ranks among the draws are needed.
        x_o: an observation with missing values (NaN), which are taken out of the held-out outputs, too; a whole one
            changes nothing.
        progress: show a progress bar.

    Returns:
        The choice; its interval holds the betas chosen from 95 % of resampled sets of rows.

    Raises:
        ValueError: fewer than 20 held-out simulations, those of another prior, levels that are no probabilities, or
            fewer than two betas; or they are of a deterministic simulator.

    Example:
        >>> held_out = gb.simulate(simulator, prior, 200, seed=1)
        >>> choice = gb.temperature.calibrated(prior, cost, held_out, seed=0)
    """
    quantiles = np.sort(checked_levels(levels))
    rows = checked_count("rows", rows)
    if simulations.deterministic and cost.measurement_error is None:
        raise ValueError(NO_NOISE.format(needs="held-out outputs that scatter about their means as observations do"))
    given = None if betas is None else checked_grid(betas)
    errors = _ERRORS_OF_ONE if prior.dim == 1 else _ERRORS
    held_out = HeldOut.of(prior, cost, simulations, rows, seed, x_o=x_o, errors=errors)
    grid = _default_betas(prior, cost, held_out) if given is None else given
    found = ranks_of_truth(prior, cost, held_out, grid, n=n, seed=seed, sampler=sampler, progress=progress)
    return _chosen(grid, found, quantiles, prior.names, cost.distance.units, held_out.errors)


def _default_betas(prior: Prior, cost: Cost, held_out: HeldOut) -> Float[np.ndarray, " b"]:
    """From where the data begin to speak to beyond size / noise, where noise is the cost of the true parameters.

    For the mean of D squared errors of variance s^2 that is D / (2 s^2), the calibrated beta.
    """
    x, own = held_out.x, held_out.cost
    theta = np.asarray(prior.sample(len(x), seed=_SEED_OF_OTHERS))
    spread = np.abs(np.asarray(cost(theta, x, held_out.conditions), np.float64) - own)
    spread = float(np.median(spread[np.isfinite(spread)]))
    noise = float(np.median(own[np.isfinite(own)]))
    if not spread > 0:
        raise ValueError("the cost is the same for all parameters, or not finite: there is nothing to choose beta by.")
    size = x[0].size
    top = 20 * max(size, prior.dim) / noise if noise > 0 else np.inf
    top = min(max(top, 100 / spread), 1e5 / spread)
    return np.geomspace(min(1 / spread, top / 100), top, BETAS)


def _chosen(
    betas: Float[np.ndarray, " b"],
    ranks: Ranks,
    levels: Float[np.ndarray, " levels"],
    names: tuple[str, ...],
    units: str,
    errors: int,
) -> Choice:
    joint, single = ranks.joint, ranks.by_parameter
    # Outputs of one run share its parameter, so that runs are what is counted and resampled.
    m = len(joint) // errors
    covered = (joint[:, None] <= levels[None, :, None]).astype(float)
    coverage = covered.mean(axis=0)
    logs = np.linspace(np.log(betas[0]), np.log(betas[-1]), 400)
    place = _best(logs, _along(betas, coverage, logs)[None], levels)[0]
    beta = float(np.exp(logs[place]))
    counts = np.random.default_rng(0).multinomial(m, np.full(m, 1 / m), size=_RESAMPLED) / m
    of_runs = covered.reshape(errors, m, *covered.shape[1:]).mean(axis=0)
    resampled = np.einsum("rm,mlb->rlb", counts, of_runs)
    chosen = np.exp(logs[_best(logs, _along(betas, resampled, logs), levels)])
    curve = _along(betas, (joint[:, None] <= CURVE[None, :, None]).mean(axis=0), np.log([beta]))[:, 0]
    by_parameter = np.stack(
        [
            _along(betas, (single[:, None, :, j] <= CURVE[None, :, None]).mean(axis=0), np.log([beta]))[:, 0]
            for j in range(len(names))
        ]
    )
    reached = _along(betas, coverage, np.log([beta]))[:, 0]
    told = ", ".join(f"{q:.0%}: {share:.1%}" for q, share in zip(levels, reached, strict=True))
    times = "" if errors == 1 else f", measured {errors} times each,"
    finding = f"At beta {beta:.4g} the credible sets held the true parameters of {m} held-out simulations{times} at "
    finding += f"({told})."
    messages = [*ranks.messages, *_judge(betas, place / (len(logs) - 1), levels, reached, by_parameter, names, m)]
    return Choice(
        rule=NAME,
        beta=beta,
        interval=(float(np.quantile(chosen, 0.025)), float(np.quantile(chosen, 0.975))),
        finding=finding,
        assumes=ASSUMES,
        units=units,
        names=names,
        evidence={
            "betas": betas,
            "levels": levels,
            "coverage": coverage,
            "curve_levels": CURVE,
            "curve": curve,
            "curve_by_parameter": by_parameter,
            "band": band(CURVE, m),
            "ranks": joint,
            "parameter_ranks": single,
            "rows": np.asarray(m),
        },
        outcome=Outcome(tuple(messages)),
    )


def _judge(
    betas: Float[np.ndarray, " b"],
    place: float,
    levels: Float[np.ndarray, " levels"],
    reached: Float[np.ndarray, " levels"],
    by_parameter: Float[np.ndarray, "dim curve"],
    names: tuple[str, ...],
    m: int,
) -> list[str]:
    messages = []
    if place > 0.99:
        messages.append(
            f"The sets still cover at the highest beta, {betas[-1]:.4g}: give a grid (betas) that goes further up."
        )
    if place < 0.01:
        messages.append(
            f"The sets cover too seldom even at the smallest beta, {betas[0]:.4g}: give a grid (betas) that goes "
            "further down. If it stays so, the network is wrong where held-out simulations lie: simulate more."
        )
    # The bands give one false alarm in a hundred for all levels together, more or less, for these share their rows.
    low, high = band(levels, m, 0.99)
    wrong = [
        f"the {q:.0%} sets cover {share:.1%}"
        for q, share, a, b in zip(levels, reached, low, high, strict=True)
        if not a <= share <= b
    ]
    if wrong:
        messages.append(
            f"No beta makes all levels right: at this one {', '.join(wrong)}. The shape of the posterior is not that "
            "of the errors; choose the level that matters to you (`levels`, --level)."
        )
    low, high = band(CURVE, m, 1 - 0.01 / (len(names) * len(CURVE)))
    for name, curve in zip(names, by_parameter, strict=True):
        away = np.where(curve < low, curve - low, np.where(curve > high, curve - high, 0.0))
        worst = int(np.argmax(np.abs(away)))
        if away[worst]:
            side = "too seldom" if away[worst] < 0 else "too often"
            messages.append(
                f"The central intervals of {name} alone cover {side} at this beta (level {CURVE[worst]:.0%}: "
                f"{curve[worst]:.1%}): one beta for all parameters cannot mend that."
            )
    return messages


def _along(
    betas: Float[np.ndarray, " b"], values: Float[np.ndarray, "... b"], logs: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "... k"]:
    """Interpolates between betas, without overshooting."""
    return PchipInterpolator(np.log(betas), values, axis=-1)(logs)


def _best(
    logs: Float[np.ndarray, " k"], coverage: Float[np.ndarray, "sets levels k"], levels: Float[np.ndarray, " levels"]
) -> Any:
    """Position of the chosen beta; see `calibrated`."""
    excess = coverage - levels[None, :, None]
    loss = np.mean(excess**2 / (levels * (1 - levels))[None, :, None], axis=1)
    widest = np.argmax(excess.mean(axis=1), axis=1)
    return np.argmin(np.where(np.arange(len(logs))[None] >= widest[:, None], loss, np.inf), axis=1)


def choose(question: Question) -> Choice:
    """By new runs at draws of the prior, or by stored runs where none are to be made."""
    ladder, held_out, rows = question.ladder, question.simulations, question.options["held_out"]
    if rows and question.simulator is not None:
        held_out = simulate(
            question.simulator,
            ladder.prior,
            rows,
            # The seed is neither that of the training runs nor that of the runs at the draws.
            seed=(question.run_seed + 1) % 2**32,
            conditions=question.conditions_prior,
            workers=question.workers,
            progress=question.progress,
        )
    if held_out is None:
        raise ValueError("there are no simulations to hold out: give a simulator to run, or stored simulations.")
    return calibrated(
        ladder.prior,
        ladder.cost,
        held_out,
        levels=tuple(question.options["level"]),
        rows=rows or 200,
        seed=question.seed,
        x_o=ladder.x_o,
        progress=question.progress,
    )


def draw(chosen: Choice) -> matplotlib.figure.Figure:
    """Coverage of each level along beta, and at the chosen beta for all levels, with the band of a calibrated one."""
    e = chosen.evidence
    figure, axes = subplots(1, 2, (8.0, 3.5))
    ax, m = axes[0, 0], int(e["rows"])
    for k, (level, coverage) in enumerate(zip(e["levels"], e["coverage"], strict=True)):
        colour = LEVEL_COLOURS[k % len(LEVEL_COLOURS)]
        error = np.sqrt(coverage * (1 - coverage) / m)
        ax.fill_between(e["betas"], coverage - 2 * error, coverage + 2 * error, color=colour, alpha=0.2, linewidth=0)
        ax.plot(
            e["betas"], coverage, "o-", color=colour, markersize=2.5, linewidth=1.3, label=f"{100 * level:g} % sets"
        )
        ax.axhline(level, color=colour, linewidth=0.8, linestyle=(0, (2, 2)))
    ax.axvline(chosen.beta, color=ACCENT, linewidth=1.2)
    ax.axvspan(*chosen.interval, color=ACCENT, alpha=0.12, linewidth=0)
    ax.set_xscale("log")
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(plain(f"inverse temperature β, {unit_of_beta(chosen.units)}", 60))
    ax.set_ylabel(f"share of {m} true parameters held")
    ax.legend(frameon=False, fontsize=SMALL, loc="lower left")
    ax = axes[0, 1]
    levels = e["curve_levels"]
    ax.fill_between(levels, *e["band"], color=PRIOR, alpha=0.35, linewidth=0, label="95 % band if calibrated")
    ax.plot([0, 1], [0, 1], color=OBSERVED, linewidth=0.8)
    for j, curve in enumerate(e["curve_by_parameter"]):
        label = "each parameter, central" if j == 0 else None
        ax.plot(levels, curve, color=POSTERIOR, alpha=0.5, linewidth=0.8, label=label)
    ax.plot(levels, e["curve"], "o-", color=ACCENT, markersize=3, linewidth=1.4, label="jointly, highest density")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("level of the credible set")
    ax.set_ylabel("coverage")
    ax.set_title(f"at β = {short_number(chosen.beta)}", fontsize=9)
    ax.legend(frameon=False, fontsize=SMALL, loc=free_corner(levels, e["curve"]))
    return figure


register(
    Rule(
        NAME,
        choose,
        "runs it at draws of the prior (--held-out 0: takes stored runs that the cost was not fitted on)",
        "calibrated: share of held-out parameters in credible sets, along beta and at the chosen one.",
        draw,
        (
            RuleOption("--held-out", 200, "new runs at draws of the prior for calibrated (default: 200)"),
            RuleOption(
                "--level",
                LEVELS,
                "of the credible sets of calibrated (default: 0.5 0.8 0.9)",
                "probability",
                "L",
                several=True,
            ),
        ),
        place=20,
    )
)
