"""`campaign.log`: what a campaign did, when and why, in sentences for the person who reads it in the morning."""

from datetime import datetime
from pathlib import Path

from .terminal import Terminal


class Log:
    """A file that is added to, one line a sentence, with the time in front; the terminal shows the same lines.

    Args:
        path: of the file, made where it is not there.
        terminal: on which the lines are shown as well.
    """

    def __init__(self, path: Path, terminal: Terminal):
        self.path, self._terminal = path, terminal
        path.parent.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        """Adds a line."""
        line = f"{datetime.now():%Y-%m-%d %H:%M:%S}  {' '.join(text.split())}"
        # A process that was killed may have left half a line behind.
        whole = not self.path.exists() or self.path.read_bytes()[-1:] in (b"", b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("" if whole else "\n") + line + "\n")
        self._terminal.say(line)


def told_seconds(seconds: float) -> str:
    """A time as a person says it: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
