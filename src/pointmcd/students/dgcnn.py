"""DGCNN (Wang et al., Dynamic Graph CNN, ACM TOG 2019, arXiv 1801.07829).

Classification (Fig. 3, top): four edge convolutions (64, 64, 128, 256) on graphs rebuilt from each
layer's features, their outputs concatenated and mapped to 1,024 channels, batch norm and
LeakyReLU(0.2) throughout; k = 20. Part segmentation (Fig. 3, bottom): a spatial transform, edge
convolutions of two, two and one layers (64 each), concatenated and mapped to 1,024; k = 40. The
concatenation is what its head reads beside the pooled embeddings (skip links).

Deliberate differences: no layer before a batch norm has a bias; in segmentation the class joins in
the head every student shares (tasks/segmentation.py), without a layer of its own.

The first layer of an edge convolution is computed per point, not per edge:
W [x_j - x_i, x_i] = a_i + y_j with y = W1 x and a = (W2 - W1) x. Batch norm and LeakyReLU are
monotone in each channel, so the max over neighbours is taken of y alone (the min where gamma is
negative), and the batch statistics over all edges follow from per-point sums. A second layer W'
reads every edge, but again only the extremes of W' h go on; its batch statistics follow from the
mean and covariance of h over all edges (ops/edge_layer.py). Values, gradients and running
statistics are those of the published form.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.batch_norm import batch_statistics, running_statistics
from pointmcd.ops.edge_layer import edge_layer
from pointmcd.ops.linear_norm import moment_statistics
from pointmcd.ops.masked_max import max_over_points
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
        own, _, extreme = self._normed(points, index)
        return F.leaky_relu(own + extreme, SLOPE)

    def _normed(self, points: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Batch norm applied per point: edge (i, j) is own_i + other_j; extreme_i is its largest.

        All three are [B, N, C].
        """
        to_neighbour, to_self = self.linear.weight.chunk(2, dim=1)
        own = F.linear(points, to_self - to_neighbour)
        other = F.linear(points, to_neighbour)
        own_mean, other_mean, degree = _means(own, other, index)
        own, other = own - own_mean, other - other_mean
        extreme, total = neighbour_pool(other, index, self.norm.weight.detach() >= 0)
        shift, var = self._statistics(own, other, total, degree, own_mean + other_mean, index)
        scale = self.norm.weight * torch.rsqrt(var + self.norm.eps)
        return (own - shift) * scale + self.norm.bias, other * scale, extreme * scale

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
            running_mean, running_var = running_statistics(self.norm)
            return running_mean - mean, running_var
        edges = index.numel()
        squares = index.shape[2] * own.square() + 2 * own * total + degree * other.square()
        var = squares.sum(dim=(0, 1)) / edges
        whole, var = batch_statistics(self.norm, mean, var, edges)
        # Centred already, unless other processes hold edges too.
        return torch.zeros_like(mean) if whole is mean else whole - mean, var


class TwoLayerEdgeConv(EdgeConv):
    """An edge convolution of two layers, C_1 and C channels: [B, N, C_in] -> [B, N, C].

    The first layer is computed per point. The second reads every edge, one point's k at a time:
    only the extreme of each channel and the moments of all edges are kept.
    """

    def __init__(self, channels_in: int, channels: int, k: int, second: int = 64) -> None:
        super().__init__(channels_in, channels, k)
        self.second = nn.Linear(channels, second, bias=False)
        self.second_norm = nn.BatchNorm1d(second)

    def _convolve(self, points: Tensor) -> Tensor:
        index = nearest_neighbours(points, self.k)
        own, other, _ = self._normed(points, index)
        weight, norm = self.second.weight, self.second_norm
        largest = norm.weight.detach() >= 0
        extreme, centre, covariance = edge_layer(own, other, index, weight, largest, SLOPE)
        if self.training:
            mean, var = moment_statistics(centre, covariance, index.numel(), weight, norm)
        else:
            mean, var = running_statistics(norm)
        scale = norm.weight * torch.rsqrt(var + norm.eps)
        return F.leaky_relu((extreme - mean) * scale + norm.bias, SLOPE)


def _means(own: Tensor, other: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means over all edges of a_i and y_j, both [C], and how often each point is a neighbour."""
    batch, count, _ = index.shape
    ones = other.new_ones(()).expand(batch, index[0].numel())
    degree = other.new_zeros(batch, count).scatter_add_(1, index.flatten(1), ones)[:, :, None]
    return own.mean(dim=(0, 1)), (degree * other).sum(dim=(0, 1)) / index.numel(), degree


class SpatialTransform(nn.Module):
    """The 3 x 3 transform of the segmentation network, the identity at the start of training.

    Edges to 64 and 128, max over neighbours, 1,024, max over points, 512, 256, 9.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.edges = TwoLayerEdgeConv(3, 64, k, 128)
        self.wide = nn.Linear(128, 1024, bias=False)
        self.wide_norm = nn.BatchNorm1d(1024)
        self.head = nn.Sequential(
            *(nn.Linear(1024, 512, bias=False), nn.BatchNorm1d(512), nn.LeakyReLU(SLOPE)),
            *(nn.Linear(512, 256, bias=False), nn.BatchNorm1d(256), nn.LeakyReLU(SLOPE)),
        )
        self.matrix = nn.Linear(256, 9)
        nn.init.zeros_(self.matrix.weight)
        nn.init.eye_(self.matrix.bias.data.view(3, 3))

    def forward(self, points: Tensor) -> Tensor:
        """[B, N, 3] -> [B, 3, 3]."""
        features = normed_leaky(self.wide, self.wide_norm, self.edges(points))
        matrix: Tensor = self.matrix(self.head(max_over_points(features)))
        return matrix.view(-1, 3, 3)


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
        return PointFeatures(normed_leaky(self.linear, self.norm, torch.cat(outputs, dim=2)))


@register_student("dgcnn", task="segmentation")
class DGCNNSegmentation(nn.Module):
    """Embeddings [B, N, 1024], signed, and the edge convolutions' outputs [B, N, 192]."""

    num_features = 1024
    num_local = 192

    def __init__(self, k: int = 40) -> None:
        super().__init__()
        self.transform = SpatialTransform(k)
        self.edges = nn.ModuleList(
            [TwoLayerEdgeConv(3, 64, k), TwoLayerEdgeConv(64, 64, k), EdgeConv(64, 64, k)]
        )
        self.linear = nn.Linear(self.num_local, self.num_features, bias=False)
        self.norm = nn.BatchNorm1d(self.num_features)

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3] -> embeddings [B, N, 1024], local [B, N, 192]."""
        points = torch.bmm(points, self.transform(points))
        outputs = []
        for edge in self.edges:
            points = edge(points)
            outputs.append(points)
        local = torch.cat(outputs, dim=2)
        return PointFeatures(normed_leaky(self.linear, self.norm, local), local=local)


def normed_leaky(linear: nn.Linear, norm: nn.BatchNorm1d, points: Tensor) -> Tensor:
    """LeakyReLU(BN(W x)) of every point, [B, N, C_in] -> [B, N, C]."""
    features = linear(points)
    return F.leaky_relu_(norm(features.flatten(0, 1)), SLOPE).view_as(features)
