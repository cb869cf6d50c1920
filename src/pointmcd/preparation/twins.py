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
_FEW, _SOME, _REFINED = 48, 256, 2
#: Copies differ by less in their principal moments, which sum to 1.
_MOMENTS = 0.04
#: Rounds of refinement.
_ROUNDS = 8
#: Share of the points that has to agree: copies may differ in a detail.
_SHARE = 0.98
#: Mean distance, and that of the share, between two samples of one surface at most: this times the
#: mean plus that times the standard deviation of the distances to the nearest point of one's own.
#: Measured on resampled psb25, with even points (farthest of many) and with points by chance.
_BY_MEAN, _BY_DEVIATION = np.array([0.5, 0.62]), np.array([1.15, 4.1])
#: Mean of the few points' distances, in mean spacings of the other's some, that is beyond repair.
_HOPELESS = 1.5
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
    def tolerance(self) -> Doubles:
        """Mean distance, and that of the share, to another sample of this surface at most [2]."""
        spacing = self.tree.query(self.points, k=[2])[0]
        return np.asarray(_BY_MEAN * spacing.mean() + _BY_DEVIATION * spacing.std())


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
    return {(i, j) for i, j in pairs if {i, j} <= large and _are_twins(samples[i], samples[j])}


def find_twins(points: Callable[[int], Floats], splits: Sequence[str]) -> list[tuple[int, int]]:
    """Find the shapes of train and val that are near-duplicates of a test shape.

    Neither place, size and turn count, nor which points of a surface were drawn; a mirror image
    is not a twin. A test shape is compared with those whose distances between points are
    distributed most like its own (D2 of Osada et al., ACM TOG 2002).

    Args:
        points: gives the points [N, 3] of a shape, in farthest-point order.
        splits: of each shape; those in other splits than train, val and test are passed over.

    Returns:
        pairs (shape of train or val, test shape), ascending.
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
            if _are_twins(_Sample(points(other)), sample):
                twins.append((other, test))
    return sorted(twins)


def _are_twins(first: _Sample, second: _Sample) -> bool:
    """Tell whether some turn brings two samples as near as those of one surface are."""
    if np.abs(first.moments - second.moments).max() > _MOMENTS:
        return False
    limit = (first.tolerance + second.tolerance) / 2
    for rotation in _promising_turns(first, second):
        turned = _refined(rotation, first, second)
        there = second.tree.query(first.points @ turned)[0]
        if (_summary(there) <= limit).all():
            back = first.tree.query(second.points @ turned.T)[0]
            if (_summary(back) <= limit).all():
                return True
    return False


def _promising_turns(first: _Sample, second: _Sample) -> Doubles:
    """Return the turns [n, 3, 3], n 0 to 2, that bring a few points of the first nearest."""
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


def _summary(distances: Doubles) -> Doubles:
    return np.array([distances.mean(), np.quantile(distances, _SHARE)])
