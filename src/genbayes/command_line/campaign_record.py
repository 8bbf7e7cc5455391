"""`campaign.json`: what a campaign was asked, what its rounds found, and how far the present one is."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..runtime.damaged_files import damage_told
from ..runtime.files import write_whole
from .campaign_decision import Judged, Point, Round, Step

_VERSION = 1


@dataclass(frozen=True)
class Present:
    """The round that is being made, and what of it is done.

    Attributes:
        number: of the round.
        step: what it does.
        runs: new runs of a refinement.
        draws_run: draws at which the simulator is run.
        fitted: fingerprint of its cost; empty until that is stored.
        sampled: inverse temperatures of which the draws are stored.
        judged: inverse temperatures that were checked.
    """

    number: int
    step: Step
    runs: int
    draws_run: int
    fitted: str = ""
    sampled: tuple[float, ...] = ()
    judged: tuple[Judged, ...] = ()


@dataclass(frozen=True)
class Record:
    """All that a campaign has to know to go on.

    Attributes:
        settings: what decides its numbers, by name of the option; the same for as long as it lasts.
        rounds: that are done.
        present: the one that is being made; None between two.
        fitted: fingerprint of the cost of the last round that is done.
        reported: number of rounds of which the reports are written.
    """

    settings: dict[str, Any]
    rounds: tuple[Round, ...] = ()
    present: Present | None = None
    fitted: str = ""
    reported: int = 0

    def with_present(self, **changes: Any) -> "Record":
        """The same with the present round further on."""
        assert self.present is not None
        return replace(self, present=replace(self.present, **changes))

    def with_round(self, prior_runs: int, refined_runs: int) -> "Record":
        """The same with the present round done."""
        one = self.present
        assert one is not None
        done = Round(one.number, one.step, prior_runs, refined_runs, one.draws_run, one.judged)
        return replace(self, rounds=(*self.rounds, done), present=None, fitted=one.fitted)

    def with_step(self, step: Step, runs: int, draws_run: int) -> "Record":
        """The same with a round begun."""
        return replace(self, present=Present(len(self.rounds), step, runs, draws_run))

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        write_whole(path, json.dumps({"version": _VERSION, **asdict(self)}, indent=1))


def read_record(path: Path) -> Record | None:
    """The record of a campaign that has begun; None where none has.

    Raises:
        ValueError: the file is damaged, or of a later version; with the remedy.
    """
    if not path.exists():
        return None
    remedy = "Remove it to begin anew with the simulations that are there."
    with damage_told(path, "the record of a campaign", remedy):
        content = json.loads(path.read_text("utf-8"))
        if content["version"] > _VERSION:
            raise ValueError(f"it has version {content['version']}, and this genbayes reads {_VERSION}: upgrade it")
        present = content["present"]
        if present is not None:
            present = Present(**{**present, "sampled": tuple(present["sampled"]), "judged": _judged(present["judged"])})
        rounds = tuple(Round(**{**row, "judged": _judged(row["judged"])}) for row in content["rounds"])
        return Record(content["settings"], rounds, present, content["fitted"], content["reported"])


def _judged(rows: list[dict[str, Any]]) -> tuple[Judged, ...]:
    return tuple(Judged(**{**row, "points": tuple(Point(**point) for point in row["points"])}) for row in rows)


def check_settings(stored: dict[str, Any], given: dict[str, Any], path: Path, out: str) -> None:
    """ValueError where a campaign is to go on with other settings than it began with.

    Args:
        stored: of the campaign, by name.
        given: of this call.
        path: of the record.
        out: how another folder is named.
    """
    for name, value in given.items():
        if stored.get(name) != value:
            raise ValueError(
                f"the campaign in {path.parent} began with {name} {stored.get(name)}, and this call has {value}. Give "
                f"the same, or begin another one in a folder of its own ({out}); the budget alone may change."
            )
