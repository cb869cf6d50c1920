"""Local point-feature aggregation (LPFA) of CurveNet (Xiang et al., ICCV 2021, Sec. 3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.backend import full_precision
from pointmcd.ops.ball_query import ball_query
from pointmcd.ops.edge_moments import normed_edges
from pointmcd.ops.edge_sum import edge_sum
from pointmcd.ops.neighbours import neighbour_max
from pointmcd.students._layers import NormedLinear

SLOPE = 0.2


@dataclass(frozen=True)
class Graph:
    """Points and the k nearest of each.

    Attributes:
        points: [B, N, 3].
        near: int64 [B, N, k], the point itself among them.
        nearest: int64 [B, N, k + 1], one more.
    """

    points: Tensor
    near: Tensor
    nearest: Tensor

    @classmethod
    def of(cls, points: Tensor, k: int) -> "Graph":
        """Connect points [B, N, 3]; fewer neighbours where there are fewer points."""
        index = ball_query(points, points, torch.inf, k + 1)
        return cls(points, index[:, :, :k].contiguous(), index)

    @property
    def others(self) -> Tensor:
        """The k nearest others, int64 [B, N, k]: a curve must move on, where there are others."""
        count = self.points.shape[1]
        if not isinstance(count, torch.SymInt):
            return self.nearest[:, :, 1:] if count > 1 else self.nearest
        # Traced for any number: the farthest may come twice, of which a walk takes the first.
        columns = torch.arange(1, self.near.shape[2] + 1, device=self.near.device)
        last = torch.scalar_tensor(self.nearest.shape[2] - 1, dtype=torch.int64)
        return self.nearest.index_select(2, torch.minimum(columns, last.to(columns.device)))


class PlaceEncoding(nn.Module):
    """Batch norm of W [p_i, p_j, p_j - p_i] over all edges, as a sum a_i + b_j."""

    def __init__(self, channels: int, extra_channels: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * (3 + extra_channels), channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, graph: Graph, points: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the term a of each edge's own point and b of its neighbour, both [B, N, C].

        Points p are [B, N, 3 + F]; by default those of the graph.
        """
        own, other, step = self.linear.weight.chunk(3, dim=1)
        weight = torch.cat([other + step, own - step], dim=1)
        points = graph.points if points is None else points
        with full_precision(points):
            return normed_edges(points, points, graph.near, weight, self.norm)


class FirstLPFA(nn.Module):
    """Local aggregation of the input alone: the max of the encoded edges, [B, N, C]."""

    def __init__(self, channels: int, extra_channels: int = 0) -> None:
        super().__init__()
        self.place = PlaceEncoding(channels, extra_channels)

    def forward(self, graph: Graph, points: Tensor | None = None) -> Tensor:
        """A graph of N points -> [B, N, C]. The max is taken of b_j alone: all else is monotone.

        `points` [B, N, 3 + F] are those of the graph with their extra channels; None: without.
        """
        own, other = self.place(graph, points)
        return F.leaky_relu(own + neighbour_max(other, graph.near), SLOPE)


class LPFA(nn.Module):
    """Local aggregation: coordinates encoded + f_j - f_i, a layer on each edge, the mean over k."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.place = PlaceEncoding(channels)
        self.layer = NormedLinear(channels, channels)

    def forward(self, features: Tensor, graph: Graph) -> Tensor:
        """Features [B, N, C] of the graph's points -> [B, N, C]."""
        own, other = self.place(graph)
        edges = edge_sum(own - features, other + features, graph.near, SLOPE)
        return F.leaky_relu(self.layer(edges), SLOPE).mean(dim=2)
