"""Ellipses in space, drawn into a picture: nearest depths first, then blended greys."""

from dataclasses import dataclass

import numpy as np

from pointmcd.typing import Array, Doubles, Floats, kernel

#: Rays that meet the plane of an ellipse at a sine below this one pass it by.
_GRAZING = 0.05
#: Rays within this many places of the centre (half a pixel's diagonal) meet an ellipse in any case,
#: so that none slips between rays.
_SLACK = 2.2
#: An ellipse reaches towards the camera by this fraction of its centre's depth at most.
_NEAREST = 0.9
#: Weight of an ellipse at its rim, and where it is met by that rule.
_RIM = np.float32(1e-4)
_ZERO, _ONE = np.float32(0), np.float32(1)


@dataclass(frozen=True, eq=False)
class Ellipses:
    """N ellipses in a camera's axes (right, up, forward), the camera at the origin.

    The ray (u, v, 1) meets the plane of an ellipse at the inverse depth T, and the ellipse where
    A^2 + B^2 <= T^2; A, B and T are linear in u and v.

    Attributes:
        forms: float64 [N, 3, 3], coefficients of u, v and 1 in A, B and T.
        centres: float64 [N, 3]: u, v and inverse depth.
        heights: float64 [N, 2], lowest and highest v.
        least: float64 [N], inverse depth below which rays graze the plane.
        thickness: float32 [N], how far behind the nearest depth an ellipse is still blended in.
        greys: float32 [N].
    """

    forms: Doubles
    centres: Doubles
    heights: Doubles
    least: Doubles
    thickness: Floats
    greys: Floats


def place_ellipses(centres: Doubles, axes: Doubles, lengths: Doubles, greys: Doubles) -> Ellipses:
    """Describe ellipses by centres [N, 3], unit axes [N, 3, 3] and half axes [N, 2].

    Centres are before the camera; an ellipse that would reach it is smaller.
    """
    deep = np.sqrt(((axes[:, :2, 2] * lengths) ** 2).sum(axis=1))
    most = _NEAREST * centres[:, 2]
    lengths = lengths * (most / np.maximum(deep, most))[:, None]
    offsets = (axes[:, 2] * centres).sum(axis=1)
    normals = np.where(offsets[:, None] < 0, -axes[:, 2], axes[:, 2])
    offsets = np.maximum(np.abs(offsets), 1e-12)
    # Scaled by its half axes, an ellipse's reach is a sum of squares.
    scaled = axes[:, :2] / np.maximum(lengths, 1e-9)[:, :, None]
    plane = normals / offsets[:, None]
    within = scaled - (scaled @ centres[:, :, None]) * plane[:, None]
    # The rim's lowest and highest v, by the dual conic of c + p cos + q sin.
    rim = axes[:, :2, 1:] * lengths[:, :, None]
    dual = rim.transpose(0, 2, 1) @ rim - centres[:, 1:, None] * centres[:, None, 1:]
    mixed, along = dual[:, 0, 1], dual[:, 1, 1]
    root = np.sqrt(np.maximum(mixed**2 - dual[:, 0, 0] * along, 0))
    inverse = 1 / centres[:, 2:]
    return Ellipses(
        forms=np.concatenate([within, plane[:, None]], axis=1),
        centres=np.concatenate([centres[:, :2] * inverse, inverse], axis=1),
        heights=np.stack([(mixed + root) / along, (mixed - root) / along], axis=1),
        least=_GRAZING / offsets,
        thickness=lengths[:, 1].astype(np.float32),
        greys=greys.astype(np.float32),
    )


def draw_ellipses(ellipses: Ellipses, tangent: float, canvas: Floats) -> None:
    """Draw into a picture of S places each way, half as wide as `tangent` at distance 1.

    Args:
        ellipses: all before the camera.
        tangent: of half the opening angle.
        canvas: float32 [3, S, S], overwritten with the inverse of the nearest depth, 0 for
            background; the sum of the weights of the ellipses that lie about there; and the sum of
            their greys by weight.
    """
    canvas.fill(0)
    spans = np.empty((canvas.shape[1], 2), dtype=np.int64)
    e = ellipses
    _draw(
        *(e.forms, e.centres, e.heights, e.least, e.thickness, e.greys),
        *(tangent, spans, *canvas.reshape(3, -1)),
    )


