"""What commands on a problem share: options of one meaning and one text, and what follows from them."""

import argparse
import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..costs.cost import Cost
from ..observations import Observation, as_output, as_stack, read_observation, read_observations
from ..observations.reading import options_for
from ..runtime.units import unit_of_beta
from ..sampling.posterior import GibbsPosterior
from ..simulations.executors import Workers
from ..simulations.run_limits import bounded
from .argument_types import Several, count, memory, named_number, natural, positive
from .executor_option import opened_executor
from .folder import Folder, command_line
from .problem import Problem, read_problem
from .terminal import Terminal

NO_BETA = (
    "beta is not given, and it has no default: it says how strongly the cost speaks against the prior, "
    "{unit}. The last line of `{proposes}` says which to take{first}. Then: {command} --beta B, or a ladder, "
    "{command} --beta 1 10 100, to compare in the reports; or set beta in the table [sample]."
)
THIS_CONDITION = "known conditions of that observation, where the simulator takes them"


def add_condition(command: argparse.ArgumentParser, text: str = THIS_CONDITION) -> None:
    """Adds --condition NAME=VALUE ..."""
    command.add_argument("--condition", type=named_number, nargs="+", action=Several, metavar="NAME=VALUE", help=text)


def add_workers(command: argparse.ArgumentParser) -> None:
    """Adds --workers N, --executor NAME, --timeout SECONDS and --memory SIZE; `workers_of` reads them."""
    command.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="processes of a Python simulator, or runs of a program at a time (default: 1)",
    )
    text = "who runs them elsewhere: dask://HOST:PORT, or MODULE:FUNCTION that returns a concurrent.futures.Executor"
    command.add_argument("--executor", metavar="NAME", help=text)
    text = "of one run, which is ended then and has failed (not of simulators in JAX)"
    command.add_argument("--timeout", type=positive, metavar="SECONDS", help=text)
    text = "of the process of one run, such as 2GB; a row that takes more twice has failed (not of simulators in JAX)"
    command.add_argument("--memory", type=memory, metavar="SIZE", help=text)


def workers_of(options: argparse.Namespace, problem: Problem) -> Workers:
    """Who runs the rows, and what one may take.

    An executor that is named is opened once, and closed when the command ends (`options.closing`).

    Raises:
        ValueError: both workers and an executor are given; or the executor cannot be made (see `opened_executor`).
    """
    who, name = options.workers, getattr(options, "executor", None)
    if who is not None and name is not None:
        raise ValueError(
            f"--workers {who} are processes on this machine, and there is --executor {name}: leave one out."
        )
    # What is typed comes before what stands in the problem.
    name = problem.executor if who is None and name is None else name
    if name is not None:
        if getattr(options, "opened", None) is None:
            folder = Path.cwd() if problem.path is None else problem.path.resolve().parent
            options.opened = opened_executor(name, folder, options.closing)
        who = options.opened
    return bounded(who or 1, getattr(options, "timeout", None), getattr(options, "memory", None))


def add_simulations(command: argparse.ArgumentParser, default: int | None, text: str) -> None:
    """Adds -n N, which is --simulations N: in every command the number of runs of the simulator."""
    command.add_argument(
        "-n", "--simulations", type=count, default=default, dest="n_simulations", metavar="N", help=text
    )


def add_draws(command: argparse.ArgumentParser, default: int | None, text: str) -> None:
    """Adds --draws N: in every command the number of draws from a posterior."""
    command.add_argument("--draws", type=count, default=default, metavar="N", help=text)


def add_seed(command: argparse.ArgumentParser) -> None:
    """Adds --seed."""
    command.add_argument("--seed", type=natural, default=0)


