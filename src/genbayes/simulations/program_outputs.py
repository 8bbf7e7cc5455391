"""What a program has written, as numbers: plain numbers, columns of a table, an entry of JSON, an array of numpy.

Nothing here imports this package but what worker processes receive whole, as they do these functions.
"""

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .templates import Template
from .worker import RunFailed

STANDARD_OUTPUT = "standard output"
_MISSING = {"", "na", "nan", "n/a", "null"}
# Fortran writes the exponent of a double as 1.5D-03.
_FORTRAN = re.compile(r"([+-]?[0-9.]+)[dD]([+-]?[0-9]+)")


@dataclass(frozen=True)
class Output:
    """Where the numbers of a run are.

    Attributes:
        file: its path in the scratch folder; None for standard output.
        columns: of a table, by name or by number from 1; None for all of them.
        single: whether one column was asked for, whose values are a vector.
        key: of an entry of JSON, with dots between the names.
        skip_lines: lines of a text before the numbers, or before the header of a table.
    """

    file: Template | None = None
    columns: tuple[str | int, ...] | None = None
    single: bool = False
    key: str | None = None
    skip_lines: int = 0

    def kind(self, name: str) -> str:
        """How a file of this name is read: "json", "npy", "table" or "numbers"."""
        suffix = Path(name).suffix.lower()
        if self.key is not None or suffix == ".json":
            return "json"
        if suffix == ".npy":
            return "npy"
        return "table" if self.columns is not None or suffix in (".csv", ".tsv") else "numbers"

    def read(self, path: Path, name: str) -> np.ndarray:
        """The numbers of a file.

        Args:
            path: of the file.
            name: what errors call it.

        Raises:
            RunFailed: there is no such file, or something else in it.
        """
        if not path.is_file():
            raise RunFailed(f"the program wrote no file {name}")
        kind = self.kind(name)
        if kind == "npy":
            try:
                # Mapped before it is read: what a damaged header announces is compared with the size of the file.
                array = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
            except Exception as error:
                raise RunFailed(f"{name} is no array of numpy: {error}") from None
            return _numeric(array, name)
        try:
            text = path.read_text("utf-8-sig")
        except UnicodeDecodeError:
            raise RunFailed(f"{name} is no text in UTF-8") from None
        if not text.strip():
            raise RunFailed(f"{name} is empty")
        if kind == "json":
            return _json_entry(text, self.key, name)
        lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if i > self.skip_lines]
        if kind == "numbers":
            return _numbers(lines, name)
        return _columns(lines, self.columns, self.single, name)


def number_of(cell: str) -> float | None:
    """The number in a cell, NaN where it is missing, None where it is none."""
    cell = cell.strip()
    if cell.lower() in _MISSING:
        return np.nan
    if fortran := _FORTRAN.fullmatch(cell):
        cell = f"{fortran[1]}e{fortran[2]}"
    try:
        # Python alone would read 1_000.
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _checked(cell: str, line: int, name: str) -> float:
    value = number_of(cell)
    if value is None:
        shown = cell if len(cell) <= 40 else f"{cell[:40]}..."
        raise RunFailed(f"line {line} of {name}: {shown!r} is no number")
    return value


def _numbers(lines: list[tuple[int, str]], name: str) -> np.ndarray:
    """All numbers of lines, with white space or commas between them, as a vector."""
    values = []
    for i, line in lines:
        line = line.strip().removesuffix(",")
        cells = line.split(",") if "," in line else line.split()
        for cell in cells:
            # "1 2, 3 4": both separators in one line.
            values += [_checked(part, i, name) for part in (cell.split() or [cell])]
    if not values:
        raise RunFailed(f"{name} has no numbers below its first line(s)")
    return np.array(values)


def _columns(
    lines: list[tuple[int, str]], columns: tuple[str | int, ...] | None, single: bool, name: str
) -> np.ndarray:
    """Columns of a table, (lines,) of one and (lines, columns) of several."""
    lines = [(i, line) for i, line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        raise RunFailed(f"{name} has no rows")
    separator = next((mark for mark in "\t;," if mark in lines[0][1]), None)
    rows = [(i, _cells(line, separator)) for i, line in lines]
    width = len(rows[0][1])
    for i, cells in rows:
        if len(cells) != width:
            raise RunFailed(f"line {i} of {name} has {len(cells)} cells, its first line {width}")
    header = rows[0][1] if any(number_of(cell) is None for cell in rows[0][1]) else None
    rows = rows if header is None else rows[1:]
    if not rows:
        raise RunFailed(f"{name} has no rows below its header")
    places = range(width) if columns is None else [_place(column, header, width, name) for column in columns]
    values = np.array([[_checked(cells[place], i, name) for place in places] for i, cells in rows])
    return values[:, 0] if single or width == 1 else values


def _cells(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]


def _place(column: str | int, header: list[str] | None, width: int, name: str) -> int:
    if isinstance(column, int):
        if column > width:
            raise RunFailed(f"{name} has no column {column}: there are {width}")
        return column - 1
    if header is None:
        raise RunFailed(f"{name} has no header, and so no column {column!r}")
    if header.count(column) != 1:
        count = "no" if column not in header else "more than one"
        raise RunFailed(f"{name} has {count} column {column!r}: its header is {', '.join(header)[:200]}")
    return header.index(column)


def _json_entry(text: str, key: str | None, name: str) -> np.ndarray:
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise RunFailed(f"{name} is no JSON: {error}") from None
    path = key.split(".") if key is not None else []
    for i, part in enumerate(path):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            there = f": there are {', '.join(found)}"[:200] if isinstance(found, dict) else ""
            raise RunFailed(f"{name} has no entry {'.'.join(path[: i + 1])}{there}")
    try:
        array = np.array(found)
    except ValueError:
        raise RunFailed(f"{name} has lists of different lengths in one another") from None
    return _numeric(array, name if key is None else f"{key} of {name}")


def _numeric(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise RunFailed(f"{name} holds other things than numbers")
    return array.astype(np.float64)
