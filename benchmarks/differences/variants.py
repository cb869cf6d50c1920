"""Students that take back one deliberate difference from their paper each."""

from unittest.mock import patch

import torch
from torch import Tensor

from pointmcd.ops import curve_walk
from pointmcd.ops.ball_query import ball_group
from pointmcd.ops.neighbours import neighbour_max
from pointmcd.students import curvenet
from pointmcd.students._lpfa import Graph
from pointmcd.students.base import PointFeatures

STRIDE = 7919


class UnorderedBalls(curvenet.CurveNet):
    """CurveNet whose balls take their first k points in an order by chance, like that of a file."""

    __module__ = curvenet.__name__  # its steps may be recorded, as those of students of our own

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings [B, max(N // 16, 1), 1024]."""
        with patch.object(curvenet.Level, "kept", _kept_by_chance):
            return super().forward(points)


def _kept_by_chance(level: curvenet.Level, count: int, radius: float, k: int) -> curvenet.Level:
    points = level.graph.points
    # A stride without a common factor goes through all points, and far from one to the next.
    order = torch.arange(points.shape[1], device=points.device) * STRIDE % points.shape[1]
    centres = points[:, :count].contiguous()
    ball = ball_group(centres, points[:, order].contiguous(), radius, k)
    features = neighbour_max(level.features[:, order].contiguous(), ball)
    return curvenet.Level(Graph.of(centres, k), level.index[:, :count], features)


class LearningSuppression(curvenet.CurveNet):
    """CurveNet through whose crossover suppression gradients flow."""

    __module__ = curvenet.__name__

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings [B, max(N // 16, 1), 1024]."""
        learning = curve_walk.crossover_factor.__wrapped__  # type: ignore[attr-defined]
        with patch.object(curve_walk, "crossover_factor", learning):
            return super().forward(points)
