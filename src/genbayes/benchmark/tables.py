"""The benchmark's rows as tables: means over observations, spread over seeds, published values beneath."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..runtime.formatting import number
from .results import KINDS, Row

# The order of methods in tables and figures; others follow.
ORDER = ("exact", "ace", "ace-general", "abc", "npe", "nle", "nle-tempered", "emulator-gbi")
# The algorithm of a published file that a method answers to.
ALGORITHMS = {
    "exact": "ground_truth",
    "ace": "ACE",
    "ace-general": "ACE",
    "abc": "ABC",
    "npe": "NPE",
    "nle": "NLE",
    "nle-tempered": "NLE_tempered",
    "emulator-gbi": "emulator_GBI",
}
SHORT: dict[str, str] = {"specified": "well", "misspecified": "missp."}
WORDS: dict[str, str] = {"specified": "well-specified", "misspecified": "misspecified"}
# Algorithms that know no beta: a published file gives them one value under an arbitrary one.
UNTEMPERED = ("NPE", "NLE")
METRICS = {"c2st": "C2ST", "cost_true_mean": "Mean cost of the draws"}
NOTES = {
    "c2st": "0.5 is perfect.",
    "cost_true_mean": "Exact expected distance, or its Monte Carlo estimate where the task knows none; to reach is the "
    "exact posterior's, not the least.",
}

# Published values: (task, kind, algorithm, beta) -> metric -> mean over the file's observations.
Published = dict[tuple[str, str, str, float], dict[str, float]]


@dataclass(frozen=True)
class Table:
    """A title, a header, rows of text whose first column names the row, how to read it, and what to beware of."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""
    caution: str = ""

    def markdown(self) -> str:
        """As Markdown."""
        lines = [self.header, ("---", *("---:",) * (len(self.header) - 1)), *self.rows]
        text = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
        return "\n\n".join(part for part in (f"### {self.title}", text, self.note, self.caution) if part)


@dataclass(frozen=True)
class Setting:
    """The rows that can be compared: one task, number of simulations, of draws, and source of observations."""

    title: str
    stem: str
    rows: tuple[Row, ...]

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.rows[0].task

    def methods(self) -> list[str]:
        """In the order of tables and figures."""
        names = list(dict.fromkeys(row.method for row in self.rows))
        return [name for name in ORDER if name in names] + [name for name in names if name not in ORDER]

    def betas(self) -> list[float]:
        """Ascending."""
        return sorted({row.beta for row in self.rows})

    def of(self, **wanted: object) -> list[Row]:
        """The rows with these values of these columns."""
        return [row for row in self.rows if all(getattr(row, name) == value for name, value in wanted.items())]


@dataclass(frozen=True)
class Statistic:
    """One metric of several rows.

    Attributes:
        mean: over seeds of the means over observations.
        spread: standard deviation of the seeds' means; None of one seed.
        error: standard error of the mean over observations; None of one observation.
        observations: how many there are.
    """

    mean: float
    spread: float | None
    error: float | None
    observations: int


def statistic(rows: Sequence[Row], metric: str) -> Statistic | None:
    """The mean of a metric over the rows that have it, of one method, kind and beta; None where none has."""
    found = [row for row in rows if (value := getattr(row, metric)) is not None and np.isfinite(value)]
    if not found:
        return None
    seeds, names = sorted({row.seed for row in found}), sorted({row.observation for row in found})
    table = np.full((len(seeds), len(names)), np.nan)
    for row in found:
        table[seeds.index(row.seed), names.index(row.observation)] = getattr(row, metric)
    means, per_observation = np.nanmean(table, axis=1), np.nanmean(table, axis=0)
    return Statistic(
        mean=float(means.mean()),
        spread=float(means.std(ddof=1)) if len(seeds) > 1 else None,
        error=float(per_observation.std(ddof=1) / np.sqrt(len(names))) if len(names) > 1 else None,
        observations=len(names),
    )


def settings(rows: Iterable[Row]) -> list[Setting]:
    """Groups the rows that have draws; of observations under one name and index only the last ones count."""
    rows = [row for row in rows if row.ok]
    latest = {(row.task, row.observations, row.specified, row.observation): row.x_o for row in rows}
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        if latest[row.task, row.observations, row.specified, row.observation] == row.x_o:
            groups.setdefault((row.task, row.simulations, row.draws, row.observations), []).append(row)
    result = []
    for (task, simulations, draws, source), members in groups.items():
        title = f"{task}: {simulations:,} simulations, {draws:,} draws, observations of {source}"
        stem = task if sum(key[0] == task for key in groups) == 1 else f"{task}-{simulations}-{draws}-{source}"
        result.append(Setting(title, "".join(c if c.isalnum() or c in "-_." else "-" for c in stem), tuple(members)))
    return result


def read_published(path: str | Path) -> Published:
    """Reads published values: a CSV file with the columns task, xo_specified, algorithm, beta and metrics.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, or a line cannot be read.
    """
    needed = ("task", "xo_specified", "algorithm", "beta")
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in needed if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path} is no file of published values: it lacks the column(s) {', '.join(missing)}; expected "
                f"{', '.join(needed)} and {' or '.join(METRICS)}."
            )
        values: dict[tuple, dict[str, list[float]]] = {}
        for line in reader:
            try:
                key = (line["task"], line["xo_specified"], line["algorithm"], float(line["beta"]))
                for metric in METRICS:
                    if line.get(metric):
                        values.setdefault(key, {}).setdefault(metric, []).append(float(line[metric]))
            except (TypeError, ValueError) as error:
                raise ValueError(f"line {reader.line_num} of {path} cannot be read: {error}") from error
    return {key: {name: float(np.mean(v)) for name, v in metrics.items()} for key, metrics in values.items()}


