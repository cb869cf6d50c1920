"""Backward of max pooling: scatter gradients to argmax points."""

import numba
from torch import Tensor

from pointmcd.ops.backend import parallel_kernel
from pointmcd.typing import Array


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


@parallel_kernel
def _scatter_kernel(grad: Array, where: Array, out: Array) -> None:
    for b in numba.prange(len(grad)):  # clouds share no point: no two threads add to one place
        for m in range(grad.shape[1]):
            for c in range(grad.shape[2]):
                n = where[b, m, c]
                if n >= 0:
                    out[b, n, c] += grad[b, m, c]
