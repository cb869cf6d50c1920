"""Read any mesh or point cloud file as points, as a trained encoder takes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pointmcd.errors import FormatError, ShapeError
from pointmcd.ops.farthest_points import farthest_points
from pointmcd.shapes.cloud_files import parse_rows
from pointmcd.shapes.features import wanted
from pointmcd.shapes.formats import CLOUD_SUFFIXES, mesh_suffixes, read_file, reading
from pointmcd.shapes.mesh import normalise, read_mesh, unit_box, unit_sphere
from pointmcd.shapes.sampling import Surface, sample_surface, surface_features
from pointmcd.typing import Bools, Doubles, Floats, Indices, Reals


class WholeCloud(NamedTuple):
    """All points of a cloud, in the order of its file; NaN where that has no coordinates.

    Attributes:
        points: in the unit sphere, float32 `[M, 3]`.
        placed: as in the file, float64 `[M, 3]`.
    """

    points: Floats
    placed: Doubles

    @classmethod
    def of(cls, points: Floats, placed: Doubles, kept: Bools | None) -> "WholeCloud":
        """Return a cloud [N, 3] of which `kept` [M] says which rows of its file it has."""
        if kept is None:
            return cls(points, placed)
        gaps = np.full((len(kept), 3), np.nan)
        whole = cls(gaps.astype(np.float32), gaps)
        whole.points[kept], whole.placed[kept] = points, placed
        return whole


def read_points(
    path: str | Path,
    count: int,
    seed: int = 0,
    columns: str | None = None,
    notes: list[str] | None = None,
    features: Sequence[str] = (),
) -> Floats:
    """Read a mesh or point cloud file as points in the unit sphere, in farthest-point order.

    A mesh is normalised and sampled as `prepare` does it. A cloud (`CLOUD_SUFFIXES`, `.ply` without
    faces) is centred at its mean and its farthest point put at distance 1; then its points are
    taken farthest first. A cloud of fewer points than `count` gives all of them, repeated in the
    same order.

    Args:
        path: the file.
        count: number of points P, at least 1.
        seed: of the samples of a mesh; a cloud is subsampled without chance.
        columns: which columns of a text table or array are x, y and z, where that must be said:
            three numbers counted from 1, or names, with commas.
        notes: is given the number of points of a cloud, and what else is to be known of it.
        features: names of the features that the points must have.

    Returns:
        float32 `[P, 3 + F]`: coordinates, then the channels of the features.

    Raises:
        ShapeError: when the file is absent, of another type, empty, lacks a feature, or has points
            of which some coordinates are NaN or infinite (where all are NaN, they are left out).
    """
    return read_cloud(Path(path), count, seed, columns, notes, features)[0]


def read_cloud(
    path: Path,
    count: int,
    seed: int,
    columns: str | None = None,
    notes: list[str] | None = None,
    features: Sequence[str] = (),
) -> tuple[Floats, Surface | WholeCloud]:
    """Return what `read_points` does, and what they were taken from.

    That is, for a mesh, the surface that they were sampled from; for a cloud, all of its points.
    """
    refuse_other_files(path)
    suffix, name, rows = path.suffix[1:].lower(), str(path), None
    if suffix in CLOUD_SUFFIXES:
        rows = parse_rows(read_file(path, name), suffix, name, columns, notes, features)
    if rows is None:
        mesh = normalise(read_mesh(path, name, suffix))
        points, face = sample_surface(mesh, count, seed)
        with reading(name):
            found = surface_features(mesh, points, face) if features else {}
        beside = wanted(found, features, name).values()
        if notes is not None:
            notes += stray_notes(points)
        return np.concatenate([points, *beside], axis=1), Surface(mesh, face)
    cloud = normalise_cloud(rows.points, name, rows.kept).astype(np.float32)
    if notes is not None:
        notes += [f"{len(rows.points):,} points", *stray_notes(cloud)]
    beside = wanted(rows.features, features, name).values()
    chosen = np.concatenate([cloud, *beside], axis=1)[cloud_order(cloud, count)]
    return chosen, WholeCloud.of(cloud, np.asarray(rows.points), rows.kept)


#: Distance from the middle within which nine tenths of a shape's points lie if it is but a dot.
_DOT = 0.05


def stray_notes(points: Reals) -> list[str]:
    """Note where a part far from the rest makes the rest a dot: points [N, 3] of the unit sphere.

    A stray fragment of a CAD file does, or one wrong point of a scan.
    """
    away = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    if np.quantile(away, 0.9) > _DOT:
        return []
    return ["nearly all points lie in one small spot, far from a part that may not belong to it"]


def refuse_other_files(path: Path) -> None:
    """Refuse a file that is neither a mesh nor a cloud by its name.

    Raises:
        ShapeError: naming the endings that are.
    """
    known = mesh_suffixes() | CLOUD_SUFFIXES
    if path.suffix[1:].lower() not in known:
        if not path.exists():
            raise ShapeError(f"{path}: does not exist")
        suffixes = ", ".join(f".{one}" for one in sorted(known))
        raise ShapeError(f"{path}: is not a mesh or point cloud; files that end in {suffixes} are")


def check_finite(points: Reals, where: str, kept: Bools | None = None) -> Doubles:
    """Return points `[N, 3]` as float64; `kept` says which rows of a file they are.

    Raises:
        ShapeError: when there are none, or one is NaN or infinite; the text begins with `where`.
    """
    if not len(points):
        raise ShapeError(f"{where}: holds no points")
    wrong = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(wrong):
        row = wrong[0] if kept is None else np.flatnonzero(kept)[wrong[0]]
        raise ShapeError(
            f"{where}: {len(wrong):,} of {len(points):,} points are NaN or infinite, the first in"
            f" row {row + 1}; remove these rows"
        )
    return np.ascontiguousarray(points, dtype=np.float64)


def normalise_cloud(points: Reals, name: str = "points", kept: Bools | None = None) -> Doubles:
    """Centre a cloud `[N, 3]` at its mean, with the farthest point at distance 1, as float64.

    `kept` says which rows of a file they are.

    Raises:
        ShapeError: when it is not of that shape, a coordinate is NaN or infinite, or all points are
            at one place; the text begins with `name`.
    """
    if np.ndim(points) != 2 or np.shape(points)[1] != 3:
        raise ShapeError(f"{name}: a cloud is [N, 3], not {list(np.shape(points))}")
    try:
        framed, _ = unit_box(check_finite(np.asarray(points), name, kept))
    except FormatError as error:
        raise ShapeError(f"{name}: {error}") from error
    return unit_sphere(framed, framed.mean(axis=0))


def cloud_order(cloud: Floats, count: int) -> Indices:
    """Return the indices of `count` points, farthest first; a smaller cloud is repeated."""
    return np.resize(farthest_points(cloud, min(count, len(cloud))), count)
