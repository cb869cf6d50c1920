"""Students that take back one deliberate difference from their paper each."""

from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from pointmcd.ops import curve_walk
from pointmcd.ops.ball_query import ball_group
from pointmcd.students import curvenet, pointnet, pointnet2
from pointmcd.students.base import PointFeatures
from pointmcd.students.part_heads import PartHead, PartLayout

#: A stride without a common factor goes through all points, and far from one to the next.
STRIDE = 7919


def group_in_any_order(centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    """As `ball_group`, with points in an arbitrary order, like that of a file."""
    order = torch.arange(points.shape[1], device=points.device) * STRIDE % points.shape[1]
    return order[ball_group(centres, points[:, order].contiguous(), radius, k)]


class UnorderedBalls(curvenet.CurveNet):
    """CurveNet whose balls take their first k points in an arbitrary order."""

    __module__ = curvenet.__name__  # its steps may be recorded, as those of students of our own

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings [B, max(N // 16, 1), 1024]."""
        with patch.object(curvenet, "ball_group", group_in_any_order):
            return super().forward(points)


class UnorderedGroups(pointnet2.PointNet2):
    """PointNet++ whose groups are the first k points of a ball in an arbitrary order."""

    __module__ = pointnet2.__name__

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for part in self.modules():
            if hasattr(part, "group"):
                part.group = group_in_any_order


class LearningSuppression(curvenet.CurveNet):
    """CurveNet through whose crossover suppression gradients flow."""

    __module__ = curvenet.__name__

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings [B, max(N // 16, 1), 1024]."""
        learning = curve_walk.crossover_factor.__wrapped__  # type: ignore[attr-defined]
        with patch.object(curve_walk, "crossover_factor", learning):
            return super().forward(points)


def squared_orthogonality(transform: Tensor) -> Tensor:
    """Mean over the batch of ||I - A A^T||_F^2 (eq. 2 of PointNet): [B, K, K] -> scalar."""
    identity = torch.eye(transform.shape[1], device=transform.device, dtype=transform.dtype)
    residual = torch.bmm(transform, transform.transpose(1, 2)) - identity
    penalty: Tensor = residual.square().sum(dim=(1, 2)).mean()
    return penalty


class SquaredPenalty(pointnet.PointNet):
    """PointNet with the squared penalty on its feature transform."""

    __module__ = pointnet.__name__

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings [B, N, 1024] and the penalty."""
        with patch.object(pointnet, "orthogonality", squared_orthogonality):
            return super().forward(points)


class WithoutDropout(pointnet.PointNetParts):
    """PointNet for parts whose head has no dropout."""

    __module__ = pointnet.__name__

    def part_head(self, num_classes: int, num_parts: int) -> nn.Module:
        """Return the published head for K classes and P parts."""
        return PartHead(self, num_classes, num_parts, PartLayout(dropout=(0.0, 0.0, 0.0)))


class BlindHead(PartHead):
    """A head that is not told the class of the shape."""

    def forward(self, points: Tensor, features: PointFeatures, onehot: Tensor) -> Tensor:
        """Points [B, N, 3 + F], a student's features, classes [B, K] -> logits [B, N, P]."""
        return super().forward(points, features, torch.zeros_like(onehot))


class WithoutClass(pointnet2.PointNet2Parts):
    """PointNet++ for parts whose last propagation does not read the class."""

    __module__ = pointnet2.__name__

    def part_head(self, num_classes: int, num_parts: int) -> nn.Module:
        """Return the last propagation, a layer with dropout, P logits."""
        layout = super().part_head(num_classes, num_parts).layout
        return BlindHead(self, num_classes, num_parts, layout)