@kernel
def _draw(
    forms: Array,
    centres: Array,
    heights: Array,
    least: Array,
    thickness: Array,
    greys: Array,
    tangent: float,
    spans: Array,
    near: Array,
    weights: Array,
    shades: Array,
) -> None:
    """Find the nearest depths in a first pass over all ellipses, blend greys in a second."""
    size = len(spans)
    pixel = 2 * tangent / size
    slack = _SLACK * pixel
    for blending in range(2):
        for i in range(len(forms)):
            x, y, inverse = centres[i]
            form, thick, grey = forms[i], thickness[i], greys[i]
            top, bottom = _range(-heights[i, 1], -heights[i, 0], tangent, size)
            above, below = _range(-y - slack, -y + slack, tangent, size)
            first, last = min(top, above), max(bottom, below)
            _find_spans(form, x, least[i], first, last, tangent, spans)
            steps = _single(_at(form, pixel, 0.0, 0.0))
            for row in range(first, last):
                start, stop = spans[row]
                u, v = (start + 0.5) * pixel - tangent, tangent - (row + 0.5) * pixel
                values = _single(_at(form, u, v, 1.0))
                begin, count = np.uint64(row * size + start), np.uint64(stop - start)
                if blending == 0:
                    _approach(near, begin, count, values[2], steps[2])
                else:
                    _blend(near, weights, shades, begin, count, values, steps, thick, grey)
            left, right = _range(x - slack, x + slack, tangent, size)
            flat = np.float32(inverse)
            for row in range(above, below):
                for column in range(left, right):
                    u, v = (column + 0.5) * pixel - tangent, tangent - (row + 0.5) * pixel
                    within = spans[row, 0] <= column < spans[row, 1]
                    if within or (u - x) ** 2 + (v - y) ** 2 > slack**2:
                        continue
                    place = row * size + column
                    if blending == 0:
                        near[place] = max(near[place], flat)
                    elif near[place] <= flat + thick * flat * near[place]:
                        weights[place] += _RIM
                        shades[place] += _RIM * grey


@kernel
def _at(form: Array, u: float, v: float, w: float) -> tuple[float, float, float]:
    """Return A, B and T at (u, v, w)."""
    return (
        form[0, 0] * u + form[0, 1] * v + form[0, 2] * w,
        form[1, 0] * u + form[1, 1] * v + form[1, 2] * w,
        form[2, 0] * u + form[2, 1] * v + form[2, 2] * w,
    )


@kernel
def _single(values: tuple[float, float, float]) -> tuple[float, float, float]:
    """Round to float32."""
    return np.float32(values[0]), np.float32(values[1]), np.float32(values[2])


@kernel
def _range(low: float, high: float, tangent: float, size: int) -> tuple[int, int]:
    """Return which places lie between two coordinates: the first, and one after the last."""
    scale = size / (2 * tangent)
    start = min(max(np.ceil((low + tangent) * scale - 0.5), 0.0), float(size))
    stop = min(max(np.floor((high + tangent) * scale + 0.5), start), float(size))
    return int(start), int(stop)


@kernel
def _find_spans(
    form: Array, x: float, least: float, top: int, bottom: int, tangent: float, spans: Array
) -> None:
    """Find the columns of each row that meet an ellipse: the first, and one after the last.

    A^2 + B^2 - T^2 is quadratic in u; taken about the centre's u, its roots lose no digits.
    """
    size = len(spans)
    pixel = 2 * tangent / size
    ax, bx, tx = form[0, 0], form[1, 0], form[2, 0]
    square = max(ax * ax + bx * bx - tx * tx, 1e-300)
    for row in range(top, bottom):
        a, b, t = _at(form, x, tangent - (row + 0.5) * pixel, 1.0)
        half = ax * a + bx * b - tx * t
        inside = half * half - square * (a * a + b * b - t * t)
        if not inside >= 0 or (tx == 0 and t <= least):
            spans[row, 0] = spans[row, 1] = 0
            continue
        root = np.sqrt(inside)
        low, high = x - (half + root) / square, x + (root - half) / square
        # T grows or falls with u: rays graze the plane on one side.
        if tx > 0:
            low = max(low, x + (least - t) / tx)
        elif tx < 0:
            high = min(high, x + (least - t) / tx)
        spans[row] = _range(low, high, tangent, size)


@kernel
def _approach(near: Array, begin: int, count: int, t: float, step: float) -> None:
    """Raise the inverse depths of a row's places; unsigned indices and no branch make it fast."""
    for j in range(count):
        there = t + np.float32(np.int32(j)) * step
        near[begin + j] = max(near[begin + j], there)


@kernel
def _blend(
    near: Array,
    weights: Array,
    shades: Array,
    begin: int,
    count: int,
    values: tuple[float, float, float],
    steps: tuple[float, float, float],
    thick: float,
    grey: float,
) -> None:
    """Add to the weights and shades of a row's places where the ellipse is not hidden."""
    for j in range(count):
        place, nearest = np.float32(np.int32(j)), near[begin + j]
        a, b = values[0] + place * steps[0], values[1] + place * steps[1]
        t = values[2] + place * steps[2]
        reach = max(_ONE - np.divide(a * a + b * b, t * t), _ZERO)
        shown = nearest <= t + thick * t * nearest
        weight = reach * reach + _RIM if shown else _ZERO
        weights[begin + j] += weight
        shades[begin + j] += weight * grey
