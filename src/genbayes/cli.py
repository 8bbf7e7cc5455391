"""The command `genbayes`: what is typed, what is printed, and exit codes."""

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

# What the help takes: all else is imported with the command that is typed.
from .command_line.registry import Commands, command_files, place, registered
from .command_line.registry import register as register
from .runtime.compile_cache import cache_in_environment
from .runtime.release import version

EXAMPLES = """\
examples:
  genbayes demo                                  lynx and hare, all stages
  genbayes init growth                           a problem that runs, to change
  genbayes simulate predator.toml -n 10000       resumable
  genbayes fit predator.toml
  genbayes sample predator.toml --beta 1 10 100  a ladder of betas
  genbayes report predator.toml
  genbayes explore predator.toml                 the same, to play with
  genbayes run predator.toml --beta 10           all stages of a problem
  genbayes campaign predator.toml --beta 10 --budget 50000
                                                 runs until it is good
  genbayes check predator.toml                   can the draws be relied on?
  genbayes refine predator.toml --beta 10        more runs where they count
  genbayes sensitivity predator.toml --beta 10   does the distance matter?
  genbayes temperature predator.toml             which beta to take
  genbayes benchmark                             tasks with known answers
  genbayes hodgkin-huxley --recordings DIR       a model of each neuron
"""
EXPECTED = (ValueError, TypeError, OSError, ImportError, RuntimeError, MemoryError)
# Packages above `command_line` that have a command of their own, in their module `command`.
APPLICATIONS = ("benchmark", "hodgkin_huxley")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 1 (error), 2 (usage), 3, 4 (check), 130 (interrupted).

    Args:
        arguments: what stands after `genbayes`; of the process if not given.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        typed = next((word for word in given if not word.startswith("-")), "")
        if typed:
            # Before the command's file imports JAX.
            cache_in_environment(os.environ)
        options = _parser(typed).parse_args(given)
        options.command_line = shlex.join(["genbayes", *given])
        # A command that tells of all others has them imported only when it asks.
        options.parser_of_all = _parser
    except SystemExit as error:
        return int(error.code or 0)
    from .command_line.terminal import Terminal, paragraph

    try:
        # What a command has opened for all of its time, such as an executor.
        with ExitStack() as options.closing:
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
        # Lists of ours are indented; other libraries' notes are about their own insides.
        for note in getattr(error, "__notes__", ()):
            if note.startswith("  "):
                paragraph(note, sys.stderr)
        return 1


def _parser(typed: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands; where one is typed, or none (""), the others are known by name alone."""
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
    commands = Commands(subparsers, common, _kept_in_folder)
    files = command_files(Path(__file__).parent, APPLICATIONS)
    for file in files:
        if typed in (None, file.name):
            importlib.import_module(file.module)
    imported = {add_parser.__module__ for add_parser in registered()}
    others = [file for file in files if file.module not in imported]
    for add_parser in registered():
        while others and place(others[0].module) < place(add_parser.__module__):
            subparsers.add_parser(others[0].name, help=others.pop(0).text)
        add_parser(commands)
    for file in others:
        subparsers.add_parser(file.name, help=file.text)
    return parser


def _kept_in_folder(options: argparse.Namespace) -> str:
    """What an interrupted command leaves in the folder of its problem."""
    from .command_line.problem_options import kept_in_folder

    return kept_in_folder(options)
