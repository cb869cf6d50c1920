"""Farthest point sampling (Eldar et al., IEEE TIP 1997), exact.

A new point changes the distances of those near it alone. Points are held in buckets of neighbours,
and a bucket whose box is farther from the new point than its own farthest point is from the chosen
ones is passed over (the idea of Han et al., "QuickFPS", IEEE TCAD 2023).
"""

import numpy as np
from scipy.spatial import cKDTree

from pointmcd.typing import Array, Floats, Indices, kernel

#: Points in a bucket.
_BUCKET = 128
#: Distances to boxes are rounded too; a bucket so near to its limit is looked through.
_SLACK = np.float32(0.999)


def farthest_points(points: Floats, count: int) -> Indices:
    """Order points so that each is the farthest from all before it, beginning with the first.

    Args:
        points: [N, 3].
        count: length of the order, 1 to N.

    Returns:
        indices into `points`, int64 [count]; distinct where the points are. Of equally far points
        the first is taken.

    Raises:
        ValueError: when `count` is out of range.
    """
    if not 1 <= count <= len(points):
        raise ValueError(f"count is {count}; 1 to {len(points)} points can be chosen")
    order = np.zeros(count, dtype=np.int64)
    kept = _by_place(points)
    coordinates = np.ascontiguousarray(points[kept].T, dtype=np.float32)
    _farthest_kernel(coordinates, kept, _SLACK, order)
    return order


def _by_place(points: Floats) -> Indices:
    """Return all indices, bucket after bucket, ascending in each."""
    near = cKDTree(points, leafsize=_BUCKET).indices.astype(np.int64)
    for start in range(0, len(near), _BUCKET):
        near[start : start + _BUCKET].sort()
    return np.asarray(near)


@kernel
def _farthest_kernel(points: Array, kept: Array, slack: float, order: Array) -> None:
    """`points` [3, N] are those of the indices `kept` [N], the first of all among them."""
    count = len(kept)
    buckets = (count + _BUCKET - 1) // _BUCKET
    low, high = np.empty((buckets, 3), points.dtype), np.empty((buckets, 3), points.dtype)
    for bucket in range(buckets):
        within = points[:, bucket * _BUCKET : (bucket + 1) * _BUCKET]
        for axis in range(3):
            low[bucket, axis], high[bucket, axis] = within[axis].min(), within[axis].max()
    nearest = np.full(count, np.float32(np.inf))
    farthest = np.zeros(buckets, np.int64)
    reach = np.full(buckets, np.float32(np.inf))
    last = np.argmin(kept)
    for i in range(1, len(order)):
        x, y, z = points[0, last], points[1, last], points[2, last]
        for bucket in range(buckets):
            away = _to_box(low[bucket, 0], high[bucket, 0], x)
            away += _to_box(low[bucket, 1], high[bucket, 1], y)
            away += _to_box(low[bucket, 2], high[bucket, 2], z)
            if i == 1 or away * slack < reach[bucket]:
                start, stop = bucket * _BUCKET, min((bucket + 1) * _BUCKET, count)
                farthest[bucket] = _approach(points, x, y, z, start, stop, nearest)
                reach[bucket] = nearest[farthest[bucket]]
        last = farthest[0]
        for there in farthest[1:]:
            tied = nearest[there] == nearest[last] and kept[there] < kept[last]
            if nearest[there] > nearest[last] or tied:
                last = there
        order[i] = kept[last]


@kernel
def _to_box(low: float, high: float, place: float) -> float:
    """Square of the distance along one axis."""
    gap = max(low - place, place - high, np.float32(0))
    square: float = gap * gap
    return square


@kernel
def _approach(
    points: Array, x: float, y: float, z: float, start: int, stop: int, nearest: Array
) -> int:
    """Lower the squared distances of one bucket; return its farthest point."""
    for j in range(start, stop):  # no branch: runs on vector registers
        dx, dy, dz = points[0, j] - x, points[1, j] - y, points[2, j] - z
        square = dx * dx + dy * dy + dz * dz
        nearest[j] = square if square < nearest[j] else nearest[j]
    farthest: int = start + np.argmax(nearest[start:stop])
    return farthest
