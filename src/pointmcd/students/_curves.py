"""Curve grouping and curve aggregation of CurveNet (Xiang et al., ICCV 2021, Sec. 3).

Where the paper says MLP, it is one linear layer here, with batch norm where a softmax or another
layer follows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.backend import smaller
from pointmcd.ops.curve_walk import Curves, walk
from pointmcd.students._layers import NormedLinear
from pointmcd.students._lpfa import SLOPE


class CurveGrouping(nn.Module):
    """Curves of connected points, found by learnt walks (Sec. 3.1, 3.2).

    Args:
        channels: C of the point features.
        curves: n, how many; all points start one where there are fewer.
        length: l, steps of each walk.
    """

    def __init__(self, channels: int, curves: int, length: int) -> None:
        super().__init__()
        self.curves, self.length = curves, length
        self.attention = nn.Linear(channels, 1, bias=False)
        self.agent = NormedLinear(2 * channels, 1)
        self.mixer = NormedLinear(2 * channels, 2)

    def forward(self, features: Tensor, neighbours: Tensor) -> Curves:
        """Features [B, N, C] and each point's neighbours, int64 [B, N, k] -> n curves of l points.

        The points of highest attention start; the features that curves carry are scaled by it, so
        that it learns.
        """
        attention = torch.sigmoid(self.attention(features))
        count = smaller(self.curves, features.shape[1])
        start = attention.squeeze(2).topk(count, dim=1).indices
        scaled = features * attention
        return walk(
            scaled, neighbours, start, self.length, self.score, self.momentum, self.training
        )

    def score(self, candidates: Tensor, descriptor: Tensor) -> Tensor:
        """Candidates [B, n, k, C], descriptors [B, n, C] of the curves -> [B, n, k]."""
        to_candidate, to_curve = self.agent.linear.weight.chunk(2, dim=1)
        curve = F.linear(descriptor, to_curve)[:, :, None]  # once a curve, not once a candidate
        return self.agent.normalise(F.linear(candidates, to_candidate) + curve).squeeze(3)

    def momentum(self, points: Tensor, descriptor: Tensor) -> Tensor:
        """Weights [B, n, 2] of a curve's point and of its descriptor, both [B, n, C]."""
        mixed: Tensor = self.mixer(torch.cat([points, descriptor], dim=2))
        return mixed.softmax(dim=2)


class CurveAggregation(nn.Module):
    """Aggregation of the curves at all points: [B, N, C] -> [B, N, C] (Sec. 3.3).

    Attention pools the curve features [B, n, l, C] along each curve (one vector for each of n
    curves) and across the curves (one for each of l places on them). Every point attends to both,
    in half the channels, without scaling; what it reads is fused and added to its features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = channels // 2
        self.attention = nn.Linear(channels, 1, bias=False)
        self.query = nn.Linear(channels, middle, bias=False)
        self.keys = nn.ModuleList(nn.Linear(channels, middle, bias=False) for _ in range(2))
        self.values = nn.ModuleList(nn.Linear(middle, middle, bias=False) for _ in range(2))
        self.fuse = NormedLinear(2 * middle, channels)

    def forward(self, features: Tensor, curves: Tensor) -> Tensor:
        """Features [B, N, C] and curve features [B, n, l, C] -> [B, N, C]."""
        logits = self.attention(curves)
        query = self.query(features)
        read = []
        for pooled, key, value in zip((2, 1), self.keys, self.values, strict=True):
            curve = key((logits.softmax(dim=pooled) * curves).sum(dim=pooled))
            read.append(_attend(query, curve, value(curve)))
        return F.leaky_relu(features + self.fuse(torch.cat(read, dim=2)), SLOPE)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention without scaling: [B, N, C], [B, n, C], [B, n, C] -> [B, N, C]."""
    if torch.compiler.is_compiling():  # exporters know torch's own with heads alone
        return (query @ key.transpose(1, 2)).softmax(dim=2) @ value
    return F.scaled_dot_product_attention(query, key, value, scale=1.0)
