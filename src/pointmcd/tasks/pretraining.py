"""Pretraining: a student that learns from the teacher's descriptors alone, without any label."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.data.dataset import Batch
from pointmcd.ops.masked_max import max_over_points
from pointmcd.students.base import PointFeatures
from pointmcd.tasks.task import Branch, Scores


class Pretrainee(nn.Module):
    """A student without a head: points in, one embedding of the shape out."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, points: Tensor) -> Tensor:
        """Points [B, N, 3] in the unit sphere -> max-pooled embedding [B, C]."""
        return max_over_points(self.student(points).embeddings)

    def with_features(self, points: Tensor) -> tuple[Tensor, PointFeatures]:
        """No logits [B, 0], and the features of the points."""
        features: PointFeatures = self.student(points)
        return features.embeddings.new_zeros(len(points), 0), features


class PretrainingTask:
    """Descriptors that agree with the teacher's, view by view; no label is read."""

    name = "pretrain"
    best = "val_agreement"
    figures: tuple[str, ...] = ("val_loss", "val_agreement")
    labelled = False

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """Points alone."""
        return (batch.points,)

    def pairs(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Nothing is labelled: no rows."""
        return logits[:0], batch.labels[:0]

    def validate(
        self,
        model: nn.Module,
        batches: Iterable[Batch],
        device: torch.device,
        branch: Branch = None,
    ) -> Scores:
        """Distillation loss, and agreement: the mean cosine similarity of descriptors."""
        assert branch is not None
        student: Any = model.student
        sums, count = torch.zeros(2, dtype=torch.float64), 0
        for batch in batches:
            assert batch.visibility is not None
            assert batch.targets is not None
            features = student(batch.points.to(device))
            descriptors = branch(features, batch.visibility.to(device)).float().cpu()
            loss = branch.distance(descriptors, batch.targets)
            agreement = F.cosine_similarity(descriptors, batch.targets, dim=2).mean()
            sums += len(descriptors) * torch.stack([loss, agreement]).double()
            count += len(descriptors)
        return dict(zip(self.figures, (sums / count).tolist(), strict=True))
