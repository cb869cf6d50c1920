"""The part of each face of a mesh, or point of a cloud, from those of the points taken of it."""

import numpy as np
from scipy.spatial import cKDTree

from pointmcd.shapes.sampling import Surface
from pointmcd.typing import Floats, Indices, Reals

#: Weight of the difference of two normals, beside that of two places in the unit sphere: two sides
#: of a thin plate are far apart with it. Chosen by the true parts of train shapes of mfcad16, whose
#: faces are large, and psb_parts17, whose faces are small.
_NORMAL = 0.1


def file_parts(whole: Surface | Floats | None, points: Reals, parts: Indices) -> Indices | None:
    """Return the part of each face of a mesh file, or point of a cloud, in the order of the file.

    Args:
        whole: of a mesh, where the points lie on it; of a cloud all of its points `[M, 3]`, of
            which each has the part of the nearest.
        points: that were taken, `[P, 3]`.
        parts: theirs, int64 `[P]`, from 0.

    Returns:
        int64 `[F]` or `[M]`; None where the order of the file is not known.
    """
    if isinstance(whole, np.ndarray):
        return np.asarray(parts[cKDTree(points).query(whole)[1]])
    return face_parts(whole, points, parts) if whole and whole.mesh.origin else None


def face_parts(surface: Surface, points: Reals, parts: Indices) -> Indices:
    """Return the part of each face in a file: of most points on it, else of the nearest point.

    Nearest to its middle, among points whose normals are alike. A face without area has part 0.

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
    found = np.asarray(votes.argmax(axis=1))
    normals = mesh.cross_products / mesh.double_areas[:, None]
    known = np.concatenate([points, _NORMAL * normals[face]], axis=1)
    bare = np.flatnonzero(votes[mesh.origin.index].sum(axis=1) == 0)
    middles = mesh.vertices[mesh.faces[bare]].mean(axis=1)
    asked = np.concatenate([middles, _NORMAL * normals[bare]], axis=1)
    _, nearest = cKDTree(known).query(asked)
    # A polygon has several triangles; the largest speaks for it.
    order = np.argsort(mesh.double_areas[bare], kind="stable")
    found[mesh.origin.index[bare][order]] = parts[nearest[order]]
    return found
