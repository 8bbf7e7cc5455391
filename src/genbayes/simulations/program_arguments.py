"""The arguments of `ExternalProgram`, checked one by one."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from .program_outputs import Output
from .program_processes import can_limit_memory
from .program_runs import JSON
from .templates import Template

_UNITS = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
# With less a program cannot even load its libraries: the number was meant in other units.
_LEAST_MEMORY = 2**20
# The system counts in milliseconds of 32 bits.
_LONGEST = 2_000_000


def checked_command(command: Any) -> list[str]:
    """The words of a command.

    Raises:
        TypeError: no list of texts and paths.
        ValueError: it is empty, or its program is a template.
    """
    if isinstance(command, str):
        try:
            words = shlex.split(command)
        except ValueError:
            words = command.split()
        raise TypeError(
            f"`command` must be a list, for no shell takes a text apart: got {command!r}. Write {words or ['./sim']}."
        )
    if not isinstance(command, Sequence) or not all(isinstance(word, str | PurePath) for word in command):
        raise TypeError(f'`command` must be a list of texts, got {command!r}. Write ["./sim", "{{growth}}"].')
    words = [str(word) for word in command]
    if not words or not words[0]:
        raise ValueError('`command` must name a program, got none. Write ["./sim", "{growth}"].')
    if Template(words[0], "`command`, its program,").names:
        raise ValueError(f"`command`: the program itself must be the same for all runs, got {words[0]!r}.")
    return words


def template_of(text: Any, where: str) -> Template:
    """A template of a text.

    Raises:
        TypeError: something else.
        ValueError: braces that name nothing.
    """
    if not isinstance(text, str):
        raise TypeError(f"{where} must be a text, got {text!r} ({type(text).__name__}). Put it in quotes.")
    return Template(text, where)


def input_file(base: Path, path: str, given: Any) -> Template | str:
    """The template of an input file, or "json".

    Args:
        base: where the path of a template file starts.
        path: of the input file, in the scratch folder.
        given: text, path of a template file, or "json".

    Raises:
        TypeError: something else.
        ValueError: braces that name nothing, or no text.
        FileNotFoundError: there is no such template file.
    """
    if given == JSON:
        return JSON
    if not isinstance(given, PurePath):
        return template_of(given, f"`files`, {path}")
    file = base / given
    if not file.is_file():
        raise FileNotFoundError(f"`files`, {path}: there is no template file {file}.")
    try:
        return Template(file.read_text("utf-8"), f"`files`, {path} (from {file})")
    except UnicodeDecodeError:
        raise ValueError(f"`files`, {path}: the template {file} is no text in UTF-8.") from None


def inside(path: Any, where: str) -> str:
    """A relative path that stays in the scratch folder.

    Raises:
        TypeError: no text.
        ValueError: it leads out of the folder.
    """
    if not isinstance(path, str):
        raise TypeError(f"{where} must be a path in the scratch folder, as text, got {path!r}.")
    if not path or PurePath(path).is_absolute() or ".." in PurePath(path).parts:
        raise ValueError(
            f'{where} must be a path in the scratch folder of the run, such as "x.csv", got {path!r}: runs at the '
            'same time would write one file. Let the program write into {folder}, or run in it by cwd="{folder}".'
        )
    return path


def checked_output(output: Any, column: Any, key: Any, skip_lines: Any = 0) -> Output:
    """Where the numbers of a run are.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a path out of the scratch folder, a column below 1, or what does not go together.
    """
    if output is not None:
        # Both ways of writing it mean the same.
        output = inside(output.removeprefix("{folder}/") if isinstance(output, str) else output, "`output`")
    if key is not None and not (isinstance(key, str) and key):
        raise TypeError(f'`key` must be a text such as "results.series", got {key!r}.')
    if column is not None and key is not None:
        raise ValueError("`column` is of a table and `key` of JSON: give one of them.")
    single = isinstance(column, str | int)
    columns = column if column is None else (column,) if single else tuple(column)
    for item in columns or ():
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise TypeError(f"`column` must be a name, a number, or a list of them, got {column!r}.")
        if isinstance(item, int) and item < 1:
            raise ValueError(f"`column` is counted from 1, got {item}.")
    if columns == ():
        raise ValueError("`column` must name a column, got an empty list. Leave it out for all columns.")
    if isinstance(skip_lines, bool) or not isinstance(skip_lines, int) or skip_lines < 0:
        raise ValueError(f"`skip_lines` must be a whole number of at least 0, got {skip_lines!r}.")
    found = Output(None if output is None else Template(output, "`output`"), columns, single, key, skip_lines)
    if columns is not None and found.kind(output or "") != "table":
        raise ValueError(f"`column` is of a table, and {output!r} is none. Of JSON give `key`.")
    return found


def checked_timeout(timeout: Any) -> float | None:
    """Seconds.

    Raises:
        TypeError: no number.
        ValueError: not positive, or too long to be counted.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"`timeout` must be a number of seconds, got {timeout!r}.")
    if not 0 < timeout <= _LONGEST:
        raise ValueError(
            f"`timeout` must be a number of seconds above 0 and up to {_LONGEST:,} (23 days), got {timeout!r}. Leave "
            "it out for no limit."
        )
    return float(timeout)


def checked_memory(limit: Any, name: str = "memory_limit") -> int | None:
    """Bytes.

    Args:
        limit: a number of them, or a text like "2 GB".
        name: what the error calls it.

    Raises:
        TypeError: neither a number nor a text.
        ValueError: a text that says no size, less than a program needs to start, or a platform without such a limit.
    """
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int | str):
        raise TypeError(f'`{name}` must be a number of bytes or like "2 GB", got {limit!r}.')
    if isinstance(limit, int):
        size = float(limit)
    else:
        words = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]+)\s*", limit)
        if words is None or words[2].lower() not in _UNITS or words[1].count(".") > 1 or words[1] == ".":
            raise ValueError(f'`{name}` must be like "2 GB" or "500 MiB", got {limit!r}.')
        size = float(words[1]) * _UNITS[words[2].lower()]
    if size < _LEAST_MEMORY:
        raise ValueError(f'`{name}` is in bytes, and {limit!r} is too little for any process. Write "2 GB".')
    if not can_limit_memory():
        raise ValueError(f"`{name}` needs Linux. Leave it out, or limit the memory inside the simulator.")
    return int(size)


def checked_codes(codes: Any) -> tuple[int, ...]:
    """Exit codes.

    Raises:
        TypeError: no list of whole numbers.
        ValueError: none, or one out of 0 to 255.
    """
    if not isinstance(codes, Sequence) or not all(type(code) is int for code in codes):
        raise TypeError(f"`exit_codes` must be a list of whole numbers such as (0, 2), got {codes!r}.")
    if not codes or not all(0 <= code <= 255 for code in codes):
        raise ValueError(f"`exit_codes` must be numbers from 0 to 255, at least one, got {codes!r}.")
    return tuple(codes)
