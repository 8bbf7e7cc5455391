"""The output folder of the command line: what lies where, and reading it back."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..costs.cost import Cost
from ..costs.files import load
from ..costs.fingerprint import fingerprint
from ..costs.forms import MarginalForm
from ..distances import UserDistance
from ..learning.row_blocks import BLOCK
from ..priors.wording import changes_told
from ..reports.markup import Section
from ..reports.parts import add_part
from ..runtime.damaged_files import damage_told
from ..runtime.files import write_whole
from ..runtime.named_values import Names
from ..sampling.draws import Draws
from ..simulations.rows import Simulations
from ..simulations.sampled import ROWS_OF_SAMPLE, sample_simulations
from ..simulations.shards import Shard
from ..simulations.simulators import qualified_name
from ..simulations.store import PENDING, SimulationStore
from ..simulations.zarr_folder import is_unfinished
from .problem import Problem

# Numbers of outputs that are looked at for damage at a time: 16 MB in single precision.
_NUMBERS_AT_ONCE = 2**22
# The analyses that have a section, in the order in which they stand in a report.
SECTIONS = ("check", "temperature", "sensitivity", "refinement", "campaign")


@dataclass(frozen=True)
class Folder:
    """Where the artefacts of one problem lie.

    Attributes:
        path: of the folder.
        observation: file stem of another observation than the problem's, which has draws and reports of its own.
    """

    path: Path
    observation: str = ""

    @property
    def _prefix(self) -> str:
        return f"{self.observation}-" if self.observation else ""

    @property
    def simulations(self) -> Path:
        """The store of simulations."""
        return self.path / "simulations.zarr"

    @property
    def cost(self) -> Path:
        """The fitted cost."""
        return self.path / "cost.safetensors"

    def draws(self, beta: float) -> Path:
        """The draws at one inverse temperature."""
        return self.path / f"{self._prefix}draws-beta-{beta:.10g}.zarr"

    def stack(self, name: str) -> Path:
        """The draws of a whole file of observations, called by its stem."""
        return self.path / f"{name}-stacked-draws.zarr"

    def report(self, beta: float) -> Path:
        """The report on them."""
        return self.path / f"{self._prefix}report-beta-{beta:.10g}.html"

    def section(self, name: str, beta: float | None = None) -> Path:
        """A part of the reports, of one beta or (None) of all."""
        which = "" if beta is None else f"-beta-{beta:.10g}"
        return self.path / f"{self._prefix}section-{name}{which}.json"

    def result(self, name: str, beta: float | None = None) -> Path:
        """The numbers of an analysis beside the draws, for other programs."""
        which = "" if beta is None else f"-beta-{beta:.10g}"
        return self.path / f"{self._prefix}{name}{which}.json"

    def campaign_runs(self, number: int, beta: float) -> Path:
        """The runs by which a round of a campaign was judged."""
        return self.path / "campaign" / f"round-{number}-beta-{beta:.10g}.zarr"

    def betas(self) -> list[float]:
        """The inverse temperatures of which there are draws, in ascending order."""
        start = f"{self._prefix}draws-beta-"
        names = [path.name for path in self.path.glob("*.zarr") if path.name.startswith(start)]
        return sorted(float(name.removeprefix(start).removesuffix(".zarr")) for name in names)

    def rows(self) -> int:
        """Number of all rows in the store, also those of refinements; 0 where there is none."""
        there = (self.simulations / "status").exists() and not is_unfinished(self.simulations)
        return len(SimulationStore.open(self.simulations)) if there else 0

    def stored(self, shard: Shard | None = None) -> tuple[int, int]:
        """Number of draws of the prior that have been simulated (also those that failed), and of all, or of a share."""
        path = self.simulations if shard is None else shard.path(self.simulations)
        if not (path / "status").exists() or is_unfinished(path):
            return 0, 0
        store = SimulationStore.open(path, round=0)
        # Outputs are looked at, too, for damage: a part at a time, of a store that may be larger than the memory.
        numbers = len(store) * int(np.prod(store.x_shape or (1,)))
        parts = np.array_split(np.arange(len(store)), 1 + max(len(store) // BLOCK, numbers // _NUMBERS_AT_ONCE))
        status = np.concatenate([store.read(chosen=part)["status"] for part in parts])
        status = status if shard is None else status[shard.owns(np.arange(len(status)))]
        return int(np.sum(status != PENDING)), len(status)


def stored_simulations(problem: Problem, folder: Folder, n: int = ROWS_OF_SAMPLE) -> Simulations:
    """The simulations of the folder, which must be those of the problem; of very many a sample.

    Args:
        problem: whose they are.
        folder: where they are.
        n: most rows that are read; a store with more may be larger than the memory.

    Raises:
        FileNotFoundError: there are none.
        ValueError: they were made by another simulator or prior.
    """
    if not folder.simulations.exists():
        raise FileNotFoundError(
            f"there are no simulations in {folder.path}. Run first: {command_line('simulate', problem)}"
        )
    simulations = sample_simulations(folder.simulations, n)
    if simulations.prior_description != problem.prior.describe():
        error = ValueError(
            f"the simulations in {folder.simulations} were made with another prior than that of {problem.path}. Undo "
            "the change, or simulate into another folder (--out)."
        )
        error.add_note(changes_told(simulations.prior_description, problem.prior.describe()))
        raise error
    name = qualified_name(problem.simulator)
    if simulations.simulator != name:
        raise ValueError(
            f"the simulations in {folder.simulations} were made by {simulations.simulator}, the problem names {name}. "
            "Undo the change, or simulate into another folder (--out)."
        )
    return simulations


def refined_simulations(problem: Problem, folder: Folder, cost: Cost) -> Simulations | Path:
    """What `refine` is given: the simulations of the folder, or the path of a store that is read in blocks."""
    # A cost with an error of measurement is fitted in memory, if that is possible.
    most = ROWS_OF_SAMPLE if cost.measurement_error is None else max(1, folder.rows())
    simulations = stored_simulations(problem, folder, most)
    return simulations if simulations.sampled_from is None else folder.simulations


def stored_cost(problem: Problem, folder: Folder) -> Cost:
    """The cost of the folder, by the distance that the problem names now where its networks serve that one too.

    Raises:
        FileNotFoundError: there is none.
        ValueError: scale or weights of a new distance do not fit the outputs.
    """
    if not folder.cost.exists():
        raise FileNotFoundError(f"there is no fitted cost in {folder.path}. Run first: {command_line('fit', problem)}")
    cost = load(folder.cost, distance=problem.distance if isinstance(problem.distance, UserDistance) else None)
    check_output_names(problem, cost.outputs)
    wanted = problem.distance_settings
    if problem.method != "marginal" or cost.settings.get("distance_settings") == wanted:
        return cost
    # What the stored networks cannot serve has to be fitted, which `stale` says.
    other = problem.distance.output_transform.name != cost.frame.transform.name
    if not isinstance(cost.form, MarginalForm) or other or problem.distance.needs_observation:
        return cost
    penalty = problem.failures if cost.penalty is not None and not isinstance(problem.failures, str) else cost.penalty
    turned = cost.with_distance(problem.distance, failures=penalty)
    return replace(turned, settings={**turned.settings, "distance_settings": wanted})


def check_output_names(problem: Problem, outputs: Names | None) -> None:
    """ValueError where the observation's columns are called as the outputs are, and stand in another order."""
    read = problem.observation
    names = () if outputs is None else outputs.coordinates
    if read is not None and set(read.names) == set(names) and tuple(read.names) != names:
        raise ValueError(
            f"{problem.path}: the observation has the columns {', '.join(read.names)}, and the simulator's outputs are "
            f"in the order {', '.join(names)}: write column = {list(names)} in the table [observation]."
        )


