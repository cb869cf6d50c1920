"""Metrics of labelled points: instance mIoU, class mIoU, point accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointmcd.metrics.part_iou import UNLABELLED, MeanIoU, mean_ious, shape_ious


@dataclass(frozen=True)
class SegmentationMetrics(MeanIoU):
    """Test metrics of part segmentation (ShapeNetPart protocol); fractions from 0 to 1.

    Attributes:
        point_accuracy: share of labelled points, of all shapes together, whose part was found.
        count: number of shapes with labelled points; others are left out of every metric.
        scores: float64 [n], mean IoU of each shape; NaN for a shape without labelled points.
    """

    point_accuracy: float
    count: int
    scores: NDArray[np.float64]

    @property
    def main(self) -> dict[str, float]:
        """The main metrics under the names to print them with."""
        return {
            "instance mIoU": self.instance_miou,
            "class mIoU": self.class_miou,
            "point accuracy": self.point_accuracy,
        }

    def as_dict(self) -> dict[str, Any]:
        """Values for `test.json`: everything but the scores."""
        return {
            "instance_miou": self.instance_miou,
            "class_miou": self.class_miou,
            "per_class": self.per_class,
            "point_accuracy": self.point_accuracy,
            "count": self.count,
        }


def segmentation_metrics(
    truth: NDArray[np.integer[Any]],
    predictions: NDArray[np.integer[Any]],
    labels: NDArray[np.int64],
    part_ranges: NDArray[np.int64],
    classes: Sequence[str],
) -> SegmentationMetrics:
    """Compare predicted parts with the true ones.

    Args:
        truth: [n, N], global part id of each point; -1 for an unlabelled point.
        predictions: [n, N], limited beforehand to the parts of each shape's class.
        labels: [n], class of each shape.
        part_ranges: [K, 2], first part id of each class and one more than its last.
        classes: the K class names.

    Raises:
        PointMCDError: when no point is labelled, lengths do not match, or a class or part is out
            of range.
    """
    scores = shape_ious(truth, predictions, labels, part_ranges)
    means = mean_ious(scores, labels, classes)
    labelled = truth != UNLABELLED
    return SegmentationMetrics(
        **vars(means),
        point_accuracy=float((truth == predictions)[labelled].mean()),
        count=int(labelled.any(axis=1).sum()),
        scores=scores,
    )
