"""Grey views of a cloud from every camera of a rig, and the point that each pixel shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from pointmcd.shapes.mesh import Mesh
from pointmcd.typing import Array, Bytes, Doubles, Floats, Ints, Reals, kernel
from pointmcd.views.framing import Framing, frame
from pointmcd.views.neighbourhoods import strays
from pointmcd.views.raycast import centre_rays
from pointmcd.views.render import BACKGROUND, BRIGHTEST, DARKEST, LIGHT
from pointmcd.views.rig import Rig
from pointmcd.views.surfels import Surfels, fit_surfels

#: Raised whenever the same cloud and rig would give other pictures, or another visibility by
#: `hidden_points`: what a store holds of a cloud goes by this name.
RENDERER = "splat-grey-2"
#: Each pixel is the mean of this many places squared; odd, so that its middle is among them.
_FINER = 3


@dataclass(frozen=True, eq=False)
class Splats:
    """A cloud drawn from V cameras.

    Attributes:
        pictures: uint8 [V, size, size].
        depths: float32 [size, size] of each view, at the middles of pixels; infinity: background.
        framing: the similarity from the cloud's frame to the rig's.
        points: the cloud [N, 3] in the rig's frame.
        rig: the cameras.
    """

    pictures: Bytes
    depths: Sequence[Floats]
    framing: Framing
    points: Doubles
    rig: Rig

    @cached_property
    def shown(self) -> Ints:
        """Index of the point nearest to what each pixel's middle shows, int32 [V, size, size].

        -1 for background.
        """
        return nearest_points(self.points, self.rig, self.depths)


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
    drawn = [_draw(surfels, framing, rig, view) for view in range(len(rig))]
    pictures, depths = zip(*drawn, strict=True)
    return Splats(np.stack(pictures), depths, framing, framing.apply(points), rig)


def frame_points(points: Reals, rig: Rig) -> Framing:
    """Find the similarity that lets points [N, 3] fill the views of a rig."""
    alone = np.repeat(np.arange(len(points))[:, None], 3, axis=1)
    return frame(Mesh(points.astype(np.float64), alone), rig)


def _draw(surfels: Surfels, framing: Framing, rig: Rig, view: int) -> tuple[Bytes, Floats]:
    """Return an image, and the depth at the centres of its pixels: float32 [size, size]."""
    frames, size = rig.frames, rig.size * _FINER
    camera = np.stack([frames.right[view], frames.up[view], frames.forward[view]])
    centres = (framing.apply(surfels.centres) - frames.position[view]) @ camera.T
    axes = surfels.axes @ camera.T
    facing = np.abs(axes[:, 2] @ (LIGHT * [1, 1, -1]))
    greys = DARKEST + (BRIGHTEST - DARKEST) * np.minimum(facing, 1)
    picture = np.full((size, size), BACKGROUND, dtype=np.float32)
    depths = np.full((size, size), np.inf, dtype=np.float32)
    # Scaled by its half axes, an ellipse's reach is a sum of squares.
    scaled = axes[:, :2] / np.maximum(surfels.lengths * framing.scale, 1e-9)[:, :, None]
    lengths = surfels.lengths * framing.scale
    _splat(centres, scaled, axes[:, 2], lengths, greys, rig.tangent, picture, depths)
    median = float(np.median(lengths[:, 0]))
    _fill(picture, depths, median / (rig.distance * rig.tangent) * size / 2)
    blocks = picture.reshape(rig.size, _FINER, rig.size, _FINER)
    middle = slice(_FINER // 2, None, _FINER)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8), depths[middle, middle]


def _fill(picture: Array, depths: Array, reach: float) -> None:
    """Close holes [S, S] that are smaller than one ellipse of half axis `reach` places.

    Among points drawn by chance there are always some wide gaps.
    """
    holes, count = ndimage.label(np.isinf(depths))
    sizes = np.bincount(holes.reshape(-1), minlength=count + 1)
    small = sizes < np.pi * reach**2
    # Neither the shape itself nor what reaches the picture's border is a hole.
    small[0] = False
    small[np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]])] = False
    rows, columns = np.nonzero(small[holes])
    if len(rows):
        _, (from_row, from_column) = ndimage.distance_transform_edt(
            np.isinf(depths), return_indices=True
        )
        nearest = from_row[rows, columns], from_column[rows, columns]
        picture[rows, columns], depths[rows, columns] = picture[nearest], depths[nearest]


def nearest_points(points: Doubles, rig: Rig, depths: Sequence[Floats]) -> Ints:
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


@kernel
def _splat(
    centres: Array,
    scaled: Array,
    normals: Array,
    lengths: Array,
    greys: Array,
    tangent: float,
    picture: Array,
    depths: Array,
) -> None:
    """Fill `picture` and `depths` [S, S] with ellipses in the camera's axes.

    A ray that passes within 2.2 places of a centre (half a pixel's diagonal) meets the ellipse in
    any case, so that none slips between rays.
    """
    size = len(picture)
    pixel = 2 * tangent / size
    slack = (2.2 * pixel) ** 2
    weights = np.zeros((size, size), dtype=np.float32)
    at, within = np.empty(size), np.empty(size)  # of a row: depths, and how far from the centre
    for blending in range(2):
        for i in range(len(centres)):
            x, y, z = centres[i]
            ax, ay, az = scaled[i, 0]
            bx, by, bz = scaled[i, 1]
            nx, ny, nz = normals[i]
            offset = nx * x + ny * y + nz * z
            alongside, aside = ax * x + ay * y + az * z, bx * x + by * y + bz * z
            grey, thickness = greys[i], lengths[i, 1]
            # How far the ellipse reaches along the camera's axes; nearer parts look larger.
            along, across = lengths[i] * lengths[i]
            deep = np.sqrt((along * az) ** 2 + (across * bz) ** 2)
            near = max(z - deep, z / 2)
            wide = np.sqrt((along * ax) ** 2 + (across * bx) ** 2) + abs(x / z) * deep
            high = np.sqrt((along * ay) ** 2 + (across * by) ** 2) + abs(y / z) * deep
            wide, high = wide / near + 3 * pixel, high / near + 3 * pixel
            left = max(int((x / z - wide + tangent) / pixel), 0)
            right = min(int((x / z + wide + tangent) / pixel) + 1, size)
            top = max(int((tangent - y / z - high) / pixel), 0)
            bottom = min(int((tangent - y / z + high) / pixel) + 1, size)
            for row in range(top, bottom):
                v = tangent - (row + 0.5) * pixel
                # No branch: runs on vector registers.
                for j in range(right - left):
                    u = (left + j + 0.5) * pixel - tangent
                    turned = nx * u + ny * v + nz
                    steep = abs(turned) > 0.05
                    depth = np.divide(offset, turned if steep else 1.0)
                    a = depth * (ax * u + ay * v + az) - alongside
                    b = depth * (bx * u + by * v + bz) - aside
                    reach = a * a + b * b
                    meets = steep and reach <= 1
                    touches = (u - x / z) ** 2 + (v - y / z) ** 2 <= slack
                    at[j] = depth if meets else z
                    within[j] = reach if meets else (1.0 if touches else 2.0)
                for j in range(right - left):
                    reach, depth, column = within[j], at[j], left + j
                    if reach > 1:
                        continue
                    if blending == 0:
                        depths[row, column] = min(depths[row, column], depth)
                    elif depth <= depths[row, column] + thickness:
                        weight = (1 - reach) * (1 - reach) + 1e-4
                        total = weights[row, column] + weight
                        before = picture[row, column] if total > weight else grey
                        picture[row, column] = before + weight / total * (grey - before)
                        weights[row, column] = total
