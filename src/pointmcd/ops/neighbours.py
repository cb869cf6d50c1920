"""Gather and pool the values of neighbours without a [B, N, k, C] tensor."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from pointmcd.ops.backend import beats, numba_fits, parallel_kernel, torch_alone, triton_fits
from pointmcd.ops.scatter import scatter
from pointmcd.typing import Array


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """Gather rows cloud by cloud: [B, N, C] and int64 [B, ...] below N -> [B, ..., C]."""
    batch, count, channels = values.shape
    rows = index.flatten(1) + count * torch.arange(batch, device=index.device)[:, None]
    return values.flatten(0, 1).index_select(0, rows.flatten()).view(*index.shape, channels)


def neighbour_max(values: Tensor, index: Tensor) -> Tensor:
    """Pool each point's neighbours by max, channel by channel.

    Args:
        values: float [B, N, C].
        index: int64 [B, M, k], neighbours of each of M points.

    Returns:
        float [B, M, C]. On ties the first neighbour takes the gradient.
    """
    if torch_alone():  # k may be open
        return gather_rows(values, index).max(dim=2).values
    pooled: Tensor = _NeighbourMax.apply(values, index)  # type: ignore[no-untyped-call]
    return pooled


class _NeighbourMax(torch.autograd.Function):
    """Saves the index and the point of each max, int32 [B, M, C]."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor) -> Tensor:
        pooled, where = _forward(values)(values.detach(), index)
        ctx.save_for_backward(index, where)
        ctx.count = values.shape[1]
        return pooled

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        index, where = ctx.saved_tensors
        if triton_fits(grad):
            from pointmcd.ops.gpu import neighbours as gpu

            return gpu.backward(grad, index, where, ctx.count), None
        return scatter(grad, where, ctx.count), None


def _forward(values: Tensor) -> Callable[..., tuple[Tensor, Tensor]]:
    if triton_fits(values):
        from pointmcd.ops.gpu import neighbours as gpu

        return gpu.forward
    return _forward_numba if numba_fits(values) else _forward_torch


def _forward_torch(values: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Pool one neighbour at a time: k passes over [B, M, C]."""
    batch, count, _ = index.shape
    best = values.new_full((batch, count, values.shape[2]), -torch.inf)
    where = index[:, :, :1].int().expand(best.shape)
    for neighbour in index.unbind(dim=2):
        row = gather_rows(values, neighbour)
        better = (row > best) | (row.isnan() & ~best.isnan())
        best = torch.where(better, row, best)
        where = torch.where(better, neighbour[:, :, None].int(), where)
    return best, where


def _forward_numba(values: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    pooled = values.new_empty(*index.shape[:2], values.shape[2])
    where = torch.empty(pooled.shape, dtype=torch.int32)
    _max_kernel(values, index, pooled, where)
    return pooled, where


@parallel_kernel
def _max_kernel(values: Array, index: Array, pooled: Array, where: Array) -> None:
    batch, count, channels = pooled.shape
    for task in numba.prange(batch * count):
        b, n = task // count, task % count
        best, arg = pooled[b, n], where[b, n]
        best[:] = values[b, index[b, n, 0]]
        arg[:] = index[b, n, 0]
        for j in range(1, index.shape[2]):
            m = index[b, n, j]
            row = values[b, m]
            for c in range(channels):
                better = beats(row[c], best[c])
                best[c] = row[c] if better else best[c]
                arg[c] = np.int32(m) if better else arg[c]
