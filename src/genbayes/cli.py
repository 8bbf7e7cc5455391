"""The command `genbayes`: what is typed, what is printed, and exit codes."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .benchmark import command as benchmark_command
from .command_line import check_command, commands, refine_command, sensitivity_command, temperature_command
from .command_line.argument_types import count, named_number, natural, path, positive, runs_at_draws
from .command_line.folder import Folder
from .command_line.terminal import Terminal, paragraph
from .hodgkin_huxley import command as hodgkin_huxley_command
from .runtime.release import version
from .sampling.sampler import samplers
from .tasks.lynx_hare import DEMO_BETA

EXAMPLES = """\
examples:
  genbayes demo                                  lynx and hare, all stages
  genbayes simulate predator.toml -n 10000       resumable
  genbayes fit predator.toml
  genbayes sample predator.toml --beta 1 10 100  a ladder of betas
  genbayes report predator.toml
  genbayes run predator.toml --beta 10           all stages of a problem
  genbayes check predator.toml                   can the draws be relied on?
  genbayes refine predator.toml --beta 10        more runs where they count
  genbayes sensitivity predator.toml --beta 10   does the distance matter?
  genbayes benchmark                             tasks with known answers
  genbayes hodgkin-huxley --recordings DIR       a model of each neuron
"""
EXPECTED = (ValueError, TypeError, OSError, ImportError, RuntimeError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 1 (error), 2 (usage), 3, 4 (check), 130 (interrupted).

    Args:
        arguments: what stands after `genbayes`; of the process if not given.
    """
    try:
        options = _parser().parse_args(arguments)
        options.command_line = shlex.join(["genbayes", *(sys.argv[1:] if arguments is None else arguments)])
    except SystemExit as error:
        return int(error.code or 0)
    try:
        # A command that judges says what it found by its exit code.
        return options.function(options, Terminal(getattr(options, "quiet", False))) or 0
    except KeyboardInterrupt:
        kept = options.kept(options) if hasattr(options, "kept") else _kept(commands.folder_of(options))
        paragraph(f"interrupted; {kept}. Run the same command again to continue.", sys.stderr)
        return 130
    except EXPECTED as error:
        if getattr(options, "debug", False):
            raise
        paragraph(f"error: {' '.join(str(error).split()) or type(error).__name__}", sys.stderr)
        return 1


def _kept(folder: Folder) -> str:
    done, stored = folder.stored()
    kept = [f"{done} of {stored} simulations"] if stored else []
    kept += ["the cost"] if folder.cost.exists() else []
    kept += [f"draws at beta {beta:g}" for beta in folder.betas()]
    return f"kept in {folder.path}: {', '.join(kept)}" if kept else "nothing had been stored yet"


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--quiet", action="store_true", help="no progress, only paths, warnings and errors")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = argparse.ArgumentParser(
        "genbayes",
        description="Find the parameters with which a simulator reproduces an observation.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"genbayes {version('genbayes')}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, function: Callable, text: str) -> argparse.ArgumentParser:
        command = subparsers.add_parser(name, help=text, description=text, parents=[common])
        command.set_defaults(function=function)
        if name != "demo":
            command.add_argument("problem", metavar="problem.toml", type=Path, help="what to infer")
            command.add_argument("--out", type=path, metavar="DIR", help="folder (default: named after the file, here)")
        return command

    demo = add("demo", commands.demo, "Infer a Lotka-Volterra model from the lynx-hare record, and write a report.")
    demo.add_argument("--out", type=path, default=Path("demo"), metavar="DIR", help="folder (default: demo)")
    demo.add_argument("--simulations", type=count, default=20_000, dest="n_simulations", metavar="N")
    demo.add_argument("-n", type=count, default=4000, metavar="DRAWS", help="number of draws (default: 4000)")
    demo.add_argument("--beta", type=positive, metavar="B", help=f"inverse temperature (default: {DEMO_BETA:g})")
    demo.set_defaults(resimulate=500, workers=1)

    simulate = add("simulate", commands.simulate, "Simulate draws of the prior into DIR/simulations.zarr; resumable.")
    simulate.add_argument("-n", type=count, default=10_000, dest="n_simulations", help="in all (default: 10000)")
    simulate.add_argument("--batch-size", type=count, metavar="N", help="most runs at a time")
    simulate.add_argument("--retry-failed", action="store_true", help="run failed rows again")

    fit = add("fit", commands.fit, "Fit the cost on the stored simulations.")
    sample = add("sample", commands.sample, "Draw from the posterior at one or more inverse temperatures.")
    report = add("report", commands.report, "Write an HTML report on the draws, with new runs at them.")
    run = add("run", commands.run, "All stages: simulate, fit, sample, report.")
    run.add_argument("--simulations", type=count, default=10_000, dest="n_simulations", metavar="N")
    for command in (sample, run, report):
        text = "which draws (default: all)" if command is report else "inverse temperatures"
        command.add_argument("--beta", type=positive, nargs="+", metavar="B", help=text)
    for command in (sample, run):
        command.add_argument("-n", type=count, metavar="DRAWS", help="number of draws (default: 4000, or [sample] n)")
        command.add_argument("--sampler", choices=sorted(samplers()), help="default: smc, or [sample] sampler")
    for command in (sample, report):
        text = "instead of the problem's; its draws and reports bear its name"
        command.add_argument("--observation", type=Path, metavar="FILE", help=text)
    text = "a stack of observations (.csv: one a row; .npy, .npz), all in one call"
    sample.add_argument("--observations", type=Path, metavar="FILE", help=text)
    text = "a stack of observations that was sampled: one page for all, without new runs"
    report.add_argument("--observations", type=Path, metavar="FILE", help=text)
    text = "known conditions of that observation, where the simulator takes them"
    sample.add_argument("--condition", type=named_number, nargs="+", metavar="NAME=VALUE", help=text)
    for command in (report, run):
        text = "runs for the check (default: 500; 0: none)"
        command.add_argument("--resimulate", type=runs_at_draws, default=500, metavar="N", help=text)
    for command in (simulate, report, run):
        command.add_argument("--workers", type=count, default=1, metavar="N", help="processes (Python simulators)")
    for command in (demo, simulate, fit, sample, run):
        command.add_argument("--seed", type=natural, default=0)
    check_command.add_parser(add)
    refine_command.add_parser(add)
    sensitivity_command.add_parser(add)
    temperature_command.add_parser(add)
    text = "Run methods on tasks with known answers: a table, figures and a page; resumable."
    benchmark = subparsers.add_parser("benchmark", help=text, description=text, parents=[common])
    benchmark_command.add_arguments(benchmark)
    text = "Infer a Hodgkin-Huxley model from each intracellular recording of a folder, with one fit for all."
    neuron = subparsers.add_parser("hodgkin-huxley", help=text, description=text, parents=[common])
    hodgkin_huxley_command.add_arguments(neuron)
    return parser
