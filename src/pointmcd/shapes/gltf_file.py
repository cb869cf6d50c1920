"""Content of a glTF 2.0 file: its JSON, its buffers, and the arrays that accessors describe."""

import base64
import binascii
import json
import posixpath
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.shapes.formats import Beside
from pointmcd.typing import Array, Doubles

#: Numbers that an accessor may have without data of its own, all zero but for sparse ones.
MAX_EMPTY_VALUES = 10_000_000
_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
#: Types that glTF leaves out, but some programs write: they are OpenGL's, as the others.
_TYPES |= {5124: "<i4", 5130: "<f8"}
_PLAIN_DIGITS = bytes.maketrans(b"-_", b"+/")
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclass(frozen=True, eq=False)
class GltfFile:
    """The parts of a glTF file; `beside` reads those that it names, if they are in reach."""

    content: dict[str, Any]
    binary: bytes | None
    beside: Beside | None
    _buffers: dict[int, bytes] = field(default_factory=dict)

    def item(self, kind: str, index: int) -> dict[str, Any]:
        """Return one of the file's nodes, meshes, accessors and so on."""
        items = self.content.get(kind, [])
        if not (isinstance(index, int) and 0 <= index < len(items)):
            raise FormatError(f"it refers to {kind}[{index}], which it does not have")
        found: dict[str, Any] = items[index]
        return found

    def integers(self, index: int, kind: str) -> Array:
        """Return the whole numbers of an accessor of a type such as SCALAR, `[count, N]`."""
        values = self._values(index, kind)
        if values.dtype.kind == "f":
            raise FormatError(f"accessors[{index}] has fractions where whole numbers belong")
        return values

    def reals(self, index: int, kind: str, rows: Array | slice) -> Doubles:
        """Return rows of an accessor, `[rows, N]`; integers that are normalised are divided."""
        values = self._values(index, kind)[rows]
        numbers = values.astype(np.float64)
        if self.item("accessors", index).get("normalized") and values.dtype.kind != "f":
            numbers = np.maximum(numbers / np.iinfo(values.dtype).max, -1)
        return numbers

    def count(self, index: int, kind: str) -> int:
        """Return the number of items of an accessor, whose data is there."""
        return len(self._values(index, kind))

    def _values(self, index: int, kind: str) -> Array:
        accessor = self.item("accessors", index)
        if accessor["type"] != kind:
            raise FormatError(f"accessors[{index}] has the type {accessor['type']}, not {kind}")
        dtype, count = _dtype(accessor), _size(accessor, "count")
        shape, sparse = (count, _COMPONENTS[kind]), accessor.get("sparse")
        if "bufferView" in accessor:
            values = self._strided(accessor, dtype, shape)
        elif sparse is None:
            raise FormatError(f"accessors[{index}] has no data")
        elif count * shape[1] > MAX_EMPTY_VALUES:
            raise FormatError(f"accessors[{index}] promises {count} items without data")
        else:
            values = np.zeros(shape, dtype)
        if sparse is not None:
            values, changed = values.copy(), _size(sparse, "count")
            places = _dtype(sparse["indices"])
            rows = self._strided(sparse["indices"], places, (changed, 1))[:, 0]
            values[rows] = self._strided(sparse["values"], dtype, (changed, shape[1]))
        return values

    def _strided(
        self, place: dict[str, Any], dtype: np.dtype[Any], shape: tuple[int, int]
    ) -> Array:
        """Return a view of the items that an accessor places in a view of a buffer."""
        view = self.item("bufferViews", place["bufferView"])
        data = self._buffer(view)
        first, size = _size(view, "byteOffset"), dtype.itemsize * shape[1]
        step, start = _size(view, "byteStride") or size, first + _size(place, "byteOffset")
        end = min(first + _size(view, "byteLength"), len(data))
        if shape[0] and (step < size or start + step * (shape[0] - 1) + size > end):
            raise FormatError(
                f"bufferViews[{place['bufferView']}] is shorter than the header promises; "
                "the file is truncated or damaged"
            )
        if not shape[0]:
            return np.zeros(shape, dtype)
        found: Array = np.ndarray(shape, dtype, data, start, (step, dtype.itemsize))
        return found

    def _buffer(self, view: dict[str, Any]) -> bytes:
        """Return the buffer of a view; it is read once."""
        index = view["buffer"]
        if index not in self._buffers:
            uri = self.item("buffers", index).get("uri")
            if uri is not None:
                self._buffers[index] = _from_uri(uri, self.beside)
            elif index == 0 and self.binary is not None:
                self._buffers[index] = self.binary
            else:
                packed = ", ".join(view.get("extensions", {}))
                why = f"they are in the extension {packed}, which is not read" if packed else ""
                raise FormatError(f"buffers[{index}] has no bytes{why and ': '}{why}")
        return self._buffers[index]


