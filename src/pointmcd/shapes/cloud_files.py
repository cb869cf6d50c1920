"""Point cloud files in any format, from their content: text, NumPy, PLY, PCD and LAS."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.extras import import_extra
from pointmcd.shapes.columns import Rows
from pointmcd.shapes.features import KINDS, named_columns
from pointmcd.shapes.formats import reading
from pointmcd.shapes.numpy_file import read_array
from pointmcd.shapes.pcd import parse_pcd
from pointmcd.shapes.ply import parse_points
from pointmcd.shapes.text_table import read_table
from pointmcd.typing import Array, Doubles

#: Share of a cloud's size that steps between numbers may have.
_COARSE = 0.005


def parse_cloud(data: bytes, suffix: str, name: str) -> Doubles | None:
    """Read the positions of a cloud alone, `[N, 3]`; None for a PLY file with faces."""
    rows = parse_rows(data, suffix, name)
    return None if rows is None else np.asarray(rows.points)


def ply_points(data: bytes, name: str) -> Doubles | None:
    """Read the positions of a PLY file, `[N, 3]`; None for one with faces."""
    return parse_cloud(data, "ply", name)


def parse_rows(
    data: bytes,
    suffix: str,
    name: str,
    columns: str | None = None,
    notes: list[str] | None = None,
    features: Sequence[str] = (),
) -> Rows | None:
    """Read the positions of a cloud, `[N, 3]`, N at least 1; None for a PLY file with faces.

    Features that it has come as students take them, float32 `[N, 3]`. Rows without any coordinate
    (NaN in all three) are left out: a depth camera writes them where it measured nothing.

    Args:
        data: the file.
        suffix: one of `CLOUD_SUFFIXES`.
        name: the file as error texts call it.
        columns: which columns of a text table or array are x, y and z: three numbers counted
            from 1, or names, with commas. By default their names or places tell.
        notes: is given one line on a reading that is not plain.
        features: names of those to read.

    Raises:
        ShapeError: when the content is not that.
        ConfigError: when the type needs a package that is absent.
    """
    with reading(name, "points"):
        rows = _rows(data, suffix, name, columns, features)
        if rows is None:
            return None
        if not len(rows.points):
            raise FormatError("no points")
        if rows.note and notes is not None:
            notes.append(rows.note)
        points = rows.points.astype(np.float64)
        kept = np.asarray(~np.isnan(points).all(axis=1))
        if not kept.any():
            raise FormatError("no point has coordinates, all are NaN")
        if notes is not None:
            notes += _coarse_notes(points)
            notes += [f"without {(~kept).sum():,} points that are NaN"] * (not kept.all())
        there = (kind for kind in KINDS if kind.name in rows.features)
        values = {kind.name: kind.read(rows.features[kind.name][kept]) for kind in there}
        return Rows(points[kept], rows.note, values, None if kept.all() else kept)


def _coarse_notes(points: Array) -> list[str]:
    """Note coordinates [N, 3] that were rounded to float32 too far from the origin, as of UTM."""
    placed = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    most = np.abs(placed).max(initial=0)
    size = float(np.ptp(placed, axis=0).max(initial=0)) if len(placed) else 0.0
    with np.errstate(all="ignore"):
        step = float(np.spacing(np.float32(most)))
        rounded = (placed == placed.astype(np.float32)).all() and (placed / step % 2).any()
    if step <= _COARSE * size or not size or not rounded:
        return []
    told = f"coordinates near {most:,.0f} have steps of {step:g} in float32"
    return [f"{told}; save them as float64, or subtract an offset first"]


def _rows(
    data: bytes, suffix: str, name: str, columns: str | None, features: Sequence[str]
) -> Rows | None:
    if suffix == "ply":
        return parse_points(data, features)
    if suffix == "npy":
        return read_array(data, columns, features)
    if suffix == "pcd":
        return parse_pcd(data, features)
    if suffix in ("las", "laz"):
        return _las_rows(name, data, features)
    return read_table(data, columns, features)


def _las_rows(name: str, data: bytes, features: Sequence[str]) -> Rows:
    laspy = import_extra("laspy", "las", name)
    if data[104:105] >= b"\x80":  # the format of the points says that they are compressed
        import_extra("lazrs", "las", name)
    las = laspy.read(BytesIO(data))
    if len(las.points) != las.header.point_count:
        found = f"{len(las.points)} of {las.header.point_count} points"
        raise FormatError(f"it holds {found}; the file is truncated")
    names = list(las.point_format.dimension_names)
    places = named_columns([one.lower() for one in names], features)
    values = {
        kind: np.column_stack([np.asarray(las[names[column]]) for column in columns])
        for kind, columns in places.items()
    }
    return Rows(np.asarray(las.xyz, dtype=np.float64), None, values)
