"""What `genbayes hodgkin-huxley` found: one row per recording and inverse temperature, as CSV and as tables."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from ..benchmark.tables import Table
from ..runtime.files import replaced_file
from ..runtime.statistics import mean_and_error

UNITS = "mean over seven statistics, in prior-predictive standard deviations"
QUANTITIES = {
    "resimulated": "re-simulated",
    "predicted": "predicted",
    "replicate": "two runs alike",
}


@dataclass(frozen=True)
class Row:
    """One posterior; the fields are the columns of results.csv, in order.

    Attributes:
        recording: its name.
        beta: inverse temperature.
        predicted: mean cost, by the network, of the draws that were run again.
        predicted_error: its standard error.
        resimulated: mean distance to the recording of one new run at each of these draws.
        resimulated_error: its standard error.
        replicate: mean distance of two runs at one draw.
        replicate_error: its standard error.
        least_ess: smallest bulk effective sample size of a parameter.
        largest_rhat: largest R-hat of a parameter.
        log_density_error: disagreement of the ensemble, see `PredictiveCheck`.
        runs: draws that were run again.
        failed_runs: those whose runs failed, which are in no number.
        draws: of the posterior.
        simulations: that the cost was fitted on.
        seed: of simulations, fit and draws.
        stimulus: recording whose current was simulated.
        own_conditions: whether amplitude and initial voltage were the recording's own.
        amplitude: of the simulated current, uA/cm^2.
        initial_voltage: of the simulations of this recording, mV.
        seconds_sample: without compilation.
        seconds_sample_compile: compilation alone.
        seconds_check: of the new runs, with compilation.
        seconds_report: of pictures and page.
    """

    recording: str
    beta: float
    predicted: float
    predicted_error: float
    resimulated: float
    resimulated_error: float
    replicate: float
    replicate_error: float
    least_ess: float
    largest_rhat: float
    log_density_error: float
    runs: int
    failed_runs: int
    draws: int
    simulations: int
    seed: int
    stimulus: str
    own_conditions: bool
    amplitude: float
    initial_voltage: float
    seconds_sample: float
    seconds_sample_compile: float
    seconds_check: float
    seconds_report: float


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes results.csv; an interrupted write leaves the old file whole."""
    with replaced_file(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        for row in rows:
            values = asdict(row)
            writer.writerow({key: f"{v:.7g}" if isinstance(v, float) else v for key, v in values.items()})


def tables(rows: Sequence[Row]) -> list[Table]:
    """The re-simulated distance of each recording, and all three distances averaged over recordings."""
    betas = sorted({row.beta for row in rows})
    names = list(dict.fromkeys(row.recording for row in rows))
    at = {(row.recording, row.beta): row for row in rows}
    each = [(name, *(_cell(at.get((name, beta))) for beta in betas)) for name in names]
    header = tuple(f"beta {beta:g}" for beta in betas)
    first = Table(
        "Re-simulated distance of each recording",
        ("recording", *header),
        each,
        f"Mean ± standard error over new runs at posterior draws. Distance: {UNITS}.",
    )
    mean = [
        (label, *(_pair(*mean_and_error([getattr(r, key) for r in rows if r.beta == beta])) for beta in betas))
        for key, label in QUANTITIES.items()
    ]
    second = Table(
        f"Mean over {_counted(rows, betas)}, ± standard error over recordings",
        ("distance", *header),
        mean,
        "Re-simulated: new runs to the recording. Predicted: by the network at the same draws. Two runs alike: the "
        "simulator's own noise.",
    )
    return [first, second]


def write_summary(
    path: Path, rows: Sequence[Row], *, command: str, about: Sequence[str], reports: dict, failures: Sequence[str]
) -> None:
    """Writes summary.md.

    Args:
        path: of the file.
        rows: what was found.
        command: that was typed.
        about: sentences on what was done.
        reports: (recording, beta) -> (file name of the report, of the traces), relative to the summary.
        failures: what went wrong, one text each.
    """
    parts = ["# Hodgkin-Huxley models of recordings", *about]
    parts += [table.markdown() for table in reversed(tables(rows))] if rows else []
    if failures:
        parts += ["## Failed", "\n".join(f"- {text}" for text in failures)]
    if reports:
        links = [
            f"- {name}, beta {beta:g}: [report]({report}), [traces]({traces})"
            for (name, beta), (report, traces) in reports.items()
        ]
        parts += ["## Reports", "\n".join(links)]
    parts += ["## How to repeat", f"```\n{command}\n```", "All numbers: [results.csv](results.csv)."]
    path.write_text("\n\n".join(parts) + "\n", "utf-8")


def _cell(row: Row | None) -> str:
    return "-" if row is None else _pair(row.resimulated, row.resimulated_error)


def _pair(value: float, error: float) -> str:
    return f"{value:.3f} ± {error:.3f}" if np.isfinite(error) else f"{value:.3f}"


def _counted(rows: Sequence[Row], betas: Sequence[float]) -> str:
    counts = {sum(row.beta == beta for row in rows) for beta in betas}
    text = " or ".join(map(str, sorted(counts)))
    return f"{text} recording{'s' * (text != '1')}"
