"""Shape classification: the head on a student's embeddings, and all that inference needs."""

from torch import Tensor, nn

from pointmcd.ops.masked_max import max_over_points
from pointmcd.students.base import PointFeatures


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
