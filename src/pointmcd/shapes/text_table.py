"""Points in a text table: separated by commas, semicolons, tabs or blanks, with or without names.

A file has one separator. The lines before the first row may be comments, a title, a count of the
rows and the names of the columns. Numbers may have decimal commas where these separate nothing.
"""

import re
from collections.abc import Sequence
from csv import reader

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.shapes.columns import (
    HINT,
    Rows,
    axis_columns,
    chosen_columns,
    cleaned,
    first_columns,
)
from pointmcd.shapes.features import named_columns
from pointmcd.shapes.table_header import is_number, names_and_count
from pointmcd.shapes.text import decode
from pointmcd.typing import Array, Bools

#: Rows that are looked at to find the separator; all others must agree with them.
_SAMPLE = 50
#: Lines among which the first row must be.
_PREAMBLE = 200
_COMMENTS = ("#", "//", "%", "!")
_TRAILING = re.compile(r"\s(?:#|//|%).*")
_FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")
_COMMA_NUMBER = re.compile(r"(?<![\w.,])\d*,\d+")
#: A number that groups thousands by commas, or has three decimals.
_GROUPED = re.compile(r"[1-9]\d{0,2},\d{3}")
#: All that there is in a row without content; spreadsheets write separators even there.
_BLANK = " \t\r\n,;|"
#: First words of other types of files, whatever their names say.
_OTHERS = {"ply": "PLY", "off": "OFF", "coff": "OFF", "noff": "OFF", "solid": "STL"}


def read_table(data: bytes, columns: str | None = None, features: Sequence[str] = ()) -> Rows:
    """Read x, y and z of each row, NaN of one without content, and features where it has them.

    Args:
        data: the file.
        columns: which columns are x, y and z, where a user says it.
        features: names of those to read.

    Raises:
        FormatError: saying what is wrong with the content.
    """
    before, lines = _parted(_text(data))
    rows = [line for line in lines if line.strip(_BLANK)]
    separator = _separator(rows)
    is_full = _full_rows(lines, separator)
    if any('"' in row for row in rows):
        rows = ["\t".join(_split(row, separator)) for row in rows]
        separator = "\t"
    rows = _with_points(rows, separator)
    fields = [_split(row, separator) for row in rows[: _SAMPLE + 1]]
    if _are_names(fields[0], fields[1:]):
        before, rows, fields = [*before, rows[0]], rows[1:], fields[1:]
        is_full = np.delete(is_full, is_full.argmax())
    width = max((n for row in fields for n, field in enumerate(row, 1) if field), default=0)
    first = [row[:width] for row in fields]
    names, count = names_and_count(before, separator, first, chosen=columns is not None)
    if count is not None and count != len(rows):
        fault = "truncated" if count > len(rows) else "followed by other rows"
        raise FormatError(f"{count} points are announced, but {len(rows)} found; {fault}")
    found = _columns(columns, names, width)
    if found is None:
        return _with_gaps(_by_place(rows, separator, fields, width, features), is_full)
    beside = named_columns([cleaned(name) for name in names or ()], features)
    every = [*found, *(column for at in beside.values() for column in at)]
    points, *values = np.split(_load(rows, separator, fields, every), 1 + len(beside), axis=1)
    return _with_gaps(Rows(points, None, dict(zip(beside, values, strict=True))), is_full)


def _full_rows(lines: Sequence[str], separator: str | None) -> Bools:
    """Return which rows have content; those of separators alone are what pandas makes of NaN."""
    full = [bool(line.strip(_BLANK)) for line in lines]
    gaps = [separator is not None and line.count(separator) > 1 for line in lines]
    return np.array([one for one, gap in zip(full, gaps, strict=True) if one or gap])


def _with_gaps(rows: Rows, is_full: Bools) -> Rows:
    """Return rows with NaN for those without content."""
    if is_full.all() or is_full.sum() != len(rows.points):  # a table that was turned
        return rows

    def spread(values: Array) -> Array:
        every = np.full((len(is_full), values.shape[1]), np.nan)
        every[is_full] = values
        return every

    features = {name: spread(values) for name, values in rows.features.items()}
    return Rows(spread(rows.points), rows.note, features)


def _columns(columns: str | None, names: list[str] | None, width: int) -> list[int] | None:
    """Return the columns of x, y and z, where the user or the names say them."""
    if columns is not None:
        return chosen_columns(columns, names, width)
    if names is None:
        return None
    # An index without a name stands before columns that are called 0, 1, 2.
    return axis_columns(names) or ([1, 2, 3] if not names[0] and width > 3 else None)


def _by_place(
    rows: list[str],
    separator: str | None,
    fields: list[list[str]],
    width: int,
    features: Sequence[str],
) -> Rows:
    numbers = next((n for n in range(width) if not is_number(fields[0][n])), width)
    if numbers < 3:
        raise FormatError(f"the first three columns are not all numbers; {HINT}")
    if separator == "," and numbers >= 6 and _may_be_decimals(fields):
        raise FormatError(f"its commas may be those of decimal numbers; {HINT}")
    return first_columns(_load(rows, separator, fields, range(numbers)), features)


def _text(data: bytes) -> str:
    text = decode(data).rstrip("\0\x1a")
    if "\0" in text:
        raise FormatError("it is not a text file")
    return text


