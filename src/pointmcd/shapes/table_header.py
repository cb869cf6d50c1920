"""Lines before the rows of a text table: names of the columns, a count, a title, comments."""

import re
from collections.abc import Sequence
from itertools import pairwise

from pointmcd.errors import FormatError
from pointmcd.shapes.columns import HINT, OTHERS, axis_columns, cleaned

# Blanks before a mark would be searched again from each of them.
_MARK = re.compile(r"(?:#|//|%|!)+\s*")
_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eEdD][+-]?\d+)?|nan|inf|infinity)", re.IGNORECASE
)
_LABEL = re.compile(r"(?:columns?|fields?|format|header|names|order)\s*[:=]\s*", re.IGNORECASE)


def names_and_count(
    before: Sequence[str], separator: str | None, fields: Sequence[Sequence[str]], chosen: bool
) -> tuple[list[str] | None, int | None]:
    """Return the names of the columns and the number of rows, each None where it is not told.

    Args:
        before: the lines.
        separator: of the rows; None for blanks.
        fields: of the first rows.
        chosen: whether a user says which columns are x, y and z: then any names will do.

    Raises:
        FormatError: when a line is not understood, or names columns that the rows do not have.
    """
    names: list[str] | None = None
    count, titles, doubt = None, 0, ""
    damaged: list[tuple[str, int]] = []
    for line in reversed(before):
        comment = line.lstrip()[0] in "#%!;" or line.lstrip().startswith("//")
        if line.strip().isdecimal() and len(line) < 20:
            count = int(line) if count is None else count
            continue
        if names is None:
            names, problem = _names(line, separator, fields, comment, chosen)
            doubt = doubt or problem
        titles += not comment
        numbers = 0 if comment or names else _numbers_of_row(line, separator, len(fields[0]))
        damaged += [(line, numbers)] if numbers else []
    # Below names, one number makes a row of what may else be a title with a date.
    if broken := [line for line, numbers in damaged if numbers >= (1 if names else 2)]:
        raise FormatError(f"a line before its rows may be a damaged row: {broken[0].strip()[:40]}")
    if titles > 1 and names is None:
        doubt = doubt or f"the {titles} lines before its numbers are not understood"
    if doubt and names is None and not chosen:
        raise FormatError(f"{doubt}; {HINT}")
    return names, count


def _names(
    line: str, separator: str | None, fields: Sequence[Sequence[str]], comment: bool, chosen: bool
) -> tuple[list[str] | None, str]:
    """Return the names in a line, one for each column, or None and why it may be no title."""
    text = _LABEL.sub("", _MARK.sub("", line.lstrip(), count=1), count=1)
    if separator != ";" and comment:
        text = text.lstrip(" ;")
    width = len(fields[0])
    splits = [_split(text, one) for one in (separator, ",", ";", "\t", None)]
    words = [cleaned(word) for word in re.split(r"[\s,;|]+", text)]
    told = next((names for names in splits if len(names) == width), None)
    if told is not None:
        if chosen or axis_columns(told) is not None or _counted(told):
            return told, ""
        other = sum(cleaned(name) in OTHERS for name in told)
        if other or not comment:  # else it may be a sentence
            return None, f"its header names no x, y and z: {', '.join(told)[:60]}"
    short = next((n for n in splits if len(n) == width - 1 and axis_columns(n) is not None), None)
    if short and _may_be_index([row[0] for row in fields]):
        return ["", *short], ""  # R names no column of row names
    axes = [word for word in words if word in ("x", "y", "z")]
    in_order = axes == ["x", "y", "z"] and (width == 3 or words[:3] == axes)
    fits = set(axes) < {"x", "y", "z"} or in_order
    return None, "" if fits else f"its header does not fit rows of {width} columns: {text[:60]}"


def _numbers_of_row(line: str, separator: str | None, width: int) -> int:
    """Return how many numbers a line holds that has as many columns as the rows; 0 for others."""
    names = [name for name in _split(line, separator) if name]
    # Damaged or not, a number with its thousands grouped as 1_000 is one.
    return sum(is_number(name.replace("_", "")) for name in names) if len(names) == width else 0


def is_number(word: str) -> bool:
    """Return whether a word is a number, with a decimal point or comma, as C or Fortran has it."""
    return _NUMBER.fullmatch(word) is not None


def _split(text: str, separator: str | None) -> list[str]:
    """Return names without quotes, and without those at the end that are empty."""
    names = [name.strip().strip('"').strip() for name in text.rstrip("\r\n").split(separator)]
    while names and not names[-1]:
        names.pop()
    return names


def _counted(names: Sequence[str]) -> bool:
    return [n for n in names if n][:3] in (["0", "1", "2"], ["1", "2", "3"])


def _may_be_index(column: Sequence[str]) -> bool:
    """Return whether a column holds text, or whole numbers that count up."""
    if not all(field.isdecimal() for field in column):
        return not any(re.fullmatch(r"[-+]?[\d.]+", field) for field in column)
    return all(int(b) == int(a) + 1 for a, b in pairwise(column))
