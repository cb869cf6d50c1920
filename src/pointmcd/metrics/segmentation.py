"""Metrics of labelled points: instance mIoU, class mIoU, point accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass

from pointmcd.metrics.metrics import PrintedMetrics
from pointmcd.metrics.part_iou import UNLABELLED, MeanIoU, mean_ious, shape_ious
from pointmcd.typing import Doubles, Indices, Integers


@dataclass(frozen=True, repr=False)
class SegmentationMetrics(PrintedMetrics, MeanIoU):
    """Test metrics of part segmentation (ShapeNetPart protocol); fractions from 0 to 1.

    `to_frame` has a row for each class.

    Attributes:
        point_accuracy: share of labelled points, of all shapes together, whose part was found.
        count: number of shapes with labelled points; others are left out of every metric.
        scores: float64 [n], mean IoU of each shape; NaN for a shape without labelled points.
    """

    point_accuracy: float
    count: int
    scores: Doubles

    @property
    def main(self) -> dict[str, float]:
        """The main metrics under the names to print them with."""
        return {
            "instance mIoU": self.instance_miou,
            "class mIoU": self.class_miou,
            "point accuracy": self.point_accuracy,
        }


def segmentation_metrics(
    truth: Integers,
    predictions: Integers,
    labels: Indices,
    part_ranges: Indices,
    classes: Sequence[str],
) -> SegmentationMetrics:
    """Compare predicted parts with the true ones: as `shape_ious`, and the K class names.

    Raises:
        PointMCDError: for what `shape_ious` refuses, and when no point is labelled.
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
