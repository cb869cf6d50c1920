"""Checks that a file holds what its header promises, made before trimesh reads it.

trimesh takes a truncated ASCII PLY file for a smaller mesh, and may allocate what a header
promises before it looks at the data.
"""

import json
import re

from pointmcd.errors import FormatError

# Blanks before a word may not run over lines: thousands of empty ones would be searched again from
# each of them.
_PLY_ELEMENT = re.compile(r"^[ \t]*element\s+(\S+)\s+(\d+)[ \t]*$", re.MULTILINE)
_PLY_ASCII = re.compile(r"^[ \t]*format\s+ascii", re.MULTILINE | re.IGNORECASE)
_PLY_FACE_LIST = re.compile(r"element\s+face\s+\d+\s+property\s+list\s")

#: Numbers that a glTF file may ask for without giving their data.
MAX_EMPTY_VALUES = 10_000_000
#: Numbers in one item of an accessor.
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


def checked(data: bytes, file_type: str, alone: bool) -> bytes:
    """Return the data to hand to trimesh, after the checks for its type.

    `file_type` is the lower-case suffix; `alone`, whether files beside it are out of reach.

    Raises:
        FormatError: saying what is wrong with the content.
    """
    if not data.strip():
        raise FormatError("the file is empty")
    if file_type in ("glb", "gltf"):
        _check_gltf(data, file_type, alone)
    checks = {"ply": _checked_ply}
    return checks[file_type](data) if file_type in checks else data


def _ascii(data: bytes) -> bytes:
    """Replace all that is not ASCII: names and comments in unknown encodings stop trimesh."""
    return data.decode("ascii", "replace").encode("ascii", "replace")


def _check_whole_face(line: str) -> None:
    """Refuse a last face line, `count index index ...`, that is cut short."""
    count, *indices = line.split() or ["1"]
    if count.isdecimal() and int(count) > len(indices):
        raise FormatError("the last face is cut short; the file is truncated")


def _truncated(promise: str, lines: int) -> str:
    return f"the header promises {promise}, {lines} lines follow it; the file is truncated"


def _checked_ply(data: bytes) -> bytes:
    """Check the counts of the header against the lines (text) or bytes (binary) after it."""
    if data[:3].lower() != b"ply":
        raise FormatError("not a PLY file: it does not begin with ply")
    head, end, body = data.partition(b"end_header")
    if not end:
        raise FormatError("the PLY header does not end; the file is truncated")
    header = head.decode("latin-1").replace("\r", "\n")
    elements = [(name, int(count)) for name, count in _PLY_ELEMENT.findall(header)]
    promised = sum(count for _, count in elements)
    promise = " and ".join(f"{count} of {name}" for name, count in elements)
    if not _PLY_ASCII.search(header):
        if promised > len(body):
            raise FormatError(f"the header promises {promise}, {len(body)} bytes follow it")
        return _ascii(head) + end + body
    lines = body.decode("latin-1").splitlines()[1:]
    if promised > len(lines):
        raise FormatError(_truncated(promise, len(lines)))
    name, count = elements[-1] if elements else ("", 0)
    if name == "face" and count and _PLY_FACE_LIST.search(header):
        _check_whole_face(lines[promised - 1])
    return _ascii(data)


def _check_gltf(data: bytes, file_type: str, alone: bool) -> None:
    """Refuse accessors that make many values out of no data, and data out of reach."""
    values, content = 0, json.loads(data if file_type == "gltf" else _glb_json(data))
    for buffer in content.get("buffers", []):
        if alone and not buffer.get("uri", "data:").startswith("data:"):
            raise FormatError(f"its data is in another file, {buffer['uri']}; save it as .glb")
    for accessor in content.get("accessors", []):
        count = int(accessor["count"])
        if count < 0:  # it would also make room for another's in the sum
            raise FormatError(f"an accessor of {count} items")
        if "bufferView" not in accessor:
            values += count * _COMPONENTS[accessor["type"]]
    if values > MAX_EMPTY_VALUES:
        raise FormatError(f"the header promises {values} values without data")


def _glb_json(data: bytes) -> bytes:
    if data[:4] != b"glTF":
        raise FormatError("not a GLB file: it does not begin with glTF")
    if int.from_bytes(data[8:12], "little") > len(data):
        raise FormatError("the file is shorter than its header says; it is truncated")
    return data[20 : 20 + int.from_bytes(data[12:16], "little")]
