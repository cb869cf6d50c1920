"""EdgeConv as published: a tensor of all edges, [B, 2 C, N, k] (DGCNN, arXiv 1801.07829, eq. 8)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed.published.layers import convolve, normalise

SLOPE = 0.2


def nearest(points: Tensor, k: int) -> Tensor:
    """Return indices [B, N, k] of the nearest of points [B, C, N], by all pairs and a sort."""
    inner = -2 * torch.matmul(points.transpose(1, 2), points)
    squares = points.square().sum(dim=1, keepdim=True)
    return (-squares.transpose(1, 2) - inner - squares).topk(k, dim=2).indices


def edge_features(points: Tensor, index: Tensor) -> Tensor:
    """Return [x_j - x_i, x_i] for every edge: [B, C, N] -> [B, 2 C, N, k]."""
    batch, channels, count = points.shape
    rows = points.transpose(1, 2).reshape(batch * count, channels)
    below = count * torch.arange(batch, device=points.device)
    others = rows[(index + below[:, None, None]).flatten()]
    others = others.view(batch, count, index.shape[2], channels)
    own = rows.view(batch, count, 1, channels).repeat(1, 1, index.shape[2], 1)
    return torch.cat([others - own, own], dim=3).permute(0, 3, 1, 2).contiguous()


def edge_convolution(points: Tensor, layer: torch.nn.Module, index: Tensor | None = None) -> Tensor:
    """Apply an edge convolution of one or two layers: [B, C_in, N] -> [B, C, N].

    Args:
        points: [B, C_in, N].
        layer: an `EdgeConv` or `TwoLayerEdgeConv`, whose parameters and statistics are used.
        index: int64 [B, N, k], neighbours; None: the nearest.
    """
    index = nearest(points, min(layer.k, points.shape[2])) if index is None else index
    edges = edge_features(points, index)
    edges = F.leaky_relu(normalise(convolve(edges, layer.linear), layer.norm), SLOPE)
    if hasattr(layer, "second"):
        edges = F.leaky_relu(normalise(convolve(edges, layer.second), layer.second_norm), SLOPE)
    return edges.max(dim=3).values
