"""Pretraining: a student that learns from the teacher's outputs alone, without any label."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from pointmcd.data.dataset import Batch
from pointmcd.data.store import Store
from pointmcd.distill.objective import Objectives
from pointmcd.ops.masked_max import max_over_points
from pointmcd.students.base import PointFeatures
from pointmcd.students.registry import create_student
from pointmcd.tasks.task import Labels, Scores, Task, register_task


class PretrainingModel(nn.Module):
    """A student without a head: points in, one embedding of the shape out."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, points: Tensor) -> Tensor:
        """Points [B, N, 3 + F] in the unit sphere -> max-pooled embedding [B, C]."""
        return max_over_points(self.student(points).embeddings)

    def with_features(self, points: Tensor) -> tuple[Tensor, PointFeatures]:
        """No logits [B, 0], and the features of the points."""
        features: PointFeatures = self.student(points)
        return features.embeddings.new_zeros(len(points), 0), features


@dataclass(frozen=True)
class PretrainingOptions:
    """Options of `pretrain`.

    Attributes:
        dense: pretrain the student in its form for tasks that label every point, where it has one
            of its own.
    """

    dense: bool = False


@register_task("pretrain")
class PretrainingTask(Task):
    """Agreement with the teacher; no label is read."""

    Options = PretrainingOptions
    labelled = False
    lesson = "features"
    best = "val_agreement"
    metrics = ("val_loss", "val_agreement")
    output_name = "embedding"

    @property
    def dense(self) -> bool:
        """The option `dense`."""
        return bool(self.options.dense)

    def check_store(self, store: Store) -> None:
        """Any store will do."""

    def build_model(self, student: str, labels: Labels, extra_channels: int = 0) -> nn.Module:
        """A student alone."""
        encoder = create_student(student, dense=self.dense, extra_channels=extra_channels)
        return PretrainingModel(encoder)

    def loss(self, logits: Tensor, batch: Batch, label_smoothing: float) -> Tensor:
        """Return 0: there are no labels."""
        return logits.new_zeros(())

    def validate(
        self,
        model: nn.Module,
        batches: Iterable[Batch],
        device: torch.device,
        objectives: Objectives | None = None,
    ) -> Scores:
        """Distillation loss by its weights, and the mean agreement of the objectives."""
        assert objectives is not None
        weights = torch.tensor(list(objectives.weights.values()))
        sums, count = torch.zeros(2, dtype=torch.float64), 0
        for batch in batches:
            seen: Batch = send_to_device(batch, device)
            whole: Any = model
            logits, features = whole.with_features(*self.inputs(seen))
            losses = objectives.losses(features, logits, seen).float().cpu()
            loss = (losses * weights).sum() / weights.sum()
            agreement = objectives.agreement(features, logits, seen).float().cpu()
            sums += len(batch.points) * torch.stack([loss, agreement]).double()
            count += len(batch.points)
        return dict(zip(self.metrics, (sums / count).tolist(), strict=True))

    def described_labels(self, labels: Labels) -> dict[str, Any]:
        """No classes: none was read."""
        return {"classes": []}
