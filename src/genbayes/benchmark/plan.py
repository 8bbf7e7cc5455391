"""What a benchmark is to do: its tasks with their observations, and one blank row for every posterior."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.counts import checked_count
from ..tasks import Task
from ..tasks.observations import draw_observations, read_observations
from .metrics import Judge
from .results import KINDS, Row


@dataclass(frozen=True)
class Plan:
    """One task of the benchmark.

    Attributes:
        name: under which it was given.
        make: makes the task, in this and in other processes.
        judge: knows its exact answers.
        x_o: observations by (kind, index).
        betas: ascending.
        label: where the observations are from.
    """

    name: str
    make: Callable[[], Task]
    judge: Judge
    x_o: dict[tuple[str, int], np.ndarray]
    betas: tuple[float, ...]
    label: str

    def blanks(self, method: str, seed: int, simulations: int, draws: int) -> list[Row]:
        """One row for every posterior of a method, with nothing measured."""
        return [
            Row(
                task=self.name,
                observation=index,
                specified=kind,
                method=method,
                beta=beta,
                beta_used=None,
                seed=seed,
                simulations=simulations,
                draws=draws,
                observations=self.label,
                x_o=hashlib.sha256(np.ascontiguousarray(x_o, np.float32).tobytes()).hexdigest()[:8],
            )
            for (kind, index), x_o in self.x_o.items()
            for beta in self.betas
        ]


def plan_of(
    name: str,
    make: Callable[[], Task],
    observations: int | str | Path,
    observation_seed: int,
    betas: Sequence[float] | None,
    kinds: Sequence[str],
) -> Plan:
    """Makes a task and draws or reads its observations.

    Raises:
        ValueError: the task has no betas, or there is no observation of the kinds.
    """
    task = make()
    # Betas are rounded as they are written into the file, so that rows are found again.
    chosen = tuple(sorted({float(f"{beta:.7g}") for beta in (betas or task.betas)}))
    if not chosen:
        raise ValueError(f"the task {name!r} has no inverse temperatures of its own; give them: `betas`, or --beta.")
    if isinstance(observations, int):
        arrays, label = draw_observations(task, observations, seed=observation_seed), f"seed {observation_seed}"
    else:
        arrays, label = read_observations(observations, task), Path(observations).name
    x_o = {(kind, i): row for kind in KINDS if kind in kinds for i, row in enumerate(arrays[kind])}
    if not x_o:
        raise ValueError(f"{label} has no {' or '.join(kinds)} observations of the task {name!r}.")
    return Plan(name, make, Judge.of(task), x_o, chosen, label)


def check_arguments(
    named: Mapping[str, Sequence[Any]], counts: Mapping[str, int], naturals: Mapping[str, int | None]
) -> None:
    """Checks what `run_benchmark` was given.

    Args:
        named: what must not be empty.
        counts: whole numbers of at least 1.
        naturals: whole numbers of at least 0, or None.

    Raises:
        ValueError: one of them is not so, or a kind is unknown, or a beta not positive.
    """
    for name, values in named.items():
        if not len(values):
            raise ValueError(f"`{name}` is empty; name at least one.")
    for least, values in ((1, counts), (0, naturals)):
        for argument, value in values.items():
            if value is not None:
                checked_count(f"`{argument}`", value, least=least)
    for kind in named["kinds"]:
        if kind not in KINDS:
            raise ValueError(f"`kinds` has {kind!r}; expected {' or '.join(map(repr, KINDS))}.")
    for beta in named.get("betas", ()):
        if not (np.isfinite(beta) and beta > 0):
            raise ValueError(f"`betas` must be positive and finite, got {beta!r}.")
