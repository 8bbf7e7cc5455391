"""Damaged and odd files: each is read right, or refused with the line, what stood there and the remedy."""

import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import genbayes as gb

NAN = np.nan
SEVEN_DAYS = "\n".join(f"2021-04-{day:02d};{day},5" for day in (1, 2, 5, 6, 7, 8, 9))


def written(folder: Path, content: str | bytes, name: str = "x.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# content, options, values
READ: dict[str, tuple[str | bytes, dict[str, Any], Any]] = {
    "a blank line is a missing value": ("10\n12\n\n50\n52\n", {}, [10, 12, NAN, 50, 52]),
    "a line of spaces too": ("10\n12\n   \n50\n52\n", {}, [10, 12, NAN, 50, 52]),
    "a quoted blank too": ('10\n12\n""\n50\n52\n', {}, [10, 12, NAN, 50, 52]),
    "blank lines at the end are none": ("10\n12\n\n\n\n", {}, [10, 12]),
    "blank below the header": ("q\n\n12\n13\n", {}, [NAN, 12, 13]),
    "blank above the header": ("\n\nq\n12\n13\n", {}, [12, 13]),
    "a missing first value is no header": ("NA\n12\n13\n", {}, [NAN, 12, 13]),
    "words for missing values": ("1\nNA\nNaN\nnan\nn/a\nN/A\n-\nnull\nNULL\n#N/A\n2\n", {}, [1, *[NAN] * 9, 2]),
    "a number for missing values": ("1\n-9999\n-9999.0\n2\n", {"missing": "-9999"}, [1, NAN, NAN, 2]),
    "the same number is one otherwise": ("1\n-9999\n2\n", {}, [1, -9999, 2]),
    "several words": ("1\n?\n-9\n2\n", {"missing": ["?", -9]}, [1, NAN, NAN, 2]),
    "a row": ("1, 2, , 4\n", {}, [1, 2, NAN, 4]),
    "spaces and tabs": (" 1.5   2e3\t-1 \n", {}, [1.5, 2000, -1]),
    "comments": ("# made by hand\n1,2\n  # more\n3,4\n", {}, [[1, 2], [3, 4]]),
    "byte order mark": ("\ufeffhare,lynx\n1,2\n3,4\n", {}, [[1, 2], [3, 4]]),
    "UTF-16": ("hare\tlynx\n1\t2\n3\t4\n".encode("utf-16"), {}, [[1, 2], [3, 4]]),
    "Latin 1": ("température [°C]\n1\n2\n".encode("cp1252"), {}, [1, 2]),
    "ends of lines of Windows": ("a,b\r\n1,2\r\n3,4\r\n", {}, [[1, 2], [3, 4]]),
    "ends of lines doubled": ("q\r\r\n1\r\r\n2\r\r\n", {}, [1, 2]),
    "ends of lines of old Macs": ("q\r1\r2\r", {}, [1, 2]),
    "dates are names of columns": ("2021-01-01,2021-01-02\n1,2\n3,4\n", {}, [[1, 2], [3, 4]]),
    "spaces in a name": ("river discharge\n[m3 s-1]\n1\n\n2\n", {}, [1, NAN, 2]),
    "quotes": ('"a","b"\n"1","2"\n"3","4"\n', {}, [[1, 2], [3, 4]]),
    "a comma inside quotes": ('"a","b, c"\n1,2\n3,4\n', {"column": "b, c"}, [2, 4]),
    "separator named": ("sep=;\na;b\n1;2\n3;4\n", {}, [[1, 2], [3, 4]]),
    "decimal commas": ("a;b\n1,5;2\n2;0,25\n", {}, [[1.5, 2], [2, 0.25]]),
    "decimal commas and tabs": ("a\tb\n1,5\t2\n2\t-0,25e1\n", {}, [[1.5, 2], [2, -2.5]]),
    "decimal commas in quotes": ('a,b\n"1,5",2\n3,4\n', {}, [[1.5, 2], [3, 4]]),
    "decimal commas of one column": ("10,5\n11,25\n", {"decimal": ","}, [10.5, 11.25]),
    "decimal commas with three digits": ("a;b\n1,234;2\n1,5;3\n", {}, [[1.234, 2], [1.5, 3]]),
    "three digits that are said to be decimals": ("a;b\n1,234;2\n", {"decimal": ","}, [1.234, 2]),
    "units": ("q,stage\nm3/s,[m]\n1,2\n3,4\n", {}, [[1, 2], [3, 4]]),
    "separators at the ends": ("a,b,\n1,2,\n3,4,\n", {}, [[1, 2], [3, 4]]),
    "rows of separators at the end": ("a,b\n1,2\n3,4\n,\n,\n", {}, [[1, 2], [3, 4]]),
    "a row of separators is a missing row": ("a,b\n1,2\n,\n3,4\n", {}, [[1, 2], [NAN, NAN], [3, 4]]),
    "row names": (',a,b\n"r1",1,2\n"r2",3,4\n', {}, [[1, 2], [3, 4]]),
    "columns in another order": ("a,b,c\n1,2,3\n4,5,6\n", {"column": ["c", "a"]}, [[3, 1], [6, 4]]),
    "texts beside the column": ("a,flag\n1,ok\n2,bad\n", {"column": "a"}, [1, 2]),
    "minus sign of typesetters": ("\u22121\n2\n", {}, [-1, 2]),
    "blank lines beside an index": ("t,q\n1,2\n\n2,3\n", {"index": "t"}, [2, 3]),
    "a name that begins with a digit": ("2m_temperature\n1\n2\n", {}, [1, 2]),
    "one group of several": ("p,t,c\nA,0,1\nB,1,2\nB,3,NA\n", {"group": "p", "index": "t", "only": "B"}, [2, NAN]),
    "one group called by a number": ("p,c\n1,5\n2,6\n2,7\n", {"group": "p", "only": 2}, [6, 7]),
    "months": ("month,q\n2021-11,1\n2021-12,2\n2022-01,3\n", {"index": "month"}, [1, 2, 3]),
    "Excel in German": (
        "\ufeffdate;q\r\n2021-04-01;1,5\r\n2021-04-02;\r\n2021-04-03;2,5\r\n\r\n",
        {},
        [1.5, NAN, 2.5],
    ),
    "quoted numbers and dates": ('"date","q"\n"2021-04-01","1.5"\n"2021-04-02","2"\n', {}, [1.5, 2]),
    "a column of USGS": (
        "# USGS\nsite_no\tdatetime\tq\n15s\t20d\t14n\n01\t2021-04-01\t5.2\n01\t2021-04-02\t5.3\n",
        {"column": "q", "index": "datetime"},
        [5.2, 5.3],
    ),
    "a name of dates whose numbers are none": ("date,q\n1,5\n2,6\n", {}, [[1, 5], [2, 6]]),
    "numbers of a spreadsheet that are named": ("date,q\n44287,1\n44288,2\n", {"index": "date"}, [1, 2]),
    "missing separated by tabs": ("a\tb\n1\t\n\t2\n", {}, [[1, NAN], [NAN, 2]]),
}


@pytest.mark.parametrize(("content", "options", "values"), READ.values(), ids=READ)
def test_odd_files_that_are_read(tmp_path: Path, content: str | bytes, options: dict, values: Any) -> None:
    found = gb.read_observation(written(tmp_path, content), **options)
    assert found.values.dtype == np.float64
    np.testing.assert_array_equal(found.values, values)


# content, options, parts of the message: where, what, remedy
REFUSED: dict[str, tuple[str | bytes, dict[str, Any], list[str]]] = {
    "a bad cell": ("1\nx\n3\n", {}, ["x.csv, line 2: expected a number in column 1, got 'x'", "or write NA"]),
    "a bad cell below a header": ("a,b\n1,2\n3,x\n", {}, ["line 3: expected a number in column 'b', got 'x'"]),
    "a bad cell in the first row": (
        "x1,2\n3,4\n",
        {},
        ["line 1: expected a number in column 1, got 'x1'", "not for n"],
    ),
    "a damaged first value": ("12x\n13\n14\n", {}, ["line 1: expected a number in column 1, got '12x'"]),
    "a date above numbers": ("2021-01-01\n13\n14\n", {}, ["line 1: expected a number in column 1, got '2021-01-01'"]),
    "digits of another script": ("1\n١٢\n", {}, ["line 2: expected a number in column 1, got '١٢'"]),
    "two headers": ("a\nb\n3\n", {}, ["line 2: expected a number in column 'a', got 'b'", "in brackets, as [b]"]),
    "a comment behind": ("1\n2 # broken\n", {}, ["line 2", "A comment stands on a line of its own"]),
    "blank above the first value": ("\n10\n12\n", {}, ["line 1: is blank, above the first value", "write NA"]),
    "a blank line of a table": ("1,2\n\n3,4\n", {}, ["line 2: is blank", "write 'NA,NA'"]),
    "a short line": ("1,2\n3\n", {}, ["line 2: 1 cells, line 1 has 2", "Give every row as many"]),
    "spaces for a missing value": ("1 2 3\n4   6\n", {}, ["line 2: 2 cells, line 1 has 3", "write NA"]),
    "a decimal comma in one column": ("q\n10,5\n11,2\n", {}, ["line 2: 2 cells, line 1 has 1", 'decimal=","']),
    "a comma of decimals or thousands": ("a;b\n1,234;2\n", {}, ["line 2: '1,234' may be 1.234 or 1234", 'decimal=","']),
    "thousands": ("a;b\n1.234,5;2\n", {}, ["line 2", "got '1.234,5'", "thousands separators. Write numbers without"]),
    "thousands in quotes": ('a,b\n"1,234.5",2\n', {}, ["line 2", "'1,234.5'", "without thousands separators"]),
    "thousands with spaces": ("q\n1 000\n2 000\n", {}, ["line 2: 2 cells, line 1 has 1", "separated by spaces here"]),
    "an error of a spreadsheet": ("1\n#DIV/0!\n2\n", {}, ["line 2", "got '#DIV/0!', which is no number"]),
    "thousands with apostrophes": ("1'234\n5\n", {}, ["line 1", "thousands separators"]),
    "two decimal marks": ("a;b\n1,5;2.5\n", {}, ["line 2: '1,5' has a comma, and '2.5' in line 2 a point"]),
    "a point among commas": ("a;b\n1,5;1\n2.5;1\n", {"decimal": ","}, ["line 3", "got '2.5'"]),
    "infinity": ("1\ninf\n", {}, ["line 2", "got 'inf', which is infinite. Give a finite number, or NA"]),
    "infinity first": ("inf\n1\n", {}, ["line 1", "which is infinite"]),
    "too large": ("1\n1e999\n", {}, ["line 2", "got '1e999', which is infinite"]),
    "underscores": ("1\n1_000\n", {}, ["line 2", "got '1_000', which is no number"]),
    "nothing": ("", {}, ["x.csv holds no numbers"]),
    "comments alone": ("# nothing\n", {}, ["x.csv holds no numbers"]),
    "names alone": ("a,b\n", {}, ["x.csv holds no numbers"]),
    "all missing": ("a\nNA\nNA\n", {}, ["x.csv: all 2 values are missing. Give at least one."]),
    "a name twice": ("a,a\n1,2\n", {}, ["line 1: 'a' is the name of several columns"]),
    "a column without name": ("a,,c\n1,2,3\n", {}, ["line 1: column 2 has no name"]),
    "no such column": ("a,b\n1,2\n", {"column": "c"}, ["x.csv has no column 'c'. Its columns are 'a', 'b'"]),
    "no header": ("1,2\n", {"index": "t"}, ["x.csv has no column 't' (it has no header). Its columns are 'column 1'"]),
    "texts": ("site,q\nA,1\nB,2\n", {}, ["line 2: column 'site' holds texts such as 'A'. Name it by index= or group="]),
    "unsorted": (
        "t,q\n2,1\n1,2\n",
        {"index": "t"},
        ["line 3: the index 't' is '1', after '2' in line 2. Sort the rows"],
    ),
    "twice": ("t,q\n1,1\n1,2\n", {"index": "t"}, ["line 3: the index 't' is '1', as in line 2", 'group="..."']),
    "blank index": ("t,q\n1,1\n,2\n", {"index": "t"}, ["line 3: the index 't' is ''. Every row needs one"]),
    "dates of a country": (
        "day,q\n09.04.2021,3\n",
        {},
        ["line 2", "'09.04.2021'", 'index="day"', 'date_format="%d.%m.%Y"'],
    ),
    "dates of a country as index": (
        "day,q\n4/9/2021,3\n5/9/2021,3\n",
        {"index": "day"},
        ["line 2: the index 'day' is '4/9/2021', a date in no ISO form", '"%d/%m/%Y" or date_format="%m/%d/%Y"'],
    ),
    "a date of another form": (
        "day,q\n09.04.2021,3\n2021-04-10,4\n",
        {"index": "day", "date_format": "%d.%m.%Y"},
        ["line 3: the index 'day' is '2021-04-10', expected a date of the form date_format='%d.%m.%Y'"],
    ),
    "no date": (
        "day,q\n2021-02-28,3\n2021-02-30,4\n",
        {},
        ["line 3: the index 'day' is '2021-02-30', which is no date"],
    ),
    "one date is none": (
        "day,q\n2021-02-27,1\n2021-02-28,3\nx,4\n",
        {},
        ["line 4: the index 'day' is 'x', expected an ISO"],
    ),
    "time zones and none": (
        "t,q\n2021-02-27T10:00Z,1\n2021-02-27T11:00,3\n",
        {},
        ["line 3: the index 't' is '2021-02-27T11:00'. Give all times with a time zone, or none"],
    ),
    "measured twice": (
        "p,t,c\nA,0,1\nA,0,2\n",
        {"group": "p", "index": "t"},
        ["line 3: 'A' has a row for t 0 in line 2"],
    ),
    "groups of unequal size": (
        "p,c\nA,0\nA,1\nB,3\n",
        {"group": "p"},
        ["'A' has 2 rows and 'B' 1", 'index="..."', "trials=True"],
    ),
    "a title above": (
        "Station Rhine\ndate,q\n2021-04-01,1\n",
        {},
        ["line 2: 2 cells, line 1 has 1", "If line 1 is a title or a remark, delete it"],
    ),
    "a source below": (
        "date,q\n2021-04-01,1\n\nSource: office\n",
        {},
        ["line 4: 1 cells, line 1 has 2", "If line 4 is a title or a remark, delete it, or begin it with #"],
    ),
    "no such group": ("p,c\nA,0\nB,1\n", {"group": "p", "only": "C"}, ["no row of 'p' is 'C'; there are A, B"]),
    "one group of no column": ("p,c\nA,0\n", {"only": "A"}, ["only = 'A' is one of several groups", "by group="]),
    "below a limit of detection": ("1\n<0.5\n2\n", {}, ["line 2", "got '<0.5', which is no number"]),
    "a flag behind a number": ("1\n2.5*\n3\n", {}, ["line 2", "got '2.5*', which is no number"]),
    "a share in percent": ("45\n46%\n", {}, ["line 2", "got '46%', which is no number"]),
    "a unit behind a number": ("1\n2.5mg\n", {}, ["line 2", "got '2.5mg', which is no number"]),
    "a blank group": ("p,c\nA,0\n,1\n", {"group": "p"}, ["line 3: the group 'p' is blank"]),
    "an open quote": ('a,b\n"1,2\n3,4\n', {}, ["line 2", "Quotes must be closed"]),
    "no text": (b"\x00\x01\x02", {}, ["x.csv is no text file. Save the table as CSV"]),
    "no step": ("t,q\n1,1\n2,2\n5,1\n11,1\n", {"index": "t", "regular": True}, ["without a common step"]),
    "no index to be regular": ("1\n2\n", {"regular": True}, ["x.csv has no index"]),
    "index and column": ("t,q\n1,2\n", {"index": "t", "column": ["t", "q"]}, ["column 't' is named twice"]),
    "a sheet of a text file": ("1\n", {"sheet": "a"}, ["sheet = 'a' is no option for x.csv; it is for: sheet."]),
    "negative numbers of accountants": ("a\n(5)\n6\n", {}, ["line 2", "got '(5)'", "with a minus sign, as -5"]),
    "a separator behind values alone": (
        "date,q\n2021-04-01,1,\n2021-04-02,2,\n",
        {},
        ["line 2: 3 cells, line 1 has 2", "this one ends with a separator. Delete it"],
    ),
    "dates as a spreadsheet keeps them": (
        "date,q\n44287,1\n44288,2\n",
        {},
        ["line 2: 'date' is 44287, as spreadsheets keep 2021-04-01", 'or say index="date" to read them so'],
    ),
    "names of months": (
        "t,q\n01-Apr-2021,1\n02-Apr-2021,2\n",
        {"index": "t"},
        ["line 2: the index 't' is '01-Apr-2021', a date in no ISO form", 'Say date_format="%d-%b-%Y"'],
    ),
    "two forms of dates": (
        "date,q\n2021-04-01,1\n02/04/2021,2\n2021-04-03,3\n",
        {},
        ["line 3: the index 'date' is '02/04/2021', expected an ISO date"],
    ),
    "a date twice": ("date,q\n2021-04-01,1\n2021-04-01,2\n", {}, ["line 3", "as in line 2. Remove one of the two"]),
    "the hour that comes twice": (
        "t,q\n2021-10-31 02:00,1\n2021-10-31 02:00,2\n",
        {"index": "t"},
        ["line 3: the index 't' is '2021-10-31 02:00', as in line 2"],
    ),
    "dates not in order": ("date,q\n2021-04-03,1\n2021-04-01,2\n", {}, ["line 3", "Sort the rows"]),
    "a sum below": (
        "date,q\n2021-04-01,1\n2021-04-02,2\nTotal,3\n",
        {},
        ["line 4: the index 'date' is 'Total', expected an ISO date"],
    ),
    "the names again": ("a,b\n1,2\na,b\n3,4\n", {}, ["line 3: expected a number in column 'a', got 'a'"]),
    "numbers of Fortran": (
        "1.0D+02\n2.0D+01\n",
        {},
        ["line 1: expected a number in column 1, got '1.0D+02'", "with an E, as 1.0E+02"],
    ),
    "thousands as in Switzerland, throughout": (
        "t;q\n1;1'234.5\n2;2'000.0\n",
        {"column": "q", "index": "t"},
        ["line 2: expected a number in column 'q'", "may have thousands separators. Write numbers without"],
    ),
    "thousands by hard spaces, throughout": (
        "t;q\n1;1\u00a0234,5\n2;2\u00a0000,0\n",
        {"column": "q", "index": "t"},
        ["line 2: expected a number in column 'q'", "may have thousands separators. Write numbers without"],
    ),
    "percentages throughout": (
        "t,q\n1,50%\n2,20 %\n",
        {"column": "q", "index": "t"},
        ["line 2: expected a number in column 'q', got '50%'", "Write a percentage without its sign"],
    ),
    "true and false": (
        "t,q\n1,True\n2,False\n",
        {"column": "q", "index": "t"},
        ["line 2: expected a number in column 'q', got 'True'", "Write 1 for true and 0 for false."],
    ),
    "hours until noon": (
        "t,q\n2021-04-01 01:00 PM,1\n2021-04-01 02:00 PM,2\n",
        {"index": "t"},
        ["line 2: the index 't' is '2021-04-01 01:00 PM'", 'Say date_format="%Y-%m-%d %I:%M %p"'],
    ),
    "seconds behind a German date": (
        "t,q\n01.04.2021 13:00:30,1\n02.04.2021 13:00:30,2\n",
        {"index": "t"},
        ["line 2: the index 't'", '"%d.%m.%Y %H:%M:%S" or date_format="%m.%d.%Y %H:%M:%S"'],
    ),
    "another decimal mark": ("1\n", {"decimal": ";"}, ['decimal must be "." or ","']),
}


@pytest.mark.parametrize(("content", "options", "parts"), REFUSED.values(), ids=REFUSED)
def test_damaged_files_are_refused(tmp_path: Path, content: str | bytes, options: dict, parts: list[str]) -> None:
    with pytest.raises(ValueError, match=re.escape(parts[0])) as caught:
        gb.read_observation(written(tmp_path, content), **options)
    for part in parts[1:]:
        assert part in str(caught.value)


# content, options, index, summary
INDEXED: dict[str, tuple[str, dict[str, Any], Any, str]] = {
    "dates by themselves": (
        "date,q\n2021-04-08,1\n2021-04-09,\n2021-04-10,3\n",
        {},
        np.array(["2021-04-08", "2021-04-09", "2021-04-10"], "M8[D]"),
        "3 days of q, 1 missing: 2021-04-09; dates from the column 'date'",
    ),
    "dates without header": (
        "2021-04-08,1\n2021-04-09,2\n2021-04-10,3\n",
        {},
        np.array(["2021-04-08", "2021-04-09", "2021-04-10"], "M8[D]"),
        "3 days; dates from the column 'column 1'",
    ),
    "a gap is told": (
        "date;q\n" + SEVEN_DAYS,
        {"index": "date"},
        np.array([f"2021-04-{day:02d}" for day in (1, 2, 5, 6, 7, 8, 9)], "M8[D]"),
        "7 days of q; no row for 2 of the days: 2021-04-03, 2021-04-04",
    ),
    "a gap is filled": (
        "date;q\n" + SEVEN_DAYS,
        {"index": "date", "regular": True},
        np.arange("2021-04-01", "2021-04-10", dtype="M8[D]"),
        "9 days of q, 2 missing: 2021-04-03, 2021-04-04",
    ),
    "hours in UTC": (
        "t,q\n2021-03-28T01:00+01:00,1\n2021-03-28T03:00+02:00,2\n2021-03-28T04:00+02:00,3\n",
        {"index": "t"},
        np.array(["2021-03-28T00", "2021-03-28T01", "2021-03-28T02"], "M8[s]"),
        "3 hours of q; times in UTC",
    ),
    "winter time begins": (
        "t,q\n2021-10-31T02:00+02:00,1\n2021-10-31T02:00+01:00,2\n2021-10-31T03:00+01:00,3\n",
        {"index": "t"},
        np.array(["2021-10-31T00", "2021-10-31T01", "2021-10-31T02"], "M8[s]"),
        "3 hours of q; times in UTC",
    ),
    "dates that a spreadsheet keeps as days": (
        "date,q\n44287,1\n44288,2\n44289.5,3\n",
        {"index": "date"},
        np.array(["2021-04-01T00", "2021-04-02T00", "2021-04-03T12"], "M8[s]"),
        "3 dates of q",
    ),
    "rows that are counted beside dates": (
        ",date,q\n0,2021-04-01,1\n1,2021-04-02,2\n2,2021-04-03,4\n",
        {},
        np.array(["2021-04-01", "2021-04-02", "2021-04-03"], "M8[D]"),
        "3 days of q; dates from the column 'date'; the first column, which has no name, counts the rows",
    ),
    "rows that are counted beside a named index": (
        '"","day","q"\n"1","2021-04-01",5\n"2","2021-04-02",6\n"3","2021-04-03",7\n',
        {"index": "day"},
        np.array(["2021-04-01", "2021-04-02", "2021-04-03"], "M8[D]"),
        "3 days of q; the first column, which has no name, counts the rows",
    ),
    "a number that may mean no value": (
        "year,Q(m3/s)\n2001,1\n2002,-999\n2003,3\n",
        {"index": "year", "column": "Q"},
        [2001.0, 2002, 2003],
        "3 values of Q; -999 stands there once: say missing=-999 if it means that there is no value",
    ),
    "months": (
        "t,q\n2021-01,1\n2021-02,2\n2021-03,3\n2021-05,4\n2021-06,4\n",
        {"index": "t"},
        np.array(["2021-01", "2021-02", "2021-03", "2021-05", "2021-06"], "M8[M]"),
        "5 months of q; no row for 1 of the months: 2021-04",
    ),
    "ends of months": (
        "t,q\n2021-01-31,1\n2021-02-28,2\n2021-03-31,3\n2021-04-30,4\n2021-06-30,4\n",
        {"index": "t"},
        np.array(["2021-01-31", "2021-02-28", "2021-03-31", "2021-04-30", "2021-06-30"], "M8[D]"),
        "5 months of q; no row for 1 of the months: 2021-05-31",
    ),
    "dates of a country": (
        "day,q\n09.04.2021,1\n10.04.2021,2\n11.04.2021,3\n",
        {"date_format": "%d.%m.%Y"},
        np.array(["2021-04-09", "2021-04-10", "2021-04-11"], "M8[D]"),
        "3 days of q; dates from the column 'day'",
    ),
    "compact dates": (
        "day,q\n20210409,1\n20210410,2\n20210411,3\n",
        {"index": "day"},
        np.array(["2021-04-09", "2021-04-10", "2021-04-11"], "M8[D]"),
        "3 days of q",
    ),
    "years are numbers": (
        "year,q\n1900,1\n1901,\n1902,3\n",
        {"index": "year"},
        [1900.0, 1901, 1902],
        "3 values of q, 1 missing: 1901",
    ),
    "irregular times": ("t,q\n0,1\n0.5,2\n2,3\n8,1\n", {"index": "t"}, [0, 0.5, 2, 8], "4 values of q"),
    "rounded steps": (
        "t,q\n" + "\n".join(f"{i / 10},{i}" for i in (0, 1, 2, 3, 5, 6, 7)),
        {"index": "t"},
        [0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7],
        "7 values of q; no row for 1 of the steps: 0.4",
    ),
    "sites": ("site,q\nA,1\nB,NA\n", {"index": "site"}, np.array(["A", "B"]), "2 values of q, 1 missing: B"),
    "row names": (
        ",a,b\n0,1,2\n1,3,\n",
        {},
        [0.0, 1.0],
        "2 values of a, b, 1 missing: 1 b; index: the first column, which has no name",
    ),
    "columns": ("a,b\n1,2\n3,\n", {}, None, "2 rows of a, b, 1 missing: row 2 b"),
}


@pytest.mark.parametrize(("content", "options", "index", "summary"), INDEXED.values(), ids=INDEXED)
def test_the_index_and_the_line_that_says_what_was_read(
    tmp_path: Path, content: str, options: dict, index: Any, summary: str
) -> None:
    found = gb.read_observation(written(tmp_path, content), **options)
    assert found.summary == summary
    if index is None:
        assert found.index is None
        return
    assert found.index is not None
    assert found.index.dtype == np.asarray(index).dtype or found.index.dtype == np.float64
    np.testing.assert_array_equal(found.index, index)
    assert found.values.shape[0] == len(index)


def test_a_gap_that_is_filled_has_no_value(tmp_path: Path) -> None:
    path = written(tmp_path, "date;q\n" + SEVEN_DAYS)
    found = gb.read_observation(path, index="date", regular=True)
    np.testing.assert_array_equal(found.values, [1.5, 2.5, NAN, NAN, 5.5, 6.5, 7.5, 8.5, 9.5])
    assert not len(found.gaps)


def test_a_month_of_sixty_days_with_one_missing(tmp_path: Path) -> None:
    days = np.arange("2021-04-01", "2021-05-31", dtype="M8[D]")
    rows = [f"{day},{'' if str(day) == '2021-04-09' else 1.5}" for day in days]
    path = written(tmp_path, "date,discharge [m3/s]\n" + "\n".join(rows) + "\n")
    found = gb.read_observation(path, column="discharge", index="date")
    assert found.summary == "60 days of discharge, 1 missing: 2021-04-09"
    assert found.units == ("m3/s",)
    assert found.labels(1) == ["discharge [m3/s]"]


def test_long_form_is_a_stack(tmp_path: Path) -> None:
    rows = "patient,hour,conc\n,h,mg/L\nB,0,1\nB,2,2\nA,0,3\nA,1,\nA,2,5\n"
    found = gb.read_observation(written(tmp_path, rows), index="hour", group="patient")
    assert found.groups == ("B", "A")
    np.testing.assert_array_equal(found.values, [[1, NAN, 2], [3, NAN, 5]])
    assert found.index is not None
    np.testing.assert_array_equal(found.index, [0, 1, 2])
    expected = "2 patients, each 3 values of conc, 2 missing: B at 1, A at 1; no row for 1 of the missing"
    assert found.summary == expected
    assert found.units == ("mg/L",)
    two = gb.read_observation(written(tmp_path, "p,a,b\nX,1,2\nX,3,4\nY,5,6\nY,7,8\n"), group="p")
    np.testing.assert_array_equal(two.values, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]])


