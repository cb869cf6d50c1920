"""Exact visibility of points on a surface, by rays to every camera of a rig."""

import numpy as np

from pointmcd.typing import Bools, Integers, Reals
from pointmcd.views.raycast import Raycaster

#: A first hit this little before the point, as a fraction of the way from the camera, is the
#: point's own surface. Coordinates are float32: at the camera's distance they are off by up to 1e-7
#: of it, and by a hundred times more along a ray that grazes the surface at half a degree. A wall
#: thinner than the tolerance (4e-5 at distance 4) would let its far side through.
TOLERANCE = 1e-5


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
