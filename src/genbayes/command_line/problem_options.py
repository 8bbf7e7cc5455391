"""What commands on a problem share: options of one meaning and one text, and what follows from them."""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..costs.cost import Cost
from ..sampling.posterior import GibbsPosterior
from .argument_types import Several, count, named_number, natural
from .folder import Folder, command_line
from .observations import as_output, read_observation
from .problem import Problem

NO_BETA = (
    "beta is not given, and it has no default: it says how strongly the cost speaks against the prior, in "
    "1 / ({units}). Try a ladder, {command} --beta 1 10 100, and compare in the reports the cost of the draws with the "
    "replicate distance (of two runs at one parameter): beyond the smallest beta whose expected cost comes near it, a "
    "larger one gains little. Or set beta in the table [sample]."
)
THIS_CONDITION = "known conditions of that observation, where the simulator takes them"


def add_condition(command: argparse.ArgumentParser, text: str = THIS_CONDITION) -> None:
    """Adds --condition NAME=VALUE ..."""
    command.add_argument("--condition", type=named_number, nargs="+", action=Several, metavar="NAME=VALUE", help=text)


def add_workers(command: argparse.ArgumentParser) -> None:
    """Adds --workers N."""
    command.add_argument("--workers", type=count, default=1, metavar="N", help="processes (Python simulators)")


def add_seed(command: argparse.ArgumentParser) -> None:
    """Adds --seed."""
    command.add_argument("--seed", type=natural, default=0)


def folder_of(options: argparse.Namespace) -> Folder:
    """The output folder: given, or named after the problem file, in the current directory."""
    other = getattr(options, "observation", None)
    path = Path(options.problem.stem) if options.out is None else options.out
    return Folder(path, "" if other is None else other.stem)


def kept_in_folder(options: argparse.Namespace) -> str:
    """What an interrupted command leaves in the folder of its problem."""
    folder = folder_of(options)
    done, stored = folder.stored()
    kept = [f"{done} of {stored} simulations"] if stored else []
    kept += ["the cost"] if folder.cost.exists() else []
    kept += [f"draws at beta {beta:g}" for beta in folder.betas()]
    return f"kept in {folder.path}: {', '.join(kept)}" if kept else "nothing had been stored yet"


def need_betas(betas: Iterable[float], problem: Problem, command: str) -> tuple[float, ...]:
    """Inverse temperatures in ascending order, each once.

    Args:
        betas: that were given, or that the problem names.
        problem: whose distance has the units that the error tells.
        command: that the error proposes.

    Raises:
        ValueError: there are none.
    """
    found = tuple(sorted(set(betas)))
    if not found:
        raise ValueError(NO_BETA.format(units=problem.distance.units, command=command_line(command, problem)))
    return found


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
    return x_o


def observation_of(problem: Problem, file: Path | None, *, option: bool = True) -> np.ndarray:
    """The observation of a file, or that of the problem where no file is named.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no observation, or the file holds none; see `need_observation`.
    """
    return need_observation(problem, problem.x_o if file is None else read_observation(file), option=option)


def conditions_of(problem: Problem, options: argparse.Namespace) -> dict[str, float] | None:
    """The known conditions: those of the problem, in whose place come those typed; None where there are none."""
    return {**problem.x_o_conditions, **dict(options.condition or ())} or None


def posterior_of(
    problem: Problem, cost: Cost, x_o: np.ndarray, beta: float, conditions: dict[str, float] | None
) -> GibbsPosterior:
    """The posterior of an observation that was read from a file."""
    return GibbsPosterior(problem.prior, cost, as_output(x_o, cost.x_shape), beta, conditions=conditions)
