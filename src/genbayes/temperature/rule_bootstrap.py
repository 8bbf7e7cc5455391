"""`bootstrap`: the beta whose posterior is as wide as the best parameters scatter over resampled trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ..costs.cost import Cost
from ..distances.base import class_names
from ..priors.prior import Prior
from ..runtime.counts import checked_count
from ..runtime.figure_style import MOST_PARAMETERS, POSTERIOR, PRIOR, SMALL, density, few_ticks, subplots, window
from ..runtime.formatting import plain
from ..runtime.outcome import Outcome
from ..sampling.posterior import GibbsPosterior
from .choice import Choice
from .minimisers import Minimisers, minimisers
from .rules import Question, Rule, register

if TYPE_CHECKING:
    import matplotlib.figure

NAME = "bootstrap"
ASSUMES = (
    "Assumes that the trials of the observation are independent and many enough to stand for their population; the "
    "simulator's own noise need not be right, but the posterior is about the best parameters of this distance, be the "
    "simulator right or wrong."
)
_CANDIDATES = 1000
_LEAST = 20


def bootstrap(
    prior: Prior,
    cost: Cost,
    x_o: Any,
    *,
    resamples: int = 200,
    n: int = 2000,
    seed: int,
    conditions: Mapping[str, float] | None = None,
) -> Choice:
    """Chooses beta by score matching of the posterior to the best parameters of resampled trials.

    The trials of x_o are drawn anew with replacement, and the cost of each such set is minimised, from the best of many
    prior draws by damped Newton steps, all in one compiled program. The posterior of x_o is proportional to
    exp(-beta D(u)) pi(u) in unconstrained coordinates u, where its density vanishes at infinity. Its Fisher divergence
    from the distribution of the minimisers u_1, ..., u_r is, up to a constant (Hyvarinen 2005),

        mean over b of [ 2 Laplacian(log density) + |gradient(log density)|^2 ](u_b),

    a parabola in beta with its least value at

        beta = sum_b [ Laplacian D + grad D . grad log pi ](u_b) / sum_b | grad D(u_b) |^2

    (Matsubara, Knoblauch, Briol, Oates 2022, for generalised posteriors). Derivatives are with respect to coordinates
    in which the minimisers have unit covariance, so that no parameter's units weigh more than another's.

    Args:
        prior: over the parameters that the cost knows.
        cost: of a distance of sets of trials (MMD, EnergyDistance, SlicedWasserstein, or one of your own that does not
            look at their order).
        x_o: the observation, (trials, trial_dim).
        resamples: how many sets of trials.
        n: draws of the posterior at the chosen beta, to compare its widths with the scatter of the minimisers.
        seed: of resampling, starts and draws.
        conditions: known conditions of the observation, where the simulator takes them.

    Returns:
        The choice; its interval is from resampling the minimisers.

    Raises:
        ValueError: the prior has integer parameters; x_o is not a set of at least two trials, or the cost depends on
            their order; fewer than 20 resamples; or most minimisers lie at the bounds of the prior, or where the cost
            has no minimum.

    Example:
        >>> choice = gb.temperature.bootstrap(prior, cost, trials, seed=0)
    """
    resamples = checked_count("resamples", resamples)
    if resamples < _LEAST:
        raise ValueError(f"resamples must be at least {_LEAST}, better 200, got {resamples}.")
    if prior.integer_names:
        raise ValueError(
            f"prior has the integer parameters {', '.join(prior.integer_names)}, and the bootstrap rule compares "
            "derivatives of the cost, which has none there: choose beta by another rule "
            "(gb.temperature.noise_floor, gb.temperature.calibrated)."
        )
    x_o = cost.check_observation(x_o)
    rng = np.random.default_rng(seed)
    _check_trials(prior, cost, x_o, conditions, rng)
    sets = x_o[rng.integers(0, len(x_o), (resamples, len(x_o)))]
    posterior = GibbsPosterior(prior, cost, x_o, 1.0, conditions=conditions)
    found = minimisers(posterior, sets, prior.sample(_CANDIDATES, seed=seed))
    theta = np.asarray(prior.from_unconstrained(jnp.asarray(found.u, jnp.float32)), np.float64)
    at_bounds = _at_bounds(prior, theta)
    kept, messages = _usable(found, at_bounds)
    beta, interval = _score_matched(found, kept, rng)
    draws = GibbsPosterior(prior, cost, x_o, beta, conditions=conditions).sample(n, seed=seed)
    ratio = draws.flat.std(axis=0) / theta[kept].std(axis=0)
    told = ", ".join(f"{name} {value:.2f}" for name, value in zip(prior.names, ratio, strict=True))
    messages += _judge_shape(prior, ratio) + list(draws.outcome.messages)
    return Choice(
        rule=NAME,
        beta=beta,
        interval=interval,
        finding=(
            f"At beta {beta:.4g} the posterior is as wide as the best parameters of {kept.sum()} resampled "
            f"observations scatter; width of the posterior over their standard deviation: {told}."
        ),
        assumes=ASSUMES,
        units=cost.distance.units,
        names=prior.names,
        evidence={"minimisers": theta[kept], "draws": draws.flat, "width_ratio": ratio, "at_bounds": theta[at_bounds]},
        outcome=Outcome(tuple(messages)),
    )


def _usable(found: Minimisers, at_bounds: Bool[np.ndarray, " r"]) -> tuple[Bool[np.ndarray, " r"], list[str]]:
    """Which minimisers are minima inside the prior, and what speaks against the others; ValueError if too few are."""
    resamples = len(at_bounds)
    done = np.isfinite(found.left) & (found.left < 1e-2 * found.fall) & (np.linalg.eigvalsh(found.hessian)[:, 0] > 0)
    kept = ~at_bounds & done
    if kept.sum() < max(_LEAST, resamples // 2):
        raise ValueError(
            f"Only {kept.sum()} of {resamples} resampled observations have a minimum of the cost inside the prior "
            f"({at_bounds.sum()} lie at its bounds): the scatter of the others says little. Widen the prior, or use "
            "the rule calibrated."
        )
    return kept, _judge(at_bounds, ~at_bounds & ~done, resamples)


def _score_matched(
    found: Minimisers, kept: Bool[np.ndarray, " r"], rng: np.random.Generator
) -> tuple[float, tuple[float, float]]:
    """Beta of the least Fisher divergence, and its 95 % range over resampled minimisers."""
    slope, square = _moments(found, kept)
    beta = float(slope.sum() / square.sum())
    if not (np.isfinite(beta) and beta > 0):
        raise ValueError(
            f"the score match gives beta = {beta:.4g}: the prior pulls harder than the cost holds. Use calibrated."
        )
    again = rng.integers(0, kept.sum(), (1000, int(kept.sum())))
    chosen = slope[again].sum(axis=1) / square[again].sum(axis=1)
    return beta, (float(np.quantile(chosen, 0.025)), float(np.quantile(chosen, 0.975)))


def _check_trials(
    prior: Prior, cost: Cost, x_o: np.ndarray, conditions: Mapping[str, float] | None, rng: np.random.Generator
) -> None:
    if x_o.ndim != 2 or len(x_o) < 2:
        raise ValueError(
            f"x_o has shape {x_o.shape}; the bootstrap resamples independent trials, of shape (trials, trial_dim) with "
            "at least 2 trials. For a single vector or time series use noise_floor or calibrated."
        )
    theta = prior.sample(20, seed=0)
    here, turned = (np.asarray(cost(theta, x, conditions)) for x in (x_o, x_o[rng.permutation(len(x_o))]))
    if not np.allclose(here, turned, rtol=1e-3, atol=1e-3 * np.std(here)):
        raise ValueError(
            f"the cost by {cost.distance.name} changes with the order of the trials, so x_o is not a set of "
            f"independent trials to it: the bootstrap needs a distance of sets ({class_names(reads_sets=True)})."
        )


def _moments(
    found: Minimisers, kept: Bool[np.ndarray, " r"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Numerator and denominator of beta for each minimiser, in coordinates in which they have unit covariance."""
    factor = np.linalg.cholesky(np.atleast_2d(np.cov(found.u[kept].T)) + 1e-12 * np.eye(found.u.shape[1]))
    gradient, prior_gradient = found.gradient[kept] @ factor, found.prior_gradient[kept] @ factor
    laplacian = np.einsum("ji,bjk,ki->b", factor, found.hessian[kept], factor)
    return laplacian + np.sum(gradient * prior_gradient, axis=1), np.sum(gradient**2, axis=1)


