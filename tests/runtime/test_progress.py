"""What is shown of long work, on a terminal and in a file."""

import io
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from genbayes.runtime import progress as shown
from genbayes.runtime.progress import COMPILES, progress_bar


def bar(width: int, clock: list[float]) -> tuple[Progress, io.StringIO]:
    """A bar on a terminal of a width, with a clock that the test sets."""
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, color_system=None)
    return Progress(*shown._columns(), console=console, get_time=lambda: clock[0], auto_refresh=False), text


def test_a_narrow_terminal_shows_numbers_and_texts_whole() -> None:
    clock = [0.0]
    display, text = bar(80, clock)
    display.add_task("sampling observations", total=200, note=COMPILES)
    clock[0] = 75.0
    display.console.print(display)
    line = text.getvalue()
    assert "sampling observations" in line
    assert "0/200 0:01:15" in line
    assert COMPILES in line
    assert "…" not in line


def test_the_time_left_is_told_after_the_first_step() -> None:
    clock = [0.0]
    display, text = bar(80, clock)
    task = display.add_task("sampling", total=5, note="")
    display.console.print(display)
    assert "-:--:--" in text.getvalue()
    clock[0] = 30.0
    display.update(task, advance=1)
    display.console.print(display)
    # Four more steps of 30 s.
    assert "0:02:00" in text.getvalue()


def test_lines_say_what_ended_early(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("fitting", 50) as advance:
        advance(30, note="validation loss 0.4")
    assert capsys.readouterr().err == "fitting: 30/50 (0 s, ended early, validation loss 0.4)\n"


def test_an_interruption_is_no_early_end(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        with progress_bar("fitting", 50) as advance:
            advance(30)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "early" not in capsys.readouterr().err


def test_a_bar_that_ended_early_says_so_and_leaves_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()

    def on_a_terminal(**_: Any) -> Console:
        return Console(file=text, width=100, force_terminal=True, color_system=None)

    monkeypatch.setattr(shown, "Console", on_a_terminal)
    with shown._bar("fitting", 50) as advance:
        advance(30, note="loss 0.4")
    assert "loss 0.4, ended early" in text.getvalue()
