"""A table of cells as an observation: the columns that are asked for, their index, and groups of rows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .cells import INFINITE, NumberStyle, is_odd_number, number_style
from .headers import Head, read_head
from .indices import are_serials, check_order, format_remedy, is_dated, looks_dated, of_serials, parse_index
from .lines import Record, Records
from .observation import Observation

# Three letters in a row are a word, neither a number nor a sign for a missing value.
_LETTERS = re.compile(r"[^\W\d_]{3}")


@dataclass(frozen=True)
class Selection:
    """What of a file is the observation; see `read_observation`."""

    column: tuple[str, ...] | None = None
    index: str | None = None
    group: str | None = None
    missing: tuple[str, ...] = ()
    decimal: str | None = None
    date_format: str | None = None
    only: str | None = None
    trials: bool = False


def read_table(found: Records, wanted: Selection) -> Observation:
    """The observation in a table.

    Raises:
        ValueError: a cell is no number, a line has another number of cells, a column is not there, the index is not
            in order, or a group has one of its members twice; the message names the line and the remedy.
    """
    style = number_style(found, wanted.decimal, wanted.missing)
    given = [*(wanted.column or ()), *(name for name in (wanted.index, wanted.group) if name)]
    found = _without_blank_start(found, style, given)
    width = max(len(record.cells) for record in found.records)
    if width > 1:
        _check_widths(found)
    head = read_head(found, style, given)
    if not any(not row.blank for row in head.rows):
        raise ValueError(f"{found.source} holds no numbers below the names of its columns.")
    for name in given:
        _position(found, head, name)
    group = None if wanted.group is None else _position(found, head, wanted.group)
    index, note = _index_position(found, head, style, wanted, group)
    rows = _rows(found, head, width, indexed=index is not None)
    single = group is not None and wanted.only is not None
    if group is not None and wanted.only is not None:
        rows = _rows_of_group(found, head, rows, group, wanted.only)
    columns = _columns(found, head, wanted, (index, group))
    # The only column of values can be no other, so that its texts are meant as numbers.
    asked = wanted.column is not None or len(columns) == 1
    values = np.array([[_value(found, head, style, row, j, asked) for j in columns] for row in rows], np.float64)
    names = tuple(head.names[j] for j in columns) if head.named else ()
    units = tuple(head.units[j] for j in columns) if head.named else ()
    notes = (note,) if note else ()
    if _counts_rows(head) and index not in (None, 0) and 0 not in columns:
        notes += ("the first column, which has no name, counts the rows",)
    observation = Observation(values, names=names, units=units, source=found.source, notes=notes)
    if index is not None:
        cells, lines = [row.cells[index] for row in rows], [row.number for row in rows]
        name = head.names[index]
        parsed = parse_index(found, name, lines, cells, style, wanted.date_format)
        if group is None or single:
            check_order(found, name, parsed, cells, lines)
        if any("+" in cell[10:] or cell.endswith("Z") for cell in cells) and parsed.dtype.kind == "M":
            observation = replace(observation, notes=(*observation.notes, "times in UTC"))
        observation = replace(observation, index=parsed, index_name=name)
    elif wanted.date_format is not None:
        raise ValueError(f'{found.source}: date_format is given, but no column of dates. Name it by index="...".')
    if single:
        notes = (f"{head.names[group or 0]} {wanted.only} alone", *observation.notes)
        observation = replace(observation, notes=notes)
    elif group is not None:
        observation = _pivoted(found, head, observation, rows, group, trials=wanted.trials)
    return observation if observation.trials is not None else _as_vector(observation)


def _without_blank_start(found: Records, style: NumberStyle, given: Sequence[str]) -> Records:
    """Blank lines above the names are none of the values; above the first value they could be one."""
    filled = next(i for i, record in enumerate(found.records) if not record.blank)
    if filled == 0:
        return found
    rest = replace(found, records=found.records[filled:])
    narrow = all(len(record.cells) <= 1 for record in rest.records)
    if narrow and not read_head(rest, style, given).named:
        number = found.records[0].number
        raise found.error(number, "is blank, above the first value. Delete it, or write NA for a missing value.")
    return rest


def _check_widths(found: Records) -> None:
    first, width = found.records[0], max(len(record.cells) for record in found.records)
    for record in found.records:
        if record.cells and len(record.cells) != len(first.cells):
            if any(cell.startswith("#") for cell in record.cells[1:]):
                raise found.error(record.number, "has a comment. A comment stands on a line of its own.")
            text = f"{len(record.cells)} cells, {found.line} {first.number} has {len(first.cells)}"
            remedy = "Give every row as many"
            if len(record.cells) == len(first.cells) + 1 and not record.cells[-1]:
                remedy += ": this one ends with a separator. Delete it, or write one behind the names as well"
            elif len(one := min(record.cells, first.cells, key=len)) == 1 and _LETTERS.search(one[0]) and width > 1:
                number = first.number if one is first.cells else record.number
                remedy += f". If {found.line} {number} is a title or a remark, delete it, or begin it with #"
            elif found.separator == ",":
                remedy += '; with decimal commas save it with semicolons, or quote each number and say decimal=","'
            elif found.separator == " ":
                remedy += " (cells are separated by spaces here: write NA for a missing value)"
            raise found.error(record.number, f"{text}. {remedy}.")


def _position(found: Records, head: Head, name: str) -> int:
    if name in head.names:
        return head.names.index(name)
    first = found.records[0].cells
    if head.named and name in first:
        return first.index(name)
    known = ", ".join(repr(one) for one in head.names)
    text = "" if head.named else " (it has no header)"
    raise ValueError(f"{found.source} has no column {name!r}{text}. Its columns are {known}.")


def _cells(head: Head, j: int) -> list[str]:
    return [row.cells[j] for row in head.rows if row.cells]


def _index_position(
    found: Records, head: Head, style: NumberStyle, wanted: Selection, group: int | None
) -> tuple[int | None, str]:
    """The column of the index, if any, and a note where nobody named it."""
    if wanted.index is not None:
        return _position(found, head, wanted.index), ""
    chosen = {_position(found, head, name) for name in wanted.column or ()}
    free = [j for j in range(len(head.names)) if j != group and j not in chosen]
    if len(head.names) == 1:
        return None, ""
    _check_serial_dates(found, head, style, free if wanted.column is None else [])
    if head.named and head.names[0] == "" and 0 in free and any(_cells(head, 0)):
        dated = [j for j in free if is_dated(_cells(head, j))] if _counts_rows(head) else []
        if len(dated) == 1:
            return dated[0], f"dates from the column {head.names[dated[0]]!r}"
        return 0, "index: the first column, which has no name"
    texts = [j for j in free if any(style.value(cell) is None for cell in _cells(head, j))]
    dated = [j for j in texts if is_dated(_cells(head, j)) or wanted.date_format is not None]
    if len(dated) == 1 and (wanted.column is not None or len(texts) == 1):
        return dated[0], f"dates from the column {head.names[dated[0]]!r}"
    for j in texts if wanted.column is None else ():
        cell = next((cell for cell in _cells(head, j) if looks_dated(cell)), None)
        if cell is not None and style.number(cell) is None:
            number = next(row.number for row in head.rows if row.cells and row.cells[j] == cell)
            remedy = f'Say index="{head.names[j]}"'
            remedy += "." if is_dated(_cells(head, j)) else f", and its form. {format_remedy(cell)}"
            raise found.error(number, f"column {head.names[j]!r} has dates such as {cell!r}. {remedy}")
    return None, ""


def _counts_rows(head: Head) -> bool:
    """Whether the first column has no name and counts the rows from 0 or 1, as pandas and R write it."""
    cells = _cells(head, 0)
    return head.named and not head.names[0] and any(cells == [*map(str, range(i, i + len(cells)))] for i in (0, 1))


def _check_serial_dates(found: Records, head: Head, style: NumberStyle, columns: Sequence[int]) -> None:
    """ValueError where a column of dates holds the numbers that a spreadsheet keeps them as: no value of a model."""
    for j in columns:
        numbers = [style.number(cell) or 0.0 for cell in _cells(head, j) if cell]
        if numbers and are_serials(head.names[j], numbers):
            day = of_serials(np.floor(numbers[:1]))[0]
            remedy = (
                f'Save dates as texts, such as {day}; or say index="{head.names[j]}" to read them so, or column="...".'
            )
            number = next(row.number for row in head.rows if row.cells and row.cells[j])
            raise found.error(number, f"{head.names[j]!r} is {numbers[0]:g}, as spreadsheets keep {day}. {remedy}")


def _rows(found: Records, head: Head, width: int, *, indexed: bool) -> list[Record]:
    """The rows of values; a blank line is a missing value of one column, and stands for nothing beside an index."""
    if width == 1:
        return [row if row.cells else Record(row.number, ("",)) for row in head.rows]
    blank = next((row for row in head.rows if not row.cells), None)
    if blank is not None and not indexed:
        missing = {" ": " ", "": ", "}.get(found.separator, found.separator).join(["NA"] * width)
        raise found.error(
            blank.number, f"is blank. Delete it, or write {missing!r} for a row of missing values; or name an index."
        )
    return [row for row in head.rows if row.cells]


def _rows_of_group(found: Records, head: Head, rows: list[Record], group: int, only: str) -> list[Record]:
    """The rows of one group alone, so that it has no gaps where others were measured."""
    chosen = [row for row in rows if row.cells[group] == only]
    if not chosen:
        known = list(dict.fromkeys(row.cells[group] for row in rows))
        listed = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
        raise ValueError(f"{found.source}: no row of {head.names[group]!r} is {only!r}; there are {listed}.")
    return chosen


def _columns(found: Records, head: Head, wanted: Selection, taken: tuple[int | None, int | None]) -> list[int]:
    if wanted.column is None:
        columns = [j for j in range(len(head.names)) if j not in taken]
        # What a separator at the end of every line leaves: a column without a name and without a value.
        columns = [j for j in columns if not head.named or head.names[j] or any(_cells(head, j))]
        if taken[0] is not None and _counts_rows(head):
            columns = [j for j in columns if j]
        if not columns:
            raise ValueError(f"{found.source} has no column of values beside {', '.join(map(repr, head.names))}.")
        return columns
    columns = [_position(found, head, name) for name in wanted.column]
    for name, j in zip(wanted.column, columns, strict=True):
        if j in taken or columns.count(j) > 1:
            raise ValueError(f"{found.source}: column {name!r} is named twice. Name it as column, index or group.")
    return columns


def _value(found: Records, head: Head, style: NumberStyle, row: Record, j: int, asked: bool) -> float:
    value = style.value(row.cells[j])
    if value is not None and not np.isinf(value):
        return value
    cell, name = row.cells[j], f"column {head.names[j]!r}" if head.named else f"column {j + 1}"
    cells = _cells(head, j)
    others = [style.number(one) for one in cells if one != cell]
    no_numbers = value is None and len(cells) > 1 and all(one is None for one in others)
    if no_numbers and not (asked and is_odd_number(cell)):
        raise found.error(
            row.number,
            f"{name} holds texts such as {cell!r}. Name it by index= or group=, or choose others by column=.",
        )
    above = found.records[0]
    text = f"expected a number in {name}, got {cell[:60]!r}, which {style.complaint(cell)}"
    if not head.named and row.number == above.number:
        text += " (The line has numbers, so it is taken for values and not for names.)"
    elif _may_be_unit(head, row, cell):
        text += f" A row of units has them in brackets, as [{cell[:20]}]."
    raise found.error(row.number, text)


def _may_be_unit(head: Head, row: Record, cell: str) -> bool:
    """Whether a word stands in the row below the names."""
    first = next(one for one in head.rows if one.cells)
    is_word = cell[0].isalpha() and not INFINITE.fullmatch(cell) and not is_odd_number(cell)
    return head.named and row is first and is_word


def _pivoted(
    found: Records, head: Head, flat: Observation, rows: list[Record], group: int, *, trials: bool
) -> Observation:
    """Rows of several observations, one after the other or mixed, as a stack."""
    labels = [row.cells[group] for row in rows]
    for row, label in zip(rows, labels, strict=True):
        if not label:
            raise found.error(row.number, f"the group {head.names[group]!r} is blank. Every row needs one.")
    groups = tuple(dict.fromkeys(labels))
    numbers = {label: i for i, label in enumerate(groups)}
    members = np.array([numbers[label] for label in labels])
    counts = np.bincount(members)
    index, of_trials = None, None
    if flat.index is None:
        if (counts != counts[0]).any() and not trials:
            other = int(np.flatnonzero(counts != counts[0])[0])
            raise ValueError(
                f"{found.source}: {groups[0]!r} has {counts[0]} rows and {groups[other]!r} {counts[other]}. Name the "
                'column that tells which of them belong together, by index="..."; if they are trials without order, '
                "take a distance of sets such as MMD or EnergyDistance, and in Python say trials=True."
            )
        # The rows of a group are numbered in their order.
        places = np.empty(len(rows), int)
        for member in range(len(groups)):
            places[members == member] = np.arange(counts[member])
        of_trials = tuple(counts.tolist()) if trials else None
    else:
        entries = flat.index.tolist()
        members_of_index = list(dict.fromkeys(entries)) if flat.index.dtype.kind == "U" else sorted(set(entries))
        position = {entry: i for i, entry in enumerate(members_of_index)}
        places = np.array([position[entry] for entry in entries])
        index = np.empty(len(members_of_index), flat.index.dtype)
        index[places] = flat.index
    values = np.full((len(groups), int(places.max()) + 1, flat.values.shape[1]), np.nan)
    first: dict[tuple[int, int], int] = {}
    for i, (row, member, place) in enumerate(zip(rows, members, places, strict=True)):
        key = (int(member), int(place))
        if key in first:
            at = "" if flat.index is None else str(flat.index[i]).removesuffix(".0")
            text = f"{groups[member]!r} has a row for {flat.index_name} {at} in {found.line} {first[key]} already"
            raise found.error(row.number, f"{text}. Remove one of the two, or take their mean.")
        first[key] = row.number
        values[member, place] = flat.values[i]
    absent = values.shape[0] * values.shape[1] - len(rows)
    told = absent and of_trials is None
    notes = (*flat.notes, f"no row for {absent} of the missing") if told else flat.notes
    name = head.names[group]
    return replace(flat, values=values, index=index, groups=groups, group_name=name, notes=notes, trials=of_trials)


def _as_vector(observation: Observation) -> Observation:
    """A single column is a vector, and a single row without index too."""
    values = observation.values
    if values.shape[-1] == 1:
        return replace(observation, values=values[..., 0])
    if values.shape[-2] == 1 and observation.index is None:
        return replace(observation, values=values[..., 0, :])
    return observation