def _parted(text: str) -> tuple[list[str], list[str]]:
    """Return the lines before the first row, and those of the rows without comments.

    Among the latter are lines without content.
    """
    lines = text.splitlines()
    full = [number for number, line in enumerate(lines) if line.strip(_BLANK)]
    if full and (other := _OTHERS.get(lines[full[0]].split()[0].lower())):
        raise FormatError(f"it is a {other} file by its content; end its name so")
    place = next((n for n, at in enumerate(full[:_PREAMBLE]) if _is_row(lines[at])), None)
    if place is None:
        raise FormatError("no points: no line holds three numbers or more")
    before, first = [lines[at] for at in full[:place]], full[place]
    marks = _COMMENTS if ";" in lines[first] else (*_COMMENTS, ";")
    rows = lines[full[place - 1] + 1 if place else 0 :]  # the first may have no content
    if any(mark in text for mark in marks):
        rows = [_TRAILING.sub("", line) for line in rows if not line.lstrip().startswith(marks)]
    return before, rows


def _is_row(line: str) -> bool:
    words = [word for word in re.split(r"[\s,;|\"]+", line) if word]
    numbers = sum(map(is_number, words))
    comment = line.lstrip().startswith(_COMMENTS)
    return not comment and numbers >= max(3, len(words) / 2)


def _separator(rows: list[str]) -> str | None:
    """Return what separates the columns: a character, or None for blanks.

    Raises:
        FormatError: when nothing makes columns of the first rows, three of them of numbers.
    """
    for separator in (";", "|", "\t", ",", None):
        fields = [_split(row, separator) for row in rows[: _SAMPLE + 1]]
        if len({len(row) for row in fields}) > 1 or len(fields[0]) < 3:
            continue
        if separator == "\t" and any("" in row[:-1] for row in fields):
            continue  # tabs that align
        numbers = (sum(map(is_number, column)) for column in zip(*fields, strict=True))
        if sum(number > len(fields) / 2 for number in numbers) >= 3:
            return separator
    widths = [len(re.split(r"\s*[,;\t]\s*|\s+", row.strip())) for row in rows[: _SAMPLE + 1]]
    odd = next((n for n, width in enumerate(widths) if width != widths[0]), None)
    if odd is None:
        raise FormatError(f"its rows are not numbers with one separator, like {rows[0][:40]}")
    raise FormatError(f"row {odd + 1} has {widths[odd]} columns, not {widths[0]} as row 1")


def _split(row: str, separator: str | None) -> list[str]:
    if '"' not in row:
        return [field.strip() for field in row.split(separator)]
    if separator is None:
        return [field.strip('"') for field in re.findall(r'"[^"]*"|[^\s"]+', row)]
    return [field.strip() for field in next(reader([row], delimiter=separator))]


def _with_points(rows: list[str], separator: str | None) -> list[str]:
    """Write decimal commas and Fortran's exponents as C does.

    Raises:
        FormatError: when commas may group thousands.
    """
    text = "\n".join(rows)
    plain = text
    if "d" in text or "D" in text:
        plain = _FORTRAN.sub("e", text)
    if separator != "," and "," in text and "." not in text:
        numbers = (match[0] for match in _COMMA_NUMBER.finditer(text))
        if all(map(_GROUPED.fullmatch, numbers)):
            raise FormatError("its commas may group thousands or begin decimals; use points")
        plain = plain.replace(",", ".")
    return rows if plain is text else plain.split("\n")


def _are_names(first: list[str], others: list[list[str]]) -> bool:
    """Return whether a row counts the columns, as pandas names them, over rows of decimals.

    Raises:
        FormatError: when all are whole numbers, so that it may be a point.
    """
    names = [field for field in first if field]
    counted = any(names == [str(n + start) for n in range(len(names))] for start in (0, 1))
    if not counted or not others or len(first) - len(names) > 1:
        return False
    if any("." in field or "e" in field for row in others for field in row):
        return True
    if names[0] == "0":
        told = f"its first row, {','.join(names)[:20]}, may hold names or a point"
        raise FormatError(f"{told}; write x,y,z above it or in its place")
    return False


def _may_be_decimals(fields: list[list[str]]) -> bool:
    """Return whether the first three pairs of columns may be numbers with decimal commas."""
    whole = all(field.lstrip("+-").isdecimal() for row in fields for field in row[:6])
    return whole and all(field.isdecimal() for row in fields for field in row[1:6:2])


def _load(
    rows: list[str], separator: str | None, fields: list[list[str]], columns: Sequence[int]
) -> Array:
    """Return some columns of all rows, which must all be as long, `[N, C]`."""
    width = len(fields[0])
    try:
        if all(map(is_number, fields[0])):  # the fast way, which compares lengths too
            table = np.loadtxt(rows, delimiter=separator, comments=None, ndmin=2)
            return table[:, columns]
    except ValueError:
        pass
    for number, row in enumerate(rows, 1):
        there = len(row.split()) if separator is None else row.count(separator) + 1
        if there != width:
            raise FormatError(f"row {number} has {there} columns, not {width} as row 1")
    try:
        return np.loadtxt(rows, delimiter=separator, comments=None, usecols=columns, ndmin=2)
    except ValueError:
        raise FormatError(_fault(rows, separator, columns)) from None


def _fault(rows: list[str], separator: str | None, columns: Sequence[int]) -> str:
    """Name the first field that is not a number."""
    for number, row in enumerate(rows, 1):
        fields = _split(row, separator)
        for column in columns:
            if "," in fields[column] or not is_number(fields[column]):
                found = f"{fields[column][:40]} is not a number" if fields[column] else "is empty"
                return f"row {number}, column {column + 1}: {found}"
    return "its rows are not numbers"
