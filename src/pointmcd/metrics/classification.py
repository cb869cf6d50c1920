"""Metrics of predicted classes: accuracy, mean class accuracy, confusion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pointmcd.errors import PointMCDError
from pointmcd.metrics.metrics import PrintedMetrics
from pointmcd.metrics.part_iou import class_means
from pointmcd.typing import Doubles, Indices


@dataclass(frozen=True, repr=False)
class ClassificationMetrics(PrintedMetrics):
    """Test metrics of a classifier; accuracies are fractions from 0 to 1.

    `to_frame` has a row for each class.

    Attributes:
        overall_accuracy: share of shapes whose class was found.
        class_accuracy: mean of the accuracies of the classes that occur, each counting the same.
        per_class: accuracy of each class; None where no shape of the class was tested.
        confusion: int64 [K, K], shapes by true class (row) and predicted class (column).
        count: number of shapes.
        scores: float64 [n], 1 where the predicted class is the true one, else 0.
        labels: int64 [n], the true classes.
    """

    overall_accuracy: float
    class_accuracy: float
    per_class: dict[str, float | None]
    confusion: Indices
    count: int
    scores: Doubles
    labels: Indices

    @property
    def main(self) -> dict[str, float]:
        """The main metrics under the names to print them with."""
        return {
            "overall accuracy": self.overall_accuracy,
            "mean class accuracy": self.class_accuracy,
        }


def classification_metrics(
    labels: ArrayLike, predictions: ArrayLike, classes: Sequence[str]
) -> ClassificationMetrics:
    """Compare predicted classes with the true ones.

    Args:
        labels: integers [n], true class of each shape.
        predictions: integers [n], predicted class of each shape.
        classes: the K class names; class i is `classes[i]`.

    Raises:
        PointMCDError: when there is nothing to measure, the two differ in length, or a class
            lies outside `classes`.
    """
    truth, guess = np.asarray(labels, dtype=np.int64), np.asarray(predictions, dtype=np.int64)
    _check(truth, guess, len(classes))
    scores, shape = (truth == guess).astype(np.float64), (len(classes), len(classes))
    counts = np.bincount(truth * len(classes) + guess, minlength=len(classes) ** 2)
    per_class = class_means(scores, truth, classes)
    return ClassificationMetrics(
        overall_accuracy=float(scores.mean()),
        class_accuracy=float(np.mean([a for a in per_class.values() if a is not None])),
        per_class=per_class,
        confusion=counts.reshape(shape),
        count=len(truth),
        scores=scores,
        labels=truth,
    )


def _check(truth: Indices, guess: Indices, count: int) -> None:
    if truth.ndim != 1 or truth.shape != guess.shape:
        raise PointMCDError(
            f"labels {list(truth.shape)} and predictions {list(guess.shape)} must be two lists "
            "of one length"
        )
    if not len(truth):
        raise PointMCDError("no labelled shapes to measure: the split is empty or unlabelled")
    for name, values in (("label", truth), ("prediction", guess)):
        if values.min() < 0 or values.max() >= count:
            raise PointMCDError(
                f"a {name} lies outside the {count} classes: {values.min()} to {values.max()}"
            )
