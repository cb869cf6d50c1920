"""Local point-feature aggregation (LPFA) of CurveNet (Xiang et al., ICCV 2021, Sec. 3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.ball_query import ball_query
from pointmcd.ops.linear_norm import linear_statistics
from pointmcd.ops.neighbours import gather_rows, neighbour_pool
from pointmcd.students._layers import NormedLinear

SLOPE = 0.2


@dataclass(frozen=True)
class Graph:
    """Points and the k nearest of each.

    Attributes:
        points: [B, N, 3].
        near: int64 [B, N, k], the point itself among them.
        ways: int64 [B, N, k], the k nearest others: a curve must move on.
    """

    points: Tensor
    near: Tensor
    ways: Tensor

    @classmethod
    def of(cls, points: Tensor, k: int) -> "Graph":
        """Connect points [B, N, 3]; fewer neighbours where there are fewer points."""
        index = ball_query(points, points, torch.inf, k + 1)
        ways = index[:, :, 1:] if index.shape[2] > 1 else index
        return cls(points, index[:, :, :k].contiguous(), ways)

    def edges(self) -> Tensor:
        """The places of both ends of every edge, [B, N k, 6]."""
        others = gather_rows(self.points, self.near)
        return torch.cat([self.points[:, :, None].expand_as(others), others], dim=3).flatten(1, 2)


class PlaceEncoding(nn.Module):
    """Batch norm of W [p_i, p_j, p_j - p_i] over all edges, as a sum a_i + b_j."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(9, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """The share a of each edge's own point and b of its neighbour, both [B, N, C]."""
        own, other, step = self.linear.weight.split(3, dim=1)
        weight = torch.cat([own - step, other + step], dim=1)
        seen = graph.edges() if self.training else graph.points
        mean, var = linear_statistics(seen, weight, self.norm)
        scale = self.norm.weight * torch.rsqrt(var + self.norm.eps)
        to_own, to_other = (weight * scale[:, None]).chunk(2, dim=1)
        shift = self.norm.bias - mean * scale
        return F.linear(graph.points, to_own, shift), F.linear(graph.points, to_other)


class FirstLPFA(nn.Module):
    """Local aggregation of the places alone: max of the encoded edges, [B, N, C]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.place = PlaceEncoding(channels)

    def forward(self, graph: Graph) -> Tensor:
        """A graph of N points -> [B, N, C]. The max is taken of b_j alone: all else is monotone."""
        own, other = self.place(graph)
        largest = torch.ones_like(other[0, 0], dtype=torch.bool)
        return F.leaky_relu(own + neighbour_pool(other, graph.near, largest)[0], SLOPE)


class LPFA(nn.Module):
    """Local aggregation: encoded places + f_j - f_i, a layer on every edge, the mean over k."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.place = PlaceEncoding(channels)
        self.layer = NormedLinear(channels, channels)

    def forward(self, features: Tensor, graph: Graph) -> Tensor:
        """Features [B, N, C] of the graph's points -> [B, N, C]."""
        own, other = self.place(graph)
        edges = gather_rows(other + features, graph.near) + (own - features)[:, :, None]
        mapped = self.layer(F.leaky_relu_(edges, SLOPE))
        return F.leaky_relu_(mapped, SLOPE).mean(dim=2)
