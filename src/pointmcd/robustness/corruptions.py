"""The fifteen corruptions: from points [N, 3] in the unit sphere, a strength, and randomness.

Each returns float64 [N, 3]. The kinds are those of ModelNet40-C (Sun et al., arXiv 2201.12296):
five each of density, noise and transformation. The formulas are ours: docs/corruptions.md.
"""

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from pointmcd.typing import Bools, Doubles
from pointmcd.views.hidden_points import hidden_point_removal

#: Distance of cameras and scanners from the centre of the unit sphere.
_DISTANCE = 3.0
#: Share of the angle between two beams of LiDAR within which points are returned.
_BEAM_WIDTH = 0.4


def occlusion(points: Doubles, cameras: int, generator: np.random.Generator) -> Doubles:
    """Keep what some cameras in random directions see (hidden point removal)."""
    places = _DISTANCE * np.stack([_direction(generator) for _ in range(cameras)])
    seen = np.asarray(hidden_point_removal(points, places).any(axis=1))
    return _refilled(points, seen, generator)


def lidar(points: Doubles, beams: int, generator: np.random.Generator) -> Doubles:
    """Keep what one scanner sees within stripes, planes fanned evenly over the unit sphere."""
    toward = _direction(generator)
    seen = hidden_point_removal(points, _DISTANCE * toward[None])[:, 0]
    # The scanner's axis: the upright one, or as near to it as is square to where it looks.
    upright = np.array([0.0, 1.0, 0.0]) if abs(toward[1]) < 0.99 else np.array([0.0, 0.0, 1.0])
    axis = upright - (upright @ toward) * toward
    axis /= np.linalg.norm(axis)
    rays = points - _DISTANCE * toward
    half = np.arcsin(1 / _DISTANCE)
    place = (np.arctan2(rays @ axis, -(rays @ toward)) + half) / (2 * half) * beams
    both = seen & (np.abs(place - np.floor(place) - 0.5) < _BEAM_WIDTH / 2)
    return _refilled(points, both if both.any() else seen, generator)


def density_increase(points: Doubles, share: float, generator: np.random.Generator) -> Doubles:
    """Move a share of the points into three regions of 5%, each between two neighbours there."""
    region = np.zeros(len(points), dtype=bool)
    for centre in points[generator.integers(0, len(points), 3)]:
        region |= _nearest_share(points, centre, 0.05)
    crowd, crowded = points[region], np.array(points)
    moved = np.flatnonzero(_drawn(points, share, generator) & ~region)
    first = crowd[generator.integers(0, len(crowd), len(moved))]
    nearest = cKDTree(crowd).query(first, k=2)[1][:, 1]
    second = crowd[np.minimum(nearest, len(crowd) - 1)]  # of one point, itself
    crowded[moved] = first + generator.random((len(moved), 1)) * (second - first)
    return crowded


def density_decrease(points: Doubles, regions: int, generator: np.random.Generator) -> Doubles:
    """Drop each point of some regions of 12% with probability 0.75."""
    kept = np.ones(len(points), dtype=bool)
    for centre in points[generator.integers(0, len(points), regions)]:
        region = _nearest_share(points, centre, 0.12)
        kept &= ~(region & (generator.random(len(points)) < 0.75))
    return _refilled(points, kept, generator)


def cutout(points: Doubles, regions: int, generator: np.random.Generator) -> Doubles:
    """Drop some regions of 8%, each around a point that is left."""
    kept, size = np.ones(len(points), dtype=bool), 0.08 * len(points)
    for _ in range(regions):
        left = np.flatnonzero(kept)
        if len(left) <= size:
            break
        centre = points[generator.choice(left)]
        kept[left[_nearest_share(points[left], centre, size / len(left))]] = False
    return _refilled(points, kept, generator)


def uniform(points: Doubles, reach: float, generator: np.random.Generator) -> Doubles:
    """Add U(-reach, reach) to every coordinate."""
    return points + generator.uniform(-reach, reach, points.shape)


def gaussian(points: Doubles, std: float, generator: np.random.Generator) -> Doubles:
    """Add N(0, std) to every coordinate."""
    return points + generator.normal(0, std, points.shape)


def impulse(points: Doubles, share: float, generator: np.random.Generator) -> Doubles:
    """Add 0.1 or -0.1 to every coordinate of a share of the points."""
    hit, noisy = _drawn(points, share, generator), np.array(points)
    noisy[hit] += 0.1 * generator.choice([-1.0, 1.0], size=(hit.sum(), 3))
    return noisy


