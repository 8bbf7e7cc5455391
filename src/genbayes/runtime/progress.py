"""One progress display for all long work, with the time left: a bar on a terminal, else plain lines; on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

Advance = Callable[..., None]
_SECONDS_BETWEEN_LINES = 10.0
# Said where the first step takes most of the time, and nothing is known of it before it ends.
COMPILES = "the first one compiles, some 10 s"
# Said of work that had fewer steps to do than it might have had.
_EARLY = "ended early"


class _TimeLeft(TimeRemainingColumn):
    """The time left, also after one step, when it is the share of the time that has passed."""

    def render(self, task: Task) -> Text:
        """As minutes and seconds."""
        passed, total = task.elapsed, task.total
        if task.time_remaining is None and passed and total and 0 < task.completed < total:
            left = int(passed * (total - task.completed) / task.completed)
            return Text(f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}", style="progress.remaining")
        return super().render(task)


@contextmanager
def progress_bar(title: str, total: int, enabled: bool = True) -> Iterator[Advance]:
    """Show how many of `total` steps are done; yields `advance(steps=1, note="")`. A note to 0 steps is shown at once.

    Args:
        title: what is being done, e.g. "simulating".
        total: number of steps.
        enabled: False shows nothing.

    Example:
        >>> with progress_bar("simulating", 100) as advance:
        ...     advance(10, note="3 failed")
    """
    if not enabled:
        yield lambda steps=1, note="": None
    elif sys.stderr.isatty():
        with _bar(title, total) as advance:
            yield advance
    else:
        with _lines(title, total) as advance:
            yield advance


@contextmanager
def _bar(title: str, total: int) -> Iterator[Advance]:
    with Progress(*_columns(), console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            progress.update(task, advance=steps, note=note)

        yield advance
        shown = progress.tasks[0]
        if shown.completed < total:
            note = shown.fields["note"]
            progress.update(task, total=shown.completed, note=f"{note}, {_EARLY}" if note else _EARLY)


def _columns() -> tuple[ProgressColumn, ...]:
    """Of a narrow terminal the bar is the first to give way: numbers and texts are whole."""
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        _TimeLeft(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}"),
    )


@contextmanager
def _lines(title: str, total: int) -> Iterator[Advance]:
    started = last_line = time.monotonic()
    done, last_note = 0, ""

    def report(*, ended: bool = False) -> None:
        passed = time.monotonic() - started
        left = f", about {passed * (total - done) / done:.0f} s left" if 0 < done < total else ""
        left = f", {_EARLY}" if ended and done < total else left
        suffix = f", {last_note}" if last_note else ""
        print(f"{title}: {done}/{total} ({passed:.0f} s{left}{suffix})", file=sys.stderr, flush=True)

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, last_note, last_line
        done, last_note = done + steps, note
        if done < total and (steps == 0 or time.monotonic() - last_line >= _SECONDS_BETWEEN_LINES):
            last_line = time.monotonic()
            report()

    try:
        yield advance
    except BaseException:
        # Also when interrupted: it says how far the work got.
        report()
        raise
    report(ended=True)
