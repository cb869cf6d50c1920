"""Values of a PLY file: rows of numbers in text, or of bytes, with lists of any length."""

import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.shapes.ply_header import Element, Header
from pointmcd.shapes.text import NOT_FINITE, parse_numbers, words_per_line
from pointmcd.typing import Array, Doubles, Indices

#: What may stand around the numbers of a text: blanks, and what ended texts in old systems.
_BLANKS = b" \t\r\n\v\f\0\x1a"


@dataclass(frozen=True, eq=False)
class _Body:
    """The cells that hold the values: bytes, or the numbers of a text (`order` is empty)."""

    cells: Array
    order: str

    def size(self, kind: str) -> int:
        """Return the number of cells of one value."""
        return np.dtype(kind).itemsize if self.order else 1

    def take(self, places: Indices, kind: str) -> Array:
        """Return the values that begin at these cells."""
        dtype, strides = self.order + kind if self.order else "f8", self.cells.strides
        shape = (max(len(self.cells) + 1 - self.size(kind), 0),)
        every: Array = np.ndarray(shape, dtype, self.cells, strides=strides)
        return every[places]

    def reader(self, kind: str) -> Callable[[int], float]:
        """Return a function that reads the value at a cell, faster than `take` reads a single one.

        Beyond the cells it raises IndexError or struct.error.
        """
        cells = self.cells.data
        if not self.order or kind == "u1":
            return cells.__getitem__
        unpack = struct.Struct(self.order + np.dtype(kind).char).unpack_from
        return lambda at: float(unpack(cells, at)[0])


@dataclass(frozen=True, eq=False)
class ElementRows:
    """The values of an element; `end` is the cell behind its last row."""

    element: Element
    end: int
    _body: _Body
    _starts: Indices
    _offsets: list[int | Indices]
    _lengths: Indices

    def values(self, index: int) -> Array:
        """Return the values of a property that is not a list, `[rows]`."""
        kind = self.element.properties[index].type
        return self._body.take(self._starts + self._offsets[index], kind)

    def lengths(self, index: int) -> Indices:
        """Return the lengths of lists, `[rows]`."""
        before = self.element.properties[:index]
        return self._lengths[:, sum(1 for one in before if one.counted)]

    def agree(self, index: int) -> bool:
        """Return whether the body holds these lengths in front of the lists."""
        kind = self.element.properties[index].counted or ""
        places = self._starts + self._offsets[index] - self._body.size(kind)
        return bool((self._body.take(places, kind) == self.lengths(index)).all())

    def lists(self, index: int) -> tuple[Array, Indices]:
        """Return the values of lists, one list after another, `[K]`, and their lengths `[rows]`."""
        lengths = self.lengths(index)
        kind = self.element.properties[index].type
        size = self._body.size(kind)
        first = self._starts + self._offsets[index] - (np.cumsum(lengths) - lengths) * size
        places = np.repeat(first, lengths)
        places += size * np.arange(len(places))
        return self._body.take(places, kind), lengths


def read_rows(data: bytes, header: Header) -> list[ElementRows]:
    """Find the values of all elements.

    Raises:
        FormatError: when the body is shorter than the header says, or a text holds more than that
            or something else than numbers.
    """
    body = data[header.size :]
    cells = np.frombuffer(body, np.uint8) if header.order else _numbers(body)
    at, found = 0, list[ElementRows]()
    for element in header.elements:
        found.append(_rows(_Body(cells, header.order), element, at))
        at = found[-1].end
    if at < len(cells) and not header.order:
        raise FormatError(f"{len(cells) - at} numbers are left that its header does not describe")
    return found


def _numbers(text: bytes) -> Doubles:
    """Read all numbers of a text, however its lines are broken."""
    text = text.strip(_BLANKS)
    count = int(words_per_line(text).sum())
    with suppress(FormatError):
        return parse_numbers(text, count)
    return parse_numbers(NOT_FINITE.sub(b"nan", text), count)


def _rows(body: _Body, element: Element, start: int) -> ElementRows:
    """Find the rows of an element that begin at a cell."""
    least = sum(body.size(one.counted or one.type) for one in element.properties)
    if element.count and not least:
        raise FormatError(f"its header gives {element.name} no properties")
    if element.count * least > len(body.cells) - start:
        raise _truncated(element)
    lists = [i for i, one in enumerate(element.properties) if one.counted]
    if not lists or not element.count:
        return _placed(body, element, start, np.zeros((element.count, len(lists)), np.int64))
    # Most files have lists of one length: that of the first row is tried on all.
    first = _walked(body, element, start, 1)
    rows = _placed(body, element, start, np.broadcast_to(first, (element.count, len(lists))))
    if rows.end > len(body.cells) or not all(map(rows.agree, lists)):
        rows = _placed(body, element, start, _walked(body, element, start, element.count))
    return rows


def _placed(body: _Body, element: Element, start: int, lengths: Indices) -> ElementRows:
    """Place all values of rows, given the lengths of their lists, `[rows, lists]`."""
    width: int | Indices = 0
    offsets, columns = list[int | Indices](), iter(lengths.T)
    for one in element.properties:
        width = width + (body.size(one.counted) if one.counted else 0)
        offsets.append(width)
        width = width + body.size(one.type) * (next(columns) if one.counted else 1)
    widths = np.broadcast_to(np.asarray(width, dtype=np.int64), len(lengths))
    ends = start + np.cumsum(widths)
    end = int(ends[-1]) if len(ends) else start
    return ElementRows(element, end, body, ends - widths, offsets, lengths)


def _walked(body: _Body, element: Element, start: int, count: int) -> Indices:
    """Read the lengths of lists, `[count, lists]`, from row to row."""
    steps, before = [], 0
    for one in element.properties:
        before += body.size(one.counted or one.type)
        if one.counted:
            head = body.size(one.counted)
            steps.append((before - head, head, body.reader(one.counted), body.size(one.type)))
            before = 0
    at, room, found = start, len(body.cells), list[int]()
    with suppress(IndexError, struct.error):  # beyond the end
        for _ in range(count):
            for skipped, head, read, item in steps:
                length = read(at + skipped)
                if not 0 <= length <= room or length % 1:
                    raise FormatError(f"{element.name} has a list of {length:g} values")
                found.append(int(length))
                at += skipped + head + item * int(length)
            at += before
    if len(found) < count * len(steps) or at > room:
        raise _truncated(element)
    return np.array(found, dtype=np.int64).reshape(count, len(steps))


def _truncated(element: Element) -> FormatError:
    promise = f"{element.count} of {element.name}"
    return FormatError(
        f"the header promises {promise}, more than follows it; the file is truncated"
    )
