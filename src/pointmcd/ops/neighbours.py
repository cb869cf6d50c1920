"""Values of points' neighbours, pooled without a [B, N, k, C] tensor."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pointmcd.ops.backend import numba_fits, triton_fits, with_torch_threads

Array = npt.NDArray[Any]


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows of each cloud's own table: [B, N, C] and int64 [B, ...] below N -> [B, ..., C]."""
    batch, count, channels = values.shape
    rows = index.flatten(1) + count * torch.arange(batch, device=index.device)[:, None]
    return values.flatten(0, 1).index_select(0, rows.flatten()).view(*index.shape, channels)


def neighbour_pool(values: Tensor, index: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """Extreme and sum of each point's neighbours' values, channel by channel.

    Args:
        values: float [B, N, C].
        index: int64 [B, N, k], neighbours of each point.
        largest: bool [C], True where the extreme is the max, False where it is the min.

    Returns:
        (extreme [B, N, C], total [B, N, C]). On ties the first neighbour takes the gradient.
    """
    pooled: tuple[Tensor, Tensor] = _NeighbourPool.apply(values, index, largest)  # type: ignore[no-untyped-call]
    return pooled


class _NeighbourPool(torch.autograd.Function):
    """Keeps the argument of the extreme (the neighbour's point index) [B, N, C] alone."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
        extreme, where, total = _forward(values)(values.detach(), index, largest)
        ctx.save_for_backward(index, where)
        return extreme, total

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_total: Tensor) -> tuple[Tensor, None, None]:
        index, where = ctx.saved_tensors
        return _backward(grad)(grad, grad_total, index, where), None, None


def _forward(values: Tensor) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    if triton_fits(values):
        from pointmcd.ops.gpu import neighbours as gpu

        return gpu.forward
    return _forward_numba if numba_fits(values) else _forward_torch


def _backward(grad: Tensor) -> Callable[..., Tensor]:
    if triton_fits(grad):
        from pointmcd.ops.gpu import neighbours as gpu

        return gpu.backward
    return _backward_numba if numba_fits(grad) else _backward_torch


def _forward_torch(values: Tensor, index: Tensor, largest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One neighbour at a time: k passes over [B, N, C]."""
    channels = values.shape[2]
    sign = torch.where(largest, 1.0, -1.0).to(values)
    signed = values * sign
    best = torch.full_like(values, -torch.inf)
    where = torch.zeros_like(values, dtype=torch.int32)
    total = torch.zeros_like(values)
    for neighbour in index.unbind(dim=2):
        row = signed.gather(1, neighbour[:, :, None].expand(-1, -1, channels))
        total += row
        better = row > best
        best = torch.where(better, row, best)
        where = torch.where(better, neighbour[:, :, None].int(), where)
    return best * sign, where, total * sign


def _backward_torch(grad: Tensor, grad_total: Tensor, index: Tensor, where: Tensor) -> Tensor:
    channels = grad.shape[2]
    out = torch.zeros_like(grad).scatter_add_(1, where.long(), grad)
    for neighbour in index.unbind(dim=2):
        out.scatter_add_(1, neighbour[:, :, None].expand(-1, -1, channels), grad_total)
    return out


def _forward_numba(values: Tensor, index: Tensor, largest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    extreme, total = torch.empty_like(values), torch.empty_like(values)
    where = torch.empty(values.shape, dtype=torch.int32)
    with_torch_threads()
    _pool_kernel(
        values.contiguous().numpy(),
        index.contiguous().numpy(),
        torch.where(largest, 1.0, -1.0).numpy(),
        extreme.numpy(),
        where.numpy(),
        total.numpy(),
    )
    return extreme, where, total


def _backward_numba(grad: Tensor, grad_total: Tensor, index: Tensor, where: Tensor) -> Tensor:
    out = torch.zeros(grad.shape)
    with_torch_threads()
    _unpool_kernel(
        grad.contiguous().numpy(),
        grad_total.contiguous().numpy(),
        index.contiguous().numpy(),
        where.numpy(),
        out.numpy(),
    )
    return out


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _pool_kernel(
    values: Array, index: Array, sign: Array, extreme: Array, where: Array, total: Array
) -> None:
    batch, count, channels = values.shape
    for task in numba.prange(batch * count):
        b, n = task // count, task % count
        best, arg, tot = extreme[b, n], where[b, n], total[b, n]
        first = index[b, n, 0]
        best[:] = values[b, first]
        tot[:] = values[b, first]
        arg[:] = first
        for j in range(1, index.shape[2]):
            m = index[b, n, j]
            row = values[b, m]
            for c in range(channels):
                value = row[c]
                tot[c] += value
                better = (value - best[c]) * sign[c] > 0
                best[c] = value if better else best[c]
                arg[c] = np.int32(m) if better else arg[c]


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _unpool_kernel(grad: Array, grad_total: Array, index: Array, where: Array, out: Array) -> None:
    batch, count, channels = grad.shape
    for b in numba.prange(batch):
        for n in range(count):
            for c in range(channels):
                out[b, where[b, n, c], c] += grad[b, n, c]
            for j in range(index.shape[2]):
                m = index[b, n, j]
                for c in range(channels):
                    out[b, m, c] += grad_total[b, n, c]
