"""The simulator of a problem file: a function of the user's module, or a table [simulator] with a program's command."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..simulations.external_program import ExternalProgram
from ..simulations.measurement_error import with_measurement_error
from ..simulations.simulators import AnySimulator, Simulator
from .toml_table import Table
from .user_code import load_object

# Keys of [simulator], which are the arguments of ExternalProgram, and what stands there.
_KEYS: dict[str, Any] = {
    "command": list,
    "output": str,
    "column": str | int | list,
    "key": str,
    "skip_lines": int,
    "files": dict,
    "stdin": str,
    "cwd": str,
    "environment": dict,
    "timeout": int | float,
    "memory_limit": str | int,
    "exit_codes": list,
    "keep_failed": str,
    "name": str,
}


def named_object(table: Table, key: str) -> Any:
    """What "module:object" stands for.

    Raises:
        ValueError: nothing, or the module cannot be imported; with file, table and key.
    """
    try:
        return load_object(table.get(key, str), table.path.resolve().parent)
    except (ValueError, ImportError) as error:
        raise table.error(key, str(error)) from error


def named_function(table: Table, key: str) -> Callable[..., Any]:
    """The function that "module:function" stands for.

    Raises:
        ValueError: no function; with file, table and key.
    """
    value = named_object(table, key)
    if not callable(value):
        raise table.error(key, f"{table.content[key]!r} is no function but {type(value).__name__}. Name a function.")
    return value


def read_simulator(top: Table, names: tuple[str, ...]) -> AnySimulator:
    """The entry or the table `simulator`.

    Args:
        top: the problem.
        names: of the parameters and, after them, of the known conditions.

    Raises:
        ValueError: neither a function nor a program, or an error of its measurement that is none; with file, table and
            key.
    """
    if isinstance(top.content["simulator"], dict):
        found: AnySimulator = _read_program(top.table("simulator"), names)
    else:
        value = named_object(top, "simulator")
        found = value if isinstance(value, Simulator) else named_function(top, "simulator")
    return found if "measurement_error" not in top.content else _measured(top, found)


def _measured(top: Table, simulator: AnySimulator) -> AnySimulator:
    """The simulator with the error that the entry `measurement_error` adds to its outputs."""
    key = "measurement_error"
    value = top.content[key]
    try:
        if isinstance(value, str):
            percent = float(value.removesuffix("%")) if value.endswith("%") else np.nan
            if not 0 < percent < np.inf:
                raise ValueError(f'a text must be a share of each value, such as "10 %", got {value!r}.')
            return with_measurement_error(simulator, partial(_share, percent / 100))
        numbers = top.numbers(key)
        assert numbers, "the key is there"
        return with_measurement_error(simulator, numbers if isinstance(value, list) else numbers[0])
    except (TypeError, ValueError) as error:
        raise error if str(error).startswith(str(top.path)) else top.error(key, str(error)) from error


def _share(share: float, x: Any) -> Any:
    """Standard deviations of errors that are a share of each value, of numpy or JAX, or of a mapping of them."""
    return {name: _share(share, value) for name, value in x.items()} if isinstance(x, dict) else share * abs(x)


def _read_program(table: Table, names: tuple[str, ...]) -> ExternalProgram:
    table.check_keys(tuple(_KEYS))
    table.need("command", 'command = ["./sim", "{growth}", "{seed}"]')
    given = {key: table.get(key, kind) for key, kind in _KEYS.items() if key in table.content}
    for word in given["command"]:
        if not isinstance(word, str):
            raise table.error("command", f"must be a list of texts, got {word!r} in it. Put it in quotes.")
    if "files" in given:
        given["files"] = {name: _input_file(table, name, value) for name, value in given["files"].items()}
    try:
        program = ExternalProgram(**given, base=table.path.resolve().parent)
        program.check_templates(names)
    except (TypeError, ValueError, FileNotFoundError) as error:
        raise table.error("", str(error)) from error
    return program


def _input_file(table: Table, name: str, value: Any) -> str | Path:
    """Text of a template, "json", or the path of a template file."""
    if isinstance(value, dict) and list(value) == ["template"] and isinstance(value["template"], str):
        return Path(value["template"])
    if not isinstance(value, str):
        expected = f'"{name}" = "growth = {{growth}}" or "{name}" = {{ template = "FILE" }}'
        raise table.error("files", f"{name!r} must be a text or name a template file, got {value!r}. Write {expected}.")
    return value
