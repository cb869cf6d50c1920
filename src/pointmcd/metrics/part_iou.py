"""Part IoU as defined by the ShapeNetPart protocol.

Yi et al. 2016 (A Scalable Active Framework for Region Annotation in 3D Shape Collections), in the
form that PointNet (Qi et al. 2017, section 5.1) made common: the IoU of a shape is the mean over
the parts of its class, and a part that is absent in truth and in prediction counts 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pointmcd.errors import PointMCDError
from pointmcd.typing import Bools, Doubles, Indices, Integers

#: Truth of a point without a label: it counts neither in intersections nor in unions.
UNLABELLED = -1


@dataclass(frozen=True)
class MeanIoU:
    """Mean IoU of many shapes, fractions from 0 to 1.

    Attributes:
        instance_miou: mean over shapes.
        class_miou: mean over the classes that occur of the class's mean, each counting the same.
        per_class: mean over the shapes of each class; None for a class without shapes.
    """

    instance_miou: float
    class_miou: float
    per_class: dict[str, float | None]


def shape_ious(
    truth: ArrayLike, predicted: ArrayLike, labels: ArrayLike, part_ranges: ArrayLike
) -> Doubles:
    """Mean IoU over the parts of each shape.

    Args:
        truth: integers [n, N], global part ids; -1 for an unlabelled point.
        predicted: integers [n, N], limited beforehand to the parts of each shape's class.
        labels: integers [n], class of each shape.
        part_ranges: integers [K, 2], first part id of each class and one more than its last.

    Returns:
        Fractions [n]; NaN for a shape without a labelled point.

    Raises:
        PointMCDError: when the lengths do not match, or a class or part is out of range.
    """
    truth, predicted, ranges = _checked(truth, predicted, labels, part_ranges)
    labelled = truth != UNLABELLED
    parts = int(ranges.max(initial=0))
    common = _counts(truth, labelled & (truth == predicted), parts)
    union = _counts(truth, labelled, parts) + _counts(predicted, labelled, parts) - common
    own = (np.arange(parts) >= ranges[:, :1]) & (np.arange(parts) < ranges[:, 1:])
    known = labelled.any(axis=1)
    scores = np.full(len(truth), np.nan)
    scores[known] = (_iou(common, union) * own).sum(axis=1)[known] / own.sum(axis=1)[known]
    return scores


def part_miou(truth: Integers, predicted: Integers) -> float:
    """Mean IoU over the parts that occur in truth, the points of all shapes counted together.

    As semantic segmentation is measured: an absent part counts nothing, a rare one as much as any.

    Args:
        truth: integers [n, N], global part ids; -1 for an unlabelled point, one point or more has
            a label.
        predicted: the same, as predicted.
    """
    parts = int(max(truth.max(), predicted.max())) + 1
    return float(miou_of_counts(part_counts(truth, predicted, parts).sum(axis=0)))


def part_counts(truth: Integers, predicted: Integers, parts: int) -> Indices:
    """Count the labelled points of each shape and part: those found, true and predicted ones.

    Args:
        truth: integers [n, N], global part ids; -1 for an unlabelled point.
        predicted: the same, as predicted.
        parts: P, the number of part ids.

    Returns:
        int64 [n, P, 3].
    """
    true, said = truth.astype(np.int64), predicted.astype(np.int64)
    known = true != UNLABELLED
    kinds = ((true, known & (true == said)), (true, known), (said, known))
    return np.stack([_counts(ids, counted, parts) for ids, counted in kinds], axis=2)


def miou_of_counts(counts: Integers | Doubles) -> Doubles:
    """Part mIoU [...] of counts [..., P, 3] of `part_counts`, summed over shapes, or weighed."""
    found, true, said = np.moveaxis(counts, -1, 0)
    union = true + said - found
    ious = found / np.where(union > 0, union, 1)
    return np.asarray(ious.mean(axis=-1, where=true > 0))


def accuracy_of_counts(counts: Integers | Doubles) -> Doubles:
    """Share of labelled points that were found [...], of counts [..., P, 3] likewise."""
    found, true, _ = np.moveaxis(counts, -1, 0)
    return np.asarray(found.sum(axis=-1) / true.sum(axis=-1))


def pixel_iou(truth: Integers, predicted: Integers, start: int, stop: int) -> float:
    """Mean IoU of the pixels of a shape's parts, all its views counted together.

    The background is not a part: it has no IoU of its own, but a part painted on it, or missing
    where it was painted instead, costs that part.

    Args:
        truth: global part ids [V, S, S], -1 for background.
        predicted: the same, as predicted.
        start: the first part of the class.
        stop: the one after its last.
    """

    def count(ids: Integers) -> Indices:
        inside = ids[(ids >= start) & (ids < stop)]
        return np.bincount(inside - start, minlength=stop - start)

    common = count(truth[truth == predicted])
    return float(_iou(common, count(truth) + count(predicted) - common).mean())


def _iou(common: Indices, union: Indices) -> Doubles:
    return np.where(union > 0, common / np.maximum(union, 1), 1.0)


def mean_ious(scores: ArrayLike, labels: ArrayLike, classes: Sequence[str]) -> MeanIoU:
    """Instance and class mIoU from the IoUs [n] and classes [n] of shapes.

    Shapes without a score (NaN) are left out.

    Raises:
        PointMCDError: when no shape has a score, or the two differ in length.
    """
    values, ids = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if values.ndim != 1 or values.shape != ids.shape:
        raise PointMCDError(
            f"scores {list(values.shape)} and labels {list(ids.shape)} must be two lists of one"
            " length"
        )
    known = ~np.isnan(values)
    if not known.any():
        raise PointMCDError("no shapes with labelled points to measure")
    per_class = class_means(values[known], ids[known], classes)
    occurring = [mean for mean in per_class.values() if mean is not None]
    return MeanIoU(float(values[known].mean()), float(np.mean(occurring)), per_class)


def class_means(
    scores: Doubles, labels: Indices, classes: Sequence[str]
) -> dict[str, float | None]:
    """Mean score of the shapes of each class; None for a class without shapes.

    Scores are [..., n], the mean runs over all leading dimensions too; labels are [n].
    """
    occurring = set(labels.tolist())
    return {
        name: float(scores[..., labels == i].mean()) if i in occurring else None
        for i, name in enumerate(classes)
    }


def _counts(parts: Indices, counted: Bools, number: int) -> Indices:
    """Number of counted points of each part in each shape, int64 [n, number]."""
    rows = np.arange(len(parts))[:, None] * number
    counts = np.bincount((rows + parts)[counted], minlength=len(parts) * number)
    return counts.reshape(len(parts), number)


def _checked(
    truth: ArrayLike, predicted: ArrayLike, labels: ArrayLike, part_ranges: ArrayLike
) -> tuple[Indices, Indices, Indices]:
    """Truth and prediction [n, N] and the range of each shape's class [n, 2]."""
    given = {"truth": truth, "predictions": predicted, "labels": labels, "part_ranges": part_ranges}
    arrays = {name: np.asarray(values) for name, values in given.items()}
    for name, array in arrays.items():
        if array.size and array.dtype.kind not in "iu":
            raise PointMCDError(f"{name}: integers are needed, these are {array.dtype}")
    true, guess, ids, table = (array.astype(np.int64) for array in arrays.values())
    if true.ndim != 2 or true.shape != guess.shape or ids.shape != true.shape[:1]:
        raise PointMCDError(
            f"truth {list(true.shape)}, predictions {list(guess.shape)} and labels"
            f" {list(ids.shape)} do not match: [n, N], [n, N] and [n] are needed"
        )
    if len(ids) and not 0 <= ids.min() <= ids.max() < len(table):
        raise PointMCDError(f"a label lies outside the {len(table)} classes")
    ranges = table.reshape(-1, 2)[ids]
    counted = {"prediction": (guess, True), "true part": (true, true != UNLABELLED)}
    for what, (parts, known) in counted.items():
        outside = known & ((parts < ranges[:, :1]) | (parts >= ranges[:, 1:]))
        if outside.any():
            row, point = np.argwhere(outside)[0]
            raise PointMCDError(
                f"shape {row}: {what} {parts[row, point]} lies outside its class's parts"
                f" {ranges[row, 0]} to {ranges[row, 1] - 1}"
            )
    return true, guess, ranges