def problem_of(options: argparse.Namespace, terminal: Terminal) -> Problem:
    """The problem of a command; says in a line what was read of the file of its observation, or of those in its place.

    Raises:
        FileNotFoundError: there is no such problem, or the file of its observation is not there.
        ValueError: problem or observation cannot be read.
    """
    problem, other = read_problem(options.problem), getattr(options, "observation", None)
    files = other if isinstance(other, list) else [] if other is None else [other]
    # What a command says of a file that is not there depends on what it wants of it.
    read = [other_observation(problem, file) for file in files if file.is_file()]
    if not files and getattr(options, "observations", None) is None and problem.observation is not None:
        read = [problem.observation] if problem.observation_file else []
    for one in read:
        terminal.say(f"observation {one.source}: {one.summary}")
    return problem


def other_observation(problem: Problem, file: Path) -> Observation:
    """The observation of a file in place of the problem's, read as the table [observation] says.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or holds several groups.
    """
    found = read_observation(file, **options_for(file, problem.reading))
    if found.groups is None:
        return found
    if len(found.groups) > 1:
        raise ValueError(f"{file} holds {found.summary}: more than one observation. Give it as --observations {file}")
    return replace(found, values=found.values[0], groups=None, group_name="")


def add_other_observation(command: argparse.ArgumentParser) -> None:
    """Adds --observation FILE and --condition NAME=VALUE ...; `with_observation` reads them."""
    text = "instead of the problem's; its draws and reports bear its name"
    command.add_argument("--observation", type=Path, metavar="FILE", help=text)
    add_condition(command)


def with_observation(problem: Problem, options: argparse.Namespace) -> Problem:
    """The problem with the observation, and the known conditions, that were typed in the place of its own.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or holds several groups.
    """
    problem = replace(problem, x_o_conditions=conditions_of(problem, options) or {})
    if options.observation is None:
        return problem
    read = other_observation(problem, options.observation)
    return replace(problem, x_o=read.values, observation=read, observation_file=options.observation)


def is_stacked(problem: Problem, options: argparse.Namespace) -> bool:
    """Whether a stack of observations is asked for: by --observations, or by a group in the table [observation]."""
    if options.observations is not None:
        return True
    return options.observation is None and problem.observation is not None and problem.observation.groups is not None


def stack_file(problem: Problem, options: argparse.Namespace) -> Path:
    """The file of the stack that is asked for."""
    if options.observations is not None:
        return options.observations
    assert problem.observation_file is not None
    return problem.observation_file


def stack_of(
    problem: Problem, options: argparse.Namespace, cost: Cost
) -> tuple[np.ndarray, dict[str, np.ndarray], Observation]:
    """The stack that is asked for, (m, *x_shape), its known conditions by name, and what was read."""
    if options.observations is not None:
        any_size = cost.distance.reads_unequal_sets
        conditions = cost.condition_names
        return read_observations(options.observations, cost.x_shape, conditions, problem.reading, any_size=any_size)
    assert problem.observation is not None
    any_size = cost.distance.reads_unequal_sets
    return as_stack(problem.observation, cost.x_shape, any_size=any_size), {}, problem.observation


def folder_of(options: argparse.Namespace) -> Folder:
    """The output folder: given, or named after the problem file, in the current directory.

    Raises:
        ValueError: a file has the name of the folder, such as the program of the problem.
    """
    other = getattr(options, "observation", None)
    path = Path(options.problem.stem) if options.out is None else options.out
    if path.exists() and not path.is_dir():
        raise ValueError(
            f"the results of {options.problem} belong into a folder {path}, and there is a file of this name: name "
            f"another folder (--out {path}-results), or rename the file."
        )
    return Folder(path, "" if other is None else other.stem)


def kept_in_folder(options: argparse.Namespace) -> str:
    """What an interrupted command leaves in the folder of its problem."""
    folder = folder_of(options)
    done, stored = folder.stored()
    kept = [f"{done} of {stored} simulations"] if stored else []
    kept += ["the cost"] if folder.cost.exists() else []
    kept += [f"draws at beta {beta:g}" for beta in folder.betas()]
    return f"kept in {folder.path}: {', '.join(kept)}" if kept else "nothing had been stored yet"