def upsampling(points: Doubles, share: float, generator: np.random.Generator) -> Doubles:
    """Replace a share of the points by others, off by U(-0.05, 0.05) in every coordinate."""
    made, noisy = _drawn(points, share, generator), np.array(points)
    around = points[~made][generator.integers(0, (~made).sum(), made.sum())]
    noisy[made] = around + generator.uniform(-0.05, 0.05, around.shape)
    return noisy


def background(points: Doubles, share: float, generator: np.random.Generator) -> Doubles:
    """Replace a share of the points by uniform ones in the box around the shape."""
    stray, noisy = _drawn(points, share, generator), np.array(points)
    noisy[stray] = generator.uniform(points.min(axis=0), points.max(axis=0), (stray.sum(), 3))
    return noisy


def rotation(points: Doubles, degrees: float, generator: np.random.Generator) -> Doubles:
    """Rotate the shape by an angle about a random axis."""
    turn = Rotation.from_rotvec(np.radians(degrees) * _direction(generator))
    return np.asarray(turn.apply(points))


def shear(points: Doubles, reach: float, generator: np.random.Generator) -> Doubles:
    """Multiply by a matrix of ones on the diagonal and U(-reach, reach) elsewhere."""
    slant = generator.uniform(-reach, reach, (3, 3))
    np.fill_diagonal(slant, 1)
    return np.asarray(points @ slant.T)


def ffd(points: Doubles, reach: float, generator: np.random.Generator) -> Doubles:
    """Free-form deformation by a 5 x 5 x 5 lattice whose points move by U(-reach, reach).

    Sederberg and Parry, "Free-Form Deformation of Solid Geometric Models" (SIGGRAPH 1986).
    """
    shifts = generator.uniform(-reach, reach, (5, 5, 5, 3))
    size, powers = np.ptp(points, axis=0), np.arange(5)
    place = ((points - points.min(axis=0)) / np.where(size > 0, size, 1))[..., None]
    binomials = np.array([1.0, 4.0, 6.0, 4.0, 1.0])
    bernstein = np.moveaxis(binomials * place**powers * (1 - place) ** powers[::-1], 1, 0)
    bent = np.einsum("ni,nj,nk,ijkd->nd", *bernstein, shifts, optimize=True)
    return np.asarray(points + bent)


def rbf(points: Doubles, reach: float, generator: np.random.Generator) -> Doubles:
    """Bend by multiquadrics, sqrt(1 + r²), which grow with the distance r from a lattice point."""
    return _bent(points, reach, generator, 1)


def inverse_rbf(points: Doubles, reach: float, generator: np.random.Generator) -> Doubles:
    """Bend by inverse multiquadrics, 1 / sqrt(1 + r²), which fade with r."""
    return _bent(points, reach, generator, -1)


def _bent(points: Doubles, reach: float, generator: np.random.Generator, power: int) -> Doubles:
    """Interpolate random shifts of a 3 x 3 x 3 lattice by the kernel sqrt(1 + r²) ** power."""
    sides = np.linspace(-1, 1, 3)
    lattice = np.stack(np.meshgrid(sides, sides, sides), axis=-1).reshape(-1, 3)
    shifts = generator.uniform(-reach, reach, lattice.shape)
    # Both kernels give a matrix that can be inverted wherever no two control points agree.
    squares = (cdist(places, lattice, "sqeuclidean") for places in (lattice, points))
    inner, outer = (np.sqrt(1 + square) ** power for square in squares)
    return np.asarray(points + outer @ np.linalg.solve(inner, shifts))


def _refilled(points: Doubles, kept: Bools, generator: np.random.Generator) -> Doubles:
    """The kept points in their order, then as many of them again, at random, as were lost.

    The first of a cloud in farthest-point order thereby stay a good small sample of what is left.
    Where nothing is kept, nothing is lost either: no cloud becomes empty.
    """
    left = points[kept] if kept.any() else points
    again = generator.integers(0, len(left), len(points) - len(left))
    return np.concatenate([left, left[again]])


def _nearest_share(points: Doubles, centre: Doubles, share: float) -> Bools:
    """Mask of the `share` of points [N] nearest to a place, at least one."""
    count = max(1, round(share * len(points)))
    nearest = np.zeros(len(points), dtype=bool)
    nearest[np.argsort(((points - centre) ** 2).sum(axis=1), kind="stable")[:count]] = True
    return nearest


def _drawn(points: Doubles, share: float, generator: np.random.Generator) -> Bools:
    """Mask of a random `share` of the points [N], to be replaced; never all of them."""
    drawn = np.zeros(len(points), dtype=bool)
    count = min(round(share * len(points)), len(points) - 1)
    drawn[generator.choice(len(points), count, replace=False)] = True
    return drawn


def _direction(generator: np.random.Generator) -> Doubles:
    """A random unit vector [3], uniform over the sphere."""
    vector = generator.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))
