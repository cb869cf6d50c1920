"""Rays of a rig's cameras at a mesh: first hits, and exact visibility of points."""

import numpy as np

from pointmcd.shapes.mesh import Mesh
from pointmcd.typing import Bools, Floats, Integers, Ints, Reals
from pointmcd.views.framing import frame
from pointmcd.views.ray_index import ray_caster
from pointmcd.views.rig import Rig

#: A first hit this little before the point, as a fraction of the way from the camera, is the
#: point's own surface. Coordinates are float32: at the camera's distance they are off by up to 1e-7
#: of it, and by a hundred times more along a ray that grazes the surface at half a degree. A wall
#: thinner than the tolerance (4e-5 at distance 4) would let its far side through.
TOLERANCE = 1e-5


class Raycaster:
    """One mesh, framed for one rig, with a tree to find what its rays meet.

    Attributes:
        rig: the cameras.
        framing: the similarity from the mesh's frame to the rig's.
        vertices: float32 [Vn, 3], in the rig's frame.
        faces: int32 [F, 3].
        normals: float32 [F, 3], of unit length; zero for a face without area.
    """

    def __init__(self, mesh: Mesh, rig: Rig) -> None:
        self.rig, self.framing = rig, frame(mesh, rig)
        self.vertices = np.ascontiguousarray(self.framing.apply(mesh.vertices), dtype=np.float32)
        self.faces = np.ascontiguousarray(mesh.faces, dtype=np.int32)
        self.normals = _normals(self.vertices, self.faces)
        self._index = ray_caster()(self.vertices, self.faces)

    def first_faces(self, origins: Floats, directions: Floats) -> Ints:
        """Return the first face that each of R rays meets: int32 [R], -1 for none.

        Origins and directions, of any length, are float32 [R, 3].
        """
        return self._index.first_faces(origins, directions)

    def first_hits(self, origins: Floats, directions: Floats) -> tuple[Ints, Floats]:
        """Return what `first_faces` does, and how far away that is, in lengths of the direction.

        The distance is float32 [R]; infinity where a ray meets nothing.
        """
        return self._index.first_hits(origins, directions)


def _normals(vertices: Floats, faces: Ints) -> Floats:
    first, second, third = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    cross = np.cross(second - first, third - first)
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    return np.asarray(cross / np.where(length > 0, length, 1), dtype=np.float32)


def visible_points(caster: Raycaster, points: Reals, face: Integers | None = None) -> Bools:
    """Cast a ray from every camera to every point; a point is seen if nothing is before it.

    Surfaces have no inside: a point of an open plate is seen from both sides.

    Args:
        caster: the framed mesh.
        points: [P, 3], on the mesh, in its own frame.
        face: int [P], the face that each point lies on, if known; settles rays that graze it.

    Returns:
        bool [P, V].
    """
    targets = caster.framing.apply(points)
    positions = caster.rig.frames.position
    seen = np.empty((len(targets), len(positions)), dtype=bool)
    for view, position in enumerate(positions):
        directions = np.ascontiguousarray(targets - position, dtype=np.float32)
        met, distance = caster.first_hits(np.full_like(directions, position), directions)
        seen[:, view] = distance >= 1 - TOLERANCE
        if face is not None:
            seen[:, view] |= met == face
    return seen
