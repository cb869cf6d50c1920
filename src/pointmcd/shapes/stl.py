"""STL, binary and text."""

import re

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.shapes.polygons import Polygons
from pointmcd.shapes.text import clean_text, parse_numbers, words_per_line
from pointmcd.typing import Doubles, Indices

_NAME = re.compile(rb"solid\b[^\n]*")
#: From the corners of one facet to those of the next: no other word has a v.
_BETWEEN = re.compile(rb"end(?:loop|facet)[^v]*")
_LOWER_CASE = bytes(range(256)).lower()
#: Bytes before the triangles of a binary file: a text of 80, and the number of triangles.
_HEAD = 84
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def parse_stl(data: bytes) -> Polygons:
    """Read the facets of all solids of an STL file.

    Raises:
        FormatError: saying what is wrong with the content.
    """
    # The letters of a text file would be the count of more triangles than any file holds.
    if len(data) >= _HEAD and _end(data, 0) <= len(data):
        vertices = _binary_corners(data)
        counts = np.full(len(vertices) // 3, 3)
    else:
        vertices, counts = _text_corners(data)
    return Polygons(vertices, np.arange(len(vertices)), counts)


def _end(data: bytes, begin: int) -> int:
    """Return where the triangles of a binary solid end, as its header counts them."""
    count = int.from_bytes(data[begin + _HEAD - 4 : begin + _HEAD], "little")
    return begin + _HEAD + count * _TRIANGLE.itemsize


def _binary_corners(data: bytes) -> Doubles:
    """Read binary solids, `[3 F, 3]`: what follows the first is read where it is solids alone."""
    begins, at = [0], _end(data, 0)
    if at == _HEAD and (len(data) - _HEAD) % _TRIANGLE.itemsize == 0:
        at = len(data)  # whoever writes as triangles come may leave the count at 0
    first_end = at
    while at + _HEAD < _end(data, at) <= len(data):
        begins.append(at)
        at = _end(data, at)
    solids = [data[_HEAD:first_end]]
    rest = data[first_end:]
    if at == len(data):
        solids += [data[begin + _HEAD : _end(data, begin)] for begin in begins[1:]]
    elif len(rest) % _TRIANGLE.itemsize == 0 and rest.strip(b"\0 \t\r\n\x1a"):
        counted = len(solids[0]) // _TRIANGLE.itemsize
        raise FormatError(f"its header counts {counted} triangles, but more follow; it is damaged")
    corners = np.frombuffer(b"".join(solids), _TRIANGLE)["corners"]
    with np.errstate(invalid="ignore"):  # signalling NaN
        return corners.reshape(-1, 3).astype(np.float64)


def _text_corners(data: bytes) -> tuple[Doubles, Indices]:
    """Read text solids: the corners of all facets, and their number in each."""
    text = _without_names(clean_text(data).translate(_LOWER_CASE))
    text = _BETWEEN.sub(b"\n", text.replace(b"\n", b" "))
    text = text[max(text.find(b"vertex"), 0) :]
    corners = text.count(b"vertex")
    facets = text.replace(b"vertex", b" ")
    words = words_per_line(facets)
    if words[-1] or words.sum() != 3 * corners or ((words > 0) & (words < 9)).any():
        raise FormatError("a facet is cut short; the file is truncated or damaged")
    numbers = parse_numbers(facets, 3 * corners)
    return numbers.reshape(-1, 3), words[words > 0] // 3


def _without_names(text: bytes) -> bytes:
    """Take out the lines at which solids begin and end: their names may hold any word."""
    kept, at, begun, ended = [], 0, 0, 0
    for line in _NAME.finditer(text):
        before = text[text.rfind(b"\n", 0, line.start()) + 1 : line.start()].strip()
        if before in (b"", b"end"):
            kept.append(text[at : line.start()].removesuffix(b"end"))
            at, begun, ended = line.end(), begun + (not before), ended + bool(before)
    if not begun:
        raise FormatError("not an STL file, or truncated: neither text nor as long as it promises")
    if begun > ended:
        raise FormatError("a solid does not end; the file is truncated")
    return b"".join([*kept, text[at:]])
