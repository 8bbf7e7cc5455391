"""Programs in any language as simulators: one process for each run, with the parameters where the user's templates say.

No shell is involved: an argument reaches the program as it is written, whatever characters are in it.
"""

import functools
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePath
from typing import final

from .executors import Job, run_each
from .program_arguments import (
    checked_codes,
    checked_command,
    checked_memory,
    checked_output,
    checked_timeout,
    input_file,
    inside,
    template_of,
)
from .program_processes import Processes
from .program_runs import JSON, Plan, run_program
from .simulators import Simulator, registered
from .templates import Template
from .thread_limits import limits_of_threads
from .worker import Result, sent_by_value

sent_by_value(*(f"{__package__}.{name}" for name in ("templates", "program_outputs", "program_processes")))
sent_by_value(Plan.__module__)

# Names in templates that are no parameters.
_OWN_NAMES = ("seed", "folder", "base")


@final
@registered
class ExternalProgram(Simulator):
    """A program in any language, started once for each run; no shell is involved.

    In the templates (arguments, `files`, `stdin`, `cwd`, `environment` and `output`) stand

    - `{NAME}` for each parameter and known condition: the shortest text that gives the same number in double
      precision, whole numbers without a decimal point;
    - `{seed}`: an integer in [0, 2**31) that is drawn from the row's own random numbers. Of a million rows a few
      hundred share theirs with another row;
    - `{folder}`: a scratch folder of this run, which is empty but for `files`, and is removed after it;
    - `{base}`: the folder in which relative paths start;
    - `{{` and `}}` for braces.

    A run has failed, with the reason, if the program ends with another exit code or by a signal, exceeds the time
    limit, or leaves no numbers. The last lines of its standard error are part of the reason.

    Args:
        command: program and arguments. A program with a slash is a path, without one it is looked for on the PATH.
        output: path, in the scratch folder, of the file that the program writes; its standard output if not given. A
            file ending in .csv or .tsv is a table, .json and .npy are what they say, and all else is numbers with
            white space or commas between them, which become one vector.
        column: of a table, by its name in the header or its number from 1: its values are a vector (lines,). A list of
            columns, and a table without `column`, give (lines, columns).
        key: of an entry of JSON: "results.series", "runs.0.x".
        skip_lines: lines before the numbers, or before the header of a table.
        files: input files, path in the scratch folder -> text of a template, a `pathlib.Path` of one, or "json" for
            all parameters with the seed, as one object.
        stdin: text of a template for standard input, or "json".
        cwd: folder in which the program runs; `base` if not given. "{folder}" for programs that write where they are.
        environment: variables that are added to those of this process, or replace them.
        timeout: seconds after which a run has failed. The program and all that it has started are asked to end
            (SIGTERM), and killed after two more seconds.
        memory_limit: most address space of each process, in bytes or like "2 GB" (Linux only).
        exit_codes: those of success.
        keep_failed: folder into which the scratch folders of failed runs are moved, with the command (`.command`) and
            what was printed (`.stdout`, `.stderr`); it is made when it is needed.
        base: folder in which relative paths start: of the program, of template files, of `cwd` and of `keep_failed`;
            the current one if not given.
        name: by which stores remember the program; the command as it is written, if not given.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a template or another argument that cannot be.
        FileNotFoundError: no such template file.

    Example:
        >>> program = gb.ExternalProgram(["./sim", "{growth}", "{seed}", "{folder}/x.csv"], output="x.csv", timeout=60)
        >>> simulations = gb.simulate(program, gb.Prior.uniform(0, 1, names=["growth"]), 1000, seed=0, workers=8)
    """

    kind = "program"
    usage = '`ExternalProgram(["./sim", "{growth}", "{seed}"])` around a program in any language'
    failure_remedy = 'Give keep_failed="failed", and look at what a run leaves there.'
    noise_source = "`{seed}` (the clock, its process number)"
    noise_remedy = "Seed its generator with {seed}, or with the `seed` of the JSON that it reads."

    def __init__(
        self,
        command: Sequence[str | PurePath],
        *,
        output: str | None = None,
        column: str | int | Sequence[str | int] | None = None,
        key: str | None = None,
        skip_lines: int = 0,
        files: Mapping[str, str | PurePath] | None = None,
        stdin: str | None = None,
        cwd: str | PurePath | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: int | float | None = None,
        memory_limit: int | str | None = None,
        exit_codes: Sequence[int] = (0,),
        keep_failed: str | PurePath | None = None,
        base: str | PurePath | None = None,
        name: str | None = None,
    ):
        words = checked_command(command)
        self._name = " ".join(words) if name is None else name
        self._base = Path("." if base is None else base).absolute()
        arguments = tuple(Template(word, f"`command`, argument {i}") for i, word in enumerate(words[1:], 1))
        self._plan = Plan(
            program=words[0],
            arguments=arguments,
            names=(),
            base=str(self._base),
            folder=Template("." if cwd is None else str(cwd), "`cwd`"),
            environment={key: template_of(text, f"`environment`, {key}") for key, text in (environment or {}).items()},
            files={inside(path, "`files`"): input_file(self._base, path, text) for path, text in (files or {}).items()},
            stdin=stdin if stdin is None or stdin == JSON else template_of(stdin, "`stdin`"),
            output=checked_output(output, column, key, skip_lines),
            timeout=checked_timeout(timeout),
            memory_limit=checked_memory(memory_limit),
            exit_codes=checked_codes(exit_codes),
            keep_failed=None if keep_failed is None else self._base / keep_failed,
        )

    @property
    def name(self) -> str:
        """The command as it is written, or the name that was given."""
        return self._name

    def check_names(self, names: tuple[str, ...]) -> None:
        """Look whether templates and names match, and whether the program is there.

        Raises:
            ValueError: a template names something else, or no template uses one of the names.
            FileNotFoundError: there is no such program or working folder.
            PermissionError: the program may not be executed.
        """
        self.check_templates(names)
        self._found_program()
        folder = self._plan.folder
        if not folder.names and not (place := self._base / folder.filled({})).is_dir():
            raise FileNotFoundError(f"`cwd`: there is no folder {place}. Name one that is there, or {{folder}}.")

    def run(self, job: Job) -> Iterator[list[Result]]:
        """Yield the results as the programs end; `workers=8` runs eight of them at a time."""
        self.check_names(job.names)
        limits = [limit for limit in (self._plan.timeout, job.timeout) if limit is not None]
        memory = [limit for limit in (self._plan.memory_limit, job.memory) if limit is not None]
        plan = replace(
            self._plan,
            names=job.names,
            program=self._found_program(),
            timeout=min(limits, default=None),
            memory_limit=min(memory, default=None),
        )
        return _run(plan, replace(job, timeout=None, memory=None))

    def check_templates(self, names: tuple[str, ...]) -> None:
        """Look whether templates and names match, wherever the program may be.

        Raises:
            ValueError: a template names something else, or no template uses one of the names.
        """
        plan = self._plan
        if reserved := [name for name in names if name in _OWN_NAMES]:
            raise ValueError(
                f"a parameter or condition has the name {reserved[0]!r}, which stands for something else in the "
                f"templates of a program, as do {', '.join(_OWN_NAMES)}. Rename it."
            )
        inputs = [*plan.arguments, *plan.environment.values(), *plan.files.values(), plan.stdin]
        inputs = [template for template in inputs if isinstance(template, Template)]
        known = (*names, *_OWN_NAMES)
        for template in [*inputs, plan.folder, *([] if plan.output.file is None else [plan.output.file])]:
            if unknown := [name for name in template.names if name not in known]:
                raise ValueError(
                    f"{template.where} has {{{unknown[0]}}}, which is none of {', '.join(known)}. Correct the name, or "
                    "double a brace that is to stay one. (simulate_at knows the names that it is given: "
                    "names=prior.names.)"
                )
        used = {name for template in inputs for name in template.names}
        unused = [name for name in names if name not in used]
        if unused and JSON not in (plan.stdin, *plan.files.values()):
            what = "any of the parameters" if len(unused) == len(names) else ", ".join(unused)
            raise ValueError(
                f"the program does not get {what}. Write {{{unused[0]}}} into an argument of `command`, into `files` "
                'or `stdin`, or hand over all of them by stdin="json"; or leave out of the prior what it does not use.'
            )

    def _found_program(self) -> str:
        """What is started: an absolute path, or a name that is on the PATH."""
        program, path = self._plan.program, self._plan.environment.get("PATH")
        if "/" not in program:
            places = os.environ.get("PATH", os.defpath) if path is None else path.filled({"base": str(self._base)})
            if shutil.which(program, path=places) is None:
                hint = f' For that in {self._base} write "./{program}".' if (self._base / program).exists() else ""
                raise FileNotFoundError(f"`command`: there is no program {program!r} on the PATH, {places}.{hint}")
            return program
        found = Path(os.path.normpath(self._base / program))
        if not found.is_file():
            raise FileNotFoundError(f"`command`: there is no program {found} (relative paths start in {self._base}).")
        if not os.access(found, os.X_OK):
            raise PermissionError(
                f"`command`: {found} may not be executed. Make it so (chmod +x), or begin with its interpreter, such "
                f'as ["awk", "-f", "{program}"].'
            )
        return str(found)


def _run(plan: Plan, job: Job) -> Iterator[list[Result]]:
    processes = Processes()
    threads = None
    if isinstance(job.workers, int) and job.workers > 1:
        # The runs are processes already: a thread that waits for each is enough.
        plan = replace(plan, limits=limits_of_threads(job.workers, plan.environment))
        threads = ThreadPoolExecutor(job.workers)
        job = replace(job, workers=threads)
    try:
        yield from run_each(functools.partial(run_program, plan, processes), job)
    finally:
        processes.stop()
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)
