"""DGCNN (Wang et al., Dynamic Graph CNN, ACM TOG 2019, arXiv 1801.07829).

Classification (Fig. 3, top): four edge convolutions (64, 64, 128, 256) on graphs rebuilt from each
layer's features, their outputs concatenated and mapped to 1,024 channels, batch norm and
LeakyReLU(0.2) throughout; k = 20. Part segmentation (Fig. 3, bottom): a spatial transform, edge
convolutions of two, two and one layers (64 each), concatenated and mapped to 1,024; k = 40. The
concatenation is what its head reads beside the pooled embeddings (skip links) and the class, which
has a layer of 64; its layers are 256, 256 and 128, dropout 0.5 after the first two.

Extra channels, such as normals, are joined with the coordinates in the edges of the first layer,
whose neighbours are the nearest by coordinates alone, as in the authors' network for scenes, which
reads colours. The spatial transform reads and turns coordinates alone.

Deliberate difference: no layer before a batch norm has a bias, which the norm's own shift makes
redundant: values do not change.

Parameters for part segmentation (16 classes, 50 parts): 1,460,411. The paper gives a number for
classification alone.

The first layer of an edge convolution is computed per point, not per edge:
W [x_j - x_i, x_i] = a_i + y_j with y = W1 x and a = (W2 - W1) x. The batch statistics over all
edges follow from sums over points (ops/edge_moments.py), so batch norm folds into both. LeakyReLU
is monotone, so the max over neighbours is taken of y alone. A second layer W'
reads every edge, but again only the extremes of W' h go on; its batch statistics follow from the
mean and covariance of h over all edges (ops/edge_layer.py). Values, gradients and running
statistics are those of the published form.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.backend import full_precision
from pointmcd.ops.batch_norm import running_statistics
from pointmcd.ops.edge_layer import edge_layer
from pointmcd.ops.edge_moments import normed_edges
from pointmcd.ops.linear_norm import linear_bn_relu, moment_statistics
from pointmcd.ops.masked_max import max_over_points
from pointmcd.ops.nearest import nearest_neighbours
from pointmcd.ops.neighbours import neighbour_max
from pointmcd.students.base import PointFeatures
from pointmcd.students.heads import HeadLayout, hidden_layers
from pointmcd.students.part_heads import PartHead, PartLayout
from pointmcd.students.registry import register_student

SLOPE = 0.2


class EdgeConv(nn.Module):
    """One edge convolution: [B, N, C_in] -> [B, N, C], max over the k nearest neighbours."""

    def __init__(self, channels_in: int, channels: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.linear = nn.Linear(2 * channels_in, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, points: Tensor, by: int | None = None) -> Tensor:
        """[B, N, C_in] -> [B, N, C]; neighbours are the nearest in the first `by` channels."""
        with full_precision(points):  # statistics need full precision
            points = points.to(self.linear.weight)
            return self.convolve(points, nearest_neighbours(points[:, :, :by].contiguous(), self.k))

    def convolve(self, points: Tensor, index: Tensor) -> Tensor:
        """Convolve on given neighbours, int64 [B, N, k]."""
        own, other = self._normed(points, index)
        return F.leaky_relu(own + neighbour_max(other, index), SLOPE)

    def _normed(self, points: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Apply batch norm per point: edge (i, j) is own_i + other_j, both [B, N, C]."""
        to_step, to_self = self.linear.weight.chunk(2, dim=1)
        weight = torch.cat([to_step, to_self - to_step], dim=1)
        return normed_edges(points, points, index, weight, self.norm)


