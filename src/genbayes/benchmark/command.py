"""`genbayes benchmark`: run methods on tasks with known answers: a table, figures and a page; resumable."""

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from ..command_line.argument_types import Several, count, count_or_file, natural, path, positive
from ..command_line.registry import Commands, register
from ..command_line.terminal import Terminal
from ..tasks import BENCHMARK
from .methods import METHODS
from .page import write_benchmark
from .results import KINDS, Results
from .run import run_benchmark
from .tables import read_published, settings, tables

TASKS = ("uniform_1d", "two_moons", "linear_gaussian", "gaussian_mixture")
EXAMPLES = """\
examples:
  genbayes benchmark --task two_moons --observations 3      a first look
  genbayes benchmark --method ace abc npe exact --seed 0 1 2
  genbayes benchmark --c2st 0        a later call without it fills C2ST in
  genbayes benchmark --observations o.npz --published p.csv
"""


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes benchmark`."""
    text = "Run methods on tasks with known answers: a table, figures and a page; resumable."
    command = commands.add("benchmark", run, text, problem=False, kept=kept, epilog=EXAMPLES)
    add = command.add_argument
    add(
        "--task",
        nargs="+",
        action=Several,
        choices=sorted(BENCHMARK),
        default=list(TASKS),
        metavar="T",
        help=_choices(BENCHMARK, TASKS),
    )
    methods = ("ace", "exact")
    add(
        "--method",
        nargs="+",
        action=Several,
        choices=sorted(METHODS),
        default=list(methods),
        metavar="M",
        help=_choices(METHODS, methods),
    )
    text = "per task and seed (default: 10000)"
    add("-n", "--simulations", type=count, default=10_000, dest="n_simulations", metavar="N", help=text)
    text = "how many of each kind to draw (default: 10), or an .npz file of them"
    add("--observations", type=count_or_file, default=10, metavar="K|FILE", help=text)
    add("--observation-seed", type=natural, default=0, metavar="S", help="by which they are drawn (default: 0)")
    add(
        "--kind",
        nargs="+",
        action=Several,
        choices=KINDS,
        default=list(KINDS),
        metavar="K",
        help="specified, misspecified (default: both)",
    )
    add(
        "--seed",
        type=natural,
        nargs="+",
        action=Several,
        default=[0],
        metavar="S",
        help="of simulations, fit and draws (default: 0)",
    )
    add("--draws", type=count, default=5000, metavar="N", help="per posterior (default: 5000)")
    add(
        "--beta",
        type=positive,
        nargs="+",
        action=Several,
        metavar="B",
        help="inverse temperatures (default: the task's own)",
    )
    text = "on how many observations of each kind to compute C2ST (default: all; 0: none)"
    add("--c2st", type=natural, metavar="K", help=text)
    text = "runs per posterior for the re-simulated distance (default: 1000; 0: none)"
    add("--resimulate", type=natural, default=1000, metavar="N", help=text)
    add("--published", type=Path, metavar="FILE", help="CSV of published values to show beside")
    add("--out", type=path, default=Path("benchmark"), metavar="DIR", help="folder (default: benchmark)")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Runs methods on tasks with known answers, and writes tables, figures and a page.

    Raises:
        RuntimeError: something failed; all the rest has been run and written.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("the benchmark's figures need matplotlib: pip install 'genbayes[plots]'.")
    published = {} if options.published is None else read_published(options.published)
    result = run_benchmark(
        {name: BENCHMARK[name] for name in options.task},
        {name: METHODS[name] for name in options.method},
        out=options.out,
        simulations=options.n_simulations,
        observations=options.observations,
        observation_seed=options.observation_seed,
        seeds=options.seed,
        draws=options.draws,
        betas=options.beta,
        kinds=options.kind,
        c2st=options.c2st,
        resimulate=options.resimulate,
        progress=not terminal.quiet,
    )
    rows = Results(options.out / "results.csv").read()
    failures = result.failures
    paths = write_benchmark(options.out, rows, command=options.command_line, failures=failures, published=published)
    for setting in settings(rows):
        terminal.say(f"\n{setting.title}\n")
        for table in tables(setting, published):
            if table.rows:
                terminal.table(table.header, table.rows, table.title)
            if table.caution:
                terminal.say(f"{table.caution}\n")
    for written in paths:
        terminal.path(written)
    terminal.warn(failures)
    if failures:
        raise RuntimeError(
            f"{len(failures)} part(s) of the benchmark failed, see above and {options.out / 'logs'}; all the rest is "
            f"in {options.out / 'results.csv'}. The same command tries what failed again."
        )


def kept(options: argparse.Namespace) -> str:
    """What an interrupted benchmark leaves."""
    rows = sum(row.ok for row in Results(options.out / "results.csv").read())
    return f"kept in {options.out}: {rows} rows of results.csv" if rows else "nothing had been stored yet"


def _choices(names: Sequence[str] | dict, default: Sequence[str]) -> str:
    return f"{', '.join(names)} (default: {' '.join(default)})"
