"""PointNet (vanilla): without its T-Nets (Qi, Su, Mo, Guibas, CVPR 2017, Table 6, Appendix C).

The shared MLP 64-64-64-128-1024 of PointNet, whose input and feature transforms are left out; batch
norm and ReLU after every layer. It is the cheapest student. For parts it has no network of its own:
the method's head reads its embeddings.

Deliberate differences: those of PointNet (pointmcd.students.pointnet).
"""

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from pointmcd.ops.backend import full_precision
from pointmcd.students.base import PointFeatures
from pointmcd.students.heads import HeadLayout
from pointmcd.students.pointnet import PointNet, SharedLayer
from pointmcd.students.registry import register_student


@register_student("pointnet-vanilla")
class PointNetVanilla(nn.Module):
    """Embeddings [B, N, 1024] that are never negative (the last layer is a ReLU)."""

    num_features = 1024
    head: ClassVar[HeadLayout] = PointNet.head
    recipes = PointNet.recipes

    def __init__(self, extra_channels: int = 0) -> None:
        super().__init__()
        self.extra_channels = extra_channels
        widths = (3 + extra_channels, 64, 64, 64, 128, self.num_features)
        self.first, *others = (SharedLayer(a, b) for a, b in pairwise(widths))
        self.others = nn.Sequential(*others)

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings [B, N, 1024]."""
        with full_precision(points):
            features = self.first(points.to(next(self.parameters())))
        return PointFeatures(self.others(features))
