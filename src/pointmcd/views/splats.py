"""Grey views of a cloud from every camera of a rig, and the point that each pixel shows."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from pointmcd.shapes.mesh import Mesh
from pointmcd.typing import Array, Bytes, Doubles, Floats, Ints, Reals, kernel
from pointmcd.views.ellipses import Ellipses, draw_ellipses, place_ellipses
from pointmcd.views.framing import Framing, frame
from pointmcd.views.holes import small_holes
from pointmcd.views.neighbourhoods import strays
from pointmcd.views.rays import centre_rays
from pointmcd.views.render import BACKGROUND, BRIGHTEST, DARKEST, LIGHT
from pointmcd.views.rig import Rig
from pointmcd.views.surfels import Surfels, fit_surfels

#: Raised whenever the same cloud and rig would give other pictures, or another visibility by
#: `hidden_points`: what a store holds of a cloud goes by this name.
RENDERER = "splat-grey-3"
#: Each pixel is the mean of this many places squared; odd, so that its middle is among them.
_FINER = 3


@dataclass(frozen=True, eq=False)
class Splats:
    """A cloud drawn from V cameras.

    Attributes:
        pictures: uint8 [V, size, size].
        inverse_depths: float32 [V, size, size], at the middles of pixels; 0 for background.
        framing: the similarity from the cloud's frame to the rig's.
        points: the cloud [N, 3] in the rig's frame.
        rig: the cameras.
    """

    pictures: Bytes
    inverse_depths: Floats
    framing: Framing
    points: Doubles
    rig: Rig

    @cached_property
    def shown(self) -> Ints:
        """Index of the point nearest to what each pixel's middle shows, int32 [V, size, size].

        -1 for background.
        """
        with np.errstate(divide="ignore"):
            return nearest_points(self.points, self.rig, np.reciprocal(self.inverse_depths))


def splat_views(points: Reals, rig: Rig) -> Splats:
    """Draw a cloud [N, 3], N at least 1, as small shaded ellipses from every camera, on white.

    Surface splatting (Zwicker et al., SIGGRAPH 2001) in two passes: the first finds the nearest
    depth of every pixel, the second blends the greys of the ellipses that lie about there. Holes
    smaller than an ellipse are closed. Greys and light are those of `render_views`.

    Strays, the far outliers of a scan, are not drawn, and the others fill the pictures. No scan
    is cleaned beyond that: a floor is drawn, and framed, with the shape that stands on it.
    """
    places = np.unique(points.astype(np.float64), axis=0)
    surfels = fit_surfels(places[~strays(places)])
    framing = frame_points(surfels.ends, rig)
    surfels = replace(
        surfels, centres=framing.apply(surfels.centres), lengths=surfels.lengths * framing.scale
    )
    # Among points drawn by chance there are always some wide gaps: holes smaller than one ellipse.
    reach = float(np.median(surfels.lengths[:, 0])) / (rig.distance * rig.tangent)
    most = np.pi * (reach * rig.size * _FINER / 2) ** 2
    pictures = np.empty((len(rig), rig.size, rig.size), dtype=np.uint8)
    inverse_depths = np.empty(pictures.shape, dtype=np.float32)
    canvas = np.empty((3, rig.size * _FINER, rig.size * _FINER), dtype=np.float32)
    middle = slice(_FINER // 2, None, _FINER)
    for view in range(len(rig)):
        draw_ellipses(_seen_from(surfels, rig, view), rig.tangent, canvas)
        holes, nearest = small_holes(canvas[0] > 0, most)
        flat = canvas.reshape(3, -1)
        flat[:, holes] = flat[:, nearest]
        _shrink(canvas[1], canvas[2], pictures[view])
        inverse_depths[view] = canvas[0, middle, middle]
    return Splats(pictures, inverse_depths, framing, framing.apply(points), rig)


def frame_points(points: Reals, rig: Rig) -> Framing:
    """Find the similarity that lets points [N, 3] fill the views of a rig."""
    alone = np.repeat(np.arange(len(points))[:, None], 3, axis=1)
    return frame(Mesh(points.astype(np.float64), alone), rig)


def _seen_from(surfels: Surfels, rig: Rig, view: int) -> Ellipses:
    """Turn surfels of the rig's frame into a camera's axes, and light them."""
    frames = rig.frames
    camera = np.stack([frames.right[view], frames.up[view], frames.forward[view]])
    axes = surfels.axes @ camera.T
    facing = np.abs(axes[:, 2] @ (LIGHT * [1, 1, -1]))
    greys = DARKEST + (BRIGHTEST - DARKEST) * np.minimum(facing, 1)
    centres = (surfels.centres - frames.position[view]) @ camera.T
    return place_ellipses(centres, axes, surfels.lengths, greys)


@kernel
def _shrink(weights: Array, shades: Array, picture: Array) -> None:
    """Average the greys of places [S * _FINER, S * _FINER] to pixels, uint8 [S, S]."""
    size = len(picture)
    for row in range(size):
        for column in range(size):
            total = np.float32(0)
            for i in range(row * _FINER, (row + 1) * _FINER):
                for j in range(column * _FINER, (column + 1) * _FINER):
                    weight = weights[i, j]
                    total += shades[i, j] / weight if weight > 0 else np.float32(BACKGROUND)
            picture[row, column] = np.rint(total / np.float32(_FINER**2))


def nearest_points(points: Doubles, rig: Rig, depths: Iterable[Floats]) -> Ints:
    """Return which point is nearest to what each pixel's middle shows: int32 [V, S, S].

    Points [N, 3] are in the rig's frame; `depths` are those of each view's pixels, infinity for
    background, which gets -1.
    """
    tree = cKDTree(points)
    shown = np.full((len(rig), rig.size**2), -1, dtype=np.int32)
    for view, depth in enumerate(depths):
        hit = np.flatnonzero(np.isfinite(depth))
        origins, directions = centre_rays(rig, view)
        shown[view, hit] = tree.query(origins[hit] + depth.reshape(-1, 1)[hit] * directions[hit])[1]
    return shown.reshape(-1, rig.size, rig.size)
