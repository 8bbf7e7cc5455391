"""Runs that take very long are named while they run, with their parameters."""

import sys
import threading
import time
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager

from .worker import Task

# A run is long overdue after so many times the mean of the others, and never before so many seconds.
_TIMES, _LEAST_SECONDS = 20.0, 60.0
_MOST_TOLD = 10


class Overdue:
    """Tells, on standard error, of runs that are long overdue; each once, and the first few only.

    Args:
        names: of the inputs.
        hint: what can be done about it.
        run_seconds: gets the seconds of every run by the number of its row; nobody does if not given.
    """

    def __init__(
        self,
        names: Sequence[str],
        hint: str = "Give a time limit by `timeout`, to have it end.",
        run_seconds: MutableMapping[int, float] | None = None,
    ):
        self._names, self._hint = names, hint
        self._of_row = {} if run_seconds is None else run_seconds
        self._seconds, self._count = 0.0, 0
        self._told: set[int] = set()

    def note(self, row: int, seconds: float) -> None:
        """Take the time of a run that has ended into account."""
        self._of_row[row] = seconds
        self._seconds += seconds
        self._count += 1

    @property
    def patience(self) -> float:
        """Seconds after which a run is long overdue."""
        return max(_LEAST_SECONDS, _TIMES * self._seconds / max(self._count, 1))

    def look(self, task: Task, seconds: float) -> None:
        """Tell of a run, if it is long overdue and has not been told of."""
        row, _, inputs = task
        if seconds < self.patience or row in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add(row)
        values = ", ".join(f"{name}={value:.6g}" for name, value in zip(self._names, inputs.tolist(), strict=False))
        usual = f" (others took {self._seconds / self._count:.3g} s)" if self._count else ""
        print(
            f"simulation {row} has been running for {seconds:.0f} s{usual}, at {values}. {self._hint}",
            file=sys.stderr,
            flush=True,
        )

    @contextmanager
    def watched(self) -> Iterator["Watched"]:
        """Looks from a thread after the runs of this one, which tells it what it runs."""
        watched, stop = Watched(), threading.Event()

        def look() -> None:
            while not stop.wait(min(1.0, self.patience / 4)):
                current = watched.current
                if current is not None:
                    self.look(current[0], time.monotonic() - current[1])

        thread = threading.Thread(target=look, name="genbayes overdue runs", daemon=True)
        thread.start()
        try:
            yield watched
        finally:
            stop.set()
            thread.join()


class Watched:
    """What is run just now.

    Attributes:
        current: the row, and when it began; None between rows.
    """

    def __init__(self) -> None:
        self.current: tuple[Task, float] | None = None
