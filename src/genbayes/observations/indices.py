"""Cells as an index: numbers, dates or texts."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from .cells import NumberStyle
from .lines import Records

ISO = re.compile(r"\d{4}-\d{2}(-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?)?")
_OTHER_DATE = re.compile(r"(\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}[./ -][A-Za-z]{3,9}[./ -]\d{2,4})([T ,]+\d.*)?")
_COMPACT = re.compile(r"(19|20)\d{6}")
# What dates are called, so that 44287 is a day of a spreadsheet, counted from this one, and no number.
_SERIAL_NAMES = frozenset(("date", "datetime", "timestamp", "day"))
_SERIAL_START = np.datetime64("1899-12-30T00:00:00", "s")
_TIME_DIRECTIVES = re.compile(r"%[HIMSfpXcz]")


def is_dated(cells: Sequence[str]) -> bool:
    """Whether most of the cells that hold something are ISO dates."""
    filled = [cell for cell in cells if cell]
    return bool(filled) and sum(ISO.fullmatch(cell) is not None for cell in filled) > len(filled) / 2


def looks_dated(cell: str) -> bool:
    """Whether a cell is a date in some form."""
    return ISO.fullmatch(cell) is not None or _OTHER_DATE.fullmatch(cell) is not None


def parse_index(
    found: Records, name: str, numbers: Sequence[int], cells: Sequence[str], style: NumberStyle, date_format: str | None
) -> np.ndarray:
    """The index of the rows: float64, datetime64 or texts.

    Args:
        found: the file, for errors.
        name: of the column.
        numbers: lines of the rows.
        cells: of the column.
        style: how numbers are written.
        date_format: of the dates where they are not ISO ones, as for `datetime.strptime`.

    Raises:
        ValueError: a cell is blank, or of another kind than the others.
    """
    for number, cell in zip(numbers, cells, strict=True):
        if not cell or (cell.casefold() != "-" and style.is_missing(cell)):
            raise found.error(number, f"the index {name!r} is {cell!r}. Every row needs one; a missing value is NA.")
    if date_format is not None:
        return _formatted(found, name, numbers, cells, date_format)
    if all(_COMPACT.fullmatch(cell) for cell in cells) and all(map(_is_compact_date, cells)):
        return _dates([datetime.strptime(cell, "%Y%m%d") for cell in cells], whole_days=True)
    if is_dated(cells):
        return _iso(found, name, numbers, cells)
    values = [style.number(cell) for cell in cells]
    if all(value is not None for value in values):
        if are_serials(name, values):
            return of_serials(np.array(values, np.float64))
        for number, cell, value in zip(numbers, cells, values, strict=True):
            if not np.isfinite(value or 0.0):
                raise found.error(number, f"the index {name!r} is {cell!r}, which is infinite. Give a finite number.")
        return np.array(values, np.float64)
    for number, cell, value in zip(numbers, cells, values, strict=True):
        if _OTHER_DATE.fullmatch(cell):
            raise found.error(number, f"the index {name!r} is {cell!r}, a date in no ISO form. {format_remedy(cell)}")
        if value is None and sum(one is not None for one in values) > len(values) / 2:
            remedy = "Correct it, or write texts in all rows."
            raise found.error(number, f"the index {name!r} is {cell!r}, and a number in most other rows. {remedy}")
    return np.array(cells, dtype=np.str_)


def are_serials(name: str, values: Sequence[float | None]) -> bool:
    """Whether a column of this name holds dates as numbers of days, from 1954 to 2036, as spreadsheets keep them."""
    return name.casefold() in _SERIAL_NAMES and all(20_000 <= (value or 0.0) <= 50_000 for value in values)


def of_serials(days: np.ndarray) -> np.ndarray:
    """Dates that a spreadsheet keeps as days since 1899-12-30, to the second."""
    return reduced(_SERIAL_START + np.rint(days * 86_400).astype("m8[s]"))


def format_remedy(cell: str) -> str:
    """What to say for dates that are not ISO ones."""
    mark = next((one for one in "./- " if one in cell), "-")
    year_first = re.match(r"\d{4}", cell) is not None
    forms = ("%Y{0}%m{0}%d",) if year_first else ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y")
    if letters := re.search(r"[A-Za-z]{3,9}", cell[:14]):
        forms = ("%d{0}%b{0}%Y" if len(letters[0]) == 3 else "%d{0}%B{0}%Y",)
    time = _time_format(cell)
    named = " or ".join(f'date_format="{form.format(mark)}{time}"' for form in forms)
    return f"Say {named} (day, month and year in their order), or write dates as 2021-04-09."


def _time_format(cell: str) -> str:
    """The form of the time behind a date, empty where there is none."""
    time = re.search(r"([ ,T]+)\d{1,2}:\d{2}(:\d{2})?(\.\d+)?(\s*)([AaPp][Mm])?", cell)
    if time is None:
        return ""
    before, seconds, fraction, space, half = time.groups()
    form = f"%{'I' if half else 'H'}:%M" + (":%S" if seconds else "") + (".%f" if fraction else "")
    return f"{before}{form}" + (f"{space}%p" if half else "")


def check_order(found: Records, name: str, index: np.ndarray, cells: Sequence[str], numbers: Sequence[int]) -> None:
    """ValueError where an index has a member twice, or numbers or dates do not increase."""
    first: dict = {}
    for value, cell, number in zip(index.tolist(), cells, numbers, strict=True):
        if value in first:
            raise found.error(
                number,
                f"the index {name!r} is {cell!r}, as in {found.line} {first[value]}. Remove one of the two, or say "
                'group="..." if the file holds several observations.',
            )
        first[value] = number
    if index.dtype.kind == "U":
        return
    for i in np.flatnonzero(index[1:] < index[:-1])[:1]:
        raise found.error(
            numbers[i + 1],
            f"the index {name!r} is {cells[i + 1]!r}, after {cells[i]!r} in {found.line} {numbers[i]}. Sort the rows, "
            "in the order of the simulator's outputs.",
        )


def reduced(times: np.ndarray) -> np.ndarray:
    """Dates without the digits that none of them needs: days, seconds, or as they are."""
    for unit in ("D", "s"):
        short = times.astype(f"M8[{unit}]")
        if (short == times).all():
            return short
    return times


def _is_compact_date(cell: str) -> bool:
    try:
        datetime.strptime(cell, "%Y%m%d")
    except ValueError:
        return False
    return True


def _iso(found: Records, name: str, numbers: Sequence[int], cells: Sequence[str]) -> np.ndarray:
    times, zones = [], []
    for number, cell in zip(numbers, cells, strict=True):
        if not ISO.fullmatch(cell):
            raise found.error(number, f"the index {name!r} is {cell!r}, expected an ISO date such as 2021-04-09.")
        try:
            text = re.sub(r"\s+(?=[Z+-]|$)", "", cell.replace(",", "."))
            time = datetime.fromisoformat(f"{text}-01" if len(text) == 7 else text)
        except ValueError as error:
            raise found.error(number, f"the index {name!r} is {cell!r}, which is no date: {error}.") from None
        zones.append(time.tzinfo is not None)
        times.append(time.astimezone(UTC).replace(tzinfo=None) if zones[-1] else time)
        if zones[-1] != zones[0]:
            raise found.error(number, f"the index {name!r} is {cell!r}. Give all times with a time zone, or none.")
    if all(len(cell) == 7 for cell in cells):
        return np.array(times, "M8[M]")
    return _dates(times, whole_days=all(len(cell) <= 10 for cell in cells))


def _formatted(found: Records, name: str, numbers: Sequence[int], cells: Sequence[str], date_format: str) -> np.ndarray:
    times = []
    for number, cell in zip(numbers, cells, strict=True):
        try:
            time = datetime.strptime(cell, date_format)
        except ValueError:
            raise found.error(
                number, f"the index {name!r} is {cell!r}, expected a date of the form date_format={date_format!r}."
            ) from None
        times.append(time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None))
    return _dates(times, whole_days=not _TIME_DIRECTIVES.search(date_format))


def _dates(times: list[datetime], *, whole_days: bool) -> np.ndarray:
    exact = np.array(times, "M8[us]")
    if whole_days:
        return exact.astype("M8[D]")
    seconds = exact.astype("M8[s]")
    return seconds if (seconds == exact).all() else exact


def duplicates(names: Sequence[str]) -> list[str]:
    """Names that stand there more than once."""
    return [name for name, count in Counter(names).items() if count > 1]
