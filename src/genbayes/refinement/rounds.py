"""Refinement: more simulations where the posteriors are, and the cost fitted anew on all of them.

A regression learns E[d | theta] whatever parameters it was shown, so rows that were chosen because of the posterior
need no correction; an estimator of the posterior itself would have to be reweighted (Papamakarios and Murray 2016).

Where the cost is learned by regressing means (features), new runs share their random numbers in pairs, whose difference
is all but free of noise (`shared_noise`).
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ..costs.cost import Cost
from ..costs.failing_runs import failures_told
from ..costs.forms import HilbertForm
from ..costs.known_parameters import rows_as_known
from ..costs.store_rows import ROWS_IN_MEMORY
from ..runtime.counts import checked_count
from ..runtime.outcome import Outcome
from ..runtime.seeds import check_seed
from ..sampling.joint import remedy_for_joint
from ..sampling.posterior import GibbsPosterior
from ..sampling.stack import GibbsPosteriors
from ..simulations.executors import Workers
from ..simulations.rows import Simulations
from ..simulations.running import simulate_round
from ..simulations.simulators import AnySimulator
from .agreement import Agreement, measured_agreement
from .expected_seconds import RoundSeconds, expected_seconds, seconds_of_round
from .known_rows import KnownRows
from .new_fit import refit
from .proposals import proposals, shares

# Rows with the same random numbers. A posterior needs differences of the means more than their level, but that as well,
# and the level is known as well as there are numbers: pairs know nearly all that larger blocks know of differences.
_SHARING = 2
# Runs that a round needs for each observation, below which it could judge nothing.
_LEAST_RUNS = 40
# Rounds where nothing is said: two, or up to four where an observation has few runs, so that the first of them, which
# a poor cost has placed, are few.
_ROUNDS, _MOST_ROUNDS, _FEW_RUNS, _RUNS_OF_A_ROUND = 2, 4, 1000, 60


@dataclass(frozen=True, eq=False, repr=False)
class Refined:
    """What `refine` returns.

    Attributes:
        cost: fitted on all simulations.
        simulations: those given, then those of each round, which bear its number in `round`; of a store that is larger
            than the memory a sample (`simulations.sampled_from`), then those of each round.
        posteriors: as given, with the new cost.
        history: predicted against re-simulated distance in every round, for every posterior.
        cheap: runs of a cheap simulator, with those at the new parameters; None without such a simulator.
        seconds: what runs took, of the rounds in which the draws were chosen by it.
    """

    cost: Cost
    simulations: Simulations
    posteriors: list[GibbsPosterior]
    history: tuple[Agreement, ...]
    cheap: Simulations | None = None
    seconds: tuple[RoundSeconds, ...] = ()

    def __repr__(self) -> str:
        rounds = self.history[-1].round if self.history else 0
        return f"Refined({len(self.posteriors)} posteriors, {rounds} rounds, {len(self.simulations)} simulations)"

    @property
    def outcome(self) -> Outcome:
        """What is still wrong, and the remedy."""
        messages = list(self.cost.outcome.messages)
        last = [agreement for agreement in self.history if agreement.round == self.history[-1].round]
        off = [agreement for agreement in last if not agreement.agrees]
        if off:
            shown = ", ".join(f"{agreement.observation} (beta {agreement.beta:g})" for agreement in off[:5])
            shown += ", ..." * (len(off) > 5)
            messages.append(
                f"When the last round began, the cost still disagreed with new runs at {len(off)} of {len(last)} "
                f"observations: {shown}. The runs have since been used, but whether they sufficed is not known: check, "
                "or refine once more."
            )
        failed = int(np.sum(self.simulations.status[self.simulations.round > 0] > 1))
        if failed:
            messages.append(f"{failed} of the new runs failed: {failures_told(self.cost)}.")
        return Outcome(tuple(dict.fromkeys(messages)))

    def summary(self) -> str:
        """One line a round and posterior, and what is wrong."""
        lines = ["round observation      beta predicted simulated              slope  noise agree"]
        for row in self.history:
            lines.append(
                f"{row.round:5d} {row.observation:11d} {row.beta:9.5g} {row.predicted:9.4g} {row.simulated:9.4g} "
                f"+- {row.error:<8.2g} {row.slope:6.2f} {row.resolution:6.2f} {'yes' if row.agrees else 'no'}"
            )
        lines.append("slope: error of the log density over the posterior, by a line through new runs;")
        lines.append("noise: what noise alone would make of it")
        lines += map(str, self.seconds)
        return "\n".join([*lines, *(f"warning: {text}" for text in self.outcome.messages)])


def refine(
    posteriors: GibbsPosterior | Sequence[GibbsPosterior] | GibbsPosteriors,
    simulator: AnySimulator,
    simulations: Simulations | str | Path,
    n: int,
    *,
    rounds: int | None = None,
    seed: int,
    store: str | Path | None = None,
    batch_size: int | None = None,
    workers: Workers = 1,
    timeout: int | float | None = None,
    memory: int | str | None = None,
    progress: bool = True,
    cheap: tuple[AnySimulator, Simulations] | None = None,
    rows_in_memory: int = ROWS_IN_MEMORY,
    by_seconds: bool = True,
) -> Refined:
    """Simulates where the posteriors are, and fits their cost anew on all simulations.

    A round's parameters are draws of every observation's posterior at its highest beta, and some at a quarter and a
    sixteenth of it. The runs at beta itself are first compared with the cost that has not seen them. Once they agree
    with it at every observation, and are enough to have shown an error of half a unit of log density, the round's fit
    is the last.

    Where it is known what single runs took (`Simulations.run_seconds`; not of JAX simulators), they take 10 ms or more,
    and the parameters tell who takes longer, draws are chosen inversely to the root of their seconds, at most five
    times as often or as rarely as others: as many runs take less time, at about the same error.

    Args:
        posteriors: one, several, or a stack; of one prior and cost.
        simulator: as given to `simulate`.
        simulations: those that the cost was fitted on; or the path of their store, to which the new rows are written,
            and which may be larger than the memory.
        n: number of new simulations, of all rounds and observations together.
        rounds: over which they are spread. None: two, or up to four where there are at most 1,000 an observation.
        seed: of draws, runs and fits.
        store: path of the Zarr store of `simulations`, to which the new rows are written batch by batch (it is made if
            there is none); an interrupted call goes on where it stopped.
        batch_size: see `simulate`.
        workers: see `simulate`.
        timeout: of one run, in seconds; see `simulate`.
        memory: of one run; see `simulate`.
        progress: show progress bars.
        cheap: where the cost was fitted with runs of a cheap simulator: this simulator and these runs. It is run at the
            new parameters as well, with the same random numbers; its runs are not stored.
        rows_in_memory: of a store, given by its path, with more rows so many are read; the cost is fitted on all (see
            `fit_cost`).
        by_seconds: whether draws are chosen by what their runs take. Measured seconds differ from call to call, and so
            do the draws then, but for those of a store that are gone on with: False for the same ones in every call.

    Raises:
        TypeError: posteriors are none, or simulations are none.
        FileNotFoundError: there is no store at the path given as simulations.
        ValueError: the posteriors have different costs or priors; simulations of other parameters, or a sample of a
            store; too few new runs; store is another path than simulations; or cheap is missing where the cost needs
            it, or given where it does not.

    Example:
        >>> refined = gb.refine(posterior, simulator, simulations, 2000, seed=1)
        >>> draws = refined.posteriors[0].sample(4000, seed=0)
    """
    given = _listed(posteriors)
    n, seed = checked_count("n", n), check_seed(seed)
    cost, prior = given[0].cost, given[0].prior
    store = store if isinstance(simulations, Simulations) else _same_store(simulations, store)
    _check_cheap(cheap, cost)
    observations = _observations(given)
    rounds = _rounds_of(n, len(observations)) if rounds is None else checked_count("rounds", rounds)
    _check_size(n, rounds, len(observations))
    known = _known(simulations, cost, store, checked_count("rows_in_memory", rows_in_memory, least=100))
    history: list[Agreement] = []
    of_rounds: list[RoundSeconds] = []
    running: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "progress": progress}
    for number in range(1, rounds + 1):
        size = n * number // rounds - n * (number - 1) // rounds
        seeds = np.random.SeedSequence([seed, known.rounds + 1]).generate_state(2).tolist()
        seconds = expected_seconds(known.simulations) if by_seconds else None
        propose = functools.partial(proposals, prior, cost, observations, size, seeds[0], progress, seconds)
        new = simulate_round(
            simulator,
            known.simulations,
            propose,
            known.rounds + 1,
            seed=seeds[1],
            noise_block=_noise_blocks(size, cost),
            store=store,
            timeout=timeout,
            memory=memory,
            **running,
        )
        if cheap is not None:
            cheap = (cheap[0], cheap[1].joined(_same_runs(cheap[0], cheap[1], new, seeds[1], **running)))
        of_rounds += [] if seconds is None else [seconds_of_round(seconds, new)]
        found = _agreements(observations, cost, rows_as_known(cost, new), number)
        history += found
        known, cheap_runs = known.with_round(new), None if cheap is None else cheap[1]
        cost = refit(cost, known.for_fit, seed=seed, progress=progress, cheap=cheap_runs, rows_in_memory=rows_in_memory)
        if all(agreement.suffices for agreement in found):
            break
    posteriors = [_with_cost(posterior, cost) for posterior in given]
    cheap_runs = None if cheap is None else cheap[1]
    return Refined(cost, known.simulations, posteriors, tuple(history), cheap_runs, tuple(of_rounds))


def _known(
    simulations: Simulations | str | Path, cost: Cost, store: str | Path | None, rows_in_memory: int
) -> KnownRows:
    """What the cost was fitted on, checked; a store is made only once nothing is wrong."""
    if isinstance(simulations, str | Path):
        known = KnownRows.of_store(Path(simulations), cost, rows_in_memory)
        _check_simulations(known.simulations, cost)
        return known
    _check_simulations(simulations, cost)
    return KnownRows.of_memory(simulations, cost, store)


def _check_simulations(simulations: Simulations, cost: Cost) -> None:
    """Raise ValueError unless a cost was fitted on simulations like these."""
    names = cost.names if cost.whole is None else cost.whole.names
    if (simulations.names, simulations.x_shape) != (names, cost.x_shape):
        raise ValueError(
            f"simulations have the parameters {simulations.names} and outputs of shape {simulations.x_shape}, the cost "
            f"those of {names} and {cost.x_shape}: give the simulations that it was fitted on."
        )
    if cost.settings.get("form") is None:
        raise ValueError("the cost was not fitted (Cost.exact?): there is nothing to refine.")


def _check_cheap(cheap: tuple[AnySimulator, Simulations] | None, cost: Cost) -> None:
    """Raise ValueError where a cost needs a cheap simulator at new parameters, or has no use for one."""
    fitted = (cost if cost.whole is None else cost.whole).settings.get("cheap")
    if fitted is not None and cheap is None:
        raise ValueError(
            f"the cost was fitted with {fitted['pairs'] + fitted['others']} runs of a cheap simulator "
            f"({fitted['simulator']}), and new runs need a partner each: give refine(..., cheap=(simulator, "
            "simulations)) with this simulator and these runs."
        )
    if fitted is None and cheap is not None:
        raise ValueError(
            "cheap is for a cost that was fitted with runs of a cheap simulator, fit_cost(..., cheap=simulations), and "
            "this one was not: leave it out, or fit the cost with them first."
        )


def _same_runs(simulator: AnySimulator, cheap: Simulations, new: Simulations, seed: int, **running: Any) -> Simulations:
    """The runs of a round by the cheap simulator: the same parameters and random numbers."""
    number, shared = int(new.round[0]), new.noise_block
    return simulate_round(simulator, cheap, lambda: new.inputs, number, seed=seed, noise_block=shared, **running)


def _rounds_of(n: int, observations: int) -> int:
    """The number of rounds where nothing is said."""
    of_each = n // observations
    return _ROUNDS if of_each > _FEW_RUNS else min(max(of_each // _RUNS_OF_A_ROUND, 1), _MOST_ROUNDS)


def _check_size(n: int, rounds: int, observations: int) -> None:
    """Raise ValueError unless every round has runs enough to judge the cost at every observation."""
    least = rounds * observations * _LEAST_RUNS
    if n < least:
        raise ValueError(
            f"n must be at least {least}, {_LEAST_RUNS} new simulations an observation and round, got {n} for "
            f"{observations} observation(s) and {rounds} round(s)."
        )


def _same_store(simulations: Any, store: str | Path | None) -> Any:
    """The store of simulations that are given by its path, to which new rows are written as well."""
    if not isinstance(simulations, str | Path):
        raise TypeError(f"simulations must be genbayes.Simulations or a path, got {type(simulations).__name__}.")
    if store is not None and Path(store) != Path(simulations):
        raise ValueError(
            f"store is {store}, and simulations are those in {simulations}, to which the new rows are written: leave "
            "store out."
        )
    return simulations


def _noise_blocks(size: int, cost: Cost) -> Int[np.ndarray, " size"] | None:
    """Which rows of a round share their random numbers; None where the cost needs all that there are."""
    # What is learned of whole distributions, rather than of means, needs independent rows.
    return np.arange(size) // _SHARING + 1 if isinstance(cost.form, HilbertForm) else None


def _listed(posteriors: Any) -> list[GibbsPosterior]:
    if isinstance(posteriors, GibbsPosteriors):
        return [posteriors.posterior(i, j) for i in range(len(posteriors)) for j in range(len(posteriors.betas))]
    listed = list(posteriors) if isinstance(posteriors, Iterable) else [posteriors]
    if not listed or not all(isinstance(posterior, GibbsPosterior) for posterior in listed):
        got = ", ".join(sorted({type(posterior).__name__ for posterior in listed})) or "an empty list"
        remedy = "".join(remedy_for_joint(posterior) for posterior in listed[:1])
        raise TypeError(f"posteriors must be GibbsPosterior, a list of them, or GibbsPosteriors, got {got}.{remedy}")
    first = listed[0]
    if any(other.cost is not first.cost or other.prior != first.prior for other in listed):
        raise ValueError("posteriors must share one cost and one prior: refine those of each cost by themselves.")
    return listed


def _observations(posteriors: Sequence[GibbsPosterior]) -> list[GibbsPosterior]:
    """The posterior of the highest beta of every observation (under its conditions)."""
    highest: dict[Any, GibbsPosterior] = {}
    for posterior in posteriors:
        key = (posterior.x_o.tobytes(), tuple(posterior.conditions.items()))
        if key not in highest or highest[key].beta < posterior.beta:
            highest[key] = posterior
    return list(highest.values())


def _with_cost(posterior: GibbsPosterior, cost: Cost) -> GibbsPosterior:
    conditions = posterior.conditions or None
    return GibbsPosterior(posterior.prior, cost, posterior.x_o, posterior.beta, conditions=conditions)


def _agreements(posteriors: Sequence[GibbsPosterior], cost: Cost, new: Simulations, number: int) -> list[Agreement]:
    """For every observation: the runs at draws of its posterior at beta, with the cost that they were drawn by."""
    whose, share = shares(len(new), len(posteriors))
    told = new.ok if cost.penalty is None else np.ones(len(new), bool)
    return [
        measured_agreement(
            posterior,
            cost,
            new.selected(np.flatnonzero((whose == i) & (share == 1.0) & told)),
            number=number,
            observation=i,
        )
        for i, posterior in enumerate(posteriors)
    ]