def _at_bounds(prior: Prior, theta: Float[np.ndarray, "r dim"]) -> Bool[np.ndarray, " r"]:
    """Which parameters lie within a thousandth of the prior's width of one of its bounds."""
    low, high = np.quantile(np.asarray(prior.sample(4000, seed=0)), [0.05, 0.95], axis=0)
    away = np.minimum(theta - prior.bounds[:, 0], prior.bounds[:, 1] - theta)
    return np.any(away < 1e-3 * (high - low), axis=1)


def _judge(at_bounds: Bool[np.ndarray, " r"], lost: Bool[np.ndarray, " r"], resamples: int) -> list[str]:
    """What speaks against the choice in the minimisers that are left out."""
    messages = []
    if at_bounds.mean() > 0.05:
        messages.append(
            f"{at_bounds.sum()} of {resamples} resampled observations cost least at the bounds of the prior; they are "
            "left out, and the scatter of the others is too small. Widen the prior, if it may be."
        )
    if lost.mean() > 0.05:
        messages.append(
            f"The search found no clear minimum for {lost.sum()} of {resamples} resampled observations; they are left "
            "out. The cost may be flat in some direction: a parameter that the distance does not see."
        )
    return messages


def _judge_shape(prior: Prior, ratio: Float[np.ndarray, " dim"]) -> list[str]:
    apart = [f"{name} ({value:.2f})" for name, value in zip(prior.names, ratio, strict=True) if not 0.5 < value < 2]
    if not apart:
        return []
    return [
        f"The posterior's widths over the scatter of the minimisers are far from 1 for {', '.join(apart)}: one beta "
        "cannot match all directions, and this one is a compromise."
    ]


