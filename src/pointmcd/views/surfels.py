"""Small ellipses that stand for the surface around each point of a cloud."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from pointmcd.typing import Doubles, Reals

#: Sizes of the neighbourhoods that a normal may come from, the point itself included. The flattest
#: wins: small ones suit fine curves, large ones see the two sides of a thin sheet as one.
_SIZES = (12, 40)
#: Points in the neighbourhood that an ellipse has its place and lengths from, itself included.
_LOCAL = 20
#: Half axes of an ellipse in spreads (standard deviations) of its neighbourhood: uniform on a disc
#: the spread is half the radius, so that 1.5 reaches over 0.75 of it.
_REACH = 1.5
#: No ellipse is narrower than this fraction of its length, as chance alone makes neighbourhoods
#: oblong.
_NARROWEST = 0.15
#: No ellipse is longer than this many times the median one: a lone point stays small.
_LONGEST = 2.0


@dataclass(frozen=True)
class Surfels:
    """N ellipses.

    Attributes:
        centres: float64 [N, 3].
        axes: float64 [N, 3, 3]: unit vectors along and across the ellipse, and its normal.
        lengths: float64 [N, 2]: half axes along and across.
    """

    centres: Doubles
    axes: Doubles
    lengths: Doubles

    @property
    def ends(self) -> Doubles:
        """Points at which the axes meet the rims, [4 * N, 3]."""
        reach = self.axes[:, :2] * self.lengths[:, :, None]
        centres = self.centres[:, None]
        return np.concatenate([centres - reach, centres + reach]).reshape(-1, 3)


def fit_surfels(points: Reals) -> Surfels:
    """Fit an ellipse to the neighbourhood of each point by principal component analysis.

    Normals by the least principal axis: Hoppe et al., "Surface Reconstruction from Unorganized
    Points" (SIGGRAPH 1992), section 3.2; their sign means nothing here. An ellipse stands at the
    mean of its neighbourhood, so that it hangs little over a border, and is as narrow as a thin
    piece is. Points [P, 3], P at least 1, give an ellipse for each of N distinct ones.
    """
    places = np.unique(points.astype(np.float64), axis=0)
    sizes = sorted({min(size, len(places)) for size in (*_SIZES, _LOCAL)})
    _, neighbours = cKDTree(places).query(places, k=np.arange(1, sizes[-1] + 1))
    centred = places[neighbours] - places[:, None]
    normals = _normals(centred, sizes)
    near = centred[:, :_LOCAL]
    mean = near.mean(axis=1)
    covariance = _covariance(near)
    # Raised along the normal, the spread within the tangent plane has the other two axes.
    outward = normals[:, :, None] * normals[:, None]
    onto = np.eye(3) - outward
    spread, axes = np.linalg.eigh(onto @ covariance @ onto - outward)
    lengths = _REACH * np.sqrt(np.maximum(spread[:, :0:-1], 0))
    lengths = np.minimum(lengths, _LONGEST * np.median(lengths[:, 0]))
    lengths[:, 1] = np.maximum(lengths[:, 1], _NARROWEST * lengths[:, 0])
    return Surfels(places + mean, axes.transpose(0, 2, 1)[:, ::-1], lengths)


def _covariance(points: Doubles) -> Doubles:
    """Covariance of sets of points [N, k, 3]: [N, 3, 3]."""
    centred = points - points.mean(axis=1, keepdims=True)
    return np.asarray(centred.transpose(0, 2, 1) @ centred / points.shape[1])


def _normals(neighbourhoods: Doubles, sizes: list[int]) -> Doubles:
    """Normals [N, 3] of the flattest beginnings of neighbourhoods [N, k, 3], nearest first."""
    flattest = np.full(len(neighbourhoods), np.inf)
    normals = np.zeros((len(neighbourhoods), 3))
    for size in sizes:
        spread, axes = np.linalg.eigh(_covariance(neighbourhoods[:, :size]))
        flatness = spread[:, 0] / np.maximum(spread[:, 1], np.finfo(float).tiny)
        better = flatness < flattest
        flattest[better] = flatness[better]
        normals[better] = axes[better, :, 0]
    return normals