def published_value(published: Published, task: str, kind: str, algorithm: str, beta: float) -> dict[str, float]:
    """Metrics of an algorithm at one beta; empty where nothing is published."""
    if algorithm in UNTEMPERED:
        return next((value for key, value in published.items() if key[:3] == (task, kind, algorithm)), {})
    return published.get((task, kind, algorithm, beta), {})


def tables(setting: Setting, published: Published) -> list[Table]:
    """All tables of a setting."""
    kinds = [kind for kind in KINDS if setting.of(specified=kind)]
    metrics = [metric for metric in METRICS if any(getattr(row, metric) is not None for row in setting.rows)]
    accuracy = [_accuracy(setting, kind, metric, published) for metric in metrics for kind in kinds]
    return [*accuracy, _prediction(setting), _time(setting)]


def _accuracy(setting: Setting, kind: str, metric: str, published: Published) -> Table:
    """Method x beta, published values beneath."""
    betas, methods = setting.betas(), setting.methods()
    most = max(len({row.observation for row in setting.of(specified=kind, method=name)}) for name in methods)
    lines, relaxed = [], []
    for i, method in enumerate(methods):
        cells = [statistic(setting.of(specified=kind, method=method, beta=beta), metric) for beta in betas]
        lines.append((method, *(_cell(value, metric, most) for value in cells)))
        relaxed += _relaxed(setting.of(specified=kind, method=method))
        algorithm = ALGORITHMS.get(method)
        if algorithm and algorithm not in map(ALGORITHMS.get, methods[i + 1 :]):
            values = [published_value(published, setting.task, kind, algorithm, beta).get(metric) for beta in betas]
            if any(value is not None for value in values):
                lines.append((f"{algorithm}, published", *(_format(value, metric) for value in values)))
    seeds = len({row.seed for row in setting.rows})
    note = f"Means over {most} observation(s)" + f" ± standard deviation of {seeds} seeds' means" * (seeds > 1)
    note += "; (n): over n of them. " if any(cell.endswith(")") for line in lines for cell in line[1:]) else ". "
    note += NOTES[metric]
    caution = " ".join(f"Not at the β asked for: {text}." for text in relaxed)
    return Table(
        f"{METRICS[metric]}, {WORDS[kind]}", ("method", *(f"β {beta:g}" for beta in betas)), lines, note, caution
    )


def _relaxed(rows: Sequence[Row]) -> list[str]:
    """Which posteriors of one method and kind are of another beta than asked for."""
    other = [row for row in rows if row.beta_used is not None and not np.isclose(row.beta_used, row.beta)]
    betas = sorted({row.beta for row in other})
    counts = [f"{sum(row.beta == b for row in other)} of {sum(row.beta == b for row in rows)} at {b:g}" for b in betas]
    return [f"{rows[0].method}, {', '.join(counts)}"] if counts else []


def _cell(value: Statistic | None, metric: str, most: int) -> str:
    if value is None:
        return "-"
    text = _format(value.mean, metric)
    if value.spread is not None:
        text += f" ± {value.spread:.3f}" if metric == "c2st" else f" ± {number(value.spread, 1)}"
    return text + (f" ({value.observations})" if value.observations < most else "")


def _format(value: float | None, metric: str) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if metric == "c2st" else number(value, 4)


def _prediction(setting: Setting) -> Table:
    """Predicted against exact cost at prior draws."""
    kinds = [kind for kind in KINDS if setting.of(specified=kind)]
    columns = {"cost_correlation": "corr.", "cost_mse": "MSE"}
    lines = []
    for method in setting.methods():
        values = [statistic(setting.of(method=method, specified=kind), name) for kind in kinds for name in columns]
        if any(values):
            lines.append((method, *("-" if value is None else number(value.mean, 4) for value in values)))
    header = ("method", *(f"{text} {SHORT[kind]}" for kind in kinds for text in columns.values()))
    note = (
        "Means over well- and misspecified observations; corr.: Pearson correlation, MSE: mean squared error. Methods "
        "that predict no cost are left out."
        if lines
        else "No method predicts one."
    )
    return Table("Predicted against exact cost, at prior draws", header, lines, note)


def _time(setting: Setting) -> Table:
    """Seconds and memory."""
    lines = []
    for method in setting.methods():
        rows = setting.of(method=method)
        fits = list({row.seed: row for row in rows}.values())
        compiling = sum(row.seconds_sample_compile or 0.0 for row in rows) / len(fits)
        memory = max((row.peak_memory_mib or 0.0 for row in rows), default=0.0)
        values = [
            np.mean([row.seconds_fit or 0.0 for row in fits]),
            np.mean([row.seconds_fit_compile or 0.0 for row in fits]),
            np.mean([row.seconds_sample or 0.0 for row in rows]),
            compiling,
        ]
        lines.append((method, *(number(float(value), 3) for value in values), f"{memory:.0f}"))
    header = ("method", "fit", "compiling", "a posterior", "compiling all", "peak MiB")
    first = setting.rows[0]
    simulating, compiling = (number(x or 0.0) for x in (first.seconds_simulate, first.seconds_simulate_compile))
    note = (
        f"Simulating took {simulating} s, and {compiling} s of compiling. Fit, in seconds: once per seed. A posterior: "
        "mean of all; methods whose draws do not depend on beta sample once per observation. Absolute times mean "
        "little on shared machines."
    )
    return Table("Time and memory", header, lines, note)
