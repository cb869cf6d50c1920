"""Roughness and outliers of a cloud, estimated from the spacing of its points."""

import numpy as np
from scipy.spatial import cKDTree

from pointmcd.typing import Bools, Reals

#: Points of a neighbourhood, its own point included.
_SIZE = 6
#: The fraction of neighbourhoods that are taken to lie on flat surface.
_FLATTEST = 0.1
#: Strays are this many times as far from their neighbours as all but a tenth of the points are.
#: Over 85 shapes of furniture10, clean, at 1,000 and 10,000 points drawn by chance, none was more
#: than 5.3 times.
_FAR = 10.0


def roughness(points: Reals) -> float:
    """Tell noise from surface: about 0 for clean points of flat surface, up to 0.3 in noise.

    Six neighbours of a surface lie about in a plane, but for noise: their least spread (standard
    deviation along a principal axis) over the middle one is large where noise is as large as the
    spacing. Curved surface looks rough too, so the flattest tenth of the neighbourhoods decides.

    Args:
        points: [N, 3], distinct and finite; below 6 points the answer is 0.
    """
    if len(points) < _SIZE:
        return 0.0
    near = points[cKDTree(points).query(points, k=_SIZE)[1]]
    near = near - near.mean(axis=1, keepdims=True)
    spread = np.linalg.svd(near, compute_uv=False)
    # On a line the middle spread is rounding, too.
    middle = np.maximum(spread[:, 1], 1e-9 * spread[:, 0]).clip(np.finfo(float).tiny)
    return float(np.quantile(spread[:, 2] / middle, _FLATTEST))


def strays(points: Reals) -> Bools:
    """Mark points [N, 3] that stand far from all others, as the outliers of a scan do: bool [N].

    Groups of seven and more are not strays, wherever they stand; nor is any of up to 12 points.
    """
    if len(points) <= 2 * _SIZE:
        return np.zeros(len(points), dtype=bool)
    distance = cKDTree(points).query(points, k=[_SIZE + 1])[0][:, 0]
    usual = np.quantile(distance, 0.9)
    # Points that mostly coincide have no usual distance.
    return np.asarray((distance > _FAR * usual) & (usual > 0))
