"""A round of a campaign: simulations, cost, draws, verdicts, each stored before the next begins, and so done once."""

import argparse
import time
from dataclasses import dataclass

import numpy as np

from ..checks.error_in_nats import ErrorInNats
from ..checks.predictive import PredictiveCheck, check_predictive
from ..checks.support import SupportReference
from ..checks.verdict import Check, check
from ..costs.cost import Cost
from ..costs.files import save
from ..costs.fingerprint import fingerprint
from ..refinement.rounds import refine
from ..runtime.processes import plain_main
from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from ..simulations.executors import Workers
from ..simulations.rows import Simulations
from . import stages
from .campaign_decision import Judged, Point, Round, error_in_multiples
from .campaign_log import Log, told_seconds
from .campaign_record import Present, Record
from .check_command import store_check
from .folder import Folder, refined_simulations, stored_cost, stored_draws, stored_simulations
from .problem import Problem
from .problem_options import need_observation, posterior_of
from .sample_command import sample_and_store
from .terminal import Terminal

# Sets the seeds of the runs that judge a round apart from those of simulations and refinements.
_CHECK_STREAM = 3


@dataclass(frozen=True)
class Campaign:
    """What all rounds work on.

    Attributes:
        problem: what to infer.
        folder: of its artefacts.
        options: of the command.
        betas: inverse temperatures, ascending.
        workers: who runs the simulator.
        terminal: on which is printed.
        log: of the campaign.
    """

    problem: Problem
    folder: Folder
    options: argparse.Namespace
    betas: tuple[float, ...]
    workers: Workers
    terminal: Terminal
    log: Log

    def save(self, record: Record) -> Record:
        """Stores how far the campaign is, and returns it."""
        record.save(self.folder.result("campaign"))
        return record


@dataclass(frozen=True)
class Reportable:
    """What a report on one inverse temperature is made of.

    Attributes:
        draws: at this inverse temperature.
        runs: new ones at the draws.
    """

    draws: Draws
    runs: PredictiveCheck


def make_round(campaign: Campaign, record: Record) -> Record:
    """Makes what is missing of the present round, and returns the record with it.

    Raises:
        ValueError: another command has changed the cost; there is no observation; all runs failed.
    """
    assert record.present is not None
    cost, simulations, record = _fitted(campaign, record)
    record = _sampled(campaign, cost, record)
    record = _checked(campaign, cost, simulations, record)
    counts = simulations.counts
    return campaign.save(record.with_round(counts.of_prior, counts.rows - counts.of_prior))


def reportable(campaign: Campaign, cost: Cost, last: Round) -> list[Reportable]:
    """What the reports on the last round are made of; its runs are stored, and nothing is run."""
    found = []
    for beta in campaign.betas:
        draws = stored_draws(campaign.problem, campaign.folder, beta)
        posterior = _posterior(campaign, cost, draws)
        found.append(Reportable(draws, _runs_at(campaign, posterior, draws, last.number, last.draws_run)))
    return found


def _fitted(campaign: Campaign, record: Record) -> tuple[Cost, Simulations, Record]:
    """The cost of the round, with the simulations that it was fitted on."""
    present = record.present
    assert present is not None
    problem, folder, log = campaign.problem, campaign.folder, campaign.log
    if present.fitted or present.step == "look closer":
        cost = stored_cost(problem, folder)
        need_same_cost(cost, present.fitted or record.fitted, folder)
        return cost, stored_simulations(problem, folder), campaign.save(record.with_present(fitted=fingerprint(cost)))
    started = time.monotonic()
    if present.step == "simulate":
        simulations = _simulated(campaign, present.runs)
        cost = stages.run_fit(
            problem, folder, simulations, seed=campaign.options.seed, progress=not campaign.terminal.quiet
        )
    else:
        cost, simulations = _refined(campaign, record, present)
    log.say(
        f"The cost is fitted on {simulations.counts.succeeded} simulations. All this took "
        f"{told_seconds(time.monotonic() - started)}."
    )
    campaign.terminal.warn(cost.outcome.messages)
    return cost, simulations, campaign.save(record.with_present(fitted=fingerprint(cost)))


def _simulated(campaign: Campaign, n: int) -> Simulations:
    """Draws of the prior and their runs, those that are stored included."""
    done, _ = campaign.folder.stored()
    there = f" ({done} are there already)" if done else ""
    campaign.log.say(f"Simulating {n} draws of the prior{there}.")
    found = stages.run_simulations(
        campaign.problem,
        campaign.folder,
        n,
        seed=campaign.options.seed,
        workers=campaign.workers,
        progress=not campaign.terminal.quiet,
    )
    if found.n_failed:
        campaign.log.say(f"{found.n_failed} of {len(found)} runs failed ({found.summary().splitlines()[1].strip()}).")
    return found


def _refined(campaign: Campaign, record: Record, present: Present) -> tuple[Cost, Simulations]:
    """New runs at draws of the cost of the round before, and the cost fitted on all."""
    problem, folder, options = campaign.problem, campaign.folder, campaign.options
    rounds = sum(one.step == "refine" for one in record.rounds) + 1
    cost = stored_cost(problem, folder)
    if cost.settings.get("rounds") == rounds:
        # The campaign ended between the moment when this cost was stored and that in which it was noted.
        return cost, stored_simulations(problem, folder)
    need_same_cost(cost, record.fitted, folder)
    beta = max(campaign.betas)
    campaign.log.say(f"Refining: {present.runs} runs at draws of the posterior at beta {beta:g} and wider ones.")
    posterior = posterior_of(problem, cost, need_observation(problem, problem.x_o), beta, _conditions(campaign))
    with plain_main():
        refined = refine(
            posterior,
            problem.simulator,
            refined_simulations(problem, folder, cost),
            present.runs,
            rounds=1,
            seed=options.seed,
            store=folder.simulations,
            workers=campaign.workers,
            progress=not campaign.terminal.quiet,
        )
    save(refined.cost, folder.cost)
    return refined.cost, refined.simulations


