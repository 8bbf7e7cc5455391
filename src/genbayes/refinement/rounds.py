"""Refinement: more simulations where the posteriors are, and the cost fitted anew on all of them.

A regression learns E[d | theta] whatever parameters it was shown, so rows that were chosen because of the posterior
need no correction; an estimator of the posterior itself would have to be reweighted (Papamakarios and Murray 2016).

Where the cost is learned by regressing means (features), new runs share their random numbers in pairs, whose difference
is all but free of noise (`shared_noise`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from ..costs.cost import Cost
from ..costs.fitting import Method, fit_cost
from ..costs.forms import HilbertForm, MarginalForm
from ..distances.batched import distances_to
from ..learning.shared_noise import grouped
from ..learning.training import FitConfig
from ..priors.prior import Prior
from ..runtime.counts import checked_count
from ..runtime.outcome import Outcome
from ..runtime.seeds import check_seed
from ..sampling.posterior import GibbsPosterior
from ..sampling.stack import GibbsPosteriors
from ..simulations.rows import Simulations
from ..simulations.running import simulate_round

# Fractions of beta of successive rows, all of one observation. The runs at beta itself test the cost that chose them;
# the wider ones hold the slopes, whose error falls with the spread of the parameters.
TEMPERS = (1.0, 1.0, 1 / 4, 1.0, 1.0, 1 / 16)
# Rows with the same random numbers. A posterior needs differences of the means more than their level, but that as well,
# and the level is known as well as there are numbers: pairs know nearly all that larger blocks know of differences.
_SHARING = 2
# A round's, of one observation.
_LEAST_RUNS = 40
# In log density over a posterior: what tells two samples apart in 60 % of cases at most.
_RESOLVED = 0.5


@dataclass(frozen=True)
class Agreement:
    """Predicted against re-simulated distance at draws of one posterior, for runs that the cost has not seen.

    Attributes:
        round: number of the round whose runs these are, from 1; the cost is that of the round before.
        observation: its number, in the order in which the posteriors came.
        beta: its inverse temperature.
        predicted: mean cost of the draws, by the network.
        simulated: mean distance of one run at each.
        error: standard error of `simulated` less `predicted`.
        slope: beta times the change of their difference over one posterior standard deviation, root mean square of the
            noise-free part: the error of the log density, up to a constant, that a line sees.
        resolution: what noise alone would make of `slope`; an error below it cannot be seen in these runs.
        p_value: of no difference at all, neither a shift nor a slope.
    """

    round: int
    observation: int
    beta: float
    predicted: float
    simulated: float
    error: float
    slope: float
    resolution: float
    p_value: float

    @property
    def agrees(self) -> bool:
        """Whether the runs show no error of the cost that matters: one shift of all draws cancels in a posterior."""
        near = abs(self.predicted - self.simulated) < 0.1 * abs(self.simulated)
        return self.p_value > 0.05 or (near and self.slope < _RESOLVED)

    @property
    def suffices(self) -> bool:
        """Whether the runs agree with the cost, and would have shown an error that matters."""
        return self.agrees and self.resolution < _RESOLVED


@dataclass(frozen=True, eq=False, repr=False)
class Refined:
    """What `refine` returns.

    Attributes:
        cost: fitted on all simulations.
        simulations: those given, then those of each round, which bear its number in `origin`.
        posteriors: as given, with the new cost.
        history: predicted against re-simulated distance in every round, for every posterior.
    """

    cost: Cost
    simulations: Simulations
    posteriors: list[GibbsPosterior]
    history: tuple[Agreement, ...]

    def __repr__(self) -> str:
        rounds = self.history[-1].round if self.history else 0
        return f"Refined({len(self.posteriors)} posteriors, {rounds} rounds, {len(self.simulations)} simulations)"

    @property
    def outcome(self) -> Outcome:
        """What is still wrong, and the remedy."""
        messages = list(self.cost.outcome.messages)
        last = [one for one in self.history if one.round == self.history[-1].round]
        off = [one for one in last if not one.agrees]
        if off:
            shown = ", ".join(f"{one.observation} (beta {one.beta:g})" for one in off[:5]) + ", ..." * (len(off) > 5)
            messages.append(
                f"When the last round began, the cost still disagreed with new runs at {len(off)} of {len(last)} "
                f"observations: {shown}. The runs have since been used, but whether they sufficed is not known: check, "
                "or refine once more."
            )
        failed = int(np.sum(self.simulations.status[self.simulations.origin > 0] > 1))
        if failed:
            messages.append(f"{failed} of the new runs failed: the cost is that of successful runs only.")
        return Outcome(tuple(dict.fromkeys(messages)))

    def summary(self) -> str:
        """One line a round and posterior, and what is wrong."""
        lines = ["round observation      beta predicted simulated              slope  noise agree"]
        for one in self.history:
            lines.append(
                f"{one.round:5d} {one.observation:11d} {one.beta:9.5g} {one.predicted:9.4g} {one.simulated:9.4g} "
                f"+- {one.error:<8.2g} {one.slope:6.2f} {one.resolution:6.2f} {'yes' if one.agrees else 'no'}"
            )
        lines.append("slope: error of the log density over the posterior, by a line through new runs;")
        lines.append("noise: what noise alone would make of it")
        return "\n".join([*lines, *(f"warning: {text}" for text in self.outcome.messages)])


def refine(
    posteriors: GibbsPosterior | Sequence[GibbsPosterior] | GibbsPosteriors,
    simulator: Callable[..., Any],
    simulations: Simulations,
    n: int,
    *,
    rounds: int = 2,
    seed: int,
    store: str | Path | None = None,
    batch_size: int | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Refined:
    """Simulates where the posteriors are, and fits their cost anew on all simulations.

    A round's parameters are draws of every observation's posterior at its highest beta, and some at a quarter and a
    sixteenth of it. The runs at beta itself are first compared with the cost that has not seen them. Once they agree
    with it at every observation, and are enough to have shown an error of half a unit of log density, the round's fit
    is the last.

    Args:
        posteriors: one, several, or a stack; of one prior and cost.
        simulator: as given to `simulate`.
        simulations: those that the cost was fitted on.
        n: number of new simulations, of all rounds and observations together.
        rounds: over which they are spread.
        seed: of draws, runs and fits.
        store: path of the Zarr store of `simulations`, to which the new rows are written batch by batch (it is made if
            there is none); an interrupted call goes on where it stopped.
        batch_size: see `simulate`.
        workers: see `simulate`.
        progress: show progress bars.

    Raises:
        TypeError: posteriors are none, or simulations are none.
        ValueError: the posteriors have different costs or priors; simulations of other parameters; too few new runs.

    Example:
        >>> refined = gb.refine(posterior, simulator, simulations, 2000, seed=1)
        >>> draws = refined.posteriors[0].sample(4000, seed=0)
    """
    given = _listed(posteriors)
    n, rounds, seed = checked_count("n", n), checked_count("rounds", rounds), check_seed(seed)
    cost, prior = given[0].cost, given[0].prior
    if not isinstance(simulations, Simulations):
        raise TypeError(f"simulations must be genbayes.Simulations, got {type(simulations).__name__}.")
    if (simulations.names, simulations.x_shape) != (cost.names, cost.x_shape):
        raise ValueError(
            f"simulations have the parameters {simulations.names} and outputs of shape {simulations.x_shape}, the cost "
            f"those of {cost.names} and {cost.x_shape}: give the simulations that it was fitted on."
        )
    if cost.settings.get("form") is None:
        raise ValueError("the cost was not fitted (Cost.exact?): there is nothing to refine.")
    observations = _observations(given)
    least = rounds * len(observations) * _LEAST_RUNS
    if n < least:
        raise ValueError(
            f"n must be at least {least}, {_LEAST_RUNS} new simulations an observation and round, got {n} for "
            f"{len(observations)} observation(s) and {rounds} round(s)."
        )
    if store is not None and not Path(store).exists():
        simulations.save(store)
    done = int(cost.settings.get("rounds", 0))
    if store is None:
        done = max(done, int(simulations.origin.max(initial=0)))
    else:
        # Rounds that the cost has not seen were interrupted: they are in the store, and are gone on with.
        simulations = simulations.selected(simulations.origin <= done)
    history: list[Agreement] = []
    for number in range(1, rounds + 1):
        size = n * number // rounds - n * (number - 1) // rounds
        # What is learned of whole distributions needs all the random numbers that there are.
        block = np.arange(size) // _SHARING + 1 if isinstance(cost.form, HilbertForm) else None
        seeds = np.random.SeedSequence([seed, done + number]).generate_state(2).tolist()
        new = simulate_round(
            simulator,
            simulations,
            lambda size=size, seeds=seeds, cost=cost: _proposals(prior, cost, observations, size, seeds[0], progress),
            done + number,
            seed=seeds[1],
            block=block,
            store=store,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
        found = _agreement(observations, cost, new, number)
        history += found
        simulations = simulations.joined(new)
        cost = refit(cost, simulations, seed=seed, progress=progress)
        if all(one.suffices for one in found):
            break
    return Refined(cost, simulations, [_with_cost(one, cost) for one in given], tuple(history))


def refit(cost: Cost, simulations: Simulations, *, seed: int, progress: bool) -> Cost:
    """The cost fitted on more simulations, in the same way; networks of marginal and general costs are trained on."""
    config = FitConfig(**cost.settings["config"])
    method: Method = "general"
    if isinstance(cost.form, HilbertForm):
        method = "auto"
    elif isinstance(cost.form, MarginalForm):
        method = "marginal"
    embedding: Literal["auto", "vector", "set", "series"] = cost.settings.get("embedding", "auto")
    made = fit_cost(
        simulations,
        cost.distance,
        seed=cost.settings.get("seed", seed),
        config=config,
        method=method,
        embedding=embedding,
        progress=progress,
        start=cost,
    )
    return replace(made, settings={**cost.settings, **made.settings})


def _listed(posteriors: Any) -> list[GibbsPosterior]:
    if isinstance(posteriors, GibbsPosteriors):
        return [posteriors.posterior(i, j) for i in range(len(posteriors)) for j in range(len(posteriors.betas))]
    listed = list(posteriors) if isinstance(posteriors, Iterable) else [posteriors]
    if not listed or not all(isinstance(one, GibbsPosterior) for one in listed):
        got = ", ".join(sorted({type(one).__name__ for one in listed})) or "an empty list"
        raise TypeError(f"posteriors must be GibbsPosterior, a list of them, or GibbsPosteriors, got {got}.")
    if any(one.cost is not listed[0].cost or one.prior is not listed[0].prior for one in listed):
        raise ValueError("posteriors must share one cost and one prior: refine those of each cost by themselves.")
    return listed


def _observations(posteriors: Sequence[GibbsPosterior]) -> list[GibbsPosterior]:
    """The posterior of the highest beta of every observation (under its conditions)."""
    highest: dict[Any, GibbsPosterior] = {}
    for one in posteriors:
        key = (one.x_o.tobytes(), tuple(one.conditions.items()))
        if key not in highest or highest[key].beta < one.beta:
            highest[key] = one
    return list(highest.values())


def _with_cost(posterior: GibbsPosterior, cost: Cost) -> GibbsPosterior:
    conditions = posterior.conditions or None
    return GibbsPosterior(posterior.prior, cost, posterior.x_o, posterior.beta, conditions=conditions)


def _shares(n: int, observations: int) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Observation and fraction of beta of every row of a round; of their numbers alone, so that a store can tell."""
    row = np.arange(n)
    return row // len(TEMPERS) % observations, np.asarray(TEMPERS)[row % len(TEMPERS)]


