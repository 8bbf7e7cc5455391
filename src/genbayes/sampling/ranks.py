"""Ranks of the true parameters of held-out simulations among the draws of their posteriors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from jaxtyping import Float

from ..costs.cost import Cost, Observed
from ..costs.known_parameters import rows_as_known
from ..distances.gaps import with_gaps
from ..priors.prior import Prior
from ..runtime.progress import Advance, progress_bar
from ..simulations.rows import Simulations
from .held_out import held_out_rows
from .smc import SMC
from .stack import GibbsPosteriors
from .stacked import StackedDraws

# Many observations, of which only ranks are wanted: few particles, few moves at each rest.
RANK_SAMPLER = SMC(populations=2, min_particles=200, final_moves=2, max_stages=2000)
# Held-out simulations without which no share is counted.
LEAST_ROWS = 20
# Observations whose posteriors are judged: judging all takes as long as sampling them.
_MOST_JUDGED = 100


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Simulations that stand for observations whose parameters are known.

    Attributes:
        theta: (m, dim), the true parameters.
        x: (m, *x_shape), what they simulated.
        conditions: (m, c), or None where there are none.
        cost: (m,), of the true parameter to its own output.
        messages: what is wrong with the rows.
        errors: how many outputs stand there of each run, with an error each; they are errors x runs in this order.
    """

    theta: Float[np.ndarray, "m dim"]
    x: np.ndarray
    conditions: np.ndarray | None
    cost: Float[np.ndarray, " m"]
    messages: tuple[str, ...]
    errors: int = 1

    @classmethod
    def of(
        cls,
        prior: Prior,
        cost: Cost,
        simulations: Simulations,
        most: int,
        seed: int,
        *,
        x_o: Observed | None = None,
        errors: int = 1,
    ) -> "HeldOut":
        """At most `most` rows that the cost was not fitted on, with the gaps of an observation if one is given.

        Of a cost that knows the error of the measurement each run stands there `errors` times, with another error each:
        these cost no run.

        Raises:
            ValueError: fewer than 20 rows can be used, or they are not of this prior.
        """
        error = cost.measurement_error
        simulations = rows_as_known(replace(cost, measurement_error=None), simulations)
        if simulations.prior_description and simulations.prior_description != prior.describe():
            raise ValueError(
                "simulations were drawn from another prior: the true parameters must be draws of the prior that the "
                "posterior is computed with. Simulate a few hundred anew from it."
            )
        if simulations.names != prior.names:
            raise ValueError(f"simulations has the parameters {simulations.names}, but the prior {prior.names}.")
        found, fitted = held_out_rows(cost, simulations, LEAST_ROWS)
        messages = ()
        if fitted:
            messages = (
                "The simulations are those that the cost was fitted on, so the coverage is somewhat too good, and beta "
                "too large: simulate a few hundred with another seed, or leave some out of the fit.",
            )
        if len(found) < LEAST_ROWS:
            raise ValueError(
                f"{len(found)} held-out simulations that succeeded are too few to count coverage; give 200, at least "
                f"{LEAST_ROWS}."
            )
        rows = np.sort(np.random.default_rng(seed).permutation(found)[:most])
        errors = 1 if error is None else errors
        simulations = simulations.selected(np.tile(rows, errors))
        if error is not None:
            simulations = error.added_to(simulations)
        theta, x = simulations.theta, simulations.x
        if x_o is not None:
            x = with_gaps(x, cost.check_observation(x_o))
        known = simulations.conditions if simulations.condition_names else None
        return cls(theta, x, known, np.asarray(cost(theta, x, known), np.float64), messages, errors)


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where the true parameters lie among the draws.

    Attributes:
        joint: (m, b), the level at which the set of highest density begins to hold the true parameters.
        below: (m, b, dim), the share of draws below each true parameter.
        messages: what is wrong with the rows or with the draws.
    """

    joint: Float[np.ndarray, "m b"]
    below: Float[np.ndarray, "m b dim"]
    messages: tuple[str, ...]

    @property
    def by_parameter(self) -> Float[np.ndarray, "m b dim"]:
        """The level at which the central interval of each parameter begins to hold the true one."""
        return np.abs(2 * self.below - 1)


def ranks_of_truth(
    prior: Prior,
    cost: Cost,
    held_out: HeldOut,
    betas: Sequence[float] | np.ndarray,
    *,
    n: int,
    seed: int,
    sampler: SMC | None = None,
    progress: bool = True,
) -> Ranks:
    """Samples the posteriors of held-out outputs at every beta, and ranks the true parameters among the draws.

    Jointly the level is the share of draws of higher density; for each parameter twice the rank's distance from the
    middle. The half draw that is added keeps both unbiased where the true parameter is one more draw. Draws that are
    equal to the truth, as those of integers are, count by a random share of them.

    Args:
        prior: that the held-out simulations were drawn from.
        cost: fitted on other simulations.
        held_out: see `HeldOut.of`.
        betas: ascending.
        n: draws from each posterior.
        seed: of the draws.
        sampler: few particles and moves, if not given.
        progress: show a progress bar.
    """
    stack = GibbsPosteriors(prior, cost, held_out.x, betas, conditions=held_out.conditions)
    draws = stack.sample(n, seed=seed, sampler=RANK_SAMPLER if sampler is None else sampler, progress=progress)
    messages = held_out.messages
    with progress_bar("ranking the true parameters", 1 + len(held_out.x), progress) as advance:
        suspect = float(np.mean(draws.first(_MOST_JUDGED).suspect))
        if suspect > 0.1:
            messages += (f"{suspect:.0%} of the posteriors of held-out simulations are not well sampled: raise n.",)
        advance()
        return Ranks(*_levels(prior, cost, draws, held_out, np.random.default_rng(seed), advance), messages)


def _levels(
    prior: Prior, cost: Cost, draws: StackedDraws, held_out: HeldOut, rng: np.random.Generator, advance: Advance
) -> tuple[Float[np.ndarray, "m b"], Float[np.ndarray, "m b dim"]]:
    theta = held_out.theta
    m, b = draws.theta.shape[:2]
    n = draws.theta.shape[2] * draws.theta.shape[3]
    values, costs = draws.theta.reshape(m, b, n, -1), draws.cost.reshape(m, b, n)
    joint, below = np.zeros((m, b)), np.zeros((m, b, theta.shape[1]))
    for i in range(m):
        advantage = np.asarray(prior.log_density(values[i]), np.float64) - float(prior.log_density(theta[i]))
        advantage += _log_factor(cost, values[i], held_out, i) - _log_factor(cost, theta[i][None], held_out, i)
        advantage -= draws.betas[:, None] * (costs[i].astype(np.float64) - held_out.cost[i])
        equal = values[i] == theta[i]
        same = equal.all(axis=2)
        joint[i] = _rank(np.sum((advantage > 0) & ~same, axis=1), np.sum(same, axis=1), n, rng)
        below[i] = _rank(np.sum(values[i] < theta[i], axis=1), np.sum(equal, axis=1), n, rng)
        advance()
    return joint, below


def _rank(below: np.ndarray, equal: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Share of n draws below, those that are equal to the truth in part: at random, so that ranks stay uniform.

    Draws of real parameters are never equal, those of integers often (randomised ranks, Czado, Gneiting, Held 2009).
    """
    share = np.where(equal > 0, rng.uniform(size=below.shape), 0.5)
    return (below + share * (equal + 1)) / (n + 1)


def _log_factor(cost: Cost, theta: Float[np.ndarray, "... dim"], held_out: HeldOut, i: int) -> np.ndarray:
    known = None if held_out.conditions is None else held_out.conditions[i]
    return np.asarray(cost.log_prior_factor(theta, known), np.float64)


def checked_levels(levels: Sequence[float] | np.ndarray) -> Float[np.ndarray, " levels"]:
    """Levels of credible sets, or ValueError."""
    values = np.asarray(levels, float).reshape(-1)
    if not len(values) or not np.all((values > 0) & (values < 1)):
        raise ValueError(f"levels must be probabilities between 0 and 1, such as 0.9; got {levels!r}.")
    return values


def band(levels: Float[np.ndarray, " levels"], m: int, probability: float = 0.95) -> Float[np.ndarray, "2 levels"]:
    """Where the coverage of m held-out simulations lies with a probability, if each level is right."""
    return np.stack(scipy.stats.binom.interval(probability, m, levels)) / m
