"""The part of each face of a mesh, or point of a cloud, from those of the points taken of it."""

import numpy as np
from scipy.spatial import cKDTree

from pointmcd.shapes.clouds import WholeCloud
from pointmcd.shapes.sampling import Surface
from pointmcd.typing import Indices, Reals

#: Weight of the difference of two normals, beside that of two places in the unit sphere: two sides
#: of a thin plate are far apart with it. Chosen by the true parts of train shapes of mfcad16, whose
#: faces are large, and psb_parts17, whose faces are small.
_NORMAL = 0.1


def file_parts(whole: Surface | WholeCloud | None, points: Reals, parts: Indices) -> Indices | None:
    """Return the part of each face of a mesh file, or point of a cloud, in the order of the file.

    Args:
        whole: the surface that the points were sampled from, for a mesh; for a cloud all points,
            each of which has the part of the nearest point that was taken, -1 where it is
            NaN.
        points: that were taken, `[P, 3]`.
        parts: theirs, int64 `[P]`, from 0.

    Returns:
        int64 `[F]` or `[M]`; None where the order of the file is not known.
    """
    if isinstance(whole, WholeCloud):
        placed = ~np.isnan(whole.points[:, 0])
        found = np.full(len(placed), -1)
        found[placed] = parts[cKDTree(points).query(whole.points[placed])[1]]
        return found
    return face_parts(whole, points, parts) if whole and whole.mesh.origin else None


def face_parts(surface: Surface, points: Reals, parts: Indices) -> Indices:
    """Return the part of each face in a file: of most points on it, else of the nearest point.

    Nearest to its middle, among points whose normals are alike; that decides a tie, too. A face
    without area has no part, -1.

    Args:
        surface: where the points lie on a mesh with an `origin`.
        points: `[P, 3]`.
        parts: of the points, int64 `[P]`, from 0.

    Returns:
        int64 `[F]`, in the order of the file.
    """
    mesh, face = surface
    assert mesh.origin is not None
    votes = np.zeros((mesh.origin.count, parts.max() + 1), dtype=np.int64)
    np.add.at(votes, (mesh.origin.index[face], parts), 1)
    most = votes.max(axis=1)
    found = np.where(most > 0, votes.argmax(axis=1), -1)
    tied = (most == 0) | ((votes == most[:, None]).sum(axis=1) > 1)
    normals = mesh.cross_products / mesh.double_areas[:, None]
    known = np.concatenate([points, _NORMAL * normals[face]], axis=1)
    undecided = np.flatnonzero(tied[mesh.origin.index])
    middles = mesh.vertices[mesh.faces[undecided]].mean(axis=1)
    asked = np.concatenate([middles, _NORMAL * normals[undecided]], axis=1)
    _, nearest = cKDTree(known).query(asked)
    # A polygon has several triangles; the largest speaks for it.
    order = np.argsort(mesh.double_areas[undecided], kind="stable")
    found[mesh.origin.index[undecided][order]] = parts[nearest[order]]
    return found
