"""What the commands print: results on stdout, warnings and errors on stderr."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Terminal:
    """What the user sees: results on stdout, warnings and progress on stderr.

    Attributes:
        quiet: print nothing but paths, results in a line, warnings and errors.
    """

    quiet: bool = False

    def say(self, text: str) -> None:
        """Prints a result or what is about to happen."""
        if not self.quiet:
            print(text, flush=True)

    def result(self, text: str) -> None:
        """Prints what a command was asked for, also when quiet."""
        print(text, flush=True)

    def path(self, path: Path) -> None:
        """Prints where something was written; bare for scripts when quiet."""
        print(path if self.quiet else f"written: {path}", flush=True)

    def warn(self, messages: Sequence[str]) -> None:
        """Prints warnings."""
        for message in messages:
            paragraph(f"warning: {message}", sys.stderr)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
        """Prints a table whose first column is text and whose others are numbers."""
        if self.quiet:
            return
        table = Table(
            title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False
        )
        for i, name in enumerate(header):
            # Of a name that is cut nobody knows which of two it was: where there is no room it goes on below.
            table.add_column(name, justify="right" if i else "left", no_wrap=bool(i), overflow="fold")
        for row in rows:
            table.add_row(*row)
        Console(highlight=False, markup=False).print(table, "")


def paragraph(text: str, stream: TextIO) -> None:
    """Prints the lines of a text, on a terminal with further line breaks between words."""
    if stream.isatty():
        width = shutil.get_terminal_size().columns
        filler = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
        text = "\n".join(map(filler.fill, text.split("\n")))
    print(text, file=stream, flush=True)
