"""PCD files, the point clouds of PCL: text, binary and compressed.

pypcd4 reads whole files equally, but it takes a truncated one for a smaller cloud, refuses headers
without COUNT and numbers separated by two spaces, and needs pydantic and an extension in C.
"""

from collections.abc import Sequence

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.shapes.columns import Rows
from pointmcd.shapes.features import COLOURS, named_columns
from pointmcd.shapes.text import clean_text
from pointmcd.typing import Array, Bytes, kernel

_KINDS = {"F": "f", "I": "i", "U": "u"}
_AXES = ("x", "y", "z")
_OLD_KEYS = {"COLUMNS": "FIELDS"}
_TRUNCATED = "the header promises {} points, {} {} follow it; the file is truncated"


def parse_pcd(data: bytes, features: Sequence[str] = ()) -> Rows:
    """Read the positions of a PCD file, `[N, 3]`; points that are NaN, PCL's gaps, are dropped.

    Args:
        data: the file.
        features: names of those to read where it has them.

    Raises:
        FormatError: saying what is wrong with the content.
    """
    header, start = _header(data)
    point, count, kind = _point(header), int(header["POINTS"][0]), header["DATA"][0].lower()
    if count < 0:
        raise FormatError(f"the header promises {count} points")
    body, beside = data[start:], _beside(header, point, features)
    fields = [*_AXES, *(field for found in beside.values() for field in found)]
    if kind == "ascii":
        columns = _from_text(body, point, count, fields)
    elif kind == "binary":
        columns = _from_bytes(body, point, count, fields, by_field=False)
    elif kind == "binary_compressed":
        columns = _from_bytes(_unpacked(body), point, count, fields, by_field=True)
    else:
        raise FormatError(f"DATA {kind} is none of ascii, binary and binary_compressed")
    points = np.column_stack(columns[:3]).astype(np.float64)
    kept, rest = ~np.isnan(points).any(axis=1), iter(columns[3:])
    values = {name: _values([next(rest) for _ in found]) for name, found in beside.items()}
    points[~kept] = np.nan  # `parse_rows` leaves them out
    return Rows(points, None, values)


def _beside(
    header: dict[str, list[str]], point: np.dtype[np.void], features: Sequence[str]
) -> dict[str, list[str]]:
    """Return the fields of each feature, by their names in the layout of a point."""
    names, fields = [name.lower() for name in header["FIELDS"]], point.names or ()
    found = {kind: [fields[i] for i in at] for kind, at in named_columns(names, features).items()}
    packed = [field for name, field in zip(names, fields, strict=True) if name in ("rgb", "rgba")]
    if COLOURS.name in features and packed and point[packed[0]].itemsize == 4:
        found.setdefault(COLOURS.name, packed[:1])
    return found


def _values(columns: Sequence[Array]) -> Array:
    """Return a feature `[N, 3]`; PCL packs a colour into the bits of one number."""
    if len(columns) > 1:
        return np.column_stack(columns)
    bits = columns[0].astype("<f4").view("<u4") if columns[0].dtype.kind == "f" else columns[0]
    return np.stack([bits >> shift & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)


def _header(data: bytes) -> tuple[dict[str, list[str]], int]:
    """Return the words of each header line by its key, and where the points begin."""
    header: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in header:
        end = data.find(b"\n", start)
        if end < 0 or end - start > 1 << 16:
            raise FormatError("not a PCD file: its header has no line DATA")
        words = data[start:end].decode("ascii", "replace").partition("#")[0].split()
        if words:
            header[_OLD_KEYS.get(words[0].upper(), words[0].upper())] = words[1:]
        start = end + 1
    if header.get("WIDTH") and header.get("HEIGHT"):
        header.setdefault("POINTS", [str(int(header["WIDTH"][0]) * int(header["HEIGHT"][0]))])
    needed = ("DATA", "FIELDS", "POINTS", "SIZE", "TYPE")
    if lacking := [key for key in needed if not header.get(key)]:
        raise FormatError(f"the PCD header lacks {', '.join(lacking)}")
    return header, start


def _point(header: dict[str, list[str]]) -> np.dtype[np.void]:
    """Lay out the fields of a point; padding, which PCL calls `_`, may occur again and again."""
    names, counts = header["FIELDS"], header.get("COUNT", ["1"] * len(header["FIELDS"]))
    fields = []
    for number, (name, size, kind, count) in enumerate(
        zip(names, header["SIZE"], header["TYPE"], counts, strict=True)
    ):
        axis = name.lower() if name.lower() in _AXES else f"{name}#{number}"
        number_type = f"<{_KINDS.get(kind.upper(), kind)}{int(size)}"
        fields.append((axis, number_type, (int(count),)))
    if lacking := [axis for axis in _AXES if axis not in {f[0] for f in fields if f[2] == (1,)}]:
        raise FormatError(f"the points have no single field {lacking[0]}")
    return np.dtype(fields)


def _from_text(
    body: bytes, point: np.dtype[np.void], count: int, fields: Sequence[str]
) -> list[Array]:
    text = clean_text(body).decode("ascii", "replace")
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < count:
        raise FormatError(_TRUNCATED.format(count, len(lines), "lines"))
    if len(lines) > count:
        raise FormatError(f"the header promises {count} points, but {len(lines)} lines follow it")
    if not count:
        return [np.empty(0) for _ in fields]
    numbers = [name for name in point.names or () for _ in range(point[name].shape[0])]
    try:
        rows = np.loadtxt(lines, ndmin=2)
    except ValueError:
        rows = np.empty((0, 0))
    if rows.shape != (count, len(numbers)):
        raise FormatError(f"its lines do not all hold the {len(numbers)} numbers of a point")
    columns = [(field, rows[:, numbers.index(field)]) for field in fields]
    # Whole numbers keep all bits of a packed colour.
    return [
        column if point[field].base.kind == "f" else column.astype(np.int64)
        for field, column in columns
    ]


def _from_bytes(
    body: bytes, point: np.dtype[np.void], count: int, fields: Sequence[str], by_field: bool
) -> list[Array]:
    """Read point after point, or the first field of all points, then the second, and so on."""
    if len(body) < count * point.itemsize:
        raise FormatError(_TRUNCATED.format(count, len(body), "bytes"))
    if not by_field:
        rows = np.frombuffer(body, point, count)
        return [rows[field][:, 0] for field in fields]
    assert point.fields is not None  # for mypy
    places = (point.fields[field] for field in fields)
    return [np.frombuffer(body, kind, count, at * count)[:, 0] for kind, at, *_ in places]


def _unpacked(body: bytes) -> bytes:
    packed, size = (int.from_bytes(body[at : at + 4], "little") for at in (0, 4))
    # LZF makes at most 264 bytes of 3: a larger promise is false, and is not allocated.
    if len(body) < 8 + packed or size > 88 * max(packed, 1):
        raise FormatError("the compressed points are cut short or damaged")
    out = np.empty(size, dtype=np.uint8)
    if _unpack_lzf(np.frombuffer(body, np.uint8, packed, 8), out) != size:
        raise FormatError("the compressed points are damaged")
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
