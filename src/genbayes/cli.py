"""The command `genbayes`: what is typed, what is printed, and exit codes."""

import argparse
import importlib
import pkgutil
import shlex
import sys
from collections.abc import Sequence

from . import command_line
from .command_line.problem_options import kept_in_folder
from .command_line.registry import Commands, registered
from .command_line.registry import register as register
from .command_line.terminal import Terminal, paragraph
from .runtime.release import version

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
# Packages above `command_line` that have a command of their own, in their module `command`.
APPLICATIONS = ("benchmark", "hodgkin_huxley")


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
        kept = f"; {options.kept(options)}" if options.kept is not None else ""
        paragraph(f"interrupted{kept}. Run the same command again to continue.", sys.stderr)
        return 130
    except EXPECTED as error:
        if getattr(options, "debug", False):
            raise
        paragraph(f"error: {' '.join(str(error).split()) or type(error).__name__}", sys.stderr)
        return 1


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
    _import_commands()
    commands = Commands(subparsers, common, kept_in_folder)
    for add_parser in registered():
        add_parser(commands)
    return parser


def _import_commands() -> None:
    """Imports every file of a command, which registers it."""
    for module in pkgutil.iter_modules(command_line.__path__):
        if module.name.endswith("_command"):
            importlib.import_module(f"{command_line.__name__}.{module.name}")
    for package in APPLICATIONS:
        importlib.import_module(f"{__package__}.{package}.command")