class TwoLayerEdgeConv(EdgeConv):
    """An edge convolution of two layers, C_1 and C channels: [B, N, C_in] -> [B, N, C].

    The first layer is computed per point. The second reads every edge, one point's k at a time:
    only the extreme of each channel and the moments of all edges are kept.
    """

    def __init__(self, channels_in: int, channels: int, k: int, second: int = 64) -> None:
        super().__init__(channels_in, channels, k)
        self.second = nn.Linear(channels, second, bias=False)
        self.second_norm = nn.BatchNorm1d(second)

    def convolve(self, points: Tensor, index: Tensor) -> Tensor:
        """Convolve on given neighbours, int64 [B, N, k]."""
        own, other = self._normed(points, index)
        weight, norm = self.second.weight, self.second_norm
        largest = norm.weight.detach() >= 0
        extreme, centre, covariance = edge_layer(own, other, index, weight, largest, SLOPE)
        if self.training:
            mean, var = moment_statistics(centre, covariance, index.numel(), weight, norm)
        else:
            mean, var = running_statistics(norm)
        scale = norm.weight * torch.rsqrt(var + norm.eps)
        return F.leaky_relu((extreme - mean) * scale + norm.bias, SLOPE)


class SpatialTransform(nn.Module):
    """The 3 x 3 transform of the segmentation network, the identity at the start of training.

    Edges to 64 and 128, max over neighbours, 1,024, max over points, 512, 256, 9.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.edges = TwoLayerEdgeConv(3, 64, k, 128)
        self.wide = nn.Linear(128, 1024, bias=False)
        self.wide_norm = nn.BatchNorm1d(1024)
        self.head = nn.Sequential(*hidden_layers((1024, 512, 256), (0.0, 0.0), SLOPE))
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
    head: ClassVar[HeadLayout] = HeadLayout((512, 256), (0.5, 0.5), slope=SLOPE, mean=True)

    def __init__(self, k: int = 20, extra_channels: int = 0) -> None:
        super().__init__()
        self.extra_channels = extra_channels
        widths = (3 + extra_channels, 64, 64, 128, 256)
        self.edges = nn.ModuleList(EdgeConv(a, b, k) for a, b in pairwise(widths))
        self.linear = nn.Linear(sum(widths[1:]), self.num_features, bias=False)
        self.norm = nn.BatchNorm1d(self.num_features)

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings [B, N, 1024]."""
        outputs = convolved(points, self.edges)
        return PointFeatures(normed_leaky(self.linear, self.norm, torch.cat(outputs, dim=2)))


@register_student("dgcnn", dense=True)
class DGCNNSegmentation(nn.Module):
    """Embeddings [B, N, 1024], signed, and the edge convolutions' outputs [B, N, 192]."""

    num_features = 1024
    num_local = 192

    def __init__(self, k: int = 40, extra_channels: int = 0) -> None:
        super().__init__()
        self.extra_channels = extra_channels
        self.transform = SpatialTransform(k)
        self.edges = nn.ModuleList(
            [
                TwoLayerEdgeConv(3 + extra_channels, 64, k),
                TwoLayerEdgeConv(64, 64, k),
                EdgeConv(64, 64, k),
            ]
        )
        self.linear = nn.Linear(self.num_local, self.num_features, bias=False)
        self.norm = nn.BatchNorm1d(self.num_features)

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings [B, N, 1024], local [B, N, 192]."""
        places = points[:, :, :3].contiguous()
        transform = self.transform(places)
        with full_precision(points):
            turned = torch.bmm(places, transform.to(points))
        if self.extra_channels:
            turned = torch.cat([turned, points[:, :, 3:]], dim=2)
        local = torch.cat(convolved(turned, self.edges), dim=2)
        return PointFeatures(normed_leaky(self.linear, self.norm, local), local=local)

    def part_head(self, num_classes: int, num_parts: int) -> nn.Module:
        """Return the published head for K classes and P parts."""
        return PartHead(self, num_classes, num_parts, PartLayout(slope=SLOPE, class_width=64))


def convolved(points: Tensor, edges: Iterable[nn.Module]) -> list[Tensor]:
    """Return the outputs of edge convolutions, one after the other, on points [B, N, 3 + F]."""
    outputs: list[Tensor] = []
    for edge in edges:
        # Coordinates tell the neighbours of the first, whatever else there is.
        outputs.append(edge(outputs[-1]) if outputs else edge(points, by=3))
    return outputs


def normed_leaky(linear: nn.Linear, norm: nn.BatchNorm1d, points: Tensor) -> Tensor:
    """LeakyReLU(BN(W x)) of every point, [B, N, C_in] -> [B, N, C]."""
    return linear_bn_relu(points, linear, norm, SLOPE)