def _table(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = int(rng.integers(2, 12)), int(rng.integers(1, 5))
    values = rng.normal(size=(rows, columns)) * 10.0 ** rng.integers(-8, 8, size=(rows, columns))
    values[rng.random(values.shape) < 0.2] = NAN
    values[0, 0] = 1.5
    days = np.datetime64("2020-01-01") + np.cumsum(rng.integers(1, 4, rows))
    return values, days


@pytest.mark.parametrize("seed", range(40))
def test_random_tables_survive_every_dialect(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, days = _table(rng)
    separator = str(rng.choice([",", ";", "\t"]))
    comma = separator != "," and bool(rng.integers(2))
    quoted, dated, named = (bool(rng.integers(2)) for _ in range(3))
    missing = str(rng.choice(["NA", "nan", "", "-"]))
    end = str(rng.choice(["\n", "\r\n"]))

    def cell(value: Any) -> str:
        text = missing if value != value else str(value)
        text = text.replace(".", ",") if comma else text
        return f'"{text}"' if quoted else text

    head = [["date"] * dated + [f"column_{c}" for c in "abcd"[: values.shape[1]]]] * named
    rows = [[str(day)] * dated + [cell(value) for value in row.tolist()] for day, row in zip(days, values, strict=True)]
    text = end.join(separator.join(row) for row in [*head, *rows]) + end
    path = written(tmp_path, "\ufeff" * int(rng.integers(2)) + text)
    if values.shape[1] + dated == 1 and missing == "" and not quoted and np.isnan(values[-1, 0]):
        pytest.skip("a blank line at the end is no value")
    # Without a separator in the file nothing says that the comma is none.
    alone: dict[str, Any] = {"decimal": ","} if comma and values.shape[1] + dated == 1 else {}
    found = gb.read_observation(path, **alone)
    np.testing.assert_array_equal(found.values, values[:, 0] if values.shape[1] == 1 else values)
    assert (found.index is not None) == dated
    if found.index is not None:
        np.testing.assert_array_equal(found.index, days)


def test_what_is_masked_or_none_is_missing(tmp_path: Path) -> None:
    masked = np.ma.masked_array([1, 2, 3], mask=[False, True, False])
    series = pd.Series([1, None, 3], dtype="Int64", name="q")
    for source in (masked, [1, None, 3.0], series):
        np.testing.assert_array_equal(gb.read_observation(source).values, [1, NAN, 3])
    theta, x = np.random.default_rng(0).normal(size=(2, 40, 3))
    hidden = np.ma.masked_array(x, mask=np.zeros(x.shape, bool))
    hidden[5, 1] = np.ma.masked
    assert gb.Simulations.from_arrays(theta, hidden).n_failed == 1
    cost = gb.Cost.exact(lambda theta, x: jnp.sum((theta - x) ** 2), names=("a", "b", "c"), x_shape=(3,), units="1")
    with pytest.raises(ValueError, match="x_o has 1 value"):
        cost.check_observation(masked)


def test_times_of_climate_models_are_numbers(tmp_path: Path) -> None:
    units = {"units": "months since 2021-01-01"}
    lag = ("time", [5.0, 6.0, 8.0], {"units": "days"})
    xr.Dataset({"lag": lag}, coords={"time": ("time", [0, 1, 2], units)}).to_netcdf(tmp_path / "x.nc", engine="scipy")
    found = gb.read_observation(tmp_path / "x.nc")
    np.testing.assert_array_equal(found.values, [5, 6, 8])
    assert found.summary == "3 values of lag; time in months since 2021-01-01"
