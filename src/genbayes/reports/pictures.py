"""The registry of a report's pictures: each says when it applies, how to read it, and how it is drawn.

How to add a picture: write a function in `plots/` that returns a matplotlib Figure, and one entry in the list below; in
a script of yours, register the entry before the report is written:

    register(Entry("name", caption, draw, place=35))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import plots
from ..costs.records import fit_records, units_of
from ..runtime.progress import progress_bar
from ..runtime.registry import Registry
from .run import ReportedRun

if TYPE_CHECKING:
    import matplotlib.figure

MOST_PAIRED = 12


def _always(run: ReportedRun) -> bool:
    del run
    return True


@dataclass(frozen=True)
class Entry:
    """A picture of the report.

    Attributes:
        name: of the picture, unique among them.
        caption: how to read it, or a function of the run that says so.
        draw: run -> matplotlib Figure.
        place: among the pictures; the library's stand at 10, 20, ..., 60.
        applies: whether this run allows the picture.
    """

    name: str
    caption: str | Callable[[ReportedRun], str]
    draw: Callable[[ReportedRun], Any]
    place: int | float
    applies: Callable[[ReportedRun], bool] = _always


PICTURES: Registry[Entry] = Registry("picture")


def register(entry: Entry) -> Entry:
    """Registers a picture of the report.

    Raises:
        ValueError: another module has registered a picture of this name.
    """
    PICTURES.add(entry.name, entry, entry.draw.__module__)
    return entry


def pictures(run: ReportedRun, *, progress: bool = False) -> list[tuple[str, matplotlib.figure.Figure]]:
    """The pictures that a run allows, in their order, each with its caption."""
    entries = [entry for entry in sorted(PICTURES.all(), key=lambda entry: entry.place) if entry.applies(run)]
    drawn = []
    with progress_bar("drawing", len(entries), progress) as advance:
        for entry in entries:
            caption = entry.caption(run) if callable(entry.caption) else entry.caption
            drawn.append((caption, entry.draw(run)))
            advance()
    return drawn


def _best_determined(run: ReportedRun) -> list[str] | None:
    """The parameters of which most was learnt, where there are too many for a picture of pairs."""
    draws = run.draws
    if len(draws.names) <= MOST_PAIRED:
        return None
    before = np.std(run.posterior.prior.sample(4000, seed=0), axis=0)
    learnt = np.argsort(np.std(draws.flat, axis=0) / before)[:MOST_PAIRED]
    return [draws.names[j] for j in sorted(learnt)]


def _pair(run: ReportedRun) -> matplotlib.figure.Figure:
    return plots.pair(run.draws, run.posterior.prior, parameters=_best_determined(run))


def _pair_caption(run: ReportedRun) -> str:
    text = "What the observation says about the parameters: a tilted contour means that two of them trade off; "
    text += "the smaller blue is against grey, the more was learnt."
    many = len(run.draws.names)
    return text + f" Shown: the {MOST_PAIRED} best-determined of {many} parameters." * (many > MOST_PAIRED)


def _predictive(run: ReportedRun) -> matplotlib.figure.Figure:
    # A set cannot be told from a series by its shape, but the cost knows what it reads.
    kind = "set" if run.kind is None and run.evidence.output_kind == "set" else run.kind
    shown = {"axis": run.axis, "labels": run.labels, "kind": kind, "prior_x": run.prior_outputs}
    assert run.predictive is not None  # `applies` has asked.
    return plots.predictive(run.predictive, run.posterior.x_o, **shown)


def _accuracy(run: ReportedRun) -> matplotlib.figure.Figure:
    runs = run.predictive
    assert runs is not None  # `applies` has asked.
    return plots.cost_accuracy(runs.predicted, runs.simulated, runs.replicate, units=units_of(run.posterior.cost))


register(Entry("pair", _pair_caption, _pair, 10))
register(
    Entry(
        "predictive",
        "The observation (black) should lie inside the re-simulated outputs (blue); where it does not, the simulator "
        "misses that part of the data.",
        _predictive,
        20,
        lambda run: run.predictive is not None and run.outputs_shown,
    )
)
register(
    Entry(
        "accuracy",
        "The means (vermillion) should lie on the line: then the network's cost is right at the draws. Means near the "
        "dashed line are as close as the simulator's own noise allows.",
        _accuracy,
        30,
        lambda run: run.evidence.accuracy is not None,
    )
)
register(
    Entry(
        "profiles",
        "A steep valley is a well-determined parameter, a flat line one that the data do not determine. Where thin "
        "lines have valleys beside the thick one's, another parameter makes up for this one.",
        lambda run: plots.cost_profiles(run.posterior, run.draws),
        40,
    )
)
register(
    Entry(
        "training",
        "Validation (blue) should level off; a large gap above training (grey) means too few simulations.",
        lambda run: plots.training(run.posterior.cost),
        50,
        lambda run: bool(fit_records(run.posterior.cost)),
    )
)
register(
    Entry(
        "ladder",
        "The way from prior to posterior: the acceptance rate should end above 0.3, or draws are copies of one "
        "another.",
        lambda run: plots.ladder(run.draws),
        60,
        lambda run: "beta_ladder" in run.draws.statistics,
    )
)