def need_betas(
    betas: Iterable[float], problem: Problem, command: str, options: argparse.Namespace | None = None
) -> tuple[float, ...]:
    """Inverse temperatures in ascending order, each once.

    Args:
        betas: that were given, or that the problem names.
        problem: whose distance has the units that the error tells.
        command: that the error proposes.
        options: of the command, whose folder the proposed commands are to work on.

    Raises:
        ValueError: there are none; with the commands that propose one.
    """
    found = tuple(sorted(set(betas)))
    if found:
        return found
    raise ValueError(_no_beta(problem, command, options or argparse.Namespace()))


def _no_beta(problem: Problem, command: str, options: argparse.Namespace) -> str:
    """What to type for a beta, with the problem, folder, seed and observation that a command was given."""

    def given(name: str) -> str:
        value = getattr(options, name, None)
        return f" --{name} {shlex.quote(str(value))}" if value else ""

    # Simulations are those of a seed and a number: with others the next command would refuse them, or make more.
    where, runs = given("out") + given("seed"), getattr(options, "n_simulations", None)
    missing = []
    if hasattr(options, "problem") and not folder_of(options).cost.exists():
        missing = [command_line("simulate", problem) + (f" -n {runs}" if runs else ""), command_line("fit", problem)]
    first = " and ".join(f"`{step}{where}`" for step in missing)
    # Of a stack, one observation has to be named.
    grouped = problem.observation is not None and problem.observation.groups is not None
    stacked = not given("observation") and (grouped or given("observations"))
    one = " --observation FILE" if stacked else given("observation")
    again = command_line(command, problem) + (f" --simulations {runs}" if runs else "")
    return NO_BETA.format(
        unit=unit_of_beta(problem.distance.units),
        proposes=f"{command_line('temperature', problem)}{one}{where}",
        first=f", after {first}" if first else "",
        command=f"{again}{given('observation')}{given('observations')}{where}",
    )


def need_observation(problem: Problem, x_o: np.ndarray | None, *, option: bool = True) -> np.ndarray:
    """The observation, or ValueError with the remedy.

    Args:
        problem: whose file is to name it.
        x_o: the observation, or None.
        option: whether the remedy names --observation beside the table of the problem.
    """
    if x_o is None:
        remedy = ", or use --observation." if option else "."
        raise ValueError(f'{problem.path} has no observation. Add a table [observation] with file = "x_o.csv"{remedy}')
    if x_o is problem.x_o and problem.observation is not None and problem.observation.groups is not None:
        if len(problem.observation.groups) == 1:
            return problem.observation.values[0]
        raise ValueError(
            f"{problem.path}: the table [observation] names a group, and so a stack of observations, of which this "
            f'command takes one (only = "{problem.observation.groups[0]}" in that table'
            f"{', or --observation FILE' if option else ''}). `genbayes simulate`, `fit`, `sample`, "
            "`check` and `report` work with the stack."
        )
    return x_o


def observation_of(problem: Problem, file: Path | None, *, option: bool = True) -> np.ndarray:
    """The observation of a file, or that of the problem where no file is named.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no observation, or the file holds none; see `need_observation`.
    """
    return need_observation(
        problem, problem.x_o if file is None else other_observation(problem, file).values, option=option
    )


def conditions_of(problem: Problem, options: argparse.Namespace) -> dict[str, float] | None:
    """The known conditions: those of the problem, in whose place come those typed; None where there are none."""
    return {**problem.x_o_conditions, **dict(options.condition or ())} or None


def posterior_of(
    problem: Problem, cost: Cost, x_o: np.ndarray, beta: float, conditions: dict[str, float] | None
) -> GibbsPosterior:
    """The posterior of an observation that was read from a file."""
    return GibbsPosterior(problem.prior, cost, as_output(x_o, cost.x_shape), beta, conditions=conditions)