def save_draws(draws: Draws, folder: Folder) -> None:
    """Stores draws under their inverse temperature; the check of earlier ones does not hold for them, and goes."""
    folder.section("check", draws.beta).unlink(missing_ok=True)
    draws.save(folder.draws(draws.beta))


def stored_draws(problem: Problem, folder: Folder, beta: float) -> Draws:
    """The draws of the folder at one inverse temperature.

    Raises:
        FileNotFoundError: there are none.
    """
    path = folder.draws(beta)
    if not path.exists():
        found = ", ".join(f"{value:g}" for value in folder.betas()) or "none"
        raise FileNotFoundError(
            f"there are no draws{_of(folder)} at beta {beta:g} in {folder.path} (there are: {found}). "
            f"{_sample_first(problem, folder, beta)}"
        )
    return Draws.load(path)


def drawn_betas(problem: Problem, folder: Folder) -> list[float]:
    """The inverse temperatures of which there are draws, in ascending order.

    Raises:
        FileNotFoundError: there are none.
    """
    found = folder.betas()
    if not found:
        remedy = _sample_first(problem, folder, 10)
        raise FileNotFoundError(f"there are no draws{_of(folder)} in {folder.path}. {remedy}")
    return found


def _of(folder: Folder) -> str:
    return f" of the observation {folder.observation}" if folder.observation else ""