def _proposals(
    prior: Prior, cost: Cost, observations: Sequence[GibbsPosterior], n: int, seed: int, progress: bool
) -> Float[np.ndarray, "n inputs"]:
    """Draws of every observation's posterior at its beta and below, with its conditions."""
    rng = np.random.default_rng(seed)
    whose, share = _shares(n, len(observations))
    tempers = sorted(set(TEMPERS))
    found = np.empty((n, prior.dim + len(cost.condition_names)), np.float32)
    for beta in sorted({one.beta for one in observations}):
        group = [i for i, one in enumerate(observations) if one.beta == beta]
        known = np.array([list(observations[i].conditions.values()) for i in group], np.float32)
        stack = GibbsPosteriors(
            prior,
            cost,
            np.stack([observations[i].x_o for i in group]),
            [beta * temper for temper in tempers],
            conditions=known if known.size else None,
        )
        # Enough for one row each, and not fewer than the sampler has at work anyway.
        draws = stack.sample(max(2000, -(-n // len(observations))), seed=seed, progress=progress).theta
        for (place, i), (j, temper) in product(enumerate(group), enumerate(tempers)):
            rows = np.flatnonzero((whose == i) & (share == temper))
            flat = draws[place, j].reshape(-1, prior.dim)
            chosen = flat[rng.choice(len(flat), len(rows), replace=False)]
            found[rows] = np.concatenate([chosen, np.broadcast_to(known[place], (len(rows), known.shape[1]))], axis=1)
    return found


def _agreement(posteriors: Sequence[GibbsPosterior], cost: Cost, new: Simulations, number: int) -> list[Agreement]:
    """Of every observation: the runs at draws of its posterior at beta, with the cost that they were drawn by."""
    whose, share = _shares(len(new), len(posteriors))
    found = []
    for i, one in enumerate(posteriors):
        rows = np.flatnonzero((whose == i) & (share == 1.0) & new.ok)
        theta = new.theta[rows].astype(np.float64)
        simulated = np.asarray(distances_to(cost.distance, jnp.asarray(new.x[rows]), jnp.asarray(one.x_o)), np.float64)
        predicted = np.asarray(cost(theta, one.x_o, one.conditions or None), np.float64)
        slope, resolution, p_value = _trend(theta, simulated - predicted, new.block[rows])
        found.append(
            Agreement(
                round=number,
                observation=i,
                beta=one.beta,
                predicted=float(predicted.mean()),
                simulated=float(simulated.mean()),
                error=_standard_error(simulated - predicted, new.own_numbers[rows]),
                slope=one.beta * slope,
                resolution=one.beta * resolution,
                p_value=p_value,
            )
        )
    return found


def _standard_error(error: Float[np.ndarray, " m"], own_numbers: Int[np.ndarray, " m"]) -> float:
    """Of the mean, where rows with equal random numbers count as one (Liang and Zeger 1986)."""
    numbers = np.unique(own_numbers, return_inverse=True)[1]
    totals = np.bincount(numbers, error - error.mean())
    return float(np.sqrt(np.sum(totals**2) * len(totals) / max(len(totals) - 1, 1)) / len(error))


def _trend(
    theta: Float[np.ndarray, "m dim"], error: Float[np.ndarray, " m"], block: Int[np.ndarray, " m"]
) -> tuple[float, float, float]:
    """Root mean square of a line's change through errors, that of noise, and the p-value of no line at all.

    F-test of a linear regression against zero. Noise alone gives the fitted change a mean square of its own, which is
    taken off (dim s^2 / m where rows are independent). Rows of one positive `block` share their random numbers.
    """
    order, noise = grouped(np.zeros(len(block), np.int32), block)
    theta, error = theta[order], error[order, None]
    m, dim = theta.shape
    std = theta.std(axis=0)
    z = (theta - theta.mean(axis=0)) / np.where(std > 0, std, 1.0)
    # Too few runs for a line show a shift only.
    if m < 3 * (dim + 1):
        z = z[:, :0]
    lines = np.concatenate([np.ones((m, 1)), z], axis=1)
    # How much rows share is what a line leaves of them.
    first = np.linalg.lstsq(lines, error, rcond=1e-8)[0]
    units = np.arange(len(noise.shared))
    noise = noise.estimated(error - lines @ first, units)
    equal, labels = noise.whitened(lines, units), noise.whitened(error, units)
    coefficients, _, rank, _ = np.linalg.lstsq(equal, labels, rcond=1e-8)
    fitted, change = equal @ coefficients, z @ coefficients[1:]
    variance = float(np.sum((labels - fitted) ** 2) / (m - rank))
    if variance == 0:
        return float(np.std(change)), 0.0, float(np.allclose(fitted, 0))
    p_value = stats.f.sf(np.sum(fitted**2) / rank / variance, rank, m - rank)
    uncertain = variance * np.linalg.pinv(equal.T @ equal, rcond=1e-8)[1:, 1:]
    from_noise = float(np.sum(uncertain * (z.T @ z)) / m)
    return float(np.sqrt(max(np.var(change) - from_noise, 0.0))), float(np.sqrt(from_noise)), float(p_value)
