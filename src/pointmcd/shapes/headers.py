"""Checks that a file holds what its header promises, made before trimesh reads it.

trimesh may allocate what a header promises before it looks at the data.
"""

import json

from pointmcd.errors import FormatError

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
    return data


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
