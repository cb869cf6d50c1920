"""CPU kernels of pointmcd.ops.edge_layer.

Point by point, from k rows that stay in cache.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from pointmcd.ops.backend import beats, blas_on_one_thread, parallel_kernel
from pointmcd.typing import Array, kernel

#: Blocks of points that are summed apart: a fixed number, so that no thread count changes the sums.
_BLOCKS = 64


def forward(
    own: Tensor, other: Tensor, index: Tensor, weight: Tensor, sign: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the extreme, its neighbour's number (int32), both [B, N, C2], mean and covariance.

    The moments are float64, [C1] and [C1, C1]. `sign` [C2] is -1 where the extreme is the min.
    """
    extreme = own.new_empty(*own.shape[:2], len(weight))
    where = torch.empty(extreme.shape, dtype=torch.int32)
    totals = torch.zeros(_BLOCKS, own.shape[2], dtype=torch.float64)
    grams = torch.zeros(_BLOCKS, own.shape[2], own.shape[2], dtype=torch.float64)
    with blas_on_one_thread():  # the threads are numba's
        _forward_kernel(
            own,
            other,
            index,
            (sign[:, None] * weight).T,
            np.float32(slope),
            extreme,
            where,
            totals,
            grams,
        )
    mean = totals.sum(dim=0) / index.numel()
    covariance = grams.sum(dim=0) / index.numel() - mean[:, None] * mean
    return extreme.mul_(sign), where, mean, covariance


def backward(
    saved: tuple[Tensor, ...], grad: Tensor, mix: Tensor, share: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of own and other [B, N, C1], and of the weight [C2, C1].

    `saved` is (own, other, index, weight, where, mean). Through the moments, every edge h receives
    (h - mean) mix + share.
    """
    own, other, index, weight, where, mean = saved
    shift = share - mean @ mix
    grad_own, grad_other = own.new_zeros(own.shape), other.new_zeros(other.shape)
    grad_weight = own.new_zeros(len(own), *weight.shape)
    with blas_on_one_thread():
        _backward_kernel(
            own,
            other,
            index,
            weight,
            where,
            grad,
            mix.float(),
            shift.float(),
            np.float32(slope),
            grad_own,
            grad_other,
            grad_weight,
        )
    return grad_own, grad_other, grad_weight.sum(dim=0)


@kernel
def _make_edges(own: Array, other: Array, index: Array, slope: float, edges: Array) -> None:
    """Fill one point's edges, [k, C1]."""
    for j in range(len(index)):
        row, edge = other[index[j]], edges[j]
        for c in range(len(own)):
            value = own[c] + row[c]
            edge[c] = value if value > 0 else slope * value


@kernel
def _row_max(rows: Array, best: Array, where: Array) -> None:
    """Find the max of each column of [k, C2] and the first row that has it."""
    best[:] = rows[0]
    where[:] = 0
    for j in range(1, len(rows)):
        row = rows[j]
        for c in range(len(best)):
            better = beats(row[c], best[c])
            best[c] = row[c] if better else best[c]
            where[c] = np.int32(j) if better else where[c]


@kernel
def _add_moments(edges: Array, square: Array, total: Array, gram: Array) -> None:
    np.dot(edges.T, edges, square)
    for c in range(len(total)):
        for d in range(len(total)):
            gram[c, d] += square[c, d]
    for j in range(len(edges)):
        for c in range(len(total)):
            total[c] += edges[j, c]


@parallel_kernel
def _forward_kernel(
    own: Array,
    other: Array,
    index: Array,
    weight: Array,
    slope: float,
    extreme: Array,
    where: Array,
    totals: Array,
    grams: Array,
) -> None:
    count, k = index.shape[1:]
    points, blocks = index.shape[0] * count, len(totals)
    for block in numba.prange(blocks):
        edges = np.empty((k, own.shape[2]), np.float32)
        product = np.empty((k, weight.shape[1]), np.float32)
        square = np.empty(grams.shape[1:], np.float32)
        for point in range(points * block // blocks, points * (block + 1) // blocks):
            b, n = point // count, point % count
            _make_edges(own[b, n], other[b], index[b, n], slope, edges)
            np.dot(edges, weight, product)
            _row_max(product, extreme[b, n], where[b, n])
            _add_moments(edges, square, totals[block], grams[block])


@kernel
def _add_extremes(
    grad: Array, where: Array, weight: Array, edges: Array, grad_edges: Array, grad_weight: Array
) -> None:
    """Add gradients of one point's extremes to those of their edges and of the weight."""
    for c in range(len(grad)):
        g = grad[c]
        edge, grad_edge = edges[where[c]], grad_edges[where[c]]
        row, grad_row = weight[c], grad_weight[c]
        for i in range(len(row)):
            grad_edge[i] += g * row[i]
            grad_row[i] += g * edge[i]


@kernel
def _scatter_edges(
    grad_edges: Array, edges: Array, index: Array, slope: float, grad_own: Array, grad_other: Array
) -> None:
    """Backward of the LeakyReLU and the sum."""
    for j in range(len(index)):
        grad_edge, edge, grad_row = grad_edges[j], edges[j], grad_other[index[j]]
        for c in range(len(grad_own)):
            g = grad_edge[c] if edge[c] > 0 else slope * grad_edge[c]
            grad_own[c] += g
            grad_row[c] += g


@parallel_kernel
def _backward_kernel(
    own: Array,
    other: Array,
    index: Array,
    weight: Array,
    where: Array,
    grad: Array,
    mix: Array,
    shift: Array,
    slope: float,
    grad_own: Array,
    grad_other: Array,
    grad_weight: Array,
) -> None:
    batch, count, k = index.shape
    for b in numba.prange(batch):  # clouds share no point: no two threads add to the same place
        edges = np.empty((k, own.shape[2]), np.float32)
        grad_edges = np.empty((k, own.shape[2]), np.float32)
        for n in range(count):
            _make_edges(own[b, n], other[b], index[b, n], slope, edges)
            np.dot(edges, mix, grad_edges)
            for j in range(k):
                grad_edges[j] += shift
            _add_extremes(grad[b, n], where[b, n], weight, edges, grad_edges, grad_weight[b])
            _scatter_edges(grad_edges, edges, index[b, n], slope, grad_own[b, n], grad_other[b])
