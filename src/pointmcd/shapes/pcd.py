"""PCD files, the point clouds of PCL: text, binary and compressed.

pypcd4 reads whole files equally, but it takes a truncated one for a smaller cloud, refuses headers
without COUNT and numbers separated by two spaces, and needs pydantic and an extension in C.
"""

from dataclasses import dataclass
from io import StringIO

import numpy as np

from pointmcd.typing import Bytes, Doubles, kernel

_KINDS = {"F": "f", "I": "i", "U": "u"}
_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class _Field:
    """One entry of a point: `count` numbers of `dtype`, from byte `offset` and column `column`."""

    dtype: np.dtype[np.generic]
    count: int
    offset: int
    column: int

    @property
    def size(self) -> int:
        return self.dtype.itemsize * self.count


def parse_pcd(data: bytes) -> Doubles:
    """Read the positions of a PCD file, `[N, 3]`; points that are NaN, PCL's gaps, are dropped.

    Raises:
        ValueError: saying what is wrong with the content.
    """
    header, start = _header(data)
    fields, count, kind = _fields(header), int(header["POINTS"][0]), header["DATA"][0].lower()
    if count < 0:
        raise ValueError(f"the header promises {count} points")
    axes = [fields[axis] for axis in _AXES]
    if kind == "ascii":
        points = _from_text(data[start:], axes, count)
    elif kind == "binary":
        points = _from_rows(data[start:], axes, count, sum(f.size for f in fields.values()))
    elif kind == "binary_compressed":
        points = _from_columns(_unpacked(data[start:]), axes, count)
    else:
        raise ValueError(f"DATA {kind} is none of ascii, binary and binary_compressed")
    return points[~np.isnan(points).any(axis=1)]


def _header(data: bytes) -> tuple[dict[str, list[str]], int]:
    """Return the words of each header line by its key, and where the points begin."""
    header: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in header:
        end = data.find(b"\n", start)
        if end < 0 or end - start > 1 << 16:
            raise ValueError("not a PCD file: its header has no line DATA")
        words = data[start:end].decode("ascii", "replace").partition("#")[0].split()
        if words:
            header[words[0].upper()] = words[1:]
        start = end + 1
    lacking = {"FIELDS", "SIZE", "TYPE", "POINTS"} - {key for key in header if header[key]}
    if lacking or not header["DATA"]:
        raise ValueError(f"the PCD header lacks {', '.join(sorted(lacking)) or 'DATA'}")
    return header, start


def _fields(header: dict[str, list[str]]) -> dict[str, _Field]:
    """Lay out the fields of a point; padding, which PCL calls `_`, may occur again and again."""
    names, counts = header["FIELDS"], header.get("COUNT", ["1"] * len(header["FIELDS"]))
    fields: dict[str, _Field] = {}
    offset = column = 0
    for number, (name, size, kind, count) in enumerate(
        zip(names, header["SIZE"], header["TYPE"], counts, strict=True)
    ):
        dtype = np.dtype(f"<{_KINDS.get(kind.upper(), kind)}{int(size)}")
        field = _Field(dtype, int(count), offset, column)
        fields[name.lower() if name.lower() in _AXES else f"{name}#{number}"] = field
        offset, column = offset + field.size, column + field.count
    if lacking := [axis for axis in _AXES if axis not in fields or fields[axis].count != 1]:
        raise ValueError(f"the points have no single field {lacking[0]}")
    return fields


def _from_text(body: bytes, axes: list[_Field], count: int) -> Doubles:
    lines = [line for line in body.decode("ascii", "replace").splitlines() if line.strip()]
    if len(lines) < count:
        raise ValueError(_truncated(count, len(lines), "lines"))
    columns = [axis.column for axis in axes]
    if not count:
        return np.empty((0, 3))
    return np.loadtxt(StringIO("\n".join(lines[:count])), usecols=columns, ndmin=2)


def _from_rows(body: bytes, axes: list[_Field], count: int, size: int) -> Doubles:
    if len(body) < count * size:
        raise ValueError(_truncated(count, len(body), "bytes"))
    layout = np.dtype(
        {
            "names": list(_AXES),
            "formats": [axis.dtype for axis in axes],
            "offsets": [axis.offset for axis in axes],
            "itemsize": size,
        }
    )
    rows = np.frombuffer(body, layout, count)
    return np.column_stack([rows[axis].astype(np.float64) for axis in _AXES])


def _from_columns(body: bytes, axes: list[_Field], count: int) -> Doubles:
    """Compressed files hold the first field of all points, then the second, and so on."""
    if len(body) < count * max(axis.offset + axis.size for axis in axes):
        raise ValueError(_truncated(count, len(body), "bytes"))
    columns = (np.frombuffer(body, axis.dtype, count, axis.offset * count) for axis in axes)
    return np.column_stack([column.astype(np.float64) for column in columns])


def _truncated(count: int, found: int, unit: str) -> str:
    return f"the header promises {count} points, {found} {unit} follow it; the file is truncated"


def _unpacked(body: bytes) -> bytes:
    packed, size = (int.from_bytes(body[at : at + 4], "little") for at in (0, 4))
    # LZF makes at most 264 bytes of 3: a larger promise is false, and is not allocated.
    if len(body) < 8 + packed or size > 88 * max(packed, 1):
        raise ValueError("the compressed points are cut short or damaged")
    out = np.empty(size, dtype=np.uint8)
    if _unpack_lzf(np.frombuffer(body, np.uint8, packed, 8), out) != size:
        raise ValueError("the compressed points are damaged")
    return out.tobytes()


@kernel
def _unpack_lzf(packed: Bytes, out: Bytes) -> int:
    """Decompress LZF; returns how many bytes were made, or -1 for damaged data.

    A control byte below 32 is followed by that many bytes and one, taken as they are; any other
    tells length and distance of bytes that were there before, which may overlap what they make.
    """
    read, made = 0, 0
    while read < len(packed):
        control = int(packed[read])
        read += 1
        if control < 32:
            length = control + 1
            if read + length > len(packed) or made + length > len(out):
                return -1
            out[made : made + length] = packed[read : read + length]
            read, made = read + length, made + length
            continue
        length = (control >> 5) + 2
        if length == 9:
            if read >= len(packed):
                return -1
            length += int(packed[read])
            read += 1
        if read >= len(packed):
            return -1
        source = made - ((control & 31) << 8) - int(packed[read]) - 1
        read += 1
        if source < 0 or made + length > len(out):
            return -1
        for step in range(length):
            out[made + step] = out[source + step]
        made += length
    return made
