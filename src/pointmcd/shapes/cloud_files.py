"""Point cloud files in any format, from their content: text, NumPy, PLY, PCD and LAS."""

from io import BytesIO

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.extras import import_extra
from pointmcd.shapes.columns import Rows
from pointmcd.shapes.formats import reading
from pointmcd.shapes.numpy_file import read_array
from pointmcd.shapes.pcd import parse_pcd
from pointmcd.shapes.ply import parse_points
from pointmcd.shapes.text_table import read_table
from pointmcd.typing import Doubles


def parse_cloud(
    data: bytes,
    suffix: str,
    name: str,
    columns: str | None = None,
    notes: list[str] | None = None,
) -> Doubles | None:
    """Read the positions of a cloud, `[N, 3]`, N at least 1; None for a PLY file with faces.

    Args:
        data: the file.
        suffix: one of `CLOUD_SUFFIXES`.
        name: the file as error texts call it.
        columns: which columns of a text table or array are x, y and z: three numbers counted
            from 1, or names, with commas. By default their names or places tell.
        notes: is given one line on a reading that is not plain.

    Raises:
        ShapeError: when the content is not that.
        ConfigError: when the type needs a package that is absent.
    """
    if suffix == "ply":
        return ply_points(data, name)
    with reading(name, "points"):
        points, note = _rows(data, suffix, name, columns)
        if not len(points):
            raise FormatError("no points")
        if note and notes is not None:
            notes.append(note)
        return points.astype(np.float64)


def _rows(data: bytes, suffix: str, name: str, columns: str | None) -> Rows:
    if suffix == "npy":
        return read_array(data, columns)
    if suffix == "pcd":
        return Rows(parse_pcd(data))
    if suffix in ("las", "laz"):
        return Rows(_las_rows(name, data))
    return read_table(data, columns)


def ply_points(data: bytes, name: str) -> Doubles | None:
    """Read the points of a PLY file as `parse_cloud` does; None for one with faces."""
    with reading(name, "points"):
        points = parse_points(data)
        if points is not None and not len(points):
            raise FormatError("no points")
        return points


def _las_rows(name: str, data: bytes) -> Doubles:
    laspy = import_extra("laspy", "las", name)
    if data[104:105] >= b"\x80":  # the format of the points says that they are compressed
        import_extra("lazrs", "las", name)
    las = laspy.read(BytesIO(data))
    if len(las.points) != las.header.point_count:
        found = f"{len(las.points)} of {las.header.point_count} points"
        raise FormatError(f"it holds {found}; the file is truncated")
    return np.asarray(las.xyz, dtype=np.float64)
