"""What each command does, in terms of the workflow, and what it prints."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..costs.cost import Cost
from ..runtime.progress import progress_bar
from ..runtime.statistics import mean_and_error
from ..sampling.draws import Draws
from ..sampling.stack import GibbsPosteriors
from ..simulations.rows import Simulations
from ..tasks.lynx_hare import DEMO_BETA, SPECIES, YEARS, lynx_hare
from . import stack_command, stages
from .folder import (
    Folder,
    command_line,
    drawn_betas,
    save_tree,
    stored_cost,
    stored_draws,
    stored_sections,
    stored_simulations,
)
from .observations import read_observation, read_observations
from .problem import Problem, ReportSettings, SampleSettings, read_problem
from .stages import Reported
from .terminal import Terminal

NO_BETA = (
    "beta is not given, and it has no default: it says how strongly the cost speaks against the prior, in "
    "1 / ({units}). Try a ladder, {command} --beta 1 10 100, and compare in the reports the cost of the draws with the "
    "replicate distance (of two runs at one parameter): beyond the smallest beta whose expected cost comes near it, a "
    "larger one gains little. Or set beta in the table [sample]."
)


def demo(options: argparse.Namespace, terminal: Terminal) -> None:
    """Infers a Lotka-Volterra model from the lynx-hare record."""
    task = lynx_hare()
    problem = Problem(
        name="Lynx and snowshoe hare, 1900-1920",
        path=None,
        simulator=task.simulator,
        prior=task.prior,
        distance=task.distance,
        x_o=task.x_o,
        sample=SampleSettings(n=options.n, beta=(options.beta or DEMO_BETA,)),
        report=ReportSettings(tuple(f"log {name}" for name in SPECIES), "year", tuple(map(float, YEARS))),
    )
    terminal.say(
        "Which Lotka-Volterra models reproduce the Hudson's Bay Company's record of lynx\n"
        f"and hare, 1900-1920? {len(task.prior.names)} parameters, {options.n_simulations} simulations, "
        f"beta {problem.sample.beta[0]:g}."
    )
    _chain(problem, folder_of(options), options, terminal, report_name="report.html")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """All stages of a problem."""
    problem = read_problem(options.problem)
    _betas(options, problem)
    if problem.x_o is None:
        raise ValueError(f'{problem.path} has no observation. Add a table [observation] with file = "x_o.csv".')
    _chain(problem, folder_of(options), options, terminal)


def _chain(
    problem: Problem, folder: Folder, options: argparse.Namespace, terminal: Terminal, report_name: str | None = None
) -> None:
    """All stages after one another, and the tables of the result."""
    stages.need_plots()
    simulations = _simulations(problem, folder, options, terminal)
    cost = _cost(problem, folder, simulations, options, terminal)
    for beta in _betas(options, problem):
        draws = _draws(problem, folder, cost, beta, options, terminal)
        path = folder.path / report_name if report_name else folder.report(beta)
        reported = stages.run_report(problem, path, cost, draws, simulations, **_report_options(options, terminal))
        _print_result(simulations, cost, draws, reported, terminal)
        terminal.warn([*draws.outcome.messages, *(reported.check.outcome.messages if reported.check else ())])
        terminal.path(reported.path)


def simulate(options: argparse.Namespace, terminal: Terminal) -> None:
    """Simulates into the store of the problem, or continues it."""
    folder = folder_of(options)
    simulations = _simulations(read_problem(options.problem), folder, options, terminal)
    terminal.say(simulations.summary().split("\n")[0])
    terminal.path(folder.simulations)


def _simulations(problem: Problem, folder: Folder, options: argparse.Namespace, terminal: Terminal) -> Simulations:
    done, _ = folder.stored()
    if done:
        terminal.say(f"resuming: {done} simulations are in {folder.simulations} already")
    simulations = stages.run_simulations(
        problem,
        folder,
        options.n_simulations,
        seed=options.seed,
        workers=options.workers,
        batch_size=getattr(options, "batch_size", None),
        retry_failed=getattr(options, "retry_failed", False),
        progress=not terminal.quiet,
    )
    if simulations.n_failed:
        reasons = simulations.summary().split("\n")[1]
        text = f"{simulations.n_failed} of {len(simulations)} runs failed; the cost is that of the runs that succeed"
        terminal.warn([f"{text} ({reasons})."])
    return simulations


def fit(options: argparse.Namespace, terminal: Terminal) -> None:
    """Fits the cost on the stored simulations."""
    problem, folder = read_problem(options.problem), folder_of(options)
    done, stored = folder.stored()
    simulations = stored_simulations(problem, folder)
    if done < stored:
        remedy = f"go on with: {command_line('simulate', problem)} -n {stored}"
        terminal.warn([f"Only {done} of {stored} simulations have been run, and these are used; {remedy}"])
    _cost(problem, folder, simulations, options, terminal)
    terminal.path(folder.cost)


def _cost(
    problem: Problem, folder: Folder, simulations: Simulations, options: argparse.Namespace, terminal: Terminal
) -> Cost:
    cost = stages.run_fit(problem, folder, simulations, seed=options.seed, progress=not terminal.quiet)
    seconds = _seconds(cost.fit)
    terminal.say(
        f"fitted the cost on {int(simulations.ok.sum())} simulations: {seconds['run']:.1f} s, and "
        f"{seconds['compile']:.1f} s of compiling"
    )
    terminal.warn(cost.outcome.messages)
    return cost


def sample(options: argparse.Namespace, terminal: Terminal) -> None:
    """Samples with the stored cost."""
    problem, folder = read_problem(options.problem), folder_of(options)
    betas = _betas(options, problem)
    cost = stored_cost(problem, folder)
    terminal.warn(stages.stale(problem, folder, cost))
    if options.observations is not None:
        _sample_stack(problem, folder, cost, betas, options, terminal)
        return
    x_o = None if options.observation is None else read_observation(options.observation)
    rows = []
    for beta in betas:
        draws = _draws(problem, folder, cost, beta, options, terminal, x_o)
        terminal.say(f"\nbeta {beta:g}\n{_without_messages(draws)}")
        terminal.warn(draws.outcome.messages)
        terminal.path(folder.draws(beta))
        rows.append([f"{beta:g}", f"{draws.cost.mean():.4g}", f"{draws.cost.min():.4g}", f"{draws.ess_bulk.min():.0f}"])
    if len(rows) > 1:
        terminal.say("")
        terminal.table(("beta", "mean cost", "least cost", "least ESS"), rows, "The ladder")


def _sample_stack(
    problem: Problem,
    folder: Folder,
    cost: Cost,
    betas: tuple[float, ...],
    options: argparse.Namespace,
    terminal: Terminal,
) -> None:
    """All observations of a file at all betas."""
    if options.observation is not None or (options.sampler or problem.sample.sampler) != "smc":
        raise ValueError("--observations takes SMC, and no --observation beside it: sample that one by itself.")
    if options.condition:
        raise ValueError(
            "--condition is for one observation, and not for the stack of --observations: where the simulator takes "
            "conditions, those of each observation stand in its .npz file, one array of shape (m,) by the name of each."
        )
    x_o, conditions = read_observations(options.observations, cost.x_shape, cost.condition_names)
    stack = GibbsPosteriors(problem.prior, cost, x_o, betas, conditions=conditions or None)
    draws = stack.sample(options.n or problem.sample.n, seed=options.seed, progress=not terminal.quiet)
    path = folder.stack(options.observations.stem)
    save_tree(draws.to_datatree(), path)
    terminal.say(draws.summary())
    terminal.say(f"{len(draws)} observations x {len(betas)} betas in {draws.seconds['run']:.1f} s")
    terminal.warn(draws.outcome.messages if terminal.quiet else ())
    terminal.path(path)


def _draws(
    problem: Problem,
    folder: Folder,
    cost: Cost,
    beta: float,
    options: argparse.Namespace,
    terminal: Terminal,
    x_o: np.ndarray | None = None,
) -> Draws:
    given = dict(getattr(options, "condition", None) or ())
    with progress_bar(f"sampling at beta {beta:g}", 1, not terminal.quiet) as advance:
        draws = stages.run_sampling(
            problem,
            folder,
            cost,
            beta,
            n=options.n or problem.sample.n,
            seed=options.seed,
            sampler=getattr(options, "sampler", None) or problem.sample.sampler,
            x_o=x_o,
            conditions={**problem.x_o_conditions, **given} if given else None,
        )
        advance()
    return draws


def report(options: argparse.Namespace, terminal: Terminal) -> None:
    """Reports on stored draws."""
    stages.need_plots()
    problem, folder = read_problem(options.problem), folder_of(options)
    if options.observations is not None:
        stack_command.judged(problem, folder, options, terminal)
        return
    betas = drawn_betas(problem, folder) if options.beta is None else options.beta
    chosen = [stored_draws(problem, folder, beta) for beta in betas]
    cost, simulations = stored_cost(problem, folder), stored_simulations(problem, folder)
    for draws in chosen:
        stages.need_draws_of(problem, folder, draws, options.observation)
    for draws in chosen:
        warnings = [*stages.stale(problem, folder, cost), *stages.outdated_draws(cost, draws)]
        warnings += stages.other_conditions(problem, draws, options.observation)
        path = folder.report(draws.beta)
        settings = {**_report_options(options, terminal), "warnings": tuple(warnings)}
        settings |= {"sections": stored_sections(folder, cost, draws.beta)}
        reported = stages.run_report(problem, path, cost, draws, simulations, **settings)
        if reported.check is not None:
            terminal.say(f"beta {draws.beta:g}: {reported.check.summary()}")
            warnings += reported.check.outcome.messages
        terminal.warn([*warnings, *draws.outcome.messages])
        terminal.path(path)


def _report_options(options: argparse.Namespace, terminal: Terminal) -> dict[str, Any]:
    return {"resimulate": options.resimulate, "workers": options.workers, "progress": not terminal.quiet}


def _print_result(simulations: Simulations, cost: Cost, draws: Draws, reported: Reported, terminal: Terminal) -> None:
    terminal.say("")
    quantiles = draws.quantiles().T
    rows = [[name, *(f"{value:.4g}" for value in values)] for name, values in zip(draws.names, quantiles, strict=True)]
    terminal.table(("parameter", "5 %", "50 %", "95 %"), rows, f"Parameters, {len(draws)} draws at beta {draws.beta:g}")
    if (check := reported.check) is not None:
        rows = [
            ["predicted by the network", _mean(check.predicted)],
            ["re-simulated: new runs to the observation", _mean(check.simulated)],
            ["replicate distance: two runs at one draw", _mean(check.replicate)],
        ]
        title = f"Cost, mean of {len(check.theta)} draws; units: {cost.distance.units}"
        terminal.table(("", "mean ± standard error"), rows, title)
    stages = [
        ("simulate", {"run": simulations.seconds}),
        ("fit", _seconds(cost.fit)),
        ("sample", draws.seconds),
        *((name, {"run": seconds}) for name, seconds in reported.seconds.items()),
    ]
    rows = [
        [name, f"{seconds['run']:.1f}", f"{seconds['compile']:.1f}" if "compile" in seconds else ""]
        for name, seconds in stages
    ]
    terminal.table(("stage", "seconds", "compiling"), rows, "Time")


def _seconds(records: Sequence[Any]) -> dict[str, float]:
    return {name: sum(record.seconds.get(name, 0.0) for record in records) for name in ("run", "compile")}


def _mean(values: np.ndarray) -> str:
    mean, error = mean_and_error(values)
    return f"{mean:.4g} ± {error:.1g}"


def _without_messages(draws: Draws) -> str:
    return draws.summary().removesuffix("\n".join(["", *draws.outcome.messages]) if draws.outcome.messages else "")


def _betas(options: argparse.Namespace, problem: Problem) -> tuple[float, ...]:
    beta = getattr(options, "beta", None)
    given = tuple(beta) if isinstance(beta, list) else problem.sample.beta
    if not given:
        command = command_line("sample", problem)
        raise ValueError(NO_BETA.format(units=problem.distance.units, command=command))
    return tuple(sorted(set(given)))


def folder_of(options: argparse.Namespace) -> Folder:
    """The output folder: given, or named after the problem file, in the current directory."""
    other = getattr(options, "observation", None)
    path = Path(options.problem.stem) if options.out is None else options.out
    return Folder(path, "" if other is None else other.stem)
