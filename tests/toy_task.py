"""A task from one file outside the package: `toy_task:Height`."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pointmcd.metrics.part_iou import class_means
from pointmcd.ops.masked_max import max_over_points
from pointmcd.students.registry import create_student
from pointmcd.tasks.task import Prediction, Task, Wording


@dataclass(frozen=True)
class HeightPrediction(Prediction):
    """The height of one shape, in radii of its sphere."""

    height: float | None = None

    def cells(self):
        return {"height": f"{self.height:.2f}"}


class HeightModel(nn.Module):
    """Points [B, N, 3] -> height [B]."""

    def __init__(self, student):
        super().__init__()
        self.student = student
        self.head = nn.Linear(student.num_features, 1)

    def forward(self, points):
        return self.with_features(points)[0]

    def with_features(self, points):
        features = self.student(points)
        return self.head(max_over_points(features.embeddings))[:, 0], features


def heights(points):
    return points[:, :, 1].amax(dim=1) - points[:, :, 1].amin(dim=1)


@dataclass(frozen=True)
class HeightMetrics:
    """Closeness of heights: 1 is exact."""

    scores: np.ndarray
    per_class: dict

    @property
    def count(self):
        return len(self.scores)

    @property
    def main(self):
        means = [mean for mean in self.per_class.values() if mean is not None]
        return {"closeness": float(self.scores.mean()), "by class": float(np.mean(means))}

    def as_dict(self):
        return {**self.main, "per_class": self.per_class, "count": self.count}


class Height(Task):
    """How tall a shape is: a number, neither a class nor a part."""

    lesson = "classification"
    best = "val_closeness"
    metrics = ("val_loss", "val_closeness")
    output_name = "height"
    wording = Wording(
        score="closeness",
        class_score="closeness by class",
        short="closeness",
        plural="Closeness",
        share="closeness",
        test="Wilcoxon",
        test_note="Wilcoxon's signed-rank test.",
    )
    arrays = ("truth", "said")
    prediction = HeightPrediction
    written = ("-height.txt",)

    def check_store(self, store):
        pass

    def build_model(self, student, labels):
        return HeightModel(create_student(student))

    def loss(self, logits, batch, label_smoothing):
        return nn.functional.l1_loss(logits, heights(batch.points))

    def validate(self, model, batches, device, objectives=None):
        gaps = torch.cat([model(b.points.to(device)).cpu() - heights(b.points) for b in batches])
        error = float(gaps.abs().mean())
        return {"val_loss": error, "val_closeness": 1 / (1 + error)}

    def predict(self, output, file, labels):
        for target in file.targets:
            target.parent.mkdir(exist_ok=True)
            target.write_text(f"{float(output):.4f}\n")
        return HeightPrediction(file.path, height=float(output))

    def described_labels(self, labels):
        return {"unit": "radii of the sphere"}

    def predictions(self, model, batches, device):
        with torch.inference_mode():
            pairs = [(heights(b.points), model(b.points.to(device)).cpu()) for b in batches]
        columns = zip(*pairs, strict=True)
        return {name: torch.cat(c).numpy() for name, c in zip(self.arrays, columns, strict=True)}

    def measure(self, labels, arrays, known):
        scores = 1 / (1 + np.abs(arrays["truth"] - arrays["said"])).astype(np.float64)
        return HeightMetrics(scores, class_means(scores, labels, known.classes))
