"""Triangles of strips and fans."""

import numpy as np

from pointmcd.typing import Bools, Indices


def strip_triangles(corners: Indices, begins: Bools, restarts: Bools, fan: bool = False) -> Indices:
    """Return the triangles `[T, 3]` of strips, or of fans, in their order.

    Each corner of a strip makes a triangle with the two before it; every second one is turned, so
    that all of them face the same side. In a fan the first corner takes the place of the older one.

    Args:
        corners: vertices of one strip after another, `[K]`.
        begins: whether a corner is the first of a strip, `[K]`.
        restarts: whether it is not a corner but stands between two strips, `[K]`.
        fan: whether these are fans.
    """
    strip = np.cumsum(begins | restarts)[~restarts]
    corners = corners[~restarts]
    first = np.searchsorted(strip, strip)
    third = np.flatnonzero(strip[2:] == strip[:-2]) + 2
    oldest = first[third] if fan else third - 2
    turned = ((third - first[third]) % 2 == 1) & (not fan)
    triangles = np.stack([oldest, third - 1, third], axis=1)
    triangles[turned] = triangles[turned][:, [1, 0, 2]]
    return corners[triangles]
