"""Points on the surface of a mesh, ordered so that the first n are a good sample."""

from typing import NamedTuple

import numpy as np
from trimesh.triangles import points_to_barycentric

from pointmcd.ops.farthest_points import farthest_points
from pointmcd.shapes.features import COLOURS, NORMALS
from pointmcd.shapes.mesh import Mesh
from pointmcd.typing import Doubles, Floats, Indices, Reals

#: Candidates drawn for each point that is kept: more make the points more even.
OVERSAMPLING = 4


class Surface(NamedTuple):
    """Where points lie on a mesh.

    Attributes:
        mesh: in the coordinates of the points.
        face: the face that each of P points lies on, int64 `[P]`.
    """

    mesh: Mesh
    face: Indices


def sample_surface(mesh: Mesh, count: int, seed: int) -> tuple[Floats, Indices]:
    """Sample points evenly from the surface, in farthest-point order.

    `4 * count` candidates are drawn uniformly by area; the kept ones are taken farthest first, so
    the first n points are a good n-point sample. The same arguments give the same points.

    Returns:
        P = `count` points, float32 `[P, 3]`, and the face that each lies on, int64 `[P]`.

    Raises:
        ValueError: when `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}; at least 1 point must be sampled")
    points, face = _uniform(mesh, OVERSAMPLING * count, np.random.default_rng(seed))
    order = farthest_points(points, count)
    return points[order], face[order]


def _uniform(mesh: Mesh, count: int, random: np.random.Generator) -> tuple[Floats, Indices]:
    """Draw points `[count, 3]` uniformly by area, and their faces `[count]`."""
    cumulated = np.cumsum(mesh.double_areas)
    pick = random.random(count) * cumulated[-1]
    # side="right" never picks a face without area; the product may round up to the very end.
    face = np.searchsorted(cumulated, pick, side="right").clip(max=len(mesh.faces) - 1)
    weights = random.random((count, 2))
    # A point in the far half of the parallelogram is mirrored into the triangle.
    weights = np.where(weights.sum(axis=1, keepdims=True) > 1, 1 - weights, weights)
    first, second, third = np.moveaxis(mesh.vertices[mesh.faces[face]], 1, 0)
    points = first + weights[:, :1] * (second - first) + weights[:, 1:] * (third - first)
    return points.astype(np.float32), face.astype(np.int64)


def surface_features(mesh: Mesh, points: Reals, face: Indices) -> dict[str, Floats]:
    """Return the features of points [N, 3] on faces [N] of a mesh, float32 [N, 3] by name.

    Normals are those of the faces, as the order of their corners has them, not smoothed. Colours
    are blended between the corners of a face, where the file has any.
    """
    features = {NORMALS.name: NORMALS.read(mesh.cross_products[face])}
    if mesh.colours is not None:
        corners = COLOURS.read(mesh.colours.reshape(-1, 3)).reshape(mesh.colours.shape)[face]
        weights = barycentric(mesh.vertices[mesh.faces[face]], np.asarray(points))
        features[COLOURS.name] = (weights[:, :, None] * corners).sum(axis=1).astype(np.float32)
    return features


def barycentric(corners: Doubles, points: Reals) -> Doubles:
    """Return weights [N, 3] of the corners [N, 3, 3] of triangles whose sums are points on them."""
    with np.errstate(all="ignore"):  # of thin faces
        weights = points_to_barycentric(corners, points)
    weights = np.nan_to_num(weights, nan=1).clip(1e-9, 1)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
