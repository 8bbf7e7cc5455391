"""What a word on the command line may be: each function reads one, or says what was expected."""

import argparse
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.object_storage import is_remote
from ..sampling.ranks import LEAST_ROWS
from ..simulations.program_arguments import checked_memory
from ..simulations.shards import Shard


class Several(argparse.Action):
    """An option of several values, which may also be repeated: `--beta 1 --beta 10` is `--beta 1 10`.

    The values that are typed replace the default, and never join it.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Adds the values of one occurrence of the option to those before it."""
        before = getattr(namespace, self.dest, None)
        typed = [] if before is None or before is self.default else before
        setattr(namespace, self.dest, [*typed, *(values or ())])


def whole(text: str) -> int | None:
    """The whole number of at least 0 that a text stands for, such as 10000 or 1e4; None where it is no such number."""
    if text.isdecimal():
        return int(text)
    if not re.fullmatch(r"\d+(\.\d*)?([eE]\+?\d{1,2})?", text, re.ASCII):
        return None
    # Exact, where float would make a whole number of 1.00000000000000001.
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() else None


def natural(text: str) -> int:
    """A whole number of at least 0."""
    return _whole_number(text, 0, "a whole number of at least 0")


def count(text: str) -> int:
    """A whole number of at least 1."""
    return _whole_number(text, 1, "a whole number of at least 1")


def runs_at_draws(text: str) -> int:
    """A whole number, 0 or at least 2: a mean of one run has no standard error."""
    return 0 if whole(text) == 0 else _whole_number(text, 2, "0 (no runs) or a whole number of at least 2")


def held_out_runs(text: str) -> int:
    """A whole number of simulations of which coverage can be counted."""
    return _whole_number(text, LEAST_ROWS, f"a whole number of at least {LEAST_ROWS} (200 tell enough)")


def _whole_number(text: str, least: int, expected: str) -> int:
    value = whole(text)
    if value is None or value < least:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value


def positive(text: str) -> float:
    """A number greater than 0."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not (np.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"expected a number greater than 0, got {text!r}")
    return value


def probability(text: str) -> float:
    """A number between 0 and 1, both excluded."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, such as 0.9 for 90 %, got {text!r}")
    return value


def memory(text: str) -> int:
    """A size of memory, in bytes, as 2GB."""
    try:
        size = checked_memory(int(text) if text.isdecimal() else text, "--memory")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    assert size is not None
    return size


def path(text: str) -> Path:
    """A folder, there or not."""
    if is_remote(text):
        raise argparse.ArgumentTypeError(
            f"{text} is an address of object storage; name a folder of this machine, and copy it there when all is done"
        )
    if Path(text).exists() and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file; name a folder")
    return Path(text)


def count_or_file(text: str) -> int | Path:
    """A whole number of at least 1, or the path of a file that exists."""
    if not text.isdecimal() and Path(text).is_file():
        return Path(text)
    if whole(text) is None:
        raise argparse.ArgumentTypeError(f"expected a whole number or a file; there is no file {text}")
    return count(text)


def shard(text: str) -> Shard:
    """A share of several, as 3/8."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"expected i/N with i from 1 to N, such as 3/8, got {text!r}")
    return Shard(int(number), int(of))


def named_number(text: str) -> tuple[str, float]:
    """A name and its value, as name=1.5."""
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not (name and equals and np.isfinite(number)):
        raise argparse.ArgumentTypeError(f"expected NAME=NUMBER such as temperature=21.5, got {text!r}")
    return name, number
