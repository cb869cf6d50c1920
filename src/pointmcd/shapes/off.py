"""Object File Format (OFF), with the headers that Geomview, ModelNet and others write."""

import re

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.shapes.polygons import Polygons
from pointmcd.shapes.text import clean_text, parse_numbers, whole_numbers, words_per_line
from pointmcd.typing import Doubles, Indices

_HEADER = re.compile(rb"\s*([A-Z4]{0,6}?)OFF(?=[\s\d]|$)([ \t]+BINARY\b)?", re.I)
_PREFIX = re.compile(r"(ST|C|N)*", re.I)


def parse_off(data: bytes) -> Polygons:
    """Read the vertices and faces of an OFF file, and colours of vertices (COFF).

    Normals, textures and colours of faces are passed over.

    Raises:
        FormatError: saying what is wrong with the content.
    """
    prefix, body = _after_header(clean_text(data))
    vertices, faces, body = _after_counts(body)
    words = words_per_line(body)
    words = words[words > 0]
    polygons = _by_lines(body, words, vertices, faces, prefix)
    if polygons is None:
        polygons = _by_words(body, words, vertices, faces, prefix)
    if polygons is None:
        raise FormatError(
            f"the header promises {vertices} vertices and {faces} faces, which the {len(words)} "
            "lines after it do not match; the file is truncated or damaged"
        )
    return polygons


def _after_header(text: bytes) -> tuple[str, bytes]:
    """Return the letters before OFF, and what follows it."""
    header = _HEADER.match(text)
    if header is None:
        raise FormatError("not an OFF file: it does not begin with OFF")
    prefix = header[1].decode()
    if header[2]:
        raise FormatError("binary OFF is not read; save it as text")
    if "4" in prefix or (prefix.endswith("n") and text[: header.end()].endswith(b"OFF")):
        raise FormatError(f"{prefix}OFF, with vertices of other than 3 dimensions, is not read")
    if not _PREFIX.fullmatch(prefix):
        raise FormatError(f"not an OFF file: its header is {prefix}OFF")
    return prefix.upper(), text[header.end() :]


def _after_counts(body: bytes) -> tuple[int, int, bytes]:
    """Return the numbers of vertices and faces, and what follows them and that of edges."""
    counts: list[bytes] = []
    while len(counts) < 2 and (body := body.lstrip()):
        line, _, body = body.partition(b"\n")
        counts += line.split()
    if len(counts) < 2 or not all(word.isdigit() and len(word) < 99 for word in counts[:2]):
        raise FormatError("no counts of vertices and faces follow the OFF header")
    if len(counts) == 2:  # that of edges may stand on a line of its own, or not at all
        line, _, rest = body.lstrip().partition(b"\n")
        body = rest if len(line.split()) == 1 else body
    return int(counts[0]), int(counts[1]), b" ".join(counts[3:]) + b"\n" + body


def _by_lines(
    body: bytes, words: Indices, vertices: int, faces: int, prefix: str
) -> Polygons | None:
    """Read one vertex or face a line, whatever follows it there; None for another layout.

    Behind the last one there may be words, but no numbers.
    """
    total = vertices + faces
    width = int(words[0]) if len(words) else 0
    if total > len(words) or width < 3 or (words[:vertices] != width).any():
        return None
    if total < len(words):
        lines = [line for line in body.split(b"\n") if line.strip()]
        if any(line.lstrip()[:1] in b"+-.0123456789" for line in lines[total:]):
            return None  # more rows than the header promises
        body, words = b"\n".join(lines[:total]), words[:total]
    numbers = parse_numbers(body, int(words.sum()))
    starts = (np.cumsum(words) - words)[vertices:]
    return _polygons(numbers, vertices, width, starts, prefix)


def _by_words(
    body: bytes, words: Indices, vertices: int, faces: int, prefix: str
) -> Polygons | None:
    """Read a stream of numbers that says no more than it must; None for another layout."""
    numbers = parse_numbers(body, int(words.sum()))
    values = numbers.tolist()
    width = 3 + 3 * ("N" in prefix) + 2 * ("ST" in prefix)
    for colours in (4, 3) if "C" in prefix else (0,):
        starts: list[int] = []
        at = vertices * (width + colours)
        while len(starts) < faces and at < len(values) and values[at] >= 0:
            starts.append(at)
            at += 1 + int(min(values[at], len(values)))
        if len(starts) == faces and at == len(values):
            places = np.asarray(starts, np.int64)
            return _polygons(numbers, vertices, width + colours, places, prefix)
    return None


def _polygons(
    numbers: Doubles, vertices: int, width: int, starts: Indices, prefix: str
) -> Polygons | None:
    """Take vertices from the first columns of rows, faces where each `count index index ...` is."""
    counts = whole_numbers(numbers[starts], "the number of corners of a face")
    room = np.diff(np.append(starts, len(numbers))) - 1
    if (counts < 0).any() or (counts > room).any():
        return None
    places = np.repeat(starts + 1 - (np.cumsum(counts) - counts), counts)
    places += np.arange(len(places))
    corners = whole_numbers(numbers[places], "a face index")
    rows = numbers[: vertices * width].reshape(vertices, width)
    first = 6 if "N" in prefix else 3  # colours stand behind normals
    coloured = "C" in prefix and width >= first + 3
    colours = rows[:, first : first + 3] if coloured else None
    return Polygons(rows[:, :3], corners, counts, colours)
