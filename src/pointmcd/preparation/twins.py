"""Twins: shapes of train or val that are near-duplicates of a test shape, found by their points."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from pointmcd.preparation.config import LEAST_POINTS
from pointmcd.typing import Doubles, Floats

#: Points of a shape that are compared at most.
_MOST_POINTS = 2048
#: Points whose distances are counted, and bins of their histogram, up to three times the mean.
_COUNTED, _BINS = 512, 64
#: Shapes of train and val that are compared with a test shape: those with the nearest histograms.
_TRIED = 5
#: Points of one shape, and of the other, that turns are tried with; turns that are refined.
_FEW, _SOME, _REFINED = 48, 256, 4
#: Rounds of refinement, by nearest points and then by planes, and the points that are fitted.
_ROUNDS, _FITS, _FITTED = 8, 4, 512
#: Nearest points that a plane is laid through.
_NEAR = 8
#: Share of the points that is fitted to planes, and that has to be near: copies may differ in a
#: detail.
_FIRM, _SHARE = 0.9, 0.98
#: Limits, each a + b * u: u is the standard deviation of the distances to the nearest point of
#: one's own over their mean, 0.1 for even points (farthest of many) and 0.5 for points by chance.
#: They hold for 19 of 20 copies; `python -m benchmarks.twins` measures them.
_LIMITS = np.array(
    [
        [0.9, 4.2],  # differences of principal moments, in standard errors of points by chance
        [0.92, 0.75],  # mean distance from planes, in that from those of one's own points
        [0.45, 1.3],  # mean distance to the nearest point, in mean spacings
        [0.75, 4.9],  # and that of the share
    ]
)
#: Added to the distance from planes, in mean spacings: flat shapes have none of their own.
_FLAT = 0.02
#: Mean of the few points' distances, in mean spacings of the other's some, that is beyond repair.
_HOPELESS = 1.5
#: Mean distance to the nearest points, over its limit, that planes may mend.
_REPAIRED = 1.2
#: The 24 rotations of a cube, for copies with other axes up.
_QUARTERS = Rotation.create_group("O").as_matrix()
#: Turns of the principal axes, which have no signs, and no order where moments are equal: the
#: rotations of a cube, turned by 0, 30 or 60 degrees about each axis, [168, 3, 3].
_STEPS = np.concatenate([np.zeros((1, 3)), np.eye(3) * np.pi / 6, np.eye(3) * np.pi / 3])
_TURNS = np.concatenate([turn @ _QUARTERS for turn in Rotation.from_rotvec(_STEPS).as_matrix()])


class _Sample:
    """Distinct points [N, 3] of a shape, about their mean, at a mean square of 1."""

    def __init__(self, points: Floats) -> None:
        again = np.flatnonzero((points[1:] == points[0]).all(axis=1))  # a small cloud, repeated
        distinct = points[: min([*(again[:1] + 1), _MOST_POINTS])].astype(np.float64)
        centred = distinct - distinct.mean(axis=0)
        self.points = centred / (np.sqrt((centred**2).sum(axis=1).mean()) or 1)
        self.moments, axes = np.linalg.eigh(self.points.T @ self.points / len(distinct))
        self.axes = axes * [1, 1, np.sign(np.linalg.det(axes))]

    def histogram(self) -> Doubles:
        """Return the cumulated histogram of the distances between the first points."""
        distances = pdist(self.points[:_COUNTED])
        bins = (distances * (_BINS / 3 / distances.mean())).astype(np.int64).clip(max=_BINS - 1)
        return np.asarray(np.bincount(bins, minlength=_BINS).cumsum() / len(bins))

    @cached_property
    def tree(self) -> cKDTree:
        return cKDTree(self.points)

    @cached_property
    def moment_errors(self) -> Doubles:
        """Standard errors of the moments, were the points drawn by chance [3]."""
        return np.asarray(((self.points @ self.axes) ** 2).std(axis=0) / len(self.points) ** 0.5)

    @cached_property
    def texture(self) -> Doubles:
        """Mean distance to the nearest point, its relative deviation, mean distance from planes.

        The planes are those through the nearest others of the points, so another sample of this
        surface lies as far from them.
        """
        distances, near = self.tree.query(self.points, k=np.arange(2, _NEAR + 2))
        spacing = distances[:, 0].mean()
        _, offsets = _planes(self.points, self.points[near])
        return np.array([spacing, distances[:, 0].std() / spacing, np.abs(offsets).mean()])

    def planes(self, points: Doubles) -> tuple[Doubles, Doubles]:
        """Lay planes through those nearest to other points [N, 3], as in `_planes`."""
        return _planes(points, self.points[self.tree.query(points, k=_NEAR)[1]])


def _planes(points: Doubles, near: Doubles) -> tuple[Doubles, Doubles]:
    """Return normals [N, 3] of planes through points [N, k, 3], and how far N others lie off."""
    centres = near.mean(axis=1)
    spread = near - centres[:, None]
    normals = np.linalg.eigh(spread.transpose(0, 2, 1) @ spread)[1][:, :, 0]
    return normals, ((points - centres) * normals).sum(axis=1)


def twins_among(
    points: Callable[[int], Floats], pairs: Sequence[tuple[int, int]]
) -> set[tuple[int, int]]:
    """Return those of some pairs of shapes that are near-duplicates, as in `find_twins`.

    Args:
        points: gives the points [N, 3] of a shape, in farthest-point order.
        pairs: shapes to compare.
    """
    samples = {shape: _Sample(points(shape)) for shape in {i for pair in pairs for i in pair}}
    large = {shape for shape, sample in samples.items() if len(sample.points) >= LEAST_POINTS}
    return {(i, j) for i, j in pairs if {i, j} <= large and _apart(samples[i], samples[j]) <= 1}


def find_twins(points: Callable[[int], Floats], splits: Sequence[str]) -> list[tuple[int, int]]:
    """Find the shapes of train and val that are near-duplicates of a test shape.

    Neither place, size and turn count, nor which points of a surface were drawn; a mirror image
    is not a twin. A test shape is compared with those whose distances between points are
    distributed most like its own (D2 of Osada et al., ACM TOG 2002).

    Args:
        points: gives the points [N, 3] of a shape, in farthest-point order.
        splits: of each shape; those in other splits than train, val and test are passed over.

    Returns:
        pairs (shape of train or val, test shape), nearest first.
    """
    if not {"train", "val"}.intersection(splits) or "test" not in splits:
        return []
    members: dict[bool, list[int]] = {True: [], False: []}
    histograms: dict[bool, list[Doubles]] = {True: [], False: []}
    for i, split in enumerate(splits):
        sample = _Sample(points(i)) if split in ("train", "val", "test") else None
        if sample and len(sample.points) >= LEAST_POINTS:
            members[split == "test"].append(i)
            histograms[split == "test"].append(sample.histogram())
    if not all(members.values()):
        return []
    near = np.arange(1, min(_TRIED, len(members[False])) + 1)
    _, tried = cKDTree(histograms[False]).query(histograms[True], k=near, p=1)
    twins = []
    for test, places in zip(members[True], tried, strict=True):
        sample = _Sample(points(test))
        for other in (members[False][place] for place in places):
            if (apart := _apart(_Sample(points(other)), sample)) <= 1:
                twins.append((apart, other, test))
    return [(other, test) for _, other, test in sorted(twins)]


def _apart(first: _Sample, second: _Sample) -> float:
    """Return how far apart two samples lie in some turn, at most 1 if as those of one surface."""
    spacing, uneven, rough = (first.texture + second.texture) / 2
    limits = _LIMITS @ [1, uneven]
    errors = np.hypot(first.moment_errors, second.moment_errors)
    if (np.abs(first.moments - second.moments) > limits[0] * errors + 1e-6).any():
        return np.inf
    limits[1:] *= [rough + _FLAT * spacing, spacing, spacing]
    for start in _promising_turns(first, second):
        rotation = _refined(start, first, second)
        near, _ = second.tree.query(first.points[:_SOME] @ rotation)
        if near.mean() > _REPAIRED * limits[2]:
            continue
        turn, shift = _fitted(rotation, first, second)
        there = _summary(first.points @ turn + shift, second) / limits[1:]
        if (there <= 1).all():
            back = _summary((second.points - shift) @ turn.T, first) / limits[1:]
            if (back <= 1).all():
                return float(max(there.max(), back.max()))
    return np.inf


def _promising_turns(first: _Sample, second: _Sample) -> Doubles:
    """Return the turns [n, 3, 3], n 0 to 4, that bring a few points of the first nearest."""
    turns = np.concatenate([_QUARTERS, first.axes @ _TURNS @ second.axes.T])
    some = cKDTree(second.points[:_SOME])
    error, _ = some.query((first.points[:_FEW] @ turns).reshape(-1, 3))
    error = error.reshape(len(turns), -1).mean(axis=1)
    spacing = some.query(some.data, k=[2])[0].mean()
    best = np.argsort(error)[:_REFINED]
    return np.asarray(turns[best[error[best] <= _HOPELESS * spacing]])


def _refined(rotation: Doubles, first: _Sample, second: _Sample) -> Doubles:
    """Turn some points of the first onto the nearest of the second, again and again."""
    some = first.points[:_SOME]
    for _ in range(_ROUNDS):
        near = second.points[second.tree.query(some @ rotation)[1]]
        left, _, right = np.linalg.svd(some.T @ near)
        left[:, 2] *= np.sign(np.linalg.det(left @ right))
        rotation = left @ right
    return rotation


def _fitted(turn: Doubles, first: _Sample, second: _Sample) -> tuple[Doubles, Doubles]:
    """Fit the first to planes of the second, in turn and place (Chen and Medioni, 1992).

    Size is not fitted: planes through points near an edge lie inside, and would make it smaller.

    Returns:
        turn [3, 3] and shift [3], to apply as `points @ turn + shift`.
    """
    shift = np.zeros(3)
    for _ in range(_FITS):
        points = first.points[:_FITTED] @ turn + shift
        normals, offsets = second.planes(points)
        firm = np.abs(offsets) <= np.quantile(np.abs(offsets), _FIRM)
        slopes = np.hstack([np.cross(points, normals), normals])[firm]
        step = np.linalg.lstsq(slopes, -offsets[firm], rcond=1e-3)[0]
        change = Rotation.from_rotvec(step[:3]).as_matrix().T
        turn, shift = turn @ change, shift @ change + step[3:]
    return turn, shift


def _summary(points: Doubles, other: _Sample) -> Doubles:
    """Mean distance from planes of another sample, from its points, and that of the share [3]."""
    distances, near = other.tree.query(points, k=_NEAR)
    offsets = np.abs(_planes(points, other.points[near])[1])
    nearest = distances[:, 0]
    return np.array([offsets.mean(), nearest.mean(), np.quantile(nearest, _SHARE)])
