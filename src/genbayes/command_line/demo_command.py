"""`genbayes demo`: infer a Lotka-Volterra model from the lynx-hare record, and write a report."""

import argparse
from pathlib import Path

from ..tasks.lynx_hare import DEMO_BETA, SPECIES, YEARS, lynx_hare
from .argument_types import path, positive
from .problem import Problem, ReportSettings, SampleSettings
from .problem_options import add_draws, add_seed, add_simulations, folder_of, kept_in_folder
from .registry import Commands, register
from .run_command import all_stages
from .terminal import Terminal


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes demo`."""
    text = "Infer a Lotka-Volterra model from the lynx-hare record, and write a report."
    command = commands.add("demo", run, text, problem=False, kept=kept_in_folder)
    argument = command.add_argument
    argument("--out", type=path, default=Path("demo"), metavar="DIR", help="folder (default: demo)")
    add_simulations(command, 20_000, "runs of the simulator (default: 20000)")
    add_draws(command, 4000, "from the posterior (default: 4000)")
    argument("--beta", type=positive, metavar="B", help=f"inverse temperature (default: {DEMO_BETA:g})")
    add_seed(command)
    command.set_defaults(resimulate=500, workers=1)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Infers a Lotka-Volterra model from the lynx-hare record."""
    task = lynx_hare()
    beta = options.beta or DEMO_BETA
    problem = Problem(
        name="Lynx and snowshoe hare, 1900-1920",
        path=None,
        simulator=task.simulator,
        prior=task.prior,
        distance=task.distance,
        x_o=task.x_o,
        sample=SampleSettings(n=options.draws, beta=(beta,)),
        report=ReportSettings(tuple(f"log {name}" for name in SPECIES), "year", tuple(map(float, YEARS))),
    )
    terminal.say(
        "Which Lotka-Volterra models reproduce the Hudson's Bay Company's record of lynx\n"
        f"and hare, 1900-1920? {len(task.prior.names)} parameters, {options.n_simulations} simulations, "
        f"beta {beta:g}."
    )
    folder = folder_of(options)
    all_stages(problem, folder, {beta: folder.path / "report.html"}, options, terminal)
