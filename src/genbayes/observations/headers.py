"""The first lines of a table: names of its columns, and a row of their units."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from .cells import INFINITE, MISSING, NumberStyle
from .indices import duplicates, looks_dated
from .lines import Record, Records

_BRACKETS = re.compile(r"(.*\S)\s*\[([^\[\]]*[^\[\]\d][^\[\]]*)\]|(.*\S)\s+\(([^()]+)\)")
# Q(m3/s); f(x) is a name.
_CLOSE = re.compile(r"(.*\S)\(([^()]+)\)")
# What begins like a number and has hardly a letter is no name but a damaged number; "2m_air" is one.
_DAMAGED = re.compile(r"[+-]?[.,]?\d")
# An accountant's -5; [1] is the unit of what has none.
_NEGATIVE = re.compile(r"\([\d.,]+\)")
_LETTER = re.compile(r"[^\W\d_]")
_ATOMS = frozenset(
    """m km dm cm mm um µm μm nm ft in mi s sec ms us ns min h hr d day days week weeks month months yr year years hour
    hours minutes seconds date time l ml ul µl dl g kg mg ug µg μg ng pg t mol mmol umol µmol nmol pmol k °c degc c °f f
    pa hpa kpa mpa bar mbar atm v mv uv µv a ma ua µa na pa hz khz mhz ghz w kw mw gw j kj mj wh kwh n kn % ‰ ppm ppb
    psu ph count counts cells cell individuals number no unit units eur usd
    ha deg rad °""".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Head:
    """Names and units of the columns, and the records below them."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    named: bool
    rows: tuple[Record, ...]


def read_head(found: Records, style: NumberStyle, wanted: Collection[str]) -> Head:
    """Tells names and units from the rows of values.

    Args:
        found: records of which the first is not blank, all of one width.
        style: how numbers are written.
        wanted: names that the user asks for; where one of them stands in the first record, that is the header.

    Raises:
        ValueError: the first record is neither names nor values, names are missing or stand there twice, or the record
            below them is neither units nor values.
    """
    first, rows = found.records[0], found.records[1:]
    if not _is_header(found, style, wanted):
        return Head(tuple(f"column {j + 1}" for j in range(len(first.cells))), (), False, found.records)
    pairs = [_name_and_unit(cell) for cell in first.cells]
    names, units = [name for name, _ in pairs], [unit for _, unit in pairs]
    for j, name in enumerate(names):
        if not name and j and any(j < len(row.cells) and row.cells[j] for row in rows):
            raise found.error(first.number, f"column {j + 1} has no name. Give it one.")
    if twice := duplicates([name for name in names if name]):
        # Perhaps their units tell them apart.
        names, units = list(first.cells), [""] * len(names)
        if twice := duplicates([name for name in names if name]) or []:
            raise found.error(first.number, f"{twice[0]!r} is the name of several columns. Give each its own.")
    filled = next((row for row in rows if not row.blank), None)
    if filled is not None and _is_units(filled, [row for row in rows if row is not filled], style):
        units = [cell.strip("[]()") if cell != "-" else "1" for cell in filled.cells]
        rows = tuple(row for row in rows if row is not filled)
    return Head(tuple(names), tuple(units), True, rows)


def _is_header(found: Records, style: NumberStyle, wanted: Collection[str]) -> bool:
    first = found.records[0]
    if found.header is not None:
        return found.header
    if any(cell in wanted or _name_and_unit(cell)[0] in wanted for cell in first.cells if cell):
        return True
    values = [style.value(cell) for cell in first.cells]
    # The words for a missing value are no names; blank is, over the column of row names that R and pandas write.
    gaps = any(cell and style.is_missing(cell) for cell in first.cells)
    damaged = any(_is_damaged(cell) for cell in first.cells if not looks_dated(cell))
    if not (gaps or damaged) and all(value is None for cell, value in zip(first.cells, values, strict=True) if cell):
        below = [row.cells for row in found.records[1:] if not row.blank]
        dated = [j for j, cell in enumerate(first.cells) if looks_dated(cell)]
        if len(dated) < len([cell for cell in first.cells if cell]):
            if not any(letter.isalpha() for cell in first.cells for letter in cell):
                return False
            # A first row of dates and a bad cell: nothing below a date is a name of that column.
            return not any(looks_dated(row[j]) for j in dated for row in below[:1] if j < len(row))
        # Dates above several columns are their names; above a single one a date is a bad cell.
        return (
            len(first.cells) > 1
            and bool(below)
            and not any(looks_dated(row[j]) for row in below for j in dated if j < len(row))
        )
    return False


def _is_damaged(cell: str) -> bool:
    """Whether a cell is a damaged or infinite number rather than a name."""
    return bool(INFINITE.fullmatch(cell) or _DAMAGED.match(cell) and len(_LETTER.findall(cell)) < 3)


def _name_and_unit(cell: str) -> tuple[str, str]:
    match = _BRACKETS.fullmatch(cell)
    if match is None and (close := _CLOSE.fullmatch(cell)) is not None and _is_unit(close[2]):
        return close[1], close[2]
    if match is None:
        return cell, ""
    return (match[1] or match[3]).strip(), (match[2] or match[4]).strip()


def _is_units(row: Record, others: list[Record], style: NumberStyle) -> bool:
    """Whether a record holds units: over every column of numbers a unit or nothing, and at least one unit."""
    if not others or any(style.number(cell) is not None or looks_dated(cell) for cell in row.cells):
        return False
    numeric = [
        j
        for j in range(len(row.cells))
        if any(j < len(other.cells) and style.number(other.cells[j]) is not None for other in others)
    ]
    cells = [row.cells[j] for j in numeric]
    known = [cell for cell in cells if _is_unit(cell)]
    return bool(known) and all(_is_unit(cell) or cell.casefold() in ("", "-") for cell in cells)


def _is_unit(cell: str) -> bool:
    """Whether a text is a unit: something in brackets, or a product of known ones such as m3/s."""
    if cell.casefold() in MISSING:
        return False
    if _NEGATIVE.fullmatch(cell):
        return False
    if re.fullmatch(r"\[.*\]|\(.*\)", cell):
        return True
    atoms = [atom for atom in re.split(r"[\s/*·.^²³⁻¹⁰0-9+-]+", cell.casefold()) if atom]
    return bool(atoms) and all(atom in _ATOMS for atom in atoms)
