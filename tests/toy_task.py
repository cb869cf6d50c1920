"""A task from one file outside the package: `toy_task:Height`."""

from dataclasses import dataclass

import torch
from torch import nn

from pointmcd.ops.masked_max import max_over_points
from pointmcd.students.registry import create_student
from pointmcd.tasks.task import Prediction, Task


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


class Height(Task):
    """How tall a shape is: a number, neither a class nor a part."""

    lesson = "classification"
    best = "val_closeness"
    metrics = ("val_loss", "val_closeness")
    output_name = "height"
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
