"""Faces of a mesh file as polygons, and the triangles that fill them."""

from dataclasses import dataclass

import mapbox_earcut
import numpy as np

from pointmcd.errors import FormatError
from pointmcd.typing import Array, Doubles, Indices

#: Corners above which a polygon that is not convex is refused: to clip its ears takes too long.
MAX_CORNERS = 10_000
#: The same for one that comes by the same places again and again, more than twice on average.
_MAX_REPEATING = 250

#: Triangles above which a file is refused (a small glTF file can place one mesh many times).
MAX_TRIANGLES = 50_000_000

#: Share of a polygon's area that may be rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Polygons:
    """Faces as a mesh file has them, in its order.

    Attributes:
        vertices: float64 `[V, 3]`.
        corners: indices into `vertices`, of one polygon after another, int64 `[K]`.
        counts: number of corners of each polygon, int64 `[P]`; their sum is K.
        vertex_colours: of each vertex as in the file, `[V, 3]`, or None.
        face_colours: of each polygon, `[P, 3]`, or None.
        ordered: whether the polygons are the faces of the file in its order.
    """

    vertices: Doubles
    corners: Indices
    counts: Indices
    vertex_colours: Array | None = None
    face_colours: Array | None = None
    ordered: bool = True


def check_number(triangles: int) -> None:
    """Raise FormatError for more triangles than are taken."""
    if triangles > MAX_TRIANGLES:
        raise FormatError(f"{triangles} triangles are more than the {MAX_TRIANGLES} that are taken")


def triangulate(vertices: Doubles, corners: Indices, counts: Indices) -> tuple[Indices, Indices]:
    """Return the triangles that fill polygons, and the polygon that each of them comes from.

    A polygon may be concave and not quite plane, touch itself, and have corners twice or on one
    line. Its triangles turn as it does; they stand in the order of the polygons. Fewer than three
    corners give no triangle; a polygon whose area is zero, as a bow tie's, becomes a fan.

    Args:
        vertices: float64 `[V, 3]`.
        corners: indices into `vertices`, of one polygon after another, int64 `[K]`.
        counts: number of corners of each polygon, int64 `[P]`.

    Returns:
        Indices into `vertices`, int64 `[T, 3]`, and the index of a polygon for each, int64 `[T]`.

    Raises:
        FormatError: when a corner is outside the range of the vertices, or a polygon of more than
            10,000 corners is not convex.
    """
    if len(corners) and not (corners.min() >= 0 and corners.max() < len(vertices)):
        raise FormatError("a face index is outside the range of the vertices")
    if (counts == 3).all():
        return corners.reshape(-1, 3), np.arange(len(counts))
    places, polygon = _fans(counts)
    fans = corners[places]
    # Coordinates that are not finite are refused with the whole mesh.
    with np.errstate(all="ignore"):
        concave, normals = _unfilled(vertices, fans, polygon, counts)
        if not len(concave):
            return fans, polygon
        inside, owner = _ears(vertices, corners, counts, concave, normals)
    kept = ~np.isin(polygon, owner)
    faces = np.concatenate([fans[kept], corners[inside]])
    polygon = np.concatenate([polygon[kept], owner])
    order = np.argsort(polygon, kind="stable")
    return faces[order], polygon[order]


def _fans(counts: Indices) -> tuple[Indices, Indices]:
    """Return places of corners `[T, 3]`, each triangle beginning at its polygon's first corner."""
    triangles = np.maximum(counts - 2, 0)
    polygon = np.repeat(np.arange(len(counts)), triangles)
    first = (np.cumsum(counts) - counts)[polygon]
    second = first + 1 + np.arange(len(polygon)) - (np.cumsum(triangles) - triangles)[polygon]
    return np.stack([first, second, second + 1], axis=1), polygon


def _unfilled(
    vertices: Doubles, fans: Indices, polygon: Indices, counts: Indices
) -> tuple[Indices, Doubles]:
    """Return the polygons that their fans do not fill, `[C]`, and their normals `[C, 3]`.

    A fan leaves its polygon where one of its triangles turns against the whole.
    """
    larger = np.flatnonzero(counts > 3)
    if not len(larger):
        return larger, np.zeros((0, 3))
    fans = fans[counts[polygon] > 3]
    owner = np.repeat(np.arange(len(larger)), counts[larger] - 2)
    starts = np.cumsum(counts[larger] - 2) - (counts[larger] - 2)
    # Halves, because the difference of two large coordinates may be infinite.
    first = vertices[fans[:, 0]] / 2
    sides = np.stack([vertices[fans[:, 1]] / 2 - first, vertices[fans[:, 2]] / 2 - first])
    size = np.maximum.reduceat(np.abs(sides).max(axis=(0, 2)), starts)
    areas = np.cross(*(sides / size[owner, None]))
    normals = np.add.reduceat(areas, starts)
    length = np.linalg.norm(normals, axis=1)
    flat = length <= _ROUNDING * np.add.reduceat(np.linalg.norm(areas, axis=1), starts)
    along = np.minimum.reduceat(np.einsum("td,td->t", areas, normals[owner]), starts)
    concave = ~flat & (along < -_ROUNDING * length**2)
    return larger[concave], normals[concave] / length[concave, None]


def _ears(
    vertices: Doubles, corners: Indices, counts: Indices, concave: Indices, normals: Doubles
) -> tuple[Indices, Indices]:
    """Fill polygons seen along their normals; return places of corners `[E, 3]`, and polygons."""
    sizes = counts[concave]
    ends = np.cumsum(sizes)
    owner = np.repeat(np.arange(len(concave)), sizes)
    places = np.arange(ends[-1]) + np.repeat((np.cumsum(counts) - counts)[concave], sizes)
    places -= np.repeat(ends - sizes, sizes)
    seen = _seen(vertices[corners[places]], owner, ends - sizes, normals)
    ears = [
        _clipped(seen[end - size : end]) + (end - size)
        for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)
    ]
    triangles = np.concatenate(ears).reshape(-1, 3)
    turned = _areas(seen, triangles) < 0
    triangles[turned] = triangles[turned, ::-1]
    return places[triangles], concave[owner[triangles[:, 0]]]


def _clipped(ring: Doubles) -> Indices:
    """Clip the ears of a polygon `[N, 2]`; return the places of their corners, one after another.

    Where a polygon runs over itself the time for it may grow with the square of N.
    """
    size = len(ring)
    if size > MAX_CORNERS or (
        size > _MAX_REPEATING and 2 * len(np.unique(ring @ np.array([1, 1j]))) < size
    ):
        raise FormatError(f"a polygon of {size} corners is not convex; make triangles of it")
    ears = mapbox_earcut.triangulate_float64(ring, np.array([size], np.uint32))
    return np.asarray(ears, dtype=np.int64)


def _seen(points: Doubles, owner: Indices, starts: Indices, normals: Doubles) -> Doubles:
    """Project the corners of polygons along their normals: each into a square of its own."""
    points = points / 2 - points[starts][owner] / 2
    points /= np.maximum.reduceat(np.abs(points).max(axis=1), starts)[owner, None]
    axis = np.eye(3)[np.abs(normals).argmin(axis=1)]
    right = np.cross(axis, normals)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    up = np.cross(normals, right)
    across, along = (np.einsum("kd,kd->k", points, way[owner]) for way in (right, up))
    return np.stack([across, along], axis=1)


def _areas(points: Doubles, triangles: Indices) -> Doubles:
    first, second, third = np.moveaxis(points[triangles], 1, 0)
    (a, b), (c, d) = (second - first).T, (third - first).T
    return np.asarray(a * d - b * c)
