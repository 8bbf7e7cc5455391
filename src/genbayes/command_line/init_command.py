"""`genbayes init`: write a small commented problem that runs at once, to put your own in its place."""

import argparse
import shlex
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from .registry import Commands, register
from .terminal import Terminal

EXAMPLES = """\
examples:
  genbayes init growth                   problem.toml, simulator.py and observed.csv in the folder growth
  genbayes init growth --language c      with a program in C: simulator.c
"""


class Language(NamedTuple):
    """A language that the simulator may be written in.

    Attributes:
        simulator: its file.
        runs: simulations to begin with, as typed; a program is slower, for it is started for each of them.
        build: command that makes a program of the file, if one is needed.
    """

    simulator: str
    runs: str
    build: str = ""


LANGUAGES = {
    "python": Language("simulator.py", "5e3"),
    "c": Language("simulator.c", "2e3", "gcc -O2 -o simulator simulator.c -lm"),
}


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes init`."""
    text = "Write a small commented problem that runs at once, to put your own in its place."
    command = commands.add("init", run, text, problem=False, epilog=EXAMPLES)
    command.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="folder (default: here)")
    text = "of the simulator (default: python)"
    command.add_argument("--language", choices=tuple(LANGUAGES), default="python", help=text)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Writes the files, and says what to type next.

    Raises:
        FileExistsError: one of the files is there already; nothing is written then.
        NotADirectoryError: DIR is a file.
    """
    folder, language = options.folder, LANGUAGES[options.language]
    files = starter(options.language)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file. Name a folder, there or not.")
    there = [str(folder / name) for name in files if (folder / name).exists()]
    if there:
        raise FileExistsError(f"{', '.join(there)} would be overwritten. Name another folder: genbayes init DIR")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        # "x" refuses a file that has come meanwhile.
        with (folder / name).open("x", encoding="utf-8") as file:
            file.write(text)
        terminal.path(folder / name)
    steps = [f"cd {shlex.quote(str(folder))}"] if folder != Path() else []
    steps += [language.build] if language.build else []
    steps += [f"genbayes run problem.toml --simulations {language.runs}", "genbayes check problem.toml"]
    terminal.say("\nNext:\n" + "\n".join(f"  {step}" for step in steps))
    terminal.say(f"\nThen put your own in their place: {', '.join(files)}.")


def starter(language: str) -> dict[str, str]:
    """Names and texts of the files of a problem.

    Args:
        language: of the simulator, one of `LANGUAGES`.
    """
    folder = resources.files(__package__ or "genbayes.command_line") / "starters"
    simulator = LANGUAGES[language].simulator

    def text(*parts: str) -> str:
        return folder.joinpath(*parts).read_text("utf-8")

    return {
        "problem.toml": text(language, "simulator.toml") + text("problem.toml"),
        simulator: text(language, simulator),
        "observed.csv": text("observed.csv"),
    }