def choose(question: Question) -> Choice:
    """By the trials of the observation; nothing is simulated."""
    ladder = question.ladder
    conditions = ladder.conditions or None
    return bootstrap(ladder.prior, ladder.cost, ladder.x_o, n=question.n, seed=question.seed, conditions=conditions)


def applies(cost: Cost) -> bool:
    """Whether the distance compares sets of trials."""
    return cost.distance.reads_sets


def draw(chosen: Choice) -> matplotlib.figure.Figure:
    """Best parameters of resampled trials, and the posterior at the chosen beta."""
    values, draws = chosen.evidence["minimisers"], chosen.evidence["draws"]
    dim = min(values.shape[1], MOST_PARAMETERS)
    columns = min(dim, 4)
    figure, axes = subplots(-(-dim // columns), columns, (max(4.0, 2.4 * columns), 2.5 * -(-dim // columns)))
    for j, ax in enumerate(axes.flat):
        if j >= dim:
            ax.remove()
            continue
        limits = window(np.concatenate([values[:, j], draws[:, j]]))
        grid = np.linspace(*limits, 200)
        bins = np.linspace(*limits, 26)
        ax.hist(values[:, j], bins, density=True, color=PRIOR, alpha=0.6, label="best parameters of resampled trials")
        ax.plot(grid, density(draws[:, j], grid), color=POSTERIOR, linewidth=1.5, label="posterior at the chosen β")
        ax.set_yticks([])
        ax.set_xlabel(plain(chosen.names[j], 24))
        few_ticks(ax.xaxis)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=SMALL, loc="outside lower center", ncols=1 + (columns > 1))
    return figure


register(
    Rule(
        NAME,
        choose,
        "runs it nowhere, and takes a set of trials",
        "bootstrap: best parameters of resampled trials, and the posterior at the chosen beta.",
        draw,
        applies=applies,
        when="for sets of trials",
        place=30,
    )
)
