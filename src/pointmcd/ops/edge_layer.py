"""The second layer of an edge convolution, without a tensor of all edges.

Edge (i, j) is h_ij = LeakyReLU(own_i + other_j), [C1]. Batch norm, LeakyReLU and max behind a
linear layer W need of all the W h_ij their extremes alone, and of h its mean and covariance over
all edges. Both are taken point by point, from k rows that stay in cache; the backward pass makes
these rows again and keeps nothing but which neighbour is the extreme.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from pointmcd.ops.backend import blas_on_one_thread, numba_fits, with_torch_threads
from pointmcd.ops.neighbours import gather_rows

Array = npt.NDArray[Any]

#: Blocks of points that are summed apart: a fixed number, so that no thread count changes the sums.
_BLOCKS = 64


def edge_layer(
    own: Tensor, other: Tensor, index: Tensor, weight: Tensor, largest: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Extremes of W h over each point's edges, and the moments of h over all edges.

    Args:
        own: float [B, N, C1], each point's part of its edges.
        other: float [B, N, C1], each neighbour's part.
        index: int64 [B, N, k], neighbours of each point.
        weight: W, float [C2, C1].
        largest: bool [C2], True where the extreme is the max, False where it is the min.
        slope: of the LeakyReLU below zero.

    Returns:
        (extreme [B, N, C2], mean [C1], covariance [C1, C1], biased). On ties the first neighbour
        takes the gradient on a CPU in float32.
    """
    if numba_fits(own):
        layer: tuple[Tensor, Tensor, Tensor] = _EdgeLayer.apply(  # type: ignore[no-untyped-call]
            own, other, index, weight, largest, slope
        )
        return layer
    return edge_layer_reference(own, other, index, weight, largest, slope)


def edge_layer_reference(
    own: Tensor, other: Tensor, index: Tensor, weight: Tensor, largest: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same in plain torch, every edge made: for other devices and dtypes."""
    edges = F.leaky_relu(gather_rows(other, index) + own[:, :, None], slope)
    sign = _sign(largest, weight)
    extreme = sign * F.linear(edges, sign[:, None] * weight).max(dim=2).values
    flat = edges.flatten(0, 2)
    mean = flat.mean(dim=0)
    centred = flat - mean
    return extreme, mean, centred.T @ centred / len(flat)


def _sign(largest: Tensor, like: Tensor) -> Tensor:
    return torch.where(largest, 1.0, -1.0).to(like)


class _EdgeLayer(torch.autograd.Function):
    """Keeps the place of the extreme among the k neighbours, int32 [B, N, C2], and its inputs."""

    @staticmethod
    def forward(
        ctx: Any,
        own: Tensor,
        other: Tensor,
        index: Tensor,
        weight: Tensor,
        largest: Tensor,
        slope: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        sign = _sign(largest, weight)
        extreme = own.new_empty(*own.shape[:2], len(weight))
        where = torch.empty(extreme.shape, dtype=torch.int32)
        totals = torch.zeros(_BLOCKS, own.shape[2], dtype=torch.float64)
        grams = torch.zeros(_BLOCKS, own.shape[2], own.shape[2], dtype=torch.float64)
        inputs = _arrays(own, other, index, (sign[:, None] * weight).T)
        with_torch_threads()
        with blas_on_one_thread():  # the threads are numba's
            _forward_kernel(*inputs, np.float32(slope), *_arrays(extreme, where, totals, grams))
        mean = totals.sum(dim=0) / index.numel()
        covariance = grams.sum(dim=0) / index.numel() - mean[:, None] * mean
        ctx.save_for_backward(own, other, index, weight, where, mean)
        ctx.slope = slope
        return extreme.mul_(sign), mean.to(own), covariance.to(own)

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor, grad_mean: Tensor, grad_covariance: Tensor
    ) -> tuple[Tensor, Tensor, None, Tensor, None, None]:
        own, other, index, weight, where, mean = ctx.saved_tensors
        # Through the moments, an edge receives h mix + shift.
        mix = (grad_covariance + grad_covariance.T).double() / index.numel()
        shift = grad_mean.double() / index.numel() - mean @ mix
        grad_own, grad_other = torch.zeros_like(own), torch.zeros_like(other)
        grad_weight = own.new_zeros(len(own), *weight.shape)
        inputs = _arrays(own, other, index, weight, where, grad, mix.float(), shift.float())
        outputs = _arrays(grad_own, grad_other, grad_weight)
        with_torch_threads()
        with blas_on_one_thread():
            _backward_kernel(*inputs, np.float32(ctx.slope), *outputs)
        return grad_own, grad_other, None, grad_weight.sum(dim=0), None, None


def _arrays(*tensors: Tensor) -> list[Array]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _make_edges(own: Array, other: Array, index: Array, slope: float, edges: Array) -> None:
    """One point's edges, [k, C1]."""
    for j in range(len(index)):
        row, edge = other[index[j]], edges[j]
        for c in range(len(own)):
            value = own[c] + row[c]
            edge[c] = value if value > 0 else slope * value


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _row_max(rows: Array, best: Array, where: Array) -> None:
    """Max of each column of [k, C2] and its first row."""
    best[:] = rows[0]
    where[:] = 0
    for j in range(1, len(rows)):
        row = rows[j]
        for c in range(len(best)):
            better = row[c] > best[c]
            best[c] = row[c] if better else best[c]
            where[c] = np.int32(j) if better else where[c]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _add_moments(edges: Array, square: Array, total: Array, gram: Array) -> None:
    np.dot(edges.T, edges, square)
    for c in range(len(total)):
        for d in range(len(total)):
            gram[c, d] += square[c, d]
    for j in range(len(edges)):
        for c in range(len(total)):
            total[c] += edges[j, c]


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
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


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _add_extremes(
    grad: Array, where: Array, weight: Array, edges: Array, grad_edges: Array, grad_weight: Array
) -> None:
    """What one point's extremes give to the edges they were taken at, and to the weight."""
    for c in range(len(grad)):
        g = grad[c]
        edge, grad_edge = edges[where[c]], grad_edges[where[c]]
        row, grad_row = weight[c], grad_weight[c]
        for i in range(len(row)):
            grad_edge[i] += g * row[i]
            grad_row[i] += g * edge[i]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _scatter_edges(
    grad_edges: Array, edges: Array, index: Array, slope: float, grad_own: Array, grad_other: Array
) -> None:
    """Back through the LeakyReLU and the sum."""
    for j in range(len(index)):
        grad_edge, edge, grad_row = grad_edges[j], edges[j], grad_other[index[j]]
        for c in range(len(grad_own)):
            g = grad_edge[c] if edge[c] > 0 else slope * grad_edge[c]
            grad_own[c] += g
            grad_row[c] += g


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
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
