"""Images of coloured point clouds: small balls, lit from the viewer, with a legend."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath
from PIL import Image
from scipy.spatial import cKDTree

from pointmcd.plots.colours import part_colours, part_paint
from pointmcd.plots.confusion import readable
from pointmcd.typing import Bools, Bytes, Doubles, Indices, Integers, Reals

#: Where the viewer stands, (elevation, azimuth) in degrees: obliquely in front, and behind.
FRONT, BACK = (25.0, 35.0), (25.0, 215.0)
#: Pictures are drawn larger and made smaller, so that the balls have smooth edges.
_ENLARGE = 2
#: The radius of a ball by the distance to the nearest other point, and its bounds by the cloud's.
_RADIUS, _SMALLEST, _LARGEST = 1.0, 0.008, 0.1
#: The cloud's part of the picture's half width.
_FILL = 0.94
#: Width of the legend in ems, and what a coloured patch and the space beside it take of that.
_LEGEND, _PATCH = 44.0, 5.0
#: Light that reaches a ball's rim, and what stands farthest away; how dark a step in depth is.
_RIM, _FAR, _STEP = 0.7, 0.85, 3.0


@dataclass(frozen=True)
class PaintedCloud:
    """Points [N, 3], their parts [N], counted from 0 (-1: without a label), and a caption."""

    points: Reals
    parts: Integers
    caption: str = ""


def parts_figure(cloud: PaintedCloud, names: Sequence[str]) -> Figure:
    """A cloud from in front and from behind, over a legend of the parts that it has.

    The figure has no window; write it with `figure.savefig(path, dpi=150)`.
    """
    every = zip(names, part_colours(len(names)), strict=True)
    occurring = {*np.unique(cloud.parts).tolist()}
    shown = [(readable(name), colour) for i, (name, colour) in enumerate(every) if i in occurring]
    widest = max((_width(name) for name, _ in shown), default=0)
    columns = min(max(int(_LEGEND / (widest + _PATCH)), 1), 4)
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(6.4, 3.5 + 0.25 * rows), layout="constrained")
    colours = part_paint(cloud.parts, len(names))
    for axes, view in zip(figure.subplots(1, 2), (FRONT, BACK), strict=True):
        axes.imshow(cloud_picture(cloud.points, colours, 480, view))
        axes.set_axis_off()
    figure.suptitle(readable(cloud.caption), fontsize=11)
    patches = [Patch(color=colour / 255, label=name) for name, colour in shown]
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _width(text: str) -> float:
    """The width of a text in ems of the legend's font."""
    return float(TextPath((0, 0), text, size=1).get_extents().width)


def cloud_picture(
    points: Reals, colours: Bytes, size: int, view: tuple[float, float] = FRONT
) -> Bytes:
    """Draw a cloud on white, seen from afar (orthographic), as large as the picture allows.

    Args:
        points: [N, 3], finite, y up; N at least 1.
        colours: [N, 3].
        size: side S of the picture in pixels; it is uint8 [S, S, 3].
        view: elevation and azimuth of the viewer, degrees.
    """
    return np.asarray(cloud_pictures(points, colours[None], size, view)[0])


def cloud_pictures(
    points: Reals, colourings: Bytes, size: int, view: tuple[float, float] = FRONT
) -> Bytes:
    """`cloud_picture` for several colourings [k, N, 3] of one cloud, uint8 [k, S, S, 3]."""
    places, radius = _framed(points, view)
    side = _ENLARGE * size
    owner, depth, height = _balls(places, radius, side)
    bare = owner < 0
    light = (_RIM + (1 - _RIM) * height) * _faded(depth, bare) * _stepped(depth, bare, side)
    pictures = []
    for colours in colourings:
        picture = np.full((side, side, 3), 255, dtype=np.uint8)
        picture[~bare] = colours[owner[~bare]] * light[~bare, None]
        pictures.append(np.asarray(Image.fromarray(picture).reduce(_ENLARGE)))
    return np.stack(pictures)


def _framed(points: Reals, view: tuple[float, float]) -> tuple[Doubles, float]:
    """Places [N, 3] (right, up, towards the viewer) that fill [-1, 1], and the balls' radius."""
    elevation, azimuth = np.radians(view)
    right = np.array([np.cos(azimuth), 0, -np.sin(azimuth)])
    level = np.cos(elevation)
    towards = np.array([level * np.sin(azimuth), np.sin(elevation), level * np.cos(azimuth)])
    axes = np.stack([right, np.cross(towards, right), towards], axis=1)
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    turned = centred @ axes
    lowest, highest = turned.min(axis=0), turned.max(axis=0)
    extent = highest - lowest
    # Points in one line of sight differ by rounding alone: no reason to enlarge that.
    half = max(extent[:2].max(), 1e-6 * extent[2]) / 2 or 1.0
    places = (turned - (lowest + highest) / 2) / half
    radius = _radius(places)
    return places * (_FILL - radius), radius


def _radius(places: Doubles) -> float:
    """Radius at which neighbouring balls touch, so that a surface of points looks closed."""
    distinct = np.unique(places, axis=0)
    if len(distinct) == 1:
        return _LARGEST
    nearest, _ = cKDTree(distinct).query(distinct, k=2)
    return float(np.clip(_RADIUS * np.median(nearest[:, 1]), _SMALLEST, _LARGEST))


def _balls(places: Doubles, radius: float, side: int) -> tuple[Indices, Doubles, Doubles]:
    """The point that each pixel shows (-1: none), its depth, and the height of its ball there.

    Each [side, side]; the height runs from 0 at the ball's rim to 1 at its top.
    """
    owner = np.full((side, side), -1)
    depth, height = np.full((side, side), -np.inf), np.zeros((side, side))
    middle = np.arange(side) + 0.5
    reach = radius * side / 2
    for index, (across, up, towards) in enumerate(places):
        row, column = (1 - up) * side / 2, (1 + across) * side / 2
        rows, columns = (slice(int(max(x - reach, 0)), int(x + reach) + 1) for x in (row, column))
        below, beside = (middle[rows] - row) / reach, (middle[columns] - column) / reach
        square = below[:, None] ** 2 + beside**2
        top = np.sqrt(np.maximum(1 - square, 0))
        found = towards + radius * top
        nearer = (square < 1) & (found > depth[rows, columns])
        owner[rows, columns][nearer] = index
        depth[rows, columns][nearer] = found[nearer]
        height[rows, columns][nearer] = top[nearer]
    return owner, depth, height


def _faded(depth: Doubles, bare: Bools) -> Doubles:
    """Light by distance: 1 in front, `_FAR` at the back."""
    seen = depth[~bare]
    span = float(np.ptp(seen)) or 1.0
    return np.where(bare, 1, 1 - (1 - _FAR) * (seen.max() - depth).clip(0, span) / span)


def _stepped(depth: Doubles, bare: Bools, side: int) -> Doubles:
    """Darken pixels just behind nearer ones (eye-dome lighting, Boucheny 2009)."""
    filled = np.where(bare, depth[~bare].min() - 1, depth)
    reach = max(side // 160, 1)
    padded = np.pad(filled, reach, mode="edge")
    behind = np.zeros_like(filled)
    for row, column in ((0, 1), (2, 1), (1, 0), (1, 2)):
        beside = padded[row * reach :, column * reach :][:side, :side]
        behind += (beside - filled).clip(0, 0.25)
    return np.exp(-_STEP * behind / 4)
