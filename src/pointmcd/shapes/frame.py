"""Coordinate frames that survive any finite coordinates, from 1e-300 to 1e300."""

import numpy as np

from pointmcd.typing import Doubles


def unit_box(points: Doubles) -> tuple[Doubles, float]:
    """Move and scale points so that their bounding box is centred and its longest side is 2.

    Scaling by the largest magnitude comes before any sum or square, so nothing overflows.

    Args:
        points: finite coordinates, `[N, 3]`, N at least 1.

    Returns:
        The framed points `[N, 3]`, and the rounding error of their coordinates in that frame
        (large where a small shape stands far from the origin).

    Raises:
        ValueError: when all points are at one place.
    """
    magnitude = np.abs(points).max()
    scaled = points / magnitude if magnitude > 0 else points
    lowest, highest = scaled.min(axis=0), scaled.max(axis=0)
    half = (highest - lowest).max() / 2
    if not half > 0:
        raise ValueError("all points are at one place")
    return (scaled - (lowest + highest) / 2) / half, float(np.finfo(np.float64).eps / half)


def unit_sphere(points: Doubles, centre: Doubles) -> Doubles:
    """Centre points `[N, 3]` at `centre` `[3]` and scale the farthest to distance 1."""
    centred = points - centre
    return np.asarray(centred / np.linalg.norm(centred, axis=1).max())
