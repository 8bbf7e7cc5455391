"""`genbayes campaign`: simulate, fit, sample, check and refine until the verdict is fine or more runs do not help."""

import argparse
import hashlib
from dataclasses import replace
from typing import Any

from ..checks.verdict import EXIT_CODES
from ..reports.markup import Section, composed, paragraph, table
from ..simulations.writer_lock import StoreInUse, only_writer
from . import stages
from .argument_types import count
from .campaign_decision import LEAST_RUNS, Decision, Plan, decide, spent
from .campaign_log import Log
from .campaign_record import Record, check_settings, read_record
from .campaign_rounds import Campaign, make_round, need_same_cost, reportable, rows_of
from .folder import save_section, stored_cost, stored_sections, stored_simulations
from .problem_options import (
    add_other_observation,
    add_seed,
    add_simulations,
    add_workers,
    folder_of,
    need_betas,
    need_observation,
    problem_of,
    with_observation,
    workers_of,
)
from .registry import Commands, register
from .sample_command import add_sampling
from .staleness import stale
from .terminal import Terminal

# Draws run in a check below which nothing is judged.
_LEAST_DRAWS = 50
_ENDINGS = {
    "ok": "the verdict is ok",
    "no help": "more runs do not help",
    "budget": "the budget is spent",
}


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes campaign`."""
    text = (
        "Simulate, fit, sample, check and refine until the verdict is fine, the budget is spent, or more runs do not "
    )
    text += (
        "help; resumable. Exit code: that of the last verdict, 0 fine, 3 take care, 4 do not rely on it (1 error, 2 "
    )
    command = commands.add("campaign", run, text + "usage).")
    argument = command.add_argument
    argument("--budget", type=count, required=True, metavar="N", help="most runs of the simulator, those of checks too")
    text = "draws of the prior to begin with (default: 10000, or half of the budget where that is less)"
    add_simulations(command, None, text)
    text = "runs of the first refinement; each further one doubles them (default: a fifth of --simulations)"
    argument("--first", type=count, metavar="N", help=text)
    text = "draws run, twice each, by the first check of a beta (default: 500)"
    argument("--resimulate", type=count, default=500, metavar="N", help=text)
    add_sampling(command)
    add_other_observation(command)
    add_workers(command)
    add_seed(command)


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Goes on with the campaign of the folder, or begins one; returns the exit code of the last verdict.

    Raises:
        ValueError: there is no beta or observation; the budget is too small; the campaign was begun with other
            settings; or another command has changed what it works on.
    """
    stages.need_plots()
    problem, folder = with_observation(problem_of(options, terminal), options), folder_of(options)
    betas = need_betas(options.beta or problem.sample.beta, problem, "campaign", options)
    need_observation(problem, problem.x_o)
    path = folder.result("campaign")
    log = Log(folder.path / "campaign.log", terminal)
    try:
        with only_writer(path):
            campaign = Campaign(problem, folder, options, betas, workers_of(options, problem), terminal, log)
            return _go_on(campaign, _begun(campaign))
    except StoreInUse as error:
        raise StoreInUse(f"a campaign is at work in {folder.path} already. {error}") from error
    except KeyboardInterrupt:
        log.say("Interrupted. The same command goes on from here.")
        raise
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        log.say(f"Stopped by an error: {error}")
        raise


def _begun(campaign: Campaign) -> Record:
    """The record of the campaign of the folder, or of one that begins."""
    options, folder, log = campaign.options, campaign.folder, campaign.log
    if options.resimulate < _LEAST_DRAWS:
        raise ValueError(
            f"--resimulate must be at least {_LEAST_DRAWS}, got {options.resimulate}: fewer judge nothing."
        )
    record = read_record(folder.result("campaign"))
    # What was there when it began counts as simulated, however many were asked for.
    sizes = _sizes(campaign, record.settings["simulations"] if record else folder.stored()[1])
    given = {**_settings(campaign), **sizes}
    if record is not None:
        # Left out, they follow from the budget, which may have been raised.
        typed = {"simulations": options.n_simulations, "first": options.first}
        free = [name for name, value in typed.items() if value is None]
        given |= {name: record.settings.get(name) for name in free}
        check_settings(record.settings, given, folder.result("campaign"), "--out")
        log.say(f"The campaign goes on: {_progress(record)}. The budget is {options.budget} runs.")
        return record
    counts = stored_simulations(campaign.problem, folder).counts if folder.simulations.exists() else None
    if counts is not None and counts.rows > counts.of_prior:
        raise ValueError(
            f"{folder.simulations} holds runs of a refinement, and a campaign begins with draws of the prior: name "
            "another folder by --out."
        )
    shown = ", ".join(f"{beta:g}" for beta in campaign.betas)
    log.say(
        f"The campaign begins: {campaign.problem.name}, beta {shown}, seed {options.seed}, at most {options.budget} "
        f"runs, in {folder.path}."
    )
    return campaign.save(Record(given).with_step("simulate", given["simulations"], options.resimulate))


def _sizes(campaign: Campaign, stored: int) -> dict[str, int]:
    """How many draws of the prior there are to be, and runs of the first refinement.

    Raises:
        ValueError: the budget does not hold the first round.
    """
    options = campaign.options
    check = 2 * options.resimulate * len(campaign.betas)
    simulations = options.n_simulations or min(10_000, max(options.budget - check, 0) // 2)
    simulations = max(simulations, stored)
    least = check + max(simulations, 2 * LEAST_RUNS)
    if options.budget < least:
        raise ValueError(
            f"--budget {options.budget} does not hold the first round: {simulations} draws of the prior and {check} "
            f"runs at the draws of {len(campaign.betas)} beta(s). Give at least {least}, or a smaller --resimulate."
        )
    return {"simulations": simulations, "first": max(options.first or simulations // 5, LEAST_RUNS)}


def _settings(campaign: Campaign) -> dict[str, Any]:
    """What decides the numbers of a campaign, beside its sizes."""
    problem, options = campaign.problem, campaign.options
    x_o = need_observation(problem, problem.x_o)
    known = repr(sorted(problem.x_o_conditions.items())).encode()
    return {
        "beta": list(campaign.betas),
        "seed": options.seed,
        "resimulate": options.resimulate,
        "n": options.draws or problem.sample.n,
        "sampler": options.sampler or problem.sample.sampler,
        "observation": hashlib.sha256(x_o.tobytes() + known).hexdigest()[:16],
    }


def _go_on(campaign: Campaign, record: Record) -> int:
    """Makes rounds until the campaign ends."""
    options, folder, log = campaign.options, campaign.folder, campaign.log
    plan = Plan(options.budget, record.settings["first"], record.settings["n"])
    if record.fitted or (record.present is not None and record.present.fitted):
        _need_unchanged(campaign, record)
    while True:
        if record.present is not None:
            record = make_round(campaign, record)
        decision = decide(record.rounds, plan)
        if record.reported < len(record.rounds):
            _report(campaign, record, decision)
            record = campaign.save(replace(record, reported=len(record.rounds)))
        log.say(f"{spent(record.rounds)} of {options.budget} runs are spent. {_next(decision)}: {decision.why}")
        if decision.step == "end":
            break
        record = campaign.save(record.with_step(decision.step, decision.runs, decision.draws_run))
    for beta in campaign.betas:
        campaign.terminal.path(folder.report(beta))
    campaign.terminal.path(log.path)
    if campaign.terminal.quiet and decision.ending != "ok":
        campaign.terminal.warn([decision.why])
    return EXIT_CODES[record.rounds[-1].level]


def _need_unchanged(campaign: Campaign, record: Record) -> None:
    """ValueError where the problem, or the cost, is another one than the campaign has left."""
    cost = stored_cost(campaign.problem, campaign.folder)
    if record.present is None:
        need_same_cost(cost, record.fitted, campaign.folder)
    if changed := stale(campaign.problem, campaign.folder, cost):
        raise ValueError(
            f"the campaign in {campaign.folder.path} cannot go on: {changed[0]} A campaign is of one problem: undo the "
            "change, or begin another one (--out)."
        )


def _next(decision: Decision) -> str:
    """What follows, as a clause."""
    return f"The campaign ends, {_ENDINGS[decision.ending]}" if decision.ending else "It goes on"


def _progress(record: Record) -> str:
    rounds = len(record.rounds)
    done = f"{rounds} round{'s' * (rounds != 1)} done" if rounds else "no round done yet"
    return f"{done}, {spent(record.rounds)} runs in them"


def _section(record: Record, decision: Decision) -> Section:
    """The part of every report that shows the rounds."""
    header = ("round", "simulations", "draws run", "beta", "verdict", "error", "what needs care")
    text = "Error: of the log density at the draws, by new runs and by the ensemble, in multiples of what would matter."
    parts = [table(header, rows_of(record.rounds)), paragraph(text), paragraph(f"{_next(decision)}: {decision.why}")]
    # The verdict is that of the check, and no worse for it.
    return composed("Campaign", parts)


def _report(campaign: Campaign, record: Record, decision: Decision) -> None:
    """Writes the reports on all inverse temperatures anew."""
    problem, folder = campaign.problem, campaign.folder
    cost, simulations = stored_cost(problem, folder), stored_simulations(problem, folder)
    save_section(folder, "campaign", _section(record, decision), cost)
    for beta, one in zip(campaign.betas, reportable(campaign, cost, record.rounds[-1]), strict=True):
        stages.run_report(
            problem,
            folder.report(beta),
            cost,
            one.draws,
            simulations,
            check=one.runs,
            observation=problem.observation,
            sections=stored_sections(folder, cost, beta),
            progress=False,
        )
