"""The registry of commands: a command is one function that adds its parser, in a file of its own.

How to add a command: write `command_line/NAME_command.py` with the docstring "`genbayes NAME`: what it does.", with

    @register
    def add_parser(commands: Commands) -> None:
        command = commands.add("NAME", run, "What it does, in one sentence.")
        command.add_argument(...)

and a function `run(options, terminal)`. Every file of that name is found; a script of yours that registers a function
before it calls `genbayes.cli.main` has the command as well. `genbayes --help` shows the sentence of the docstring: it
imports no command, for that would take seconds.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .terminal import Terminal

# The order of commands in `genbayes --help`, by the file (or, for a package's `command.py`, the package) in which they
# stand; others come after these, in the order in which they were registered.
ORDER = (
    "demo_command",
    "init_command",
    "simulate_command",
    "merge_command",
    "fit_command",
    "sample_command",
    "report_command",
    "explore_command",
    "run_command",
    "campaign_command",
    "check_command",
    "refine_command",
    "sensitivity_command",
    "temperature_command",
    "benchmark",
    "hodgkin_huxley",
    "completion_command",
)

# run(options, terminal) -> exit code; None is 0.
Run = Callable[[argparse.Namespace, "Terminal"], "int | None"]
# kept(options) -> what an interrupted command leaves, in words.
Kept = Callable[[argparse.Namespace], str]


class Commands:
    """Where a command's parser is added.

    Args:
        subparsers: of the parser of `genbayes`.
        common: options that every command has.
        kept: says what an interrupted command leaves in the folder of its problem.
    """

    def __init__(self, subparsers: argparse._SubParsersAction, common: argparse.ArgumentParser, kept: Kept):
        self._subparsers, self._common, self._kept = subparsers, common, kept

    def add(
        self, name: str, run: Run, text: str, *, problem: bool = True, kept: Kept | None = None, epilog: str = ""
    ) -> argparse.ArgumentParser:
        """A command's parser, to which its arguments are added.

        Args:
            name: that is typed after `genbayes`.
            run: does the work. Errors with a message (`ValueError`, `OSError`, ...) end as one line and exit code 1.
            text: what the command does, in one sentence.
            problem: whether it works on a problem.toml and its folder (`options.problem`, `options.out`).
            kept: says what is left where the command was interrupted; that of the problem's folder if not given.
            epilog: examples, printed as they stand below the help.
        """
        command = self._subparsers.add_parser(name, help=text, description=text, parents=[self._common])
        command.set_defaults(function=run, kept=kept or (self._kept if problem else None))
        if problem:
            from .argument_types import path

            command.add_argument("problem", metavar="problem.toml", type=Path, help="what to infer")
            command.add_argument("--out", type=path, metavar="DIR", help="folder (default: named after the file, here)")
        if epilog:
            command.epilog = epilog
            command.formatter_class = argparse.RawDescriptionHelpFormatter
        return command


AddParser = Callable[[Commands], None]
_registered: dict[str, AddParser] = {}


def register(add_parser: AddParser) -> AddParser:
    """Registers the function that adds a command's parser; a decorator.

    A function of the same module and name takes the place of an earlier one.
    """
    _registered[f"{add_parser.__module__}.{add_parser.__qualname__}"] = add_parser
    return add_parser


def registered() -> Iterator[AddParser]:
    """All registered functions, in the order of `ORDER`."""
    found = sorted(_registered.values(), key=lambda function: place(function.__module__))
    return iter(found)


class CommandFile(NamedTuple):
    """A file with a command: the module, the command's name and what it does."""

    module: str
    name: str
    text: str


def command_files(package: Path, applications: tuple[str, ...]) -> list[CommandFile]:
    """The files of all commands in their order, read and not imported.

    Args:
        package: folder of genbayes.
        applications: packages with a command of their own, in their file command.py.

    Raises:
        ValueError: the docstring of a file does not begin with the command's name.
    """
    paths = [*(package / "command_line").glob("*_command.py"), *(package / one / "command.py" for one in applications)]
    found = []
    for path in paths:
        described = re.match(r"`genbayes ([\w-]+)`: (.+)", ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")
        if described is None:
            raise ValueError(f'{path}: the docstring must begin with "`genbayes NAME`: what it does, in one sentence."')
        module = ".".join((package.name, *path.relative_to(package).with_suffix("").parts))
        found.append(CommandFile(module, described[1], described[2]))
    return sorted(found, key=lambda one: (place(one.module), one.module))


def place(module: str) -> int:
    """Where the command of a file stands in the help."""
    names = [part for part in module.split(".") if part in ORDER]
    return ORDER.index(names[-1]) if names else len(ORDER)
