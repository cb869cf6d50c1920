"""Metrics of predicted classes: accuracy, mean class accuracy, confusion."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, confusion_matrix

from pointmcd.errors import PointMCDError


@dataclass(frozen=True)
class ClassificationMetrics:
    """Test metrics of a classifier; accuracies are fractions from 0 to 1.

    Attributes:
        overall_accuracy: share of shapes whose class was found.
        class_accuracy: mean of the accuracies of the classes that occur, each counting the same.
        per_class: accuracy of each class; None where no shape of the class was tested.
        confusion: int64 [K, K], shapes by true class (row) and predicted class (column).
        count: number of shapes.
        scores: float64 [n], 1 where the predicted class is the true one, else 0.
    """

    overall_accuracy: float
    class_accuracy: float
    per_class: dict[str, float | None]
    confusion: NDArray[np.int64]
    count: int
    scores: NDArray[np.float64]

    @property
    def main(self) -> dict[str, float]:
        """The main metrics under the names to print them with."""
        return {
            "overall accuracy": self.overall_accuracy,
            "mean class accuracy": self.class_accuracy,
        }

    def as_dict(self) -> dict[str, Any]:
        """Values for `test.json`: everything but the confusion matrix and the scores."""
        return {
            "overall_accuracy": self.overall_accuracy,
            "class_accuracy": self.class_accuracy,
            "per_class": self.per_class,
            "count": self.count,
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
    truth, guess = _checked(labels, predictions, len(classes))
    confusion = _confusion(truth, guess, len(classes))
    per_class = per_class_accuracy(confusion, classes)
    return ClassificationMetrics(
        overall_accuracy=float(accuracy_score(truth, guess)),
        class_accuracy=float(np.mean([a for a in per_class.values() if a is not None])),
        per_class=per_class,
        confusion=confusion,
        count=len(truth),
        scores=np.equal(truth, guess).astype(np.float64),
    )


def per_class_accuracy(
    confusion: NDArray[np.int64], classes: Sequence[str]
) -> dict[str, float | None]:
    """Accuracy of each class from counts [K, K]; None for a class with an empty row."""
    right, total = np.diag(confusion), confusion.sum(axis=1)
    return {
        name: float(right[i] / total[i]) if total[i] else None for i, name in enumerate(classes)
    }


def _confusion(truth: NDArray[np.int64], guess: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    with warnings.catch_warnings():
        # It warns of a single label although all labels are passed.
        warnings.simplefilter("ignore", UserWarning)
        counts: NDArray[np.int64] = confusion_matrix(truth, guess, labels=np.arange(count))
    return counts.astype(np.int64)


def _checked(
    labels: ArrayLike, predictions: ArrayLike, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    truth = np.asarray(labels, dtype=np.int64)
    guess = np.asarray(predictions, dtype=np.int64)
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
    return truth, guess
