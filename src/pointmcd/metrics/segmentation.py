"""Metrics of labelled points: instance, class and part mIoU, point accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pointmcd.metrics.metrics import PrintedMetrics
from pointmcd.metrics.part_iou import (
    UNLABELLED,
    MeanIoU,
    accuracy_of_counts,
    mean_ious,
    miou_of_counts,
    part_counts,
    part_miou,
    shape_ious,
)
from pointmcd.metrics.statistics import pooled_interval
from pointmcd.typing import Doubles, Indices, Integers


@dataclass(frozen=True, repr=False)
class SegmentationMetrics(PrintedMetrics, MeanIoU):
    """Test metrics of part segmentation (ShapeNetPart protocol); fractions from 0 to 1.

    Where shapes have few of their class's many parts, instance mIoU says little: parts that are
    absent from truth and prediction count 1 there, so whoever predicts the same part for every
    point scores high (`constant_miou`). Part mIoU and point accuracy are not flattered so.

    `to_frame` has a row for each class.

    Attributes:
        part_miou: mean over the parts that occur of the IoU of all shapes' points together.
        constant_miou: instance mIoU of predicting the most frequent part of its class everywhere.
        point_accuracy: share of labelled points, of all shapes together, whose part was found.
        count: number of shapes with labelled points; others are left out of every metric.
        scores: float64 [n], mean IoU of each shape; NaN for a shape without labelled points.
        labels: int64 [n], the class of each shape.
        counts: int64 [m, P, 3], the points of each shape with labelled ones: `part_counts`.
    """

    part_miou: float
    constant_miou: float
    point_accuracy: float
    count: int
    scores: Doubles
    labels: Indices
    counts: Indices

    @property
    def other_intervals(self) -> dict[str, tuple[float, float]]:
        """95% intervals over shapes of the metrics of all points together, by name."""
        metrics = {"part mIoU": miou_of_counts, "point accuracy": accuracy_of_counts}
        return {name: pooled_interval(self.counts, metric) for name, metric in metrics.items()}

    @property
    def main(self) -> dict[str, float]:
        """The main metrics under the names to print them with."""
        return {
            "instance mIoU": self.instance_miou,
            "class mIoU": self.class_miou,
            "part mIoU": self.part_miou,
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
    constant = np.broadcast_to(_most_frequent(truth, labels, part_ranges)[:, None], truth.shape)
    return SegmentationMetrics(
        **vars(means),
        part_miou=part_miou(truth, predictions),
        constant_miou=float(np.nanmean(shape_ious(truth, constant, labels, part_ranges))),
        point_accuracy=float((truth == predictions)[labelled].mean()),
        count=int(labelled.any(axis=1).sum()),
        scores=scores,
        labels=np.asarray(labels),
        counts=part_counts(truth, predictions, int(np.max(part_ranges)))[labelled.any(axis=1)],
    )


def _most_frequent(truth: Integers, labels: Indices, part_ranges: Indices) -> Indices:
    """The part [n] that most points of each shape's class have."""
    counts = np.bincount(truth[truth != UNLABELLED], minlength=int(np.max(part_ranges)))
    most = [start + np.argmax([*counts[start:stop], 0]) for start, stop in part_ranges]
    return np.asarray(most)[labels]