def open_gltf(data: bytes, beside: Beside | None) -> GltfFile:
    """Take a file apart, a GLB or JSON.

    Raises:
        FormatError: when it is neither, or of another version than 2.
    """
    text, binary = _chunks(data) if data.startswith(b"glTF") else (data, None)
    try:
        content = json.loads(text.rstrip(b"\0").decode("utf-8-sig", "replace"))
    except json.JSONDecodeError as error:
        what = "not a GLB or glTF file: it has neither the one's first bytes nor the other's JSON"
        at = f"its JSON is damaged or cut short in line {error.lineno}, column {error.colno}"
        raise FormatError(at if text.lstrip()[:1] == b"{" else what) from error
    version = content["asset"]["version"] if "asset" in content else "without a version"
    if not str(version).startswith("2."):
        raise FormatError(f"glTF {str(version)[:20]} is not read, but 2.0; convert it")
    return GltfFile(content, binary, beside)


def _chunks(data: bytes) -> tuple[bytes, bytes | None]:
    """Return the JSON of a GLB file and the bytes behind it."""
    version, length = (int.from_bytes(data[at : at + 4], "little") for at in (4, 8))
    if version != 2:
        raise FormatError(f"GLB of version {version} is not read, but 2; convert it")
    found: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= length:
        end = at + 8 + int.from_bytes(data[at : at + 4], "little")
        if end > len(data):
            raise FormatError("the file is shorter than its header says; it is truncated")
        found.setdefault(data[at + 4 : at + 8], data[at + 8 : end])
        at = end
    if b"JSON" not in found:
        raise FormatError("the GLB file has no JSON; it is truncated or damaged")
    return found[b"JSON"], found.get(b"BIN\0")


def _dtype(place: dict[str, Any]) -> np.dtype[Any]:
    code = place.get("componentType")
    if code not in _TYPES:
        raise FormatError(f"its JSON has {str(code)[:40]} for a componentType")
    return np.dtype(_TYPES[code])


def _size(place: dict[str, Any], key: str) -> int:
    value = place.get(key, 0)
    if not isinstance(value, int) or value < 0:
        raise FormatError(f"its JSON has {str(value)[:40]} for a {key}")
    return value


def _from_uri(uri: str, beside: Beside | None) -> bytes:
    """Return what a URI holds, or the file beside the glTF file that it names."""
    if uri[:5].lower() == "data:":
        kind, _, text = uri.partition(",")
        data = unquote_to_bytes(text)
        return _from_base64(data) if kind.lower().endswith(";base64") else data
    if beside is None:
        raise FormatError(f"its data is in another file, {uri[:80]}; save it as .glb")
    name = posixpath.normpath(unquote(uri).replace("\\", "/"))
    if re.match("[A-Za-z][A-Za-z0-9+.-]*:|/|\\.\\.(/|$)", name):
        raise FormatError(f"its data is not in its folder, but at {uri[:80]}; save it as .glb")
    for file in (name, uri):
        found = beside(file)
        if found is not None:
            return found
    raise FormatError(f"its data is missing: there is no file {name[:80]} beside it")


def _from_base64(data: bytes) -> bytes:
    """Decode either alphabet of base64, with or without padding and blanks."""
    digits = b"".join(data.split()).translate(_PLAIN_DIGITS).rstrip(b"=")
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except binascii.Error as error:
        raise FormatError("the base64 of a buffer is damaged") from error
