"""Corruptions of density: regions unseen, not scanned, too dense, too thin, or missing."""

import numpy as np
from scipy.spatial import cKDTree

from pointmcd.robustness.sampling import (
    Mask,
    Points,
    direction,
    nearest_share,
    refilled,
    replaced,
)
from pointmcd.views.hidden_points import hidden_point_removal

#: Distance of scanners from the centre of the unit sphere.
DISTANCE = 3.0

#: By severity, 1 to 5.
VIEWPOINTS = (5, 4, 3, 2, 1)
BEAMS = (32, 20, 12, 8, 5)
CROWDED = (0.1, 0.2, 0.3, 0.4, 0.5)
REGIONS = (1, 2, 3, 4, 5)

#: Share of the angle between two beams of LiDAR within which points are returned.
_BEAM_WIDTH = 0.4
_CROWDED_REGION, _THIN_REGION, _HOLE = 0.05, 0.12, 0.08
_CROWDED_REGIONS, _THINNED = 3, 0.75


def occlusion(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Keep only what a few cameras in random directions see; the more severe, the fewer cameras."""
    count = VIEWPOINTS[severity - 1]
    cameras = DISTANCE * np.stack([direction(generator) for _ in range(count)])
    seen = np.asarray(hidden_point_removal(points, cameras).any(axis=1))
    return refilled(points, seen, generator)


def lidar(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Keep only stripes of what one scanner sees; the more severe, the fewer beams."""
    toward = direction(generator)
    seen = hidden_point_removal(points, DISTANCE * toward[None])[:, 0]
    stripes = _on_a_beam(points, toward, BEAMS[severity - 1])
    both = seen & stripes
    return refilled(points, both if both.any() else seen, generator)


def _on_a_beam(points: Points, toward: Points, beams: int) -> Mask:
    """Mask of the points [N] near one of the planes that a spinning scanner's beams sweep."""
    # The scanner's axis: the upright one, or as near to it as is square to where it looks.
    upright = np.array([0.0, 1.0, 0.0]) if abs(toward[1]) < 0.99 else np.array([0.0, 0.0, 1.0])
    axis = upright - (upright @ toward) * toward
    axis /= np.linalg.norm(axis)
    rays = points - DISTANCE * toward
    angle = np.arctan2(rays @ axis, -(rays @ toward))
    # The beams cover the unit sphere, however little of it the shape fills.
    half = np.arcsin(1 / DISTANCE)
    place = (angle + half) / (2 * half) * beams
    return np.asarray(np.abs(place - np.floor(place) - 0.5) < _BEAM_WIDTH / 2)


def density_increase(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Move random points into three small regions."""
    region = np.zeros(len(points), dtype=bool)
    for centre in points[generator.integers(0, len(points), _CROWDED_REGIONS)]:
        region |= nearest_share(points, centre, _CROWDED_REGION)
    crowded: Points = points.copy()
    moved = np.flatnonzero(replaced(points, CROWDED[severity - 1], generator) & ~region)
    first = points[region][generator.integers(0, region.sum(), len(moved))]
    # Between a point of a region and the nearest but itself, so about on the surface.
    second = _nearest_of(first, points[region])
    crowded[moved] = first + generator.random((len(moved), 1)) * (second - first)
    return crowded


def _nearest_of(places: Points, points: Points) -> Points:
    """The nearest but one of points [R, 3] to each place, which is one of them."""
    _, order = cKDTree(points).query(places, k=2)
    return np.asarray(points[np.minimum(order[:, 1], len(points) - 1)])  # of one point, itself


def density_decrease(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Thin regions to a quarter of their points; the more severe, the more regions."""
    kept = np.ones(len(points), dtype=bool)
    for centre in points[generator.integers(0, len(points), REGIONS[severity - 1])]:
        region = nearest_share(points, centre, _THIN_REGION)
        kept &= ~(region & (generator.random(len(points)) < _THINNED))
    return refilled(points, kept, generator)


def cutout(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Remove regions around remaining points; the more severe, the more regions."""
    kept = np.ones(len(points), dtype=bool)
    share = _HOLE * len(points)
    for _ in range(REGIONS[severity - 1]):
        left = np.flatnonzero(kept)
        if len(left) <= share:
            break
        centre = points[generator.choice(left)]
        kept[left[nearest_share(points[left], centre, share / len(left))]] = False
    return refilled(points, kept, generator)