def _sample_first(problem: Problem, folder: Folder, beta: float) -> str:
    other = " --observation FILE" if folder.observation else ""
    return f"Run first: {command_line('sample', problem)}{other} --beta {beta:g}"


def save_section(folder: Folder, name: str, section: Section, cost: Cost, *, beta: float | None = None) -> list[Path]:
    """Stores a part of the reports on this cost: of that of one beta, or (None) of all.

    Returns:
        The reports that were written already, and have it now.
    """
    content = {"title": section.title, "body": section.body, "level": section.level, "cost": fingerprint(cost)}
    write_whole(folder.section(name, beta), json.dumps(content))
    if beta is None:
        return [path for path in map(folder.report, folder.betas()) if add_part(path, section, cost)]
    draws, path = folder.draws(beta), folder.report(beta)
    # What does not rest on draws may be made where there are none.
    of_draws = Draws.load(draws) if draws.exists() and path.exists() else None
    return [path] if add_part(path, section, cost, of_draws) else []


def stored_sections(folder: Folder, cost: Cost, beta: float) -> list[Section]:
    """The stored parts of the report of one beta, made with this very cost, by name.

    What was found with another cost does not hold for this one, and is left out.
    """
    now = fingerprint(cost)
    contents = [content for _, content in _sections(folder, beta)]
    # Files of earlier versions have no level.
    return [Section(item["title"], item["body"], item.get("level", "ok")) for item in contents if item["cost"] == now]


def outdated_sections(folder: Folder, cost: Cost, beta: float, problem: Problem) -> list[str]:
    """Warnings of the stored parts that another cost was asked for, and that a report of this one leaves out."""
    now = fingerprint(cost)
    return [
        f"The part on {name} was made with another cost, before a refinement or a new fit, and is left out: run "
        f"{command_line(name, problem)} again."
        for name, content in _sections(folder, beta)
        if content["cost"] != now and name in ("temperature", "sensitivity")
    ]


def _sections(folder: Folder, beta: float) -> list[tuple[str, dict]]:
    """The stored parts of the report of one beta, with the names of the analyses that made them."""
    paths = [(name, path) for name in SECTIONS for path in (folder.section(name), folder.section(name, beta))]
    found = []
    for name, path in paths:
        if path.exists():
            with damage_told(path, "a part of a report", f"Run genbayes {name} again."):
                content = json.loads(path.read_text("utf-8"))
                found.append((name, {key: content[key] for key in ("title", "body", "cost")} | content))
    return found


def command_line(name: str, problem: Problem) -> str:
    """What to type for a stage."""
    return f"genbayes {name} {problem.path or 'problem.toml'}"
