"""One run of a program: a scratch folder, its files and arguments, the program, its output.

Nothing here imports this package but what worker processes receive whole, as they do these functions.
"""

import errno
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .program_outputs import STANDARD_OUTPUT, Output
from .program_processes import Processes, last_lines
from .templates import Template, json_of, texts_of
from .worker import RunFailed

JSON = "json"
# Beyond 32 bits many generators take no seed.
_SEEDS = 2**31
# In the scratch folder, beside what the program writes there.
_STDIN, _STDOUT, _STDERR = ".stdin", ".stdout", ".stderr"


@dataclass(frozen=True)
class Plan:
    """How every row of a job is run; the fields are those of `ExternalProgram`, checked.

    Attributes:
        program: what is started, a path or a name.
        arguments: templates.
        names: of the parameters and, after them, of the known conditions.
        base: where relative paths start.
        folder: in which the program runs.
        environment: variables that are added to those of this process.
        files: templates by path in the scratch folder, "json" for all parameters.
        stdin: a template, "json", or None.
        output: where the numbers are.
        timeout: in seconds.
        memory_limit: in bytes.
        exit_codes: of success.
        keep_failed: folder for the scratch folders of failed runs.
        limits: variables that limit the program's threads, where others run beside it.
    """

    program: str
    arguments: tuple[Template, ...]
    names: tuple[str, ...]
    base: str
    folder: Template
    environment: dict[str, Template]
    files: dict[str, Template | str]
    stdin: Template | str | None
    output: Output
    timeout: float | None
    memory_limit: int | None
    exit_codes: tuple[int, ...]
    keep_failed: Path | None
    limits: dict[str, str] = field(default_factory=dict)


def run_program(plan: Plan, processes: Processes, inputs: np.ndarray, rng: np.random.Generator, row: int) -> np.ndarray:
    """Run a row and return its output.

    Args:
        plan: what is run.
        processes: those of the job in this process.
        inputs: parameters and known conditions (dim + c,).
        rng: the row's own, of which one seed is drawn.
        row: its number, for the name of a folder that is kept.

    Raises:
        RunFailed: with the reason.
    """
    seed = int(rng.integers(_SEEDS))
    folder = Path(tempfile.mkdtemp(prefix="genbayes-"))
    values = {**texts_of(plan.names, inputs), "seed": str(seed), "folder": str(folder), "base": plan.base}
    command = [plan.program, *(argument.filled(values) for argument in plan.arguments)]
    failed = False
    try:
        _write_inputs(plan, folder, values, json_of(plan.names, inputs, seed))
        _start(plan, processes, command, folder, values)
        name = _STDOUT if plan.output.file is None else plan.output.file.filled(values)
        shown = STANDARD_OUTPUT if plan.output.file is None else name
        output = plan.output.read(folder / name, shown)
        failed = not np.all(np.isfinite(output))
        return output
    except RunFailed:
        failed = True
        raise
    finally:
        if failed and plan.keep_failed is not None:
            _keep(folder, plan.keep_failed / f"row-{row}-seed-{seed}", command)
        shutil.rmtree(folder, ignore_errors=True)


def _write_inputs(plan: Plan, folder: Path, values: dict[str, str], as_json: str) -> None:
    texts = dict(plan.files)
    if plan.stdin is not None:
        texts[_STDIN] = plan.stdin
    for name, template in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = template.filled(values) if isinstance(template, Template) else as_json
        path.write_text(text, "utf-8", newline="")


def _start(plan: Plan, processes: Processes, command: list[str], folder: Path, values: dict[str, str]) -> None:
    added = {name: template.filled(values) for name, template in plan.environment.items()}
    with ExitStack() as open_files:
        # Files and no pipes: a pipe stays open as long as anything that the program has started.
        opened = [open_files.enter_context((folder / name).open("wb")) for name in (_STDOUT, _STDERR)]
        given = subprocess.DEVNULL if plan.stdin is None else open_files.enter_context((folder / _STDIN).open("rb"))
        try:
            code = processes.run(
                command,
                folder=os.path.join(plan.base, plan.folder.filled(values)),
                environment={**os.environ, **plan.limits, **added},
                streams=(given, opened[0], opened[1]),
                timeout=plan.timeout,
                memory_limit=plan.memory_limit,
            )
        except OSError as error:
            hint = " (a script begins with a line such as #!/usr/bin/awk -f)" if error.errno == errno.ENOEXEC else ""
            raise RunFailed(f"the program cannot be started: {error.strerror}: {error.filename}{hint}") from None
    if code in plan.exit_codes:
        return
    if code is None:
        reason = f"no answer within {plan.timeout:g} s"
    else:
        reason = f"exit code {code}" if code >= 0 else f"killed by signal {_signal_name(-code)}"
        reason += "" if plan.memory_limit is None else f" under the memory limit of {plan.memory_limit / 1e9:g} GB"
    said = last_lines(folder / _STDERR, folder / _STDOUT)
    raise RunFailed(f"{reason}: {said}" if said else reason)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _keep(folder: Path, place: Path, command: list[str]) -> None:
    """Move the scratch folder of a failed run, with the command that was run in it."""
    (folder / ".command").write_text(shlex.join(command) + "\n", "utf-8")
    if place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, place)
