"""Text files as records of cells: encoding, comments, separators, quotes and blank lines."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

# A separator that stands in no text.
_WHOLE_LINE = "\x1f"
_QUOTED = re.compile(r'"[^"]*"')
# The errors of a spreadsheet begin with the mark of a comment, too.
_COMMENT = re.compile(r"\s*#(?!(N/A|NA|VALUE!|DIV/0!|REF!|NUM!|NAME\?|NULL!))", re.IGNORECASE)
_VALUE = re.compile(r"[-+.]?\d.*|-|na|nan|n/a|#n/a|null|none|#.*", re.IGNORECASE)
_WORDS = re.compile(r'"[^"]*"|\S+')


@dataclass(frozen=True)
class Record:
    """One line of a table, or row of a sheet.

    Attributes:
        number: of the line, counted from 1.
        cells: their texts without spaces around; none of a blank line.
    """

    number: int
    cells: tuple[str, ...]

    @property
    def blank(self) -> bool:
        """Whether nothing stands there."""
        return not any(self.cells)


@dataclass(frozen=True)
class Records:
    """The records of a file, without comments and without blank lines at the end.

    Attributes:
        source: name of the file.
        records: in their order.
        separator: of the cells, " " for any white space; "" where the cells were separate from the start.
        line: what a record is called, "line" or "row".
        header: whether the first record is the names; None where that is to be seen.
    """

    source: str
    records: tuple[Record, ...]
    separator: str = ""
    line: str = "line"
    header: bool | None = None

    def error(self, number: int, text: str) -> ValueError:
        """An error about one line."""
        return ValueError(f"{self.source}, {self.line} {number}: {text}")


def read_records(path: Path, decimal: str | None) -> Records:
    """Reads a text file.

    Args:
        path: of the file.
        decimal: "," where commas are decimal ones, so that they separate no cells.

    Raises:
        ValueError: it is no text, a quote is not closed, or nothing but comments stands there.
    """
    # A program that writes "\r\n" through Windows' text mode leaves "\r\r\n": one end of a line, not two.
    text = _decoded(path).replace("\r\r\n", "\n").replace("\r\n", "\n").replace("\r", "\n")
    lines = [(i, line) for i, line in enumerate(text.split("\n"), start=1) if not _COMMENT.match(line)]
    separator = None
    if lines and re.fullmatch(r"sep=[;,\t]", lines[0][1]):  # written by Excel
        separator = lines.pop(0)[1][-1]
    while lines and not lines[-1][1].strip():
        lines.pop()
    if not lines:
        raise ValueError(f"{path.name} holds no numbers. Give a file with one value or row a line.")
    separator = separator or _separator(path, [line for _, line in lines if line.strip()], decimal)
    records = _split(path, lines, separator)
    while records and records[-1].blank:
        records.pop()
    if not records:
        raise ValueError(f"{path.name} holds no numbers. Give a file with one value or row a line.")
    return Records(path.name, tuple(records), separator)


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    if b"\0" in content:
        raise ValueError(f"{path.name} is no text file. Save the table as CSV, or as .npy, .npz, .nc or .xlsx.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Numbers are the same in all of these encodings; names have their umlauts and degree signs in this one.
        return content.decode("cp1252", errors="replace")


def _separator(path: Path, lines: list[str], decimal: str | None) -> str:
    bare = [_QUOTED.sub("q", line) for line in lines]
    if all(";" in line for line in bare):
        return ";"
    tabbed = all("\t" in line.strip(" ") for line in bare)
    numbers = r"[-+.,\d]\S*"
    if path.suffix.lower() == ".tsv" or (
        tabbed
        and not any(
            re.fullmatch(rf"{numbers}(\s+{numbers})+", cell.strip()) for line in bare for cell in line.split("\t")
        )
    ):
        return "\t"
    if decimal != "," and any("," in line for line in bare):
        return ","
    if any(";" in line for line in bare):
        return ";"
    # Names and units of a single column may have spaces; a line with a value behind a space has several cells.
    words = [_WORDS.findall(line) for line in lines]
    return " " if any(_VALUE.fullmatch(word) for line in words for word in line[1:]) else _WHOLE_LINE


def _split(path: Path, lines: list[tuple[int, str]], separator: str) -> list[Record]:
    if separator == " ":
        return [Record(i, tuple(word.strip('"').strip() for word in _WORDS.findall(line))) for i, line in lines]
    numbers = [i for i, _ in lines]
    reader = csv.reader((f"{line}\n" for _, line in lines), delimiter=separator, strict=True)
    records, before = [], 0
    try:
        for cells in reader:
            records.append(Record(numbers[before], tuple(cell.strip() for cell in cells)))
            before = reader.line_num
    except csv.Error as error:
        number = numbers[min(before, len(numbers) - 1)]
        raise ValueError(
            f"{path.name}, line {number}: {error}. Quotes must be closed; a quote inside quotes is written twice."
        ) from None
    # A line of blanks alone is as blank as an empty one; a quoted blank is a cell.
    quoted = {number for number, line in lines if '"' in line}
    return [Record(one.number, ()) if one.cells == ("",) and one.number not in quoted else one for one in records]
