"""The similarity that frames a shape for a rig, so that it fills the views."""

from dataclasses import dataclass

import numpy as np

from pointmcd.shapes.mesh import Mesh
from pointmcd.typing import Doubles, Reals
from pointmcd.views.rig import Rig

#: The fraction of the picture's half width that a shape may use: 4% stay free on each side.
FILL = 0.96
#: Nothing comes nearer to a camera than this fraction of the camera's distance.
NEAREST = 0.25


@dataclass(frozen=True)
class Framing:
    """Moves `centre` (float64 [3]) to the origin, then scales."""

    centre: Doubles
    scale: float

    def apply(self, points: Reals) -> Doubles:
        """Bring points [..., 3] from the shape's frame to the rig's."""
        return (points.astype(np.float64) - self.centre) * self.scale


def frame(mesh: Mesh, rig: Rig) -> Framing:
    """Find the largest scale at which every face lies inside every view of the rig.

    A vertex p, relative to the centre, is seen at depth D - s p.d by a camera at D d with axes r
    and u; it lies inside when s |p.r| <= m t (D - s p.d), with t the tangent of half the opening
    angle and m the fraction to fill, and likewise for u. Both are linear in s, so the bound on s is
    m t D / (|p.r| + m t p.d), and the scale is the smallest bound over all vertices and views.
    """
    corners = mesh.vertices[np.unique(mesh.faces)]
    centre = (corners.min(axis=0) + corners.max(axis=0)) / 2
    relative = corners - centre
    frames, reach = rig.frames, FILL * rig.tangent
    bounds = [np.inf]
    for right, up, forward in zip(frames.right, frames.up, frames.forward, strict=True):
        towards = relative @ -forward
        across = np.maximum(np.abs(relative @ right), np.abs(relative @ up))
        # A needle that points at a lone camera is bounded by depth only.
        need = max(
            (across / reach + towards).max() / rig.distance,
            towards.max() / (rig.distance * (1 - NEAREST)),
        )
        if need > 0:
            bounds.append(1 / need)
    scale = min(bounds)
    return Framing(centre, float(scale) if np.isfinite(scale) else 1.0)
