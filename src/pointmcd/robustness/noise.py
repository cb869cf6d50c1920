"""Corruptions by noise: points that are off the surface."""

import numpy as np

from pointmcd.robustness.sampling import Points, replaced

#: By severity, 1 to 5: reach or standard deviation in radii of the unit sphere, or fraction of the
#: points.
UNIFORM = (0.01, 0.02, 0.03, 0.04, 0.05)
GAUSSIAN = (0.01, 0.015, 0.02, 0.025, 0.03)
IMPULSE = (0.04, 0.08, 0.12, 0.16, 0.2)
UPSAMPLING = (0.1, 0.2, 0.3, 0.4, 0.5)
BACKGROUND = (0.02, 0.04, 0.06, 0.08, 0.1)

_IMPULSE_REACH, _UPSAMPLING_REACH = 0.1, 0.05


def uniform(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Add uniform noise to every coordinate."""
    reach = UNIFORM[severity - 1]
    return points + generator.uniform(-reach, reach, points.shape)


def gaussian(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Add normal noise to every coordinate."""
    return points + generator.normal(0, GAUSSIAN[severity - 1], points.shape)


def impulse(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Shift a few points far along every axis."""
    hit = replaced(points, IMPULSE[severity - 1], generator)
    signs = generator.choice([-1.0, 1.0], size=(int(hit.sum()), 3))
    noisy: Points = points.copy()
    noisy[hit] += _IMPULSE_REACH * signs
    return noisy


def upsampling(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Replace some points by others' neighbours, as poor upsampling does."""
    made = replaced(points, UPSAMPLING[severity - 1], generator)
    around = points[~made][generator.integers(0, (~made).sum(), int(made.sum()))]
    noisy: Points = points.copy()
    noisy[made] = around + generator.uniform(-_UPSAMPLING_REACH, _UPSAMPLING_REACH, around.shape)
    return noisy


def background(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Move a few points anywhere into the bounding box of the shape."""
    stray = replaced(points, BACKGROUND[severity - 1], generator)
    low, high = points.min(axis=0), points.max(axis=0)
    noisy: Points = points.copy()
    noisy[stray] = generator.uniform(low, high, (int(stray.sum()), 3))
    return noisy
