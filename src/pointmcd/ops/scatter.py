"""Backward of max pooling: scatter gradients to argmax points."""

import numba
import torch
from torch import Tensor

from pointmcd.ops.backend import numba_fits, parallel_kernel
from pointmcd.typing import Array


def scatter(grad: Tensor, where: Tensor, count: int) -> Tensor:
    """Do as `scatter_numba` by the kernel that serves, any but Triton's."""
    return (scatter_numba if numba_fits(grad) else scatter_torch)(grad, where, count)


def scatter_numba(grad: Tensor, where: Tensor, count: int) -> Tensor:
    """Add each gradient to the point of its maximum, in order; float32 on a CPU.

    Args:
        grad: float [B, M, C].
        where: int32 [B, M, C], points below `count`; -1 for a maximum over nothing.
        count: N, of points.

    Returns:
        float [B, N, C].
    """
    out = grad.new_zeros(len(grad), count, grad.shape[2])
    _scatter_kernel(grad, where, out)
    return out


def scatter_torch(grad: Tensor, where: Tensor, count: int) -> Tensor:
    """Do the same on any device, in any type."""
    out = grad.new_zeros(len(grad), count, grad.shape[2])
    return out.scatter_add_(1, where.clamp(min=0).long(), grad * (where >= 0))


def edges_by_target(index: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Sort the edges of all clouds by the point they lead to.

    Args:
        index: int64 [B, M, k].
        count: N, the points that edges may lead to in each cloud.

    Returns:
        (sources int32 [B M k], the point each edge starts from, counted through all clouds, in
        ascending order for each target; starts int32 [B N + 1], where each target's edges begin).
    """
    batch, _, k = index.shape
    clouds = count * torch.arange(batch, device=index.device)[:, None, None]
    targets, order = (index + clouds).flatten().sort(stable=True)
    bounds = torch.arange(batch * count + 1, device=index.device)
    return (order // k).int(), torch.searchsorted(targets, bounds, out_int32=True)


@parallel_kernel
def _scatter_kernel(grad: Array, where: Array, out: Array) -> None:
    for b in numba.prange(len(grad)):  # clouds share no point: no two threads add to one place
        for m in range(grad.shape[1]):
            for c in range(grad.shape[2]):
                n = where[b, m, c]
                if n >= 0:
                    out[b, n, c] += grad[b, m, c]
