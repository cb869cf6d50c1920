"""Wavefront OBJ: the faces of all groups, objects and materials, in the order of the file."""

import re

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.shapes.polygons import Polygons
from pointmcd.shapes.text import clean_text, parse_numbers, whole_numbers, words_per_line
from pointmcd.typing import Bools, Doubles, Indices

#: Vertices, faces (`fo` in the oldest files), and what makes surfaces in other ways. Curves, lines
#: and points are not surfaces; all else says how faces look.
_STATEMENT = re.compile(rb"^[ \t]*(v|fo?|surf|bsp|bzp|cdp|call)(?![a-z_])([^\n]*)", re.M | re.I)
_CONTINUED = re.compile(rb"^[ \t]*(?:v|fo?)(?=[ \t\\])(?:[^\n]*\\[ \t]*\n)+", re.M | re.I)
_CONTINUES = re.compile(rb"\\[ \t]*\n")
#: A line that begins with a number.
_ORPHAN = re.compile(rb"\n[ \t]*([-+.]?\d[-+.\de]*(?![^\s/])[^\n]{0,20})")
_TEXTURE_AND_NORMAL = re.compile(rb"/\S*")
#: `1 /2` or `1/ 2`, whose second number would be taken for a vertex.
_PARTED = re.compile(rb"[ \t]/|\d/[ \t]+-?\d+(?!\S)")


def parse_obj(data: bytes) -> Polygons:
    """Read the vertices and faces of an OBJ file.

    Raises:
        FormatError: saying what is wrong with the content.
    """
    statements = _statements(clean_text(data))
    is_vertex = np.fromiter((kind in b"vV" for kind, _ in statements), bool, len(statements))
    vertices = [rest for kind, rest in statements if kind in b"vV"]
    faces = [rest for kind, rest in statements if kind[:1] in b"fF"]
    if len(vertices) + len(faces) < len(statements):
        _refuse_others(statements)
    positions, colours = _positions(vertices)
    return Polygons(positions, *_corners(faces, is_vertex), vertex_colours=colours)


def _statements(text: bytes) -> list[tuple[bytes, bytes]]:
    """Return the keyword of each vertex, face or other surface, and what follows it."""
    if b"\\" in text:
        text = _CONTINUED.sub(lambda lines: _CONTINUES.sub(b" ", lines.group()), text)
    for orphan in _ORPHAN.finditer(text):
        if text[orphan.start() - 1 : orphan.start()] != b"\\":  # else it continues another
            raise FormatError(f"a line without a keyword, {orphan[1].decode('latin-1')!a}")
    return _STATEMENT.findall(text)


def _refuse_others(statements: list[tuple[bytes, bytes]]) -> None:
    kinds = {kind.decode().lower() for kind, _ in statements} - {"v", "f", "fo"}
    if "call" in kinds:
        raise FormatError("it calls another file; save it as one file")
    if kinds:
        raise FormatError(f"free-form surfaces ({min(kinds)}) are not read; save it as polygons")


def _positions(lines: list[bytes]) -> tuple[Doubles, Doubles | None]:
    """Read the first three numbers of each line, `[V, 3]`, and colours, where three others follow.

    One more number is a weight.
    """
    text = b"\n".join(lines)
    words = words_per_line(text)[: len(lines)]
    if (words < 3).any():
        raise FormatError(f"a vertex of {words.min()} coordinates; three are needed")
    numbers = parse_numbers(text, int(words.sum()))
    first = (np.cumsum(words) - words)[:, None] + np.arange(3)
    coloured = len(words) > 0 and bool((words == 6).all())
    return numbers[first], numbers[first + 3] if coloured else None


def _corners(lines: list[bytes], is_vertex: Bools) -> tuple[Indices, Indices]:
    """Read indices of vertices, from 0: those of all faces `[K]`, and their number in each `[P]`.

    Negative ones count back from the last vertex before their face.
    """
    text = b"\n".join(lines)
    if (b" /" in text or b"/ " in text) and _PARTED.search(text):
        raise FormatError("a face has a blank beside a slash; write 1/2, not 1 / 2")
    text = _TEXTURE_AND_NORMAL.sub(b"", text)
    counts = words_per_line(text)[: len(lines)]
    written = whole_numbers(parse_numbers(text, int(counts.sum())), "a face index")
    if (written == 0).any():
        raise FormatError("a face index is 0, but OBJ counts vertices from 1: add 1 to each index")
    before = np.cumsum(is_vertex)[~is_vertex]
    return np.where(written > 0, written - 1, written + np.repeat(before, counts)), counts
