"""An evaluated run: its description, its test predictions, and a score for every shape."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pointmcd.data.store import part_ranges
from pointmcd.evaluation.measures import CLASSIFICATION, SEGMENTATION, Measure
from pointmcd.metrics.classification import ClassificationMetrics, classification_metrics
from pointmcd.metrics.segmentation import SegmentationMetrics, segmentation_metrics

Checkpoint = Literal["last", "best"]


@dataclass(frozen=True)
class RunResult(ABC):
    """What the runs of every task have; shapes are sorted by name, so that rows can be compared.

    Attributes:
        path: the run folder.
        info: the content of run.json.
        config: the content of config.yaml.
        checkpoint: which weights made the predictions, "last" or "best".
        names: the n test shapes.
        labels: int64 [n], true classes.
    """

    path: Path
    info: dict[str, Any]
    config: dict[str, Any]
    checkpoint: Checkpoint
    names: tuple[str, ...]
    labels: NDArray[np.int64]

    @property
    @abstractmethod
    def measure(self) -> Measure:
        """What the task calls its figures."""

    @property
    @abstractmethod
    def scores(self) -> NDArray[np.float64]:
        """Float64 [n], the score of each shape."""

    @property
    @abstractmethod
    def score(self) -> float:
        """The main figure, which is the mean of `scores`."""

    @property
    @abstractmethod
    def class_score(self) -> float:
        """The mean over classes of the mean score of each class."""

    @property
    def task(self) -> str:
        """What was learnt: "classification" or "segmentation"."""
        return self.measure.task

    @property
    def arm(self) -> str:
        """What was varied: "baseline", "distilled", or a control."""
        return str(self.info["arm"])

    @property
    def student(self) -> str:
        """Name of the point encoder."""
        return str(self.info["student"])

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.info["seed"])

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names; class i is `classes[i]`."""
        return tuple(self.info["classes"])


@dataclass(frozen=True)
class ClassificationResult(RunResult):
    """A run that names classes; the score of a shape is 1 (right) or 0 (wrong).

    Attributes:
        predictions: int64 [n], predicted classes.
        probabilities: float32 [n, K].
    """

    predictions: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @property
    def measure(self) -> Measure:
        """Accuracies."""
        return CLASSIFICATION

    @property
    def scores(self) -> NDArray[np.float64]:
        """Float64 [n]: 1 where the predicted class is the true one, else 0."""
        return np.equal(self.predictions, self.labels).astype(np.float64)

    @property
    def score(self) -> float:
        """Overall accuracy."""
        return self.metrics.overall_accuracy

    @property
    def class_score(self) -> float:
        """Mean class accuracy."""
        return self.metrics.class_accuracy

    @cached_property
    def metrics(self) -> ClassificationMetrics:
        """Accuracies and confusion of the predictions."""
        return classification_metrics(self.labels, self.predictions, self.classes)


@dataclass(frozen=True)
class SegmentationResult(RunResult):
    """A run that labels parts; the score of a shape is its mean IoU.

    Only shapes with labelled points: the others have no score.

    Attributes:
        truth: int64 [n, N], global part id of each point; -1 for an unlabelled one.
        predictions: int64 [n, N], predicted parts, each of the shape's class.
    """

    truth: NDArray[np.int64]
    predictions: NDArray[np.int64]

    @property
    def measure(self) -> Measure:
        """Mean IoU."""
        return SEGMENTATION

    @property
    def scores(self) -> NDArray[np.float64]:
        """Float64 [n], mean IoU of each shape."""
        return self.metrics.scores

    @property
    def score(self) -> float:
        """Instance mIoU."""
        return self.metrics.instance_miou

    @property
    def class_score(self) -> float:
        """Class mIoU."""
        return self.metrics.class_miou

    @property
    def parts(self) -> dict[str, list[str]]:
        """Names of each class's parts."""
        return dict(self.info["parts"])

    @cached_property
    def metrics(self) -> SegmentationMetrics:
        """Mean IoUs and point accuracy of the predictions."""
        ranges = part_ranges(self.parts, self.classes)
        return segmentation_metrics(self.truth, self.predictions, self.labels, ranges, self.classes)
