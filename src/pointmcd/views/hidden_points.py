"""Hidden point removal: visibility of the points of a cloud without a surface."""

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from pointmcd.typing import Bools, Doubles, Integers, Reals
from pointmcd.views.neighbourhoods import roughness, strays

#: Directions in which flipped points spread less than this fraction of their largest spread are
#: rounding: the points then lie in a plane, or on a line, with the camera.
_FLAT = 1e-9
#: The measured radius at 10,000 points without noise, its growth with their number, and with noise
#: (benchmarks/hidden_points judges them; a change must raise `splats.RENDERER`).
_AT_10K, _GROWTH, _NOISE, _NOISE_GROWTH = 160.0, 0.7, 3.2, 1.0
#: Radii that were measured.
_LEAST, _MOST = 10.0, 1e5


def hidden_point_removal(points: Reals, positions: Reals, radius: float | None = None) -> Bools:
    """Tell visible from hidden points by spherical flipping and a convex hull.

    Katz, Tal and Basri, "Direct Visibility of Point Sets" (SIGGRAPH 2007), section 3: a point p,
    seen from the camera, is flipped to p + 2 (R - |p|) p / |p|; it is visible if the flipped point
    is a corner of the convex hull of all flipped points and the camera. A larger R calls more
    points visible; sparse clouds need a smaller one, noisy clouds a larger one. The denser the
    cloud, the better the answer: use all points there are and take fewer afterwards.

    No cloud is refused. Points that lie in a plane with the camera are judged within that plane,
    points on a line with it on that line (the nearest hides the others); points at one place share
    their answer; a point at the camera is visible.

    Args:
        points: [N, 3], finite.
        positions: cameras [V, 3], in the same frame.
        radius: R, in distances from the camera to its farthest point that is not a stray; above 1.
            None: that of `measured_radius`.

    Returns:
        bool [N, V].

    Raises:
        ValueError: when `radius` is not above 1.
    """
    if radius is not None and not radius > 1:
        raise ValueError(f"radius is {radius}; flipped points must lie beyond all points, above 1")
    places, place_of = np.unique(points.astype(np.float64), axis=0, return_inverse=True)
    radius = measured_radius(places) if radius is None else radius
    near = ~strays(places)
    seen = np.zeros((len(places), len(positions)), dtype=bool)
    for view, position in enumerate(positions):
        seen[:, view] = _seen_from_origin(places - position, near, radius)
    return np.asarray(seen[place_of.reshape(-1)])


def measured_radius(points: Reals) -> float:
    """Choose the radius by which clouds agreed best with exact visibility, over furniture10.

    R = 160 (N / 10,000)^(0.7 + r) 10^(3.2 r), within 10 to 100,000, with N points of roughness r
    (`neighbourhoods.roughness`). Denser points hide each other less, so that the flipped surface
    may bend less; noise wants it flatter still, lest each point hides those behind it. Fitted at
    1,000 to 100,000 points [N, 3], distinct, and noise of 0, 0.5% and 1% of the shape's radius.
    """
    rough = roughness(points)
    density = max(len(points), 1) / 10_000
    grown = density ** (_GROWTH + _NOISE_GROWTH * rough) * 10 ** (_NOISE * rough)
    return float(np.clip(_AT_10K * grown, _LEAST, _MOST))


def _seen_from_origin(points: Doubles, near: Bools, radius: float) -> Bools:
    """Judge distinct points [N, 3] for a camera at the origin: bool [N]. Strays are not `near`."""
    distance = np.linalg.norm(points, axis=1)
    seen: Bools = np.asarray(distance == 0)
    if not distance[near].any():
        return seen
    # In units of R, so that no cloud is too small or too large to compute with.
    reach = 2 - distance / (radius * distance[near].max())
    # A stray beyond 2 R cannot be flipped, and is not seen.
    elsewhere = np.flatnonzero(~seen & (reach > 0))
    unit = points[elsewhere] / distance[elsewhere, None]
    seen[elsewhere[_corners(unit * reach[elsewhere, None])]] = True
    return seen


def _corners(points: Doubles) -> Integers:
    """Return which points [N, 3] are corners of their convex hull with the origin."""
    _, spread, axes = np.linalg.svd(points, full_matrices=False)
    dimensions = int((spread > _FLAT * spread[0]).sum())
    within = points @ axes[:dimensions].T
    if dimensions == 1:
        with_camera = np.append(within[:, 0], 0)
        corners = np.array([with_camera.argmin(), with_camera.argmax()])
    else:
        with_camera = np.concatenate([within, np.zeros((1, dimensions))])
        try:
            corners = ConvexHull(with_camera).vertices
        except QhullError:
            # Qhull gives up where merged facets get too wide; moved by a trace, no facets merge.
            corners = ConvexHull(with_camera, qhull_options="QJ").vertices
    return np.asarray(corners[corners < len(points)])
