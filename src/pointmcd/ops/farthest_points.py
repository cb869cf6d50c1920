"""Farthest point sampling (Eldar et al., IEEE TIP 1997): exact, nothing compiled."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def farthest_points(points: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """The order in which each point is the farthest from all before it, the first point first.

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
    _farthest_kernel(np.ascontiguousarray(points, dtype=np.float32), order)
    return order


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _farthest_kernel(points: Array, order: Array) -> None:
    nearest = np.full(len(points), np.float32(np.inf))
    for i in range(1, len(order)):
        last = points[order[i - 1]]
        best, farthest = np.float32(-1), 0
        for j in range(len(points)):
            x, y, z = points[j, 0] - last[0], points[j, 1] - last[1], points[j, 2] - last[2]
            nearest[j] = min(nearest[j], x * x + y * y + z * z)
            if nearest[j] > best:
                best, farthest = nearest[j], j
        order[i] = farthest
