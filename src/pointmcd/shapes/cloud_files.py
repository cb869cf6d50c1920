"""Point cloud files in any format, from their content: text, NumPy, PLY, PCD and LAS."""

import re
import warnings
from collections.abc import Callable
from functools import partial
from io import BytesIO, StringIO

import numpy as np
from numpy.lib import format as npy

from pointmcd.errors import FormatError
from pointmcd.extras import import_extra
from pointmcd.shapes.formats import reading
from pointmcd.shapes.mesh import parse
from pointmcd.shapes.pcd import parse_pcd
from pointmcd.typing import Array, Doubles


def parse_cloud(data: bytes, suffix: str, name: str) -> Doubles | None:
    """Read the positions of a cloud, `[N, 3]`, N at least 1; columns after the third are dropped.

    Return None for a PLY file with faces. `suffix` is one of `CLOUD_SUFFIXES`; error texts call
    the file `name`.

    Raises:
        ShapeError: when the content is not that.
        ConfigError: when the type needs a package that is absent.
    """
    if suffix == "ply":
        return _ply_points(data, name)
    las = partial(_las_rows, name)
    readers: dict[str, Callable[[bytes], Array]] = {"npy": _numpy_rows, "pcd": parse_pcd}
    readers |= {"las": las, "laz": las}
    with reading(name, "points"):
        rows = readers.get(suffix, _text_rows)(data)
        if rows.ndim != 2 or rows.shape[1] < 3:
            raise FormatError(f"an array of shape {rows.shape}, not [points, 3 or more]")
        if not len(rows):
            raise FormatError("no points")
        return rows[:, :3].astype(np.float64)


def _ply_points(data: bytes, name: str) -> Doubles | None:
    scene = parse(data, name, "ply")
    clouds = [g.vertices for g in scene.geometry.values() if not len(getattr(g, "faces", ()))]
    if len(clouds) != len(scene.geometry) or not clouds:
        return None
    return np.concatenate(clouds).astype(np.float64)


def _numpy_rows(data: bytes) -> Array:
    """Read an array of numbers; nothing is allocated before its bytes are known to be there."""
    stream = BytesIO(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        first = npy.read_magic(stream) == (1, 0)
        read = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
        shape, fortran_order, dtype = read(stream)
    if dtype.kind not in "fiu":
        raise FormatError(f"an array of {dtype}, not of numbers")
    count = int(np.prod(shape, dtype=object))
    if min(shape, default=0) < 0 or count * dtype.itemsize > len(data) - stream.tell():
        raise FormatError(f"the header promises {count} numbers; the file is truncated")
    rows = np.frombuffer(data, dtype, count, stream.tell())
    return rows.reshape(shape, order="F" if fortran_order else "C")


def _text_rows(data: bytes) -> Doubles:
    """Read rows of numbers separated by spaces, commas or semicolons, `[N, columns]`."""
    text = data.decode("utf-8-sig", "replace")
    text = re.sub(r"#[^\n]*", "", re.sub("[,;]", " ", text))
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and lines[0].strip().isdecimal():
        promised = int(lines.pop(0))
        if promised > len(lines):
            raise FormatError(f"{promised} points are announced, but {len(lines)} found; truncated")
    elif lines and not _is_number(lines[0].split()[0]):
        lines.pop(0)
    if not lines:
        raise FormatError("no points")
    return np.loadtxt(StringIO("\n".join(lines)), ndmin=2)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _las_rows(name: str, data: bytes) -> Doubles:
    laspy = import_extra("laspy", "las", name)
    return np.asarray(laspy.read(BytesIO(data)).xyz, dtype=np.float64)
