"""The rows of a benchmark and the CSV file that holds them: appended one by one, and read back to resume."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..runtime.files import replaced_file

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are not told apart there
    fcntl = None

KINDS = ("specified", "misspecified")
OK, FAILED = "ok", "failed"


@dataclass(frozen=True)
class Row:
    """One posterior of the benchmark and what was measured of it; the fields are the columns of the file, in order.

    Attributes:
        task: name of the task.
        observation: its index among those of its kind.
        specified: "specified" or "misspecified".
        method: name of the method.
        beta: inverse temperature that was asked for.
        beta_used: of the draws; None where the method has none.
        seed: of simulations, fit and draws.
        simulations: number of them, shared by all methods.
        draws: number asked for.
        observations: where the observation is from: a file, or the seed by which it was drawn.
        x_o: fingerprint of the observation, so that rows of another one under the same index are not mistaken for it.
        cost_true_mean: mean over the draws of the exact cost, or of its Monte Carlo estimate.
        cost_true_error: standard error of that mean, Monte Carlo error included.
        distance_simulated_mean: mean distance to the observation of one new run at each of some draws.
        distance_simulated_error: its standard error.
        cost_correlation: Pearson correlation of predicted and exact cost at prior draws.
        cost_mse: mean squared difference of the two.
        c2st: classifier two-sample test against exact draws, 0.5 at best.
        seconds_simulate: without compilation, as all seconds whose name does not end in compile.
        seconds_simulate_compile: compilation alone.
        seconds_fit: of the group's fit.
        seconds_fit_compile: compilation alone.
        seconds_sample: of these draws.
        seconds_sample_compile: compilation alone.
        peak_memory_mib: largest resident memory of the process that fitted and sampled, up to this row.
        status: "ok" or "failed".
        message: what went wrong, or what the method said about its draws.
    """

    task: str
    observation: int
    specified: str
    method: str
    beta: float
    beta_used: float | None
    seed: int
    simulations: int
    draws: int
    observations: str
    x_o: str
    cost_true_mean: float | None = None
    cost_true_error: float | None = None
    distance_simulated_mean: float | None = None
    distance_simulated_error: float | None = None
    cost_correlation: float | None = None
    cost_mse: float | None = None
    c2st: float | None = None
    seconds_simulate: float | None = None
    seconds_simulate_compile: float | None = None
    seconds_fit: float | None = None
    seconds_fit_compile: float | None = None
    seconds_sample: float | None = None
    seconds_sample_compile: float | None = None
    peak_memory_mib: float | None = None
    status: str = OK
    message: str = ""

    @property
    def key(self) -> tuple:
        """What makes two rows the same cell."""
        settings = (self.seed, self.simulations, self.draws, self.observations, self.x_o)
        return (self.task, self.observation, self.specified, self.method, self.beta, *settings)

    @property
    def ok(self) -> bool:
        """Whether there are draws."""
        return self.status == OK

    @property
    def name(self) -> str:
        """The cell in words."""
        return f"{self.task}, {self.method}, {self.specified} {self.observation}, beta {self.beta:g}, seed {self.seed}"


_FIELDS = fields(Row)
COLUMNS = tuple(field.name for field in _FIELDS)


class Results:
    """results.csv of a folder, written by one process at a time.

    Args:
        path: of the file; made by the first row.
    """

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> list[Row]:
        """All rows, the last of each cell; a last line that was cut off while it was written is left out.

        Raises:
            ValueError: another line is no row of this file.
        """
        if not self.path.exists():
            return []
        lines = self.path.read_text("utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
        if not lines:
            return []
        header = next(csv.reader(lines[:1]))
        if tuple(header) != COLUMNS:
            raise ValueError(
                f"{self.path} has other columns than this version writes ({', '.join(header)[:200]}). Write into "
                "another folder, or rename the file."
            )
        rows = {}
        for number, line in enumerate(lines[1:], start=2):
            row = self._row(number, next(csv.reader([line]), []))
            rows[row.key] = row
        return list(rows.values())

    def _row(self, number: int, values: list[str]) -> Row:
        try:
            return Row(**{f.name: _read(f.type, text) for f, text in zip(_FIELDS, values, strict=True)})
        except ValueError as error:
            raise ValueError(
                f"line {number} of {self.path} is not a row of a benchmark ({error}). Repair or remove the line."
            ) from error

    def append(self, row: Row) -> None:
        """Adds one row at the end and has it written to the disk."""
        new = not self.path.exists() or self.path.stat().st_size == 0
        with self.path.open("a", encoding="utf-8", newline="") as file:
            # The line is written at once: an interruption leaves the line whole, or cut off at the end of the file.
            file.write((_line(COLUMNS) if new else "") + _line(_write(getattr(row, name)) for name in COLUMNS))
            file.flush()
            os.fsync(file.fileno())

    def replace(self, rows: Iterable[Row]) -> None:
        """Writes all rows anew; an interrupted write leaves the old file whole."""
        lines = [_line(_write(getattr(row, name)) for name in COLUMNS) for row in rows]
        with replaced_file(self.path) as beside:
            beside.write_bytes("".join([_line(COLUMNS), *lines]).encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for this process.

        Raises:
            RuntimeError: another process writes there.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / ".lock").open("w") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise RuntimeError(
                        f"another benchmark is writing into {self.path.parent}. Wait for it, or name another folder."
                    ) from None
            yield


def described(failed: Sequence[Row]) -> list[str]:
    """Failed rows in words, those of one group and reason in one line."""
    groups: dict[tuple, list[Row]] = {}
    for row in failed:
        groups.setdefault((row.task, row.method, row.seed, row.message), []).append(row)
    lines = []
    for (task, method, seed, message), rows in groups.items():
        cells = rows[0].name if len(rows) == 1 else f"{task}, {method}, seed {seed}, {len(rows)} posteriors"
        lines.append(f"{cells}: {message}")
    return lines


def _line(values: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def _write(value: Any) -> str:
    if value is None:
        return ""
    # A row is one line, whatever a message holds.
    return f"{value:.7g}" if isinstance(value, float) else " ".join(str(value).split())


def _read(kind: Any, text: str) -> Any:
    if kind is str:
        return text
    if kind is int:
        return int(text)
    return float(text) if kind is float or text else None
