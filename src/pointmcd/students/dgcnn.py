"""DGCNN (Wang et al., Dynamic Graph CNN, ACM TOG 2019, arXiv 1801.07829), classification trunk.

Four edge convolutions (64, 64, 128, 256) on graphs rebuilt from each layer's features, their
outputs concatenated and mapped to 1,024 channels, batch norm and LeakyReLU(0.2) throughout.

An edge convolution is computed per point, not per edge: W [x_j - x_i, x_i] = a_i + y_j with
y = W1 x and a = (W2 - W1) x; batch norm and LeakyReLU are monotone in each channel, so the max over
neighbours is taken of y alone (the min where gamma is negative), and the batch statistics over all
edges follow from per-point sums. Values, gradients and running statistics are those of the
published form.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.linear_norm import update_running
from pointmcd.ops.neighbours import nearest_neighbours, neighbour_pool
from pointmcd.students.base import PointFeatures
from pointmcd.students.registry import register_student

SLOPE = 0.2


class EdgeConv(nn.Module):
    """One edge convolution: [B, N, C_in] -> [B, N, C], max over the k nearest neighbours."""

    def __init__(self, channels_in: int, channels: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.linear = nn.Linear(2 * channels_in, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, points: Tensor) -> Tensor:
        """[B, N, C_in] -> [B, N, C]."""
        with torch.autocast(points.device.type, enabled=False):  # statistics need full precision
            return self._convolve(points.to(self.linear.weight))

    def _convolve(self, points: Tensor) -> Tensor:
        index = nearest_neighbours(points, self.k)
        to_neighbour, to_self = self.linear.weight.chunk(2, dim=1)
        own = F.linear(points, to_self - to_neighbour)
        other = F.linear(points, to_neighbour)
        own_mean, other_mean, degree = _means(own, other, index)
        own, other = own - own_mean, other - other_mean
        extreme, total = neighbour_pool(other, index, self.norm.weight.detach() >= 0)
        shift, var = self._statistics(own, other, total, degree, own_mean + other_mean, index)
        scale = self.norm.weight * torch.rsqrt(var + self.norm.eps)
        return F.leaky_relu((own + extreme - shift) * scale + self.norm.bias, SLOPE)

    def _statistics(
        self,
        own: Tensor,
        other: Tensor,
        total: Tensor,
        degree: Tensor,
        mean: Tensor,
        index: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """What batch norm subtracts from the centred edges, and the variance: both [C]."""
        if not self.training:
            assert self.norm.running_mean is not None
            assert self.norm.running_var is not None
            return self.norm.running_mean - mean, self.norm.running_var
        edges = index.numel()
        squares = index.shape[2] * own.square() + 2 * own * total + degree * other.square()
        var = squares.sum(dim=(0, 1)) / edges
        update_running(self.norm, mean, var, edges)
        return torch.zeros_like(mean), var


def _means(own: Tensor, other: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means over all edges of a_i and y_j, both [C], and how often each point is a neighbour."""
    batch, count, _ = index.shape
    ones = other.new_ones(()).expand(batch, index[0].numel())
    degree = other.new_zeros(batch, count).scatter_add_(1, index.flatten(1), ones)[:, :, None]
    return own.mean(dim=(0, 1)), (degree * other).sum(dim=(0, 1)) / index.numel(), degree


@register_student("dgcnn")
class DGCNN(nn.Module):
    """Embeddings [B, N, 1024], signed (the last layer is a LeakyReLU)."""

    num_features = 1024

    def __init__(self, k: int = 20) -> None:
        super().__init__()
        widths = (3, 64, 64, 128, 256)
        self.edges = nn.ModuleList(EdgeConv(a, b, k) for a, b in pairwise(widths))
        self.linear = nn.Linear(sum(widths[1:]), self.num_features, bias=False)
        self.norm = nn.BatchNorm1d(self.num_features)

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3] -> embeddings [B, N, 1024]."""
        outputs = []
        for edge in self.edges:
            points = edge(points)
            outputs.append(points)
        features = self.linear(torch.cat(outputs, dim=2))
        flat = F.leaky_relu_(self.norm(features.flatten(0, 1)), SLOPE)
        return PointFeatures(flat.view_as(features))
