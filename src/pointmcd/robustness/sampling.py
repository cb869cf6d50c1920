"""Helpers of the corruptions: regions of a cloud, and clouds refilled to their size."""

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def refilled(points: Points, kept: Mask, generator: np.random.Generator) -> Points:
    """The kept points in their order, then as many of them again, at random, as were lost.

    The first of a cloud in farthest-point order thereby stay a good small sample of what is left.
    Where nothing is kept, nothing is lost either: no cloud becomes empty.
    """
    left = points[kept] if kept.any() else points
    again = generator.integers(0, len(left), len(points) - len(left))
    return np.concatenate([left, left[again]])


def nearest_share(points: Points, centre: npt.NDArray[np.float64], share: float) -> Mask:
    """Mask of the `share` of points [N] nearest to a place, at least one."""
    count = max(1, round(share * len(points)))
    distance = ((points - centre) ** 2).sum(axis=1)
    nearest = np.zeros(len(points), dtype=bool)
    nearest[np.argsort(distance, kind="stable")[:count]] = True
    return nearest


def replaced(points: Points, share: float, generator: np.random.Generator) -> Mask:
    """Mask of a random `share` of the points [N], to be replaced; never all of them."""
    chosen = np.zeros(len(points), dtype=bool)
    count = min(round(share * len(points)), len(points) - 1)
    chosen[generator.choice(len(points), count, replace=False)] = True
    return chosen


def direction(generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """A random unit vector [3], uniform over the sphere."""
    vector = generator.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))
