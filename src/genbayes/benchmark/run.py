"""The benchmark: methods on tasks with known answers, one row per posterior, resumable and past failing cells."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..runtime.files import replaced_file
from ..runtime.progress import Advance, progress_bar
from ..runtime.seeds import check_seed
from ..tasks import Task
from .c2st_runs import c2st_of, need_scikit_learn
from .methods.method import Method
from .metrics import agreement, seed_of
from .plan import Plan, check_arguments, plan_of
from .process import Done, Drawn, Event, Failure, Fit, Group, Target, run_group
from .results import FAILED, KINDS, Results, Row, described


@dataclass(frozen=True)
class BenchmarkResult:
    """What a call of `run_benchmark` was asked for.

    Attributes:
        rows: one per posterior, those of earlier calls included.
        failures: what failed, in words; cells of a group that failed for one reason share a line.
    """

    rows: tuple[Row, ...]
    failures: tuple[str, ...]


def run_benchmark(
    tasks: Mapping[str, Callable[[], Task]],
    methods: Mapping[str, Method],
    *,
    out: str | Path,
    simulations: int = 10_000,
    observations: int | str | Path = 10,
    observation_seed: int = 0,
    seeds: Sequence[int] = (0,),
    draws: int = 5000,
    betas: Sequence[float] | None = None,
    kinds: Sequence[str] = KINDS,
    c2st: int | None = None,
    resimulate: int = 1000,
    progress: bool = True,
) -> BenchmarkResult:
    """Runs methods on tasks and writes one row per (task, observation, kind, method, beta, seed) to out/results.csv.

    Each (task, method, seed) is fitted once, in a process of its own; if it dies, its rows say so and the rest goes on.
    Rows that are there already, with the same settings, are not run again; failed ones are. Draws are stored in
    out/draws, so that a later call with a larger `c2st` samples nothing.

    Args:
        tasks: name -> function that makes the task.
        methods: name -> method; all of a task learn from the same simulations, which are stored in out/simulations.
        out: folder.
        simulations: number of them.
        observations: how many of each kind are drawn, or an .npz file of them (see `read_observations`).
        observation_seed: by which observations are drawn; the same ones for all `seeds`, whose spread is then that of
            simulations, fit and draws alone.
        seeds: repetitions, each with its own simulations, fit and draws.
        draws: number per posterior.
        betas: inverse temperatures; those of the task if not given.
        kinds: "specified", "misspecified".
        c2st: on how many observations of each kind C2ST is computed (a second each in two dimensions, a minute or two
            in ten); None for all, 0 for none.
        resimulate: new runs per posterior, for the distance of re-simulated draws; 0 for none.
        progress: show progress on stderr.

    Raises:
        ImportError: scikit-learn is not installed and C2ST is asked for.
        ValueError: an argument out of range, or a task without betas.
        RuntimeError: another process runs a benchmark in this folder.

    Example:
        >>> run_benchmark({"two_moons": two_moons}, {"ace": METHODS["ace"]}, observations=2, out="moons")
    """
    named = {"tasks": tasks, "methods": methods, "seeds": seeds, "kinds": kinds}
    check_arguments(
        {name: list(values) for name, values in named.items()} | ({} if betas is None else {"betas": list(betas)}),
        {"simulations": simulations, "draws": draws}
        | ({"observations": observations} if isinstance(observations, int) else {}),
        {"c2st": c2st, "resimulate": resimulate},
    )
    simulations, draws, resimulate = map(int, (simulations, draws, resimulate))
    c2st = None if c2st is None else int(c2st)
    if c2st != 0:
        need_scikit_learn()
    out, seeds = Path(out), [check_seed(seed) for seed in seeds]
    observation_seed = check_seed(observation_seed)
    plans = {name: plan_of(name, make, observations, observation_seed, betas, kinds) for name, make in tasks.items()}
    wanted = [
        row
        for seed in seeds
        for plan in plans.values()
        for method in methods
        for row in plan.blanks(method, seed, simulations, draws)
    ]
    results = Results(out / "results.csv")
    with results.locked():
        run = _Run(out, results, plans, dict(methods), wanted, c2st, resimulate)
        with progress_bar("benchmark", run.steps, progress) as advance:
            run.sample(advance)
            run.compare(advance)
    return BenchmarkResult(tuple(run.rows[row.key] for row in wanted), tuple(described(run.failed)))


class _Run:
    """One call: the rows as they come in."""

    def __init__(
        self,
        out: Path,
        results: Results,
        plans: dict[str, Plan],
        methods: dict[str, Method],
        wanted: list[Row],
        c2st: int | None,
        resimulate: int,
    ):
        self.out, self.results, self.plans, self.methods = out, results, plans, methods
        self.wanted, self.c2st, self.resimulate = wanted, c2st, resimulate
        self.failed: list[Row] = []
        self._exact: dict[tuple[str, str, int], np.ndarray] = {}
        keys = {row.key for row in wanted}
        stored = results.read()
        # Failed rows that are asked for again leave the file: each cell has one row.
        self.rows = {row.key: row for row in stored if row.ok or row.key not in keys}
        if results.path.exists():
            results.replace(self.rows.values())
        self.missing = [row for row in wanted if row.key not in self.rows or self._lacks_draws(self.rows[row.key])]
        self.steps = len(self.missing) + sum(self._wants_c2st(self.rows.get(row.key, row)) for row in wanted)

    def sample(self, advance: Advance) -> None:
        """Fits and samples what is missing, group by group."""
        groups: dict[tuple[str, str, int], list[Row]] = {}
        for row in self.missing:
            groups.setdefault((row.task, row.method, row.seed), []).append(row)
        simulated: dict[Path, dict[str, float] | str] = {}
        for (task, method, seed), rows in groups.items():
            group = self._group(task, method, seed, rows)
            if group.store not in simulated:
                advance(0, note=f"{task}: simulating")
                simulated[group.store] = self._simulate(group)
            seconds = simulated[group.store]
            if isinstance(seconds, str):
                self._fail(rows, f"no simulations: {seconds}", advance)
            else:
                advance(0, note=f"{task}, {method}: fitting")
                # The events are closed at once when interrupted: their process must not outlive the command.
                with closing(run_group(group)) as events:
                    self._take(events, rows, seconds, advance)

    def _group(self, task: str, method: str, seed: int, rows: list[Row]) -> Group:
        plan, first = self.plans[task], rows[0]
        betas: dict[tuple[str, int], list[float]] = {}
        for row in rows:
            betas.setdefault((row.specified, row.observation), []).append(row.beta)
        return Group(
            task=plan.make,
            method=self.methods[method],
            store=self.out / "simulations" / f"{task}-{first.simulations}-{seed}.zarr",
            simulations=first.simulations,
            seed=seed,
            draws=first.draws,
            targets=tuple(Target(*name, plan.x_o[name], tuple(values)) for name, values in betas.items()),
            grid=plan.judge.grid,
            log=self.out / "logs" / f"{task}-{first.simulations}-{seed}-{method}.log",
        )

    def _simulate(self, group: Group) -> dict[str, float] | str:
        """Seconds of the simulations, in a process that does nothing else, or why there are none."""
        group.store.parent.mkdir(parents=True, exist_ok=True)
        path = group.store.with_suffix(".json")
        log = group.log.with_name(f"{group.store.stem}-simulate.log")
        events = list(run_group(replace(group, method=None, targets=(), log=log)))
        if isinstance(events[-1], Failure):
            return events[-1].message
        if not path.exists() and isinstance(events[-1], Done):
            path.write_text(json.dumps(events[-1].seconds))
        return json.loads(path.read_text())

    def _take(self, events: Iterator[Event], rows: list[Row], simulate: dict[str, float], advance: Advance) -> None:
        """Measures what a group's process hands over, row by row."""
        left = {(row.specified, row.observation, row.beta): row for row in rows}
        fit = Fit({}, ())
        for event in events:
            if isinstance(event, Fit):
                fit = event
            elif isinstance(event, Drawn):
                target = event.target
                cells = [left.pop((target.kind, target.index, beta)) for beta in event.betas]
                seconds = {**_seconds("simulate", simulate), **_seconds("fit", fit.seconds)}
                cells = [replace(row, **seconds) for row in cells]
                try:
                    measured = self._measured(cells, event, fit.messages)
                except Exception as error:
                    self._fail(cells, f"while measuring the draws: {type(error).__name__}: {error}", advance)
                    continue
                for row in measured:
                    self._save_draws(row, event.theta)
                    self._add(row)
                    advance(1, note=self._note(row))
            elif isinstance(event, Failure):
                named = event.target
                cells = list(left) if named is None else [(named.kind, named.index, beta) for beta in event.betas]
                self._fail([left.pop(cell) for cell in cells], event.message, advance)

    def _measured(self, cells: list[Row], drawn: Drawn, messages: tuple[str, ...]) -> list[Row]:
        first, target = cells[0], drawn.target
        judge, name = self.plans[first.task].judge, (first.task, target.kind, target.index)
        values = judge.draws(drawn.theta, target.x_o, self.resimulate, seed_of(first.seed, *map(str, name)))
        if drawn.predicted is not None:
            if name not in self._exact:
                self._exact[name] = judge.exact(target.x_o)
            values |= agreement(drawn.predicted, self._exact[name])
        message = " ".join(dict.fromkeys([*messages, *drawn.messages]))
        return [
            replace(
                row,
                beta_used=drawn.beta_used,
                peak_memory_mib=drawn.peak_memory_mib,
                message=message,
                **_seconds("sample", drawn.seconds),
                **values,
            )
            for row in cells
        ]

    def compare(self, advance: Advance) -> None:
        """Computes the C2ST that are asked for and missing; the first observations of all cells come first."""
        rows = [self.rows[row.key] for row in self.wanted]
        rows = sorted((row for row in rows if row.ok and self._wants_c2st(row)), key=lambda row: row.observation)

        def pair(row: Row) -> tuple[np.ndarray, np.ndarray, int]:
            plan = self.plans[row.task]
            with np.load(self._draws(row)) as file:
                theta = file["theta"]
            x_o = plan.x_o[row.specified, row.observation]
            return theta, plan.judge.reference(x_o, row.beta, row.draws, row.seed), row.seed

        for row, value in c2st_of(rows, pair) if rows else ():
            if isinstance(value, Exception):
                self.failed.append(replace(row, message=f"C2ST: {value}"))
            else:
                self.rows[row.key] = replace(row, c2st=value)
                self.results.replace(self.rows.values())
            advance(1, note=f"C2ST of {self._note(row)}")

    def _wants_c2st(self, row: Row) -> bool:
        asked = self.c2st is None or row.observation < self.c2st
        return asked and row.c2st is None and self.plans[row.task].judge.task.reference is not None

    def _lacks_draws(self, row: Row) -> bool:
        return self._wants_c2st(row) and not self._draws(row).exists()

    def _draws(self, row: Row) -> Path:
        words = (row.task, row.simulations, row.seed, row.method, row.specified, row.observation, row.x_o)
        return self.out / "draws" / f"{'-'.join(map(str, words))}-beta-{row.beta:.7g}-{row.draws}.npz"

    def _save_draws(self, row: Row, theta: np.ndarray) -> None:
        path = self._draws(row)
        path.parent.mkdir(exist_ok=True)
        with replaced_file(path) as beside, beside.open("wb") as file:
            np.savez(file, theta=theta)

    def _add(self, row: Row) -> None:
        self.rows[row.key] = row
        self.results.append(row)

    def _fail(self, rows: list[Row], message: str, advance: Advance) -> None:
        for row in rows:
            self.failed.append(replace(row, status=FAILED, message=message))
            self._add(self.failed[-1])
            # Its C2ST is not computed either.
            advance(1 + self._wants_c2st(row), note=self._note(row))

    def _note(self, row: Row) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"{row.task}, {row.method}, {row.specified} {row.observation}, beta {row.beta:g}{failed}"


def _seconds(stage: str, seconds: Mapping[str, float]) -> dict[str, float | None]:
    return {f"seconds_{stage}": seconds.get("run"), f"seconds_{stage}_compile": seconds.get("compile")}
