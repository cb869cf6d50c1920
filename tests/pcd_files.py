"""PCD files of all three encodings, made for tests."""

import struct

import numpy as np

POINTS = np.random.default_rng(3).normal(size=(50, 3)).astype(np.float32)
#: As PCL writes it: x y z, padding, a packed colour; positions last to prove that offsets count.
LAYOUT = np.dtype([("rgb", "<u4"), ("pad", "u1", (3,)), ("x", "<f4"), ("y", "<f4"), ("z", "<f4")])
FIELDS = "FIELDS rgb _ x y z\nSIZE 4 1 4 4 4\nTYPE U U F F F\nCOUNT 1 3 1 1 1\n"


def header(count, data, fields=FIELDS):
    text = f"# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\n{fields}"
    text += f"WIDTH {count}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {count}\nDATA {data}\n"
    return text.encode()


def records(points):
    rows = np.zeros(len(points), LAYOUT)
    rows["rgb"] = 0xFF00FF
    for axis, column in zip("xyz", points.T, strict=True):
        rows[axis] = column
    return rows


def literals(data):
    """LZF without a single repetition."""
    chunks = [data[i : i + 32] for i in range(0, len(data), 32)]
    return b"".join(bytes([len(chunk) - 1]) + chunk for chunk in chunks)


def compressed(points, pack=literals):
    rows = records(points)
    body = b"".join(np.ascontiguousarray(rows[name]).tobytes() for name in LAYOUT.names)
    packed = pack(body)
    return struct.pack("<II", len(packed), len(body)) + packed


def as_text(points):
    rows = ["4278255360 0 0 0 " + " ".join(map(str, p)) for p in points.tolist()]
    return "\n".join(rows).encode()


BODIES = {
    "ascii": as_text,
    "binary": lambda p: records(p).tobytes(),
    "binary_compressed": compressed,
}
