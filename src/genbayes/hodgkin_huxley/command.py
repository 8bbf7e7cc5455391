"""`genbayes hodgkin-huxley`: infer a neuron model from each recording of a folder, with one fit for all."""

import argparse
from pathlib import Path

from .. import hodgkin_huxley as hh
from ..command_line import stages
from ..command_line.argument_types import Several, count, natural, path, positive
from ..command_line.folder import Folder, stored_cost
from ..command_line.problem import Problem, ReportSettings
from ..command_line.registry import Commands, register
from ..command_line.staleness import stale
from ..command_line.terminal import Terminal
from ..costs.cost import Cost
from ..runtime.progress import progress_bar
from ..simulations.rows import Simulations
from .inputs import PUBLISHED_CELL, check_windows, choose_stimulus, claim, read_observed
from .posterior import Found, Run, infer
from .results import tables, write_rows, write_summary

LABELS = (
    "number of spikes",
    "resting voltage (mV)",
    "s.d. at rest (mV)",
    "mean voltage (mV)",
    "variance (mV²)",
    "skewness",
    "kurtosis",
)
EXAMPLES = """\
examples:
  genbayes hodgkin-huxley --recordings recordings --simulations 10000
  genbayes hodgkin-huxley --recordings recordings --simulations 100000 --own-conditions
"""


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes hodgkin-huxley`."""
    text = "Infer a Hodgkin-Huxley model from each intracellular recording of a folder, with one fit for all."
    command = commands.add("hodgkin-huxley", run, text, problem=False, kept=kept, epilog=EXAMPLES)
    add = command.add_argument
    add("--recordings", type=Path, required=True, metavar="DIR", help="folder of .npz and .nwb files, or one file")
    add("-n", "--simulations", type=count, default=10_000, dest="n_simulations", metavar="N", help="default: 10000")
    text = "inverse temperatures (default: 25 50 100)"
    add("--beta", type=positive, nargs="+", action=Several, default=[25.0, 50.0, 100.0], metavar="B", help=text)
    text = "simulate and infer each recording under its own amplitude and initial voltage"
    add("--own-conditions", action="store_true", help=text)
    text = f"recording whose current is simulated (part of its name; default: {PUBLISHED_CELL}, else the first)"
    add("--stimulus", metavar="NAME", help=text)
    add("--draws", type=count, default=4000, metavar="N", help="per posterior (default: 4000)")
    add("--resimulate", type=count, default=100, metavar="N", help="draws to run again (default: 100)")
    add("--seed", type=natural, default=0)
    text = "folder (default: hodgkin-huxley, or hodgkin-huxley-own-conditions)"
    add("--out", type=path, metavar="DIR", help=text)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Simulates and fits once, then samples, re-simulates and reports for each recording and beta.

    Raises:
        ValueError: no recording can be used, or their stimuli differ in time.
        RuntimeError: something failed; all the rest has been done and written.
    """
    stages.need_plots()
    found = Found()
    observed = read_observed(options.recordings, found.failures)
    told = len(found.failures)
    terminal.warn(found.failures)
    given = choose_stimulus([recording for recording, _ in observed], options.stimulus)
    check_windows(given, [recording for recording, _ in observed])
    stimulus = hh.Stimulus.of(given)
    problem, folder = _problem(stimulus, options.own_conditions), Folder(_out(options))
    claim(folder, stimulus)
    terminal.say(
        f"{len(observed)} recording(s) in {options.recordings}; {options.n_simulations} simulations with the current "
        f"of {given.name}{', at amplitudes and initial voltages of all kinds' * options.own_conditions}"
    )
    simulations = _simulations(problem, folder, options, terminal)
    cost = _cost(problem, folder, simulations, options, terminal)
    shared = Run(problem, stimulus, given.name, folder, simulations, cost, options)
    betas = sorted(set(options.beta))
    with progress_bar("posteriors", len(observed) * len(betas), not terminal.quiet) as advance:
        for recording, x_o in observed:
            for beta in betas:
                infer(shared, recording, x_o, beta, found)
                _write(shared, found)
                advance(note=f"{recording.name}, beta {beta:g}")
    terminal.warn(found.failures[told:])
    _print(shared, found, len(observed) * len(betas), terminal)


def kept(options: argparse.Namespace) -> str:
    """What an interrupted run leaves."""
    folder = Folder(_out(options))
    done, stored = folder.stored()
    if not stored:
        return "nothing had been stored yet"
    parts = [f"{done} of {stored} simulations"] + ["the cost"] * folder.cost.exists()
    draws = len(list(folder.path.glob("*-draws-beta-*.zarr")))
    return f"kept in {folder.path}: {', '.join(parts + [f'{draws} posterior(s)'] * (draws > 0))}"


def _out(options: argparse.Namespace) -> Path:
    default = "hodgkin-huxley" + "-own-conditions" * options.own_conditions
    return Path(default) if options.out is None else options.out


def _problem(stimulus: hh.Stimulus, own_conditions: bool) -> Problem:
    task = hh.hodgkin_huxley(stimulus)
    return Problem(
        name="Hodgkin-Huxley model",
        path=None,
        simulator=hh.ConditionalHodgkinHuxley(stimulus) if own_conditions else task.simulator,
        prior=task.prior,
        distance=task.distance,
        report=ReportSettings(LABELS),
        distance_settings={"name": task.distance.name, "scale": list(hh.PRIOR_PREDICTIVE_STD)},
        conditions=hh.conditions_prior() if own_conditions else None,
    )


def _simulations(problem: Problem, folder: Folder, options: argparse.Namespace, terminal: Terminal) -> Simulations:
    done, _ = folder.stored()
    if done:
        terminal.say(f"{done} simulations are in {folder.simulations} already")
    n, seed = options.n_simulations, options.seed
    simulations = stages.run_simulations(problem, folder, n, seed=seed, progress=not terminal.quiet)
    if simulations.n_failed:
        terminal.warn([simulations.summary().replace("\n", "; ")])
    return simulations


def _cost(
    problem: Problem, folder: Folder, simulations: Simulations, options: argparse.Namespace, terminal: Terminal
) -> Cost:
    """The stored cost where it is the one that would be fitted."""
    cost = _stored(problem, folder)
    if cost is not None and not stale(problem, folder, cost):
        expected = {
            "seed": options.seed,
            "simulations": len(simulations),
            "simulations_failed": simulations.n_failed,
            "simulation_seed": simulations.seed,
        }
        if all(cost.settings.get(key) == value for key, value in expected.items()):
            terminal.say(f"the cost in {folder.cost} is up to date")
            return cost
    cost = stages.run_fit(problem, folder, simulations, seed=options.seed, progress=not terminal.quiet)
    terminal.warn(cost.outcome.messages)
    return cost


def _stored(problem: Problem, folder: Folder) -> Cost | None:
    try:
        return stored_cost(problem, folder)
    except (ValueError, FileNotFoundError):  # none, or one of another version: it is fitted again
        return None


def _write(run: Run, found: Found) -> None:
    """After every posterior, so that an interrupted run leaves its results."""
    options, out = run.options, run.folder.path
    write_rows(out / "results.csv", found.rows)
    conditions = (
        "each recording's own amplitude and initial voltage"
        if options.own_conditions
        else "its amplitude and initial voltage for all recordings, as published: where a recording had others, the "
        "parameters make up for the difference (`--own-conditions` simulates each recording's own)"
    )
    about = (
        f"{len(run.simulations)} simulations (seed {options.seed}) with the current of {run.stimulus_name} and "
        f"{conditions}; one fit; {options.draws} draws per posterior, {options.resimulate} of them run again.",
    )
    write_summary(
        out / "summary.md",
        found.rows,
        command=options.command_line,
        about=about,
        reports=found.reports,
        failures=found.failures,
    )


def _print(run: Run, found: Found, posteriors: int, terminal: Terminal) -> None:
    if found.rows:
        for table in tables(found.rows):
            terminal.say("")
            terminal.table(table.header, table.rows, table.title)
    terminal.warn(found.warnings)
    for name in ("results.csv", "summary.md"):
        terminal.path(run.folder.path / name)
    if found.failures:
        raise RuntimeError(
            f"{len(found.failures)} failure(s), see above; {len(found.rows)} of {posteriors} posteriors are in "
            f"{run.folder.path / 'results.csv'}."
        )
