"""Shape classification: the head on a student's embeddings, and all that inference needs."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from pointmcd.data.dataset import Batch
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.ops.masked_max import max_over_points
from pointmcd.students.base import PointFeatures
from pointmcd.tasks.task import Branch, Scores


class ClassificationHead(nn.Module):
    """Max over points, FC + BN + ReLU to 512, linear to K without bias (PointMCD, Sec. III)."""

    def __init__(self, channels: int, num_classes: int, hidden: int = 512) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()
        )
        self.classifier = nn.Linear(hidden, num_classes, bias=False)

    def forward(self, features: PointFeatures) -> Tensor:
        """Embeddings [B, M, C] -> logits [B, K]."""
        logits: Tensor = self.classifier(self.hidden(max_over_points(features.embeddings)))
        return logits


class Classifier(nn.Module):
    """A student with its classification head: points in, logits out. All that inference needs."""

    def __init__(self, student: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.student = student
        self.head = ClassificationHead(int(student.num_features), num_classes)  # type: ignore[arg-type]

    def forward(self, points: Tensor) -> Tensor:
        """Points [B, N, 3] in the unit sphere -> logits [B, K]."""
        logits, _ = self.with_features(points)
        return logits

    def with_features(self, points: Tensor) -> tuple[Tensor, PointFeatures]:
        """Logits [B, K] and the features that they came from."""
        features = self.student(points)
        return self.head(features), features


class ClassificationTask:
    """One class for each shape."""

    name = "classification"
    best = "val_accuracy"
    figures: tuple[str, ...] = ("val_loss", "val_accuracy", "val_class_accuracy")
    labelled = True

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """Points alone."""
        return (batch.points,)

    def pairs(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """One row per shape."""
        return logits, batch.labels

    def validate(
        self,
        model: nn.Module,
        batches: Iterable[Batch],
        device: torch.device,
        branch: Branch = None,
    ) -> Scores:
        """Loss, share of shapes that are right, and its mean over classes."""
        found = [(model(b.points.to(device)).float().cpu(), b.labels) for b in batches]
        logits = torch.cat([logits for logits, _ in found])
        labels = torch.cat([labels for _, labels in found])
        hits = (logits.argmax(dim=1) == labels).double()
        per_class = [float(hits[labels == c].mean()) for c in labels.unique()]
        return {
            "val_loss": float(smoothed_cross_entropy(logits, labels, 0.0)),
            "val_accuracy": float(hits.mean()),
            "val_class_accuracy": float(np.mean(per_class)),
        }
