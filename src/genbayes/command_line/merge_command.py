"""`genbayes merge`: put the shares of `genbayes simulate --shard` together into DIR/simulations.zarr."""

import argparse

from ..simulations.merging import RowsMissing, merge_simulations
from .problem_options import folder_of
from .registry import Commands, register
from .terminal import Terminal


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes merge`."""
    text = "Put the shares of `genbayes simulate --shard i/N` together into DIR/simulations.zarr."
    command = commands.add("merge", run, text, kept=lambda _: "the shares are as they were")
    text = "rows may be missing: they stay pending, and `genbayes simulate` without --shard runs them"
    command.add_argument("--partial", action="store_true", help=text)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Puts the shares that lie in the folder of the problem together."""
    folder = folder_of(options)
    try:
        simulations = merge_simulations(folder.simulations, partial=options.partial)
    except RowsMissing as error:
        raise ValueError(
            f"{error} On the command line: genbayes simulate {options.problem} -n {error.n} --shard i/{error.of} for "
            "each of them, or genbayes merge --partial."
        ) from error
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there are no shares in {folder.path}. Run first, for i from 1 to 8: genbayes simulate {options.problem} "
            "--shard i/8"
        ) from error
    terminal.say(simulations.summary())
    terminal.path(folder.simulations)
