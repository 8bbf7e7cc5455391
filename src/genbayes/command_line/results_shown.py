"""The tables that commands print of a result: parameters, cost, seconds."""

from collections.abc import Sequence

import numpy as np

from ..costs.cost import Cost
from ..learning.training import FitRecord
from ..runtime.statistics import mean_and_error
from ..runtime.units import unit_label
from ..sampling.draws import Draws
from ..simulations.rows import Simulations
from .stages import Reported
from .terminal import Terminal


def print_result(simulations: Simulations, cost: Cost, draws: Draws, reported: Reported, terminal: Terminal) -> None:
    """Prints the parameters, the cost at them and the seconds of every stage."""
    terminal.say("")
    _print_parameters(draws, terminal)
    _print_cost(cost, reported, terminal)
    _print_seconds(simulations, cost, draws, reported, terminal)


def seconds_of(records: Sequence[FitRecord]) -> dict[str, float]:
    """Seconds of running and of compiling, summed over fits."""
    return {name: sum(record.seconds.get(name, 0.0) for record in records) for name in ("run", "compile")}


def summary_without_messages(draws: Draws) -> str:
    """The draws' table alone, where the messages are printed as warnings."""
    return draws.summary().removesuffix("\n".join(["", *draws.outcome.messages]) if draws.outcome.messages else "")


def _print_parameters(draws: Draws, terminal: Terminal) -> None:
    # Without R-hat and effective sample size: where these are bad it is told.
    header, *rows = [row[:-2] for row in draws.table()]
    terminal.table(header, rows, f"Parameters, {len(draws)} draws at beta {draws.beta:g}")
    for line in draws.integer_lines:
        terminal.say(line)


def _print_cost(cost: Cost, reported: Reported, terminal: Terminal) -> None:
    if (check := reported.check) is None:
        return
    rows = [
        ["predicted by the network", _mean(check.predicted)],
        ["re-simulated: new runs to the observation", _mean(check.simulated)],
        ["replicate distance: two runs at one draw", _mean(check.replicate)],
    ]
    title = f"Cost, mean of {len(check.theta)} draws; units: {unit_label(cost.distance.units)}"
    terminal.table(("", "mean ± standard error"), rows, title)


def _print_seconds(simulations: Simulations, cost: Cost, draws: Draws, reported: Reported, terminal: Terminal) -> None:
    stages = [
        ("simulate", {"run": simulations.seconds}),
        ("fit", seconds_of(cost.fit)),
        ("sample", draws.seconds),
        *((name, {"run": seconds}) for name, seconds in reported.seconds.items()),
    ]
    rows = [
        [name, f"{seconds['run']:.1f}", f"{seconds['compile']:.1f}" if "compile" in seconds else ""]
        for name, seconds in stages
    ]
    terminal.table(("stage", "seconds", "compiling"), rows, "Time")


def _mean(values: np.ndarray) -> str:
    mean, error = mean_and_error(values)
    return f"{mean:.4g} ± {error:.1g}"
