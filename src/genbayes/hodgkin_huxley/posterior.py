"""One recording at one inverse temperature: posterior, new runs at its draws, report, row of the results."""

import argparse
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import hodgkin_huxley as hh
from ..checks.predictive import PredictiveCheck
from ..command_line import stages
from ..command_line.folder import Folder
from ..command_line.problem import Problem
from ..command_line.stages import Reported
from ..costs.cost import Cost
from ..distances.batched import distances_to
from ..runtime.statistics import mean_and_error
from ..sampling.draws import Draws
from ..simulations.rows import Simulations
from . import plot
from .inputs import FAILURES, explained
from .results import Row

CAPTION = (
    "The recording (black) and the closest, the median and the farthest of the {n} runs at posterior draws. Only the "
    "seven statistics were compared: times of single spikes are not meant to agree, their number and the shape of the "
    "voltage's distribution are. Currents are at the bottom."
)


@dataclass(frozen=True)
class Run:
    """What all posteriors share."""

    problem: Problem
    stimulus: hh.Stimulus
    stimulus_name: str
    folder: Folder
    simulations: Simulations
    cost: Cost
    options: argparse.Namespace


@dataclass
class Found:
    """What has come out so far."""

    rows: list[Row] = field(default_factory=list)
    reports: dict[tuple[str, float], tuple[str, str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def infer(run: Run, recording: hh.Recording, x_o: np.ndarray, beta: float, found: Found) -> None:
    """Samples, runs the simulator at draws and reports; what goes wrong is noted, for the others to go on."""
    name, options = recording.name, run.options
    own = hh.conditions_of(recording) if options.own_conditions else None
    simulator: Any = run.problem.simulator
    stimulus = run.stimulus if own is None else simulator.stimulus_for(**own)
    folder = Folder(run.folder.path, name)
    picture = run.folder.path / "figures" / f"{name}-beta-{beta:.10g}.png"
    about = {"recording": recording, "stimulus of the simulations": f"that of {run.stimulus_name}: {stimulus}"}
    try:
        settings = {"n": options.draws, "seed": options.seed, "sampler": "smc"}
        draws = stages.run_sampling(run.problem, folder, run.cost, beta, x_o=x_o, conditions=own, **settings)
        reported = stages.run_report(
            replace(run.problem, name=f"{run.problem.name} of {name}"),
            folder.report(beta),
            run.cost,
            draws,
            run.simulations,
            resimulate=options.resimulate,
            warnings=_other_stimulus(recording, stimulus, run.stimulus_name),
            figures=partial(_traces, recording, x_o, stimulus, run, picture),
            extra_settings=about,
            progress=False,
        )
    except FAILURES as error:
        found.failures.append(explained(f"{name}, beta {beta:g}", error))
        return
    found.rows.append(_row(run, recording, stimulus, draws, reported))
    found.reports[name, beta] = (folder.report(beta).name, f"figures/{picture.name}")
    messages = [*draws.outcome.messages, *(reported.check.outcome.messages if reported.check else ())]
    found.warnings += [f"{name}, beta {beta:g}: {message}" for message in messages]


def _other_stimulus(recording: hh.Recording, stimulus: hh.Stimulus, name: str) -> tuple[str, ...]:
    """Parameters that make up for another experiment are not the neuron's."""
    simulated = hh.amplitude_of(stimulus)
    if (
        np.isclose(simulated, recording.amplitude, rtol=0.02)
        and abs(stimulus.initial_voltage - recording.initial_voltage) <= 2
    ):
        return ()
    return (
        f"Stimulus: simulated was that of {name} ({simulated:.3g} µA/cm² from {stimulus.initial_voltage:.1f} mV), "
        f"recorded were {recording.amplitude:.3g} µA/cm² from {recording.initial_voltage:.1f} mV. The parameters make "
        "up for the difference; --own-conditions simulates the recording's own.",
    )


def _traces(
    recording: hh.Recording, x_o: np.ndarray, stimulus: hh.Stimulus, run: Run, picture: Path, check: PredictiveCheck
) -> dict[str, Any]:
    """The picture of three of the runs, also written as a file."""
    order = np.argsort(check.simulated)
    words = {0: "closest", len(order) - 1: "farthest", len(order) // 2: "median"}
    rows = order[sorted(words)]
    seed = stages.resimulation_seed(run.simulations)
    voltages = np.asarray(hh.traces(check.theta[rows], stimulus, seed=seed, rows=rows))
    # The distances are those of the traces as drawn: after failed runs, which the check leaves out, their noise is not
    # that of the check.
    drawn = hh.summary_statistics(voltages, dt=stimulus.dt, on=stimulus.on, off=stimulus.off).astype(np.float32)
    distances = np.asarray(distances_to(run.problem.distance, drawn, x_o))
    labels = [
        f"re-simulated, {words[place]} of {len(order)}: distance {distance:.3f}"
        for place, distance in zip(sorted(words), distances, strict=True)
    ]
    figure = plot.traces(recording, voltages, stimulus, labels)
    picture.parent.mkdir(exist_ok=True)
    figure.savefig(picture, dpi=150)
    return {CAPTION.format(n=len(order)): figure}


def _row(run: Run, recording: hh.Recording, stimulus: hh.Stimulus, draws: Draws, reported: Reported) -> Row:
    check = reported.check
    if check is None:
        raise ValueError("no draw was run again; --resimulate must be at least 1.")
    means = {}
    for key in ("predicted", "simulated", "replicate"):
        name = key.replace("simulated", "resimulated")
        means[name], means[f"{name}_error"] = mean_and_error(getattr(check, key))
    return Row(
        recording=recording.name,
        beta=draws.beta,
        **means,
        least_ess=float(draws.ess_bulk.min()),
        largest_rhat=float(draws.rhat.max()),
        log_density_error=float(check.log_density_error),
        runs=len(check.theta),
        failed_runs=check.n_failed,
        draws=len(draws),
        simulations=len(run.simulations),
        seed=run.options.seed,
        stimulus=run.stimulus_name,
        own_conditions=run.options.own_conditions,
        amplitude=hh.amplitude_of(stimulus),
        initial_voltage=stimulus.initial_voltage,
        seconds_sample=draws.seconds["run"],
        seconds_sample_compile=draws.seconds["compile"],
        seconds_check=reported.seconds["check"],
        seconds_report=reported.seconds["report"],
    )