def need_same_cost(cost: Cost, known: str, folder: Folder) -> None:
    """ValueError where the stored cost is not the one that the campaign has left."""
    if fingerprint(cost) != known:
        raise ValueError(
            f"{folder.cost} was fitted anew by another command since the campaign stopped, and what it has judged does "
            f"not hold for that cost. Bring the file back, or begin another campaign in a folder of its own (--out)."
        )


def _sampled(campaign: Campaign, cost: Cost, record: Record) -> Record:
    """Draws at every inverse temperature; those of the round before are kept where nothing has changed."""
    present = record.present
    assert present is not None
    if present.step == "look closer":
        return campaign.save(record.with_present(sampled=campaign.betas))
    for beta in campaign.betas:
        if beta in present.sampled:
            continue
        draws = sample_and_store(campaign.problem, campaign.folder, cost, beta, campaign.options, campaign.terminal)
        campaign.terminal.warn(draws.outcome.messages)
        assert record.present is not None
        record = campaign.save(record.with_present(sampled=(*record.present.sampled, beta)))
    return record


def _checked(campaign: Campaign, cost: Cost, simulations: Simulations, record: Record) -> Record:
    """The verdict on the draws of every inverse temperature, from new runs at them."""
    present = record.present
    assert present is not None
    reference: SupportReference | None = None
    for beta in campaign.betas:
        if any(one.beta == beta for one in present.judged):
            continue
        draws = stored_draws(campaign.problem, campaign.folder, beta)
        posterior = _posterior(campaign, cost, draws)
        runs = _runs_at(campaign, posterior, draws, present.number, present.draws_run)
        found = check(
            posterior,
            draws,
            simulations=simulations,
            predictive=runs,
            seed=campaign.options.seed,
            kind=campaign.problem.report.kind,
            labels=campaign.problem.report.labels,
            reference=reference,
            progress=False,
        )
        reference = found.evidence.reference
        store_check(found, campaign.folder, cost)
        judged = judged_of(found, runs)
        campaign.log.say(_told(judged, present.number))
        assert record.present is not None
        record = campaign.save(record.with_present(judged=(*record.present.judged, judged)))
    return record


def _posterior(campaign: Campaign, cost: Cost, draws: Draws) -> GibbsPosterior:
    return GibbsPosterior(campaign.problem.prior, cost, draws.x_o, draws.beta, conditions=draws.conditions)


def _runs_at(
    campaign: Campaign, posterior: GibbsPosterior, draws: Draws, number: int, draws_run: int
) -> PredictiveCheck:
    """Two new runs at some of the draws, for the round of this number."""
    store = campaign.folder.campaign_runs(number, draws.beta)
    store.parent.mkdir(parents=True, exist_ok=True)
    # Each round has random numbers of its own, apart from those of all simulations.
    words = [campaign.options.seed, number, _CHECK_STREAM]
    seed = int(np.random.SeedSequence(words).generate_state(1)[0])
    with plain_main():
        return check_predictive(
            campaign.problem.simulator,
            posterior,
            draws,
            draws_run,
            seed=seed,
            store=store,
            workers=campaign.workers,
            progress=not campaign.terminal.quiet,
        )


def judged_of(found: Check, runs: PredictiveCheck) -> Judged:
    """A verdict as the campaign keeps it."""
    nats = known_errors(runs.error)
    if np.isfinite(runs.log_density_error):
        nats["members"] = float(runs.log_density_error)
    points = tuple(
        Point(one.check, one.level, one.judged, one.text) for one in found.findings if one.level in ("care", "bad")
    )
    worst = error_in_multiples(nats, runs.error.limit, runs.error.offset_limit)
    return Judged(found.beta, found.level, found.headline, points, worst, nats, 2 * runs.total)


def known_errors(error: ErrorInNats) -> dict[str, float]:
    """Of what new runs say of an error, what is sure, or known well enough to say that it does not matter."""
    each = {
        "offset": (error.offset, error.offset_error <= error.offset_limit or error.off),
        "slope": (error.slope, error.slope_error <= error.limit or error.slope_sure),
        "varying": (error.varies, error.varies_error <= error.limit or error.varies_sure),
    }
    return {name: float(value) for name, (value, known) in each.items() if known and np.isfinite(value)}


def _told(judged: Judged, number: int) -> str:
    """A verdict in the log."""
    nats = ", ".join(f"{name} {value:.2g}" for name, value in judged.nats.items())
    text = f"Round {number}, beta {judged.beta:g}: {judged.headline}. Error of the log density at the draws, in nats: "
    text += f"{nats or 'not known'}; {judged.error:.2g} times what would matter."
    named = ", ".join(dict.fromkeys(f"{one.check}{'' if one.judged else ' (not judged)'}" for one in judged.points))
    return text + (f" What needs care: {named}." if named else "")


def rows_of(rounds: tuple[Round, ...]) -> list[tuple]:
    """The table of all rounds: step, simulations so far, draws run, beta, verdict, error, what needs care."""
    return [
        (
            f"{one.number}: {one.step}",
            one.prior_runs + one.refined_runs,
            one.draws_run,
            f"{judged.beta:g}",
            judged.level,
            f"{judged.error:.2g}",
            ", ".join(dict.fromkeys(point.check for point in judged.points)) or "nothing",
        )
        for one in rounds
        for judged in one.judged
    ]


def _conditions(campaign: Campaign) -> dict[str, float] | None:
    return campaign.problem.x_o_conditions or None
