"""Cells as numbers: missing values, decimal commas, and what is no number."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from .lines import Records

MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "-"))
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA_NUMBER = re.compile(r"[+-]?(\d+,\d+|,\d+)([eE][+-]?\d+)?", re.ASCII)
_DOT_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(([,.' \u00a0\u202f])\d{3}(\2\d{3})*)([.,]\d+)?")
INFINITE = re.compile(r"[+-]?(inf|infinity|∞)", re.IGNORECASE)

_NO_THOUSANDS = "Write numbers without thousands separators, as 1234.5"


@dataclass(frozen=True)
class NumberStyle:
    """How numbers are written.

    Attributes:
        decimal: "." or ",".
        missing: further texts that mean a missing value, beside blank, NA, NaN, n/a, null, None and -.
    """

    decimal: str = "."
    missing: tuple[str, ...] = ()

    def is_missing(self, cell: str) -> bool:
        """Whether the cell says that there is no value."""
        if cell.casefold() in MISSING or cell in self.missing:
            return True
        value = self.number(cell) if self.missing else None
        return value is not None and any(value == self.number(one) for one in self.missing)

    def number(self, cell: str) -> float | None:
        """The number in a cell, infinite where it is too large; None where it is none."""
        cell = cell.replace("\u2212", "-")
        if self.decimal == ",":
            if "." in cell:
                return None
            cell = cell.replace(",", ".")
        return float(cell) if _NUMBER.fullmatch(cell) else None

    def value(self, cell: str) -> float | None:
        """The number in a cell, NaN where it says that there is none; None where it is another text."""
        return math.nan if self.is_missing(cell) else self.number(cell)

    def complaint(self, cell: str) -> str:
        """Why a cell is no number, and the remedy."""
        if INFINITE.fullmatch(cell) or (value := self.number(cell)) is not None and math.isinf(value):
            return "is infinite. Give a finite number, or NA where there is no value."
        if _THOUSANDS.fullmatch(cell):
            remedy = "" if self.decimal == "," else ', or say decimal="," if the comma is a decimal one'
            remedy = remedy if "," in cell and "." not in cell else ""
            return f"may have thousands separators. {_NO_THOUSANDS}{remedy}."
        if _COMMA_NUMBER.fullmatch(cell):
            return 'has a decimal comma. Write 1.5, or say decimal=","'
        if re.fullmatch(r"\([\d.,]+\)", cell):
            return f"is no number. Write a negative number with a minus sign, as -{cell.strip('()')}."
        if re.fullmatch(r"[+-]?[\d.,]+ ?%", cell):
            return "is no number. Write a percentage without its sign, in the units of the simulator."
        if re.fullmatch(r"[+-]?[\d.]+[dD][+-]?\d+", cell):
            return f"is no number. Write its exponent with an E, as {re.sub('[dD]', 'E', cell)}."
        if cell.casefold() in ("true", "false"):
            return "is no number. Write 1 for true and 0 for false."
        if " #" in cell:
            return "is no number. A comment stands on a line of its own, which starts with #."
        return f"is no number. Correct it, or write NA where there is no value; or say missing={cell!r}."


def is_odd_number(cell: str) -> bool:
    """Whether a text may be meant as a number, such as 1'234.5 or 50%, and is no word."""
    return any(letter.isdigit() for letter in cell) or cell.casefold() in ("true", "false")


def checked_missing(missing: object) -> tuple[str, ...]:
    """The texts of `missing`: a text, a number, or several of them.

    Raises:
        TypeError: it is something else.
    """
    several = missing if isinstance(missing, list | tuple | set | frozenset) else () if missing is None else (missing,)
    for one in several:
        if isinstance(one, bool) or not isinstance(one, str | int | float):
            raise TypeError(f'missing must be a text or a number, such as "-9999", or a list of them, got {one!r}.')
    return tuple(str(one).strip() for one in several)


def number_style(found: Records, decimal: str | None, missing: tuple[str, ...]) -> NumberStyle:
    """How the numbers of a file are written; a decimal comma is recognised where it can be nothing else.

    Raises:
        ValueError: commas may separate decimals or thousands, or both decimal commas and points stand there.
    """
    if decimal is not None:
        return NumberStyle(decimal, missing)
    commas = list(_matching(found, _COMMA_NUMBER))
    if not commas:
        return NumberStyle(".", missing)
    number, cell = commas[0]
    dots = list(_matching(found, _DOT_NUMBER))
    if dots:
        text = f"{cell!r} has a comma, and {dots[0][1]!r} in {found.line} {dots[0][0]} a point"
        raise found.error(number, f"{text}. Write all numbers with one decimal mark, and {_NO_THOUSANDS.lower()}.")
    if all(_AMBIGUOUS.fullmatch(text) for _, text in commas):
        remedy = 'Say decimal="," if the comma is a decimal one, or write numbers without thousands separators.'
        raise found.error(number, f"{cell!r} may be {cell.replace(',', '.')} or {cell.replace(',', '')}. {remedy}")
    return NumberStyle(",", missing)


def _matching(found: Records, pattern: re.Pattern[str]) -> Iterable[tuple[int, str]]:
    return ((one.number, cell) for one in found.records for cell in one.cells if pattern.fullmatch(cell))
