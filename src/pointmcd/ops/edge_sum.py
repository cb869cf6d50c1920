"""LeakyReLU or ReLU of edges that are the sum of their two ends, in one pass, and batch norm."""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.backend import double_of, numba_fits, parallel_kernel
from pointmcd.ops.edge_moments import normed_edges
from pointmcd.ops.neighbours import gather_rows
from pointmcd.typing import Array


def edge_sum(own: Tensor, other: Tensor, index: Tensor, slope: float) -> Tensor:
    """Compute LeakyReLU(own_i + other_j) of every edge (i, j).

    Args:
        own: float [B, M, C], of the points that have neighbours.
        other: float [B, N, C], of those that may be neighbours.
        index: int64 [B, M, k], neighbours of each point.
        slope: of the LeakyReLU below zero; 0 for a ReLU.

    Returns:
        float [B, M, k, C].
    """
    if numba_fits(own, other):
        edges: Tensor = _EdgeSum.apply(own, other, index, slope)  # type: ignore[no-untyped-call]
        return edges
    return F.leaky_relu(gather_rows(other, index) + own[:, :, None], slope)


def edge_bn_relu(
    own: Tensor, other: Tensor, index: Tensor, weight: Tensor, norm: nn.BatchNorm1d
) -> Tensor:
    """Compute ReLU(BN(W [other_j, own_i])) of every edge (i, j), whose ends lie close together.

    Args:
        own: float [B, M, D], of the points that have neighbours.
        other: float [B, N, C], of those that may be neighbours.
        index: int64 [B, M, k], neighbours of each point.
        weight: W, float [E, C + D].
        norm: over E and all edges; in training its running statistics are updated.

    Returns:
        float [B, M, k, E].
    """
    if not norm.training or double_of(own) == torch.float64:
        return edge_sum(*normed_edges(own, other, index, weight, norm, short=True), index, 0.0)
    to_other, to_own = weight.split([other.shape[2], own.shape[2]], dim=1)
    edges = gather_rows(F.linear(other, to_other), index) + F.linear(own, to_own)[:, :, None]
    return torch.relu_(norm(edges.flatten(0, 2))).view_as(edges)


class _EdgeSum(torch.autograd.Function):
    """Saves the index and the edges, whose signs tell the slope."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, other: Tensor, index: Tensor, slope: float) -> Tensor:
        edges = own.new_empty(*index.shape, own.shape[2])
        _sum_kernel(own, other, index, np.float32(slope), edges)
        ctx.save_for_backward(edges, index)
        ctx.slope, ctx.count = slope, other.shape[1]
        return edges

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        edges, index = ctx.saved_tensors
        batch, count, _, channels = edges.shape
        grad_own = grad.new_zeros(batch, count, channels)
        grad_other = grad.new_zeros(batch, ctx.count, channels)
        _spread_kernel(grad, edges, index, np.float32(ctx.slope), grad_own, grad_other)
        return grad_own, grad_other, None, None


@parallel_kernel
def _sum_kernel(own: Array, other: Array, index: Array, slope: float, edges: Array) -> None:
    batch, count, k, channels = edges.shape
    for task in numba.prange(batch * count):
        b, n = task // count, task % count
        row = own[b, n]
        for j in range(k):
            near, edge = other[b, index[b, n, j]], edges[b, n, j]
            for c in range(channels):
                value = row[c] + near[c]
                edge[c] = value if value > 0 else slope * value


@parallel_kernel
def _spread_kernel(
    grad: Array, edges: Array, index: Array, slope: float, grad_own: Array, grad_other: Array
) -> None:
    batch, count, k, channels = edges.shape
    for b in numba.prange(batch):  # clouds share no point: no two threads add to one place
        for n in range(count):
            row = grad_own[b, n]
            for j in range(k):
                near, edge, g = grad_other[b, index[b, n, j]], edges[b, n, j], grad[b, n, j]
                for c in range(channels):
                    share = g[c] if edge[c] > 0 else slope * g[c]
                    row[c] += share
                    near[c] += share
